//! Who owns a page's frame: taking, sharing, copying and giving frames back.

use core::ptr::NonNull;

use crate::entry::{CODE, DIRTY, Entry, OWNED, SPECIAL, STICKY, WATCHED, WRITE, WRITE_FAST};
use crate::memory_file::EXTENT;
use crate::{AddressSpace, FaultKind};

impl AddressSpace {
    /// Takes a frame out of the pool within the limit: zeros, or a copy of `source`. It is for page
    /// `place`, if for any that is to be mapped in place.
    ///
    /// # Safety
    /// `source` is `None` or a readable page that nobody writes to meanwhile.
    pub(crate) unsafe fn allocate(
        &mut self,
        source: Option<*const u8>,
        place: Option<u32>,
    ) -> Result<NonNull<u8>, FaultKind> {
        self.check_limit()?;
        let frame = match source {
            None => self.pool.allocate(place),
            // SAFETY: the caller vouches for `source`.
            Some(source) => unsafe { self.pool.allocate_copy(source, place) },
        };
        let frame = frame.ok_or(FaultKind::OutOfMemory)?;
        self.resident += 1;
        Ok(frame)
    }

    /// Whether one more page may take up memory.
    fn check_limit(&self) -> Result<(), FaultKind> {
        if self.resident < self.resident_limit { Ok(()) } else { Err(FaultKind::OutOfMemory) }
    }

    /// Gives up what takes up memory for the sake of speed if the limit is reached. It may change the entry
    /// of any page, which therefore has to be read behind it.
    pub(crate) fn make_room(&mut self) {
        if self.resident >= self.resident_limit {
            self.drop_unwritten();
        }
    }

    /// A second entry for what `entry` is: shares frames, and copies those that are mapped in place,
    /// so that they stay where they are.
    pub(crate) fn duplicate(&mut self, entry: Entry) -> Result<Entry, FaultKind> {
        if entry.has(SPECIAL) {
            self.retain_special(entry.slot());
        } else if entry.has(OWNED)
            && let Some(frame) = NonNull::new(entry.frame())
        {
            self.check_limit()?;
            // SAFETY: an owning entry holds a reference to a frame of the pool.
            if self.table.reservation.is_some() && unsafe { self.pool.is_unique(frame) } {
                // SAFETY: the frame is a whole page to which only this thread could write.
                let copy = unsafe { self.allocate(Some(frame.as_ptr()), None) }?;
                return Ok(Entry::new(copy.as_ptr(), entry.bits()));
            }
            // SAFETY: as above.
            unsafe { self.pool.retain(frame) };
            self.resident += 1;
        }
        Ok(entry)
    }

    /// Gives up what `entry`, which the caller forgets, holds.
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
        let now = self.table.get(page);
        if now.has(WRITE) && !now.has(CODE | WATCHED) {
            self.forks.written = self.forks.written.saturating_add(1);
            self.table.set(page, now.with(WRITE_FAST));
            if now.has(SPECIAL) {
                self.held.get_mut().fast.push(page);
            } else if !entry.has(OWNED) {
                self.bring_along(page, entry.without(STICKY));
            }
        }
        Ok(frame)
    }

    /// Gives pages behind `page`, which was `blank` and was just stored to for the first time, frames as well
    /// if they are like it: as many as pages before it have some. Programs fill their memory upwards,
    /// and a first store is dear, most of all where it is a fault of the host's.
    ///
    /// Which pages those are hangs on nothing but which have frames, so that every engine and backing has
    /// the same resident pages. In a small space, and in one with a limit or a snapshot, a page is a page.
    fn bring_along(&mut self, page: u32, blank: Entry) {
        const MOST: u32 = EXTENT;
        const SMALL: u32 = 256;
        let end = (page / EXTENT + 1) * EXTENT;
        if self.resident <= SMALL || self.resident_limit != u32::MAX || !self.snapshots.is_empty() {
            return;
        }
        let is_used = |before: &u32| {
            let entry = self.table.get(*before);
            entry.has(OWNED) && !entry.has(SPECIAL)
        };
        let count = (page.saturating_sub(MOST)..page).rev().take_while(is_used).count();
        for next in (page + 1..end).take(count) {
            if self.table.get(next) != blank {
                return;
            }
            // SAFETY: there is no source.
            let Ok(frame) = (unsafe { self.allocate(None, Some(next)) }) else { return };
            self.forks.written = self.forks.written.saturating_add(1);
            self.dirty.push(next);
            self.table.set(next, Entry::new(frame.as_ptr(), blank.bits() | OWNED | DIRTY | WRITE_FAST));
        }
    }

    /// Gives `page` a frame that nobody else has, and keeps its content.
    pub(crate) fn own(&mut self, page: u32) -> Result<*mut u8, FaultKind> {
        self.make_room();
        let entry = self.table.get(page);
        let old = NonNull::new(entry.frame()).filter(|_| entry.has(OWNED));
        let frame = match old {
            // SAFETY: an owning entry holds a reference to a frame of a pool.
            Some(old) if unsafe { self.pool.is_unique(old) } => return Ok(old.as_ptr()),
            // SAFETY: a frame with several holders is written by none of them.
            Some(old) => unsafe { self.allocate(Some(old.as_ptr()), Some(page)) }?,
            // SAFETY: there is no source.
            None => unsafe { self.allocate(None, Some(page)) }?,
        };
        self.release(entry);
        self.table.set(page, Entry::new(frame.as_ptr(), entry.bits() | OWNED));
        Ok(frame.as_ptr())
    }
}
