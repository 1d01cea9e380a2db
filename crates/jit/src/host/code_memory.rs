//! Memory for translated code: one file in memory, mapped twice. Where it can be executed it cannot be
//! written, and where it is written it cannot be executed.

use core::ptr::{self, NonNull};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};

/// A region for code, both of whose mappings this value owns.
pub(crate) struct CodeMemory {
    code: NonNull<u8>,
    writable: NonNull<u8>,
    length: usize,
    /// The parts, which are filled each from its start.
    parts: [Part; 2],
}

/// A part of code memory: up to `provided` the host has been asked for it at once, rather than page by page.
struct Part {
    provided: usize,
    end: usize,
}

/// Bytes that the host is asked for at once: a page by itself costs it four times as much.
const PIECE: usize = 128 << 10;

// SAFETY: the mappings belong to this value alone, and nothing ties them to a thread.
unsafe impl Send for CodeMemory {}

impl CodeMemory {
    /// `length` bytes in two parts, of which the second begins at `second`; both are multiples of the host's
    /// page. `None` where the host has no memory or allows no such mapping.
    pub(crate) fn new(length: usize, second: usize) -> Option<Self> {
        let file = memfd_create("pentimento-code", MemfdFlags::CLOEXEC).ok()?;
        ftruncate(&file, length as u64).ok()?;
        let map = |protection| {
            let flags = MapFlags::SHARED | MapFlags::NORESERVE;
            // SAFETY: a new mapping at an address of the kernel's choice touches no memory that Rust
            // knows of.
            let start = unsafe { mmap(ptr::null_mut(), length, protection, flags, &file, 0) };
            NonNull::new(start.ok()?.cast::<u8>())
        };
        let writable = map(ProtFlags::READ | ProtFlags::WRITE)?;
        let Some(code) = map(ProtFlags::READ | ProtFlags::EXEC) else {
            // SAFETY: the mapping is new, and nobody else knows it.
            let _ = unsafe { munmap(writable.as_ptr().cast(), length) };
            return None;
        };
        let parts = [Part { provided: 0, end: second }, Part { provided: second, end: length }];
        Some(Self { code, writable, length, parts })
    }

    /// The address at which the code is executed.
    pub(crate) fn address(&self) -> u64 {
        self.code.addr().get() as u64
    }

    /// Bytes.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Writes `bytes` at `offset`; what would lie outside is not written. Only when no translated code
    /// of this region runs: `&mut self` is how the borrow checker sees to that.
    pub(crate) fn write(&mut self, offset: u32, bytes: &[u8]) {
        let offset = offset as usize;
        if offset <= self.length && bytes.len() <= self.length - offset {
            self.provide(offset + bytes.len());
            // SAFETY: the range was just checked to lie in the mapping, which is writable, belongs to
            // this value, and is never lent out.
            unsafe {
                self.writable.as_ptr().add(offset).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            }
        }
    }

    /// Has the host provide the memory of a part up to `end`; where it does not, it will when that is written.
    fn provide(&mut self, end: usize) {
        let part = if end <= self.parts[0].end { &mut self.parts[0] } else { &mut self.parts[1] };
        while part.provided < end {
            let piece = PIECE.min(part.end - part.provided);
            // SAFETY: the range lies in the mapping, which belongs to this value; what is in it stays.
            let _ = unsafe {
                let start = self.writable.as_ptr().add(part.provided);
                madvise(start.cast(), piece, Advice::LinuxPopulateWrite)
            };
            part.provided += piece;
        }
    }
}

impl Drop for CodeMemory {
    fn drop(&mut self) {
        // SAFETY: `new` mapped both, their only owner is being dropped, and no translated code runs: a
        // run borrows the value.
        unsafe {
            let _ = munmap(self.code.as_ptr().cast(), self.length);
            let _ = munmap(self.writable.as_ptr().cast(), self.length);
        }
    }
}
