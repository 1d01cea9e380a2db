//! Shuffles, blends and the other operations that an immediate or XMM0 steers.

use pentimento_decoder::Operation;

use super::{
    Binary, Lane, Vector, WithImmediate, WithMask, aes, at, build, galois, lane, map2, operations, rebuild,
    set_lane, sha,
};

#[rustfmt::skip]
operations! {
    /// The function of an operation with an immediate as its third operand. Shuffles of one source
    /// ignore what the destination held.
    with_immediate: WithImmediate(&mut V, &V, u8);
    Pshufw => |a, b, imm| build(a, |i| lane::<u16, V>(b, quarter(imm, i)));
    Pshufd => |a, b, imm| build(a, |i| lane::<u32, V>(b, quarter(imm, i)));
    Pshuflw => |a, b, imm| build(a, |i| lane::<u16, V>(b, if i < 4 { quarter(imm, i) } else { i }));
    Pshufhw => |a, b, imm| build(a, |i| lane::<u16, V>(b, if i < 4 { i } else { 4 + quarter(imm, i) }));
    Shufps => |a, b, imm| {
        rebuild(a, |a, i| lane::<u32, V>(if i < 2 { a } else { b }, quarter(imm, i)));
    };
    Shufpd => |a, b, imm| {
        rebuild(a, |a, i| lane::<u64, V>(if i < 1 { a } else { b }, usize::from(imm >> i & 1)));
    };
    Palignr => |a, b, imm| {
        let (width, count) = (8 * V::BYTES as u32, 8 * u32::from(imm));
        let [high, low] = [*a, *b].map(|vector| vector.guest_order().into_u128());
        let shifted = match width.checked_sub(count) {
            Some(rest) => low.checked_shr(count).unwrap_or(0) | high.checked_shl(rest).unwrap_or(0),
            None => high.checked_shr(count - width).unwrap_or(0),
        };
        *a = V::from_u128(shifted).guest_order();
    };
    Pblendw => |a, b, imm| blend::<u16, V>(a, b, |i| imm >> i & 1 != 0);
    Blendps => |a, b, imm| blend::<u32, V>(a, b, |i| imm >> i & 1 != 0);
    Blendpd => |a, b, imm| blend::<u64, V>(a, b, |i| imm >> i & 1 != 0);
    Insertps => insert_single;
    Mpsadbw => sums_of_differences;
    Aeskeygenassist => |a, b, imm| build(a, |i| aes::key_word([0, 1, 2, 3].map(|k| lane(b, k)), imm, i));
    Pclmulqdq => |a, b, imm| {
        let product = galois::carryless_multiply(lane(a, usize::from(imm & 1)), lane(b, usize::from(imm >> 4 & 1)));
        *a = V::from_u128(product).guest_order();
    };
    Sha1rnds4 => |a, b, imm| {
        let state = [0, 1, 2, 3].map(|i| lane(a, i));
        let state = sha::sha1_four_rounds(state, [0, 1, 2, 3].map(|i| lane(b, i)), imm);
        build(a, |i| state[i % 4]);
    };
    Gf2p8affineqb => |a, b, imm| {
        map_bytes_by_quad(a, b, |x, matrix| galois::affine(matrix, x) ^ imm);
    };
    Gf2p8affineinvqb => |a, b, imm| {
        map_bytes_by_quad(a, b, |x, matrix| galois::affine(matrix, galois::invert(x)) ^ imm);
    };
}

#[rustfmt::skip]
operations! {
    /// The function of an operation whose third operand is XMM0.
    with_mask: WithMask(&mut V, &V, &V);
    Pblendvb => |a, b, mask| blend::<u8, V>(a, b, |i| lane::<i8, V>(mask, i) < 0);
    Blendvps => |a, b, mask| blend::<u32, V>(a, b, |i| lane::<i32, V>(mask, i) < 0);
    Blendvpd => |a, b, mask| blend::<u64, V>(a, b, |i| lane::<i64, V>(mask, i) < 0);
    Sha256rnds2 => |a, b, keys| {
        let words = |v: &V| [0, 1, 2, 3].map(|i| lane(v, i));
        let state = sha::sha256_two_rounds(words(a), words(b), [lane(keys, 0), lane(keys, 1)]);
        build(a, |i| state[i % 4]);
    };
}

/// Two-bit field `index` (modulo 4) of an immediate.
#[inline(always)]
fn quarter(immediate: u8, index: usize) -> usize {
    usize::from(immediate >> (2 * (index & 3)) & 3)
}

/// Takes the lanes of `b` that `choose` wants.
#[inline(always)]
fn blend<L: Lane, V: Vector>(a: &mut V, b: &V, choose: impl Fn(usize) -> bool) {
    rebuild(a, |a, i| at::<L, V>(if choose(i) { b } else { a }, i));
}

/// Each byte of `a` with the quadword of `b` that stands where the byte does.
#[inline(always)]
fn map_bytes_by_quad<V: Vector>(a: &mut V, b: &V, f: impl Fn(u8, u64) -> u8) {
    rebuild(a, |a, i| f(at(a, i), at(b, i / 8)));
}

/// INSERTPS: bits 7:6 choose a lane of the source, 5:4 where it goes, 3:0 which lanes are cleared.
fn insert_single<V: Vector>(a: &mut V, b: &V, immediate: u8) {
    set_lane(a, quarter(immediate, 2), lane::<u32, V>(b, quarter(immediate, 3)));
    rebuild(a, |a, i| if immediate >> i & 1 != 0 { 0 } else { at::<u32, V>(a, i) });
}

/// MPSADBW: four bytes of the source against each of eight overlapping groups of the destination.
fn sums_of_differences<V: Vector>(a: &mut V, b: &V, immediate: u8) {
    let start = usize::from(immediate >> 2 & 1) * 4;
    let block = [0, 1, 2, 3].map(|k| lane::<u8, V>(b, quarter(immediate, 0) * 4 + k));
    rebuild(a, |a, i| {
        (0..4).map(|k| u16::from(at::<u8, V>(a, start + i + k).abs_diff(block[k]))).sum::<u16>()
    });
}

#[rustfmt::skip]
operations! {
    /// The function of a two-operand cryptographic operation.
    cryptographic: Binary(&mut V, &V);
    Aesenc => |a, b| { rounds(a, |s| aes::mix_columns(aes::substitute(aes::shift_rows(s)))); map2(a, b, xor) };
    Aesenclast => |a, b| { rounds(a, |s| aes::substitute(aes::shift_rows(s))); map2(a, b, xor) };
    Aesdec => |a, b| { rounds(a, |s| aes::unmix_columns(aes::unsubstitute(aes::unshift_rows(s)))); map2(a, b, xor) };
    Aesdeclast => |a, b| { rounds(a, |s| aes::unsubstitute(aes::unshift_rows(s))); map2(a, b, xor) };
    Aesimc => |a, b| { *a = *b; rounds(a, aes::unmix_columns) };
    Sha1nexte => |a, b| words(a, b, sha::sha1_next_e);
    Sha1msg1 => |a, b| words(a, b, sha::sha1_message1);
    Sha1msg2 => |a, b| words(a, b, sha::sha1_message2);
    Sha256msg1 => |a, b| words(a, b, sha::sha256_message1);
    Sha256msg2 => |a, b| words(a, b, sha::sha256_message2);
    Gf2p8mulb => |a, b| map2(a, b, galois::multiply);
}

#[inline(always)]
fn xor(a: u64, b: u64) -> u64 {
    a ^ b
}

/// Applies a step of AES to the sixteen bytes of the state.
#[inline(always)]
fn rounds<V: Vector>(a: &mut V, f: impl Fn([u8; 16]) -> [u8; 16]) {
    let bytes = f(core::array::from_fn(|i| lane(a, i)));
    build(a, |i| bytes[i % 16]);
}

/// Applies `f` to vectors of four doublewords, lowest first.
#[inline(always)]
fn words<V: Vector>(a: &mut V, b: &V, f: impl Fn([u32; 4], [u32; 4]) -> [u32; 4]) {
    let result = f(core::array::from_fn(|i| lane(a, i)), core::array::from_fn(|i| lane(b, i)));
    build(a, |i| result[i % 4]);
}
