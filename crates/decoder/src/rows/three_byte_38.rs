//! Opcodes after 0Fh 38h (SDM volume 2, table A-4).

use super::flags::*;
use super::{ALL, NO, row};
use crate::OperandCode::*;
use crate::Operation::*;
use crate::row::Feature as F;
use crate::row::Form::{Any as Rm, Memory};
use crate::row::MandatoryPrefix::*;
use crate::row::Row;

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    // prefix  opcode span form      operation    operands               LOCK  flags        feature
    row(NoRepeat,    0xf0, 1,  Memory(ALL),   Movbe,       &[Rv, Mv],               NO,   KEEP,         F::Movbe),
    row(NoRepeat,    0xf1, 1,  Memory(ALL),   Movbe,       &[Mv, Rv],               NO,   KEEP,         F::Movbe),
    row(F2,          0xf0, 1,  Rm(ALL),       Crc32,       &[R32, Rm8],             NO,   KEEP,         F::Sse42),
    row(F2,          0xf1, 1,  Rm(ALL),       Crc32,       &[R32, Rmv],             NO,   KEEP,         F::Sse42),
    row(P66,         0xf6, 1,  Rm(ALL),       Adcx,        &[R32, Rm32],            NO,   COMPLEMENT,   F::Adx),
    row(F3,          0xf6, 1,  Rm(ALL),       Adox,        &[R32, Rm32],            NO,   ADD_OF,       F::Adx),
    row(P66,         0xf8, 1,  Memory(ALL),   Movdir64b,   &[Ra, M512],             NO,   KEEP,         F::Movdir64b),
    row(Np,          0xf9, 1,  Memory(ALL),   Movdiri,     &[M32, R32],             NO,   KEEP,         F::Movdiri),
];
