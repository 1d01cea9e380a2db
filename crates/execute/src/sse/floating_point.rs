//! Floating point on XMM registers: fetch, call the function of [`vector`], settle exceptions, store.

use pentimento_decoder::{Instruction, Operand, Operation, Register};
use pentimento_registers::{Eflags, Exception};

use super::operand::{VectorRegister, immediate, xmm_register};
use crate::float::Flags;
use crate::vector::floating_point::{self, FloatBinary, FloatWithImmediate};
use crate::vector::{Vector, comparison, lane};
use crate::{Context, Outcome, Trap, mmx};

impl Context<'_> {
    /// Makes the exceptions that an SSE instruction raised sticky.
    ///
    /// # Errors
    /// #XM if one of them is unmasked. CR4.OSXMMEXCPT is set, as Linux does.
    pub(crate) fn settle_sse(&mut self, flags: Flags) -> Outcome {
        let (mxcsr, unmasked) = floating_point::settle(self.state.mxcsr, flags);
        self.state.mxcsr = mxcsr;
        if unmasked { Err(Trap::fault(Exception::SimdFloatingPoint, 0)) } else { Ok(()) }
    }
}

/// An operation on XMM registers.
pub(crate) fn binary<O: FloatBinary>(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    calculate(context, instruction, |a, b, _, mxcsr| O::apply(a, b, mxcsr))
}

/// An operation on XMM registers with an immediate.
pub(crate) fn with_immediate<O: FloatWithImmediate>(
    context: &mut Context<'_>,
    instruction: &Instruction,
) -> Outcome {
    calculate(context, instruction, O::apply)
}

fn calculate(
    context: &mut Context<'_>,
    instruction: &Instruction,
    function: floating_point::FloatImmediateFunction,
) -> Outcome {
    let number = xmm_register(instruction, 0)?;
    let source = context.vector::<u128>(instruction, 1)?.guest_order();
    let mut value = u128::register(context.state, number).guest_order();
    let flags = function(&mut value, &source, immediate(instruction, 2), context.state.mxcsr);
    context.settle_sse(flags)?;
    u128::set_register(context.state, number, value.guest_order());
    Ok(())
}

/// A conversion from or to a general or MMX register.
pub(crate) fn convert<O: FloatBinary>(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    convert_by(context, instruction, O::apply)
}

fn convert_by(
    context: &mut Context<'_>,
    instruction: &Instruction,
    function: floating_point::FloatFunction,
) -> Outcome {
    let mmx = mmx::is_operand(instruction);
    if mmx {
        mmx::check_pending(context)?;
    }
    let destination = match instruction.operand(0) {
        Some(Operand::Register(register)) => register,
        _ => return Err(Trap::INVALID_OPCODE),
    };
    let mut value = match destination {
        Register::Xmm(number) => u128::register(context.state, number).guest_order(),
        _ => 0,
    };
    let source = context.vector::<u128>(instruction, 1)?.guest_order();
    let flags = function(&mut value, &source, context.state.mxcsr);
    if mmx {
        // Even where #XM follows.
        mmx::enter(context.state);
    }
    context.settle_sse(flags)?;
    let value = value.guest_order();
    match destination {
        Register::Xmm(number) => u128::set_register(context.state, number, value),
        Register::Mmx(number) => u64::set_register(context.state, number, value as u64),
        Register::Gpr32(register) => context.state.set_gpr(register, value as u32),
        _ => return Err(Trap::INVALID_OPCODE),
    }
    Ok(())
}

/// COMISS, COMISD, UCOMISS and UCOMISD.
pub(crate) fn compare(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    use Operation as O;
    let a = context.vector::<u128>(instruction, 0)?.guest_order();
    let b = context.vector::<u128>(instruction, 1)?.guest_order();
    let mxcsr = context.state.mxcsr;
    let (eflags, flags) = match instruction.operation() {
        O::Comiss => comparison::ordered::<u32>(lane(&a, 0), lane(&b, 0), true, mxcsr),
        O::Comisd => comparison::ordered::<u64>(lane(&a, 0), lane(&b, 0), true, mxcsr),
        O::Ucomiss => comparison::ordered::<u32>(lane(&a, 0), lane(&b, 0), false, mxcsr),
        _ => comparison::ordered::<u64>(lane(&a, 0), lane(&b, 0), false, mxcsr),
    };
    context.settle_sse(flags)?;
    context.set_flags(Eflags::STATUS, eflags);
    Ok(())
}
