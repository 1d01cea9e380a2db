//! RCPPS, RCPSS, RSQRTPS and RSQRTSS.
//!
//! The architecture allows a relative error of 1.5 * 2^-12, and silicon differs in what it makes of
//! that. Here the answers are those of AMD's Zen 4, on every host: the correctly rounded reciprocal
//! (or root) of the middle of the interval that the top twelve bits of the fraction name, to thirteen
//! bits, with a measured correction of one unit in a quarter of the cases. MXCSR plays no part:
//! denormals count as zeros, tiny results become zeros, and nothing is ever raised.

use pentimento_decoder::Operation;

use super::approximation_table::{RECIPROCAL, RECIPROCAL_ROOT_EVEN, RECIPROCAL_ROOT_ODD};
use super::{Binary, Vector, lane, map, operations, set_lane};
use crate::float::Format;

operations! {
    /// The function of an approximation. The scalar ones leave the upper lanes of the destination alone.
    unary: Binary(&mut V, &V);
    Rcpps => |a, b| map(a, b, reciprocal);
    Rcpss => |a, b| set_lane(a, 0, reciprocal(lane(b, 0)));
    Rsqrtps => |a, b| map(a, b, reciprocal_root);
    Rsqrtss => |a, b| set_lane(a, 0, reciprocal_root(lane(b, 0)));
}

/// An operand taken apart.
struct Argument {
    sign: u32,
    /// Biased.
    exponent: u32,
    /// The top twelve bits of the fraction.
    index: u32,
}

impl Argument {
    /// A normal number's parts; the answer, where the operand is something else.
    fn new(x: u32) -> Result<Self, u32> {
        let sign = x & 0x8000_0000;
        match x >> 23 & 0xff {
            0 => Err(sign | 0x7f80_0000),
            0xff if x << 9 == 0 => Err(sign),
            0xff => Err(x | 0x0040_0000),
            exponent => Ok(Self { sign, exponent, index: x >> 11 & 0xfff }),
        }
    }

    /// Twice the middle of the interval of fractions with this index, in units of 2^-13.
    fn middle(&self) -> u64 {
        u64::from(0x2000 + 2 * self.index + 1)
    }

    /// The entry of a correction table, biased by one.
    fn corrected(&self, rounded: u64, table: &[u64; 128]) -> u32 {
        let entry = table[self.index as usize / 32] >> (2 * (self.index % 32)) & 3;
        (rounded + entry) as u32 - 1
    }
}

/// Packs thirteen bits, the top one set, as a significand; tiny numbers become zeros.
fn pack(sign: u32, exponent: i32, significand: u32) -> u32 {
    if exponent < 1 { sign } else { sign | (exponent as u32) << 23 | (significand & 0xfff) << 11 }
}

/// About 1/x.
#[must_use]
pub fn reciprocal(x: u32) -> u32 {
    let operand = match Argument::new(x) {
        Ok(operand) => operand,
        Err(answer) => return answer,
    };
    let middle = operand.middle();
    let rounded = ((1 << 27) + middle) / (2 * middle);
    pack(operand.sign, 253 - operand.exponent as i32, operand.corrected(rounded, &RECIPROCAL))
}

/// About 1/sqrt(x); the indefinite NaN for negative numbers.
#[must_use]
pub fn reciprocal_root(x: u32) -> u32 {
    let operand = match Argument::new(x) {
        // Of minus infinity.
        Err(0x8000_0000) => return u32::INDEFINITE,
        Ok(operand) if operand.sign != 0 => return u32::INDEFINITE,
        Ok(operand) => operand,
        Err(answer) => return answer,
    };
    let power = operand.exponent as i32 - 127;
    let (square, table) = match power & 1 {
        0 => ((1 << 41) / operand.middle(), &RECIPROCAL_ROOT_EVEN),
        _ => ((1 << 40) / operand.middle(), &RECIPROCAL_ROOT_ODD),
    };
    let rounded = square.isqrt().div_ceil(2);
    pack(0, 126 - (power >> 1), operand.corrected(rounded, table))
}
