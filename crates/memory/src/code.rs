//! Code that engines have translated, from one address space's point of view.
//!
//! The marks of a private page are this space's, by page number: its content changes through no other
//! page and no other space, since frames that forks share are copied before they are written. The marks
//! of a page of a shared object lie in the object, where every space that writes to it finds them.
//! A page-table entry says with `CODE` that stores to the page have to look at marks.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cell::Cell;

use crate::entry::{CODE, EXECUTE, Entry, MAPPED, SPECIAL, WRITE_FAST};
use crate::marks::{CodeWrite, Log, Marks};
use crate::special::Special;
use crate::{AddressSpace, PAGE_SIZE, SharedMemory};

/// A page of a shared object: the object's [`SharedMemory::key`], and the number of the page in it.
type ObjectPage = (usize, u32);

/// What an address space knows about code that engines have translated.
#[derive(Default)]
pub(crate) struct Code {
    /// Changes with every write to translated code, and when there may have been one elsewhere.
    generation: Cell<u64>,
    pub(crate) log: Log<CodeWrite>,
    /// The marks of private pages.
    marks: BTreeMap<u32, Box<Marks>>,
    /// Private pages that nobody watches, and the readers that check what they keep of them.
    unwatched: BTreeMap<u32, Vec<u64>>,
    /// Pages of this space that show translated code of shared objects.
    shared: BTreeMap<u32, ObjectPage>,
    /// The same the other way round.
    aliases: BTreeMap<ObjectPage, Vec<u32>>,
    /// The objects behind `shared`.
    objects: Vec<WatchedObject>,
}

/// A shared object of which a space shows translated code.
struct WatchedObject {
    memory: SharedMemory,
    /// How far this space has read the object's log.
    seen: u64,
    /// Pages in [`Code::shared`].
    pages: usize,
}

impl Code {
    #[inline(always)]
    pub(crate) fn generation(&self) -> u64 {
        self.generation.get()
    }

    fn advance(&self) {
        self.generation.set(self.generation.get().wrapping_add(1));
    }

    /// Records a write to translated code.
    fn note(&mut self, address: u32, length: u32) {
        self.advance();
        self.log.push(CodeWrite { address, length }, CodeWrite::join);
    }

    /// Whether somebody has written to translated code of an object since this space looked.
    #[inline]
    pub(crate) fn is_behind(&self) -> bool {
        self.objects.iter().any(|watched| watched.memory.code_writes() != watched.seen)
    }

    /// Has engines look again if `object`, which this space has just taken, was written to.
    pub(crate) fn take_object(&self, object: &SharedMemory) {
        let key = object.key();
        if self
            .objects
            .iter()
            .any(|watched| watched.memory.key() == key && object.code_writes() != watched.seen)
        {
            self.advance();
        }
    }

    /// Remembers that `page` shows page `index` of `memory`, of which everything up to the
    /// object's write number `seen` is known here.
    fn show(&mut self, page: u32, memory: &SharedMemory, index: u32, seen: u64) {
        let key = memory.key();
        if self.shared.get(&page) == Some(&(key, index)) {
            return;
        }
        self.hide(page);
        self.shared.insert(page, (key, index));
        self.aliases.entry((key, index)).or_default().push(page);
        match self.objects.iter_mut().find(|watched| watched.memory.key() == key) {
            Some(watched) => watched.pages += 1,
            None => self.objects.push(WatchedObject { memory: memory.clone(), seen, pages: 1 }),
        }
    }

    /// Ends what [`Self::show`] began, if it did.
    fn hide(&mut self, page: u32) {
        let Some(place) = self.shared.remove(&page) else { return };
        if let Some(pages) = self.aliases.get_mut(&place) {
            pages.retain(|other| *other != page);
            if pages.is_empty() {
                self.aliases.remove(&place);
            }
        }
        if let Some(at) = self.objects.iter().position(|watched| watched.memory.key() == place.0) {
            self.objects[at].pages -= 1;
            if self.objects[at].pages == 0 {
                self.objects.swap_remove(at);
            }
        }
    }

    /// Records what the object at `at` in the list says was written since this space looked.
    fn pull(&mut self, at: usize, space: u64) {
        let watched = &mut self.objects[at];
        let (key, before) = (watched.memory.key(), watched.memory.code_writes());
        // Where another space holds the object, or wrote more than a log keeps, all of it counts
        // as written up to what had been before this look.
        let (writes, seen) = watched.memory.code_writes_since(space, watched.seen).unwrap_or((None, before));
        watched.seen = seen;
        match writes {
            Some(writes) => {
                for (index, first, length) in writes {
                    for page in self.aliases.get(&(key, index)).cloned().unwrap_or_default() {
                        self.note(page * PAGE_SIZE + first, length);
                    }
                }
            }
            None => {
                let all: Vec<u32> =
                    self.shared.iter().filter(|(_, place)| place.0 == key).map(|(page, _)| *page).collect();
                all.into_iter().for_each(|page| self.note(page * PAGE_SIZE, PAGE_SIZE));
            }
        }
    }
}

impl AddressSpace {
    /// Looks what other spaces have written to translated code of shared objects.
    pub(crate) fn pull_code_writes(&mut self) {
        for at in 0..self.code.objects.len() {
            if self.code.objects[at].memory.code_writes() != self.code.objects[at].seen {
                self.code.pull(at, self.identity);
            }
        }
    }

    /// Marks bytes `first..end` of `page` as translated by `reader`; false where that cannot be.
    pub(crate) fn mark_code(&mut self, page: u32, first: u32, end: u32, reader: u64) -> bool {
        let entry = self.table.get(page);
        if !entry.has(MAPPED) || self.code.unwatched.contains_key(&page) {
            return false;
        }
        if !entry.has(SPECIAL) {
            let marks = self.code.marks.entry(page).or_insert_with(|| Box::new(Marks::new(reader)));
            marks.set(first, end, reader);
            self.table.set(page, entry.with(CODE).without(WRITE_FAST));
            return true;
        }
        if self.hold_shared(page, entry).is_err() {
            return false;
        }
        let Some((memory, index)) = self.object_page(page) else { return false };
        let memory = memory.clone();
        let Some((new, seen)) = memory.mark(self.identity, index, first, end, reader) else { return false };
        if new {
            // Other pages of this space may show the same page of the object.
            for fast in self.held.get_mut().slow_down() {
                self.table.set(fast, self.table.get(fast).without(WRITE_FAST));
            }
        }
        self.code.show(page, &memory, index, seen);
        let entry = self.table.get(page);
        self.table.set(page, entry.with(CODE).without(WRITE_FAST));
        true
    }

    /// Ends the watching of a private page, of which `reader` checks what it keeps; false where that cannot
    /// be. Who else has translated code of it takes it as written.
    pub(crate) fn leave_unwatched(&mut self, page: u32, reader: u64) -> bool {
        let entry = self.table.get(page);
        if !entry.has(MAPPED) || entry.has(SPECIAL) {
            return false;
        }
        let readers = self.code.unwatched.entry(page).or_default();
        if !readers.contains(&reader) {
            readers.push(reader);
        }
        if let Some(marks) = self.code.marks.remove(&page)
            && !marks.is_all_of(reader)
        {
            self.code.note(page * PAGE_SIZE, PAGE_SIZE);
        }
        self.table.set(page, entry.without(CODE));
        true
    }

    /// `reader` has nothing of `page` any more: takes its marks away if they are no one else's, too.
    pub(crate) fn release_code(&mut self, page: u32, reader: u64) {
        if let Some(readers) = self.code.unwatched.get_mut(&page) {
            readers.retain(|other| *other != reader);
            if readers.is_empty() {
                self.code.unwatched.remove(&page);
            }
            return;
        }
        if let Some(marks) = self.code.marks.get(&page) {
            if marks.is_all_of(reader) {
                self.code.marks.remove(&page);
                self.table.set(page, self.table.get(page).without(CODE));
            }
        } else if let Some(&(key, index)) = self.code.shared.get(&page)
            && let Some(watched) = self.code.objects.iter().find(|watched| watched.memory.key() == key)
        {
            let alone = self.code.aliases.get(&(key, index)).is_some_and(|pages| pages.len() == 1);
            let memory = watched.memory.clone();
            if alone && memory.unmark(self.identity, index, reader) {
                self.code.hide(page);
                self.table.set(page, self.table.get(page).without(CODE));
            }
        }
    }

    /// The object and the page of it that `page`, which this space holds, shows.
    fn object_page(&self, page: u32) -> Option<(&SharedMemory, u32)> {
        let slot = self.held.borrow().pages.get(&page)?.slot();
        let mapping = self.special(slot)?;
        let Special::Shared { memory, first_frame } = &mapping.what else { return None };
        Some((memory, first_frame.saturating_add(page - mapping.first_page)))
    }

    /// Has the entry of `page`, held and about to be written, say whether its object has marks there.
    pub(crate) fn follow_marks(&mut self, page: u32) {
        let Some((memory, index)) = self.object_page(page) else { return };
        let entry = self.table.get(page);
        if memory.is_marked(self.identity, index) {
            self.table.set(page, entry.with(CODE));
        } else if entry.has(CODE) {
            // Writes that took the marks away have to be known before the page is forgotten.
            self.pull_code_writes();
            self.code.hide(page);
            self.table.set(page, entry.without(CODE));
        }
    }

    /// Records a store of `length` bytes that lies within one page, if it hit translated code.
    #[inline]
    pub(crate) fn note_store(&mut self, address: u32, length: u32) {
        let entry = self.table.of(address);
        if entry.has(CODE) && length > 0 {
            self.note_code_store(address, length, entry);
        }
    }

    fn note_code_store(&mut self, address: u32, length: u32, entry: Entry) {
        let page = address / PAGE_SIZE;
        let first = address % PAGE_SIZE;
        let end = first.saturating_add(length).min(PAGE_SIZE);
        if entry.has(SPECIAL) {
            if let Some((memory, index)) = self.object_page(page)
                && memory.note_store(self.identity, index, first, end)
            {
                self.pull_code_writes();
            }
        } else if let Some(marks) = self.code.marks.get_mut(&page)
            && marks.clear(first, end)
        {
            if marks.is_empty() {
                self.code.marks.remove(&page);
                self.table.set(page, entry.without(CODE));
            }
            self.code.note(address, end - first);
        }
    }

    /// Records that the content or existence of `page` changed, which had the entry `old`, if that had
    /// translated code.
    pub(crate) fn note_page_change(&mut self, page: u32, old: Entry) {
        let unwatched = !self.code.unwatched.is_empty() && self.code.unwatched.remove(&page).is_some();
        if old.has(CODE) || unwatched {
            self.code.marks.remove(&page);
            self.code.hide(page);
            self.table.set(page, self.table.get(page).without(CODE));
            self.code.note(page * PAGE_SIZE, PAGE_SIZE);
        }
    }

    /// Records that a snapshot was restored that changed `page`, which had the entry `old`: as any change,
    /// but the bytes of a page that nobody watches may change in this way, too.
    pub(crate) fn note_restored(&mut self, page: u32, old: Entry) {
        let new = self.table.get(page);
        let private = |entry: Entry| entry.has(MAPPED) && !entry.has(SPECIAL);
        let runs_on = private(old) && private(new) && (new.has(EXECUTE) || !old.has(EXECUTE));
        if old.has(CODE) || !runs_on {
            self.note_page_change(page, old);
        }
    }

    /// Records that the permissions of `page` changed, which had the entry `old`: what cannot be
    /// executed any more must not be.
    pub(crate) fn note_protection(&mut self, page: u32, old: Entry) {
        if old.has(EXECUTE) && !self.table.get(page).has(EXECUTE) {
            self.note_page_change(page, old);
        }
    }
}
