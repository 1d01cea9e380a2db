//! The three operand widths of integer instructions, as a trait that pure functions are generic over.

use core::fmt::Debug;

use pentimento_memory::Value;
use pentimento_registers::{CpuState, Gpr, Gpr8};

/// An operand width: `u8`, `u16` or `u32`.
///
/// Values travel as `u32` inside the pure functions where that is simpler: [`Width::truncate`] and
/// [`Width::bits`] are free.
pub trait Width: Value + Copy + Eq + Debug {
    /// Bits in the operand: 8, 16 or 32.
    const BITS: u32;
    /// Bytes in the operand: 1, 2 or 4.
    const BYTES: u32 = Self::BITS / 8;
    /// All ones.
    const MASK: u32 = u32::MAX >> (32 - Self::BITS);
    /// The sign bit.
    const SIGN: u32 = 1 << (Self::BITS - 1);

    /// The low bits of `value`.
    fn truncate(value: u32) -> Self;
    /// Zero-extends.
    fn bits(self) -> u32;
    /// Sign-extends.
    fn signed(self) -> i32;

    /// The general register of this width with encoding `number`.
    fn register(state: &CpuState, number: u8) -> Self;
    /// Writes the general register of this width with encoding `number`; the rest of its 32-bit parent stays.
    fn set_register(state: &mut CpuState, number: u8, value: Self);
}

/// A width: its type, the signed type of its size, the register file's name for such a register, and the
/// functions that read and write one.
macro_rules! width {
    ($unsigned:ty, $signed:ty, $register:ty, $read:ident, $write:ident) => {
        impl Width for $unsigned {
            const BITS: u32 = <$unsigned>::BITS;

            #[inline(always)]
            fn truncate(value: u32) -> Self {
                value as Self
            }
            #[inline(always)]
            fn bits(self) -> u32 {
                u32::from(self)
            }
            #[inline(always)]
            fn signed(self) -> i32 {
                i32::from(self as $signed)
            }
            #[inline(always)]
            fn register(state: &CpuState, number: u8) -> Self {
                state.$read(<$register>::from_number(number))
            }
            #[inline(always)]
            fn set_register(state: &mut CpuState, number: u8, value: Self) {
                state.$write(<$register>::from_number(number), value);
            }
        }
    };
}

width!(u8, i8, Gpr8, gpr8, set_gpr8);
width!(u16, i16, Gpr, gpr16, set_gpr16);
width!(u32, i32, Gpr, gpr, set_gpr);
