//! Accesses to memory that an instruction makes.

use alloc::vec::Vec;
use core::cell::RefCell;

use pentimento_decoder::{Instruction, Operation, Prefixes};
use pentimento_memory::Access;
use pentimento_registers::{CpuState, Gpr, SegmentRegister};

/// An access to memory that an instruction has made.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MemoryAccess {
    /// EIP of the instruction.
    pub eip: u32,
    /// The linear address of the first byte. The others are behind it, wrapping at 4 GiB.
    pub address: u32,
    /// The number of bytes, 1 to 16. An instruction that moves more at once (FXSAVE, FNSAVE) makes
    /// several accesses.
    pub length: u8,
    /// A load, a store, or for hosts that count fetches among accesses a fetch.
    pub access: Access,
    /// The bytes, the first one lowest; zeros above.
    pub value: u128,
}

/// The accesses that the instruction which is executing has made so far.
#[derive(Clone, Default, Debug)]
pub struct AccessLog(RefCell<Vec<MemoryAccess>>);

impl AccessLog {
    /// Notes an access of at most 16 bytes.
    #[inline]
    pub(crate) fn note(&self, access: MemoryAccess) {
        self.0.borrow_mut().push(access);
    }

    /// Notes an access to all of `bytes`, in parts of 16.
    pub(crate) fn note_bytes(&self, eip: u32, address: u32, access: Access, bytes: &[u8]) {
        const MOST: usize = 16;
        for (index, part) in bytes.chunks(MOST).enumerate() {
            let mut value = [0; MOST];
            value[..part.len()].copy_from_slice(part);
            let address = address.wrapping_add((index * MOST) as u32);
            let (length, value) = (part.len() as u8, u128::from_le_bytes(value));
            self.note(MemoryAccess { eip, address, length, access, value });
        }
    }

    /// Whether none has been noted.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Takes what has been noted.
    pub(crate) fn take(&mut self) -> Vec<MemoryAccess> {
        core::mem::take(self.0.get_mut())
    }

    /// Gives back the room that was [taken](Self::take).
    pub(crate) fn give_back(&mut self, mut accesses: Vec<MemoryAccess>) {
        accesses.clear();
        *self.0.get_mut() = accesses;
    }

    /// Drops what `instruction`, which has faulted and left `state`, will do again: everything, but for
    /// the finished iterations of a repeated string instruction. Of the one that faulted there can be
    /// loads only.
    pub(crate) fn drop_unfinished(&mut self, state: &CpuState, instruction: &Instruction) {
        let accesses = self.0.get_mut();
        if !is_repeated_string(instruction) {
            return accesses.clear();
        }
        let linear = |segment, register| {
            let offset = match instruction.address_size() {
                pentimento_decoder::AddressSize::Dword => state.gpr(register),
                pentimento_decoder::AddressSize::Word => state.gpr(register) & 0xffff,
            };
            state.segment(segment).base().wrapping_add(offset)
        };
        let source = linear(instruction.segment(), Gpr::Esi);
        let destination = linear(SegmentRegister::Es, Gpr::Edi);
        while let Some(last) = accesses.last()
            && last.access == Access::Read
            && (last.address == source || last.address == destination)
        {
            accesses.pop();
        }
    }
}

fn is_repeated_string(instruction: &Instruction) -> bool {
    use Operation as O;
    let string = matches!(instruction.operation(), O::Movs | O::Stos | O::Lods | O::Cmps | O::Scas);
    string && instruction.prefixes().intersects(Prefixes::REP.union(Prefixes::REPNE))
}
