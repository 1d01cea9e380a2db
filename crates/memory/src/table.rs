//! The page table: 2^20 entries in lazily zeroed host memory.
//!
//! One flat table makes a lookup one load. It spans 8 MiB (4 MiB on 32-bit hosts) of which only
//! the host pages that hold used entries are ever touched, and it comes from `mmap` where there is
//! one, because a general allocator may hand out recycled memory and clear all of it by hand.

use core::ptr::NonNull;

use crate::entry::Entry;

/// Pages in a 4 GiB space.
pub(crate) const PAGES: u32 = 1 << 20;
/// Entries a group: the unit in which users of the table skip what was never used.
pub(crate) const GROUP: u32 = 512;
const GROUPS: usize = (PAGES / GROUP) as usize;

/// The entries, and which groups of them were ever set.
///
/// Reads and writes go through a raw pointer: the table behaves like an array of `Cell`.
pub(crate) struct Table {
    entries: NonNull<Entry>,
    touched: [u64; GROUPS / 64],
}

impl Table {
    /// An empty table, or `None` where the host has no memory for one.
    pub(crate) fn new() -> Option<Self> {
        Some(Self { entries: host::allocate()?, touched: [0; GROUPS / 64] })
    }

    /// The entry of the page that holds `address`.
    #[inline(always)]
    pub(crate) fn of(&self, address: u32) -> Entry {
        // SAFETY: a 32-bit address shifted by 12 is below `PAGES`, the table's length; the memory
        // is initialised (zero is a valid entry) and only this thread can reach it, because
        // `Table` is not `Sync`.
        unsafe { self.entries.add((address >> 12) as usize).read() }
    }

    /// The entry of page number `page`, which is taken modulo `PAGES`.
    #[inline(always)]
    pub(crate) fn get(&self, page: u32) -> Entry {
        self.of(page << 12)
    }

    /// Changes the entry of a page whose group was entered before.
    #[inline]
    pub(crate) fn set(&self, page: u32, entry: Entry) {
        // SAFETY: as in `of`; no reference to the entries ever exists, so none is invalidated.
        unsafe { self.entries.add((page % PAGES) as usize).write(entry) }
    }

    /// Enters the groups of pages `first..end`, which lets `set` be used on them.
    pub(crate) fn enter(&mut self, first: u32, end: u32) {
        for group in first / GROUP..end.div_ceil(GROUP) {
            self.touched[group as usize / 64] |= 1 << (group % 64);
        }
    }

    /// The first page in `page..end` whose group was ever entered.
    pub(crate) fn next_entered(&self, page: u32, end: u32) -> Option<u32> {
        let mut group = page / GROUP;
        while group < end.div_ceil(GROUP) {
            let word = self.touched[group as usize / 64] >> (group % 64);
            if word != 0 {
                let found = (group + word.trailing_zeros()) * GROUP;
                return (found < end).then_some(found.max(page));
            }
            group = (group / 64 + 1) * 64;
        }
        None
    }

    /// The first page in `page..end` that has an entry, and that entry.
    pub(crate) fn next_used(&self, mut page: u32, end: u32) -> Option<(u32, Entry)> {
        while let Some(first) = self.next_entered(page, end) {
            let stop = (first / GROUP + 1) * GROUP;
            for at in first..stop.min(end) {
                let entry = self.get(at);
                if entry != Entry::EMPTY {
                    return Some((at, entry));
                }
            }
            page = stop;
        }
        None
    }

    /// A number that no other living table has.
    pub(crate) fn id(&self) -> usize {
        self.entries.addr().get()
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        host::free(self.entries);
    }
}

#[cfg(all(feature = "std", unix))]
mod host {
    use core::ptr::{self, NonNull};

    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

    use super::{Entry, PAGES};

    const BYTES: usize = PAGES as usize * size_of::<Entry>();

    pub(super) fn allocate() -> Option<NonNull<Entry>> {
        // SAFETY: a new private mapping at an address of the kernel's choice touches no memory
        // that Rust knows of.
        let start = unsafe {
            mmap_anonymous(
                ptr::null_mut(),
                BYTES,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        };
        NonNull::new(start.ok()?.cast())
    }

    pub(super) fn free(entries: NonNull<Entry>) {
        // SAFETY: `entries` is what `allocate` mapped, in full, and its only owner is being dropped.
        // A failure leaves the mapping in place, which is harmless.
        let _ = unsafe { munmap(entries.as_ptr().cast(), BYTES) };
    }
}

#[cfg(not(all(feature = "std", unix)))]
mod host {
    use alloc::alloc::{alloc_zeroed, dealloc};
    use core::alloc::Layout;
    use core::ptr::NonNull;

    use super::{Entry, PAGES};

    const LAYOUT: Layout = Layout::new::<[Entry; PAGES as usize]>();

    pub(super) fn allocate() -> Option<NonNull<Entry>> {
        // SAFETY: the layout's size is not zero.
        NonNull::new(unsafe { alloc_zeroed(LAYOUT) }.cast())
    }

    pub(super) fn free(entries: NonNull<Entry>) {
        // SAFETY: `allocate` got it from the same allocator with the same layout.
        unsafe { dealloc(entries.as_ptr().cast(), LAYOUT) }
    }
}
