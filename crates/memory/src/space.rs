//! The address space itself: what is mapped, and who owns the pages.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::ptr::NonNull;

use crate::entry::{
    CODE, DIRTY, Entry, MAPPED, OWNED, READ, READ_FAST, SAVED, SPECIAL, STICKY, WRITE, WRITE_FAST,
    permission_bits,
};
use crate::frame::{FramePool, is_unique, retain, zero_page};
use crate::reserved::Reservation;
use crate::snapshot::Level;
use crate::table::{PAGES, Table};
use crate::tracking::CodeWrites;
use crate::{FaultKind, MapError, MmioHandler, PAGE_SIZE, Permissions, SharedMemory};

/// How an [`AddressSpace`] keeps its pages.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Backing {
    /// Page frames anywhere in the host's memory: works on every host.
    #[default]
    Paged,
    /// One reservation of 4 GiB between guard pages: 64-bit Unix hosts, feature `std`.
    Reserved,
}

/// What is behind a page that is not plain memory.
pub(crate) enum Special {
    /// Host callbacks. Loads go through `&AddressSpace`, hence the cell.
    Device(RefCell<Box<dyn MmioHandler>>),
    /// A shared object from its page `first_frame` on.
    Shared { memory: SharedMemory, first_frame: u32 },
}

/// A mapping of something that is not plain memory.
pub(crate) struct SpecialMapping {
    pub(crate) what: Special,
    /// The page number at which it was mapped.
    pub(crate) first_page: u32,
    /// How many entries, in the table and in snapshots, refer to it.
    uses: u32,
}

/// Shared objects that this space holds, and the entries to put back when it lets go.
#[derive(Default)]
pub(crate) struct HeldShared {
    pub(crate) objects: Vec<SharedMemory>,
    pub(crate) pages: Vec<(u32, Entry)>,
}

/// 4 GiB of guest memory.
///
/// It is `Send` and not `Sync`: one thread at a time runs a guest.
pub struct AddressSpace {
    pub(crate) table: Table,
    pub(crate) pool: FramePool,
    pub(crate) reservation: Option<Reservation>,
    pub(crate) specials: Vec<Option<SpecialMapping>>,
    /// Free places in `specials`.
    pub(crate) vacant: Vec<usize>,
    pub(crate) held: RefCell<HeldShared>,
    pub(crate) dirty: Vec<u32>,
    pub(crate) code: CodeWrites,
    pub(crate) snapshots: Vec<Level>,
    pub(crate) next_snapshot: u64,
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
        let reservation = match backing {
            Backing::Paged => None,
            Backing::Reserved => Reservation::new(),
        };
        Ok(Self {
            table: Table::new().ok_or(MapError::OutOfMemory)?,
            pool: FramePool::new(),
            reservation,
            specials: Vec::new(),
            vacant: Vec::new(),
            held: RefCell::default(),
            dirty: Vec::new(),
            code: CodeWrites::default(),
            snapshots: Vec::new(),
            next_snapshot: 0,
            resident: 0,
            resident_limit: u32::MAX,
        })
    }

    /// The backing in use.
    #[must_use]
    pub fn backing(&self) -> Backing {
        if self.reservation.is_some() { Backing::Reserved } else { Backing::Paged }
    }

    /// The host address of guest address zero, for [`Backing::Reserved`].
    #[must_use]
    pub fn reservation_base(&self) -> Option<NonNull<u8>> {
        self.reservation.as_ref().map(Reservation::base)
    }

    /// Pages that take up memory: written ones, those in snapshots, and those shared with forks.
    #[must_use]
    pub fn resident_pages(&self) -> u32 {
        self.resident
    }

    /// Limits [`Self::resident_pages`]; `None` lifts the limit. What would need more fails with
    /// [`FaultKind::OutOfMemory`] or [`MapError::OutOfMemory`]. Shared objects do not count.
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

    /// Maps a device over `[start, start + length)`, replacing what was there. The pages cannot be
    /// executed, whatever `permissions` says. A snapshot does not cover the device's own state.
    ///
    /// Rounds as [`Self::map`] does, and offsets that `handler` gets count from the rounded start.
    ///
    /// # Errors
    /// As [`Self::map`].
    pub fn map_mmio(
        &mut self,
        start: u32,
        length: u32,
        permissions: Permissions,
        handler: Box<dyn MmioHandler>,
    ) -> Result<(), MapError> {
        let what = Special::Device(RefCell::new(handler));
        self.map_special(start, length, permissions - Permissions::EXECUTE, what)
    }

    /// Maps `memory` from `offset` (a multiple of 4096) on over `[start, start + length)`, replacing
    /// what was there. Accesses beyond the object's end fail with [`FaultKind::BeyondEnd`]; when it
    /// grows, they no longer do. A snapshot covers the mapping and not the object's content.
    ///
    /// Rounds as [`Self::map`] does.
    ///
    /// # Errors
    /// [`MapError::Unaligned`], and as [`Self::map`].
    pub fn map_shared(
        &mut self,
        start: u32,
        length: u32,
        permissions: Permissions,
        memory: &SharedMemory,
        offset: u64,
    ) -> Result<(), MapError> {
        if !offset.is_multiple_of(u64::from(PAGE_SIZE)) {
            return Err(MapError::Unaligned { offset });
        }
        // Past the largest object every page is beyond the end, so where exactly does not matter.
        let first_frame = u32::try_from(offset / u64::from(PAGE_SIZE)).unwrap_or(PAGES).min(PAGES);
        self.map_special(start, length, permissions, Special::Shared { memory: memory.clone(), first_frame })
    }

    fn map_special(
        &mut self,
        start: u32,
        length: u32,
        permissions: Permissions,
        what: Special,
    ) -> Result<(), MapError> {
        let pages = Self::pages(start, length)?;
        if pages.is_empty() {
            return Ok(());
        }
        let slot = self.vacant.pop().unwrap_or(self.specials.len());
        // One use of the mapping keeps the slot while its pages are being entered.
        let mapping = Some(SpecialMapping { what, first_page: pages.start, uses: 1 });
        match self.specials.get_mut(slot) {
            Some(free) => *free = mapping,
            None => self.specials.push(mapping),
        }
        let entry = Entry::special(slot, MAPPED | permission_bits(permissions));
        let result = self.replace(pages, entry);
        self.release_special(slot);
        result
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
            self.note_page_change(page, entry);
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
    fn replace(&mut self, pages: core::ops::Range<u32>, entry: Entry) -> Result<(), MapError> {
        self.release_shared();
        self.table.enter(pages.start, pages.end).ok_or(MapError::OutOfMemory)?;
        let mut in_place = pages.start..pages.start;
        let mut result = Ok(());
        for page in pages {
            let old = self.table.get(page);
            if old == Entry::EMPTY && self.snapshots.is_empty() && !entry.has(SPECIAL) {
                self.table.set(page, entry);
                continue;
            }
            if self.save(page).is_err() {
                result = Err(MapError::OutOfMemory);
                break;
            }
            if self.in_place(old) {
                if in_place.end != page {
                    self.clear_in_place(in_place);
                    in_place = page..page;
                }
                in_place.end = page + 1;
                self.resident -= 1;
            } else {
                self.release(old);
            }
            let sticky = self.table.get(page).bits() & STICKY;
            if entry.has(SPECIAL) {
                self.retain_special(entry.slot());
            }
            self.table.set(page, entry.with(sticky));
            self.note_page_change(page, old);
        }
        self.clear_in_place(in_place);
        result
    }

    fn clear_in_place(&mut self, pages: core::ops::Range<u32>) {
        if let Some(reservation) = &self.reservation {
            // SAFETY: no reference into guest memory outlives the call that made it.
            unsafe { reservation.clear(pages.start, pages.end) };
        }
    }

    /// Whether `entry` is of a page in use in the reservation.
    pub(crate) fn in_place(&self, entry: Entry) -> bool {
        self.reservation.as_ref().is_some_and(|reservation| {
            entry.has(OWNED) && entry.frame().addr().wrapping_sub(reservation.base().addr().get()) < 1 << 32
        })
    }

    /// Takes a frame out of the pool within the limit: zeros, or a copy of `source`.
    ///
    /// # Safety
    /// `source` is `None` or a readable page that nobody writes to meanwhile.
    pub(crate) unsafe fn allocate(&mut self, source: Option<*const u8>) -> Result<NonNull<u8>, FaultKind> {
        if self.resident >= self.resident_limit {
            return Err(FaultKind::OutOfMemory);
        }
        let frame = match source {
            None => self.pool.allocate(),
            // SAFETY: the caller vouches for `source`.
            Some(source) => unsafe { self.pool.allocate_copy(source) },
        };
        let frame = frame.ok_or(FaultKind::OutOfMemory)?;
        self.resident += 1;
        Ok(frame)
    }

    /// A second entry for what `entry` is: shares frames, copies pages of the reservation.
    pub(crate) fn duplicate(&mut self, entry: Entry) -> Result<Entry, FaultKind> {
        if entry.has(SPECIAL) {
            self.retain_special(entry.slot());
        } else if self.in_place(entry) {
            // SAFETY: the page is in the reservation, and only this thread writes there.
            let copy = unsafe { self.allocate(Some(entry.frame())) }?;
            return Ok(Entry::new(copy.as_ptr(), entry.bits()));
        } else if entry.has(OWNED)
            && let Some(frame) = NonNull::new(entry.frame())
        {
            if self.resident >= self.resident_limit {
                return Err(FaultKind::OutOfMemory);
            }
            // SAFETY: an owning entry holds a reference to a frame of a pool.
            unsafe { retain(frame) };
            self.resident += 1;
        }
        Ok(entry)
    }

    /// Gives up what `entry`, which the caller forgets, holds. Not for pages of the reservation.
    pub(crate) fn release(&mut self, entry: Entry) {
        if entry.has(SPECIAL) {
            self.release_special(entry.slot());
        } else if entry.has(OWNED)
            && let Some(frame) = NonNull::new(entry.frame())
        {
            // SAFETY: an owning entry holds a reference to a frame of a pool.
            unsafe { self.pool.release(frame) };
            self.resident -= 1;
        }
    }

    fn retain_special(&mut self, slot: usize) {
        if let Some(Some(mapping)) = self.specials.get_mut(slot) {
            mapping.uses = mapping.uses.saturating_add(1);
        }
    }

    pub(crate) fn release_special(&mut self, slot: usize) {
        if let Some(place) = self.specials.get_mut(slot)
            && let Some(mapping) = place
        {
            mapping.uses -= 1;
            if mapping.uses == 0 {
                *place = None;
                self.vacant.push(slot);
            }
        }
    }

    pub(crate) fn special(&self, slot: usize) -> Option<&SpecialMapping> {
        self.specials.get(slot)?.as_ref()
    }

    pub(crate) fn is_shared(&self, slot: usize) -> bool {
        matches!(self.special(slot), Some(SpecialMapping { what: Special::Shared { .. }, .. }))
    }

    /// Makes the mapped page `page` ready for a store and says where it is on the host.
    ///
    /// The store is already recorded as far as the page goes (dirty, snapshots); a page with code
    /// is left for the caller to record, who knows the bytes.
    pub(crate) fn prepare_write(&mut self, page: u32) -> Result<*mut u8, FaultKind> {
        let entry = self.table.get(page);
        if entry.has(WRITE_FAST) {
            return Ok(entry.frame());
        }
        let frame = if entry.has(SPECIAL) {
            self.hold_shared(page, entry)?
        } else {
            self.save(page)?;
            self.own(page)?
        };
        self.mark_dirty(page);
        let entry = self.table.get(page);
        if entry.has(WRITE) && !entry.has(CODE) {
            self.table.set(page, entry.with(WRITE_FAST));
        }
        Ok(frame)
    }

    /// Gives `page` a frame that nobody else has, and keeps its content.
    fn own(&mut self, page: u32) -> Result<*mut u8, FaultKind> {
        let entry = self.table.get(page);
        let old = NonNull::new(entry.frame()).filter(|_| entry.has(OWNED));
        if self.in_place(entry) {
            return Ok(entry.frame());
        }
        if let Some(reservation) = &self.reservation {
            if self.resident >= self.resident_limit {
                return Err(FaultKind::OutOfMemory);
            }
            let frame = reservation.frame(page).as_ptr();
            self.resident += 1;
            self.table.set(page, Entry::new(frame, entry.bits() | OWNED));
            return Ok(frame);
        }
        let frame = match old {
            // SAFETY: an owning entry holds a reference to a frame of a pool.
            Some(old) if unsafe { is_unique(old) } => return Ok(old.as_ptr()),
            // SAFETY: a frame with several holders is written by none of them.
            Some(old) => unsafe { self.allocate(Some(old.as_ptr())) }?,
            // SAFETY: there is no source.
            None => unsafe { self.allocate(None) }?,
        };
        self.release(entry);
        self.table.set(page, Entry::new(frame.as_ptr(), entry.bits() | OWNED));
        Ok(frame.as_ptr())
    }

    /// Takes the shared object behind `page` for this space and makes the page fast.
    pub(crate) fn hold_shared(&self, page: u32, entry: Entry) -> Result<*mut u8, FaultKind> {
        if entry.has(OWNED) {
            return Ok(entry.frame());
        }
        let mapping = self.special(entry.slot()).ok_or(FaultKind::NotMapped)?;
        let Special::Shared { memory, first_frame } = &mapping.what else {
            return Err(FaultKind::Device);
        };
        let mut held = self.held.borrow_mut();
        if memory.hold_for(self.table.id()).ok_or(FaultKind::Busy)? {
            held.objects.push(memory.clone());
        }
        let index = first_frame.saturating_add(page - mapping.first_page);
        // SAFETY: this space holds the object now; the pointer leaves the table in
        // `release_shared`, before the object is given back.
        let frame = unsafe { memory.page(index) }?.as_ptr();
        held.pages.push((page, entry));
        let fast = if entry.has(READ) { READ_FAST } else { 0 };
        self.table.set(page, Entry::new(frame, entry.bits() | OWNED | fast));
        Ok(frame)
    }

    /// Gives back the shared objects that this space has accessed, so that others may. A scheduler
    /// calls it when it turns to another space; it costs next to nothing if there are none.
    #[inline]
    pub fn release_shared(&mut self) {
        if !self.held.get_mut().objects.is_empty() {
            self.release_held();
        }
    }

    #[cold]
    fn release_held(&mut self) {
        let held = self.held.get_mut();
        for (page, original) in held.pages.drain(..) {
            let sticky = self.table.get(page).bits() & STICKY;
            self.table.set(page, original.without(STICKY).with(sticky));
        }
        let id = self.table.id();
        for object in held.objects.drain(..) {
            object.release_from(id);
        }
    }

    /// A copy of this space that shares no future writes, except through shared objects. Pages
    /// are copied on write ([`Backing::Paged`]) or now if they were ever written
    /// ([`Backing::Reserved`]). The copy has no snapshots, no dirty pages and no code marks.
    ///
    /// # Errors
    /// [`MapError::Device`] where memory-mapped I/O is mapped, [`MapError::OutOfMemory`].
    pub fn fork(&mut self) -> Result<Self, MapError> {
        self.release_shared();
        let mut child = Self::try_new(self.backing())?;
        child.resident_limit = self.resident_limit;
        let mut page = 0;
        while let Some((at, entry)) = self.table.next_used(page, PAGES) {
            page = at + 1;
            if entry.has(MAPPED) {
                self.fork_page(&mut child, at, entry)?;
            }
        }
        child.vacant = (0..child.specials.len()).filter(|&slot| child.specials[slot].is_none()).collect();
        Ok(child)
    }

    fn fork_page(&mut self, child: &mut Self, page: u32, entry: Entry) -> Result<(), MapError> {
        child.table.enter(page, page + 1).ok_or(MapError::OutOfMemory)?;
        let copy = entry.without(STICKY | WRITE_FAST);
        if entry.has(SPECIAL) {
            let copy = self.fork_special(child, page, copy)?;
            child.table.set(page, copy);
            return Ok(());
        }
        if !entry.has(OWNED) {
            child.table.set(page, copy);
            return Ok(());
        }
        if child.reservation.is_some() {
            child.table.set(page, copy.without(OWNED));
            let frame = child.own(page).map_err(|_| MapError::OutOfMemory)?;
            // SAFETY: both are whole pages of different reservations.
            unsafe { frame.copy_from_nonoverlapping(entry.frame(), PAGE_SIZE as usize) };
            return Ok(());
        }
        if let Some(frame) = NonNull::new(entry.frame()) {
            if child.reservation.is_none() && self.in_place(entry) {
                // The host had no second reservation.
                // SAFETY: the page is in this reservation, and only this thread writes there.
                let frame =
                    unsafe { child.allocate(Some(entry.frame())) }.map_err(|_| MapError::OutOfMemory)?;
                child.table.set(page, Entry::new(frame.as_ptr(), copy.bits()));
                return Ok(());
            }
            // SAFETY: an owning entry holds a reference to a frame of a pool.
            unsafe { retain(frame) };
            child.resident += 1;
            child.table.set(page, copy);
            self.table.set(page, entry.without(WRITE_FAST));
        }
        Ok(())
    }

    fn fork_special(&self, child: &mut Self, page: u32, entry: Entry) -> Result<Entry, MapError> {
        let slot = entry.slot();
        if child.special(slot).is_none() {
            let mapping = self.special(slot);
            let Some(SpecialMapping { what: Special::Shared { memory, first_frame }, first_page, .. }) =
                mapping
            else {
                return Err(MapError::Device { address: page * PAGE_SIZE });
            };
            let what = Special::Shared { memory: memory.clone(), first_frame: *first_frame };
            if child.specials.len() <= slot {
                child.specials.resize_with(slot + 1, || None);
            }
            child.specials[slot] = Some(SpecialMapping { what, first_page: *first_page, uses: 0 });
        }
        child.retain_special(slot);
        Ok(entry)
    }
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        self.release_shared();
        while let Some(level) = self.snapshots.pop() {
            for (_, entry) in level.log {
                self.release(entry);
            }
        }
        let mut page = 0;
        while let Some((at, entry)) = self.table.next_used(page, PAGES) {
            page = at + 1;
            if !self.in_place(entry) {
                self.release(entry.without(DIRTY | SAVED));
            }
        }
    }
}
