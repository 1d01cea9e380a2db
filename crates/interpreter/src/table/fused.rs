//! The rows of instructions that have a handler together with the Jcc behind them.

use pentimento_decoder::Instruction;
use pentimento_registers::Eflags;

use crate::arena::{Op, OpHandler};
use crate::drivers::fused;
use crate::handlers::arithmetic::{ALL, Add, And, Compare, Count, Sub, Update};
use crate::operand::{Based, First, Fixed, Immediate, Indexed, Memory, Second};
use crate::table::kinds::Signature;
use crate::table::row::{Choice, Family, HandlerRow, Table, count, rows};

/// Operations that compute only flags: the instruction, and what it computes.
macro_rules! comparisons {
    ($($name:ident $other:ident $operation:ident;)*) => {
        rows! { $(
            $name         [R8|R16|R32, R8|R16|$other]   (W C D) fused::<Compare<$operation, Fixed<D>, Second, W>, C>;
            $name         [R8|R16|R32, I]               (W C D) fused::<Compare<$operation, Fixed<D>, Immediate, W>, C>;
            $name based   [M8|M16|M32, R8|R16|R32]      (W C) fused::<Compare<$operation, Memory<Based>, First, W>, C>;
            $name based   [M8|M16|M32, I]               (W C) fused::<Compare<$operation, Memory<Based>, Immediate, W>, C>;
            $name indexed [M8|M16|M32, I]               (W C) fused::<Compare<$operation, Memory<Indexed>, Immediate, W>, C>;
        )* }
    };
}

const COMPARISONS: &[HandlerRow] = comparisons! {
    Cmp  R32     Sub;
    Test OTHER32 And;
};

/// Operations of two operands.
macro_rules! updates {
    ($($name:ident)*) => {
        rows! { $(
            $name [R32, R32] (C)   fused::<Update<$name, First, Second, u32, true>, C>;
            $name [R32, I]   (C D) fused::<Update<$name, Fixed<D>, Immediate, u32, true>, C>;
        )* }
    };
}

const UPDATES: &[HandlerRow] = updates!(Add Sub And);

const OTHERS: &[HandlerRow] = rows! {
    Cmp based [R8|R16|R32, M8|M16|M32] (W C) fused::<Compare<Sub, First, Memory<Based>, W>, C>;
    Test [R32, SAME32] (C D) fused::<Compare<And, Fixed<D>, Fixed<D>, u32>, C>;
    Inc  [R32]         (C D) fused::<Count<Fixed<D>, u32, false, { ALL }>, C>;
    Dec  [R32]         (C D) fused::<Count<Fixed<D>, u32, true, { ALL }>, C>;
};

const FAMILIES: &[Family] = &[&[&[COMPARISONS, UPDATES, OTHERS]]];

/// The rows for instructions with a Jcc behind them.
pub(super) static TABLE: Table<{ count(FAMILIES) }> = Table::new(FAMILIES);

/// The handler of an instruction whose operands are in `op` and have this `signature`, and of the Jcc behind
/// it, if there is one.
pub(crate) fn handler(
    op: &Op,
    instruction: &Instruction,
    signature: Signature,
    jcc: &Instruction,
) -> Option<OpHandler> {
    let row = TABLE.find(instruction.operation(), &signature)?;
    let condition = jcc.condition().number();
    Some((row.choose)(&Choice { op, signature, live: Eflags::STATUS, condition }))
}
