//! Instructions that set single flags.

use pentimento_decoder::Instruction;
use pentimento_registers::Eflags;

use crate::{Context, Outcome, Trap};

pub(crate) fn stc(context: &mut Context<'_>, _: &Instruction) -> Outcome {
    context.state.eflags.insert(Eflags::CF);
    Ok(())
}

pub(crate) fn clc(context: &mut Context<'_>, _: &Instruction) -> Outcome {
    context.state.eflags.remove(Eflags::CF);
    Ok(())
}

pub(crate) fn cmc(context: &mut Context<'_>, _: &Instruction) -> Outcome {
    context.state.eflags.toggle(Eflags::CF);
    Ok(())
}

pub(crate) fn cld(context: &mut Context<'_>, _: &Instruction) -> Outcome {
    context.state.eflags.remove(Eflags::DF);
    Ok(())
}

pub(crate) fn std(context: &mut Context<'_>, _: &Instruction) -> Outcome {
    context.state.eflags.insert(Eflags::DF);
    Ok(())
}

/// #GP(0): user code runs at I/O privilege level 0.
pub(crate) fn sti(_: &mut Context<'_>, _: &Instruction) -> Outcome {
    Err(Trap::GENERAL_PROTECTION)
}

/// #GP(0): user code runs at I/O privilege level 0.
pub(crate) fn cli(_: &mut Context<'_>, _: &Instruction) -> Outcome {
    Err(Trap::GENERAL_PROTECTION)
}

/// #UD outside privilege level 0.
pub(crate) fn clac(_: &mut Context<'_>, _: &Instruction) -> Outcome {
    Err(Trap::INVALID_OPCODE)
}

/// #UD outside privilege level 0.
pub(crate) fn stac(_: &mut Context<'_>, _: &Instruction) -> Outcome {
    Err(Trap::INVALID_OPCODE)
}
