//! Forking: a second space with the same content.

use core::ptr::NonNull;

use crate::entry::{Entry, MAPPED, OWNED, SPECIAL, STICKY, WRITE_FAST};
use crate::special::{Special, SpecialMapping};
use crate::table::PAGES;
use crate::{AddressSpace, MapError, PAGE_SIZE};

impl AddressSpace {
    /// A copy of this space that shares no future writes, except through shared objects. Pages are
    /// copied when one of the two writes to them, and those that this space wrote to since its last fork at
    /// once, if they are few. The copy is [paged](crate::Backing::Paged), has no snapshots,
    /// no dirty pages, and no engine has translated code of it.
    ///
    /// # Errors
    /// [`MapError::Device`] where memory-mapped I/O is mapped, [`MapError::OutOfMemory`].
    pub fn fork(&mut self) -> Result<Self, MapError> {
        self.release_shared();
        let mut child = Self::empty(self.pool.sibling())?;
        child.resident_limit = self.resident_limit;
        let at_once = self.forks.copies_at_once(self.table.reservation.is_some());
        let mut page = 0;
        while let Some((at, entry)) = self.table.next_used(page, PAGES) {
            page = at + 1;
            if entry.has(MAPPED) {
                self.fork_page(&mut child, at, entry, at_once)?;
            }
        }
        child.vacant = (0..child.specials.len()).filter(|&slot| child.specials[slot].is_none()).collect();
        Ok(child)
    }

    fn fork_page(
        &mut self,
        child: &mut Self,
        page: u32,
        entry: Entry,
        at_once: bool,
    ) -> Result<(), MapError> {
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
        if let Some(frame) = NonNull::new(entry.frame()) {
            if at_once && entry.has(WRITE_FAST) {
                // SAFETY: an owning entry's frame is a whole page, which only this thread could write to.
                if let Ok(own) = unsafe { child.allocate(Some(frame.as_ptr()), Some(page)) } {
                    child.table.set(page, Entry::new(own.as_ptr(), copy.bits()));
                    return Ok(());
                }
            }
            // SAFETY: an owning entry holds a reference to a frame of the pool.
            unsafe { self.pool.retain(frame) };
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
