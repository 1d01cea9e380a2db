//! Pages that are not plain memory: devices and shared objects.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cell::RefCell;

use crate::entry::{Entry, MAPPED, OWNED, READ, READ_FAST, STICKY, permission_bits};
use crate::table::PAGES;
use crate::{AddressSpace, FaultKind, MapError, MmioHandler, PAGE_SIZE, Permissions, SharedMemory};

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
    pub(crate) uses: u32,
}

/// Shared objects that this space holds, and the entries to put back when it lets go.
#[derive(Default)]
pub(crate) struct HeldShared {
    pub(crate) objects: Vec<SharedMemory>,
    pub(crate) pages: BTreeMap<u32, Entry>,
    /// Those of the pages that became fast to store to since code of any object was last marked.
    pub(crate) fast: Vec<u32>,
}

impl AddressSpace {
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

    pub(crate) fn retain_special(&mut self, slot: usize) {
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
        if memory.hold_for(self.identity).ok_or(FaultKind::Busy)? {
            self.code.take_object(memory);
            if let (Some(file), Some(_)) = (self.pool.file(), &self.table.reservation) {
                memory.move_into(file, self.identity);
            }
            held.objects.push(memory.clone());
        }
        let index = first_frame.saturating_add(page - mapping.first_page);
        // SAFETY: this space holds the object now; the pointer leaves the table in
        // `release_shared`, before the object is given back.
        let frame = unsafe { memory.page(index) }?.as_ptr();
        held.pages.insert(page, entry);
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
        held.fast.clear();
        for (page, original) in core::mem::take(&mut held.pages) {
            let sticky = self.table.get(page).bits() & STICKY;
            self.table.set(page, original.without(STICKY).with(sticky));
        }
        for object in held.objects.drain(..) {
            object.release_from(self.identity);
        }
    }
}
