//! x87 floating-point instructions (SDM volume 1, chapter 8), a file for each of the manual's groups.

use pentimento_decoder::Instruction;

use crate::{Context, Outcome, Trap};

#[cfg(all(test, target_arch = "x86_64"))]
#[allow(unsafe_code, reason = "inline assembly; argued in the module and listed in docs/unsafe.md")]
#[allow(dead_code, reason = "the instructions that use it follow")]
pub(crate) mod host;

/// Executes an x87 instruction.
pub(crate) fn execute(_: &mut Context<'_>, _: &Instruction) -> Outcome {
    Err(Trap::INVALID_OPCODE)
}
