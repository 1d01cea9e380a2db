//! MMX and SSE.

use pentimento_decoder::Instruction;

use crate::{Context, Outcome, Trap};

/// Executes an MMX or SSE instruction.
pub(crate) fn execute(_: &mut Context<'_>, _: &Instruction) -> Outcome {
    Err(Trap::INVALID_OPCODE)
}
