//! The one place where results are rounded, found too large or too small, and packed.

use super::format::Format;
use super::rules::{Flags, Rounding, Rules};

/// A result with its flags as it fits two host registers. What is rare returns this rather than a
/// pair, which comes back through memory: then the fast path that it joins stays out of memory too.
#[derive(Clone, Copy)]
pub(super) struct Answer(u128);

impl Answer {
    #[inline(always)]
    pub(super) fn new<F: Format>((value, flags): (F, Flags)) -> Self {
        Self(value.to_bits() | u128::from(flags.bits()) << 120)
    }

    #[inline(always)]
    pub(super) fn get<F: Format>(self) -> (F, Flags) {
        (F::from_bits(self.0), Flags::from_bits_truncate((self.0 >> 120) as u8))
    }
}

/// A significand after rounding.
struct RoundedParts {
    /// Left-aligned, bits below the precision clear.
    significand: u64,
    /// Whether rounding up went from all ones to 2: the significand is then to be 1 and the exponent one more.
    carry: bool,
    /// [`Flags::INEXACT`] and [`Flags::ROUNDED_UP`], as they apply.
    flags: Flags,
}

/// Rounds the 128-bit fraction `significand:extra` to `precision` bits (1 to 64).
#[inline(always)]
fn round(significand: u64, extra: u64, precision: u32, rounding: Rounding, negative: bool) -> RoundedParts {
    let (kept, unit, rest) = if precision == 64 {
        (significand, 1, extra)
    } else {
        let unit = 1_u64 << (64 - precision);
        (significand & unit.wrapping_neg(), unit, significand << precision | u64::from(extra != 0))
    };
    if rest == 0 {
        return RoundedParts { significand: kept, carry: false, flags: Flags::empty() };
    }
    if !rounding.increments(negative, kept & unit != 0, rest) {
        return RoundedParts { significand: kept, carry: false, flags: Flags::INEXACT };
    }
    let (significand, carry) = kept.overflowing_add(unit);
    RoundedParts { significand, carry, flags: Flags::INEXACT.union(Flags::ROUNDED_UP) }
}

/// Rounds and packs the number `significand:extra * 2^(exponent - 127)`, `significand:extra` being
/// 128 bits with the top one set, of which the lowest may stand for all those that follow it.
#[inline(always)]
#[must_use]
pub fn round_pack<F: Format>(
    negative: bool,
    exponent: i32,
    significand: u64,
    extra: u64,
    rules: &Rules,
) -> (F, Flags) {
    if exponent < F::MINIMUM_EXPONENT {
        return underflow::<F>(negative, exponent, significand, extra, rules).get();
    }
    let rounded = round(significand, extra, F::precision(rules), rules.rounding, negative);
    let exponent = exponent + i32::from(rounded.carry);
    let significand = rounded.significand | u64::from(rounded.carry) << 63;
    if exponent > F::MAXIMUM_EXPONENT {
        return overflow::<F>(negative, exponent, significand, rounded.flags, rules).get();
    }
    (F::pack(negative, exponent, significand), rounded.flags)
}

/// A result too large for its format (SDM volume 1, sections 4.9.1.4 and 8.5.4).
#[cold]
#[inline(never)]
fn overflow<F: Format>(
    negative: bool,
    exponent: i32,
    significand: u64,
    flags: Flags,
    rules: &Rules,
) -> Answer {
    if rules.unmasked.contains(Flags::OVERFLOW) {
        let wrapped = exponent - F::EXPONENT_WRAP;
        if wrapped > F::MAXIMUM_EXPONENT {
            let flags = Flags::OVERFLOW | Flags::INEXACT | Flags::ROUNDED_UP;
            return Answer::new((F::infinity(negative), flags));
        }
        return Answer::new((F::pack(negative, wrapped, significand), flags | Flags::OVERFLOW));
    }
    let flags = Flags::OVERFLOW | Flags::INEXACT;
    // Anything that overflows is above one half of the distance to "infinity".
    if rules.rounding.increments(negative, true, u64::MAX) {
        Answer::new((F::infinity(negative), flags | Flags::ROUNDED_UP))
    } else {
        let all_ones = u64::MAX << (64 - F::precision(rules));
        Answer::new((F::pack(negative, F::MAXIMUM_EXPONENT, all_ones), flags))
    }
}

/// A result below the normal range. It is tiny unless rounding, with the exponent unbounded,
/// brings it back into that range (SDM volume 1, section 4.9.1.5: x86 detects tininess after rounding).
#[cold]
#[inline(never)]
fn underflow<F: Format>(
    negative: bool,
    exponent: i32,
    significand: u64,
    extra: u64,
    rules: &Rules,
) -> Answer {
    let precision = F::precision(rules);
    let unbounded = round(significand, extra, precision, rules.rounding, negative);
    let tiny = !(unbounded.carry && exponent == F::MINIMUM_EXPONENT - 1);
    if tiny && rules.unmasked.contains(Flags::UNDERFLOW) {
        let wrapped = exponent + F::EXPONENT_WRAP + i32::from(unbounded.carry);
        if wrapped < F::MINIMUM_EXPONENT {
            return Answer::new((F::zero(negative), Flags::UNDERFLOW | Flags::INEXACT));
        }
        let significand = unbounded.significand | u64::from(unbounded.carry) << 63;
        return Answer::new((F::pack(negative, wrapped, significand), unbounded.flags | Flags::UNDERFLOW));
    }
    if tiny && rules.flush_to_zero {
        return Answer::new((F::zero(negative), Flags::UNDERFLOW | Flags::INEXACT));
    }
    let wide = shift_right_sticky(
        u128::from(significand) << 64 | u128::from(extra),
        F::MINIMUM_EXPONENT.wrapping_sub(exponent) as u32,
    );
    let rounded = round((wide >> 64) as u64, wide as u64, precision, rules.rounding, negative);
    let inexact = rounded.flags.contains(Flags::INEXACT);
    let flags = if tiny && inexact { rounded.flags | Flags::UNDERFLOW } else { rounded.flags };
    Answer::new((F::pack(negative, F::MINIMUM_EXPONENT, rounded.significand), flags))
}

/// Shifts right, any number of bits, and sets the lowest bit if a bit was lost.
#[inline(always)]
pub(super) fn shift_right_sticky(value: u128, count: u32) -> u128 {
    if count >= 128 {
        return u128::from(value != 0);
    }
    let shifted = value >> count;
    shifted | u128::from(shifted << count != value)
}
