//! The steps of SHA-1 and SHA-256 (FIPS 180-4) that the SHA extensions compute (SDM volume 1,
//! section 12.16). Vectors are four doublewords, lowest first; the manual numbers the words of a
//! message block from the top.

/// SHA1RNDS4: four rounds with function and constant number `immediate % 4`; `words` are the
/// message words, the first with E already added.
#[must_use]
pub fn sha1_four_rounds(state: [u32; 4], words: [u32; 4], immediate: u8) -> [u32; 4] {
    const CONSTANTS: [u32; 4] = [0x5a82_7999, 0x6ed9_eba1, 0x8f1b_bcdc, 0xca62_c1d6];
    let choice = usize::from(immediate & 3);
    let f = |b: u32, c: u32, d: u32| match choice {
        0 => b & c ^ !b & d,
        2 => b & c ^ b & d ^ c & d,
        _ => b ^ c ^ d,
    };
    let [mut d, mut c, mut b, mut a] = state;
    let mut e = 0u32;
    for word in words.into_iter().rev() {
        let next = f(b, c, d)
            .wrapping_add(a.rotate_left(5))
            .wrapping_add(word)
            .wrapping_add(e)
            .wrapping_add(CONSTANTS[choice]);
        (a, b, c, d, e) = (next, a, b.rotate_left(30), c, d);
    }
    [d, c, b, a]
}

/// SHA1NEXTE: adds E after four rounds, from A before them, to the next message word.
#[must_use]
pub fn sha1_next_e(state: [u32; 4], words: [u32; 4]) -> [u32; 4] {
    let [w3, w2, w1, w0] = words;
    [w3, w2, w1, w0.wrapping_add(state[3].rotate_left(30))]
}

/// SHA1MSG1: the first half of the message schedule.
#[must_use]
pub fn sha1_message1(a: [u32; 4], b: [u32; 4]) -> [u32; 4] {
    let [w3, w2, w1, w0] = a;
    let [_, _, w5, w4] = b;
    [w5 ^ w3, w4 ^ w2, w3 ^ w1, w2 ^ w0]
}

/// SHA1MSG2: the second half of the message schedule.
#[must_use]
pub fn sha1_message2(a: [u32; 4], b: [u32; 4]) -> [u32; 4] {
    let [w15, w14, w13, _] = b;
    let w16 = (a[3] ^ w13).rotate_left(1);
    let w17 = (a[2] ^ w14).rotate_left(1);
    let w18 = (a[1] ^ w15).rotate_left(1);
    let w19 = (a[0] ^ w16).rotate_left(1);
    [w19, w18, w17, w16]
}

/// SHA256RNDS2: two rounds; `cdgh` is the destination, `abef` the source, `words` the message words
/// with their round constants added.
#[must_use]
pub fn sha256_two_rounds(cdgh: [u32; 4], abef: [u32; 4], words: [u32; 2]) -> [u32; 4] {
    let [mut h, mut g, mut d, mut c] = cdgh;
    let [mut f, mut e, mut b, mut a] = abef;
    for word in words {
        let choose = e & f ^ !e & g;
        let majority = a & b ^ a & c ^ b & c;
        let sum0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let sum1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let first = h.wrapping_add(sum1).wrapping_add(choose).wrapping_add(word);
        let second = sum0.wrapping_add(majority);
        (a, b, c, d, e, f, g, h) = (first.wrapping_add(second), a, b, c, d.wrapping_add(first), e, f, g);
    }
    // The old A, B, E and F are the new C, D, G and H: the next step's source.
    let _ = (c, d, g, h);
    [f, e, b, a]
}

/// SHA256MSG1: the first half of the message schedule.
#[must_use]
pub fn sha256_message1(a: [u32; 4], b: [u32; 4]) -> [u32; 4] {
    let sigma = |x: u32| x.rotate_right(7) ^ x.rotate_right(18) ^ x >> 3;
    let next = [a[1], a[2], a[3], b[0]];
    core::array::from_fn(|i| a[i].wrapping_add(sigma(next[i])))
}

/// SHA256MSG2: the second half of the message schedule.
#[must_use]
pub fn sha256_message2(a: [u32; 4], b: [u32; 4]) -> [u32; 4] {
    let sigma = |x: u32| x.rotate_right(17) ^ x.rotate_right(19) ^ x >> 10;
    let w16 = a[0].wrapping_add(sigma(b[2]));
    let w17 = a[1].wrapping_add(sigma(b[3]));
    [w16, w17, a[2].wrapping_add(sigma(w16)), a[3].wrapping_add(sigma(w17))]
}
