//! BCD adjustments.

use pentimento_decoder::Instruction;
use pentimento_registers::{Eflags, Gpr, Gpr8};

use crate::semantics::decimal_arithmetic as compute;
use crate::{Context, Outcome, Trap};

fn adjust_al(context: &mut Context<'_>, operation: fn(u8, Eflags) -> (u8, Eflags)) -> Outcome {
    let (al, flags) = operation(context.state.gpr8(Gpr8::Al), context.state.eflags);
    context.state.set_gpr8(Gpr8::Al, al);
    context.set_flags(Eflags::STATUS, flags);
    Ok(())
}

fn adjust_ax(context: &mut Context<'_>, operation: impl FnOnce(u16, Eflags) -> (u16, Eflags)) -> Outcome {
    let (ax, flags) = operation(context.state.gpr16(Gpr::Eax), context.state.eflags);
    context.state.set_gpr16(Gpr::Eax, ax);
    context.set_flags(Eflags::STATUS, flags);
    Ok(())
}

pub(crate) fn daa(context: &mut Context<'_>, _: &Instruction) -> Outcome {
    adjust_al(context, compute::daa)
}

pub(crate) fn das(context: &mut Context<'_>, _: &Instruction) -> Outcome {
    adjust_al(context, compute::das)
}

pub(crate) fn aaa(context: &mut Context<'_>, _: &Instruction) -> Outcome {
    adjust_ax(context, compute::aaa)
}

pub(crate) fn aas(context: &mut Context<'_>, _: &Instruction) -> Outcome {
    adjust_ax(context, compute::aas)
}

pub(crate) fn aam(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let base = context.read::<u8>(instruction, 0)?;
    let adjusted = compute::aam(context.state.gpr8(Gpr8::Al), base).ok_or(Trap::DIVIDE_ERROR)?;
    adjust_ax(context, |_, _| adjusted)
}

pub(crate) fn aad(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let base = context.read::<u8>(instruction, 0)?;
    adjust_ax(context, |ax, _| compute::aad(ax, base))
}
