//! Floating-point comparisons: MINPS to CMPSD, COMISS to UCOMISD.

use pentimento_decoder::Operation;
use pentimento_registers::{Eflags, Mxcsr};

use super::floating_point::{FloatBinary, FloatFunction, float_operations, lanewise};
use super::host::{Real, unusual_operand};
use super::mask;
use crate::float::{Flags, Relation, Rules, compare};

#[rustfmt::skip]
float_operations! {
    /// MIN and MAX.
    pub(super) binary: FloatBinary as FloatFunction;
    Minps => |a, b, mxcsr| extremum::<u32, 4>(a, b, mxcsr, Relation::Less);
    Minpd => |a, b, mxcsr| extremum::<u64, 2>(a, b, mxcsr, Relation::Less);
    Minss => |a, b, mxcsr| extremum::<u32, 1>(a, b, mxcsr, Relation::Less);
    Minsd => |a, b, mxcsr| extremum::<u64, 1>(a, b, mxcsr, Relation::Less);
    Maxps => |a, b, mxcsr| extremum::<u32, 4>(a, b, mxcsr, Relation::Greater);
    Maxpd => |a, b, mxcsr| extremum::<u64, 2>(a, b, mxcsr, Relation::Greater);
    Maxss => |a, b, mxcsr| extremum::<u32, 1>(a, b, mxcsr, Relation::Greater);
    Maxsd => |a, b, mxcsr| extremum::<u64, 1>(a, b, mxcsr, Relation::Greater);
}

/// Compares lanes; quiet NaNs are invalid too where `signalling`.
#[inline(always)]
fn relation<R: Real>(a: R, b: R, signalling: bool, rules: &Rules) -> (Relation, Flags) {
    if unusual_operand(a) | unusual_operand(b) == R::zeroed() {
        let relation = match (a.host_less(b), b.host_less(a)) {
            (true, _) => Relation::Less,
            (_, true) => Relation::Greater,
            _ => Relation::Equal,
        };
        return (relation, Flags::empty());
    }
    compare(a.unpack_in(rules), b.unpack_in(rules), signalling)
}

/// The first operand where it stands in `wanted` relation to the second; the second otherwise: if
/// they are equal, zeros of any sign, or unordered.
#[inline(always)]
fn extremum<R: Real, const N: usize>(a: &mut u128, b: &u128, mxcsr: Mxcsr, wanted: Relation) -> Flags {
    let rules = Rules::from_mxcsr(mxcsr);
    lanewise::<R, N>(a, b, &rules, |_, a, b| {
        let (relation, flags) = relation(a, b, true, &rules);
        let chosen = if relation == wanted { a } else { b };
        (flushed(chosen, &rules), flags)
    })
}

/// A denormal as a zero of its sign, if MXCSR says so.
#[inline(always)]
fn flushed<R: Real>(x: R, rules: &Rules) -> R {
    if rules.denormals_are_zeros && x.unpack().denormal { x & R::SIGN } else { x }
}

/// CMPPS to CMPSD: all ones where the predicate of immediate bits 2:0 holds, else zero.
pub(super) fn select<R: Real, const N: usize>(a: &mut u128, b: &u128, immediate: u8, mxcsr: Mxcsr) -> Flags {
    let rules = Rules::from_mxcsr(mxcsr);
    let predicate = immediate & 3;
    lanewise::<R, N>(a, b, &rules, |_, a, b| {
        let signalling = matches!(predicate, 1 | 2);
        let (relation, flags) = relation(a, b, signalling, &rules);
        let holds = match predicate {
            0 => relation == Relation::Equal,
            1 => relation == Relation::Less,
            2 => matches!(relation, Relation::Less | Relation::Equal),
            _ => relation == Relation::Unordered,
        };
        // Predicates 4 to 7 are the opposites.
        (mask(holds != (immediate & 4 != 0)), flags)
    })
}

/// The status flags of COMISS and COMISD (`signalling`), UCOMISS and UCOMISD, and the exceptions raised.
#[inline]
#[must_use]
pub fn ordered<R: Real>(a: R, b: R, signalling: bool, mxcsr: Mxcsr) -> (Eflags, Flags) {
    let (relation, flags) = relation(a, b, signalling, &Rules::from_mxcsr(mxcsr));
    let eflags = match relation {
        Relation::Greater => Eflags::empty(),
        Relation::Less => Eflags::CF,
        Relation::Equal => Eflags::ZF,
        Relation::Unordered => Eflags::ZF | Eflags::PF | Eflags::CF,
    };
    (eflags, flags)
}

/// The status flags where nothing is raised: for numbers that are no denormals, and infinities.
#[inline(always)]
#[must_use]
pub fn ordered_quietly<R: Real>(a: R, b: R) -> Option<Eflags> {
    if a.is_denormal() || b.is_denormal() {
        return None;
    }
    match (a.host_less(b), b.host_less(a), a.host_equal(b)) {
        (true, ..) => Some(Eflags::CF),
        (_, true, _) => Some(Eflags::empty()),
        (.., true) => Some(Eflags::ZF),
        _ => None,
    }
}
