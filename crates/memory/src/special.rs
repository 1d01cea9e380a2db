//! Pages that are not plain memory: devices and shared objects.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cell::RefCell;

use crate::entry::{
    CODE, DIRTY, Entry, MAPPED, OWNED, READ, READ_FAST, STICKY, WATCHED, WRITE_FAST, permission_bits,
};
use crate::shared::{Taken, WeakShared};
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
    /// Pages of objects that were given back, in a space with a reservation: where the space takes an object
    /// again that nobody else had meanwhile, the host need not map them anew.
    parked: Vec<Parked>,
}

/// What the pages of an object were that was given back.
struct Parked {
    memory: WeakShared,
    key: usize,
    pages: Vec<ParkedPage>,
}

struct ParkedPage {
    page: u32,
    /// The entries without the object and with it.
    without: Entry,
    with: Entry,
}

impl HeldShared {
    /// Code of some object was marked: stores to pages that may show it have to look at the marks.
    pub(crate) fn slow_down(&mut self) -> Vec<u32> {
        for page in self.parked.iter_mut().flat_map(|parked| &mut parked.pages) {
            page.with = page.with.without(WRITE_FAST);
        }
        core::mem::take(&mut self.fast)
    }

    /// Forgets what pages an object had when it was given back.
    fn forget(&mut self, memory: &SharedMemory) {
        self.parked.retain(|parked| parked.key != memory.key());
    }
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
        // Entries that are put back are known by their slots.
        self.held.get_mut().parked.clear();
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
        let taken = memory.hold_for(self.identity).ok_or(FaultKind::Busy)?;
        if taken == Taken::Now {
            held.forget(memory);
        }
        if taken != Taken::Before {
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
        held.parked.clear();
        if self.table.reservation.is_some() {
            let park = |memory: &SharedMemory| Parked {
                memory: memory.downgrade(),
                key: memory.key(),
                pages: Vec::new(),
            };
            held.parked = held.objects.iter().map(park).collect();
        }
        for (page, original) in core::mem::take(&mut held.pages) {
            let with = self.table.get(page);
            let without = original.without(STICKY);
            if let Some(Some(mapping)) = self.specials.get(original.slot())
                && let Special::Shared { memory, .. } = &mapping.what
                && let Some(parked) = held.parked.iter_mut().find(|parked| parked.key == memory.key())
            {
                parked.pages.push(ParkedPage { page, without, with: with.without(STICKY) });
            }
            self.table.set(page, without.with(with.bits() & STICKY));
        }
        for object in held.objects.drain(..) {
            object.release_from(self.identity);
        }
    }

    /// Takes the objects that were given back last and that nobody else has had since, with all pages that
    /// this space had of them: for an engine that is about to run in the reservation, which still shows them.
    pub(crate) fn take_again(&mut self) {
        for Parked { memory, pages, .. } in core::mem::take(&mut self.held.get_mut().parked) {
            let Some(memory) = memory.upgrade() else { continue };
            match memory.hold_for(self.identity) {
                Some(Taken::Again) => {
                    self.code.take_object(&memory);
                    self.held.get_mut().objects.push(memory);
                }
                Some(Taken::Before) => {}
                Some(Taken::Now) => {
                    memory.release_from(self.identity);
                    continue;
                }
                None => continue,
            }
            for ParkedPage { page, without, with } in pages {
                let now = self.table.get(page);
                let sticky = now.bits() & STICKY;
                if now.without(STICKY) != without {
                    continue;
                }
                let fast = sticky & (DIRTY | CODE | WATCHED) == DIRTY && with.has(WRITE_FAST);
                let entry = if fast { with } else { with.without(WRITE_FAST) };
                let held = self.held.get_mut();
                held.pages.insert(page, now);
                if fast {
                    held.fast.push(page);
                }
                self.table.set(page, entry.with(sticky));
            }
        }
    }
}
