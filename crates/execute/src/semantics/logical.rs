//! AND, OR, XOR and TEST; NOT changes no flag and needs no function.

use pentimento_registers::Eflags;

use super::result_flags;
use crate::Width;

/// `a & b`, which is also TEST: the result, and all six status flags (CF, OF and AF are clear).
#[inline(always)]
#[must_use]
pub fn and<W: Width>(a: W, b: W) -> (W, Eflags) {
    with_flags(W::truncate(a.bits() & b.bits()))
}

/// `a | b`: the result, and all six status flags (CF, OF and AF are clear).
#[inline(always)]
#[must_use]
pub fn or<W: Width>(a: W, b: W) -> (W, Eflags) {
    with_flags(W::truncate(a.bits() | b.bits()))
}

/// `a ^ b`: the result, and all six status flags (CF, OF and AF are clear).
#[inline(always)]
#[must_use]
pub fn xor<W: Width>(a: W, b: W) -> (W, Eflags) {
    with_flags(W::truncate(a.bits() ^ b.bits()))
}

#[inline(always)]
fn with_flags<W: Width>(result: W) -> (W, Eflags) {
    (result, result_flags(result))
}
