//! The steps of the Advanced Encryption Standard (FIPS 197) on a state of sixteen bytes, column by
//! column, as AES-NI holds it (SDM volume 1, section 12.13).

use super::galois;

/// The S-box: inversion in GF(2^8), then the affine transformation of FIPS 197, section 5.1.1.
pub const SUBSTITUTION: [u8; 256] = substitution();
/// Its inverse.
pub const INVERSE_SUBSTITUTION: [u8; 256] = inverse_substitution();

const fn substitution() -> [u8; 256] {
    let mut table = [0; 256];
    let mut x = 0;
    while x < 256 {
        let y = galois::invert(x as u8);
        let affine = y ^ y.rotate_left(1) ^ y.rotate_left(2) ^ y.rotate_left(3) ^ y.rotate_left(4);
        table[x] = affine ^ 0x63;
        x += 1;
    }
    table
}

const fn inverse_substitution() -> [u8; 256] {
    let mut table = [0; 256];
    let mut x = 0;
    while x < 256 {
        table[SUBSTITUTION[x] as usize] = x as u8;
        x += 1;
    }
    table
}

/// SubBytes.
#[must_use]
pub fn substitute(state: [u8; 16]) -> [u8; 16] {
    state.map(|byte| SUBSTITUTION[usize::from(byte)])
}

/// InvSubBytes.
#[must_use]
pub fn unsubstitute(state: [u8; 16]) -> [u8; 16] {
    state.map(|byte| INVERSE_SUBSTITUTION[usize::from(byte)])
}

/// ShiftRows: row r (bytes r, r + 4, r + 8, r + 12) moves r columns to the left.
#[must_use]
pub fn shift_rows(state: [u8; 16]) -> [u8; 16] {
    core::array::from_fn(|i| state[(i + 4 * (i % 4)) % 16])
}

/// InvShiftRows.
#[must_use]
pub fn unshift_rows(state: [u8; 16]) -> [u8; 16] {
    core::array::from_fn(|i| state[(i + 12 * (i % 4)) % 16])
}

/// MixColumns: multiplication by 3x^3 + x^2 + x + 2 modulo x^4 + 1.
#[must_use]
pub fn mix_columns(state: [u8; 16]) -> [u8; 16] {
    multiply_columns(state, [2, 3, 1, 1])
}

/// InvMixColumns: multiplication by the inverse polynomial, 0Bx^3 + 0Dx^2 + 09x + 0E.
#[must_use]
pub fn unmix_columns(state: [u8; 16]) -> [u8; 16] {
    multiply_columns(state, [14, 11, 13, 9])
}

fn multiply_columns(state: [u8; 16], row: [u8; 4]) -> [u8; 16] {
    core::array::from_fn(|i| {
        (0..4).fold(0, |sum, k| sum ^ galois::multiply(row[k], state[i / 4 * 4 + (i + k) % 4]))
    })
}

/// Word `index` of what AESKEYGENASSIST computes: of words 1 and 3 of the source, the substituted
/// word and that rotated by a byte with the round constant added.
#[must_use]
pub fn key_word(source: [u32; 4], round_constant: u8, index: usize) -> u32 {
    let bytes = source[(index & 2) + 1].to_le_bytes();
    let substituted = u32::from_le_bytes(bytes.map(|byte| SUBSTITUTION[usize::from(byte)]));
    if index & 1 == 0 { substituted } else { substituted.rotate_right(8) ^ u32::from(round_constant) }
}
