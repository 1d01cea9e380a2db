//! Which pages were written, and which writes hit translated code.

use alloc::vec::Vec;

use crate::entry::{CODE, DIRTY, Entry, WRITE_FAST};
use crate::{AddressSpace, PAGE_SIZE};

/// A range of bytes on pages marked as code that were written, or whose mapping changed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CodeWrite {
    /// The first byte.
    pub address: u32,
    /// The number of bytes, at least one; the range does not pass 4 GiB.
    pub length: u32,
}

impl CodeWrite {
    fn end(self) -> u64 {
        u64::from(self.address) + u64::from(self.length)
    }

    fn covering(self, other: Self) -> Self {
        let address = self.address.min(other.address);
        let length = self.end().max(other.end()) - u64::from(address);
        Self { address, length: u32::try_from(length).unwrap_or(u32::MAX) }
    }
}

/// Writes to code that nobody has asked for yet.
#[derive(Default)]
pub(crate) struct CodeWrites {
    pending: Vec<CodeWrite>,
    generation: u64,
}

/// Pending ranges above which they are merged into one that covers all.
const MAX_PENDING: usize = 1024;

impl CodeWrites {
    fn note(&mut self, write: CodeWrite) {
        self.generation = self.generation.wrapping_add(1);
        match self.pending.last_mut() {
            Some(last) if last.end() == u64::from(write.address) || *last == write => {
                *last = last.covering(write);
            }
            _ => self.pending.push(write),
        }
        if self.pending.len() > MAX_PENDING
            && let Some(all) = self.pending.drain(..).reduce(CodeWrite::covering)
        {
            self.pending.push(all);
        }
    }
}

impl AddressSpace {
    /// The numbers of the pages stored to since [`Self::clear_dirty`] or the space's creation, in
    /// the order of their first store. Mapping and unmapping are no stores, pokes are.
    #[must_use]
    pub fn dirty_pages(&self) -> &[u32] {
        &self.dirty
    }

    /// Forgets which pages were written, in time proportional to their number.
    pub fn clear_dirty(&mut self) {
        for page in self.dirty.drain(..) {
            let entry = self.table.get(page);
            self.table.set(page, entry.without(DIRTY | WRITE_FAST));
        }
    }

    /// Adds a page to the dirty list once.
    pub(crate) fn mark_dirty(&mut self, page: u32) {
        let entry = self.table.get(page);
        if !entry.has(DIRTY) {
            self.dirty.push(page);
            self.table.set(page, entry.with(DIRTY));
        }
    }

    /// Marks the page that holds `address` as one whose code an engine keeps: from now on stores to
    /// it, and changes of its mapping, are recorded. Nothing happens where nothing is mapped.
    pub fn mark_code(&mut self, address: u32) {
        let entry = self.table.of(address);
        if entry.has(crate::entry::MAPPED) {
            self.table.set(address / PAGE_SIZE, entry.with(CODE).without(WRITE_FAST));
        }
    }

    /// Takes the mark of [`Self::mark_code`] back, which makes stores to the page fast again. An
    /// engine does so when it has dropped all code of the page, or when the page mixes code with
    /// data so hot that it prefers to compare the code's bytes before it runs it.
    pub fn unmark_code(&mut self, address: u32) {
        let entry = self.table.of(address);
        if entry.has(CODE) {
            self.table.set(address / PAGE_SIZE, entry.without(CODE));
        }
    }

    /// Whether the page that holds `address` is marked as code.
    #[must_use]
    pub fn is_code(&self, address: u32) -> bool {
        self.table.of(address).has(CODE)
    }

    /// A number that changes with every recorded write to code: what an engine polls.
    #[inline(always)]
    #[must_use]
    pub fn code_generation(&self) -> u64 {
        self.code.generation
    }

    /// The writes to pages marked as code since the last call, oldest first. Adjacent ones may be
    /// reported as one, and a great many as one range that covers them all. The marks stay, except
    /// on pages that were unmapped or replaced.
    pub fn take_code_writes(&mut self) -> Vec<CodeWrite> {
        core::mem::take(&mut self.code.pending)
    }

    /// Records a store of `length` bytes that lies within one page, if the page is marked.
    pub(crate) fn note_store(&mut self, address: u32, length: u32) {
        if length > 0 && self.table.of(address).has(CODE) {
            self.code.note(CodeWrite { address, length });
        }
    }

    /// Records that the content, permissions or existence of `page` changed, which had the entry
    /// `old`, if that was marked. The mark stays only while the page is mapped.
    pub(crate) fn note_page_change(&mut self, page: u32, old: Entry) {
        if !old.has(CODE) {
            return;
        }
        self.code.note(CodeWrite { address: page * PAGE_SIZE, length: PAGE_SIZE });
        let entry = self.table.get(page);
        if !entry.has(crate::entry::MAPPED) {
            self.table.set(page, entry.without(CODE));
        }
    }
}
