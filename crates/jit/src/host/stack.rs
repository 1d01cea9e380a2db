//! The stack of translated code, one for each thread of the host: return addresses of the guest's calls.
//!
//! The thread's own may be too small for them, and what would happen at its end could not be told from an
//! exception of the guest's.

use core::ptr::{self, NonNull};

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

use crate::stubs::MOST_STACK;

/// Bytes for a signal's frame and its handler, where the thread has no stack of its own for signals.
const SIGNALS: usize = 64 << 10;
/// Bytes below that nobody can write to.
const GUARD: usize = 64 << 10;
const LENGTH: usize = GUARD + (SIGNALS + MOST_STACK).next_multiple_of(64 << 10);

struct Stack(NonNull<u8>);

impl Stack {
    /// `None` where the host gives no memory.
    fn new() -> Option<Self> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new private mapping at an address of the kernel's choice touches no memory that
        // Rust knows of.
        let start = unsafe { mmap_anonymous(ptr::null_mut(), LENGTH, protection, flags) };
        let stack = NonNull::new(start.ok()?.cast()).map(Self)?;
        // SAFETY: the range is the low end of the mapping, in which nothing lies yet.
        unsafe { mprotect(stack.0.as_ptr().cast(), GUARD, MprotectFlags::empty()) }.ok()?;
        Some(stack)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: `new` mapped exactly this; its thread ends, and runs no translated code any more.
        let _ = unsafe { munmap(self.0.as_ptr().cast(), LENGTH) };
    }
}

thread_local! {
    static STACK: Option<Stack> = Stack::new();
}

/// The upper end of this thread's stack for translated code, below which it has [`MOST_STACK`] bytes and room
/// for signals; `None` where the host has no memory for it, and at the very end of a thread.
pub(crate) fn stack_top() -> Option<u64> {
    let top = |stack: &Option<Stack>| stack.as_ref().map(|stack| (stack.0.addr().get() + LENGTH) as u64);
    STACK.try_with(top).ok().flatten()
}
