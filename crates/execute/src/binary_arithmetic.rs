//! Addition, subtraction, comparison, multiplication and division.

use pentimento_decoder::Instruction;
use pentimento_memory::Access;
use pentimento_registers::{Eflags, Gpr, Gpr8};

use crate::place::{at_width, operand_bytes};
use crate::semantics::binary_arithmetic as compute;
use crate::{Context, Outcome, Trap, Width};

/// `destination = operation(destination, source, flags)`, and its flags.
#[inline(always)]
pub(crate) fn update<W: Width>(
    context: &mut Context<'_>,
    instruction: &Instruction,
    operation: impl FnOnce(W, W, Eflags) -> (W, Eflags),
) -> Outcome {
    let destination = context.place::<W>(instruction, 0, Access::Write)?;
    let source = context.read::<W>(instruction, 1)?;
    let (result, flags) = operation(context.get(destination)?, source, context.state.eflags);
    context.put(destination, result)?;
    context.set_flags(Eflags::STATUS, flags);
    Ok(())
}

/// `destination = operation(destination)`, with the status flags in `mask` written.
#[inline(always)]
pub(crate) fn update_alone<W: Width>(
    context: &mut Context<'_>,
    instruction: &Instruction,
    mask: Eflags,
    operation: impl FnOnce(W) -> (W, Eflags),
) -> Outcome {
    let destination = context.place::<W>(instruction, 0, Access::Write)?;
    let (result, flags) = operation(context.get(destination)?);
    context.put(destination, result)?;
    context.set_flags(mask, flags);
    Ok(())
}

/// The flags of `operation(first, second)`; its result is dropped.
#[inline(always)]
pub(crate) fn compare<W: Width>(
    context: &mut Context<'_>,
    instruction: &Instruction,
    operation: impl FnOnce(W, W) -> (W, Eflags),
) -> Outcome {
    let first = context.read::<W>(instruction, 0)?;
    let second = context.read::<W>(instruction, 1)?;
    let (_, flags) = operation(first, second);
    context.set_flags(Eflags::STATUS, flags);
    Ok(())
}

fn carry(flags: Eflags) -> bool {
    flags.contains(Eflags::CF)
}

pub(crate) fn add(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => {
        update::<W>(context, instruction, |a, b, _| compute::add(a, b))
    })
}

pub(crate) fn adc(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => {
        update::<W>(context, instruction, |a, b, flags| compute::adc(a, b, carry(flags)))
    })
}

pub(crate) fn sub(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => {
        update::<W>(context, instruction, |a, b, _| compute::sub(a, b))
    })
}

pub(crate) fn sbb(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => {
        update::<W>(context, instruction, |a, b, flags| compute::sbb(a, b, carry(flags)))
    })
}

pub(crate) fn cmp(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => compare::<W>(context, instruction, compute::sub))
}

pub(crate) fn inc(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let mask = Eflags::STATUS.difference(Eflags::CF);
    at_width!(operand_bytes(instruction, 0), W => update_alone::<W>(context, instruction, mask, compute::inc))
}

pub(crate) fn dec(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let mask = Eflags::STATUS.difference(Eflags::CF);
    at_width!(operand_bytes(instruction, 0), W => update_alone::<W>(context, instruction, mask, compute::dec))
}

pub(crate) fn neg(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let mask = Eflags::STATUS;
    at_width!(operand_bytes(instruction, 0), W => update_alone::<W>(context, instruction, mask, compute::neg))
}

/// What multiplications write.
const PRODUCT_FLAGS: Eflags = Eflags::CF.union(Eflags::OF);

/// The register with the high half of products and dividends: AH, DX or EDX.
fn high_register<W: Width>() -> u8 {
    if W::BYTES == 1 { Gpr8::Ah.number() } else { Gpr::Edx.number() }
}

/// `high:accumulator = operation(accumulator, operand 0)`.
#[inline(always)]
fn multiply<W: Width>(
    context: &mut Context<'_>,
    instruction: &Instruction,
    operation: impl FnOnce(W, W) -> (W, W, Eflags),
) -> Outcome {
    let accumulator = Gpr::Eax.number();
    let factor = context.read::<W>(instruction, 0)?;
    let (low, high, flags) = operation(W::register(context.state, accumulator), factor);
    W::set_register(context.state, accumulator, low);
    W::set_register(context.state, high_register::<W>(), high);
    context.set_flags(PRODUCT_FLAGS, flags);
    Ok(())
}

pub(crate) fn mul(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => multiply::<W>(context, instruction, compute::mul))
}

/// One operand: double-width product; two or three: the product's low half in the first.
pub(crate) fn imul(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let count = instruction.operand_count();
    at_width!(operand_bytes(instruction, 0), W => {
        if count < 2 {
            return multiply::<W>(context, instruction, compute::imul);
        }
        let first = context.read::<W>(instruction, count - 2)?;
        let second = context.read::<W>(instruction, count - 1)?;
        let (product, _, flags) = compute::imul(first, second);
        context.write(instruction, 0, product)?;
        context.set_flags(PRODUCT_FLAGS, flags);
        Ok(())
    })
}

/// `accumulator, high = operation(high:accumulator, operand 0)`, or #DE.
#[inline(always)]
fn divide<W: Width>(
    context: &mut Context<'_>,
    instruction: &Instruction,
    operation: impl FnOnce(W, W, W) -> Option<(W, W)>,
) -> Outcome {
    let (accumulator, high) = (Gpr::Eax.number(), high_register::<W>());
    let divisor = context.read::<W>(instruction, 0)?;
    let (dividend_high, dividend_low) =
        (W::register(context.state, high), W::register(context.state, accumulator));
    let (quotient, remainder) = operation(dividend_high, dividend_low, divisor).ok_or(Trap::DIVIDE_ERROR)?;
    W::set_register(context.state, accumulator, quotient);
    W::set_register(context.state, high, remainder);
    let flags = compute::division_flags(context.state.eflags);
    context.set_flags(Eflags::STATUS, flags);
    Ok(())
}

pub(crate) fn div(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => divide::<W>(context, instruction, compute::div))
}

pub(crate) fn idiv(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => divide::<W>(context, instruction, compute::idiv))
}

/// ADCX and ADOX: an addition whose carry lives in `flag`, and no other flag changes.
fn add_through(context: &mut Context<'_>, instruction: &Instruction, flag: Eflags) -> Outcome {
    let first = context.read::<u32>(instruction, 0)?;
    let second = context.read::<u32>(instruction, 1)?;
    let (sum, carry) = compute::add_with_carry(first, second, context.state.eflags.contains(flag));
    context.write(instruction, 0, sum)?;
    context.state.eflags.set(flag, carry);
    Ok(())
}

pub(crate) fn adcx(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    add_through(context, instruction, Eflags::CF)
}

pub(crate) fn adox(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    add_through(context, instruction, Eflags::OF)
}
