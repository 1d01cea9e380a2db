//! Conversions among the formats, to and from integers, and rounding to an integral value.

use super::arithmetic::denormal_flag;
use super::format::{Class, Format, Unpacked};
use super::nan::propagate;
use super::round::{round_pack, shift_right_sticky};
use super::rules::{Flags, Rounding, Rules};

/// Converts to format `F`: rounds, and quiets a signalling NaN with [`Flags::INVALID`]. A denormal
/// operand raises [`Flags::DENORMAL`]; instructions that do not report it (FST) drop that flag.
#[inline]
#[must_use]
pub fn convert<F: Format>(value: Unpacked, rules: &Rules) -> (F, Flags) {
    let flags = denormal_flag(value, value);
    match value.class {
        Class::Finite if !(flags & rules.unmasked).is_empty() => (F::zero(false), flags),
        Class::Finite => {
            let (result, more) = round_pack(value.negative, value.exponent, value.significand, 0, rules);
            (result, flags | more)
        }
        Class::Zero => (F::zero(value.negative), flags),
        Class::Infinity => (F::infinity(value.negative), flags),
        _ => propagate(value, value, rules),
    }
}

/// Converts a signed integer to format `F`.
#[inline]
#[must_use]
pub fn from_integer<F: Format>(value: i64, rules: &Rules) -> (F, Flags) {
    if value == 0 {
        return (F::zero(false), Flags::empty());
    }
    let magnitude = value.unsigned_abs();
    let shift = magnitude.leading_zeros();
    round_pack(value < 0, 63 - shift as i32, magnitude << shift, 0, rules)
}

/// A signed integer that floating-point numbers are converted to.
pub trait Integer: Copy {
    /// The integer indefinite, the most negative value: the answer where the operand is no number
    /// in range.
    const INDEFINITE: Self;
    /// The value, if it is in range.
    fn in_range(value: i128) -> Option<Self>;
}

macro_rules! integers {
    ($($type:ty)*) => {$(
        impl Integer for $type {
            const INDEFINITE: Self = <$type>::MIN;
            #[inline(always)]
            fn in_range(value: i128) -> Option<Self> {
                <$type>::try_from(value).ok()
            }
        }
    )*};
}

integers!(i16 i32 i64);

/// Rounds to an integer. What is no number or out of range gives the integer indefinite with
/// [`Flags::INVALID`] alone. Truncating conversions pass
/// [`with_rounding`](Rules::with_rounding)`(Rounding::Zero)`. Denormal operands are not reported.
#[inline]
#[must_use]
pub fn to_integer<I: Integer>(value: Unpacked, rounding: Rounding) -> (I, Flags) {
    match value.class {
        Class::Zero => return (I::in_range(0).unwrap_or(I::INDEFINITE), Flags::empty()),
        Class::Finite if value.exponent <= 63 => {}
        _ => return (I::INDEFINITE, Flags::INVALID),
    }
    let (magnitude, flags) = integral_magnitude(value, rounding);
    let magnitude = magnitude as i128;
    match I::in_range(if value.negative { -magnitude } else { magnitude }) {
        Some(integer) => (integer, flags),
        None => (I::INDEFINITE, Flags::INVALID),
    }
}

/// Rounds a finite number with an exponent of 63 at most to an integer, up to 2^64.
#[inline(always)]
fn integral_magnitude(value: Unpacked, rounding: Rounding) -> (u128, Flags) {
    let fixed = shift_right_sticky(u128::from(value.significand) << 64, (63 - value.exponent) as u32);
    let (integer, rest) = (fixed >> 64, fixed as u64);
    if rest == 0 {
        (integer, Flags::empty())
    } else if rounding.increments(value.negative, integer & 1 != 0, rest) {
        (integer + 1, Flags::INEXACT | Flags::ROUNDED_UP)
    } else {
        (integer, Flags::INEXACT)
    }
}

/// Rounds to an integral value in the same format (FRNDINT, ROUNDSD); zeros keep their sign.
#[inline]
#[must_use]
pub fn round_to_integral<F: Format>(value: Unpacked, rules: &Rules) -> (F, Flags) {
    match value.class {
        Class::Finite => {}
        Class::Zero => return (F::zero(value.negative), Flags::empty()),
        Class::Infinity => return (F::infinity(value.negative), Flags::empty()),
        _ => return propagate(value, value, rules),
    }
    let denormal = denormal_flag(value, value);
    if denormal.intersects(rules.unmasked) {
        return (F::zero(false), denormal);
    }
    if value.exponent >= 63 {
        return (F::pack(value.negative, value.exponent, value.significand), denormal);
    }
    let (magnitude, flags) = integral_magnitude(value, rules.rounding);
    // An exponent of at most 62 leaves a magnitude of at most 2^63.
    let rounded = Unpacked::finite(value.negative, 63, magnitude as u64);
    let result = match rounded.class {
        Class::Zero => F::zero(value.negative),
        _ => F::pack(value.negative, rounded.exponent, rounded.significand),
    };
    (result, flags | denormal)
}
