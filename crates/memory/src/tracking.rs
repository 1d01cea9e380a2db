//! Which pages were written.

use crate::AddressSpace;
use crate::entry::{DIRTY, WRITE_FAST};

impl AddressSpace {
    /// The numbers of the pages stored to since [`Self::clear_dirty`] or the space's creation, in
    /// the order of their first store. Mapping and unmapping are no stores, pokes are. Where pages
    /// are stored to for the first time one after another, some zero pages that are next are among them.
    #[must_use]
    pub fn dirty_pages(&self) -> &[u32] {
        &self.dirty
    }

    /// Forgets which pages were written, in time proportional to their number.
    pub fn clear_dirty(&mut self) {
        for page in self.dirty.drain(..) {
            let entry = self.table.get(page);
            self.table.set(page, entry.without(DIRTY | WRITE_FAST));
        }
    }

    /// Adds a page to the dirty list once.
    pub(crate) fn mark_dirty(&mut self, page: u32) {
        let entry = self.table.get(page);
        if !entry.has(DIRTY) {
            self.dirty.push(page);
            self.table.set(page, entry.with(DIRTY));
        }
    }
}
