//! System instructions, as user code meets them: most fault, some report what a Linux kernel shows.

use pentimento_decoder::{Instruction, Operand};
use pentimento_memory::Access;
use pentimento_registers::{Descriptor, Eflags};

use crate::place::{at_width, operand_bytes};
use crate::segment::access_rights;
use crate::{Context, Outcome, Trap, Width};

/// ARPL: raises the RPL of the destination selector to that of the source; ZF says whether it had to.
pub(crate) fn arpl(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    const RPL: u16 = 3;
    let selector = context.read::<u16>(instruction, 0)?;
    let source = context.read::<u16>(instruction, 1)?;
    let lower = selector & RPL < source & RPL;
    if lower {
        context.write(instruction, 0, selector & !RPL | source & RPL)?;
    }
    context.state.eflags.set(Eflags::ZF, lower);
    Ok(())
}

/// The descriptor that the selector in operand 0 names, if user code may look at it.
fn selected(context: &Context<'_>, instruction: &Instruction) -> Outcome<Option<Descriptor>> {
    let selector = context.read::<u16>(instruction, 0)?;
    Ok(context.descriptor(selector))
}

/// LAR and LSL: `report` of the descriptor to operand 0; ZF says whether there is one.
fn report(
    context: &mut Context<'_>,
    instruction: &Instruction,
    report: impl FnOnce(u16, &Descriptor) -> u32,
) -> Outcome {
    let selector = context.read::<u16>(instruction, 1)?;
    let descriptor = context.descriptor(selector);
    if let Some(descriptor) = &descriptor {
        let value = report(selector, descriptor);
        at_width!(operand_bytes(instruction, 0), W => context.write(instruction, 0, W::truncate(value)))?;
    }
    context.state.eflags.set(Eflags::ZF, descriptor.is_some());
    Ok(())
}

pub(crate) fn lar(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    report(context, instruction, access_rights)
}

pub(crate) fn lsl(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    report(context, instruction, |_, descriptor| descriptor.limit)
}

/// VERR: ZF says whether the segment can be read.
pub(crate) fn verr(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let descriptor = selected(context, instruction)?;
    let readable = descriptor.is_some_and(|held| !held.code || held.accessible);
    context.state.eflags.set(Eflags::ZF, readable);
    Ok(())
}

/// VERW: ZF says whether the segment can be written.
pub(crate) fn verw(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let descriptor = selected(context, instruction)?;
    let writable = descriptor.is_some_and(|held| !held.code && held.accessible);
    context.state.eflags.set(Eflags::ZF, writable);
    Ok(())
}

/// SGDT and SIDT: six bytes, a limit of zero and this base.
fn store_table(context: &mut Context<'_>, instruction: &Instruction, base: u32) -> Outcome {
    let Some(Operand::Memory(operand)) = instruction.operand(0) else { return Err(Trap::INVALID_OPCODE) };
    let linear = context.locate(&operand, 6, Access::Write)?;
    let [a, b, c, d] = base.to_le_bytes();
    context.store_bytes(linear, &[0, 0, a, b, c, d])
}

/// CPUs with UMIP refuse this to user code, and Linux then stores a fixed address (its
/// Documentation/arch/x86 and arch/x86/kernel/umip.c describe the values).
pub(crate) fn sgdt(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    store_table(context, instruction, 0xfffe_0000)
}

/// As [`sgdt`].
pub(crate) fn sidt(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    store_table(context, instruction, 0xffff_0000)
}

/// Stores what Linux reports in place of a system register; 16 bits to memory.
fn store_word(context: &mut Context<'_>, instruction: &Instruction, value: u32) -> Outcome {
    match instruction.operand(0) {
        Some(Operand::Memory(_)) => context.write(instruction, 0, value as u16),
        _ => at_width!(operand_bytes(instruction, 0), W => context.write(instruction, 0, W::truncate(value))),
    }
}

/// CR0 as Linux reports it: PE, MP, ET, NE, WP, AM and PG.
pub(crate) fn smsw(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    store_word(context, instruction, 0x8005_0033)
}

/// The LDT's selector: null while the process has none.
pub(crate) fn sldt(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    const LDT_SELECTOR: u32 = 10 << 3;
    let has_ldt = !context.descriptors.local.entries().is_empty();
    store_word(context, instruction, if has_ldt { LDT_SELECTOR } else { 0 })
}

/// The task register's selector.
pub(crate) fn str(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    const TSS_SELECTOR: u32 = 8 << 3;
    store_word(context, instruction, TSS_SELECTOR)
}
