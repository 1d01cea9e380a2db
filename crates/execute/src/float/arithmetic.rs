//! Addition, subtraction, multiplication, division and square root.

use core::ops::{Add, Sub};

use super::format::{Class, Format, Unpacked};
use super::nan::propagate;
use super::round::{Answer, round_pack, shift_right_sticky};
use super::rules::{Flags, Rounding, Rules};

/// An unsigned integer in which two significands are aligned and added: as wide as the format
/// needs for its significand, a carry and three bits below, and no wider.
pub trait Window: Copy + Ord + Add<Output = Self> + Sub<Output = Self> {
    /// Puts a significand's top bit one below the window's, `count` places further down; bits
    /// that fall out are remembered in the lowest one.
    fn place(significand: u64, count: u32) -> Self;
    /// [`Window::normalise`] where the top bit is the first or the second.
    fn normalise_sum(self) -> (u32, u64, u64);
    /// Shifts the top bit to the front: how far that was, and the upper and lower 64 bits then.
    /// `None` for zero.
    fn normalise(self) -> Option<(u32, u64, u64)>;
}

impl Window for u64 {
    #[inline(always)]
    fn place(significand: u64, count: u32) -> Self {
        let value = significand >> 1;
        if count >= 64 {
            return Self::from(value != 0);
        }
        let shifted = value >> count;
        shifted | Self::from(shifted << count != value)
    }

    #[inline(always)]
    fn normalise_sum(self) -> (u32, u64, u64) {
        let shift = 1 - (self >> 63) as u32;
        (shift, self << shift, 0)
    }

    #[inline(always)]
    fn normalise(self) -> Option<(u32, u64, u64)> {
        let shift = self.leading_zeros();
        (shift < 64).then(|| (shift, self << shift, 0))
    }
}

impl Window for u128 {
    #[inline(always)]
    fn place(significand: u64, count: u32) -> Self {
        let wide = Self::from(significand) << 63;
        // The low 63 bits are zero: nothing falls out.
        if count < 64 { wide >> count } else { shift_right_sticky(wide, count) }
    }

    #[inline(always)]
    fn normalise_sum(self) -> (u32, u64, u64) {
        let shift = 1 - (self >> 127) as u32;
        let wide = self << shift;
        (shift, (wide >> 64) as u64, wide as u64)
    }

    #[inline(always)]
    fn normalise(self) -> Option<(u32, u64, u64)> {
        let shift = self.leading_zeros();
        (shift < 128).then(|| {
            let wide = self << shift;
            (shift, (wide >> 64) as u64, wide as u64)
        })
    }
}

/// `a + b`. Operands may come from `F` itself or from a narrower format.
#[inline(always)]
#[must_use]
pub fn add<F: Format>(a: Unpacked, b: Unpacked, rules: &Rules) -> (F, Flags) {
    if a.is_normal() && b.is_normal() {
        return add_finite(a, b, rules);
    }
    add_special::<F>(a, b, rules).get()
}

/// `a - b`. Operands may come from `F` itself or from a narrower format.
#[inline(always)]
#[must_use]
pub fn sub<F: Format>(a: Unpacked, b: Unpacked, rules: &Rules) -> (F, Flags) {
    // A NaN keeps its sign.
    let negative = b.negative != (b.class <= Class::Infinity);
    add(a, Unpacked { negative, ..b }, rules)
}

#[inline(always)]
fn add_finite<F: Format>(a: Unpacked, b: Unpacked, rules: &Rules) -> (F, Flags) {
    let (a, b) = if (a.exponent, a.significand) < (b.exponent, b.significand) { (b, a) } else { (a, b) };
    let larger = F::Window::place(a.significand, 0);
    let smaller = F::Window::place(b.significand, (a.exponent - b.exponent) as u32);
    if a.negative == b.negative {
        let (shift, significand, extra) = (larger + smaller).normalise_sum();
        return round_pack(a.negative, a.exponent + 1 - shift as i32, significand, extra, rules);
    }
    match (larger - smaller).normalise() {
        Some((shift, significand, extra)) => {
            round_pack(a.negative, a.exponent + 1 - shift as i32, significand, extra, rules)
        }
        None => (F::zero(rules.rounding == Rounding::Down), Flags::empty()),
    }
}

#[cold]
#[inline(never)]
fn add_special<F: Format>(a: Unpacked, b: Unpacked, rules: &Rules) -> Answer {
    if let Some(stop) = denormal_stop::<F>(a, b, rules) {
        return Answer::new(stop);
    }
    let flags = denormal_flag(a, b);
    let (value, more): (F, Flags) = match (a.class, b.class) {
        (Class::Finite, Class::Finite) => add_finite(a, b, rules),
        (Class::Infinity, Class::Infinity) if a.negative != b.negative => {
            return Answer::new((F::INDEFINITE, Flags::INVALID));
        }
        (Class::Infinity, Class::Infinity | Class::Zero | Class::Finite) => (F::infinity(a.negative), flags),
        (Class::Zero | Class::Finite, Class::Infinity) => (F::infinity(b.negative), flags),
        (Class::Zero, Class::Zero) => {
            let down = rules.rounding == Rounding::Down;
            let negative = if a.negative == b.negative { a.negative } else { down };
            (F::zero(negative), flags)
        }
        // A finite operand as the result may still have to be rounded, or be tiny.
        (Class::Finite, Class::Zero) => round_pack(a.negative, a.exponent, a.significand, 0, rules),
        (Class::Zero, Class::Finite) => round_pack(b.negative, b.exponent, b.significand, 0, rules),
        _ => return Answer::new(propagate::<F>(a, b, rules)),
    };
    Answer::new((value, flags | more))
}

/// `a * b`.
#[inline(always)]
#[must_use]
pub fn mul<F: Format>(a: Unpacked, b: Unpacked, rules: &Rules) -> (F, Flags) {
    if a.is_normal() && b.is_normal() {
        return mul_finite(a, b, rules);
    }
    mul_special::<F>(a, b, rules).get()
}

#[inline(always)]
fn mul_finite<F: Format>(a: Unpacked, b: Unpacked, rules: &Rules) -> (F, Flags) {
    let product = u128::from(a.significand) * u128::from(b.significand);
    // The product of two numbers in [1, 2) lies in [1, 4).
    let carry = (product >> 127) as u32;
    let product = product << (1 - carry);
    let exponent = a.exponent + b.exponent + carry as i32;
    let negative = a.negative != b.negative;
    round_pack(negative, exponent, (product >> 64) as u64, product as u64, rules)
}

#[cold]
#[inline(never)]
fn mul_special<F: Format>(a: Unpacked, b: Unpacked, rules: &Rules) -> Answer {
    if let Some(stop) = denormal_stop::<F>(a, b, rules) {
        return Answer::new(stop);
    }
    let negative = a.negative != b.negative;
    let flags = denormal_flag(a, b);
    let (value, more): (F, Flags) = match (a.class, b.class) {
        (Class::Finite, Class::Finite) => mul_finite(a, b, rules),
        (Class::Zero, Class::Infinity) | (Class::Infinity, Class::Zero) => {
            return Answer::new((F::INDEFINITE, Flags::INVALID));
        }
        (Class::Infinity, Class::Infinity | Class::Finite) | (Class::Finite, Class::Infinity) => {
            (F::infinity(negative), flags)
        }
        (Class::Zero, Class::Zero | Class::Finite) | (Class::Finite, Class::Zero) => {
            (F::zero(negative), flags)
        }
        _ => return Answer::new(propagate::<F>(a, b, rules)),
    };
    Answer::new((value, flags | more))
}

/// `a / b`.
#[inline(always)]
#[must_use]
pub fn div<F: Format>(a: Unpacked, b: Unpacked, rules: &Rules) -> (F, Flags) {
    if a.is_normal() && b.is_normal() {
        return div_finite(a, b, rules);
    }
    div_special::<F>(a, b, rules).get()
}

#[inline(always)]
fn div_finite<F: Format>(a: Unpacked, b: Unpacked, rules: &Rules) -> (F, Flags) {
    // Halving a dividend that is not the smaller one keeps the quotient below 2^64.
    let borrow = a.significand < b.significand;
    let dividend = u128::from(a.significand) << (63 + u32::from(borrow));
    let divisor = u128::from(b.significand);
    let quotient = (dividend / divisor) as u64;
    let rest = (dividend as u64).wrapping_sub(quotient.wrapping_mul(b.significand));
    let exponent = a.exponent - b.exponent - i32::from(borrow);
    let extra = fraction_bits(rest, b.significand);
    round_pack(a.negative != b.negative, exponent, quotient, extra, rules)
}

#[cold]
#[inline(never)]
fn div_special<F: Format>(a: Unpacked, b: Unpacked, rules: &Rules) -> Answer {
    let negative = a.negative != b.negative;
    if b.class == Class::Zero && a.class == Class::Finite {
        return Answer::new((F::infinity(negative), Flags::ZERO_DIVIDE));
    }
    if let Some(stop) = denormal_stop::<F>(a, b, rules) {
        return Answer::new(stop);
    }
    let flags = denormal_flag(a, b);
    let (value, more): (F, Flags) = match (a.class, b.class) {
        (Class::Finite, Class::Finite) => div_finite(a, b, rules),
        (Class::Zero, Class::Zero) | (Class::Infinity, Class::Infinity) => {
            return Answer::new((F::INDEFINITE, Flags::INVALID));
        }
        (Class::Infinity, Class::Zero | Class::Finite) => (F::infinity(negative), flags),
        (Class::Zero | Class::Finite, Class::Infinity) | (Class::Zero, Class::Finite) => {
            (F::zero(negative), flags)
        }
        _ => return Answer::new(propagate::<F>(a, b, rules)),
    };
    Answer::new((value, flags | more))
}

/// The square root of `a`.
#[inline]
#[must_use]
pub fn sqrt<F: Format>(a: Unpacked, rules: &Rules) -> (F, Flags) {
    match a.class {
        Class::Zero => return (F::zero(a.negative), Flags::empty()),
        Class::Finite | Class::Infinity if a.negative => return (F::INDEFINITE, Flags::INVALID),
        Class::Infinity => return (F::infinity(false), Flags::empty()),
        Class::Finite => {}
        _ => return propagate(a, a, rules),
    }
    if let Some(stop) = denormal_stop(a, a, rules) {
        return stop;
    }
    // 2^exponent must be a square: an odd exponent lends a factor of two to the radicand.
    let odd = a.exponent & 1;
    let radicand = u128::from(a.significand) << (63 + odd);
    let root = radicand.isqrt();
    let rest = radicand - root * root;
    // (root + 1/2)^2 = root^2 + root + 1/4, so exactly one half never happens.
    let extra = match rest {
        0 => 0,
        _ if rest > root => 1 << 63 | 1,
        _ => 1,
    };
    let (value, flags) = round_pack(false, a.exponent >> 1, root as u64, extra, rules);
    (value, flags | denormal_flag(a, a))
}

/// The fraction `rest / divisor` (less than one) as 64 bits that order it against one half.
#[inline(always)]
pub(super) const fn fraction_bits(rest: u64, divisor: u64) -> u64 {
    let complement = divisor - rest;
    if rest == 0 {
        0
    } else if rest > complement {
        1 << 63 | 1
    } else if rest == complement {
        1 << 63
    } else {
        1
    }
}

/// [`Flags::DENORMAL`] if an operand asks for it.
#[inline(always)]
pub(super) const fn denormal_flag(a: Unpacked, b: Unpacked) -> Flags {
    if a.denormal || b.denormal { Flags::DENORMAL } else { Flags::empty() }
}

/// An unmasked denormal exception keeps the operation from happening, unless it would be invalid anyway.
#[inline(always)]
fn denormal_stop<F: Format>(a: Unpacked, b: Unpacked, rules: &Rules) -> Option<(F, Flags)> {
    let numbers = a.class <= Class::Infinity && b.class <= Class::Infinity;
    if (a.denormal || b.denormal) && numbers && rules.unmasked.contains(Flags::DENORMAL) {
        return Some((F::zero(false), Flags::DENORMAL));
    }
    None
}
