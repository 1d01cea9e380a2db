//! Floating-point numbers with 128 significand bits: what the portable transcendental functions
//! compute with, so that their error stays far below one unit in the 64th place.

use pentimento_registers::F80;

use crate::float::{Flags, Rules, Unpacked, round_pack};

/// A number: `significand * 2^(exponent - 127)` with the significand's top bit set, or zero with
/// the significand zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Wide {
    pub(super) negative: bool,
    pub(super) exponent: i32,
    pub(super) significand: u128,
}

impl Wide {
    pub(super) const ZERO: Self = Self { negative: false, exponent: 0, significand: 0 };
    pub(super) const ONE: Self = Self::new(0, 1 << 127);

    /// A positive number.
    pub(super) const fn new(exponent: i32, significand: u128) -> Self {
        Self { negative: false, exponent, significand }
    }

    /// `significand * 2^(exponent - 127)`, normalised.
    pub(super) const fn normalised(negative: bool, exponent: i32, significand: u128) -> Self {
        if significand == 0 {
            return Self::ZERO;
        }
        let shift = significand.leading_zeros();
        Self { negative, exponent: exponent - shift as i32, significand: significand << shift }
    }

    /// A finite number or zero.
    pub(super) fn from_unpacked(value: Unpacked) -> Self {
        Self {
            negative: value.negative,
            exponent: value.exponent,
            significand: u128::from(value.significand) << 64,
        }
    }

    /// An integer.
    pub(super) const fn from_integer(value: i32) -> Self {
        Self::normalised(value < 0, 127, value.unsigned_abs() as u128)
    }

    pub(super) const fn is_zero(self) -> bool {
        self.significand == 0
    }

    pub(super) const fn with_sign(self, negative: bool) -> Self {
        Self { negative, ..self }
    }

    pub(super) const fn negated(self) -> Self {
        self.with_sign(!self.negative)
    }

    /// A number closer to zero by one unit in the 128th place: for a result that is known to lie
    /// just below a representable one.
    pub(super) const fn just_below(self) -> Self {
        Self::normalised(self.negative, self.exponent, self.significand - 1)
    }

    pub(super) fn mul(self, other: Self) -> Self {
        if self.is_zero() || other.is_zero() {
            return Self::ZERO;
        }
        let product = multiply_high(self.significand, other.significand);
        Self::normalised(self.negative != other.negative, self.exponent + other.exponent + 1, product)
    }

    /// The quotient; `other` is not zero.
    pub(super) fn div(self, other: Self) -> Self {
        if self.is_zero() {
            return Self::ZERO;
        }
        // Long division, bit by bit, of a dividend below the divisor's double.
        let (mut rest, mut quotient) = (self.significand, 0_u128);
        let mut carry = false;
        for _ in 0..128 {
            let subtract = carry || rest >= other.significand;
            if subtract {
                rest = rest.wrapping_sub(other.significand);
            }
            quotient = quotient << 1 | u128::from(subtract);
            carry = rest >> 127 != 0;
            rest <<= 1;
        }
        Self::normalised(self.negative != other.negative, self.exponent - other.exponent, quotient)
    }

    pub(super) fn add(self, other: Self) -> Self {
        if self.is_zero() {
            return other;
        }
        if other.is_zero() {
            return self;
        }
        let swap = (self.exponent, self.significand) < (other.exponent, other.significand);
        let (large, small) = if swap { (other, self) } else { (self, other) };
        // One bit of room for the carry.
        let distance = large.exponent.wrapping_sub(small.exponent) as u32 + 1;
        let aligned = small.significand.checked_shr(distance).unwrap_or(0);
        let sum = if large.negative == small.negative {
            (large.significand >> 1) + aligned
        } else {
            (large.significand >> 1) - aligned
        };
        Self::normalised(large.negative, large.exponent + 1, sum)
    }

    pub(super) fn sub(self, other: Self) -> Self {
        self.add(other.negated())
    }

    /// The magnitude of a number below 1 in units of 2^-128.
    pub(super) fn fraction(self) -> u128 {
        self.significand.checked_shr((-1 - self.exponent) as u32).unwrap_or(0)
    }

    /// Rounds to double extended format. `inexact` says that the exact value is not `self` even if
    /// all bits behind the 64th are zero.
    pub(super) fn round(self, inexact: bool, rules: &Rules) -> (F80, Flags) {
        let rules = rules.with_extended_precision();
        let extra = self.significand as u64 | u64::from(inexact);
        round_pack(self.negative, self.exponent, (self.significand >> 64) as u64, extra, &rules)
    }
}

/// The upper half of the 256-bit product.
pub(super) const fn multiply_high(a: u128, b: u128) -> u128 {
    const LOW: u128 = u64::MAX as u128;
    let (a1, a0, b1, b0) = (a >> 64, a & LOW, b >> 64, b & LOW);
    let (high, cross1, cross2, low) = (a1 * b1, a1 * b0, a0 * b1, a0 * b0);
    let middle = (low >> 64) + (cross1 & LOW) + (cross2 & LOW);
    high + (cross1 >> 64) + (cross2 >> 64) + (middle >> 64)
}
