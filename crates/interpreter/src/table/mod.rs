//! Which handler is for which instruction: one table, of which each row says for what it is.
//!
//! No two rows are for the same instruction, so that their order means nothing, and each row is for
//! some; both is tested. An instruction without a row runs through the reference.

mod control;
pub(crate) mod fused;
pub(crate) mod halves;
mod integer;
pub(crate) mod kinds;
pub(crate) mod row;
mod string;
#[cfg(test)]
mod tests;
mod vector;
mod x87;

use pentimento_decoder::Instruction;
use pentimento_registers::Eflags;

use crate::arena::{Op, OpHandler};
use crate::step::Step;
use kinds::Signature;
use row::{Choice, Family, Table, count};

const FAMILIES: &[Family] = &[integer::ROWS, control::ROWS, string::ROWS, x87::ROWS, vector::ROWS];

/// The rows for single instructions.
static TABLE: Table<{ count(FAMILIES) }> = Table::new(FAMILIES);

/// The handler of `instruction`, if it has one, with `op` made ready for it. Its operands are in there,
/// and have this `signature`; somebody sees those flags of it that are `live`.
pub(crate) fn handler(
    op: &mut Op,
    step: &Step,
    instruction: &Instruction,
    signature: Signature,
    live: Eflags,
) -> Option<OpHandler> {
    let row = TABLE.find(instruction.operation(), &signature)?;
    (row.prepare)(op, step, instruction);
    let condition = instruction.condition().number();
    (row.choose)(&Choice { op, signature, live, condition })
}
