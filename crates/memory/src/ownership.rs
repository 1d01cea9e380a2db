//! Who owns a page's frame: taking, sharing, copying and giving frames back.

use core::ptr::NonNull;

use crate::entry::{CODE, Entry, OWNED, SPECIAL, WATCHED, WRITE, WRITE_FAST};
use crate::frame::{is_unique, retain};
use crate::{AddressSpace, FaultKind};

impl AddressSpace {
    /// Whether `entry` is of a page in use in the reservation.
    pub(crate) fn in_place(&self, entry: Entry) -> bool {
        self.reservation.as_ref().is_some_and(|reservation| {
            let offset = entry.frame().addr().wrapping_sub(reservation.base().addr().get());
            entry.has(OWNED) && (offset as u64) < 1 << 32
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
            let frame = self.hold_shared(page, entry)?;
            self.follow_marks(page);
            frame
        } else {
            self.save(page)?;
            self.own(page)?
        };
        self.mark_dirty(page);
        let entry = self.table.get(page);
        if entry.has(WRITE) && !entry.has(CODE | WATCHED) {
            self.table.set(page, entry.with(WRITE_FAST));
            if entry.has(SPECIAL) {
                self.held.get_mut().fast.push(page);
            }
        }
        Ok(frame)
    }

    /// Gives `page` a frame that nobody else has, and keeps its content.
    pub(crate) fn own(&mut self, page: u32) -> Result<*mut u8, FaultKind> {
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
}
