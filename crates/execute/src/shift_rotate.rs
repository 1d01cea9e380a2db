//! Shifts and rotates.

use pentimento_decoder::Instruction;
use pentimento_memory::Access;
use pentimento_registers::Eflags;

use crate::place::{at_width, operand_bytes};
use crate::semantics::shift_rotate as compute;
use crate::{Context, Outcome, Width};

/// `destination = operation(destination, count, flags)`; the count is operand `index`.
#[inline(always)]
fn shift<W: Width>(
    context: &mut Context<'_>,
    instruction: &Instruction,
    index: usize,
    operation: impl FnOnce(W, u8, Eflags) -> (W, Eflags),
) -> Outcome {
    let destination = context.place::<W>(instruction, 0, Access::Write)?;
    let count = context.read::<u8>(instruction, index)?;
    let (result, flags) = operation(context.get(destination)?, count, context.state.eflags);
    context.put(destination, result)?;
    context.set_flags(Eflags::STATUS, flags);
    Ok(())
}

pub(crate) fn rol(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => shift::<W>(context, instruction, 1, compute::rol))
}

pub(crate) fn ror(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => shift::<W>(context, instruction, 1, compute::ror))
}

pub(crate) fn rcl(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => shift::<W>(context, instruction, 1, compute::rcl))
}

pub(crate) fn rcr(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => shift::<W>(context, instruction, 1, compute::rcr))
}

pub(crate) fn shl(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => shift::<W>(context, instruction, 1, compute::shl))
}

pub(crate) fn shr(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => shift::<W>(context, instruction, 1, compute::shr))
}

pub(crate) fn sar(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => shift::<W>(context, instruction, 1, compute::sar))
}

pub(crate) fn shld(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => {
        let source = context.read::<W>(instruction, 1)?;
        shift::<W>(context, instruction, 2, |value, count, flags| compute::shld(value, source, count, flags))
    })
}

pub(crate) fn shrd(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => {
        let source = context.read::<W>(instruction, 1)?;
        shift::<W>(context, instruction, 2, |value, count, flags| compute::shrd(value, source, count, flags))
    })
}
