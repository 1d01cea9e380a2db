//! Bit tests, scans and counts, SETcc and CRC32.

use pentimento_decoder::{Instruction, Operand};
use pentimento_memory::Access;
use pentimento_registers::Eflags;

use crate::place::{at_width, operand_bytes};
use crate::semantics::bit_byte::{self as compute, BitChange};
use crate::{Context, Outcome, Place, Width};

/// BT, BTS, BTR and BTC.
fn bit_test(context: &mut Context<'_>, instruction: &Instruction, change: BitChange) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => {
        let index = context.read::<W>(instruction, 1)?;
        let access = if change == BitChange::Keep { Access::Read } else { Access::Write };
        let place = bit_place(context, instruction, index, access)?;
        let (changed, bit) = compute::bit_test(context.get::<W>(place)?, index.bits(), change);
        if change != BitChange::Keep {
            context.put(place, changed)?;
        }
        context.state.eflags.set(Eflags::CF, bit);
        Ok(())
    })
}

/// Where the bit is: with a bit index from a register, memory is a string of bits that extends
/// both ways from its operand (SDM volume 2, BT), read in units of the operand size.
fn bit_place<W: Width>(
    context: &Context<'_>,
    instruction: &Instruction,
    index: W,
    access: Access,
) -> Outcome<Place> {
    let (Some(Operand::Memory(operand)), Some(Operand::Register(_))) =
        (instruction.operand(0), instruction.operand(1))
    else {
        return context.place::<W>(instruction, 0, access);
    };
    let unit = (index.signed() >> W::BITS.trailing_zeros()) as u32;
    let offset = context.effective_address(&operand).wrapping_add(unit.wrapping_mul(W::BYTES));
    let offset = context.address_offset(offset, operand.address_size);
    context.memory_place::<W>(operand.segment, offset, access)
}

pub(crate) fn bt(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    bit_test(context, instruction, BitChange::Keep)
}

pub(crate) fn bts(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    bit_test(context, instruction, BitChange::Set)
}

pub(crate) fn btr(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    bit_test(context, instruction, BitChange::Reset)
}

pub(crate) fn btc(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    bit_test(context, instruction, BitChange::Complement)
}

/// `operand 0 = operation(operand 1, flags)` unless that gives nothing; the flags change in any case.
#[inline(always)]
fn scan<W: Width>(
    context: &mut Context<'_>,
    instruction: &Instruction,
    operation: impl FnOnce(W, Eflags) -> (Option<W>, Eflags),
) -> Outcome {
    let source = context.read::<W>(instruction, 1)?;
    let (result, flags) = operation(source, context.state.eflags);
    if let Some(result) = result {
        context.write(instruction, 0, result)?;
    }
    context.set_flags(Eflags::STATUS, flags);
    Ok(())
}

pub(crate) fn bsf(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => {
        scan::<W>(context, instruction, |source, _| compute::bsf(source))
    })
}

pub(crate) fn bsr(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => {
        scan::<W>(context, instruction, |source, _| compute::bsr(source))
    })
}

pub(crate) fn tzcnt(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => scan::<W>(context, instruction, |source, before| {
        let (count, flags) = compute::tzcnt(source, before);
        (Some(count), flags)
    }))
}

pub(crate) fn lzcnt(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => scan::<W>(context, instruction, |source, before| {
        let (count, flags) = compute::lzcnt(source, before);
        (Some(count), flags)
    }))
}

pub(crate) fn popcnt(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => scan::<W>(context, instruction, |source, _| {
        let (count, flags) = compute::popcnt(source);
        (Some(count), flags)
    }))
}

pub(crate) fn setcc(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let holds = instruction.condition().holds(context.state.eflags);
    context.write(instruction, 0, u8::from(holds))
}

pub(crate) fn crc32(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let crc = context.read::<u32>(instruction, 0)?;
    let result = at_width!(operand_bytes(instruction, 1), W => {
        compute::crc32(crc, context.read::<W>(instruction, 1)?)
    });
    context.write(instruction, 0, result)
}
