//! Watched pages: every access to them is recorded, for debuggers and access hooks.

use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use crate::entry::WATCHED;
use crate::{Access, AddressSpace, MapError, PAGE_SIZE};

/// An access to a watched page.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct WatchHit {
    /// The first byte.
    pub address: u32,
    /// The number of bytes, all on one page; an access across pages is a hit for each.
    pub length: u32,
    /// A load or a store. Fetches, peeks and pokes are not recorded.
    pub access: Access,
}

/// Hits that nobody has asked for yet.
#[derive(Default)]
pub(crate) struct WatchHits {
    pending: RefCell<Vec<WatchHit>>,
    generation: Cell<u64>,
}

/// Pending hits above which further ones are only counted.
const MAX_PENDING: usize = 1024;

impl AddressSpace {
    /// Watches the pages of `[start, start + length)`, mapped or not: accesses to them take the
    /// slow path and are recorded. Watching belongs to the addresses and outlives what is mapped
    /// there; a fork starts without.
    ///
    /// Rounds as [`Self::map`] does.
    ///
    /// # Errors
    /// [`MapError::OutOfRange`], [`MapError::OutOfMemory`].
    pub fn watch(&mut self, start: u32, length: u32) -> Result<(), MapError> {
        let pages = Self::pages(start, length)?;
        self.table.enter(pages.start, pages.end).ok_or(MapError::OutOfMemory)?;
        for page in pages {
            self.table.set(page, self.table.get(page).with(WATCHED));
        }
        Ok(())
    }

    /// Ends what [`Self::watch`] began.
    ///
    /// # Errors
    /// [`MapError::OutOfRange`].
    pub fn unwatch(&mut self, start: u32, length: u32) -> Result<(), MapError> {
        let mut pages = Self::pages(start, length)?;
        self.release_shared();
        while let Some((page, entry)) = self.table.next_used(pages.start, pages.end) {
            if entry.has(WATCHED) {
                self.table.set(page, entry.without(WATCHED).with_permissions(entry.permissions()));
            }
            pages.start = page + 1;
        }
        Ok(())
    }

    /// A number that changes with every access to a watched page.
    #[inline(always)]
    #[must_use]
    pub fn watch_generation(&self) -> u64 {
        self.watched.generation.get()
    }

    /// The accesses to watched pages since the last call, oldest first; at most 1,024 are kept.
    pub fn take_watch_hits(&mut self) -> Vec<WatchHit> {
        core::mem::take(self.watched.pending.get_mut())
    }

    /// Records an access of `length` bytes that lies within one page, if the page is watched.
    #[inline]
    pub(crate) fn note_access(&self, address: u32, length: usize, access: Access) {
        if self.table.of(address).has(WATCHED) {
            self.watched.generation.set(self.watched.generation.get().wrapping_add(1));
            let mut pending = self.watched.pending.borrow_mut();
            if pending.len() < MAX_PENDING {
                pending.push(WatchHit { address, length: length.min(PAGE_SIZE as usize) as u32, access });
            }
        }
    }
}
