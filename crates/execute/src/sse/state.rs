//! MXCSR, fences and prefetches.

use pentimento_decoder::{Instruction, Operand};
use pentimento_registers::Mxcsr;

use crate::{Context, Outcome, Trap};

/// LDMXCSR: reserved bits raise #GP(0) and leave MXCSR alone.
pub(crate) fn ldmxcsr(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let value = context.read::<u32>(instruction, 0)?;
    context.state.mxcsr = Mxcsr::from_bits(value).ok_or(Trap::GENERAL_PROTECTION)?;
    Ok(())
}

/// STMXCSR.
pub(crate) fn stmxcsr(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    match instruction.operand(0) {
        Some(Operand::Memory(operand)) => context.store_operand(&operand, context.state.mxcsr.bits()),
        _ => Err(Trap::INVALID_OPCODE),
    }
}

/// SFENCE, LFENCE, MFENCE and the prefetches: a machine that executes in order, without caches, has
/// nothing to do, and a prefetch never faults.
pub(crate) fn hint(_: &mut Context<'_>, _: &Instruction) -> Outcome {
    Ok(())
}
