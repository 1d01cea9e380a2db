//! x87 floating point.

use pentimento_decoder::Instruction;

use crate::{Context, Outcome, Trap};

/// Executes an x87 instruction.
pub(crate) fn execute(_: &mut Context<'_>, _: &Instruction) -> Outcome {
    Err(Trap::INVALID_OPCODE)
}
