//! The integers that guest memory holds, little-endian.

mod sealed {
    pub trait Sealed {}
}

/// An unsigned integer that guest memory can hold: `u8`, `u16`, `u32`, `u64` or `u128`. `[u128; 1]` is
/// a `u128` that the compiler keeps in memory and vector registers rather than in two integer registers.
pub trait Value: Copy + sealed::Sealed {
    /// Takes the low bits of `value`.
    fn from_u128(value: u128) -> Self;
    /// Zero-extends.
    fn into_u128(self) -> u128;
    /// Between the host's byte order and little-endian, in either direction.
    #[must_use]
    fn little_endian(self) -> Self;
}

macro_rules! values {
    ($($type:ty)*) => {$(
        impl sealed::Sealed for $type {}
        impl Value for $type {
            #[inline(always)]
            fn from_u128(value: u128) -> Self {
                value as $type
            }
            #[inline(always)]
            fn into_u128(self) -> u128 {
                self as u128
            }
            #[inline(always)]
            fn little_endian(self) -> Self {
                self.to_le()
            }
        }
    )*};
}

values!(u8 u16 u32 u64 u128);

impl sealed::Sealed for [u128; 1] {}

impl Value for [u128; 1] {
    #[inline(always)]
    fn from_u128(value: u128) -> Self {
        [value]
    }
    #[inline(always)]
    fn into_u128(self) -> u128 {
        self[0]
    }
    #[inline(always)]
    fn little_endian(self) -> Self {
        if cfg!(target_endian = "big") { [self[0].to_le()] } else { self }
    }
}
