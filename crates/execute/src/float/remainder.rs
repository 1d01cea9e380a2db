//! Partial remainders: FPREM, which truncates the quotient, and FPREM1, which rounds it.

use super::arithmetic::denormal_flag;
use super::format::{Class, Format, Unpacked};
use super::nan::propagate;
use super::round::round_pack;
use super::rules::{Flags, Rules};

/// How the quotient is made integral.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Quotient {
    /// Truncated (FPREM).
    Truncated,
    /// Rounded to nearest, ties to even: the remainder of IEEE 754 (FPREM1).
    Nearest,
}

/// How far the quotient of a remainder is known.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Progress {
    /// The value is the remainder; these are the low three bits of the quotient's magnitude.
    Complete(u8),
    /// The value is a partial remainder, its exponent reduced by at most 63: the operation is to be repeated.
    Partial,
    /// The value is a NaN.
    NoQuotient,
}

/// What a step of the remainder found.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Remainder<F> {
    /// The remainder, or the partial one.
    pub value: F,
    /// How far the quotient is known.
    pub progress: Progress,
    /// The exceptions raised; a remainder is exact, but can be tiny.
    pub flags: Flags,
}

/// The remainder of `a / b`, exact whatever the rounding and precision control say.
#[must_use]
pub fn remainder<F: Format>(a: Unpacked, b: Unpacked, quotient: Quotient, rules: &Rules) -> Remainder<F> {
    let rules = &rules.with_extended_precision();
    let complete = |value, flags| Remainder { value, progress: Progress::Complete(0), flags };
    let no_quotient = |value, flags| Remainder { value, progress: Progress::NoQuotient, flags };
    match (a.class, b.class) {
        (Class::Zero | Class::Finite | Class::Infinity, Class::Zero)
        | (Class::Infinity, Class::Finite | Class::Infinity) => {
            return no_quotient(F::INDEFINITE, Flags::INVALID);
        }
        (Class::Zero | Class::Finite, Class::Finite | Class::Infinity) => {}
        _ => {
            let (value, flags) = propagate(a, b, rules);
            return no_quotient(value, flags);
        }
    }
    let denormal = denormal_flag(a, b);
    if denormal.intersects(rules.unmasked) {
        return no_quotient(F::zero(false), denormal);
    }
    if a.class == Class::Zero {
        return complete(F::zero(a.negative), denormal);
    }
    let mut result = if b.class == Class::Infinity {
        let (value, flags) = round_pack(a.negative, a.exponent, a.significand, 0, rules);
        complete(value, flags)
    } else {
        finite_remainder(a, b, quotient, rules)
    };
    result.flags |= denormal;
    result
}

fn finite_remainder<F: Format>(a: Unpacked, b: Unpacked, quotient: Quotient, rules: &Rules) -> Remainder<F> {
    let difference = a.exponent - b.exponent;
    if difference >= 64 {
        // The number of bits in one step is up to the implementation, 32 to 63.
        let bits = difference & 31 | 32;
        let (_, rest) = divide(a.significand, b.significand, bits as u32);
        let (value, flags) = pack_rest(a.negative, b.exponent + difference - bits, rest, rules);
        return Remainder { value, progress: Progress::Partial, flags };
    }
    // Below one half of the divisor the quotient is zero in both modes, and the operand the answer.
    if difference < -1 || (difference == -1 && quotient == Quotient::Truncated) {
        let (value, flags) = round_pack(a.negative, a.exponent, a.significand, 0, rules);
        return Remainder { value, progress: Progress::Complete(0), flags };
    }
    // One more bit than the significands have, so that half a divisor is an integer too.
    let divisor = u128::from(b.significand) << 1;
    let (mut integral, mut rest) = match difference {
        -1 => (0, u128::from(a.significand)),
        _ => {
            let (integral, rest) = divide(a.significand, b.significand, difference as u32);
            (integral, u128::from(rest) << 1)
        }
    };
    let mut negative = a.negative;
    if quotient == Quotient::Nearest {
        let complement = divisor - rest;
        if rest > complement || (rest == complement && integral & 1 != 0) {
            (integral, rest, negative) = (integral.wrapping_add(1), complement, !negative);
        }
    }
    let (value, flags) = pack_wide_rest(negative, a.negative, b.exponent, rest, rules);
    Remainder { value, progress: Progress::Complete(integral as u8 & 7), flags }
}

/// The quotient `a * 2^shift / b` of significands (the low 64 bits of it), and its remainder.
fn divide(a: u64, b: u64, shift: u32) -> (u64, u64) {
    let wide = u128::from(a) << shift;
    ((wide / u128::from(b)) as u64, (wide % u128::from(b)) as u64)
}

/// Packs `rest * 2^(exponent - 63)`.
fn pack_rest<F: Format>(negative: bool, exponent: i32, rest: u64, rules: &Rules) -> (F, Flags) {
    pack_wide_rest(negative, negative, exponent, u128::from(rest) << 1, rules)
}

/// Packs `rest * 2^(exponent - 64)`; a zero takes the dividend's sign.
fn pack_wide_rest<F: Format>(
    negative: bool,
    zero_negative: bool,
    exponent: i32,
    rest: u128,
    rules: &Rules,
) -> (F, Flags) {
    if rest == 0 {
        return (F::zero(zero_negative), Flags::empty());
    }
    let shift = rest.leading_zeros();
    let wide = rest << shift;
    // With the top bit of 128 in front, `rest * 2^(exponent - 64)` has the exponent below.
    let exponent = exponent + 63 - shift as i32;
    round_pack(negative, exponent, (wide >> 64) as u64, wide as u64, rules)
}
