//! Which byte strings to compare.

/// Prefixes that change what follows, in the combinations that matter.
const PREFIXES: &[&[u8]] = &[
    &[],
    &[0x66],
    &[0xf3],
    &[0xf2],
    &[0x67],
    &[0xf0],
    &[0x66, 0xf3],
    &[0xf2, 0x66],
    &[0x66, 0x67],
    &[0xf2, 0xf3],
    &[0xf3, 0xf2],
    &[0x64],
    &[0x2e],
    &[0x3e],
    &[0x36, 0x67],
    &[0x26, 0x65],
    &[0x65, 0xf0, 0x66],
    &[0xf0, 0xf2],
    &[0xf3, 0xf0],
    &[0x66, 0x66, 0x3e, 0x2e, 0x67, 0x67],
];

/// What leads to each opcode map.
const ESCAPES: &[&[u8]] = &[&[], &[0x0f], &[0x0f, 0x38], &[0x0f, 0x3a]];

/// SIB bytes that cover every scale, base and index, and the special cases of ESP and EBP.
const SIBS: &[u8] = &[
    0x00, 0x05, 0x20, 0x24, 0x25, 0x2c, 0x48, 0x55, 0x64, 0x65, 0x6e, 0x91, 0xa3, 0xa5, 0xba, 0xe4, 0xe5,
    0xf7, 0xfd, 0xcc,
];

/// Bytes after ModRM and SIB: displacements and immediates of either sign and all sizes.
const TAILS: &[[u8; 8]] =
    &[[0; 8], [0x7f, 0x80, 0x12, 0x89, 0xff, 0x01, 0xa5, 0x5a], [0xfe, 0xff, 0xff, 0xff, 0x81, 0, 0, 0x80]];

/// How many random tails, after random SIB bytes, each encoding gets besides.
const RANDOM_TAILS: usize = 12;

/// A small generator of random numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn bytes(&mut self) -> [u8; 8] {
        self.next().to_le_bytes()
    }
}

/// Calls `check` with every opcode in every map, every ModRM byte, a covering set of SIB bytes and
/// displacements, some random ones, and the prefix combinations above; `stride` 1 takes all of
/// them, more a sample.
pub fn systematic(stride: usize, mut check: impl FnMut(&[u8; 16])) {
    let mut turn = 0;
    let mut random = Random(1);
    for prefixes in PREFIXES {
        for escape in ESCAPES {
            for opcode in 0..=255 {
                each_modrm(&mut random, |modrm, sib, tail| {
                    turn += 1;
                    if turn % stride == 0 {
                        check(&joined(&[prefixes, escape, &[opcode, modrm], sib, tail]));
                    }
                });
            }
        }
    }
}

/// Every ModRM byte, with SIB bytes where it asks for one in 32-bit addressing.
fn each_modrm(random: &mut Random, mut visit: impl FnMut(u8, &[u8], &[u8])) {
    for modrm in 0..=255_u8 {
        let has_sib = modrm < 0xc0 && modrm & 7 == 4;
        for (number, tail) in TAILS.iter().enumerate() {
            if has_sib {
                for sib in SIBS.iter().skip(number).step_by(2) {
                    visit(modrm, &[*sib], tail);
                }
            } else {
                visit(modrm, &[], tail);
            }
        }
        for _ in 0..RANDOM_TAILS {
            visit(modrm, &[], &random.bytes());
        }
    }
}

/// The concatenation of `parts`, cut to 16 bytes.
fn joined(parts: &[&[u8]]) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(parts.iter().copied().flatten()) {
        *to = *from;
    }
    bytes
}

/// Calls `check` with `count` random byte strings, three quarters of them led by prefixes and escapes.
pub fn random(seed: u64, count: u64, mut check: impl FnMut(&[u8; 16])) {
    let mut random = Random(seed);
    for _ in 0..count {
        let choice = random.next();
        let (low, high) = (random.bytes(), random.bytes());
        let noise: &[&[u8]] = &[&low, &high];
        if choice & 3 != 0 {
            let prefixes = PREFIXES[(choice >> 8) as usize % PREFIXES.len()];
            let escape = ESCAPES[(choice >> 40) as usize % ESCAPES.len()];
            check(&joined(&[prefixes, escape, &low, &high]));
        } else {
            check(&joined(noise));
        }
    }
}
