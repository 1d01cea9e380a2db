//! Forking: a second space with the same content.

use core::ptr::NonNull;

use crate::entry::{Entry, MAPPED, OWNED, SPECIAL, STICKY, WRITE_FAST};
use crate::frame::retain;
use crate::special::{Special, SpecialMapping};
use crate::table::PAGES;
use crate::{AddressSpace, MapError, PAGE_SIZE};

impl AddressSpace {
    /// A copy of this space that shares no future writes, except through shared objects. Pages
    /// are copied on write ([`Backing::Paged`](crate::Backing::Paged)) or now if they were ever written
    /// ([`Backing::Reserved`](crate::Backing::Reserved)). The copy has no snapshots, no dirty pages and no code marks.
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
        // As in the parent, and fast where only its watching kept it slow.
        let copy = entry.without(STICKY).with_permissions(entry.permissions());
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
