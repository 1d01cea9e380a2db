//! Operations on NaNs (SDM volume 1, section 4.8.3.5).

use super::format::{Class, Format, Unpacked};
use super::rules::{Flags, NanRule, Rules};

/// The answer to an operation with a NaN or an unsupported operand among its two: a quiet NaN,
/// with [`Flags::INVALID`] where an operand was signalling or unsupported. A one-operand
/// operation passes its operand twice.
#[cold]
#[must_use]
pub fn propagate<F: Format>(a: Unpacked, b: Unpacked, rules: &Rules) -> (F, Flags) {
    if a.class == Class::Unsupported || b.class == Class::Unsupported {
        return (F::INDEFINITE, Flags::INVALID);
    }
    let signalling = a.class == Class::SignallingNan || b.class == Class::SignallingNan;
    let flags = if signalling { Flags::INVALID } else { Flags::empty() };
    let chosen = if !b.is_nan() {
        a
    } else if !a.is_nan() {
        b
    } else {
        match rules.nan_rule {
            NanRule::FirstOperand => a,
            NanRule::LargerSignificand => larger(a, b),
        }
    };
    (F::quiet_nan(chosen.negative, chosen.significand), flags)
}

/// The x87's choice between two NaNs.
fn larger(a: Unpacked, b: Unpacked) -> Unpacked {
    if a.class != b.class {
        return if a.class == Class::QuietNan { a } else { b };
    }
    let first = a.significand > b.significand || (a.significand == b.significand && !a.negative);
    if first { a } else { b }
}
