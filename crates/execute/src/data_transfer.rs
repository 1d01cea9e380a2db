//! MOV, XCHG, the stack, conversions and address computation.

use pentimento_decoder::{Instruction, Operand, Register};
use pentimento_memory::Access;
use pentimento_registers::{Eflags, Gpr, Gpr8};

use crate::place::{at_width, operand_bytes, operand_size_bytes};
use crate::segment::load_segment;
use crate::semantics::binary_arithmetic;
use crate::{Context, Outcome, Place, Trap, Width};

pub(crate) fn mov(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    match (instruction.operand(0), instruction.operand(1)) {
        (Some(Operand::Register(Register::Segment(register))), _) => {
            let selector = context.read::<u16>(instruction, 1)?;
            load_segment(context, register, selector)
        }
        (_, Some(Operand::Register(Register::Segment(register)))) => {
            let selector = context.state.segment(register).selector;
            at_width!(operand_bytes(instruction, 0), W => {
                context.write(instruction, 0, W::truncate(selector.into()))
            })
        }
        (Some(Operand::Register(Register::Control(_) | Register::Debug(_))), _)
        | (_, Some(Operand::Register(Register::Control(_) | Register::Debug(_)))) => {
            Err(Trap::GENERAL_PROTECTION)
        }
        _ => at_width!(operand_bytes(instruction, 0), W => {
            let value = context.read::<W>(instruction, 1)?;
            context.write(instruction, 0, value)
        }),
    }
}

/// MOVZX and MOVSX: the source at its own width, extended, to the destination at its own.
fn extend(context: &mut Context<'_>, instruction: &Instruction, signed: bool) -> Outcome {
    let value = at_width!(operand_bytes(instruction, 1), W => {
        let value = context.read::<W>(instruction, 1)?;
        if signed { value.signed() as u32 } else { value.bits() }
    });
    at_width!(operand_bytes(instruction, 0), W => context.write(instruction, 0, W::truncate(value)))
}

pub(crate) fn movzx(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    extend(context, instruction, false)
}

pub(crate) fn movsx(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    extend(context, instruction, true)
}

pub(crate) fn xchg(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => {
        let first = context.place::<W>(instruction, 0, Access::Write)?;
        let second = context.place::<W>(instruction, 1, Access::Write)?;
        let (a, b) = (context.get::<W>(first)?, context.get::<W>(second)?);
        context.put(first, b)?;
        context.put(second, a)
    })
}

pub(crate) fn xadd(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => {
        let destination = context.place::<W>(instruction, 0, Access::Write)?;
        let source = context.place::<W>(instruction, 1, Access::Write)?;
        let (old, addend) = (context.get::<W>(destination)?, context.get::<W>(source)?);
        let (sum, flags) = binary_arithmetic::add(old, addend);
        // The sum goes last: with twice the same register it is what stays.
        context.put(source, old)?;
        context.put(destination, sum)?;
        context.set_flags(Eflags::STATUS, flags);
        Ok(())
    })
}

pub(crate) fn cmpxchg(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => {
        let accumulator = Place::Register(Gpr::Eax.number());
        // Silicon always writes the destination, be it with its old value.
        let destination = context.place::<W>(instruction, 0, Access::Write)?;
        let old = context.get::<W>(destination)?;
        let (difference, flags) = binary_arithmetic::sub(context.get::<W>(accumulator)?, old);
        if difference.bits() == 0 {
            let source = context.read::<W>(instruction, 1)?;
            context.put(destination, source)?;
        } else {
            context.put(destination, old)?;
            context.put(accumulator, old)?;
        }
        context.set_flags(Eflags::STATUS, flags);
        Ok(())
    })
}

pub(crate) fn cmpxchg8b(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let Some(Operand::Memory(operand)) = instruction.operand(0) else { return Err(Trap::INVALID_OPCODE) };
    let linear = context.locate(&operand, 8, Access::Write)?;
    context.check_alignment(linear, 8)?;
    context.memory.check(linear, 8, Access::Write)?;
    let pair = |high, low| u64::from(context.state.gpr(high)) << 32 | u64::from(context.state.gpr(low));
    let (expected, replacement) = (pair(Gpr::Edx, Gpr::Eax), pair(Gpr::Ecx, Gpr::Ebx));
    let old: u64 = context.load_linear(linear)?;
    let equal = old == expected;
    context.store_linear(linear, if equal { replacement } else { old })?;
    if !equal {
        context.state.set_gpr(Gpr::Eax, old as u32);
        context.state.set_gpr(Gpr::Edx, (old >> 32) as u32);
    }
    context.state.eflags.set(Eflags::ZF, equal);
    Ok(())
}

/// With a 16-bit operand (SDM: undefined) silicon clears it.
pub(crate) fn bswap(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    match operand_bytes(instruction, 0) {
        2 => context.write::<u16>(instruction, 0, 0),
        _ => {
            let value = context.read::<u32>(instruction, 0)?;
            context.write(instruction, 0, value.swap_bytes())
        }
    }
}

pub(crate) fn push(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let segment = match instruction.operand(0) {
        Some(Operand::Register(Register::Segment(register))) => {
            Some(context.state.segment(register).selector)
        }
        _ => None,
    };
    at_width!(operand_size_bytes(instruction), W => {
        let value = match segment {
            Some(selector) => W::truncate(selector.into()),
            None => context.read::<W>(instruction, 0)?,
        };
        context.push(value)
    })
}

pub(crate) fn pop(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_size_bytes(instruction), W => {
        // POP [ESP+n] computes its address, and POP ESP stores its result, after ESP has moved.
        let before = context.state.gpr(Gpr::Esp);
        let value = context.pop::<W>()?;
        let stored = match instruction.operand(0) {
            Some(Operand::Register(Register::Segment(register))) => {
                load_segment(context, register, value.bits() as u16)
            }
            _ => context.write(instruction, 0, value),
        };
        if stored.is_err() {
            context.state.set_gpr(Gpr::Esp, before);
        }
        stored
    })
}

/// As on silicon, a fault on the way leaves ESP as it was, but what has been pushed is in memory.
pub(crate) fn pusha(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let before = *context.state.gprs();
    let pushed = at_width!(operand_size_bytes(instruction), W => {
        before.into_iter().try_for_each(|value| context.push(W::truncate(value)))
    });
    if pushed.is_err() {
        context.state.set_gpr(Gpr::Esp, before[Gpr::Esp as usize]);
    }
    pushed
}

/// As on silicon, a fault on the way leaves ESP as it was, but what has been loaded stays loaded.
pub(crate) fn popa(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_size_bytes(instruction), W => {
        for number in 0..8_u8 {
            let value = context.peek::<W>(u32::from(number) * W::BYTES)?;
            let register = 7 - number;
            if register != Gpr::Esp.number() {
                W::set_register(context.state, register, value);
            }
        }
        context.set_stack_pointer(context.stack_pointer().wrapping_add(8 * W::BYTES));
        Ok(())
    })
}

pub(crate) fn pushf(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let hidden = Eflags::VM.union(Eflags::RF);
    let flags = context.state.eflags.difference(hidden).union(Eflags::ALWAYS_SET).bits();
    at_width!(operand_size_bytes(instruction), W => context.push(W::truncate(flags)))
}

pub(crate) fn popf(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_size_bytes(instruction), W => {
        let flags = context.pop::<W>()?;
        let mask = Eflags::USER_WRITABLE.intersection(Eflags::from_bits_truncate(W::MASK));
        context.set_flags(mask, Eflags::from_bits_truncate(flags.bits()));
        Ok(())
    })
}

pub(crate) fn xlat(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let size = instruction.address_size();
    let index = u32::from(context.state.gpr8(Gpr8::Al));
    let offset = context.address_offset(context.state.gpr(Gpr::Ebx).wrapping_add(index), size);
    let value: u8 = context.load(instruction.segment(), offset)?;
    context.state.set_gpr8(Gpr8::Al, value);
    Ok(())
}

/// The flags that LAHF and SAHF move.
const LOW_FLAGS: Eflags = Eflags::STATUS.difference(Eflags::OF);

pub(crate) fn lahf(context: &mut Context<'_>, _: &Instruction) -> Outcome {
    let flags = context.state.eflags.intersection(LOW_FLAGS).union(Eflags::ALWAYS_SET);
    context.state.set_gpr8(Gpr8::Ah, flags.bits() as u8);
    Ok(())
}

pub(crate) fn sahf(context: &mut Context<'_>, _: &Instruction) -> Outcome {
    let flags = Eflags::from_bits_truncate(context.state.gpr8(Gpr8::Ah).into());
    context.set_flags(LOW_FLAGS, flags);
    Ok(())
}

/// The source is read, and can fault, whether the condition holds or not.
pub(crate) fn cmovcc(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => {
        let value = context.read::<W>(instruction, 1)?;
        if instruction.condition().holds(context.state.eflags) {
            context.write(instruction, 0, value)?;
        }
        Ok(())
    })
}

pub(crate) fn lea(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let Some(Operand::Memory(operand)) = instruction.operand(1) else { return Err(Trap::INVALID_OPCODE) };
    let address = context.effective_address(&operand);
    at_width!(operand_bytes(instruction, 0), W => context.write(instruction, 0, W::truncate(address)))
}

pub(crate) fn movbe(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    match operand_bytes(instruction, 0) {
        2 => {
            let value = context.read::<u16>(instruction, 1)?;
            context.write(instruction, 0, value.swap_bytes())
        }
        _ => {
            let value = context.read::<u32>(instruction, 1)?;
            context.write(instruction, 0, value.swap_bytes())
        }
    }
}

pub(crate) fn cbw(context: &mut Context<'_>, _: &Instruction) -> Outcome {
    let value = context.state.gpr8(Gpr8::Al).signed();
    context.state.set_gpr16(Gpr::Eax, value as u16);
    Ok(())
}

pub(crate) fn cwde(context: &mut Context<'_>, _: &Instruction) -> Outcome {
    let value = context.state.gpr16(Gpr::Eax).signed();
    context.state.set_gpr(Gpr::Eax, value as u32);
    Ok(())
}

pub(crate) fn cwd(context: &mut Context<'_>, _: &Instruction) -> Outcome {
    let sign = context.state.gpr16(Gpr::Eax).signed() >> 16;
    context.state.set_gpr16(Gpr::Edx, sign as u16);
    Ok(())
}

pub(crate) fn cdq(context: &mut Context<'_>, _: &Instruction) -> Outcome {
    let sign = context.state.gpr(Gpr::Eax).signed() >> 31;
    context.state.set_gpr(Gpr::Edx, sign as u32);
    Ok(())
}

/// AL becomes FFh if CF is set, else 0 (undocumented in the SDM).
pub(crate) fn salc(context: &mut Context<'_>, _: &Instruction) -> Outcome {
    let carry = context.state.eflags.contains(Eflags::CF);
    context.state.set_gpr8(Gpr8::Al, if carry { 0xff } else { 0 });
    Ok(())
}
