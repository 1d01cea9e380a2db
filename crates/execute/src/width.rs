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

impl Width for u8 {
    const BITS: u32 = 8;

    #[inline(always)]
    fn truncate(value: u32) -> Self {
        value as Self
    }
    #[inline(always)]
    fn bits(self) -> u32 {
        self.into()
    }
    #[inline(always)]
    fn signed(self) -> i32 {
        (self as i8).into()
    }
    #[inline(always)]
    fn register(state: &CpuState, number: u8) -> Self {
        state.gpr8(Gpr8::from_number(number))
    }
    #[inline(always)]
    fn set_register(state: &mut CpuState, number: u8, value: Self) {
        state.set_gpr8(Gpr8::from_number(number), value);
    }
}

impl Width for u16 {
    const BITS: u32 = 16;

    #[inline(always)]
    fn truncate(value: u32) -> Self {
        value as Self
    }
    #[inline(always)]
    fn bits(self) -> u32 {
        self.into()
    }
    #[inline(always)]
    fn signed(self) -> i32 {
        (self as i16).into()
    }
    #[inline(always)]
    fn register(state: &CpuState, number: u8) -> Self {
        state.gpr16(Gpr::from_number(number))
    }
    #[inline(always)]
    fn set_register(state: &mut CpuState, number: u8, value: Self) {
        state.set_gpr16(Gpr::from_number(number), value);
    }
}

impl Width for u32 {
    const BITS: u32 = 32;

    #[inline(always)]
    fn truncate(value: u32) -> Self {
        value
    }
    #[inline(always)]
    fn bits(self) -> u32 {
        self
    }
    #[inline(always)]
    fn signed(self) -> i32 {
        self as i32
    }
    #[inline(always)]
    fn register(state: &CpuState, number: u8) -> Self {
        state.gpr(Gpr::from_number(number))
    }
    #[inline(always)]
    fn set_register(state: &mut CpuState, number: u8, value: Self) {
        state.set_gpr(Gpr::from_number(number), value);
    }
}
