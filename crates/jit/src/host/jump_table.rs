//! Where the translation of each guest address begins: four bytes for each of 2^32 addresses, of which
//! the host provides only the pages that are written.

use core::ptr::{self, NonNull};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

/// Entries.
const LENGTH: usize = 1 << 32;
const BYTES: usize = LENGTH * size_of::<u32>();

/// Offsets in the code memory by guest address; zero for none.
pub(crate) struct JumpTable(NonNull<u32>);

// SAFETY: the mapping belongs to this value alone, and nothing ties it to a thread.
unsafe impl Send for JumpTable {}

impl JumpTable {
    /// A table in which nothing is translated; `None` where the host gives no 16 GiB of addresses.
    pub(crate) fn new() -> Option<Self> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new private mapping at an address of the kernel's choice touches no memory that
        // Rust knows of.
        let start = unsafe { mmap_anonymous(ptr::null_mut(), BYTES, protection, flags) };
        NonNull::new(start.ok()?.cast()).map(Self)
    }

    /// The address of the entry of guest address zero.
    pub(crate) fn address(&self) -> u64 {
        self.0.addr().get() as u64
    }

    /// Says where the translation of `eip` begins; zero for nowhere.
    pub(crate) fn set(&mut self, eip: u32, offset: u32) {
        // SAFETY: every `u32` is an index below the table's length; `&mut self` says that nobody reads
        // meanwhile.
        unsafe { self.0.add(eip as usize).write(offset) }
    }

    /// Gives the memory of a table in which nothing is translated any more back to the host, which may
    /// refuse to take it.
    pub(crate) fn give_back(&mut self) {
        // SAFETY: the mapping is private and anonymous and belongs to this value: its pages become
        // zeros again, which by then they are.
        let _ = unsafe { madvise(self.0.as_ptr().cast(), BYTES, Advice::LinuxDontNeed) };
    }
}

impl Drop for JumpTable {
    fn drop(&mut self) {
        // SAFETY: `new` mapped exactly this, and its only owner is being dropped.
        let _ = unsafe { munmap(self.0.as_ptr().cast(), BYTES) };
    }
}
