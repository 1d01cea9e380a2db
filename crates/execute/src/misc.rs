//! NOPs, CPUID, time-stamp counter, random numbers, cache hints.

use pentimento_decoder::{Instruction, Operand, Register};
use pentimento_memory::Access;
use pentimento_registers::{Eflags, Exception, Gpr, SegmentRegister, StatusWord};

use crate::place::{at_width, operand_bytes};
use crate::{Context, Outcome, Trap, Width};

/// Nothing: NOP with and without operands (which are not accessed), PAUSE, cache hints, ENDBR.
pub(crate) fn nop(_: &mut Context<'_>, _: &Instruction) -> Outcome {
    Ok(())
}

/// #UD.
pub(crate) fn undefined(_: &mut Context<'_>, _: &Instruction) -> Outcome {
    Err(Trap::INVALID_OPCODE)
}

/// #GP(0), as privileged instructions give outside privilege level 0.
pub(crate) fn privileged(_: &mut Context<'_>, _: &Instruction) -> Outcome {
    Err(Trap::GENERAL_PROTECTION)
}

pub(crate) fn cpuid(context: &mut Context<'_>, _: &Instruction) -> Outcome {
    let [leaf, subleaf] = [Gpr::Eax, Gpr::Ecx].map(|register| context.state.gpr(register));
    let answer = context.environment.model.cpuid(leaf, subleaf);
    for (register, value) in [Gpr::Eax, Gpr::Ebx, Gpr::Ecx, Gpr::Edx].into_iter().zip(answer) {
        context.state.set_gpr(register, value);
    }
    Ok(())
}

pub(crate) fn rdtsc(context: &mut Context<'_>, _: &Instruction) -> Outcome {
    let count = context.environment.time_stamp;
    context.state.set_gpr(Gpr::Eax, count as u32);
    context.state.set_gpr(Gpr::Edx, (count >> 32) as u32);
    Ok(())
}

pub(crate) fn rdtscp(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    rdtsc(context, instruction)?;
    context.state.set_gpr(Gpr::Ecx, context.environment.processor);
    Ok(())
}

pub(crate) fn rdpid(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let processor = context.environment.processor;
    context.write(instruction, 0, processor)
}

/// WAIT: #MF if an unmasked x87 exception is pending.
pub(crate) fn wait(context: &mut Context<'_>, _: &Instruction) -> Outcome {
    if context.state.x87.status.contains(StatusWord::ES) {
        return Err(Trap::fault(Exception::FloatingPoint, 0));
    }
    Ok(())
}

/// RDRAND and RDSEED: there is always a number, so CF is set, and the other status flags are clear.
pub(crate) fn rdrand(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let random = context.environment.next_random();
    at_width!(operand_bytes(instruction, 0), W => context.write(instruction, 0, W::truncate(random)))?;
    context.set_flags(Eflags::STATUS, Eflags::CF);
    Ok(())
}

/// CLFLUSH, CLFLUSHOPT and CLWB are checked like a load of one byte.
pub(crate) fn clflush(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let Some(Operand::Memory(operand)) = instruction.operand(0) else { return Err(Trap::INVALID_OPCODE) };
    let linear = context.locate(&operand, 1, Access::Read)?;
    Ok(context.memory.check(linear, 1, Access::Read)?)
}

/// Zeroes the 64-byte line that EAX points into (AMD's manual, volume 3).
pub(crate) fn clzero(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    const LINE: u32 = 64;
    let segment = match instruction.operand(0) {
        Some(Operand::Memory(operand)) => operand.segment,
        Some(Operand::Register(Register::Segment(register))) => register,
        _ => SegmentRegister::Ds,
    };
    let offset = context.address_register(Gpr::Eax, instruction.address_size()) & !(LINE - 1);
    let linear = context.linear_address(segment, offset, LINE, Access::Write)?;
    context.store_bytes(linear, &[0; LINE as usize])
}
