//! The three binary formats, taken apart and put together.

use pentimento_registers::F80;

use super::rules::{Precision, Rules};

/// What kind of datum some bits are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Class {
    /// A finite number other than zero, denormals and pseudo-denormals included.
    Finite,
    /// A zero.
    Zero,
    /// An infinity.
    Infinity,
    /// A quiet NaN.
    QuietNan,
    /// A signalling NaN.
    SignallingNan,
    /// Double extended only: an unnormal, pseudo-infinity or pseudo-NaN, which arithmetic rejects
    /// (SDM volume 1, section 8.2.2).
    Unsupported,
}

/// A datum taken apart, the same for all formats.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Unpacked {
    /// What it is; the other fields depend on it.
    pub class: Class,
    /// The sign bit.
    pub negative: bool,
    /// Whether the bits were a denormal or pseudo-denormal, which raises [`Flags::DENORMAL`](super::Flags::DENORMAL).
    pub denormal: bool,
    /// Finite: the unbiased exponent of the significand's top bit.
    pub exponent: i32,
    /// Finite: the significand with its top bit set, a number in [1, 2) in units of 2^-63.
    /// NaN: the significand as double extended format holds it, payload left-aligned.
    pub significand: u64,
}

impl Unpacked {
    /// A zero.
    #[inline(always)]
    #[must_use]
    pub const fn zero(negative: bool) -> Self {
        Self { class: Class::Zero, negative, denormal: false, exponent: 0, significand: 0 }
    }

    /// An infinity.
    #[inline(always)]
    #[must_use]
    pub const fn infinity(negative: bool) -> Self {
        Self { class: Class::Infinity, negative, denormal: false, exponent: 0, significand: INTEGER_BIT }
    }

    /// The finite number `significand * 2^(exponent - 63)`, normalised here; zero for a zero significand.
    #[inline(always)]
    #[must_use]
    pub const fn finite(negative: bool, exponent: i32, significand: u64) -> Self {
        if significand == 0 {
            return Self::zero(negative);
        }
        let shift = significand.leading_zeros();
        Self {
            class: Class::Finite,
            negative,
            denormal: false,
            exponent: exponent - shift as i32,
            significand: significand << shift,
        }
    }

    /// Whether it is a normal number: neither special nor denormal.
    #[inline(always)]
    #[must_use]
    pub const fn is_normal(&self) -> bool {
        matches!(self.class, Class::Finite) && !self.denormal
    }

    /// Whether it is a NaN of either kind.
    #[inline(always)]
    #[must_use]
    pub const fn is_nan(&self) -> bool {
        matches!(self.class, Class::QuietNan | Class::SignallingNan)
    }

    /// The same with the other sign.
    #[inline(always)]
    #[must_use]
    pub const fn negated(self) -> Self {
        Self { negative: !self.negative, ..self }
    }
}

/// The explicit integer bit of double extended format.
const INTEGER_BIT: u64 = 1 << 63;
/// The bit below it, which tells quiet NaNs from signalling ones.
pub(super) const QUIET_BIT: u64 = 1 << 62;

/// Raw bits in one of the binary interchange formats, or in double extended format.
pub trait Format: Copy + PartialEq + core::fmt::Debug {
    /// An integer with room for the aligned sum of two significands, so that single and double
    /// need no 128-bit arithmetic.
    type Window: super::arithmetic::Window;

    /// The unbiased exponent of the smallest normal number.
    const MINIMUM_EXPONENT: i32;
    /// The unbiased exponent of the largest finite number.
    const MAXIMUM_EXPONENT: i32;
    /// What unmasked overflow subtracts from the exponent and unmasked underflow adds to it.
    const EXPONENT_WRAP: i32;
    /// The QNaN floating-point indefinite, the answer to masked invalid operations.
    const INDEFINITE: Self;

    /// Significand bits that results have, the integer bit included.
    fn precision(rules: &Rules) -> u32;

    /// Takes the datum apart.
    fn unpack(self) -> Unpacked;

    /// Takes the datum apart, with denormals as zeros where the rules say so.
    #[inline(always)]
    fn unpack_in(self, rules: &Rules) -> Unpacked {
        let value = self.unpack();
        if value.denormal && rules.denormals_are_zeros {
            return Unpacked::zero(value.negative);
        }
        value
    }

    /// Puts a finite number together. `exponent` is unbiased and in range; `significand` is rounded,
    /// left-aligned, and has its top bit clear only for denormals, whose exponent is [`Format::MINIMUM_EXPONENT`].
    fn pack(negative: bool, exponent: i32, significand: u64) -> Self;

    /// A zero.
    fn zero(negative: bool) -> Self;

    /// An infinity.
    fn infinity(negative: bool) -> Self;

    /// The bits, zero-extended.
    fn to_bits(self) -> u128;

    /// The value with these low bits.
    fn from_bits(bits: u128) -> Self;

    /// A quiet NaN with the payload of a left-aligned significand, as much as fits.
    fn quiet_nan(negative: bool, significand: u64) -> Self;
}

macro_rules! interchange_format {
    ($bits:ty, fraction: $fraction:literal, bias: $bias:literal, wrap: $wrap:literal) => {
        impl Format for $bits {
            type Window = u64;

            const MINIMUM_EXPONENT: i32 = 1 - $bias;
            const MAXIMUM_EXPONENT: i32 = $bias;
            const EXPONENT_WRAP: i32 = $wrap;
            const INDEFINITE: Self = <$bits>::MAX << ($fraction - 1);

            #[inline(always)]
            fn precision(_: &Rules) -> u32 {
                $fraction + 1
            }

            #[inline(always)]
            fn unpack(self) -> Unpacked {
                let negative = self >> (<$bits>::BITS - 1) != 0;
                let biased = (self >> $fraction) as i32 & (2 * $bias + 1);
                let fraction = ((self & ((1 << $fraction) - 1)) as u64) << (63 - $fraction);
                let significand = fraction | INTEGER_BIT;
                let class = if biased == 2 * $bias + 1 {
                    match fraction {
                        0 => Class::Infinity,
                        _ if fraction & QUIET_BIT != 0 => Class::QuietNan,
                        _ => Class::SignallingNan,
                    }
                } else if biased != 0 {
                    Class::Finite
                } else {
                    let value = Unpacked::finite(negative, 1 - $bias, fraction);
                    return Unpacked { denormal: fraction != 0, ..value };
                };
                Unpacked { class, negative, denormal: false, exponent: biased - $bias, significand }
            }

            #[inline(always)]
            fn pack(negative: bool, exponent: i32, significand: u64) -> Self {
                // The integer bit is added into the exponent field: a denormal has none.
                let biased = (exponent + $bias - 1) as $bits;
                let magnitude = (biased << $fraction) + (significand >> (63 - $fraction)) as $bits;
                <$bits>::from(negative) << (<$bits>::BITS - 1) | magnitude
            }

            #[inline(always)]
            fn zero(negative: bool) -> Self {
                <$bits>::from(negative) << (<$bits>::BITS - 1)
            }

            #[inline(always)]
            fn infinity(negative: bool) -> Self {
                Self::zero(negative) | (2 * $bias + 1) << $fraction
            }

            #[inline(always)]
            fn to_bits(self) -> u128 {
                self.into()
            }

            #[inline(always)]
            fn from_bits(bits: u128) -> Self {
                bits as $bits
            }

            #[inline(always)]
            fn quiet_nan(negative: bool, significand: u64) -> Self {
                let fraction = (significand | QUIET_BIT) & !INTEGER_BIT;
                Self::infinity(negative) | (fraction >> (63 - $fraction)) as $bits
            }
        }
    };
}

interchange_format!(u32, fraction: 23, bias: 127, wrap: 192);
interchange_format!(u64, fraction: 52, bias: 1023, wrap: 1536);

impl Format for F80 {
    type Window = u128;

    const MINIMUM_EXPONENT: i32 = -16382;
    const MAXIMUM_EXPONENT: i32 = 16383;
    const EXPONENT_WRAP: i32 = 24576;
    const INDEFINITE: Self = F80::new(0xffff, 0xc000_0000_0000_0000);

    #[inline(always)]
    fn precision(rules: &Rules) -> u32 {
        match rules.precision {
            Precision::Single => 24,
            Precision::Double => 53,
            Precision::Extended => 64,
        }
    }

    #[inline(always)]
    fn unpack(self) -> Unpacked {
        let negative = self.is_negative();
        let biased = i32::from(self.exponent());
        let significand = self.significand;
        let normalised = significand & INTEGER_BIT != 0;
        let class = match biased {
            0 => {
                let value = Unpacked::finite(negative, Self::MINIMUM_EXPONENT, significand);
                return Unpacked { denormal: significand != 0, ..value };
            }
            _ if !normalised => Class::Unsupported,
            0x7fff if significand == INTEGER_BIT => Class::Infinity,
            0x7fff if significand & QUIET_BIT != 0 => Class::QuietNan,
            0x7fff => Class::SignallingNan,
            _ => Class::Finite,
        };
        Unpacked { class, negative, denormal: false, exponent: biased - 16383, significand }
    }

    #[inline(always)]
    fn pack(negative: bool, exponent: i32, significand: u64) -> Self {
        // A denormal has no integer bit, and exponent 0 for what counts as 1.
        let biased = (exponent + 16382) as u16 + (significand >> 63) as u16;
        F80::new(u16::from(negative) << 15 | biased, significand)
    }

    #[inline(always)]
    fn zero(negative: bool) -> Self {
        F80::new(u16::from(negative) << 15, 0)
    }

    #[inline(always)]
    fn infinity(negative: bool) -> Self {
        F80::new(u16::from(negative) << 15 | 0x7fff, INTEGER_BIT)
    }

    #[inline(always)]
    fn to_bits(self) -> u128 {
        u128::from(self.sign_exponent) << 64 | u128::from(self.significand)
    }

    #[inline(always)]
    fn from_bits(bits: u128) -> Self {
        F80::new((bits >> 64) as u16, bits as u64)
    }

    #[inline(always)]
    fn quiet_nan(negative: bool, significand: u64) -> Self {
        F80::new(u16::from(negative) << 15 | 0x7fff, significand | INTEGER_BIT | QUIET_BIT)
    }
}
