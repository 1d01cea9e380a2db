//! The instructions of a block, one after the other.

use pentimento_decoder::{Instruction, Operand, Operation, Register, decode};
use pentimento_memory::AddressSpace;

use crate::{Environment, Handler, handler_on};

/// What is behind an instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    /// The next instruction.
    Next,
    /// The next instruction, or the target of a direct branch.
    Branch,
    /// Whatever EIP says: the instruction is the last of its block.
    Jump,
    /// The same, and segments or flags may have become such that compiled blocks do not fit them.
    Recheck,
}

/// An instruction in its place.
#[derive(Clone, Debug)]
pub struct Found {
    /// The instruction.
    pub instruction: Instruction,
    /// What executes it on this CPU model.
    pub handler: Handler,
    /// EIP of the instruction behind it.
    pub next: u32,
    /// Where a direct branch goes if it is taken; [`Found::next`] if it is none.
    pub target: u32,
    /// What is behind it.
    pub flow: Flow,
    /// The CPU model does not have the instruction: [`Found::handler`] does something else.
    pub lacking: bool,
}

impl Found {
    /// EIP of the instruction.
    #[inline]
    #[must_use]
    pub fn eip(&self) -> u32 {
        self.next.wrapping_sub(self.instruction.length().into())
    }
}

/// The instruction at `eip`; `None` where there is none that could be compiled: bytes that cannot be
/// fetched or decoded, and what would run over the end of the address space or of the code.
#[must_use]
pub fn find(memory: &AddressSpace, environment: &Environment, eip: u32) -> Option<Found> {
    let mut bytes = [0; 15];
    let available = memory.fetch(eip, &mut bytes);
    let instruction = decode(&bytes[..available]).ok()?;
    let next = eip.checked_add(instruction.length().into())?;
    if environment.is_code_end(eip, instruction.length().into()) {
        return None;
    }
    let target = match instruction.operand(0) {
        Some(Operand::Relative(displacement)) => instruction.branch_target(eip, displacement),
        _ => next,
    };
    let handler = handler_on(environment.model, &instruction);
    let lacking = !environment.model.has(instruction.feature());
    Some(Found { instruction, handler, next, target, flow: flow(&instruction), lacking })
}

/// What is behind an instruction. POPF goes on: whoever runs it looks at the flags that it sets.
fn flow(instruction: &Instruction) -> Flow {
    use Operation as O;
    match instruction.operation() {
        O::Jcc | O::Loop | O::Loope | O::Loopne | O::Jecxz => Flow::Branch,
        O::Jmp | O::Call | O::Ret => Flow::Jump,
        O::JmpFar | O::CallFar | O::RetFar | O::Iret | O::Int | O::Int3 | O::Into | O::Int1 => Flow::Recheck,
        O::Sysenter | O::Syscall | O::Hlt => Flow::Recheck,
        O::Lds | O::Les | O::Lfs | O::Lgs | O::Lss => Flow::Recheck,
        O::Mov | O::Pop
            if matches!(instruction.operand(0), Some(Operand::Register(Register::Segment(_)))) =>
        {
            Flow::Recheck
        }
        _ => Flow::Next,
    }
}
