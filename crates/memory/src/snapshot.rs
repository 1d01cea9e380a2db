//! Snapshots: an undo log of page-table entries.
//!
//! While a snapshot is there, the first change to a page since (a store, a mapping, a permission)
//! puts the page's old entry into the newest snapshot's log, where it keeps its frame alive; the
//! page goes on with a copy. So taking a snapshot costs as much as pages were written since the
//! last, and restoring as much as pages were changed since.

use alloc::vec::Vec;
use core::fmt;
use core::ptr::NonNull;

use crate::entry::{CODE, DIRTY, Entry, OWNED, SAVED, SPECIAL, STICKY, WATCHED, WRITE_FAST};
use crate::{AddressSpace, FaultKind, PAGE_SIZE};

/// One snapshot: what pages that changed since were before.
pub(crate) struct Level {
    id: u64,
    pub(crate) log: Vec<(u32, Entry)>,
}

/// Names a snapshot of one address space.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SnapshotId(u64);

/// The address space has no such snapshot: it was discarded, or an outer one was restored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NoSuchSnapshot;

impl fmt::Display for NoSuchSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the address space has no such snapshot")
    }
}

impl core::error::Error for NoSuchSnapshot {}

impl AddressSpace {
    /// Remembers the content, permissions and mappings of all pages. Not covered: devices' own
    /// state, the content of shared objects, and the dirty and code marks.
    ///
    /// Snapshots nest. The cost is proportional to the pages written since the last snapshot (or,
    /// for the first, since [`Self::clear_dirty`]).
    pub fn snapshot(&mut self) -> SnapshotId {
        self.release_shared();
        match self.snapshots.last() {
            // Pages that can be written fast are in the newest log, or in the dirty list when
            // there is no log yet: `prepare_write` puts them there first.
            Some(level) => {
                for &(page, _) in &level.log {
                    let entry = self.table.get(page);
                    self.table.set(page, entry.without(SAVED | WRITE_FAST));
                }
            }
            None => {
                for &page in &self.dirty {
                    let entry = self.table.get(page);
                    self.table.set(page, entry.without(WRITE_FAST));
                }
            }
        }
        let id = self.next_snapshot;
        self.next_snapshot += 1;
        self.snapshots.push(Level { id, log: Vec::new() });
        SnapshotId(id)
    }

    /// Puts everything back as it was at `snapshot`, which stays, to be restored again; snapshots
    /// taken after it are gone. Pages that are marked as code and change are recorded as written.
    ///
    /// # Errors
    /// [`NoSuchSnapshot`]; nothing has changed then.
    pub fn restore(&mut self, snapshot: SnapshotId) -> Result<(), NoSuchSnapshot> {
        let depth = self.snapshot_depth(snapshot)?;
        self.release_shared();
        while let Some(mut level) = self.snapshots.pop() {
            for (page, saved) in level.log.drain(..).rev() {
                self.put_back(page, saved);
            }
            if self.snapshots.len() == depth {
                self.snapshots.push(level);
                break;
            }
            // Pages in the outer log have to be known as saved again.
            self.mark_newest_log();
        }
        Ok(())
    }

    /// Forgets `snapshot` and those taken after it, and keeps the present state.
    ///
    /// # Errors
    /// [`NoSuchSnapshot`]; nothing has changed then.
    pub fn discard(&mut self, snapshot: SnapshotId) -> Result<(), NoSuchSnapshot> {
        let depth = self.snapshot_depth(snapshot)?;
        while self.snapshots.len() > depth {
            let Some(level) = self.snapshots.pop() else { break };
            for &(page, _) in &level.log {
                self.table.set(page, self.table.get(page).without(SAVED));
            }
            self.mark_newest_log();
            for (page, saved) in level.log {
                let entry = self.table.get(page);
                match self.snapshots.last_mut() {
                    Some(outer) if !entry.has(SAVED) => {
                        outer.log.push((page, saved));
                        self.table.set(page, entry.with(SAVED));
                    }
                    _ => self.release(saved),
                }
            }
        }
        Ok(())
    }

    fn snapshot_depth(&self, snapshot: SnapshotId) -> Result<usize, NoSuchSnapshot> {
        self.snapshots.iter().position(|level| level.id == snapshot.0).ok_or(NoSuchSnapshot)
    }

    fn mark_newest_log(&self) {
        for &(page, _) in self.snapshots.last().map_or(&[][..], |level| &level.log) {
            self.table.set(page, self.table.get(page).with(SAVED));
        }
    }

    /// Puts what `page` is into the newest snapshot's log, unless it is there.
    pub(crate) fn save(&mut self, page: u32) -> Result<(), FaultKind> {
        let entry = self.table.get(page);
        if self.snapshots.is_empty() || entry.has(SAVED) {
            return Ok(());
        }
        let saved = self.duplicate(entry.without(STICKY | WRITE_FAST))?;
        if let Some(level) = self.snapshots.last_mut() {
            if level.log.try_reserve(1).is_err() {
                self.release(saved);
                return Err(FaultKind::OutOfMemory);
            }
            level.log.push((page, saved));
        }
        self.table.set(page, entry.with(SAVED));
        Ok(())
    }

    /// What `saved` was, in the frame that `current` has: for frames that are mapped in place and no
    /// one else's, so that the host's mapping stays.
    fn copied_back(&self, current: Entry, saved: Entry) -> Option<Entry> {
        let frame = NonNull::new(current.frame())?;
        let private = |entry: Entry| entry.has(OWNED) && !entry.has(SPECIAL);
        self.table.reservation.as_ref()?;
        // SAFETY: an owning entry holds a reference to a frame of the pool.
        if !private(current) || !private(saved) || !unsafe { self.pool.is_unique(frame) } {
            return None;
        }
        // SAFETY: both are whole pages, different ones because the current one has one reference, and
        // only this thread reaches that.
        unsafe { frame.as_ptr().copy_from_nonoverlapping(saved.frame(), PAGE_SIZE as usize) };
        Some(Entry::new(frame.as_ptr(), saved.bits()))
    }

    /// Makes `page` what the log says it was.
    fn put_back(&mut self, page: u32, saved: Entry) {
        let current = self.table.get(page);
        let marks = current.bits() & (DIRTY | CODE | WATCHED);
        let entry = match self.copied_back(current, saved) {
            Some(entry) => {
                self.release(saved);
                entry
            }
            None => {
                self.release(current);
                saved
            }
        };
        let entry = entry.without(STICKY).with_permissions(entry.permissions());
        self.table.set(page, entry.with(marks));
        self.note_page_change(page, current);
    }
}
