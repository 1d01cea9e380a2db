//! Moving a space into a reservation and out again, and keeping the reservation up to date.

use core::ptr::NonNull;

use crate::entry::{Entry, OWNED, SPECIAL};
use crate::reserved::{Reservation, continues, shown};
use crate::source::FrameSource;
use crate::table::PAGES;
use crate::{AddressSpace, PAGE_SIZE};

impl AddressSpace {
    /// Goes over to [`Backing::Reserved`](crate::Backing::Reserved), and says whether that is now the
    /// backing; the host may refuse, or have no mappings left. No guest can tell. It costs some
    /// microseconds now, and when an engine first asks for the reservation some more for each run of pages
    /// in use. Pages are copied only if they were among the first ones of the machine, before it had a
    /// memory file.
    pub fn reserve(&mut self) -> bool {
        self.drop_taken();
        if self.table.reservation.is_some() {
            return true;
        }
        if !self.pool.open_file() {
            return false;
        }
        // Objects go into the memory file when they are taken.
        self.release_shared();
        let wanted = self.mappings_wanted();
        let machine = self.pool.source().map(FrameSource::reservations);
        let Some(reservation) = machine.and_then(|machine| Reservation::new(machine, wanted)) else {
            return false;
        };
        let mut page = 0;
        while let Some((at, _)) = self.table.next_used(page, PAGES) {
            reservation.note(at);
            page = at + 1;
        }
        self.table.reservation = Some(reservation);
        true
    }

    /// Goes back to [`Backing::Paged`](crate::Backing::Paged), and gives the reservation back to the
    /// host. No guest can tell.
    pub fn unreserve(&mut self) {
        self.table.reservation = None;
    }

    /// Forgets a reservation whose mappings somebody else needed.
    fn drop_taken(&mut self) {
        if self.table.reservation.as_ref().is_some_and(Reservation::is_taken) {
            self.unreserve();
        }
    }

    /// Host mappings that it takes to show what is mapped now.
    pub(crate) fn mappings_wanted(&self) -> usize {
        let mut wanted = 0;
        let (mut page, mut before) = (0, 0);
        while let Some((at, entry)) = self.table.next_used(page, PAGES) {
            if at != page && before != 0 {
                wanted += 1;
                before = 0;
            }
            let in_file = NonNull::new(entry.frame()).is_some_and(|frame| self.pool.is_in_file(frame));
            let word = match shown(entry) {
                // Its frame is going to lie beside that of the page before.
                word if entry.has(OWNED) && !entry.has(SPECIAL) && !in_file => {
                    ((at as usize + 1) * PAGE_SIZE as usize) | (word % PAGE_SIZE as usize)
                }
                word => word,
            };
            if !continues(before, 1, word) {
                wanted += 1;
            }
            (page, before) = (at + 1, word);
        }
        wanted + usize::from(before != 0)
    }

    /// The host address of guest address zero, behind which the host now maps what the page table
    /// allows without further ado, and nothing else. `None` without a reservation, and where the host has
    /// no mappings left: then the space is [paged](crate::Backing::Paged) from now on.
    pub(crate) fn follow_in_place(&mut self) -> Option<NonNull<u8>> {
        self.drop_taken();
        let reservation = self.table.reservation.as_ref()?;
        reservation.note_asked();
        self.take_again();
        let reservation = self.table.reservation.as_ref()?;
        let stale = reservation.take_stale();
        if stale.is_empty() {
            return Some(reservation.base());
        }
        for &page in &stale {
            self.move_in_place(page);
        }
        // Moving pages noted them once more.
        if let Some(reservation) = &self.table.reservation {
            let _ = reservation.take_stale();
        }
        let pages: alloc::vec::Vec<_> =
            stale.iter().map(|page| (*page, shown(self.table.get(*page)))).collect();
        let reservation = self.table.reservation.as_mut()?;
        let base = reservation.base();
        if reservation.follow(&pages, self.pool.file()?).is_err() {
            self.unreserve();
            return None;
        }
        Some(base)
    }

    /// Gives a private page whose frame is not in the memory file one that is, if there is one.
    fn move_in_place(&mut self, page: u32) {
        let entry = self.table.get(page);
        let Some(frame) = NonNull::new(entry.frame()) else { return };
        if !entry.has(OWNED) || entry.has(SPECIAL) || self.pool.is_in_file(frame) {
            return;
        }
        // SAFETY: an owning entry's frame is a whole page, which only this thread could write to.
        if let Some(copy) = unsafe { self.pool.allocate_copy(frame.as_ptr(), Some(page)) } {
            // The copy takes the original's place among the resident pages. Whether stores are fast
            // does not change: who had to copy the original first has a copy of its own sooner.
            self.table.set(page, Entry::new(copy.as_ptr(), entry.bits()));
            // SAFETY: the entry's reference is given up; the entry is gone.
            unsafe { self.pool.release(frame) };
        }
    }
}
