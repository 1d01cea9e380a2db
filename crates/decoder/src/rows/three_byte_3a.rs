//! Opcodes after 0Fh 3Ah (SDM volume 2, table A-5).

use super::flags::*;
use super::{ALL, NO, row};
use crate::OperandCode::*;
use crate::Operation::*;
use crate::row::Feature as F;
use crate::row::Form::Any as Rm;
use crate::row::MandatoryPrefix::*;
use crate::row::Row;

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    // prefix          op    span form           operation     operands                     LOCK   flags         feature
    row(P66,         0x08, 1,  Rm(ALL),           Roundps,     &[Xmm, XmmM128, Imm8],      NO,   KEEP,         F::Sse41),
    row(P66,         0x09, 1,  Rm(ALL),           Roundpd,     &[Xmm, XmmM128, Imm8],      NO,   KEEP,         F::Sse41),
    row(P66,         0x0a, 1,  Rm(ALL),           Roundss,     &[Xmm, XmmM32, Imm8],       NO,   KEEP,         F::Sse41),
    row(P66,         0x0b, 1,  Rm(ALL),           Roundsd,     &[Xmm, XmmM64, Imm8],       NO,   KEEP,         F::Sse41),
    row(P66,         0x0c, 1,  Rm(ALL),           Blendps,     &[Xmm, XmmM128, Imm8],      NO,   KEEP,         F::Sse41),
    row(P66,         0x0d, 1,  Rm(ALL),           Blendpd,     &[Xmm, XmmM128, Imm8],      NO,   KEEP,         F::Sse41),
    row(P66,         0x0e, 1,  Rm(ALL),           Pblendw,     &[Xmm, XmmM128, Imm8],      NO,   KEEP,         F::Sse41),
    row(Np,          0x0f, 1,  Rm(ALL),           Palignr,     &[Mm, MmM64, Imm8],         NO,   KEEP,         F::Ssse3),
    row(P66,         0x0f, 1,  Rm(ALL),           Palignr,     &[Xmm, XmmM128, Imm8],      NO,   KEEP,         F::Ssse3),
    row(P66,         0x14, 1,  Rm(ALL),           Pextrb,      &[R32M8, Xmm, Imm8],        NO,   KEEP,         F::Sse41),
    row(P66,         0x15, 1,  Rm(ALL),           Pextrw,      &[R32M16, Xmm, Imm8],       NO,   KEEP,         F::Sse41),
    row(P66,         0x16, 1,  Rm(ALL),           Pextrd,      &[Rm32, Xmm, Imm8],         NO,   KEEP,         F::Sse41),
    row(P66,         0x17, 1,  Rm(ALL),           Extractps,   &[Rm32, Xmm, Imm8],         NO,   KEEP,         F::Sse41),
    row(P66,         0x20, 1,  Rm(ALL),           Pinsrb,      &[Xmm, R32M8, Imm8],        NO,   KEEP,         F::Sse41),
    row(P66,         0x21, 1,  Rm(ALL),           Insertps,    &[Xmm, XmmM32, Imm8],       NO,   KEEP,         F::Sse41),
    row(P66,         0x22, 1,  Rm(ALL),           Pinsrd,      &[Xmm, Rm32, Imm8],         NO,   KEEP,         F::Sse41),
    row(P66,         0x40, 1,  Rm(ALL),           Dpps,        &[Xmm, XmmM128, Imm8],      NO,   KEEP,         F::Sse41),
    row(P66,         0x41, 1,  Rm(ALL),           Dppd,        &[Xmm, XmmM128, Imm8],      NO,   KEEP,         F::Sse41),
    row(P66,         0x42, 1,  Rm(ALL),           Mpsadbw,     &[Xmm, XmmM128, Imm8],      NO,   KEEP,         F::Sse41),
    row(P66,         0x44, 1,  Rm(ALL),           Pclmulqdq,   &[Xmm, XmmM128, Imm8],      NO,   KEEP,         F::Pclmulqdq),
    row(P66,         0x60, 1,  Rm(ALL),           Pcmpestrm,   &[Xmm, XmmM128, Imm8],      NO,   ARITH,        F::Sse42),
    row(P66,         0x61, 1,  Rm(ALL),           Pcmpestri,   &[Xmm, XmmM128, Imm8],      NO,   ARITH,        F::Sse42),
    row(P66,         0x62, 1,  Rm(ALL),           Pcmpistrm,   &[Xmm, XmmM128, Imm8],      NO,   ARITH,        F::Sse42),
    row(P66,         0x63, 1,  Rm(ALL),           Pcmpistri,   &[Xmm, XmmM128, Imm8],      NO,   ARITH,        F::Sse42),
    row(Np,          0xcc, 1,  Rm(ALL),           Sha1rnds4,   &[Xmm, XmmM128, Imm8],      NO,   KEEP,         F::Sha),
    row(P66,         0xce, 1,  Rm(ALL),           Gf2p8affineqb, &[Xmm, XmmM128, Imm8],      NO,   KEEP,         F::Gfni),
    row(P66,         0xcf, 1,  Rm(ALL),           Gf2p8affineinvqb, &[Xmm, XmmM128, Imm8],      NO,   KEEP,         F::Gfni),
    row(P66,         0xdf, 1,  Rm(ALL),           Aeskeygenassist, &[Xmm, XmmM128, Imm8],      NO,   KEEP,         F::Aes),
];
