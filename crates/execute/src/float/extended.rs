//! Double extended arithmetic where nothing is out of the ordinary.
//!
//! The functions here are for an engine that keeps all that is rare elsewhere: operands are normal
//! numbers or zeros, so is the result, and rounding is to nearest; for anything else they answer
//! `None`, and [`add`](super::add) and its kin know. They come in two kinds: for operands that are
//! [`usual`] and extended precision, which is nearly everything, and for the rest.
//!
//! All is integer arithmetic on significands. On Zen 4 the host's own x87 unit is no faster: an
//! addition with its loads and its store takes 4 ns, and 8 with the status word, which says which
//! way the result was rounded.

mod conversion;

pub use conversion::{
    compare, from_double, from_double_usual, from_integer, from_single, from_single_usual, round_to_integral,
    to_double, to_double_usual, to_integer, to_single, to_single_usual,
};
use pentimento_registers::F80;

use super::arithmetic::fraction_bits;

/// The integer bit.
const TOP: u64 = 1 << 63;
/// The exponent of infinities and NaNs.
const SPECIAL: u32 = 0x7fff;
/// What an exponent of zero is biased by.
const BIAS: u32 = 0x3fff;
/// Bits of a significand below double precision.
const BELOW_DOUBLE: u32 = 11;

/// A result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rounded<T> {
    /// The result itself.
    pub value: T,
    /// Not zero if it is inexact.
    pub rest: u64,
    /// Whether the magnitude was rounded up.
    pub up: bool,
}

impl<T> Rounded<T> {
    /// A result that needed no rounding.
    #[inline(always)]
    pub const fn exact(value: T) -> Self {
        Self { value, rest: 0, up: false }
    }
}

#[inline(always)]
const fn exponent(value: F80) -> u32 {
    value.exponent() as u32
}

#[inline(always)]
const fn is_zero(value: F80) -> bool {
    value.significand == 0 && value.exponent() == 0
}

/// Whether both are normal numbers.
#[inline(always)]
const fn are_normal(a: F80, b: F80) -> bool {
    (a.significand & b.significand) >> 63 != 0
        && exponent(a).wrapping_sub(1) < SPECIAL - 1
        && exponent(b).wrapping_sub(1) < SPECIAL - 1
}

/// Whether both are normal numbers of a magnitude from 2^-8191 to 2^8192: sums and roots of such
/// numbers neither overflow nor underflow, and exponents of products and quotients are off by no more
/// than `in_range` finds out. The carry into bit 14 tells it.
#[inline(always)]
pub const fn usual(a: F80, b: F80) -> bool {
    let (x, y) = (a.sign_exponent as u32 + 0x2000, b.sign_exponent as u32 + 0x2000);
    x & y & 0x4000 != 0 && (a.significand & b.significand) >> 63 != 0
}

/// Whether a packed exponent, which is meant to be between -1 and 8000h, is one of a normal number.
#[inline(always)]
const fn in_range(sign_exponent: u16) -> bool {
    sign_exponent.wrapping_add(1) & 0x7ffe != 0
}

/// Rounds `significand:extra`, whose top bit is set, to extended precision, unless that carries.
#[inline(always)]
fn round_extended(sign_exponent: u16, significand: u64, extra: u64) -> Option<Rounded<F80>> {
    let half = (TOP - 1) + (significand & 1);
    let up = extra.overflowing_add(half).1;
    let significand = significand.checked_add(up.into())?;
    Some(Rounded { value: F80::new(sign_exponent, significand), rest: extra, up })
}

/// Rounds `significand:extra`, whose top bit is set, to extended precision or to double precision,
/// and packs it with the sign of `sign`. The exponent is biased, and may be out of range.
#[inline(always)]
fn round(sign: u16, exponent: u32, significand: u64, extra: u64, extended: bool) -> Option<Rounded<F80>> {
    let (rounded, carry, rest, up) = if extended {
        let half = (TOP - 1) + (significand & 1);
        let up = extra.overflowing_add(half).1;
        let (rounded, carry) = significand.overflowing_add(up.into());
        (rounded, carry, extra, up)
    } else {
        const REST: u64 = (1 << BELOW_DOUBLE) - 1;
        let significand = significand | u64::from(extra != 0);
        let half = REST / 2 + (significand >> BELOW_DOUBLE & 1);
        let (rounded, carry) = significand.overflowing_add(half);
        let rest = significand & REST;
        (rounded & !REST, carry, rest, rest + half > REST)
    };
    let exponent = exponent.wrapping_add(carry.into());
    if exponent.wrapping_sub(1) >= SPECIAL - 1 {
        return None;
    }
    let significand = if carry { TOP } else { rounded };
    let value = F80::new(sign & 0x8000 | exponent as u16, significand);
    Some(Rounded { value, rest, up })
}

/// A normal number or zero as a result, where that does not have to be rounded.
#[inline(always)]
const fn unrounded(value: F80, extended: bool) -> Option<Rounded<F80>> {
    let precise = extended || value.significand << (64 - BELOW_DOUBLE) == 0;
    if precise && (are_normal(value, value) || is_zero(value)) { Some(Rounded::exact(value)) } else { None }
}

/// A significand shifted right by `count`, below 64, as 128 bits.
#[inline(always)]
const fn shift_right_less(significand: u64, count: u32) -> (u64, u64) {
    (significand >> (count & 63), significand << 1 << (!count & 63))
}

/// A significand shifted right by `count`, as 128 bits of which the lowest stands for all that fell out.
#[inline(always)]
const fn shift_right(significand: u64, count: u32) -> (u64, u64) {
    if count < 64 {
        return shift_right_less(significand, count);
    }
    let (upper, lower) = shift_right_less(significand, count - 64);
    if count < 128 { (0, upper | (lower != 0) as u64) } else { (0, 1) }
}

/// `a + high:low` normalised: 128 bits, and whether the exponent is one more.
#[inline(always)]
const fn sum(a: u64, (high, low): (u64, u64)) -> (u64, u64, bool) {
    let (sum, carry) = a.overflowing_add(high);
    if carry { (sum >> 1 | TOP, low >> 1 | sum << 63 | low & 1, true) } else { (sum, low, false) }
}

/// `a - high:low`, if its upper half is not zero, normalised: 128 bits, and by how much the
/// exponent is less.
#[inline(always)]
const fn difference(a: u64, (high, low): (u64, u64)) -> Option<(u64, u64, u32)> {
    let (extra, borrow) = 0_u64.overflowing_sub(low);
    let difference = a.wrapping_sub(high).wrapping_sub(borrow as u64);
    if difference == 0 {
        return None;
    }
    let shift = difference.leading_zeros() & 63;
    Some((difference << shift | extra >> 1 >> (!shift & 63), extra << shift, shift))
}

/// `a * b` normalised: 128 bits, and whether the exponent is one more than the sum of theirs.
#[inline(always)]
const fn product(a: u64, b: u64) -> (u64, u64, bool) {
    // The product of two numbers in [1, 2) lies in [1, 4).
    let product = a as u128 * b as u128;
    let (high, low) = ((product >> 64) as u64, product as u64);
    let carry = high >> 63 != 0;
    let (doubled_high, doubled_low) = (high << 1 | low >> 63, low << 1);
    if carry { (high, low, true) } else { (doubled_high, doubled_low, false) }
}

/// `a / b`: 64 bits, what tells how the rest compares with a half, and whether the exponent is one
/// less than the difference of theirs.
#[inline(always)]
const fn quotient(a: u64, b: u64) -> (u64, u64, bool) {
    // Halving a dividend that is not the smaller one keeps the quotient below 2^64.
    let borrow = a < b;
    let dividend = (a as u128) << (63 + borrow as u32);
    let quotient = (dividend / b as u128) as u64;
    let rest = (dividend as u64).wrapping_sub(quotient.wrapping_mul(b));
    (quotient, fraction_bits(rest, b), borrow)
}

/// The larger magnitude first.
#[inline(always)]
fn ordered(a: F80, b: F80) -> (F80, F80) {
    let key = |value: F80| u128::from(exponent(value)) << 64 | u128::from(value.significand);
    if key(a) < key(b) { (b, a) } else { (a, b) }
}

/// `a + b` rounded to extended precision, for usual operands.
#[inline(always)]
pub fn add_usual(a: F80, b: F80) -> Option<Rounded<F80>> {
    let (a, b) = ordered(a, b);
    let distance = exponent(a) - exponent(b);
    if distance >= 64 {
        return None;
    }
    let shifted = shift_right_less(b.significand, distance);
    if (a.sign_exponent ^ b.sign_exponent) & 0x8000 != 0 {
        let (significand, extra, shift) = difference(a.significand, shifted)?;
        return round_extended(a.sign_exponent.wrapping_sub(shift as u16), significand, extra);
    }
    let (significand, extra, carry) = sum(a.significand, shifted);
    round_extended(a.sign_exponent.wrapping_add(carry.into()), significand, extra)
}

/// `a + b`, rounded to extended or else to double precision.
#[inline(always)]
pub fn add(a: F80, b: F80, extended: bool) -> Option<Rounded<F80>> {
    let (a, b) = ordered(a, b);
    let opposite = (a.sign_exponent ^ b.sign_exponent) & 0x8000 != 0;
    if exponent(b) == 0 {
        if !is_zero(b) {
            return None;
        }
        // Zeros of both signs add up to a positive one.
        let value = if opposite && is_zero(a) { F80::ZERO } else { a };
        return unrounded(value, extended);
    }
    if exponent(a) == SPECIAL || (a.significand & b.significand) >> 63 == 0 {
        return None;
    }
    let shifted = shift_right(b.significand, exponent(a) - exponent(b));
    if !opposite {
        let (significand, extra, carry) = sum(a.significand, shifted);
        return round(a.sign_exponent, exponent(a) + u32::from(carry), significand, extra, extended);
    }
    if let Some((significand, extra, shift)) = difference(a.significand, shifted) {
        return round(a.sign_exponent, exponent(a).wrapping_sub(shift), significand, extra, extended);
    }
    // All of the upper half went. The lower one has a single bit left, or none.
    if shifted.1 == 0 {
        return Some(Rounded::exact(F80::ZERO));
    }
    let shift = shifted.1.wrapping_neg().leading_zeros() + 64;
    round(a.sign_exponent, exponent(a).wrapping_sub(shift), TOP, 0, extended)
}

/// `a * b` rounded to extended precision, for usual operands.
#[inline(always)]
pub fn mul_usual(a: F80, b: F80) -> Option<Rounded<F80>> {
    let (significand, extra, carry) = product(a.significand, b.significand);
    // The signs' bits add up to the sign's.
    let sum = a.sign_exponent.wrapping_add(b.sign_exponent).wrapping_sub(BIAS as u16);
    let sign_exponent = sum.wrapping_add(carry.into());
    if in_range(sign_exponent) { round_extended(sign_exponent, significand, extra) } else { None }
}

/// `a * b`, rounded to extended or else to double precision.
#[inline(always)]
pub fn mul(a: F80, b: F80, extended: bool) -> Option<Rounded<F80>> {
    let sign = a.sign_exponent ^ b.sign_exponent;
    if !are_normal(a, b) {
        return zero_over(sign, a, b).or_else(|| zero_over(sign, b, a));
    }
    let (significand, extra, carry) = product(a.significand, b.significand);
    let exponent = (exponent(a) + exponent(b) + u32::from(carry)).wrapping_sub(BIAS);
    round(sign, exponent, significand, extra, extended)
}

/// Zero, if `a` is zero, `b` being a normal number or, as a factor, zero too.
#[inline(always)]
const fn zero_over(sign: u16, a: F80, b: F80) -> Option<Rounded<F80>> {
    if is_zero(a) && (is_zero(b) || are_normal(b, b)) {
        Some(Rounded::exact(F80::new(sign & 0x8000, 0)))
    } else {
        None
    }
}

/// `a / b` rounded to extended precision, for usual operands.
#[inline(always)]
pub fn div_usual(a: F80, b: F80) -> Option<Rounded<F80>> {
    let (significand, extra, borrow) = quotient(a.significand, b.significand);
    let difference = a.sign_exponent.wrapping_sub(b.sign_exponent).wrapping_add(BIAS as u16);
    let sign_exponent = difference.wrapping_sub(borrow.into());
    if in_range(sign_exponent) { round_extended(sign_exponent, significand, extra) } else { None }
}

/// `a / b`, rounded to extended or else to double precision.
#[inline(always)]
pub fn div(a: F80, b: F80, extended: bool) -> Option<Rounded<F80>> {
    let sign = a.sign_exponent ^ b.sign_exponent;
    if !are_normal(a, b) {
        return if is_zero(b) { None } else { zero_over(sign, a, b) };
    }
    let (significand, extra, borrow) = quotient(a.significand, b.significand);
    let exponent = (exponent(a) + BIAS).wrapping_sub(exponent(b) + u32::from(borrow));
    round(sign, exponent, significand, extra, extended)
}

/// The square root of `a`, rounded to extended or else to double precision.
#[inline(always)]
pub fn sqrt(a: F80, extended: bool) -> Option<Rounded<F80>> {
    if is_zero(a) {
        return Some(Rounded::exact(a));
    }
    if !are_normal(a, a) || a.is_negative() {
        return None;
    }
    // 2^exponent must be a square: an odd exponent lends a factor of two to the radicand.
    let odd = 1 - (a.sign_exponent & 1);
    let radicand = u128::from(a.significand) << (63 + odd);
    let (root, rest) = root(radicand);
    // (root + 1/2)^2 = root^2 + root + 1/4, so exactly one half never happens.
    let extra = match rest {
        0 => 0,
        _ if rest > u128::from(root) => TOP | 1,
        _ => 1,
    };
    round(0, (exponent(a) + BIAS) / 2, root, extra, extended)
}

/// The integer square root of a number of 127 or 128 bits, and what remains.
#[cfg(not(feature = "std"))]
#[inline(always)]
fn root(radicand: u128) -> (u64, u128) {
    let root = radicand.isqrt();
    (root as u64, radicand - root * root)
}

/// The integer square root of a number of 127 or 128 bits, and what remains: the host's root has
/// all but about twelve bits of it, one step of Newton's method the rest but for the last one.
#[cfg(feature = "std")]
#[inline(always)]
fn root(radicand: u128) -> (u64, u128) {
    const TWO_TO_32: f64 = 4_294_967_296.0;
    // Conversions are of signed integers, which more hosts have an instruction for.
    let near = ((radicand >> 66) as i64 as f64).sqrt();
    let root = ((near * TWO_TO_32) as i64 as u64) << 1;
    let rest = radicand.wrapping_sub(u128::from(root) * u128::from(root)) as i128;
    // rest / (2 * root), where 2 * root is near * 2^34 and rest takes up no more than 80 bits.
    let step = (rest >> 20) as i64 as f64 / (near * 16384.0);
    let mut root = root.wrapping_add(step as i64 as u64);
    let mut rest = radicand.wrapping_sub(u128::from(root) * u128::from(root)) as i128;
    if rest < 0 {
        root -= 1;
        rest += i128::from(root) * 2 + 1;
    }
    if rest > i128::from(root) * 2 {
        rest -= i128::from(root) * 2 + 1;
        root += 1;
    }
    (root, rest as u128)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::rules::Rounding;
    use super::super::{self as float, Flags, Format, Precision, Relation, Rules};
    use super::*;

    /// Data of all classes, many of them near each other or near an end of the range, and with
    /// runs of zeros and ones.
    fn datum() -> impl Strategy<Value = F80> {
        let exponent = prop_oneof![
            4 => 0x3ff0..0x400f_u16,
            2 => 0x3fff - 70..0x3fff + 70_u16,
            1 => prop::sample::select(std::vec![0_u16, 1, 2, 63, 0x1fff, 0x2000, 0x3bff, 0x3c00, 0x3c01, 0x43fe, 0x43ff, 0x5fff, 0x7ffd, 0x7ffe, 0x7fff]),
            1 => 0..0x8000_u16,
        ];
        let significand = prop_oneof![
            2 => any::<u64>(),
            2 => (any::<u64>(), 0..64_u32).prop_map(|(bits, zeros)| bits >> zeros << zeros),
            2 => (any::<u64>(), 0..64_u32).prop_map(|(bits, ones)| bits | ((1 << ones) - 1)),
            1 => (0..64_u32).prop_map(|zeros| u64::MAX << zeros),
            1 => (0..64_u32).prop_map(|bit| 1 << bit),
        ];
        (any::<bool>(), exponent, significand, 0..16_u8).prop_map(
            |(negative, exponent, significand, kind)| {
                let sign = u16::from(negative) << 15;
                match kind {
                    0 => F80::new(sign, 0),
                    1 => F80::new(sign | exponent, significand),
                    _ => F80::new(sign | exponent, significand | TOP),
                }
            },
        )
    }

    /// A pair with a close relation, or none.
    fn pair() -> impl Strategy<Value = (F80, F80)> {
        let near = (datum(), -3..4_i64, any::<bool>()).prop_map(|(a, step, flip)| {
            let significand = a.significand.wrapping_add(step as u64) | a.significand & TOP;
            (a, F80::new(a.sign_exponent ^ u16::from(flip) << 15, significand))
        });
        prop_oneof![3 => (datum(), datum()), 1 => near]
    }

    /// The flags, if they are such that `None` would be the wrong answer.
    fn ordinary(value: F80, flags: Flags, operands: &[F80]) -> Option<Flags> {
        let known = |value: F80| are_normal(value, value) || is_zero(value);
        let usual = Flags::INEXACT | Flags::ROUNDED_UP;
        (usual.contains(flags) && known(value) && operands.iter().all(|&operand| known(operand)))
            .then_some(flags)
    }

    /// The flags of a result.
    fn flags<T>(rounded: &Rounded<T>) -> Flags {
        let mut flags = Flags::empty();
        flags.set(Flags::INEXACT, rounded.rest != 0);
        flags.set(Flags::ROUNDED_UP, rounded.up);
        flags
    }

    /// What is answered is right, and everything ordinary is answered unless `partial`.
    fn check(name: &str, ours: Option<Rounded<F80>>, general: (F80, Flags), operands: &[F80], partial: bool) {
        match (ours, ordinary(general.0, general.1, operands)) {
            (Some(ours), Some(_)) => assert_eq!((ours.value, flags(&ours)), general, "{name} {operands:x?}"),
            (None, None) => {}
            (None, Some(_)) => assert!(partial, "{name} {operands:x?}: no answer"),
            (Some(ours), None) => panic!("{name} {operands:x?}: {ours:x?}, not {general:x?}"),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn arithmetic_agrees_with_the_general_functions((a, b) in pair()) {
            for precision in [Precision::Extended, Precision::Double] {
                let rules = Rules { precision, ..Rules::default() };
                let extended = precision == Precision::Extended;
                let (x, y) = (a.unpack(), b.unpack());
                // A sum with a zero may have to be rounded, which is left to others.
                let partial = !extended && (is_zero(a) || is_zero(b));
                check("add", add(a, b, extended), float::add(x, y, &rules), &[a, b], partial);
                check("mul", mul(a, b, extended), float::mul(x, y, &rules), &[a, b], false);
                check("div", div(a, b, extended), float::div(x, y, &rules), &[a, b], false);
                check("sqrt", sqrt(a, extended), float::sqrt(x, &rules), &[a], false);
                if extended && usual(a, b) {
                    check("add", add_usual(a, b), float::add(x, y, &rules), &[a, b], true);
                    check("mul", mul_usual(a, b), float::mul(x, y, &rules), &[a, b], true);
                    check("div", div_usual(a, b), float::div(x, y, &rules), &[a, b], true);
                }
                let square = F80::new(b.sign_exponent & 0x7fff, b.significand);
                if let Some(square) = mul(square, square, true) {
                    let square = square.value;
                    check("sqrt", sqrt(square, extended), float::sqrt(square.unpack(), &rules), &[square], false);
                }
            }
        }

        #[test]
        fn rounding_to_integers_agrees_with_the_general_functions(a in datum(), mode in 0..4_u8) {
            let rounding = Rounding::from_bits(mode);
            let rules = Rules { rounding, ..Rules::default() };
            let general = float::round_to_integral(a.unpack(), &rules);
            check("rndint", round_to_integral(a, rounding), general, &[a], false);
            fn integer<I: TryFrom<i64> + float::Integer + PartialEq + core::fmt::Debug>(a: F80, rounding: Rounding) {
                let general = float::to_integer::<I>(a.unpack(), rounding);
                match to_integer::<I>(a, rounding) {
                    Some(ours) => assert_eq!((ours.value, flags(&ours)), general, "{a:x?}"),
                    // The most negative number has no magnitude among the positive ones.
                    None => assert!(general.0 == I::INDEFINITE || !are_normal(a, a), "{a:x?}"),
                }
            }
            integer::<i16>(a, rounding);
            integer::<i32>(a, rounding);
            integer::<i64>(a, rounding);
        }

        #[test]
        fn comparison_agrees_with_the_general_function((a, b) in pair()) {
            if let Some(ordering) = compare(a, b) {
                prop_assert_eq!((Relation::from(ordering), Flags::empty()), float::compare(a.unpack(), b.unpack(), true));
            } else {
                prop_assert!(ordinary(F80::ZERO, Flags::empty(), &[a, b]).is_none());
            }
        }

        #[test]
        fn conversions_agree_with_the_general_functions(a in datum(), single in any::<u32>(), double in any::<u64>(), integer in any::<i64>(), shift in 0..64_u32) {
            let rules = Rules { rounding: Rounding::Nearest, ..Rules::default() };
            prop_assert_eq!(from_integer(integer >> shift), float::from_integer::<F80>(integer >> shift, &rules).0);
            let widened = |value: float::Unpacked| float::convert::<F80>(value, &rules);
            for (ours, (value, flags)) in [(from_single(single), widened(single.unpack())), (from_double(double), widened(double.unpack()))] {
                prop_assert_eq!(ours, ordinary(value, flags, &[]).map(|_| value));
            }
            prop_assert!(from_single_usual(single).is_none_or(|usual| Some(usual) == from_single(single)));
            prop_assert!(from_double_usual(double).is_none_or(|usual| Some(usual) == from_double(double)));
            let middling = double & !(0x7ff << 52) | (0x200 + (double >> 32 & 0x3ff)) << 52;
            prop_assert!(from_double_usual(middling).is_some_and(|value| usual(value, value)));
            for a in [a, widened(single.unpack()).0, widened(double.unpack()).0] {
                let (doubles, singles) = (float::convert::<u64>(a.unpack(), &rules), float::convert::<u32>(a.unpack(), &rules));
                prop_assert!(to_double_usual(a).is_none_or(|usual| Some(usual) == to_double(a)));
                prop_assert!(to_single_usual(a).is_none_or(|usual| Some(usual) == to_single(a)));
                match to_double(a) {
                    Some(ours) => prop_assert_eq!((ours.value, flags(&ours)), doubles),
                    None => prop_assert!(ordinary(F80::ZERO, doubles.1, &[a]).is_none() || doubles.0 << 1 >> 53 <= 1),
                }
                match to_single(a) {
                    Some(ours) => prop_assert_eq!((ours.value, flags(&ours)), singles),
                    None => prop_assert!(ordinary(F80::ZERO, singles.1, &[a]).is_none() || singles.0 << 1 >> 24 <= 1),
                }
            }
        }
    }
}
