//! The steps of the Advanced Encryption Standard (FIPS 197) on a state of sixteen bytes, column by
//! column, as AES-NI holds it (SDM volume 1, section 12.13).

use super::galois;

/// The S-box: inversion in GF(2^8), then the affine transformation of FIPS 197, section 5.1.1.
pub const SUBSTITUTION: [u8; 256] = substitution();
/// The inverse of [`SUBSTITUTION`]: InvSubBytes.
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
    columns(state, mix_column)
}

/// InvMixColumns: multiplication by 0Bx^3 + 0Dx^2 + 09x + 0E, which is that of MixColumns times
/// 04x^2 + 05.
#[must_use]
pub fn unmix_columns(state: [u8; 16]) -> [u8; 16] {
    columns(state, |column| {
        let fourfold = double(double(column ^ column.rotate_left(16)));
        mix_column(column ^ fourfold)
    })
}

/// Applies `f` to the four columns, row 0 in the low byte.
fn columns(state: [u8; 16], f: impl Fn(u32) -> u32) -> [u8; 16] {
    let mut result = [0; 16];
    for (to, from) in result.as_chunks_mut().0.iter_mut().zip(state.as_chunks().0) {
        *to = f(u32::from_le_bytes(*from)).to_le_bytes();
    }
    result
}

/// In row r: twice s[r], three times s[r + 1], and s[r + 2] and s[r + 3].
fn mix_column(column: u32) -> u32 {
    let next = column.rotate_right(8);
    double(column ^ next) ^ next ^ column.rotate_right(16) ^ column.rotate_right(24)
}

/// Doubles four elements of GF(2^8).
fn double(elements: u32) -> u32 {
    let carries = elements >> 7 & 0x0101_0101;
    ((elements & 0x7f7f_7f7f) << 1) ^ (carries * 0x1b)
}

/// Word `index` of what AESKEYGENASSIST computes: of words 1 and 3 of the source, the substituted
/// word and that rotated by a byte with the round constant added.
#[must_use]
pub fn key_word(source: [u32; 4], round_constant: u8, index: usize) -> u32 {
    let bytes = source[(index & 2) + 1].to_le_bytes();
    let substituted = u32::from_le_bytes(bytes.map(|byte| SUBSTITUTION[usize::from(byte)]));
    if index & 1 == 0 { substituted } else { substituted.rotate_right(8) ^ u32::from(round_constant) }
}
