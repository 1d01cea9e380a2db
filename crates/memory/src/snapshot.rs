//! Snapshots: an undo log of page-table entries.
//!
//! While a snapshot is there, the first change to a page since (a store, a mapping, a permission)
//! puts the page's old entry into the newest snapshot's log, where it keeps its frame alive; the
//! page goes on with a copy. So taking a snapshot costs as much as pages were written since the
//! last, and restoring as much as pages were changed since.
//!
//! Who restores one snapshot over and over writes to the same pages each time. From the second time on
//! such a page stays in the log, and can be stored to without further ado: restoring copies it back, in
//! a twentieth of the time of a first store, and where pages are mapped in place the host has nothing to
//! do at all. Every now and then pages that were not written any more are dropped from the log.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use core::ptr::NonNull;

use crate::entry::{CODE, DIRTY, Entry, MAPPED, OWNED, SAVED, SPECIAL, STICKY, WATCHED, WRITE_FAST};
use crate::identity::unique;
use crate::undo::{Level, Saved};
use crate::{AddressSpace, FaultKind, PAGE_SIZE};

/// Of so many restores of one snapshot, one looks which of the pages that it copies were written.
const LOOK: u32 = 16;

/// Names a snapshot of one address space; no other space has a snapshot of that name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SnapshotId(u64);

/// The address space has no such snapshot: it was discarded, an outer one was restored, or it is
/// another space's.
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
                for &Saved { page, .. } in &level.log {
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
        let id = unique();
        self.snapshots.push(Level { id, restores: 0, log: Vec::new() });
        SnapshotId(id)
    }

    /// Puts everything back as it was at `snapshot`, which stays, to be restored again; snapshots
    /// taken after it are gone. Translated code that changes is recorded as written.
    ///
    /// # Errors
    /// [`NoSuchSnapshot`]; nothing has changed then.
    pub fn restore(&mut self, snapshot: SnapshotId) -> Result<(), NoSuchSnapshot> {
        let depth = self.snapshot_depth(snapshot)?;
        self.release_shared();
        while self.snapshots.len() > depth + 1
            && let Some(level) = self.snapshots.pop()
        {
            for saved in level.log {
                self.put_back(saved);
            }
            // Pages in the outer log have to be known as saved again.
            self.mark_newest_log();
        }
        if let Some(mut level) = self.snapshots.pop() {
            let (again, look) = (level.restores > 0, level.restores % LOOK == LOOK - 1);
            level.restores = level.restores.wrapping_add(1).max(1);
            level.log.retain(|&saved| {
                let stays = again && self.copy_back(saved, look);
                if !stays {
                    self.put_back(saved);
                }
                stays
            });
            self.snapshots.push(level);
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
            for &Saved { page, .. } in &level.log {
                self.table.set(page, self.table.get(page).without(SAVED));
            }
            self.mark_newest_log();
            for saved in level.log {
                let entry = self.table.get(saved.page);
                match self.snapshots.last_mut() {
                    Some(outer) if !entry.has(SAVED) => {
                        outer.log.push(saved);
                        self.table.set(saved.page, entry.with(SAVED));
                    }
                    _ => self.release(saved.entry),
                }
            }
        }
        Ok(())
    }

    /// Forgets `snapshot` alone: those taken before and after it stay as they are. The cost is proportional
    /// to the pages written between the one before it and the one after it.
    ///
    /// # Errors
    /// [`NoSuchSnapshot`]; nothing has changed then.
    pub fn forget(&mut self, snapshot: SnapshotId) -> Result<(), NoSuchSnapshot> {
        let depth = self.snapshot_depth(snapshot)?;
        if depth + 1 == self.snapshots.len() {
            return self.discard(snapshot);
        }
        let level = self.snapshots.remove(depth);
        let mut outer = depth.checked_sub(1).map(|outer| core::mem::take(&mut self.snapshots[outer].log));
        let known: BTreeSet<u32> = outer.iter().flatten().map(|saved| saved.page).collect();
        for saved in level.log {
            match &mut outer {
                Some(log) if !known.contains(&saved.page) => log.push(saved),
                _ => self.release(saved.entry),
            }
        }
        if let (Some(log), Some(outer)) = (outer, depth.checked_sub(1)) {
            self.snapshots[outer].log = log;
        }
        Ok(())
    }

    /// Whether `snapshot` is one of this space that can be restored.
    #[must_use]
    pub fn has_snapshot(&self, snapshot: SnapshotId) -> bool {
        self.snapshot_depth(snapshot).is_ok()
    }

    /// How many snapshots there are.
    #[must_use]
    pub fn snapshots(&self) -> usize {
        self.snapshots.len()
    }

    fn snapshot_depth(&self, snapshot: SnapshotId) -> Result<usize, NoSuchSnapshot> {
        self.snapshots.iter().position(|level| level.id == snapshot.0).ok_or(NoSuchSnapshot)
    }

    fn mark_newest_log(&self) {
        for &Saved { page, .. } in self.snapshots.last().map_or(&[][..], |level| &level.log) {
            self.table.set(page, self.table.get(page).with(SAVED));
        }
    }

    /// Puts what `page` is into the newest snapshot's log, unless it is there.
    pub(crate) fn save(&mut self, page: u32) -> Result<(), FaultKind> {
        self.make_room();
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
            level.log.push(Saved { page, entry: saved });
        }
        self.table.set(page, entry.with(SAVED));
        Ok(())
    }

    /// Copies the content that a page had back into the frame that it has, and says whether that makes it
    /// what it was. Nothing else changes, so stores to it are as fast as before. Where `look` is set,
    /// it does not do so for a page that has that content.
    fn copy_back(&mut self, Saved { page, entry: saved }: Saved, look: bool) -> bool {
        let current = self.table.get(page);
        let private = |entry: Entry| entry.has(MAPPED) && !entry.has(SPECIAL);
        let same = private(saved) && private(current) && current.permissions() == saved.permissions();
        let Some(frame) = NonNull::new(current.frame()).filter(|_| same && current.has(OWNED)) else {
            return false;
        };
        // SAFETY: an owning entry holds a reference to a frame of the pool.
        if !unsafe { self.pool.is_unique(frame) } {
            return false;
        }
        let mut range = 0..PAGE_SIZE as usize;
        if look || current.has(CODE) {
            // SAFETY: both are whole pages, which nobody writes to meanwhile.
            match unsafe { difference(frame.as_ptr(), saved.frame()) } {
                None => return !look,
                Some(found) => range = found,
            }
        }
        // SAFETY: both are whole pages, different ones because the current one has one reference, and
        // only this thread reaches that.
        unsafe {
            let from = saved.frame().add(range.start);
            frame.as_ptr().add(range.start).copy_from_nonoverlapping(from, range.len());
        }
        self.note_store(page * PAGE_SIZE + range.start as u32, range.len() as u32);
        true
    }

    /// Gives up the second frames of pages that are what they were when a snapshot was taken. They are
    /// there for speed alone, and no reason to refuse a page within the limit.
    pub(crate) fn drop_unwritten(&mut self) {
        let mut levels = core::mem::take(&mut self.snapshots);
        let newest = levels.len().saturating_sub(1);
        for (depth, level) in levels.iter_mut().enumerate().filter(|(_, level)| level.restores > 1) {
            level.log.retain(|&saved| {
                let current = self.table.get(saved.page);
                let in_inner_log = depth < newest && current.has(SAVED);
                let owned = current.has(OWNED) && saved.entry.has(MAPPED) && !current.has(SPECIAL);
                let same = current.permissions() == saved.entry.permissions() && !saved.entry.has(SPECIAL);
                // SAFETY: both are whole pages, which nobody writes to meanwhile.
                let written = || unsafe { difference(current.frame(), saved.entry.frame()) }.is_some();
                if in_inner_log || !owned || !same || written() {
                    return true;
                }
                self.put_back(saved);
                false
            });
        }
        self.snapshots = levels;
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

    /// Makes a page what the log says it was.
    fn put_back(&mut self, Saved { page, entry: saved }: Saved) {
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
        self.note_restored(page, current);
    }
}

/// The bytes from the first to the last one in which two pages differ, to the word, or `None`.
///
/// # Safety
/// Both are whole pages that nobody writes to meanwhile.
unsafe fn difference(one: *const u8, other: *const u8) -> Option<Range<usize>> {
    /// Words that are compared at once: 128 bytes.
    type Block = [u64; 16];
    const BLOCKS: usize = PAGE_SIZE as usize / size_of::<Block>();
    let blocks = |at: usize| {
        // SAFETY: the block lies within both pages, which are aligned.
        unsafe { (one.cast::<Block>().add(at).read(), other.cast::<Block>().add(at).read()) }
    };
    let differs = |at: &usize| {
        let (one, other) = blocks(*at);
        one.iter().zip(&other).fold(0, |found, (one, other)| found | (one ^ other)) != 0
    };
    let first = (0..BLOCKS).find(differs)?;
    let last = (first..BLOCKS).rev().find(differs)?;
    let words = |at: usize| {
        let (one, other) = blocks(at);
        (0..one.len()).filter(move |&word| one[word] != other[word])
    };
    let start = first * size_of::<Block>() + words(first).next()? * size_of::<u64>();
    let end = last * size_of::<Block>() + (words(last).next_back()? + 1) * size_of::<u64>();
    Some(start..end)
}
