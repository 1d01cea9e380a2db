//! The areas of an address space: disjoint ranges of pages, each of one kind (the kernel's VMAs).

use std::collections::BTreeMap;
use std::sync::Arc;

use pentimento_memory::Permissions;

use super::gaps::Gaps;
use crate::errno::Errno;
use crate::vfs::{PageSource, Vnode};

/// What stands behind an area.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum AreaSource {
    /// Nothing: zero-filled memory.
    Anonymous,
    /// The heap that brk(2) moves.
    Heap,
    /// The first thread's stack.
    Stack,
    /// The kernel's own code page.
    Vdso,
    /// An anonymous object that several spaces can map (MAP_SHARED).
    Shared {
        /// The object's number, which nothing else has.
        object: u64,
        /// Offset in it of the area's first byte.
        offset: u64,
    },
    /// A segment of the program or of its ELF interpreter.
    Program {
        /// Offset in the file of the area's first byte.
        offset: u32,
        /// It is the interpreter's.
        interpreter: bool,
    },
    /// A file.
    File {
        /// Which, held while the space lives.
        node: Vnode,
        /// Offset in the file of the area's first byte.
        offset: u64,
    },
}

/// What a child gets of an area (madvise(2)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Inheritance {
    /// What its parent has there.
    Kept,
    /// Zeros (MADV_WIPEONFORK).
    Wiped,
    /// Nothing (MADV_DONTFORK).
    Nothing,
}

/// A range of pages of one kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Area {
    /// One past its last byte; set by [`Areas::insert`].
    pub(crate) end: u32,
    /// What mmap or mprotect asked for.
    pub(crate) protection: Permissions,
    /// Writes are seen by everyone who maps the same (MAP_SHARED).
    pub(crate) shared: bool,
    /// mprotect(2) may make it writable (VM_MAYWRITE): not where it shares a file that was opened for
    /// reading alone.
    pub(crate) may_write: bool,
    /// Extends downwards on access.
    pub(crate) grows_down: bool,
    /// Counts against RLIMIT_MEMLOCK, and stays in memory (mlock(2)).
    pub(crate) locked: bool,
    /// What a child gets of it.
    pub(crate) inheritance: Inheritance,
    /// What stands behind it.
    pub(crate) backing: AreaSource,
    /// Where pages that are not there yet come from: those of private file areas.
    pub(crate) source: Option<PageSource>,
}

impl Area {
    /// A private area.
    pub(crate) const fn private(protection: Permissions, backing: AreaSource) -> Self {
        Self {
            end: 0,
            protection,
            shared: false,
            may_write: true,
            grows_down: matches!(backing, AreaSource::Stack),
            locked: false,
            inheritance: Inheritance::Kept,
            backing,
            source: None,
        }
    }

    /// Whether it counts as data (RLIMIT_DATA): private, writable, and no stack.
    pub(crate) const fn is_data(&self) -> bool {
        !self.shared && !self.grows_down && self.protection.contains(Permissions::WRITE)
    }

    /// Whether nothing is behind it: memory that is zero at first, and this process's alone.
    pub(crate) const fn is_anonymous(&self) -> bool {
        use AreaSource::{Anonymous, Heap, Stack};
        !self.shared && matches!(self.backing, Anonymous | Heap | Stack)
    }

    /// The same area with its first byte moved from `old` to `new`.
    pub(crate) fn starting_at(&self, old: u32, new: u32) -> Self {
        let mut area = self.clone();
        let moved = new.wrapping_sub(old);
        match &mut area.backing {
            AreaSource::File { offset, .. } | AreaSource::Shared { offset, .. } => {
                *offset = offset.wrapping_add(u64::from(moved));
            }
            AreaSource::Program { offset, .. } => *offset = offset.wrapping_add(moved),
            _ => {}
        }
        area
    }

    /// Offset in the file of the area's first byte, if there is a file behind it.
    pub(crate) fn file_offset(&self) -> Option<u64> {
        match self.backing {
            AreaSource::File { offset, .. } => Some(offset),
            AreaSource::Program { offset, .. } => Some(u64::from(offset)),
            _ => None,
        }
    }

    /// Whether `next`, which starts at this area's end, continues it.
    fn continues_as(&self, start: u32, next: &Self) -> bool {
        Self { end: 0, ..self.starting_at(start, self.end) } == Self { end: 0, ..next.clone() }
    }
}

/// Disjoint areas by start address.
#[derive(Clone, Default, Debug)]
pub(crate) struct Areas {
    /// Shared with forks and snapshots until one of them changes.
    by_start: Arc<BTreeMap<u32, Area>>,
    /// Bytes in all of them, in those that count as data, and in those that are locked.
    mapped: u64,
    data: u64,
    locked: u64,
    /// Bytes in those of which a child does not get what its parent has.
    special: u64,
    gaps: Gaps,
    /// What the last search for room found out.
    full: Option<Full>,
}

/// From `ceiling` to `high` there is no room for `length` bytes.
#[derive(Clone, Copy, Debug)]
struct Full {
    high: u32,
    length: u32,
    ceiling: u32,
}

impl Areas {
    /// All areas as (start, area), lowest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Area)> {
        self.by_start.iter().map(|(start, area)| (*start, area))
    }

    /// The areas that start at `address` or above it, lowest first.
    pub(crate) fn starting_from(&self, address: u32) -> impl Iterator<Item = (u32, &Area)> {
        self.by_start.range(address..).map(|(start, area)| (*start, area))
    }

    /// Bytes in all areas.
    pub(crate) fn mapped(&self) -> u64 {
        self.mapped
    }

    /// Bytes in areas that are locked.
    pub(crate) fn locked(&self) -> u64 {
        self.locked
    }

    /// Bytes of locked areas in `[start, end)`.
    pub(crate) fn locked_within(&self, start: u32, end: u32) -> u64 {
        let inside = self.overlapping(start, end).filter(|(_, area)| area.locked);
        inside.map(|(first, area)| u64::from(area.end.min(end) - first.max(start))).sum()
    }

    /// The areas of which a child does not get what its parent has, with their starts.
    pub(crate) fn not_inherited(&self) -> Vec<(u32, Area)> {
        if self.special == 0 {
            return Vec::new();
        }
        let special = self.iter().filter(|(_, area)| area.inheritance != Inheritance::Kept);
        special.map(|(start, area)| (start, area.clone())).collect()
    }

    /// How many areas there are.
    pub(crate) fn len(&self) -> usize {
        self.by_start.len()
    }

    /// Bytes of areas in `[start, end)`.
    pub(crate) fn mapped_within(&self, start: u32, end: u32) -> u64 {
        self.overlapping(start, end)
            .map(|(first, area)| u64::from(area.end.min(end) - first.max(start)))
            .sum()
    }

    /// Bytes of data in areas.
    pub(crate) fn data(&self) -> u64 {
        self.data
    }

    /// Bytes of data in areas, without what lies in `[start, end)`.
    pub(crate) fn data_outside(&self, start: u32, end: u32) -> u64 {
        let inside = self.overlapping(start, end).filter(|(_, area)| area.is_data());
        let inside = inside.map(|(first, area)| u64::from(area.end.min(end) - first.max(start)));
        self.data - inside.sum::<u64>()
    }

    /// The areas that touch `[start, end)`, lowest first.
    pub(crate) fn overlapping(&self, start: u32, end: u32) -> impl Iterator<Item = (u32, &Area)> {
        let first = self.by_start.range(..=start).next_back().map_or(start, |(first, _)| *first);
        self.by_start
            .range(first..)
            .map(|(first, area)| (*first, area))
            .skip_while(move |(_, area)| area.end <= start)
            .take_while(move |(first, _)| *first < end)
    }

    /// The area that holds `address`, with its start.
    pub(crate) fn at(&self, address: u32) -> Option<(u32, &Area)> {
        let (start, area) = self.by_start.range(..=address).next_back()?;
        (address < area.end).then_some((*start, area))
    }

    /// The lowest area that starts above `address`.
    pub(crate) fn above(&self, address: u32) -> Option<(u32, &Area)> {
        self.by_start.range(address..).next().map(|(start, area)| (*start, area))
    }

    /// The highest area that starts below `address`.
    pub(crate) fn below(&self, address: u32) -> Option<&Area> {
        self.by_start.range(..address).next_back().map(|(_, area)| area)
    }

    /// Puts `area` over `[start, end)`, cutting away what was there and joining equal neighbours.
    pub(crate) fn insert(&mut self, start: u32, end: u32, area: Area) {
        if start >= end {
            return;
        }
        self.remove(start, end);
        self.account(start, end, &area, true);
        Arc::make_mut(&mut self.by_start).insert(start, Area { end, ..area });
        self.join_at(end);
        self.join_at(start);
    }

    /// Joins the area that starts at `boundary` with the one that ends there, if they are alike.
    fn join_at(&mut self, boundary: u32) {
        let Some((first, before)) = self.by_start.range(..boundary).next_back() else { return };
        let Some(after) = self.by_start.get(&boundary) else { return };
        if before.end != boundary || !before.continues_as(*first, after) {
            return;
        }
        let (first, end) = (*first, after.end);
        Arc::make_mut(&mut self.by_start).remove(&boundary);
        if let Some(area) = Arc::make_mut(&mut self.by_start).get_mut(&first) {
            area.end = end;
        }
    }

    /// Splits the area that holds `address`, so that one starts there.
    fn split(&mut self, address: u32) {
        let Some((start, area)) = self.at(address) else { return };
        if start == address {
            return;
        }
        let tail = area.starting_at(start, address);
        if let Some(area) = Arc::make_mut(&mut self.by_start).get_mut(&start) {
            area.end = address;
        }
        Arc::make_mut(&mut self.by_start).insert(address, tail);
    }

    /// Removes `[start, end)` from all areas and gives back the pieces.
    pub(crate) fn remove(&mut self, start: u32, end: u32) -> Vec<(u32, Area)> {
        if start >= end {
            return Vec::new();
        }
        self.split(start);
        self.split(end);
        let starts: Vec<u32> = self.by_start.range(start..end).map(|(start, _)| *start).collect();
        let removed: Vec<(u32, Area)> = starts
            .into_iter()
            .filter_map(|start| Some((start, Arc::make_mut(&mut self.by_start).remove(&start)?)))
            .collect();
        for (start, area) in &removed {
            self.account(*start, area.end, area, false);
        }
        removed
    }

    /// Keeps the books of an area that comes or goes.
    fn account(&mut self, start: u32, end: u32, area: &Area, comes: bool) {
        let add = |sum: &mut u64, length: u64| *sum = if comes { *sum + length } else { *sum - length };
        let length = u64::from(end - start);
        add(&mut self.mapped, length);
        add(&mut self.data, if area.is_data() { length } else { 0 });
        add(&mut self.locked, if area.locked { length } else { 0 });
        add(&mut self.special, if area.inheritance == Inheritance::Kept { 0 } else { length });
        self.gaps.forget(start, end);
        if !comes && let Some(full) = &mut self.full {
            let above = self.by_start.range(end..).next().map_or(full.high, |(next, _)| *next);
            full.ceiling = full.ceiling.max(above.min(full.high));
        }
    }

    /// Changes what is mapped of `[start, end)`.
    pub(crate) fn change(&mut self, start: u32, end: u32, change: impl Fn(&mut Area)) {
        for (first, mut area) in self.remove(start, end) {
            change(&mut area);
            self.insert(first, area.end, area);
        }
    }

    /// Changes the protection from `start` on; says up to where, and what kept it from going on: ENOMEM
    /// where nothing is mapped, EACCES where an area may not have the protection.
    pub(crate) fn protect(
        &mut self,
        start: u32,
        end: u32,
        protection: Permissions,
    ) -> (u32, Result<(), Errno>) {
        let (mut done, mut result) = (start, Ok(()));
        for (first, area) in self.overlapping(start, end) {
            if first > done {
                break;
            }
            if protection.contains(Permissions::WRITE) && !area.may_write {
                result = Err(Errno::EACCES);
                break;
            }
            done = area.end.min(end);
        }
        self.change(start, done, |area| area.protection = protection);
        (done, if done < end { result.and(Err(Errno::ENOMEM)) } else { Ok(()) })
    }

    /// The highest address in `[low, high)` at which `length` bytes are free; all are multiples of a page.
    pub(crate) fn highest_gap(&mut self, low: u32, high: u32, length: u32) -> Option<u32> {
        /// Areas that are gone through one by one, before whole stretches are.
        const FEW: usize = 256;
        if length == 0 {
            return None;
        }
        let known = self.full.filter(|full| full.high == high && full.length <= length);
        let mut ceiling = known.map_or(high, |full| full.ceiling);
        let fits = |area: &Area, ceiling: u32| area.end <= ceiling && ceiling - area.end >= length;
        let mut passed = 0;
        for (start, area) in self.by_start.range(..ceiling).rev() {
            if fits(area, ceiling) || passed == FEW {
                break;
            }
            (ceiling, passed) = (ceiling.min(*start), passed + 1);
        }
        if passed == FEW {
            ceiling = self.gaps.highest(&self.by_start, ceiling, length)?;
            for (start, area) in self.by_start.range(..ceiling).rev() {
                if fits(area, ceiling) {
                    break;
                }
                ceiling = ceiling.min(*start);
            }
        }
        if known.is_none_or(|full| full.length == length) {
            self.full = Some(Full { high, length, ceiling });
        }
        let start = ceiling.checked_sub(length)?;
        (start >= low).then_some(start)
    }
}
