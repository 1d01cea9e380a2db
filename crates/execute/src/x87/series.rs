//! The elementary functions on numbers of 128 bits: argument reduction, then Taylor series in
//! fixed point. Errors stay below 2^-115 of the result.

use super::wide::{Wide, multiply_high};

/// 1 in the fixed-point format of series: 127 bits behind the point.
const ONE: u128 = 1 << 127;

pub(super) const PI: Wide = Wide::new(1, 0xc90f_daa2_2168_c234_c4c6_628b_80dc_1cd1);
pub(super) const HALF_PI: Wide = Wide::new(0, PI.significand);
const LN_2: Wide = Wide::new(-1, 0xb172_17f7_d1cf_79ab_c9e3_b398_03f2_f6af);
/// 2 / ln(2).
const TWO_LOG2_E: Wide = Wide::new(1, 0xb8aa_3b29_5c17_f0bb_be87_fed0_691d_3e89);
/// The square root of 2, as a significand.
const SQRT_2: u128 = 0xb504_f333_f9de_6484_597d_89b3_754a_be9f;

/// The arctangents of 1/4, 1/2, 3/4 and 1.
const ARCTANGENTS: [Wide; 4] = [
    Wide::new(-3, 0xfadb_afc9_6406_eb15_6dc7_9ef5_f7a2_17e6),
    Wide::new(-2, 0xed63_382b_0dda_7b45_6fe4_45ec_bc3a_8d03),
    Wide::new(-1, 0xa4bc_7d19_34f7_0924_19a8_7f2a_457d_ac9f),
    Wide::new(-1, PI.significand),
];

/// 320 bits of 2/pi, behind the point, least significant word first.
const TWO_OVER_PI: [u64; 5] = [
    0xb724_6e3a_424d_d2e0,
    0xfe51_63ab_debb_c561,
    0xdb62_9599_3c43_9041,
    0xfc27_57d1_f534_ddc0,
    0xa2f9_836e_4e44_1529,
];

/// An angle as a number of quarter turns and what is left, at most an eighth of a turn either way.
pub(super) struct Reduced {
    /// Quarter turns modulo 4.
    pub(super) quadrant: u8,
    /// The rest in radians.
    pub(super) rest: Wide,
}

/// Reduces the magnitude `significand * 2^(exponent - 63)`, an angle in radians below 2^63. With
/// 320 bits of 2/pi nothing is lost however close to a multiple of pi/2 the angle is.
pub(super) fn reduce_angle(exponent: i32, significand: u64) -> Reduced {
    if exponent < -1 {
        let rest = Wide::new(exponent, u128::from(significand) << 64);
        return Reduced { quadrant: 0, rest };
    }
    // The angle in quarter turns: six words of fraction, and the integer in the last.
    let mut turns = [0_u64; 7];
    let mut carry = 0_u128;
    for (word, &factor) in turns.iter_mut().zip(&TWO_OVER_PI) {
        carry += u128::from(factor) * u128::from(significand);
        *word = carry as u64;
        carry >>= 64;
    }
    turns[5] = carry as u64;
    let shift = exponent + 1;
    if shift != 0 {
        for index in (1..7).rev() {
            turns[index] = turns[index] << shift | turns[index - 1] >> (64 - shift);
        }
        turns[0] <<= shift;
    }
    let [fraction @ .., mut quarters] = turns;
    let negative = fraction[5] >> 63 != 0;
    let mut fraction = fraction;
    if negative {
        quarters = quarters.wrapping_add(1);
        let mut carry = true;
        for word in &mut fraction {
            (*word, carry) = (!*word).overflowing_add(u64::from(carry));
        }
    }
    let rest = leading_bits(&fraction).with_sign(negative).mul(HALF_PI);
    Reduced { quadrant: quarters as u8 & 3, rest }
}

/// The first 128 significant bits of a fraction given in words, least significant first.
fn leading_bits(fraction: &[u64; 6]) -> Wide {
    let top = fraction.iter().rposition(|&word| word != 0).unwrap_or(0);
    let word = |index: usize| top.checked_sub(index).map_or(0, |index| u128::from(fraction[index]));
    let shift = (word(0) as u64).leading_zeros();
    let wide = word(0) << 64 | word(1);
    let significand = if shift == 0 { wide } else { wide << shift | word(2) >> (64 - shift) };
    Wide::normalised(false, -1 - 64 * (5 - top as i32) - shift as i32, significand)
}

/// The sine of an angle of magnitude pi/4 at most.
pub(super) fn sine(angle: Wide) -> Wide {
    if angle.is_zero() {
        return angle;
    }
    let square = angle.mul(angle).fraction();
    let mut sum = ONE;
    for k in (1..=17_u128).rev() {
        sum = ONE - multiply_high(square, sum) / (2 * k * (2 * k + 1));
    }
    let result = angle.mul(Wide::normalised(false, 0, sum));
    // The sine is below the angle, however little.
    if sum == ONE { result.just_below() } else { result }
}

/// The cosine of an angle of magnitude pi/4 at most.
pub(super) fn cosine(angle: Wide) -> Wide {
    let square = angle.mul(angle).fraction();
    let mut sum = ONE;
    for k in (1..=17_u128).rev() {
        sum = ONE - multiply_high(square, sum) / (2 * k * (2 * k - 1));
    }
    let result = Wide::normalised(false, 0, sum);
    if sum == ONE { result.just_below() } else { result }
}

/// 2^`x` - 1 for a magnitude of 1 at most.
pub(super) fn power_minus_one(x: Wide) -> Wide {
    let exponent = x.mul(LN_2);
    let magnitude = exponent.fraction();
    let mut sum = ONE;
    for k in (2..=34_u128).rev() {
        let term = multiply_high(magnitude, sum) / k;
        sum = if x.negative { ONE - term } else { ONE + term };
    }
    exponent.mul(Wide::normalised(false, 0, sum))
}

/// The series `1 -/+ z/3 + z^2/5 -/+ ...` for a fraction `z` below 1/32, whose terms alternate
/// or not: arctangent and its hyperbolic relative, each divided by its argument.
fn odd_series(z: u128, alternating: bool) -> Wide {
    let mut sum = 0;
    for k in (0..=27_u128).rev() {
        let term = multiply_high(z, sum);
        let reciprocal = ONE / (2 * k + 1);
        sum = if alternating { reciprocal - term } else { reciprocal + term };
    }
    Wide::normalised(false, 0, sum)
}

/// log2((1 + s) / (1 - s)) for a magnitude of `s` up to 0.172.
fn logarithm_of_ratio(s: Wide) -> Wide {
    s.mul(odd_series(s.mul(s).fraction(), false)).mul(TWO_LOG2_E)
}

/// log2(`x`) of a positive number.
pub(super) fn logarithm(x: Wide) -> Wide {
    // A significand within a factor of the square root of 2 around 1.
    let high = x.significand > SQRT_2;
    let (exponent, significand) = if high {
        (x.exponent + 1, Wide::new(-1, x.significand))
    } else {
        (x.exponent, Wide::new(0, x.significand))
    };
    let ratio = significand.sub(Wide::ONE).div(significand.add(Wide::ONE));
    Wide::from_integer(exponent).add(logarithm_of_ratio(ratio))
}

/// log2(1 + `x`) of a number above -1.
pub(super) fn logarithm_of_successor(x: Wide) -> Wide {
    if x.exponent >= -2 {
        let sum = Wide::ONE.add(x);
        // A sum of zero only arises for -1, which the caller has dealt with.
        return if sum.is_zero() { Wide::ZERO } else { logarithm(sum) };
    }
    logarithm_of_ratio(x.div(Wide::from_integer(2).add(x)))
}

/// The arctangent of a number from 0 to 1.
pub(super) fn arctangent(x: Wide) -> Wide {
    let series = |x: Wide| x.mul(odd_series(x.mul(x).fraction(), true));
    // The nearest multiple of 1/4, in units of 2^-3 rounded down and then halved up.
    let eighths = if x.exponent < -3 { 0 } else { (x.significand >> (124 - x.exponent)) as i32 };
    let quarters = (eighths + 1) / 2;
    if quarters == 0 {
        let result = series(x);
        return if x.exponent < -64 && !x.is_zero() { result.just_below() } else { result };
    }
    let near = Wide::normalised(false, 125, quarters.unsigned_abs().into());
    let rest = x.sub(near).div(Wide::ONE.add(x.mul(near)));
    ARCTANGENTS[(quarters - 1) as usize & 3].add(series(rest))
}
