//! The rows of instructions on MMX and XMM registers.

use pentimento_execute::vector::approximation as pa;
use pentimento_execute::vector::comparison as pc;
use pentimento_execute::vector::conversion as pv;
use pentimento_execute::vector::floating_point as pf;
use pentimento_execute::vector::{packed as pp, shuffle as ps};

use crate::drivers::{attempt, straight};
use crate::operand::Computed;
use crate::table::row::{Family, HandlerRow, rows};
use crate::vector::float::{
    CompareQuietly, CompareScalars, Float, FloatImmediate, FloatToGeneral, LoadMxcsr, Middling, Noted,
    StoreMxcsr,
};
use crate::vector::operand::{Aligned, Byte, Call, Double, General, Inline, Mm, Quad, Unaligned, Word, Xmm};
use crate::vector::packed::{
    Clear, CompareStrings, Empty, Extract, Insert, Masked, Packed, ShiftBy, ShiftImmediate, Shuffle, Signs,
    TestBits,
};
use crate::vector::transfer::{
    BetweenFiles, Load, LoadQuad, Merge, Store, StoreAligned, StoreLane, StoreUnaligned, ToGeneral,
};

/// Operations of two operands on XMM registers, by what they compute: `Inline` in the handler, or by a
/// `Call` from it; where in memory an operand may be says the letter.
macro_rules! on_xmm {
    ($how:ident $effect:ident $axes:tt $address:ident $($module:ident: $($name:ident)*;)*) => {
        rows! { $($(
            $name [XMM, XMM]  ()    straight::<$how<$effect<$module::$name>, u128, Xmm>>;
            $name [XMM, M128] $axes straight::<$how<$effect<$module::$name>, u128, Aligned<$address>>>;
        )*)* }
    };
}

/// The same for operations whose operand in memory is smaller than the register.
macro_rules! on_part {
    ($effect:ident $memory:ident $type:ident $($module:ident: $($name:ident)*;)*) => {
        rows! { $($(
            $name [XMM, XMM]     () straight::<Call<$effect<$module::$name>, u128, Xmm>>;
            $name [XMM, $memory] () straight::<Call<$effect<$module::$name>, u128, $type<Computed>>>;
        )*)* }
    };
}

/// The same on MMX registers.
macro_rules! on_mmx {
    ($how:ident $effect:ident $memory:ident $type:ident $($module:ident: $($name:ident)*;)*) => {
        rows! { $($(
            $name [MM, MM]      () straight::<$how<$effect<$module::$name>, u64, Mm>>;
            $name [MM, $memory] () straight::<$how<$effect<$module::$name>, u64, $type<Computed>>>;
        )*)* }
    };
}

const FREQUENT_INTEGERS: &[HandlerRow] = on_xmm! { Inline Packed (G) G
    pp: Paddd Paddq Pmuludq Pminub Pcmpeqb Pcmpeqd Pand Pandn Por Andps Andpd;
};

const INTEGERS: &[HandlerRow] = on_xmm! { Inline Packed () Computed
    pp: Paddb Paddw Paddusb Paddusw Paddsb Paddsw Psubusb Psubusw Psubsb Psubsw
        Pmullw Pmulld Pmulhw Pmulhuw Pmaddwd Pavgb Pavgw
        Pmaxub Pmaxsw Pmaxsd Pmaxud Pmaxsb Pmaxuw Pminsw Pminsd Pminud Pminsb Pminuw
        Pcmpeqw Pcmpgtb Pcmpgtw Pcmpgtd Pcmpeqq
        Andnps Andnpd Orps Orpd
        Packsswb Packssdw Packuswb
        Punpcklbw Punpcklwd Punpckldq Punpcklqdq Punpckhbw Punpckhwd Punpckhdq Punpckhqdq
        Unpcklps Unpckhps Unpcklpd Unpckhpd;
};

const RARER_INTEGERS: &[HandlerRow] = on_xmm! { Call Packed () Computed
    pp: Psadbw Pshufb Pabsb Pabsw Pabsd Psignb Psignw Psignd Phaddw Phaddd Phaddsw Phsubw Phsubd Phsubsw
        Pmaddubsw Pmulhrsw Pmuldq Pcmpgtq Packusdw Phminposuw Movshdup Movsldup;
    ps: Aesenc Aesenclast Aesdec Aesdeclast Aesimc Sha1nexte Sha1msg1 Sha1msg2 Sha256msg1 Sha256msg2 Gf2p8mulb;
    pa: Rcpps Rsqrtps;
};

const WIDENING: &[&[HandlerRow]] = &[
    on_part! { Packed M64 Quad
        pp: Pmovsxbw Pmovsxwd Pmovsxdq Pmovzxbw Pmovzxwd Pmovzxdq Movddup;
    },
    on_part! { Packed M32 Double
        pp: Pmovsxbd Pmovsxwq Pmovzxbd Pmovzxwq;
        pa: Rcpss Rsqrtss;
    },
    on_part! { Packed M16 Word
        pp: Pmovsxbq Pmovzxbq;
    },
];

/// What clears the register if it is both operands.
macro_rules! differences {
    ($($name:ident)*) => {
        rows! { $(
            $name [XMM, SAME_XMM]  ()  straight::<Clear>;
            $name [XMM, OTHER_XMM] ()  straight::<Inline<Packed<pp::$name>, u128, Xmm>>;
            $name [XMM, M128]      (G) straight::<Inline<Packed<pp::$name>, u128, Aligned<G>>>;
        )* }
    };
}

const DIFFERENCES: &[HandlerRow] = differences!(Pxor Xorps Xorpd Psubb Psubw Psubd Psubq);

const MMX: &[&[HandlerRow]] = &[
    on_mmx! { Inline Packed M64 Quad
        pp: Paddb Paddw Paddd Paddusb Paddusw Paddsb Paddsw
            Psubb Psubw Psubd Psubq Psubusb Psubusw Psubsb Psubsw
            Pmullw Pmulhw Pmulhuw Pmaddwd Pavgb Pavgw Pmaxub Pmaxsw Pminub Pminsw
            Pcmpeqb Pcmpeqw Pcmpeqd Pcmpgtb Pcmpgtw Pcmpgtd Pand Pandn Por Pxor
            Packsswb Packssdw Packuswb Punpckhbw Punpckhwd Punpckhdq;
    },
    on_mmx! { Call Packed M64 Quad
        pp: Psadbw Pshufb Pabsb Pabsw Pabsd Psignb Psignw Psignd Phaddw Phaddd Phaddsw Phsubw Phsubd Phsubsw
            Pmaddubsw Pmulhrsw;
    },
    on_mmx! { Inline Packed M32 Double
        pp: Punpcklbw Punpcklwd Punpckldq;
    },
    on_mmx! { Inline ShiftBy M64 Quad
        pp: Psllw Pslld Psllq Psrlw Psrld Psrlq Psraw Psrad;
    },
    rows! {
        // Big numbers are multiplied and added with these two.
        Paddq    [MM, MM]       ()  straight::<Inline<Packed<pp::Paddq>, u64, Mm>>;
        Paddq    [MM, M64]      (G) straight::<Inline<Packed<pp::Paddq>, u64, Quad<G>>>;
        Pmuludq  [MM, MM]       ()  straight::<Inline<Packed<pp::Pmuludq>, u64, Mm>>;
        Pmuludq  [MM, M64]      (G) straight::<Inline<Packed<pp::Pmuludq>, u64, Quad<G>>>;
        Movd     [MM, R32]      ()  straight::<Inline<Load, u64, General>>;
        Movd     [MM, M32]      (G) straight::<Inline<Load, u64, Double<G>>>;
        Movd     [R32, MM]      ()  straight::<Inline<ToGeneral, u64, Mm>>;
        Movd     [M32, MM]      (G) straight::<Store<u32, u64, G, 0>>;
        Movq     [MM, MM]       ()  straight::<Inline<Load, u64, Mm>>;
        Movq     [MM, M64]      (G) straight::<Inline<Load, u64, Quad<G>>>;
        Movq     [M64, MM]      (G) straight::<Store<u64, u64, G, 0>>;
        Movntq   [M64, MM]      ()  straight::<Store<u64, u64, Computed, 0>>;
        Movq2dq  [XMM, MM]      ()  straight::<BetweenFiles<false>>;
        Movdq2q  [MM, XMM]      ()  straight::<BetweenFiles<true>>;
        Pmovmskb [R32, MM]      ()  straight::<Inline<Signs<i8>, u64, Mm>>;
        Pextrw   [R32, MM, I]   ()  straight::<Inline<Extract<u16>, u64, Mm>>;
        Pinsrw   [MM, R32, I]   ()  straight::<Inline<Insert<u16>, u64, General>>;
        Pinsrw   [MM, M16, I]   ()  straight::<Inline<Insert<u16>, u64, Word<Computed>>>;
        Pshufw   [MM, MM, I]    ()  straight::<Inline<Shuffle<ps::Pshufw>, u64, Mm>>;
        Pshufw   [MM, M64, I]   ()  straight::<Inline<Shuffle<ps::Pshufw>, u64, Quad<Computed>>>;
        Palignr  [MM, MM, I]    ()  straight::<Call<Shuffle<ps::Palignr>, u64, Mm>>;
        Palignr  [MM, M64, I]   ()  straight::<Call<Shuffle<ps::Palignr>, u64, Quad<Computed>>>;
        Emms     []             ()  straight::<Empty>;
        Femms    []             ()  straight::<Empty>;
    },
];

/// Shifts by an immediate, in both files, and by a register or memory in XMM registers.
macro_rules! shifts {
    ($($name:ident)*) => {
        rows! { $(
            $name [XMM, I]    ()  straight::<ShiftImmediate<pp::$name, u128>>;
            $name [MM, I]     ()  straight::<ShiftImmediate<pp::$name, u64>>;
            $name [XMM, XMM]  ()  straight::<Inline<ShiftBy<pp::$name>, u128, Xmm>>;
            $name [XMM, M128] ()  straight::<Inline<ShiftBy<pp::$name>, u128, Aligned<Computed>>>;
        )* }
    };
}

const SHIFTS: &[&[HandlerRow]] = &[
    shifts!(Psllw Pslld Psllq Psrlw Psrld Psrlq Psraw Psrad),
    rows! {
        Pslldq [XMM, I] () straight::<ShiftImmediate<pp::Pslldq, u128>>;
        Psrldq [XMM, I] () straight::<ShiftImmediate<pp::Psrldq, u128>>;
    },
];

/// Operations with an immediate on XMM registers.
macro_rules! with_immediate {
    ($how:ident $effect:ident $memory:ident $type:ident $module:ident: $($name:ident)*) => {
        rows! { $(
            $name [XMM, XMM, I]     () straight::<$how<$effect<$module::$name>, u128, Xmm>>;
            $name [XMM, $memory, I] () straight::<$how<$effect<$module::$name>, u128, $type<Computed>>>;
        )* }
    };
}

const WITH_IMMEDIATE: &[&[HandlerRow]] = &[
    with_immediate! { Inline Shuffle M128 Aligned ps:
    Pshufd Pshuflw Pshufhw Shufps Shufpd Palignr Pblendw Blendps Blendpd },
    with_immediate! { Call Shuffle M128 Aligned ps:
    Mpsadbw Aeskeygenassist Pclmulqdq Sha1rnds4 Gf2p8affineqb Gf2p8affineinvqb },
    with_immediate! { Call FloatImmediate M128 Aligned pf: Cmpps Cmppd Roundps Roundpd Dpps Dppd },
    with_immediate! { Call FloatImmediate M64 Quad pf: Cmpsd Roundsd },
    with_immediate! { Call FloatImmediate M32 Double pf: Cmpss Roundss },
    rows! {
        Insertps  [XMM, XMM, I]  ()  straight::<Call<Shuffle<ps::Insertps>, u128, Xmm>>;
        Pextrb    [R32, XMM, I]  ()  straight::<Inline<Extract<u8>, u128, Xmm>>;
        Pextrb    [M8, XMM, I]   ()  straight::<StoreLane<u8, Computed>>;
        Pextrw    [R32, XMM, I]  ()  straight::<Inline<Extract<u16>, u128, Xmm>>;
        Pextrw    [M16, XMM, I]  ()  straight::<StoreLane<u16, Computed>>;
        Pextrd    [R32, XMM, I]  ()  straight::<Inline<Extract<u32>, u128, Xmm>>;
        Pextrd    [M32, XMM, I]  ()  straight::<StoreLane<u32, Computed>>;
        Extractps [R32, XMM, I]  ()  straight::<Inline<Extract<u32>, u128, Xmm>>;
        Extractps [M32, XMM, I]  ()  straight::<StoreLane<u32, Computed>>;
        Pinsrb    [XMM, R32, I]  ()  straight::<Inline<Insert<u8>, u128, General>>;
        Pinsrb    [XMM, M8, I]   ()  straight::<Inline<Insert<u8>, u128, Byte<Computed>>>;
        Pinsrw    [XMM, R32, I]  ()  straight::<Inline<Insert<u16>, u128, General>>;
        Pinsrw    [XMM, M16, I]  ()  straight::<Inline<Insert<u16>, u128, Word<Computed>>>;
        Pinsrd    [XMM, R32, I]  ()  straight::<Inline<Insert<u32>, u128, General>>;
        Pinsrd    [XMM, M32, I]  ()  straight::<Inline<Insert<u32>, u128, Double<Computed>>>;
        Pcmpistri [XMM, XMM, I]  ()  straight::<Call<CompareStrings<false, false>, u128, Xmm>>;
        Pcmpistri [XMM, M128, I] ()  straight::<Call<CompareStrings<false, false>, u128, Unaligned<Computed>>>;
        Pcmpistrm [XMM, XMM, I]  ()  straight::<Call<CompareStrings<false, true>, u128, Xmm>>;
        Pcmpistrm [XMM, M128, I] ()  straight::<Call<CompareStrings<false, true>, u128, Unaligned<Computed>>>;
        Pcmpestri [XMM, XMM, I]  ()  straight::<Call<CompareStrings<true, false>, u128, Xmm>>;
        Pcmpestri [XMM, M128, I] ()  straight::<Call<CompareStrings<true, false>, u128, Unaligned<Computed>>>;
        Pcmpestrm [XMM, XMM, I]  ()  straight::<Call<CompareStrings<true, true>, u128, Xmm>>;
        Pcmpestrm [XMM, M128, I] ()  straight::<Call<CompareStrings<true, true>, u128, Unaligned<Computed>>>;
    },
];

const MASKED: &[HandlerRow] = on_xmm! { Call Masked () Computed
    ps: Pblendvb Blendvps Blendvpd Sha256rnds2;
};

/// Arithmetic that the host can do, with an operand in memory of this size.
macro_rules! arithmetic {
    ($memory:ident $type:ident: $($name:ident)*) => {
        rows! { $(
            $name [XMM, XMM] () attempt::<Inline<Middling<pf::$name>, u128, Xmm>, Call<Noted<pf::$name>, u128, Xmm>>;
            $name [XMM, $memory] (A)
                attempt::<Inline<Middling<pf::$name>, u128, $type<A>>, Call<Noted<pf::$name>, u128, $type<Computed>>>;
        )* }
    };
}

/// COMISS and its kin.
macro_rules! comparisons {
    ($($name:ident $memory:ident $type:ident $lane:ty, $signalling:literal;)*) => {
        rows! { $(
            $name [XMM, XMM] ()
                attempt::<Inline<CompareQuietly<$lane>, u128, Xmm>, Call<CompareScalars<$lane, $signalling>, u128, Xmm>>;
            $name [XMM, $memory] (G)
                attempt::<Inline<CompareQuietly<$lane>, u128, $type<G>>, Call<CompareScalars<$lane, $signalling>, u128, $type<Computed>>>;
        )* }
    };
}

/// Conversions to a general register.
macro_rules! to_general {
    ($($name:ident $memory:ident $type:ident;)*) => {
        rows! { $(
            $name [R32, XMM]     ()  straight::<Call<FloatToGeneral<pv::$name>, u128, Xmm>>;
            $name [R32, $memory] ()  straight::<Call<FloatToGeneral<pv::$name>, u128, $type<Computed>>>;
        )* }
    };
}

const FLOATS: &[&[HandlerRow]] = &[
    arithmetic! { M64 Quad: Addsd Subsd Mulsd Divsd Sqrtsd },
    arithmetic! { M32 Double: Addss Subss Mulss Divss Sqrtss },
    arithmetic! { M128 Aligned: Addps Addpd Subps Subpd Mulps Mulpd Divps Divpd Sqrtps Sqrtpd },
    comparisons! {
        Comisd  M64 Quad   u64, true;
        Ucomisd M64 Quad   u64, false;
        Comiss  M32 Double u32, true;
        Ucomiss M32 Double u32, false;
    },
    on_xmm! { Call Float () Computed
        pf: Haddps Haddpd Hsubps Hsubpd Addsubps Addsubpd;
        pc: Minps Minpd Maxps Maxpd;
        pv: Cvtdq2ps Cvtps2dq Cvttps2dq Cvttpd2dq Cvtpd2dq Cvtpd2ps;
    },
    on_part! { Float M64 Quad
        pc: Minsd Maxsd;
        pv: Cvtsd2ss Cvtps2pd Cvtdq2pd;
    },
    on_part! { Float M32 Double
        pc: Minss Maxss;
        pv: Cvtss2sd;
    },
    to_general! {
        Cvttss2si M32 Double;
        Cvtss2si  M32 Double;
        Cvttsd2si M64 Quad;
        Cvtsd2si  M64 Quad;
    },
    rows! {
        Cvtsi2sd [XMM, R32] ()  straight::<Call<Float<pv::Cvtsi2sd>, u128, General>>;
        Cvtsi2sd [XMM, M32] ()  straight::<Call<Float<pv::Cvtsi2sd>, u128, Double<Computed>>>;
        Cvtsi2ss [XMM, R32] ()  straight::<Call<Float<pv::Cvtsi2ss>, u128, General>>;
        Cvtsi2ss [XMM, M32] ()  straight::<Call<Float<pv::Cvtsi2ss>, u128, Double<Computed>>>;
        Ldmxcsr  [M32]      ()  straight::<LoadMxcsr<Computed>>;
        Stmxcsr  [M32]      ()  straight::<StoreMxcsr<Computed>>;
    },
];

/// Moves of sixteen bytes.
macro_rules! whole {
    ($($name:ident $source:ident $store:ident;)*) => {
        rows! { $(
            $name [XMM, XMM]  ()  straight::<Inline<Load, u128, Xmm>>;
            $name [XMM, M128] (G) straight::<Inline<Load, u128, $source<G>>>;
            $name [M128, XMM] (G) straight::<$store<G>>;
        )* }
    };
}

const MOVES: &[&[HandlerRow]] = &[
    whole! {
        Movaps Aligned StoreAligned;
        Movapd Aligned StoreAligned;
        Movdqa Aligned StoreAligned;
        Movups Unaligned StoreUnaligned;
        Movupd Unaligned StoreUnaligned;
        Movdqu Unaligned StoreUnaligned;
    },
    rows! {
        Lddqu    [XMM, M128] ()  straight::<Inline<Load, u128, Unaligned<Computed>>>;
        Movntdqa [XMM, M128] ()  straight::<Inline<Load, u128, Aligned<Computed>>>;
        Movntps  [M128, XMM] ()  straight::<StoreAligned<Computed>>;
        Movntpd  [M128, XMM] ()  straight::<StoreAligned<Computed>>;
        Movntdq  [M128, XMM] ()  straight::<StoreAligned<Computed>>;
        Movd     [XMM, R32]  ()  straight::<Inline<Load, u128, General>>;
        Movd     [XMM, M32]  (G) straight::<Inline<Load, u128, Double<G>>>;
        Movd     [R32, XMM]  ()  straight::<Inline<ToGeneral, u128, Xmm>>;
        Movd     [M32, XMM]  (G) straight::<Store<u32, u128, G, 0>>;
        Movq     [XMM, XMM]  ()  straight::<Inline<LoadQuad, u128, Xmm>>;
        Movq     [XMM, M64]  (G) straight::<Inline<Load, u128, Quad<G>>>;
        Movq     [M64, XMM]  (G) straight::<Store<u64, u128, G, 0>>;
        Movsd    [XMM, XMM]  ()  straight::<Inline<Merge<u64, 0, 0>, u128, Xmm>>;
        Movsd    [XMM, M64]  (A) straight::<Inline<Load, u128, Quad<A>>>;
        Movsd    [M64, XMM]  (A) straight::<Store<u64, u128, A, 0>>;
        Movntsd  [M64, XMM]  ()  straight::<Store<u64, u128, Computed, 0>>;
        Movss    [XMM, XMM]  ()  straight::<Inline<Merge<u32, 0, 0>, u128, Xmm>>;
        Movss    [XMM, M32]  (A) straight::<Inline<Load, u128, Double<A>>>;
        Movss    [M32, XMM]  (A) straight::<Store<u32, u128, A, 0>>;
        Movntss  [M32, XMM]  ()  straight::<Store<u32, u128, Computed, 0>>;
        Movlps   [XMM, M64]  (G) straight::<Inline<Merge<u64, 0, 0>, u128, Quad<G>>>;
        Movlpd   [XMM, M64]  (G) straight::<Inline<Merge<u64, 0, 0>, u128, Quad<G>>>;
        Movhps   [XMM, M64]  (G) straight::<Inline<Merge<u64, 1, 0>, u128, Quad<G>>>;
        Movhpd   [XMM, M64]  (G) straight::<Inline<Merge<u64, 1, 0>, u128, Quad<G>>>;
        Movlps   [M64, XMM]  (G) straight::<Store<u64, u128, G, 0>>;
        Movlpd   [M64, XMM]  (G) straight::<Store<u64, u128, G, 0>>;
        Movhps   [M64, XMM]  (G) straight::<Store<u64, u128, G, 64>>;
        Movhpd   [M64, XMM]  (G) straight::<Store<u64, u128, G, 64>>;
        Movlhps  [XMM, XMM]  ()  straight::<Inline<Merge<u64, 1, 0>, u128, Xmm>>;
        Movhlps  [XMM, XMM]  ()  straight::<Inline<Merge<u64, 0, 1>, u128, Xmm>>;
        Pmovmskb [R32, XMM]  ()  straight::<Inline<Signs<i8>, u128, Xmm>>;
        Movmskps [R32, XMM]  ()  straight::<Inline<Signs<i32>, u128, Xmm>>;
        Movmskpd [R32, XMM]  ()  straight::<Inline<Signs<i64>, u128, Xmm>>;
        Ptest    [XMM, XMM]  ()  straight::<Inline<TestBits, u128, Xmm>>;
        Ptest    [XMM, M128] ()  straight::<Inline<TestBits, u128, Aligned<Computed>>>;
    },
];

/// All of them. Values are taken from registers as the host has them, so that hosts of the other byte
/// order leave all to the reference.
pub(super) const ROWS: Family = if cfg!(target_endian = "big") {
    &[]
} else {
    &[
        &[FREQUENT_INTEGERS, INTEGERS, RARER_INTEGERS, DIFFERENCES, MASKED],
        WIDENING,
        MMX,
        SHIFTS,
        WITH_IMMEDIATE,
        FLOATS,
        MOVES,
    ]
};
