//! Shifts and rotates. Counts are masked to five bits first; a masked count of zero changes
//! neither the value nor any flag, which is why these functions take the flags from before.
//!
//! OF is defined for a count of one only; silicon computes it from the result for every count:
//! leftwards it is the result's sign bit against CF, rightwards its two highest bits against each other.

use pentimento_registers::Eflags;

use super::{CF_OF, flag, result_flags};
use crate::Width;

/// The bits of a count that matter.
const COUNT: u32 = 31;

/// CF and OF of a shift or rotate to the left.
#[inline(always)]
fn left_flags<W: Width>(result: u32, carry: bool) -> Eflags {
    flag(Eflags::CF, carry).union(flag(Eflags::OF, (result & W::SIGN != 0) != carry))
}

/// CF and OF of a shift or rotate to the right.
#[inline(always)]
fn right_flags<W: Width>(result: u32, carry: bool) -> Eflags {
    flag(Eflags::CF, carry).union(flag(Eflags::OF, (result ^ result << 1) & W::SIGN != 0))
}

/// The flags of a shift: AF (SDM: undefined) is set.
#[inline(always)]
fn shift<W: Width>(result: u32, carry_overflow: Eflags) -> (W, Eflags) {
    let result = W::truncate(result);
    (result, result_flags(result).union(carry_overflow).union(Eflags::AF))
}

/// The flags of a rotate: only CF and OF change.
#[inline(always)]
fn rotate<W: Width>(result: u32, carry_overflow: Eflags, before: Eflags) -> (W, Eflags) {
    (W::truncate(result), before.intersection(Eflags::STATUS.difference(CF_OF)).union(carry_overflow))
}

/// SHL: the shifted value, and all six status flags.
#[inline]
#[must_use]
pub fn shl<W: Width>(value: W, count: u8, before: Eflags) -> (W, Eflags) {
    let count = u32::from(count) & COUNT;
    if count == 0 {
        return (value, before.intersection(Eflags::STATUS));
    }
    let wide = u64::from(value.bits()) << count;
    let result = wide as u32 & W::MASK;
    shift(result, left_flags::<W>(result, wide >> W::BITS & 1 != 0))
}

/// SHR: the shifted value, and all six status flags.
#[inline]
#[must_use]
pub fn shr<W: Width>(value: W, count: u8, before: Eflags) -> (W, Eflags) {
    let count = u32::from(count) & COUNT;
    if count == 0 {
        return (value, before.intersection(Eflags::STATUS));
    }
    let result = value.bits() >> count;
    shift(result, right_flags::<W>(result, value.bits() >> (count - 1) & 1 != 0))
}

/// SAR: the shifted value, and all six status flags.
#[inline]
#[must_use]
pub fn sar<W: Width>(value: W, count: u8, before: Eflags) -> (W, Eflags) {
    let count = u32::from(count) & COUNT;
    if count == 0 {
        return (value, before.intersection(Eflags::STATUS));
    }
    let result = (value.signed() >> count) as u32;
    shift(result, right_flags::<W>(result, value.signed() >> (count - 1) & 1 != 0))
}

/// ROL: the rotated value, and all six status flags.
#[inline]
#[must_use]
pub fn rol<W: Width>(value: W, count: u8, before: Eflags) -> (W, Eflags) {
    if u32::from(count) & COUNT == 0 {
        return (value, before.intersection(Eflags::STATUS));
    }
    let result = rotate_left::<W>(value.bits(), u32::from(count));
    rotate(result, left_flags::<W>(result, result & 1 != 0), before)
}

/// ROR: the rotated value, and all six status flags.
#[inline]
#[must_use]
pub fn ror<W: Width>(value: W, count: u8, before: Eflags) -> (W, Eflags) {
    if u32::from(count) & COUNT == 0 {
        return (value, before.intersection(Eflags::STATUS));
    }
    let result = rotate_left::<W>(value.bits(), W::BITS.wrapping_sub(u32::from(count)));
    rotate(result, right_flags::<W>(result, result & W::SIGN != 0), before)
}

/// Rotates `W::BITS` bits left by `count` modulo the width.
#[inline(always)]
fn rotate_left<W: Width>(bits: u32, count: u32) -> u32 {
    let count = count & (W::BITS - 1);
    let doubled = u64::from(bits) << W::BITS | u64::from(bits);
    (doubled << count >> W::BITS) as u32 & W::MASK
}

/// RCL: the value rotated through CF, and all six status flags. The count is taken modulo the
/// width plus one; OF is computed even where that leaves nothing to rotate.
#[inline]
#[must_use]
pub fn rcl<W: Width>(value: W, count: u8, before: Eflags) -> (W, Eflags) {
    let masked = u32::from(count) & COUNT;
    if masked == 0 {
        return (value, before.intersection(Eflags::STATUS));
    }
    let (result, carry) = rotate_left_through_carry(value, masked % (W::BITS + 1), before);
    rotate(result, left_flags::<W>(result, carry), before)
}

/// RCR: the value rotated through CF, and all six status flags. The count is taken modulo the
/// width plus one; OF is computed even where that leaves nothing to rotate.
#[inline]
#[must_use]
pub fn rcr<W: Width>(value: W, count: u8, before: Eflags) -> (W, Eflags) {
    let masked = u32::from(count) & COUNT;
    if masked == 0 {
        return (value, before.intersection(Eflags::STATUS));
    }
    let leftwards = (W::BITS + 1 - masked % (W::BITS + 1)) % (W::BITS + 1);
    let (result, carry) = rotate_left_through_carry(value, leftwards, before);
    rotate(result, right_flags::<W>(result, carry), before)
}

/// Rotates CF and `value` together, `W::BITS + 1` bits, left by `count` of at most `W::BITS`.
#[inline(always)]
fn rotate_left_through_carry<W: Width>(value: W, count: u32, before: Eflags) -> (u32, bool) {
    let carry = u128::from(before.contains(Eflags::CF));
    let bits = carry << W::BITS | u128::from(value.bits());
    let doubled = bits << (W::BITS + 1) | bits;
    let rotated = (doubled << count) >> (W::BITS + 1);
    (rotated as u32 & W::MASK, rotated >> W::BITS & 1 != 0)
}

/// SHLD of a 16- or 32-bit value: bits of `source` come in from the right. A 16-bit shift by more
/// than 16 (SDM: undefined) goes on with `source` once more, and leaves CF and OF clear.
#[inline]
#[must_use]
pub fn shld<W: Width>(value: W, source: W, count: u8, before: Eflags) -> (W, Eflags) {
    let count = u32::from(count) & COUNT;
    if count == 0 {
        return (value, before.intersection(Eflags::STATUS));
    }
    let source = u128::from(source.bits());
    let wide = u128::from(value.bits()) << (2 * W::BITS) | source << W::BITS | source;
    let result = (wide << count >> (2 * W::BITS)) as u32 & W::MASK;
    // CF and OF go by the bits that leave the value itself, of which none are left past its width.
    let shifted = u64::from(value.bits()) << count;
    let carry = shifted >> W::BITS & 1 != 0;
    shift(result, left_flags::<W>(shifted as u32, carry))
}

/// SHRD of a 16- or 32-bit value: bits of `source` come in from the left. A 16-bit shift by more
/// than 16 (SDM: undefined) goes on with `source` once more, and leaves CF clear.
#[inline]
#[must_use]
pub fn shrd<W: Width>(value: W, source: W, count: u8, before: Eflags) -> (W, Eflags) {
    let count = u32::from(count) & COUNT;
    if count == 0 {
        return (value, before.intersection(Eflags::STATUS));
    }
    let source = u128::from(source.bits());
    let wide = source << (2 * W::BITS) | source << W::BITS | u128::from(value.bits());
    let result = (wide >> count) as u32 & W::MASK;
    let carry = value.bits() >> (count - 1) & 1 != 0;
    shift(result, right_flags::<W>(result, carry))
}
