//! The pure vector functions against the host's own vector unit.
#![cfg(target_arch = "x86_64")]

use std::arch::x86_64::*;

use pentimento_decoder::Operation;
use pentimento_execute::vector::{packed, shuffle, string_compare};
use proptest::prelude::*;

/// Runs `check` if the host has all that [`silicon`] uses.
fn on_silicon(check: impl FnOnce()) {
    if is_x86_feature_detected!("sse4.2")
        && is_x86_feature_detected!("aes")
        && is_x86_feature_detected!("pclmulqdq")
        && is_x86_feature_detected!("sha")
        && is_x86_feature_detected!("gfni")
    {
        check();
    }
}

fn into_vector(value: u128) -> __m128i {
    // SAFETY: both are sixteen bytes, and every bit pattern is valid for both.
    unsafe { std::mem::transmute(value) }
}

fn into_bits(value: __m128i) -> u128 {
    // SAFETY: as in `into_vector`.
    unsafe { std::mem::transmute(value) }
}

/// Bytes that sit on the edges of what saturates, compares and overflows, and any others.
fn vector() -> impl Strategy<Value = u128> {
    let byte = prop_oneof![
        2 => prop::sample::select(vec![0u8, 1, 0x7f, 0x80, 0x81, 0xff]),
        1 => any::<u8>(),
    ];
    prop_oneof![prop::array::uniform16(byte).prop_map(u128::from_le_bytes), any::<u128>()]
}

type Silicon1 = unsafe fn(__m128i) -> __m128i;
type Silicon2 = unsafe fn(__m128i, __m128i) -> __m128i;
type Silicon3 = unsafe fn(__m128i, __m128i, __m128i) -> __m128i;

/// A table of [`Operation`]s with the intrinsics that are the same instructions.
macro_rules! against_silicon {
    ($name:ident, $kind:ty, { $($operation:ident $intrinsic:ident;)* }) => {
        const $name: &[(Operation, $kind)] = &[$((Operation::$operation, $intrinsic)),*];
    };
}

#[rustfmt::skip]
against_silicon!(BINARY, Silicon2, {
    Paddb _mm_add_epi8; Paddw _mm_add_epi16; Paddd _mm_add_epi32; Paddq _mm_add_epi64;
    Paddsb _mm_adds_epi8; Paddsw _mm_adds_epi16; Paddusb _mm_adds_epu8; Paddusw _mm_adds_epu16;
    Psubb _mm_sub_epi8; Psubw _mm_sub_epi16; Psubd _mm_sub_epi32; Psubq _mm_sub_epi64;
    Psubsb _mm_subs_epi8; Psubsw _mm_subs_epi16; Psubusb _mm_subs_epu8; Psubusw _mm_subs_epu16;
    Pmullw _mm_mullo_epi16; Pmulld _mm_mullo_epi32; Pmulhw _mm_mulhi_epi16; Pmulhuw _mm_mulhi_epu16;
    Pmulhrsw _mm_mulhrs_epi16; Pmuludq _mm_mul_epu32; Pmuldq _mm_mul_epi32; Pmaddwd _mm_madd_epi16;
    Pmaddubsw _mm_maddubs_epi16; Psadbw _mm_sad_epu8; Pavgb _mm_avg_epu8; Pavgw _mm_avg_epu16;
    Pmaxub _mm_max_epu8; Pmaxuw _mm_max_epu16; Pmaxud _mm_max_epu32;
    Pmaxsb _mm_max_epi8; Pmaxsw _mm_max_epi16; Pmaxsd _mm_max_epi32;
    Pminub _mm_min_epu8; Pminuw _mm_min_epu16; Pminud _mm_min_epu32;
    Pminsb _mm_min_epi8; Pminsw _mm_min_epi16; Pminsd _mm_min_epi32;
    Pcmpeqb _mm_cmpeq_epi8; Pcmpeqw _mm_cmpeq_epi16; Pcmpeqd _mm_cmpeq_epi32; Pcmpeqq _mm_cmpeq_epi64;
    Pcmpgtb _mm_cmpgt_epi8; Pcmpgtw _mm_cmpgt_epi16; Pcmpgtd _mm_cmpgt_epi32; Pcmpgtq _mm_cmpgt_epi64;
    Psignb _mm_sign_epi8; Psignw _mm_sign_epi16; Psignd _mm_sign_epi32;
    Phaddw _mm_hadd_epi16; Phaddd _mm_hadd_epi32; Phaddsw _mm_hadds_epi16;
    Phsubw _mm_hsub_epi16; Phsubd _mm_hsub_epi32; Phsubsw _mm_hsubs_epi16;
    Pand _mm_and_si128; Pandn _mm_andnot_si128; Por _mm_or_si128; Pxor _mm_xor_si128;
    Packsswb _mm_packs_epi16; Packssdw _mm_packs_epi32; Packuswb _mm_packus_epi16; Packusdw _mm_packus_epi32;
    Punpcklbw _mm_unpacklo_epi8; Punpcklwd _mm_unpacklo_epi16; Punpckldq _mm_unpacklo_epi32;
    Punpcklqdq _mm_unpacklo_epi64; Punpckhbw _mm_unpackhi_epi8; Punpckhwd _mm_unpackhi_epi16;
    Punpckhdq _mm_unpackhi_epi32; Punpckhqdq _mm_unpackhi_epi64; Pshufb _mm_shuffle_epi8;
});

#[rustfmt::skip]
against_silicon!(CRYPTOGRAPHIC, Silicon2, {
    Aesenc _mm_aesenc_si128; Aesenclast _mm_aesenclast_si128;
    Aesdec _mm_aesdec_si128; Aesdeclast _mm_aesdeclast_si128;
    Sha1nexte _mm_sha1nexte_epu32; Sha1msg1 _mm_sha1msg1_epu32; Sha1msg2 _mm_sha1msg2_epu32;
    Sha256msg1 _mm_sha256msg1_epu32; Sha256msg2 _mm_sha256msg2_epu32;
    Gf2p8mulb _mm_gf2p8mul_epi8;
});

#[rustfmt::skip]
against_silicon!(UNARY, Silicon1, {
    Pabsb _mm_abs_epi8; Pabsw _mm_abs_epi16; Pabsd _mm_abs_epi32;
    Pmovsxbw _mm_cvtepi8_epi16; Pmovsxbd _mm_cvtepi8_epi32;
    Pmovsxbq _mm_cvtepi8_epi64; Pmovsxwd _mm_cvtepi16_epi32;
    Pmovsxwq _mm_cvtepi16_epi64; Pmovsxdq _mm_cvtepi32_epi64;
    Pmovzxbw _mm_cvtepu8_epi16; Pmovzxbd _mm_cvtepu8_epi32;
    Pmovzxbq _mm_cvtepu8_epi64; Pmovzxwd _mm_cvtepu16_epi32;
    Pmovzxwq _mm_cvtepu16_epi64; Pmovzxdq _mm_cvtepu32_epi64;
    Phminposuw _mm_minpos_epu16;
    Aesimc _mm_aesimc_si128; Movshdup movshdup; Movsldup movsldup; Movddup movddup;
});

#[rustfmt::skip]
against_silicon!(MASKED, Silicon3, {
    Pblendvb _mm_blendv_epi8;
    Blendvps blendvps; Blendvpd blendvpd;
    Sha256rnds2 _mm_sha256rnds2_epu32;
});

#[rustfmt::skip]
against_silicon!(SHIFT, Silicon2, {
    Psllw _mm_sll_epi16; Pslld _mm_sll_epi32; Psllq _mm_sll_epi64;
    Psrlw _mm_srl_epi16; Psrld _mm_srl_epi32; Psrlq _mm_srl_epi64;
    Psraw _mm_sra_epi16; Psrad _mm_sra_epi32;
});

/// Gives intrinsics on floats, and those with an immediate, the type of all the others.
macro_rules! bridges {
    ($($name:ident$(<$immediate:ident>)? $feature:literal |$($argument:ident),*| $body:expr;)*) => {$(
        #[target_feature(enable = $feature)]
        fn $name$(<const $immediate: i32>)?($($argument: __m128i),*) -> __m128i {
            $body
        }
    )*};
}

#[rustfmt::skip]
bridges! {
    movshdup "sse3" |b| _mm_castps_si128(_mm_movehdup_ps(_mm_castsi128_ps(b)));
    movsldup "sse3" |b| _mm_castps_si128(_mm_moveldup_ps(_mm_castsi128_ps(b)));
    movddup "sse3" |b| _mm_castpd_si128(_mm_movedup_pd(_mm_castsi128_pd(b)));
    blendvps "sse4.1" |a, b, mask| _mm_castps_si128(_mm_blendv_ps(_mm_castsi128_ps(a), _mm_castsi128_ps(b), _mm_castsi128_ps(mask)));
    blendvpd "sse4.1" |a, b, mask| _mm_castpd_si128(_mm_blendv_pd(_mm_castsi128_pd(a), _mm_castsi128_pd(b), _mm_castsi128_pd(mask)));
    pshufd<IMM> "sse2" |_a, b| _mm_shuffle_epi32::<IMM>(b);
    pshuflw<IMM> "sse2" |_a, b| _mm_shufflelo_epi16::<IMM>(b);
    pshufhw<IMM> "sse2" |_a, b| _mm_shufflehi_epi16::<IMM>(b);
    shufps<IMM> "sse2" |a, b| _mm_castps_si128(_mm_shuffle_ps::<IMM>(_mm_castsi128_ps(a), _mm_castsi128_ps(b)));
    palignr<IMM> "ssse3" |a, b| _mm_alignr_epi8::<IMM>(a, b);
    pblendw<IMM> "sse4.1" |a, b| _mm_blend_epi16::<IMM>(a, b);
    insertps<IMM> "sse4.1" |a, b| _mm_castps_si128(_mm_insert_ps::<IMM>(_mm_castsi128_ps(a), _mm_castsi128_ps(b)));
    aeskeygenassist<IMM> "aes" |_a, b| _mm_aeskeygenassist_si128::<IMM>(b);
    pclmulqdq<IMM> "pclmulqdq" |a, b| _mm_clmulepi64_si128::<IMM>(a, b);
    gf2p8affineqb<IMM> "gfni" |a, b| _mm_gf2p8affine_epi64_epi8::<IMM>(a, b);
    gf2p8affineinvqb<IMM> "gfni" |a, b| _mm_gf2p8affineinv_epi64_epi8::<IMM>(a, b);
    mpsadbw<IMM> "sse4.1" |a, b| _mm_mpsadbw_epu8::<IMM>(a, b);
    blendps<IMM> "sse4.1" |a, b| _mm_castps_si128(_mm_blend_ps::<IMM>(_mm_castsi128_ps(a), _mm_castsi128_ps(b)));
    blendpd<IMM> "sse4.1" |a, b| _mm_castpd_si128(_mm_blend_pd::<IMM>(_mm_castsi128_pd(a), _mm_castsi128_pd(b)));
    shufpd<IMM> "sse2" |a, b| _mm_castpd_si128(_mm_shuffle_pd::<IMM>(_mm_castsi128_pd(a), _mm_castsi128_pd(b)));
    sha1rnds4<IMM> "sha" |a, b| _mm_sha1rnds4_epu32::<IMM>(a, b);
}

macro_rules! immediates {
    ($($operation:ident $intrinsic:ident: $($immediate:literal)*;)*) => {
        &[$($((Operation::$operation, $immediate, $intrinsic::<$immediate>)),*),*]
    };
}

#[rustfmt::skip]
const IMMEDIATE: &[(Operation, u8, Silicon2)] = immediates! {
    Pshufd pshufd: 0 0x1b 0x4e 0x93 0xe4 0xff;
    Pshuflw pshuflw: 0 0x1b 0x4e 0x93 0xe4 0xff;
    Pshufhw pshufhw: 0 0x1b 0x4e 0x93 0xe4 0xff;
    Shufps shufps: 0 0x1b 0x4e 0x93 0xe4 0xff;
    Palignr palignr: 0 1 5 15 16 17 31 32 33 255;
    Pblendw pblendw: 0 0x0f 0x55 0x81 0xff;
    Insertps insertps: 0 0x1b 0x4e 0x93 0xe4 0xf8 0xff;
    Aeskeygenassist aeskeygenassist: 0 1 0x1b 0x80 0xff;
    Pclmulqdq pclmulqdq: 0 1 0x10 0x11;
    Gf2p8affineqb gf2p8affineqb: 0 0x63 0xff;
    Gf2p8affineinvqb gf2p8affineinvqb: 0 0x63 0xff;
    Mpsadbw mpsadbw: 0 1 2 3 4 5 6 7;
    Blendps blendps: 0 1 6 9 15;
    Blendpd blendpd: 0 1 2 3;
    Shufpd shufpd: 0 1 2 3;
    Sha1rnds4 sha1rnds4: 0 1 2 3;
};

macro_rules! string_compare_table {
    ($($immediate:literal)*) => {
        /// Index, mask, CF, ZF, SF and OF of each comparison, with explicit lengths and without.
        #[target_feature(enable = "sse4.2")]
        fn string_compare_silicon(a: __m128i, la: i32, b: __m128i, lb: i32, immediate: u8) -> [(u32, u128, u32); 2] {
            match immediate {
                $($immediate => {
                    const I: i32 = $immediate;
                    let flags = |c: i32, z: i32, s: i32, o: i32| (c | z << 6 | s << 7 | o << 11) as u32;
                    [
                        (
                            _mm_cmpestri::<I>(a, la, b, lb) as u32,
                            into_bits(_mm_cmpestrm::<I>(a, la, b, lb)),
                            flags(_mm_cmpestrc::<I>(a, la, b, lb), _mm_cmpestrz::<I>(a, la, b, lb),
                                _mm_cmpestrs::<I>(a, la, b, lb), _mm_cmpestro::<I>(a, la, b, lb)),
                        ),
                        (
                            _mm_cmpistri::<I>(a, b) as u32,
                            into_bits(_mm_cmpistrm::<I>(a, b)),
                            flags(_mm_cmpistrc::<I>(a, b), _mm_cmpistrz::<I>(a, b),
                                _mm_cmpistrs::<I>(a, b), _mm_cmpistro::<I>(a, b)),
                        ),
                    ]
                })*
                _ => [(0, 0, 0); 2],
            }
        }

        const STRING_COMPARE_IMMEDIATES: &[u8] = &[$($immediate),*];
    };
}

#[rustfmt::skip]
string_compare_table!(
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
    32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63
    64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79 80 81 82 83 84 85 86 87 88 89 90 91 92 93 94 95
    96 97 98 99 100 101 102 103 104 105 106 107 108 109 110 111 112 113 114 115 116 117 118 119 120
    121 122 123 124 125 126 127
);

/// Strings of few letters, so that they match, with ends early and late.
fn string() -> impl Strategy<Value = u128> {
    let byte = prop::sample::select(vec![0u8, b'a', b'a', b'b', b'b', b'c', 0xe1]);
    let letter = prop::sample::select(vec![b'a', b'b']);
    prop_oneof![
        prop::array::uniform16(byte).prop_map(u128::from_le_bytes),
        prop::array::uniform16(letter).prop_map(u128::from_le_bytes),
        any::<u128>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn binary_operations_agree(a in vector(), b in vector()) {
        on_silicon(|| {
            for &(operation, silicon) in BINARY.iter().chain(CRYPTOGRAPHIC) {
                let ours = packed::binary(operation).or_else(|| shuffle::cryptographic(operation));
                let mut result = a;
                ours.expect("in a table")(&mut result, &b);
                // SAFETY: `on_silicon` has checked for the features.
                let expected = unsafe { silicon(into_vector(a), into_vector(b)) };
                assert_eq!(result, into_bits(expected), "{operation:?}");
            }
            for &(operation, silicon) in UNARY {
                let mut result = a;
                let ours = packed::unary(operation).or_else(|| shuffle::cryptographic(operation));
                ours.expect("in a table")(&mut result, &b);
                // SAFETY: `on_silicon` has checked for the features.
                let expected = unsafe { silicon(into_vector(b)) };
                assert_eq!(result, into_bits(expected), "{operation:?}");
            }
        });
    }

    #[test]
    fn operations_with_an_immediate_agree(a in vector(), b in vector()) {
        on_silicon(|| {
            for &(operation, immediate, silicon) in IMMEDIATE {
                let mut result = a;
                shuffle::with_immediate(operation).expect("in the table")(&mut result, &b, immediate);
                // SAFETY: `on_silicon` has checked for the features.
                let expected = unsafe { silicon(into_vector(a), into_vector(b)) };
                assert_eq!(result, into_bits(expected), "{operation:?} {immediate:#x}");
            }
        });
    }

    #[test]
    fn masked_operations_agree(a in vector(), b in vector(), mask in vector()) {
        on_silicon(|| {
            for &(operation, silicon) in MASKED {
                let mut result = a;
                shuffle::with_mask(operation).expect("in the table")(&mut result, &b, &mask);
                // SAFETY: `on_silicon` has checked for the features.
                let expected = unsafe { silicon(into_vector(a), into_vector(b), into_vector(mask)) };
                assert_eq!(result, into_bits(expected), "{operation:?}");
            }
        });
    }

    #[test]
    fn shifts_agree(a in vector(), count in prop_oneof![0..70u64, any::<u64>()]) {
        on_silicon(|| {
            for &(operation, silicon) in SHIFT {
                let mut result = a;
                packed::shift(operation).expect("in the table")(&mut result, count);
                // SAFETY: `on_silicon` has checked for the features.
                let expected = unsafe { silicon(into_vector(a), into_vector(count.into())) };
                assert_eq!(result, into_bits(expected), "{operation:?} {count}");
            }
        });
    }

    #[test]
    fn string_comparisons_agree(a in string(), b in string(), la in -20..20i32, lb in -20..20i32) {
        on_silicon(|| {
            for &immediate in STRING_COMPARE_IMMEDIATES {
                // SAFETY: `on_silicon` has checked for SSE4.2.
                let expected = unsafe { string_compare_silicon(into_vector(a), la, into_vector(b), lb, immediate) };
                let ours = [
                    string_compare::explicit(&a, la, &b, lb, immediate),
                    string_compare::implicit(&a, &b, immediate),
                ];
                assert_eq!(ours.map(|c| (c.index(), c.mask(), c.flags.bits())), expected, "{immediate:#x}");
            }
        });
    }

    /// What acts on each lane alone does the same to an MMX register as to the low half of an XMM register.
    #[test]
    fn lanes_do_not_depend_on_the_width(a in any::<u64>(), b in any::<u64>()) {
        for operation in Operation::ALL.iter().copied().filter(|&operation| is_vertical(operation)) {
            let (mut narrow, mut wide) = (a, u128::from(a));
            if let (Some(on_mmx), Some(on_xmm)) = (packed::binary(operation), packed::binary(operation)) {
                on_mmx(&mut narrow, &b);
                on_xmm(&mut wide, &b.into());
                prop_assert_eq!(narrow, wide as u64, "{:?}", operation);
            }
        }
    }

    /// PSLLDQ and PSRLDQ shift the whole register by bytes.
    #[test]
    fn byte_shifts_shift_by_bytes(a in any::<u128>(), count: u8) {
        let by = |operation| {
            let mut result = a;
            packed::shift(operation).expect("in the table")(&mut result, count.into());
            result
        };
        let bits = u32::from(count) * 8;
        prop_assert_eq!(by(Operation::Pslldq), a.checked_shl(bits).unwrap_or(0));
        prop_assert_eq!(by(Operation::Psrldq), a.checked_shr(bits).unwrap_or(0));
    }
}

/// Whether each lane of the result depends on the same lanes of the operands only.
fn is_vertical(operation: Operation) -> bool {
    let horizontal = ["phadd", "phsub", "pack", "punpck", "unpck", "pshuf"];
    !horizontal.iter().any(|stem| operation.mnemonic().starts_with(stem))
}
