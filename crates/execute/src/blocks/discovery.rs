//! The instructions of a block, one after the other.

use pentimento_decoder::{Instruction, Operand, Operation, decode};
use pentimento_memory::AddressSpace;

use crate::Environment;

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
    /// EIP of the instruction behind it.
    pub next: u32,
    /// Where a direct branch goes if it is taken; [`Found::next`] if it is none.
    pub target: u32,
    /// What is behind it.
    pub flow: Flow,
    /// The CPU model does not have the instruction.
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

/// Bytes of an instruction at most.
const LONGEST: usize = 15;
/// Bytes that are fetched at once: most blocks have fewer.
const WINDOW: usize = 128;

/// Bytes of code, fetched many at a time for whoever goes from instruction to instruction. They are as
/// the memory was when they were fetched.
#[derive(Clone, Debug)]
pub struct CodeWindow {
    bytes: [u8; WINDOW],
    /// The address of the first byte.
    start: u32,
    /// How many there are.
    length: usize,
}

impl CodeWindow {
    /// A window with nothing in it.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0; WINDOW], start: 0, length: 0 }
    }

    /// As many bytes at `eip` as an instruction has at most, or as can be fetched.
    fn at(&mut self, memory: &AddressSpace, eip: u32) -> &[u8] {
        let offset = eip.wrapping_sub(self.start) as usize;
        let offset = if offset.saturating_add(LONGEST) <= self.length {
            offset
        } else {
            (self.start, self.length) = (eip, memory.fetch(eip, &mut self.bytes));
            0
        };
        &self.bytes[offset..self.length.min(offset + LONGEST)]
    }
}

impl Default for CodeWindow {
    fn default() -> Self {
        Self::new()
    }
}

/// The instruction at `eip`; `None` where there is none that could be compiled: bytes that cannot be
/// fetched or decoded, what would run over the end of the address space or of the code, and breakpoints.
#[inline]
#[must_use]
pub fn find(
    window: &mut CodeWindow,
    memory: &AddressSpace,
    environment: &Environment,
    eip: u32,
) -> Option<Found> {
    let instruction = decode(window.at(memory, eip)).ok()?;
    let next = eip.checked_add(instruction.length().into())?;
    if environment.is_code_end(eip, instruction.length().into()) || environment.breakpoints.contains(eip) {
        return None;
    }
    let flow = flow(&instruction);
    let target = match flow {
        Flow::Next | Flow::Recheck => next,
        Flow::Branch | Flow::Jump => match instruction.operand(0) {
            Some(Operand::Relative(displacement)) => instruction.branch_target(eip, displacement),
            _ => next,
        },
    };
    let lacking = !environment.model.has(instruction.feature());
    Some(Found { instruction, next, target, flow, lacking })
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
        // To a segment register.
        O::Mov if instruction.opcode() == 0x8e => Flow::Recheck,
        O::Pop if !matches!(instruction.opcode(), 0x58..=0x5f | 0x8f) => Flow::Recheck,
        _ => Flow::Next,
    }
}
