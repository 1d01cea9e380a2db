//! Comparison, and conversion to and from integers and the shorter formats.

use core::cmp::Ordering;

use pentimento_registers::F80;

use super::super::rules::Rounding;
use super::{BIAS, Rounded, TOP, are_normal, exponent, is_zero, shift_right};

/// How `a` compares with `b`.
#[inline(always)]
pub const fn compare(a: F80, b: F80) -> Option<Ordering> {
    if !(are_normal(a, a) || is_zero(a)) || !(are_normal(b, b) || is_zero(b)) {
        return None;
    }
    if is_zero(a) && is_zero(b) {
        return Some(Ordering::Equal);
    }
    let (a, b) = (signed(a), signed(b));
    Some(if a < b {
        Ordering::Less
    } else if a > b {
        Ordering::Greater
    } else {
        Ordering::Equal
    })
}

/// An integer that is ordered as the number is, zeros apart.
#[inline(always)]
const fn signed(value: F80) -> i128 {
    let magnitude = (value.exponent() as i128) << 64 | value.significand as i128;
    if value.is_negative() { -magnitude } else { magnitude }
}

/// The magnitude of a normal number below 2^63 as an integer.
#[inline(always)]
fn integral(value: F80, rounding: Rounding) -> Rounded<u64> {
    let (magnitude, rest) = shift_right(value.significand, BIAS + 63 - exponent(value));
    let up = rounding.increments(value.is_negative(), magnitude & 1 != 0, rest);
    Rounded { value: magnitude + u64::from(up), rest, up }
}

/// Rounds to an integral value.
#[inline(always)]
pub fn round_to_integral(value: F80, rounding: Rounding) -> Option<Rounded<F80>> {
    if is_zero(value) {
        return Some(Rounded::exact(value));
    }
    if !are_normal(value, value) {
        return None;
    }
    if exponent(value) >= BIAS + 63 {
        return Some(Rounded::exact(value));
    }
    let Rounded { value: magnitude, rest, up } = integral(value, rounding);
    Some(Rounded { value: normalised(value.sign_exponent, magnitude), rest, up })
}

/// Rounds to a signed integer.
#[inline(always)]
pub fn to_integer<I: TryFrom<i64>>(value: F80, rounding: Rounding) -> Option<Rounded<I>> {
    let rounded = match value {
        _ if is_zero(value) => Rounded::exact(0),
        _ if !are_normal(value, value) || exponent(value) >= BIAS + 63 => return None,
        _ => integral(value, rounding),
    };
    let magnitude = i64::try_from(rounded.value).ok()?;
    let integer = if value.is_negative() { -magnitude } else { magnitude };
    Some(Rounded { value: I::try_from(integer).ok()?, rest: rounded.rest, up: rounded.up })
}

/// An integer with the sign of `sign`.
#[inline(always)]
const fn normalised(sign: u16, magnitude: u64) -> F80 {
    if magnitude == 0 {
        return F80::new(sign & 0x8000, 0);
    }
    let shift = magnitude.leading_zeros();
    F80::new(sign & 0x8000 | (BIAS + 63 - shift) as u16, magnitude << shift)
}

/// An integer.
#[inline(always)]
pub const fn from_integer(value: i64) -> F80 {
    normalised((value >> 48) as u16, value.unsigned_abs())
}

/// Declares conversions from and to an interchange format.
macro_rules! interchange {
    ($($from:ident $from_usual:ident $to:ident $to_usual:ident: $bits:ident $signed:ident, fraction $fraction:literal, bias $bias:literal;)*) => {$(
        /// A datum of the narrower format.
        #[inline(always)]
        pub const fn $from(value: $bits) -> Option<F80> {
            let sign = (value >> ($bits::BITS - 16)) as u16 & 0x8000;
            let magnitude = value << 1 >> 1;
            let exponent = (magnitude >> $fraction) as u32;
            if exponent.wrapping_sub(1) >= 2 * $bias {
                return if magnitude == 0 { Some(F80::new(sign, 0)) } else { None };
            }
            let significand = (value as u64) << (63 - $fraction) | TOP;
            Some(F80::new(sign | (exponent + (BIAS - $bias)) as u16, significand))
        }

        /// The same where the exponent is in the middle half of the range, which makes it usual.
        #[inline(always)]
        pub const fn $from_usual(value: $bits) -> Option<F80> {
            // The sign fills all that the exponent leaves.
            let sign_exponent = (value as $signed >> $fraction) as u32;
            if sign_exponent.wrapping_add(3 * ($bias + 1) / 2) & ($bias + 1) != 0 {
                return None;
            }
            let widened = (sign_exponent & (0x8000 | 2 * $bias + 1)) + (BIAS - $bias);
            Some(F80::new(widened as u16, (value as u64) << (63 - $fraction) | TOP))
        }

        /// Rounded to the narrower format.
        #[inline(always)]
        pub fn $to(value: F80) -> Option<Rounded<$bits>> {
            const BELOW: u32 = 63 - $fraction;
            const REST: u64 = (1 << BELOW) - 1;
            let sign = $bits::from(value.is_negative()) << ($bits::BITS - 1);
            let exponent = exponent(value).wrapping_sub(BIAS - $bias);
            if exponent.wrapping_sub(1) >= 2 * $bias || value.significand >> 63 == 0 {
                return if is_zero(value) { Some(Rounded::exact(sign)) } else { None };
            }
            let rest = value.significand & REST;
            let half = REST / 2 + (value.significand >> BELOW & 1);
            let up = rest + half > REST;
            // The integer bit, and a carry out of the fraction, count in the exponent.
            let fraction = (value.significand >> BELOW) as $bits + $bits::from(up);
            let magnitude = (((exponent - 1) as $bits) << $fraction) + fraction;
            if magnitude >= (2 * $bias + 1) << $fraction {
                return None;
            }
            Some(Rounded { value: sign | magnitude, rest, up })
        }

        /// The same for normal numbers in the middle half of the narrower format's range, unless
        /// rounding carries.
        #[inline(always)]
        pub fn $to_usual(value: F80) -> Option<Rounded<$bits>> {
            const BELOW: u32 = 63 - $fraction;
            const REST: u64 = (1 << BELOW) - 1;
            const LOWEST: u32 = BIAS - $bias / 2;
            let sign_exponent = u32::from(value.sign_exponent);
            let outside = (sign_exponent + (0x8000 - LOWEST)) & (0x7fff - $bias);
            if outside != 0 || value.significand >> 63 == 0 {
                return None;
            }
            let rest = value.significand & REST;
            let half = REST / 2 + (value.significand >> BELOW & 1);
            let rounded = value.significand.checked_add(half)?;
            let sign = ((sign_exponent >> 15) as $bits) << ($bits::BITS - 1);
            // The integer bit counts in the exponent, and shifting leaves the sign out.
            let exponent = sign_exponent.wrapping_sub(BIAS - $bias + 1) & (2 * $bias + 1);
            let magnitude = ((exponent as $bits) << $fraction) + (rounded >> BELOW) as $bits;
            Some(Rounded { value: sign | magnitude, rest, up: rest + half > REST })
        }
    )*};
}

interchange! {
    from_single from_single_usual to_single to_single_usual: u32 i32, fraction 23, bias 0x7f;
    from_double from_double_usual to_double to_double_usual: u64 i64, fraction 52, bias 0x3ff;
}
