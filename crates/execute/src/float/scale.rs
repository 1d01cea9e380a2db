//! Scaling by powers of two (FSCALE) and taking a number apart (FXTRACT).

use super::arithmetic::denormal_flag;
use super::format::{Class, Format, Unpacked};
use super::nan::propagate;
use super::round::round_pack;
use super::rules::{Flags, Rounding, Rules};

/// Above this every format has overflowed or underflowed, wrapped exponents included.
const SCALE_LIMIT: i32 = 1 << 17;

/// `a * 2^trunc(b)` (SDM volume 2, FSCALE).
#[must_use]
pub fn scale<F: Format>(a: Unpacked, b: Unpacked, rules: &Rules) -> (F, Flags) {
    let denormal = denormal_flag(a, b);
    if a.class > Class::Infinity || b.class > Class::Infinity {
        return propagate(a, b, rules);
    }
    match (a.class, b.class) {
        (Class::Zero, Class::Infinity) if !b.negative => return (F::INDEFINITE, Flags::INVALID),
        (Class::Infinity, Class::Infinity) if b.negative => return (F::INDEFINITE, Flags::INVALID),
        _ if denormal.intersects(rules.unmasked) => return (F::zero(false), denormal),
        (Class::Zero, _) => return (F::zero(a.negative), denormal),
        (Class::Infinity, _) => return (F::infinity(a.negative), denormal),
        (_, Class::Infinity) if b.negative => return (F::zero(a.negative), denormal),
        (_, Class::Infinity) => return (F::infinity(a.negative), denormal),
        _ => {}
    }
    let amount = match b.class {
        Class::Zero => 0,
        _ if b.exponent < 0 => 0,
        _ if b.exponent > 16 => SCALE_LIMIT,
        _ => (b.significand >> (63 - b.exponent)) as i32,
    };
    let exponent = a.exponent + if b.negative { -amount } else { amount };
    let (value, flags) = round_pack(a.negative, exponent, a.significand, 0, rules);
    (value, flags | denormal)
}

/// Exponent and significand of `a`, each as a number: `a = significand * 2^exponent` with the
/// significand in [1, 2) (SDM volume 2, FXTRACT). Zero raises [`Flags::ZERO_DIVIDE`].
#[must_use]
pub fn extract<F: Format>(a: Unpacked, rules: &Rules) -> (F, F, Flags) {
    let flags = denormal_flag(a, a);
    match a.class {
        Class::Zero => (F::infinity(true), F::zero(a.negative), Flags::ZERO_DIVIDE),
        Class::Infinity => (F::infinity(false), F::infinity(a.negative), flags),
        Class::Finite => {
            let exact = Rules { rounding: Rounding::Nearest, ..Rules::default() };
            let (exponent, _) = super::from_integer(i64::from(a.exponent), &exact);
            (exponent, F::pack(a.negative, 0, a.significand), flags)
        }
        _ => {
            let (nan, flags) = propagate(a, a, rules);
            (nan, nan, flags)
        }
    }
}
