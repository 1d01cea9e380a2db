//! Polynomials over GF(2): carry-less products, and the field GF(2^8) of AES and GFNI.

/// The 127-bit product of two polynomials of degree 63 (PCLMULQDQ).
#[must_use]
pub fn carryless_multiply(a: u64, b: u64) -> u128 {
    (0..64).fold(0, |sum, bit| sum ^ (u128::from(a) << bit) & 0u128.wrapping_sub(u128::from(b >> bit & 1)))
}

/// The product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1 (FIPS 197, section 4.2; GF2P8MULB).
#[must_use]
pub const fn multiply(mut a: u8, b: u8) -> u8 {
    let mut product = 0;
    let mut bit = 0;
    while bit < 8 {
        product ^= a & 0u8.wrapping_sub(b >> bit & 1);
        a = a << 1 ^ 0x1b & 0u8.wrapping_sub(a >> 7);
        bit += 1;
    }
    product
}

/// The inverse in GF(2^8), with 0 for 0: x to the power of 254.
#[must_use]
pub const fn invert(x: u8) -> u8 {
    let mut power = x;
    let mut inverse = 1;
    let mut step = 0;
    while step < 7 {
        power = multiply(power, power);
        inverse = multiply(inverse, power);
        step += 1;
    }
    inverse
}

/// The product of an 8x8 matrix of bits and a vector of eight (GF2P8AFFINEQB); the matrix's row for
/// bit `i` of the result is byte `7 - i`.
#[must_use]
pub fn affine(matrix: u64, x: u8) -> u8 {
    let rows = matrix.to_be_bytes();
    (0..8).fold(0, |result, i| result | (((rows[i] & x).count_ones() & 1) as u8) << i)
}
