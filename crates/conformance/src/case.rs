//! A case: one instruction with everything that it can see; and an outcome: everything that it did.

use pentimento_registers::CpuState;

/// One instruction, the state that it starts from and the memory that differs from the
/// [background](crate::layout::background).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Case {
    /// The instruction's bytes, at `state.eip`. Those that would lie in no mapped page do not exist.
    pub code: Vec<u8>,
    /// The registers.
    pub state: CpuState,
    /// Memory, in the order in which it is written.
    pub patches: Vec<Patch>,
}

impl Case {
    /// The bytes that the case sets, in the order in which they are written: the code comes last.
    pub fn memory(&self) -> impl Iterator<Item = (u32, &[u8])> {
        let patches = self.patches.iter().map(|patch| (patch.address, &patch.bytes[..]));
        patches.chain([(self.state.eip, &self.code[..])])
    }
}

/// Bytes at an address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Patch {
    /// Linear address of the first.
    pub address: u32,
    /// The bytes; those that would lie in no mapped page do not exist.
    pub bytes: Vec<u8>,
}

/// Sixteen aligned bytes that the instruction changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chunk {
    /// Linear address, a multiple of 16.
    pub address: u32,
    /// The new contents.
    pub bytes: [u8; 16],
}

/// How a case ended. Every case ends in an exception: the INT3 behind the instruction or the
/// single-step trap if nothing else.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ending {
    /// The exception's vector, or one of [`Ending::BUDGET`] and [`Ending::LEFT`].
    pub vector: u32,
    /// Its error code, 0 for those that have none.
    pub error_code: u32,
    /// CR2 for a page fault, else 0.
    pub address: u32,
    /// The registers as the exception frame has them. Cached descriptors are not compared.
    pub state: CpuState,
    /// Memory that changed, in ascending arena order.
    pub chunks: Vec<Chunk>,
}

impl Ending {
    /// The engine ran out of its instruction budget.
    pub const BUDGET: u32 = 0x100;
    /// The engine left through SYSENTER, SYSCALL or INT 80h.
    pub const LEFT: u32 = 0x101;
}
