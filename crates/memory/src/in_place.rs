//! Moving a space into a reservation and out again, and keeping the reservation up to date.

use core::ptr::NonNull;

use crate::AddressSpace;
use crate::entry::{Entry, OWNED, SPECIAL};
use crate::reserved::{Reservation, shown};
use crate::table::PAGES;

impl AddressSpace {
    /// Goes over to [`Backing::Reserved`](crate::Backing::Reserved), and says whether that is now the
    /// backing; the host may refuse. No guest can tell. It costs some microseconds now, and when an engine
    /// first asks for the reservation some more for each run of pages in use. Pages are copied only if
    /// they were among the first ones of the machine, before it had a memory file.
    pub fn reserve(&mut self) -> bool {
        if self.table.reservation.is_some() {
            return true;
        }
        if !self.pool.open_file() {
            return false;
        }
        let Some(reservation) = Reservation::new() else { return false };
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

    /// The host address of guest address zero, behind which the host now maps what the page table
    /// allows without further ado, and nothing else. `None` without a reservation, and where the host has
    /// no mappings left: then the space is [paged](crate::Backing::Paged) from now on.
    pub(crate) fn follow_in_place(&mut self) -> Option<NonNull<u8>> {
        let stale = self.table.reservation.as_ref()?.take_stale();
        if stale.is_empty() {
            return self.table.reservation.as_ref().map(Reservation::base);
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
