//! The address space itself: what is mapped, and who owns the pages.

use alloc::vec::Vec;
use core::cell::RefCell;

use crate::code::Code;
use crate::entry::{DIRTY, Entry, MAPPED, OWNED, SAVED, SPECIAL, STICKY};
use crate::forks::Forks;
use crate::frame::{FramePool, zero_page};
use crate::identity::unique;
use crate::source::FrameSource;
use crate::special::{HeldShared, SpecialMapping};
use crate::table::{PAGES, Table};
use crate::undo::Level;
use crate::watch::WatchHits;
use crate::{MapError, PAGE_SIZE, Permissions};

/// How an [`AddressSpace`] keeps its pages.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Backing {
    /// Page frames anywhere in the host's memory, found through the page table: works on every host.
    #[default]
    Paged,
    /// Page frames in a file of the host's memory, which a reservation of 4 GiB of host addresses between
    /// guards shows in place, for translated code: 64-bit Linux hosts, feature `std`.
    Reserved,
}

/// 4 GiB of guest memory.
///
/// It is `Send` and not `Sync`: one thread at a time runs a guest.
pub struct AddressSpace {
    pub(crate) identity: u64,
    pub(crate) table: Table,
    pub(crate) pool: FramePool,
    pub(crate) specials: Vec<Option<SpecialMapping>>,
    /// Free places in `specials`.
    pub(crate) vacant: Vec<usize>,
    pub(crate) held: RefCell<HeldShared>,
    pub(crate) dirty: Vec<u32>,
    pub(crate) code: Code,
    pub(crate) watched: WatchHits,
    pub(crate) snapshots: Vec<Level>,
    pub(crate) forks: Forks,
    pub(crate) resident: u32,
    pub(crate) resident_limit: u32,
}

// SAFETY: everything that the table and the logs point to is owned by this space (frames it holds
// alone, its reservation), immutable while shared (the page of zeros, frames shared with a fork:
// they are written only by a sole holder, see `frame`), or held exclusively through an atomic
// holder word (`shared`). Nothing has a tie to a thread, and handlers are `Send`.
unsafe impl Send for AddressSpace {}

impl Default for AddressSpace {
    fn default() -> Self {
        Self::new()
    }
}

impl AddressSpace {
    /// An empty address space with the [`Backing::Paged`] backing.
    ///
    /// Without memory for the page table this ends as every failed allocation of the standard
    /// library does; [`Self::try_new`] reports it instead.
    #[must_use]
    pub fn new() -> Self {
        Self::with_backing(Backing::Paged)
    }

    /// An empty address space with the backing asked for, or with [`Backing::Paged`] where the host
    /// refuses; [`Self::backing`] says which. As to the page table, see [`Self::new`].
    #[must_use]
    pub fn with_backing(backing: Backing) -> Self {
        match Self::try_new(backing) {
            Ok(space) => space,
            Err(_) => alloc::alloc::handle_alloc_error(core::alloc::Layout::new::<[Entry; PAGES as usize]>()),
        }
    }

    /// As [`Self::with_backing`].
    ///
    /// # Errors
    /// [`MapError::OutOfMemory`] where the host has no memory for the page table.
    pub fn try_new(backing: Backing) -> Result<Self, MapError> {
        Self::try_new_from(&FrameSource::new(), backing)
    }

    /// As [`Self::try_new`], for a space of a machine that has others: it takes its frames from `frames`.
    /// A fork has the same source as its parent.
    ///
    /// # Errors
    /// [`MapError::OutOfMemory`] where the host has no memory for the page table.
    pub fn try_new_from(frames: &FrameSource, backing: Backing) -> Result<Self, MapError> {
        let mut space = Self::empty(FramePool::new(frames))?;
        if backing == Backing::Reserved {
            space.reserve();
        }
        Ok(space)
    }

    /// An empty paged space that takes its frames from `pool`.
    pub(crate) fn empty(pool: FramePool) -> Result<Self, MapError> {
        Ok(Self {
            identity: unique(),
            table: Table::new().ok_or(MapError::OutOfMemory)?,
            pool,
            specials: Vec::new(),
            vacant: Vec::new(),
            held: RefCell::default(),
            dirty: Vec::new(),
            code: Code::default(),
            watched: WatchHits::default(),
            snapshots: Vec::new(),
            forks: Forks::default(),
            resident: 0,
            resident_limit: u32::MAX,
        })
    }

    /// A number that no other address space of this host process has, had or will have: by it an
    /// engine tells whether it is given the space that it knows. It stays the same when the space
    /// moves, changes its backing or is restored to a snapshot; a fork has another one.
    #[must_use]
    pub const fn identity(&self) -> u64 {
        self.identity
    }

    /// The backing in use.
    #[must_use]
    pub fn backing(&self) -> Backing {
        match &self.table.reservation {
            Some(reservation) if !reservation.is_taken() => Backing::Reserved,
            _ => Backing::Paged,
        }
    }

    /// Pages that take up memory: written ones, those in snapshots, and those shared with forks. Where pages
    /// of a space of a megabyte or more are written one after another, without a limit, the next ones come
    /// along.
    #[must_use]
    pub fn resident_pages(&self) -> u32 {
        self.resident
    }

    /// Pages of `[start, start + length)` that take up memory, those of shared objects and devices included;
    /// the range ends with the address space.
    #[must_use]
    pub fn resident_within(&self, start: u32, length: u32) -> u32 {
        let end = u64::from(start) + u64::from(length);
        let (mut page, end) = (start / PAGE_SIZE, end.div_ceil(u64::from(PAGE_SIZE)).min(1 << 20) as u32);
        let mut count = 0;
        while let Some((found, entry)) = self.table.next_used(page, end) {
            count += u32::from(entry.has(OWNED) || entry.has(SPECIAL));
            page = found + 1;
        }
        count
    }

    /// Bytes of the host's memory that the page table takes: 16 KiB for each four megabytes that were ever
    /// mapped, and as much again where an engine asked for a flat copy.
    #[must_use]
    pub fn table_bytes(&self) -> u64 {
        self.table.bytes() as u64
    }

    /// Limits [`Self::resident_pages`]; `None` lifts the limit. What would need more fails with
    /// [`FaultKind::OutOfMemory`](crate::FaultKind::OutOfMemory) or [`MapError::OutOfMemory`]. Shared objects do not count.
    pub fn set_resident_limit(&mut self, pages: Option<u32>) {
        self.resident_limit = pages.unwrap_or(u32::MAX);
    }

    /// The page numbers of `[start, start + length)`.
    pub(crate) fn pages(start: u32, length: u32) -> Result<core::ops::Range<u32>, MapError> {
        let end = u64::from(start) + u64::from(length);
        if end > 1 << 32 {
            return Err(MapError::OutOfRange { start, length });
        }
        let first = start / PAGE_SIZE;
        Ok(if length == 0 { first..first } else { first..end.div_ceil(u64::from(PAGE_SIZE)) as u32 })
    }

    /// Maps zero-filled pages over `[start, start + length)`, replacing what was there. They take
    /// up memory when they are first written.
    ///
    /// `start` is rounded down and the end up to whole pages; a length of zero does nothing.
    ///
    /// # Errors
    /// [`MapError::OutOfRange`]; [`MapError::OutOfMemory`] where a snapshot has to keep what was
    /// there and cannot, with the pages before it mapped.
    pub fn map(&mut self, start: u32, length: u32, permissions: Permissions) -> Result<(), MapError> {
        let pages = Self::pages(start, length)?;
        let blank = Entry::new(zero_page(), MAPPED).with_permissions(permissions);
        self.replace(pages, blank)
    }

    /// Unmaps the pages of `[start, start + length)`; holes in it are no error.
    ///
    /// `start` is rounded down and the end up to whole pages; a length of zero does nothing.
    ///
    /// # Errors
    /// As [`Self::map`].
    pub fn unmap(&mut self, start: u32, length: u32) -> Result<(), MapError> {
        let pages = Self::pages(start, length)?;
        self.release_shared();
        // Skip what was never used: programs unmap gigabytes of nothing.
        let mut page = pages.start;
        while let Some((first, _)) = self.table.next_used(page, pages.end) {
            let stop = (first / crate::table::GROUP + 1) * crate::table::GROUP;
            self.replace(first..stop.min(pages.end), Entry::EMPTY)?;
            page = stop;
            if page >= pages.end {
                break;
            }
        }
        Ok(())
    }

    /// Changes the permissions of the pages of `[start, start + length)`, all of which must be
    /// mapped.
    ///
    /// `start` is rounded down and the end up to whole pages; a length of zero does nothing.
    ///
    /// # Errors
    /// [`MapError::NotMapped`], and as [`Self::map`].
    pub fn protect(&mut self, start: u32, length: u32, permissions: Permissions) -> Result<(), MapError> {
        let pages = Self::pages(start, length)?;
        if let Some(hole) = pages.clone().find(|&page| !self.table.get(page).has(MAPPED)) {
            return Err(MapError::NotMapped { address: hole * PAGE_SIZE });
        }
        self.release_shared();
        for page in pages {
            self.save(page).map_err(|_| MapError::OutOfMemory)?;
            let entry = self.table.get(page);
            let device = entry.has(SPECIAL) && !self.is_shared(entry.slot());
            let allowed = if device { permissions - Permissions::EXECUTE } else { permissions };
            self.table.set(page, entry.with_permissions(allowed));
            self.note_protection(page, entry);
        }
        Ok(())
    }

    /// The permissions of the page that holds `address`, or `None` where nothing is mapped.
    #[must_use]
    pub fn permissions(&self, address: u32) -> Option<Permissions> {
        let entry = self.table.of(address);
        entry.has(MAPPED).then(|| entry.permissions())
    }

    /// Puts `entry` on each of `pages` in place of what is there.
    pub(crate) fn replace(&mut self, pages: core::ops::Range<u32>, entry: Entry) -> Result<(), MapError> {
        self.release_shared();
        self.table.enter(pages.start, pages.end).ok_or(MapError::OutOfMemory)?;
        let mut result = Ok(());
        for page in pages {
            self.make_room();
            let old = self.table.get(page);
            if old == Entry::EMPTY && self.snapshots.is_empty() && !entry.has(SPECIAL) {
                self.table.set(page, entry);
                continue;
            }
            if self.save(page).is_err() {
                result = Err(MapError::OutOfMemory);
                break;
            }
            self.release(old);
            let sticky = self.table.get(page).bits() & STICKY;
            if entry.has(SPECIAL) {
                self.retain_special(entry.slot());
            }
            self.table.set(page, entry.with(sticky));
            self.note_page_change(page, old);
        }
        result
    }
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        self.release_shared();
        while let Some(level) = self.snapshots.pop() {
            for saved in level.log {
                self.release(saved.entry);
            }
        }
        let mut page = 0;
        while let Some((at, entry)) = self.table.next_used(page, PAGES) {
            page = at + 1;
            self.release(entry.without(DIRTY | SAVED));
        }
    }
}
