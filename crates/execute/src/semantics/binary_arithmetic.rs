//! Addition, subtraction, multiplication and division.

use pentimento_registers::Eflags;

use super::{CF_OF, flag, result_flags};
use crate::Width;

/// `a + b + carry`: the sum, and all six status flags.
#[inline(always)]
#[must_use]
pub fn adc<W: Width>(a: W, b: W, carry: bool) -> (W, Eflags) {
    let (a, b) = (a.bits(), b.bits());
    let wide = u64::from(a) + u64::from(b) + u64::from(carry);
    let sum = W::truncate(wide as u32);
    let bits = sum.bits();
    let flags = result_flags(sum)
        .union(flag(Eflags::CF, wide > u64::from(W::MASK)))
        .union(flag(Eflags::AF, (a ^ b ^ bits) & 0x10 != 0))
        .union(flag(Eflags::OF, (a ^ bits) & (b ^ bits) & W::SIGN != 0));
    (sum, flags)
}

/// `a + b`: the sum, and all six status flags.
#[inline(always)]
#[must_use]
pub fn add<W: Width>(a: W, b: W) -> (W, Eflags) {
    adc(a, b, false)
}

/// `a - b - borrow`: the difference, and all six status flags.
#[inline(always)]
#[must_use]
pub fn sbb<W: Width>(a: W, b: W, borrow: bool) -> (W, Eflags) {
    let (a, b) = (a.bits(), b.bits());
    let difference = W::truncate(a.wrapping_sub(b).wrapping_sub(borrow.into()));
    let bits = difference.bits();
    let flags = result_flags(difference)
        .union(flag(Eflags::CF, u64::from(a) < u64::from(b) + u64::from(borrow)))
        .union(flag(Eflags::AF, (a ^ b ^ bits) & 0x10 != 0))
        .union(flag(Eflags::OF, (a ^ b) & (a ^ bits) & W::SIGN != 0));
    (difference, flags)
}

/// `a - b`, which is also CMP: the difference, and all six status flags.
#[inline(always)]
#[must_use]
pub fn sub<W: Width>(a: W, b: W) -> (W, Eflags) {
    sbb(a, b, false)
}

/// `a + 1`: the sum, and all status flags but CF, which INC keeps.
#[inline(always)]
#[must_use]
pub fn inc<W: Width>(a: W) -> (W, Eflags) {
    let (sum, flags) = add(a, W::truncate(1));
    (sum, flags.difference(Eflags::CF))
}

/// `a - 1`: the difference, and all status flags but CF, which DEC keeps.
#[inline(always)]
#[must_use]
pub fn dec<W: Width>(a: W) -> (W, Eflags) {
    let (difference, flags) = sub(a, W::truncate(1));
    (difference, flags.difference(Eflags::CF))
}

/// `0 - a`: the negation, and all six status flags.
#[inline(always)]
#[must_use]
pub fn neg<W: Width>(a: W) -> (W, Eflags) {
    sub(W::truncate(0), a)
}

/// The unsigned product as `(low half, high half)`, and CF and OF: whether the high half counts.
/// The other status flags stay (SDM: undefined).
#[inline(always)]
#[must_use]
pub fn mul<W: Width>(a: W, b: W) -> (W, W, Eflags) {
    let product = u64::from(a.bits()) * u64::from(b.bits());
    let high = (product >> W::BITS) as u32;
    (W::truncate(product as u32), W::truncate(high), flag(CF_OF, high != 0))
}

/// The signed product as `(low half, high half)`, and CF and OF: whether the low half alone, taken
/// as signed, is not the product. The other status flags stay (SDM: undefined).
#[inline(always)]
#[must_use]
pub fn imul<W: Width>(a: W, b: W) -> (W, W, Eflags) {
    let product = i64::from(a.signed()) * i64::from(b.signed());
    let low = W::truncate(product as u32);
    let high = W::truncate((product >> W::BITS) as u32);
    (low, high, flag(CF_OF, i64::from(low.signed()) != product))
}

/// The unsigned quotient and remainder of the double-width `high:low`, or `None` (#DE) for a
/// divisor of zero or a quotient that does not fit.
#[inline]
#[must_use]
pub fn div<W: Width>(high: W, low: W, divisor: W) -> Option<(W, W)> {
    let dividend = u64::from(high.bits()) << W::BITS | u64::from(low.bits());
    let divisor = u64::from(divisor.bits());
    let quotient = dividend.checked_div(divisor)?;
    let remainder = dividend % divisor;
    (quotient <= u64::from(W::MASK)).then(|| (W::truncate(quotient as u32), W::truncate(remainder as u32)))
}

/// The signed quotient, rounded towards zero, and remainder of the double-width `high:low`, or
/// `None` (#DE) for a divisor of zero or a quotient that does not fit.
#[inline]
#[must_use]
pub fn idiv<W: Width>(high: W, low: W, divisor: W) -> Option<(W, W)> {
    let dividend = i64::from(high.signed()) << W::BITS | i64::from(low.bits());
    let divisor = i64::from(divisor.signed());
    let quotient = dividend.checked_div(divisor)?;
    let remainder = dividend.wrapping_rem(divisor);
    let truncated = W::truncate(quotient as u32);
    (i64::from(truncated.signed()) == quotient).then(|| (truncated, W::truncate(remainder as u32)))
}

/// The status flags after DIV and IDIV, which the SDM leaves undefined: CF and OF stay.
#[inline(always)]
#[must_use]
pub const fn division_flags(before: Eflags) -> Eflags {
    before.intersection(CF_OF).union(Eflags::AF)
}

/// ADCX and ADOX: the sum and the carry out.
#[inline(always)]
#[must_use]
pub fn add_with_carry(a: u32, b: u32, carry: bool) -> (u32, bool) {
    a.carrying_add(b, carry)
}
