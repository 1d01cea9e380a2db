//! The rows of instructions that have a handler together with the Jcc behind them.

use pentimento_decoder::Instruction;
use pentimento_registers::Eflags;

use crate::arena::{Op, OpHandler};
use crate::drivers::fused;
use crate::handlers::arithmetic::{ALL, Add, And, Compare, Count, Sub, Update};
use crate::operand::{Based, First, Fixed, Immediate, Indexed, Memory, Second};
use crate::table::kinds::Signature;
use crate::table::row::{Choice, Family, HandlerRow, Table, count, rows};

/// CMP. Registers are in the handlers of the frequent widths.
const COMPARISONS: &[HandlerRow] = rows! {
    Cmp         [R32, R32]               (Q D) fused::<Compare<Sub, Fixed<D>, Second, u32>, Q>;
    Cmp         [R8|R16, R8|R16]         (H Q) fused::<Compare<Sub, First, Second, H>, Q>;
    Cmp         [R8, I]                  (Q D) fused::<Compare<Sub, Fixed<D>, Immediate, u8>, Q>;
    Cmp         [R16, I]                 (Q)   fused::<Compare<Sub, First, Immediate, u16>, Q>;
    Cmp         [R32, I]                 (Q D) fused::<Compare<Sub, Fixed<D>, Immediate, u32>, Q>;
    Cmp based   [M8|M16|M32, R8|R16|R32] (W Q) fused::<Compare<Sub, Memory<Based>, First, W>, Q>;
    Cmp based   [R8|R16|R32, M8|M16|M32] (W Q) fused::<Compare<Sub, First, Memory<Based>, W>, Q>;
    Cmp based   [M8|M16|M32, I]          (W Q) fused::<Compare<Sub, Memory<Based>, Immediate, W>, Q>;
    Cmp indexed [M8, R8]                 (Q)   fused::<Compare<Sub, Memory<Indexed>, First, u8>, Q>;
    Cmp indexed [M8, I]                  (Q)   fused::<Compare<Sub, Memory<Indexed>, Immediate, u8>, Q>;
    Cmp indexed [M32, I]                 (Q)   fused::<Compare<Sub, Memory<Indexed>, Immediate, u32>, Q>;
};

/// TEST. Bytes are mostly compared with themselves, as doublewords are.
const TESTS: &[HandlerRow] = rows! {
    Test         [R32, SAME32]           (Z D) fused::<Compare<And, Fixed<D>, Fixed<D>, u32>, Z>;
    Test         [R32, OTHER32]          (Z)   fused::<Compare<And, First, Second, u32>, Z>;
    Test         [R8, R8]                (Z D) fused::<Compare<And, Fixed<D>, Second, u8>, Z>;
    Test         [R16, R16]              (Z)   fused::<Compare<And, First, Second, u16>, Z>;
    Test         [R8, I]                 (Z D) fused::<Compare<And, Fixed<D>, Immediate, u8>, Z>;
    Test         [R16|R32, I]            (X Z) fused::<Compare<And, First, Immediate, X>, Z>;
    Test based   [M8, I]                 (Z)   fused::<Compare<And, Memory<Based>, Immediate, u8>, Z>;
    Test based   [M32, I]                (Z)   fused::<Compare<And, Memory<Based>, Immediate, u32>, Z>;
    Test indexed [M8, I]                 (Z)   fused::<Compare<And, Memory<Indexed>, Immediate, u8>, Z>;
};

/// Operations with a result.
const UPDATES: &[HandlerRow] = rows! {
    Add [R32, R32] (U)   fused::<Update<Add, First, Second, u32, true>, U>;
    Add [R32, I]   (U D) fused::<Update<Add, Fixed<D>, Immediate, u32, true>, U>;
    Sub [R32, R32] (Q)   fused::<Update<Sub, First, Second, u32, true>, Q>;
    Sub [R32, I]   (Q D) fused::<Update<Sub, Fixed<D>, Immediate, u32, true>, Q>;
    And [R32, R32] (Z)   fused::<Update<And, First, Second, u32, true>, Z>;
    And [R32, I]   (Z D) fused::<Update<And, Fixed<D>, Immediate, u32, true>, Z>;
    Inc [R32]      (Y D) fused::<Count<Fixed<D>, u32, false, { ALL }>, Y>;
    Dec [R32]      (K D) fused::<Count<Fixed<D>, u32, true, { ALL }>, K>;
};

const FAMILIES: &[Family] = &[&[&[COMPARISONS, TESTS, UPDATES]]];

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
    (row.choose)(&Choice { op, signature, live: Eflags::STATUS, condition })
}
