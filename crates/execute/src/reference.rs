//! The plain engine: fetch, decode, execute, one instruction at a time. Every other engine is
//! checked against it.

use pentimento_decoder::Instruction;
use pentimento_registers::{Eflags, Exception};

use crate::dispatch::{handler_on, inhibits_single_step};
use crate::{Context, Engine, Exit, Guest, Stop, Trap, Until, fetch};

/// The reference engine. To it, each instruction is a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reference;

impl Engine for Reference {
    fn run(&mut self, guest: &mut Guest<'_>, until: Until) -> Stop {
        let budget = until.budget.min(until.block_end);
        for executed in 0..budget {
            if guest.environment.stop.take() {
                return Stop { executed, exit: Exit::Stopped };
            }
            if executed > 0 && guest.environment.breakpoints.contains(guest.state.eip) {
                return Stop { executed, exit: Exit::Breakpoint };
            }
            if let Err(exit) = self.step(guest) {
                return Stop { executed: executed + u64::from(exit.completes_instruction()), exit };
            }
        }
        Stop { executed: budget, exit: Exit::Budget }
    }
}

impl Reference {
    /// Executes one instruction, whether it has a breakpoint or not.
    ///
    /// # Errors
    /// Why execution cannot simply go on; never [`Exit::Budget`].
    pub fn step(self, guest: &mut Guest<'_>) -> Result<(), Exit> {
        let instruction = Self::find(guest)?;
        execute(&mut guest.context(), &instruction)
    }

    /// The instruction at EIP.
    #[inline]
    pub(crate) fn find(guest: &mut Guest<'_>) -> Result<Instruction, Exit> {
        let mut context = guest.context();
        match fetch(&context) {
            _ if context.environment.is_code_end(context.start, 1) => Err(Exit::CodeEnd),
            Ok(instruction)
                if context.environment.is_code_end(context.start, instruction.length().into()) =>
            {
                Err(Exit::CodeEnd)
            }
            Ok(instruction) => Ok(instruction),
            Err(trap) => Err(exit(&mut context, trap)),
        }
    }
}

/// Executes a decoded instruction at `context.start`, with EIP, time-stamp counter and single
/// step: what every engine does with an instruction that it has no faster way for.
///
/// # Errors
/// Why execution cannot simply go on; never [`Exit::Budget`].
#[inline]
pub fn execute(context: &mut Context<'_>, instruction: &Instruction) -> Result<(), Exit> {
    let single_step = context.state.eflags.contains(Eflags::TF);
    context.state.eip = context.start.wrapping_add(instruction.length().into());
    let outcome = handler_on(context.environment.model, instruction)(context, instruction);
    let trap = match outcome {
        Ok(()) if single_step && !inhibits_single_step(instruction) => Some(Trap::After(Exception::Debug)),
        Ok(()) => None,
        Err(trap) => Some(trap),
    };
    if !trap.is_some_and(|trap| trap.is_fault()) {
        context.environment.time_stamp = context.environment.time_stamp.wrapping_add(1);
    }
    trap.map_or(Ok(()), |trap| Err(exit(context, trap)))
}

/// Turns what a handler returned into an exit, with EIP where the exception frame would have it.
#[cold]
#[must_use]
pub fn exit(context: &mut Context<'_>, trap: Trap) -> Exit {
    if trap.is_fault() {
        context.state.eip = context.start;
    }
    match trap {
        Trap::Fault { exception, error_code } => Exit::Exception { exception, error_code },
        Trap::PageFault(fault) => Exit::PageFault(fault),
        Trap::After(exception) => Exit::Exception { exception, error_code: 0 },
        Trap::Interrupt(vector) => Exit::Interrupt(vector),
        Trap::Sysenter => Exit::Sysenter,
        Trap::Syscall => Exit::Syscall,
    }
}
