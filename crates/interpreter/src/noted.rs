//! What blocks for an observer keep while they run: how often others began, and what the instruction that is
//! executing accesses.

use pentimento_decoder::Usage;
use pentimento_execute::observe::{MemoryAccess, Ranges};
use pentimento_memory::{Access, AddressSpace};

use crate::counters::Counters;

/// All of it.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) counters: Counters,
    pub(crate) access: Noted,
}

/// What the instruction that is executing accesses.
pub(crate) struct Noted {
    /// The access, or of two the load. What is stored is known behind the instruction only.
    pub(crate) access: MemoryAccess,
    /// Empty if nothing is to be told of.
    pub(crate) usage: Usage,
    /// Accesses outside of these are of no interest.
    pub(crate) watched: Ranges,
}

impl Default for Noted {
    fn default() -> Self {
        let access = MemoryAccess { eip: 0, address: 0, length: 0, access: Access::Read, value: 0 };
        Self { access, usage: Usage::empty(), watched: Ranges::default() }
    }
}

impl Noted {
    /// Whether there is something to tell of.
    #[inline(always)]
    pub(crate) const fn is_pending(&self) -> bool {
        !self.usage.is_empty()
    }

    /// Drops what is noted: somebody else has told of it.
    #[inline(always)]
    pub(crate) const fn drop(&mut self) {
        self.usage = Usage::empty();
    }

    /// Completes what is noted, now that the instruction has been executed. Gives what it has stored if it has
    /// also loaded.
    #[inline(always)]
    pub(crate) fn complete(&mut self, space: &AddressSpace) -> Option<MemoryAccess> {
        let usage = core::mem::replace(&mut self.usage, Usage::empty());
        if !usage.contains(Usage::WRITE) {
            return None;
        }
        let MemoryAccess { address, length, .. } = self.access;
        let value = load(space, address, length).unwrap_or_else(|| peek(space, address, length));
        if usage.contains(Usage::READ) {
            return Some(MemoryAccess { access: Access::Write, value, ..self.access });
        }
        self.access.value = value;
        None
    }
}

/// The value of `bytes` at `address`, if that is quickly had.
#[inline(always)]
pub(crate) fn load(space: &AddressSpace, address: u32, bytes: u8) -> Option<u128> {
    Some(match bytes {
        4 => space.read_fast::<u32>(address)?.into(),
        1 => space.read_fast::<u8>(address)?.into(),
        2 => space.read_fast::<u16>(address)?.into(),
        8 => space.read_fast::<u64>(address)?.into(),
        _ => space.read_fast::<u128>(address)?,
    })
}

/// The same in any case.
#[cold]
fn peek(space: &AddressSpace, address: u32, length: u8) -> u128 {
    let mut bytes = [0; 16];
    // It has just been stored to.
    let _ = space.peek_bytes(address, &mut bytes[..usize::from(length).min(16)]);
    u128::from_le_bytes(bytes)
}
