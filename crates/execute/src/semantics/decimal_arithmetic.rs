//! Packed and unpacked BCD adjustments. Flags that the SDM leaves undefined are what the adders
//! inside produce.

use pentimento_registers::Eflags;

use super::binary_arithmetic::{add, sub};
use super::{flag, result_flags};

/// DAA and DAS share their conditions and differ in the direction of the adjustment.
#[inline]
fn packed(al: u8, before: Eflags, adjust: fn(u8, u8) -> (u8, Eflags), borrows: bool) -> (u8, Eflags) {
    let low = al & 15 > 9 || before.contains(Eflags::AF);
    let high = al > 0x99 || before.contains(Eflags::CF);
    let amount = if low { 6 } else { 0 } | if high { 0x60 } else { 0 };
    let (result, flags) = adjust(al, amount);
    // DAS's low adjustment can borrow out of AL by itself.
    let carry = high || borrows && al < amount;
    let carries = flag(Eflags::CF, carry).union(flag(Eflags::AF, low));
    (result, flags.difference(Eflags::CF.union(Eflags::AF)).union(carries))
}

/// DAA: AL adjusted after adding packed BCD, and all six status flags.
#[inline]
#[must_use]
pub fn daa(al: u8, before: Eflags) -> (u8, Eflags) {
    packed(al, before, add::<u8>, false)
}

/// DAS: AL adjusted after subtracting packed BCD, and all six status flags.
#[inline]
#[must_use]
pub fn das(al: u8, before: Eflags) -> (u8, Eflags) {
    packed(al, before, sub::<u8>, true)
}

/// AAA and AAS adjust AX as one number by 106h, then keep the low four bits of AL.
#[inline]
fn unpacked(ax: u16, before: Eflags, adjust: fn(u16, u16) -> (u16, Eflags)) -> (u16, Eflags) {
    let needed = ax & 15 > 9 || before.contains(Eflags::AF);
    let (sum, flags) = adjust(ax, if needed { 0x106 } else { 0 });
    let carries = Eflags::AF.union(Eflags::CF);
    (sum & 0xff0f, flags.difference(carries).union(flag(carries, needed)))
}

/// AAA: AX adjusted after adding unpacked BCD, and all six status flags.
#[inline]
#[must_use]
pub fn aaa(ax: u16, before: Eflags) -> (u16, Eflags) {
    unpacked(ax, before, add::<u16>)
}

/// AAS: AX adjusted after subtracting unpacked BCD, and all six status flags.
#[inline]
#[must_use]
pub fn aas(ax: u16, before: Eflags) -> (u16, Eflags) {
    unpacked(ax, before, sub::<u16>)
}

/// AAM: AX with AL's quotient and remainder by `base`, and all six status flags; `None` (#DE) for base 0.
#[inline]
#[must_use]
pub fn aam(al: u8, base: u8) -> Option<(u16, Eflags)> {
    let quotient = al.checked_div(base)?;
    let remainder = al % base;
    Some((u16::from_le_bytes([remainder, quotient]), result_flags(remainder)))
}

/// AAD: AX with `AH * base + AL` in AL and zero in AH, and all six status flags.
#[inline]
#[must_use]
pub fn aad(ax: u16, base: u8) -> (u16, Eflags) {
    let [al, ah] = ax.to_le_bytes();
    let (sum, flags) = add::<u8>(al, ah.wrapping_mul(base));
    (sum.into(), flags)
}
