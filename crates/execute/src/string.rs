//! String instructions and their REP prefixes, and port I/O.

use pentimento_decoder::{Instruction, Prefixes};
use pentimento_registers::{Eflags, Gpr, SegmentRegister};

use crate::place::{at_width, operand_bytes};
use crate::semantics::binary_arithmetic;
use crate::{Context, Outcome, Trap, Width};

/// A repeated string instruction counts as executed, and starts again, where its counter comes to a
/// multiple of this many iterations; EIP stays there meanwhile, as after an interrupt on silicon. So
/// a budget or a stop request is never far away: no instruction moves more than a page. With TF set
/// each iteration counts.
pub const REPEAT_CHUNK: u32 = 1 << 10;

/// Iterations from a counter that is not zero to where the instruction counts as executed; none from zero.
#[inline]
#[must_use]
pub const fn repeat_chunk(counter: u32) -> u32 {
    match counter {
        0 => 0,
        _ => (counter - 1) % REPEAT_CHUNK + 1,
    }
}

/// Moves an index register over one element, in the direction that DF says.
fn advance<W: Width>(context: &mut Context<'_>, instruction: &Instruction, register: Gpr) {
    let size = instruction.address_size();
    let backwards = context.state.eflags.contains(Eflags::DF);
    let step = if backwards { W::BYTES.wrapping_neg() } else { W::BYTES };
    let moved = context.address_register(register, size).wrapping_add(step);
    context.set_address_register(register, size, moved);
}

/// The element at (E)SI in DS or the segment of the override.
fn source<W: Width>(context: &Context<'_>, instruction: &Instruction) -> Outcome<W> {
    let offset = context.address_register(Gpr::Esi, instruction.address_size());
    context.load(instruction.segment(), offset)
}

/// The element at ES:(E)DI, which no override moves.
fn destination<W: Width>(context: &Context<'_>, instruction: &Instruction) -> Outcome<W> {
    let offset = context.address_register(Gpr::Edi, instruction.address_size());
    context.load(SegmentRegister::Es, offset)
}

/// Whether there is a REP prefix: on MOVS, STOS and LODS, F2h is as good as F3h.
fn is_repeated(instruction: &Instruction) -> bool {
    instruction.prefixes().intersects(Prefixes::REP.union(Prefixes::REPNE))
}

/// Runs `iteration` once, or under a REP prefix while the counter is not zero. An iteration
/// changes nothing if it fails, so a fault leaves exactly the finished ones.
#[inline(always)]
fn repeat(
    context: &mut Context<'_>,
    instruction: &Instruction,
    mut iteration: impl FnMut(&mut Context<'_>) -> Outcome,
    mut ends: impl FnMut(Eflags) -> bool,
) -> Outcome {
    if !is_repeated(instruction) {
        return iteration(context);
    }
    let size = instruction.address_size();
    let mut counter = context.address_register(Gpr::Ecx, size);
    let chunk = if context.state.eflags.contains(Eflags::TF) { 1 } else { repeat_chunk(counter) };
    for _ in 0..chunk.min(counter) {
        iteration(context)?;
        counter -= 1;
        context.set_address_register(Gpr::Ecx, size, counter);
        if ends(context.state.eflags) {
            return Ok(());
        }
    }
    if counter != 0 {
        context.state.eip = context.start;
    }
    Ok(())
}

/// [`repeat`] for CMPS and SCAS, which end when ZF is not what their prefix asks for. A fault
/// leaves the flags of the last finished iteration, as AMD has it (SDM volume 2, REP, has those
/// from before the first).
#[inline(always)]
fn repeat_comparing(
    context: &mut Context<'_>,
    instruction: &Instruction,
    iteration: impl FnMut(&mut Context<'_>) -> Outcome,
) -> Outcome {
    let while_equal = instruction.prefixes().contains(Prefixes::REP);
    repeat(context, instruction, iteration, |flags| flags.contains(Eflags::ZF) != while_equal)
}

pub(crate) fn movs(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => repeat(context, instruction, |context| {
        let value = source::<W>(context, instruction)?;
        let offset = context.address_register(Gpr::Edi, instruction.address_size());
        context.store(SegmentRegister::Es, offset, value)?;
        advance::<W>(context, instruction, Gpr::Esi);
        advance::<W>(context, instruction, Gpr::Edi);
        Ok(())
    }, |_| false))
}

pub(crate) fn stos(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => repeat(context, instruction, |context| {
        let value = W::register(context.state, Gpr::Eax.number());
        let offset = context.address_register(Gpr::Edi, instruction.address_size());
        context.store(SegmentRegister::Es, offset, value)?;
        advance::<W>(context, instruction, Gpr::Edi);
        Ok(())
    }, |_| false))
}

pub(crate) fn lods(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => repeat(context, instruction, |context| {
        let value = source::<W>(context, instruction)?;
        W::set_register(context.state, Gpr::Eax.number(), value);
        advance::<W>(context, instruction, Gpr::Esi);
        Ok(())
    }, |_| false))
}

pub(crate) fn cmps(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => repeat_comparing(context, instruction, |context| {
        // Which of two faults wins: silicon reads the destination first, but the source in REPE CMPSB.
        let (first, second) = if W::BYTES != 1 || !instruction.prefixes().contains(Prefixes::REP) {
            let second = destination::<W>(context, instruction)?;
            (source::<W>(context, instruction)?, second)
        } else {
            let first = source::<W>(context, instruction)?;
            (first, destination::<W>(context, instruction)?)
        };
        advance::<W>(context, instruction, Gpr::Esi);
        advance::<W>(context, instruction, Gpr::Edi);
        let (_, flags) = binary_arithmetic::sub(first, second);
        context.set_flags(Eflags::STATUS, flags);
        Ok(())
    }))
}

pub(crate) fn scas(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => repeat_comparing(context, instruction, |context| {
        let first = W::register(context.state, Gpr::Eax.number());
        let second = destination::<W>(context, instruction)?;
        advance::<W>(context, instruction, Gpr::Edi);
        let (_, flags) = binary_arithmetic::sub(first, second);
        context.set_flags(Eflags::STATUS, flags);
        Ok(())
    }))
}

/// IN, OUT, INS and OUTS raise #GP(0): user code has no I/O privilege and Linux gives it no port; a count of zero changes
/// nothing about that.
pub(crate) fn port(_: &mut Context<'_>, _: &Instruction) -> Outcome {
    Err(Trap::GENERAL_PROTECTION)
}
