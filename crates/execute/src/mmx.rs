//! The MMX registers and the state they share with the x87 (SDM volume 1, section 9.5 and 9.6).
//!
//! MMX instructions differ from those on XMM registers only here; what they compute is in
//! [`vector`](crate::vector), how they move operands in [`sse`](crate::sse).

use pentimento_decoder::{Instruction, Operand, Register};
use pentimento_registers::{CpuState, Exception, StatusWord};

use crate::{Context, Outcome, Trap};

/// Raises the #MF that an unmasked x87 exception has left pending, as each MMX instruction does
/// before anything else.
///
/// # Errors
/// #MF.
#[inline]
pub(crate) fn check_pending(context: &Context<'_>) -> Outcome {
    if context.state.x87.status.contains(StatusWord::ES) {
        return Err(Trap::fault(Exception::FloatingPoint, 0));
    }
    Ok(())
}

/// What each MMX instruction but EMMS does to the x87 once it can no longer fault: TOP becomes
/// zero and no register is empty (SDM volume 1, section 9.5.1).
#[inline]
pub(crate) fn enter(state: &mut CpuState) {
    state.x87.top = 0;
    state.x87.in_use = 0xff;
}

/// EMMS and FEMMS: all x87 registers become empty; TOP becomes zero.
pub(crate) fn emms(context: &mut Context<'_>, _: &Instruction) -> Outcome {
    check_pending(context)?;
    context.state.x87.top = 0;
    context.state.x87.in_use = 0;
    Ok(())
}

/// Whether an operand is an MMX register.
pub(crate) fn is_operand(instruction: &Instruction) -> bool {
    (0..2).any(|index| matches!(instruction.operand(index), Some(Operand::Register(Register::Mmx(_)))))
}
