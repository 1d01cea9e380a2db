//! Comparison, quiet and signalling.

use core::cmp::Ordering;

use super::arithmetic::denormal_flag;
use super::format::{Class, Unpacked};
use super::rules::Flags;

/// How the first operand compares with the second.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Relation {
    /// Less.
    Less,
    /// Equal; zeros of both signs are.
    Equal,
    /// Greater.
    Greater,
    /// At least one operand is a NaN or unsupported.
    Unordered,
}

impl From<Ordering> for Relation {
    #[inline]
    fn from(ordering: Ordering) -> Self {
        match ordering {
            Ordering::Less => Self::Less,
            Ordering::Equal => Self::Equal,
            Ordering::Greater => Self::Greater,
        }
    }
}

/// Compares `a` with `b`. Signalling NaNs and unsupported operands are always invalid, quiet NaNs
/// only where `signalling` (FCOM, COMISD) and not otherwise (FUCOM, UCOMISD).
#[inline]
#[must_use]
pub fn compare(a: Unpacked, b: Unpacked, signalling: bool) -> (Relation, Flags) {
    if a.class > Class::Infinity || b.class > Class::Infinity {
        let quiet = a.class <= Class::QuietNan && b.class <= Class::QuietNan;
        let flags = if signalling || !quiet { Flags::INVALID } else { Flags::empty() };
        return (Relation::Unordered, flags);
    }
    let (a_key, b_key) = (magnitude(a), magnitude(b));
    let relation = match (a.class, b.class) {
        (Class::Zero, Class::Zero) => Relation::Equal,
        _ if a.negative != b.negative => [Relation::Greater, Relation::Less][usize::from(a.negative)],
        _ if a.negative => b_key.cmp(&a_key).into(),
        _ => a_key.cmp(&b_key).into(),
    };
    (relation, denormal_flag(a, b))
}

/// A key that orders magnitudes.
#[inline(always)]
fn magnitude(value: Unpacked) -> (i32, u64) {
    match value.class {
        Class::Zero => (i32::MIN, 0),
        Class::Infinity => (i32::MAX, 0),
        _ => (value.exponent, value.significand),
    }
}
