//! The plain engine: fetch, decode, execute, one instruction at a time. Every other engine is
//! checked against it.

use pentimento_decoder::Instruction;
use pentimento_memory::AddressSpace;
use pentimento_registers::{CpuState, Eflags};

use crate::dispatch::{handler_on, inhibits_single_step};
use crate::{Context, Environment, Event, Exception, Exit, Trap, fetch};

/// The reference engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reference;

impl Reference {
    /// Executes up to `budget` instructions. Returns how many completed, and why it stopped.
    ///
    /// An instruction that faults is not counted; one that completes and traps (INT n, INT3,
    /// single step) is.
    pub fn run(
        &mut self,
        state: &mut CpuState,
        memory: &mut AddressSpace,
        environment: &mut Environment,
        budget: u64,
    ) -> (u64, Exit) {
        for executed in 0..budget {
            if let Err(exit) = self.step(state, memory, environment) {
                return (executed + u64::from(exit.completes_instruction()), exit);
            }
        }
        (budget, Exit::Budget)
    }

    /// Executes one instruction.
    ///
    /// # Errors
    /// Why execution cannot simply go on; never [`Exit::Budget`].
    pub fn step(
        &mut self,
        state: &mut CpuState,
        memory: &mut AddressSpace,
        environment: &mut Environment,
    ) -> Result<(), Exit> {
        let mut context = Context::new(state, memory, environment);
        match fetch(&context) {
            _ if context.environment.is_code_end(context.start, 1) => Err(Exit::CodeEnd),
            Ok(instruction)
                if context.environment.is_code_end(context.start, instruction.length().into()) =>
            {
                Err(Exit::CodeEnd)
            }
            Ok(instruction) => execute(&mut context, &instruction),
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
    if !matches!(trap, Some(Trap::Fault { .. })) {
        context.environment.time_stamp = context.environment.time_stamp.wrapping_add(1);
    }
    trap.map_or(Ok(()), |trap| Err(exit(context, trap)))
}

/// Turns what a handler returned into an exit, with EIP where the exception frame would have it.
#[cold]
#[must_use]
pub fn exit(context: &mut Context<'_>, trap: Trap) -> Exit {
    match trap {
        Trap::Fault { exception, mut error_code, address } => {
            context.state.eip = context.start;
            let hidden = context.memory.permissions(address).is_some_and(|held| held.is_empty());
            if exception == Exception::PageFault && hidden {
                // Linux implements PROT_NONE by clearing the page's present bit.
                error_code &= !1;
            }
            Exit::Exception(Event { exception, error_code, address, eip: context.start })
        }
        Trap::After(exception) => {
            Exit::Exception(Event { exception, error_code: 0, address: 0, eip: context.state.eip })
        }
        Trap::Interrupt(vector) => Exit::Interrupt(vector),
        Trap::Sysenter => Exit::Sysenter,
        Trap::Syscall => Exit::Syscall,
    }
}
