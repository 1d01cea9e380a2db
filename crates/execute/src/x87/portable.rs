//! Transcendental functions for hosts without an x87 unit, each within one unit in the last place
//! of the true value; special operands as the tables of SDM volume 2 have them.
//!
//! The precision exception is reported for every result that is not one of those special ones,
//! and C1 says how ours was rounded: there silicon may differ, as it does from model to model.

use pentimento_registers::{ControlWord, F80};

use super::series;
use super::transcendental::Answer;
use super::wide::Wide;
use crate::float::{Class, Flags, Format, Rules, Unpacked, propagate};

/// What goes for all exceptions found before computing: they are masked here, the caller decides.
fn rules(control: u16) -> Rules {
    let rules = Rules::from_control_word(ControlWord::from_bits_truncate(control));
    Rules { unmasked: rules.unmasked - Flags::BEFORE_COMPUTATION, ..rules }
}

const fn answer((value, flags): (F80, Flags)) -> Answer {
    Answer { value, second: value, flags, out_of_range: false }
}

/// [`Flags::DENORMAL`] for denormal operands.
const fn denormal(a: &Unpacked, b: &Unpacked) -> Flags {
    if a.denormal || b.denormal { Flags::DENORMAL } else { Flags::empty() }
}

/// Two results of a trigonometric function: sine and cosine, taken from the sine and cosine of the
/// reduced angle.
fn sine_and_cosine_of(x: Unpacked) -> (Wide, Wide) {
    let reduced = series::reduce_angle(x.exponent, x.significand);
    let (sine, cosine) = (series::sine(reduced.rest), series::cosine(reduced.rest));
    let (sine, cosine) = match reduced.quadrant {
        0 => (sine, cosine),
        1 => (cosine, sine.negated()),
        2 => (sine.negated(), cosine.negated()),
        _ => (cosine.negated(), sine),
    };
    (if x.negative { sine.negated() } else { sine }, cosine)
}

/// A trigonometric function: `at_zero` for zeros, and `compute` for the numbers below 2^63.
fn trigonometric(
    st0: F80,
    control: u16,
    at_zero: impl Fn(bool) -> [F80; 2],
    compute: impl Fn(Unpacked, &Rules) -> ([F80; 2], Flags),
) -> Answer {
    let x = st0.unpack();
    let rules = rules(control);
    match x.class {
        Class::Finite if x.exponent >= 63 => {
            Answer { value: st0, second: st0, flags: Flags::empty(), out_of_range: true }
        }
        Class::Finite => {
            let ([value, second], flags) = compute(x, &rules);
            Answer { value, second, flags: flags | denormal(&x, &x), out_of_range: false }
        }
        Class::Zero => {
            let [value, second] = at_zero(x.negative);
            Answer { value, second, flags: Flags::empty(), out_of_range: false }
        }
        Class::Infinity => answer((F80::INDEFINITE, Flags::INVALID)),
        _ => answer(propagate(x, x, &rules)),
    }
}

/// 1.
const ONE: F80 = F80::new(0x3fff, 1 << 63);

/// FSIN.
pub(super) fn sine(st0: F80, control: u16) -> Answer {
    trigonometric(
        st0,
        control,
        |negative| [F80::zero(negative); 2],
        |x, rules| {
            let (value, flags) = sine_and_cosine_of(x).0.round(true, rules);
            ([value; 2], flags)
        },
    )
}

/// FCOS.
pub(super) fn cosine(st0: F80, control: u16) -> Answer {
    trigonometric(
        st0,
        control,
        |_| [ONE; 2],
        |x, rules| {
            let (value, flags) = sine_and_cosine_of(x).1.round(true, rules);
            ([value; 2], flags)
        },
    )
}

/// FSINCOS: cosine, then sine.
pub(super) fn sine_and_cosine(st0: F80, control: u16) -> Answer {
    trigonometric(
        st0,
        control,
        |negative| [ONE, F80::zero(negative)],
        |x, rules| {
            let (sine, cosine) = sine_and_cosine_of(x);
            let (cosine, flags) = cosine.round(true, rules);
            let (sine, more) = sine.round(true, rules);
            ([cosine, sine], flags | more)
        },
    )
}

/// FPTAN: 1, then the tangent.
pub(super) fn tangent(st0: F80, control: u16) -> Answer {
    trigonometric(
        st0,
        control,
        |negative| [ONE, F80::zero(negative)],
        |x, rules| {
            let (sine, cosine) = sine_and_cosine_of(x);
            let (value, flags) = sine.div(cosine).round(true, rules);
            ([ONE, value], flags)
        },
    )
}

/// F2XM1: 2^ST(0) - 1. Beyond the defined range of -1 to 1 the operand is the answer.
pub(super) fn power(st0: F80, control: u16) -> Answer {
    let x = st0.unpack();
    let rules = rules(control);
    let flags = denormal(&x, &x);
    answer(match x.class {
        Class::Zero => (st0, flags),
        Class::Infinity if x.negative => (F80::new(0xbfff, 1 << 63), flags),
        Class::Infinity => (st0, flags),
        Class::Finite if x.exponent == 0 && x.significand == 1 << 63 => {
            // 2^1 - 1 = 1 and 2^-1 - 1 = -1/2.
            (F80::new(if x.negative { 0xbffe } else { 0x3fff }, 1 << 63), flags)
        }
        Class::Finite if x.exponent >= 0 => (st0, flags),
        Class::Finite => {
            let (value, more) = series::power_minus_one(Wide::from_unpacked(x)).round(true, &rules);
            (value, flags | more)
        }
        _ => propagate(x, x, &rules),
    })
}

/// FPATAN: the angle of the point (ST(0), ST(1)), from -pi to pi.
pub(super) fn arctangent(st0: F80, st1: F80, control: u16) -> Answer {
    let (x, y) = (st0.unpack(), st1.unpack());
    let rules = rules(control);
    if x.class > Class::Infinity || y.class > Class::Infinity {
        return answer(propagate(y, x, &rules));
    }
    let flags = denormal(&x, &y);
    // The angle of the point's mirror image in the first quadrant.
    let angle = match (y.class, x.class) {
        (Class::Infinity, Class::Infinity) => series::HALF_PI.mul(Wide::new(-1, 1 << 127)),
        (Class::Infinity, _) | (Class::Finite, Class::Zero) => series::HALF_PI,
        (Class::Zero, _) | (_, Class::Infinity) => Wide::ZERO,
        _ => {
            let (x, y) = (Wide::from_unpacked(x).with_sign(false), Wide::from_unpacked(y).with_sign(false));
            if (y.exponent, y.significand) <= (x.exponent, x.significand) {
                series::arctangent(y.div(x))
            } else {
                series::HALF_PI.sub(series::arctangent(x.div(y)))
            }
        }
    };
    let angle = if x.negative { series::PI.sub(angle) } else { angle };
    if angle.is_zero() {
        return answer((F80::zero(y.negative), flags));
    }
    let (value, more) = angle.with_sign(y.negative).round(true, &rules);
    answer((value, flags | more))
}

/// FYL2X: ST(1) * log2(ST(0)).
pub(super) fn logarithm(st0: F80, st1: F80, control: u16) -> Answer {
    let x = st0.unpack();
    if x.negative && matches!(x.class, Class::Finite | Class::Infinity) {
        return no_logarithm(st1, control);
    }
    let logarithm = match x.class {
        Class::Zero => Logarithm::Infinity { negative: true, pole: true },
        Class::Infinity => Logarithm::Infinity { negative: false, pole: false },
        // A power of two has an integer for a logarithm.
        Class::Finite if x.significand == 1 << 63 => Logarithm::Exact(Wide::from_integer(x.exponent)),
        Class::Finite => Logarithm::Inexact(series::logarithm(Wide::from_unpacked(x))),
        _ => Logarithm::Exact(Wide::ZERO),
    };
    scaled(x, st1, logarithm, control)
}

/// FYL2XP1: ST(1) * log2(ST(0) + 1).
pub(super) fn logarithm_of_successor(st0: F80, st1: F80, control: u16) -> Answer {
    let x = st0.unpack();
    let below = x.negative && x.exponent >= 0;
    let logarithm = match x.class {
        Class::Zero => Logarithm::Exact(Wide::ZERO.with_sign(x.negative)),
        Class::Infinity if !x.negative => Logarithm::Infinity { negative: false, pole: false },
        Class::Finite if !below => Logarithm::Inexact(series::logarithm_of_successor(Wide::from_unpacked(x))),
        Class::Finite | Class::Infinity => return no_logarithm(st1, control),
        _ => Logarithm::Exact(Wide::ZERO),
    };
    scaled(x, st1, logarithm, control)
}

/// The answer where there is no logarithm: invalid, unless ST(1) is a NaN.
fn no_logarithm(st1: F80, control: u16) -> Answer {
    let y = st1.unpack();
    if y.class > Class::Infinity {
        return answer(propagate(y, y, &rules(control)));
    }
    answer((F80::INDEFINITE, Flags::INVALID))
}

/// A logarithm before it is multiplied.
enum Logarithm {
    /// An infinity; at a pole the product with a number raises [`Flags::ZERO_DIVIDE`].
    Infinity { negative: bool, pole: bool },
    /// A number.
    Exact(Wide),
    /// A number that has been rounded.
    Inexact(Wide),
}

/// ST(1) times a logarithm of `x`.
fn scaled(x: Unpacked, st1: F80, logarithm: Logarithm, control: u16) -> Answer {
    let y = st1.unpack();
    let rules = rules(control);
    if x.class > Class::Infinity || y.class > Class::Infinity {
        return answer(propagate(y, x, &rules));
    }
    let flags = denormal(&x, &y);
    answer(match (logarithm, y.class) {
        (Logarithm::Infinity { .. }, Class::Zero) => (F80::INDEFINITE, Flags::INVALID),
        (Logarithm::Infinity { negative, pole }, class) => {
            let divides = pole && class == Class::Finite;
            let flags = if divides { Flags::ZERO_DIVIDE } else { flags };
            (F80::infinity(negative != y.negative), flags)
        }
        (Logarithm::Exact(factor), Class::Infinity) if factor.is_zero() => (F80::INDEFINITE, Flags::INVALID),
        (Logarithm::Exact(factor) | Logarithm::Inexact(factor), Class::Infinity) => {
            (F80::infinity(factor.negative != y.negative), flags)
        }
        (Logarithm::Exact(factor) | Logarithm::Inexact(factor), Class::Zero) => {
            (F80::zero(factor.negative != y.negative), flags)
        }
        (Logarithm::Exact(factor), _) if factor.is_zero() => {
            (F80::zero(factor.negative != y.negative), flags)
        }
        (Logarithm::Exact(factor), _) => {
            let (value, more) = Wide::from_unpacked(y).mul(factor).round(false, &rules);
            (value, flags | more)
        }
        (Logarithm::Inexact(factor), _) => {
            let (value, more) = Wide::from_unpacked(y).mul(factor).round(true, &rules);
            (value, flags | more)
        }
    })
}
