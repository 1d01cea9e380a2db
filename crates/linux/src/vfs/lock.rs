//! Advisory locks: flock(2) on whole files, fcntl(2) on ranges.

use std::collections::{BTreeMap, BTreeSet};

use super::vnode::{NodeId, Vnode, VolumeId};
use crate::errno::Errno;
use crate::wait::Channel;

/// Locks that may be held at once: each takes memory, and there could be one a byte.
const LOCKS_MAX: usize = 1 << 17;

/// Whose a lock is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum LockOwner {
    /// An open file's, by its description's number (flock, F_OFD_*).
    Description(u32),
    /// A process's (F_SETLK).
    Process(u32),
}

/// The two families, which do not see each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum LockFamily {
    /// flock(2).
    Whole,
    /// fcntl(2).
    Range,
}

impl LockFamily {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Whole, Self::Range];
}

/// A lock on the bytes from `start` to before `end`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Lock {
    pub(crate) family: LockFamily,
    pub(crate) owner: LockOwner,
    pub(crate) exclusive: bool,
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// An owner's ranges on a file, which do not overlap: one past the last byte and whether it is exclusive, by
/// first byte.
type Ranges = BTreeMap<u64, (u64, bool)>;

/// All locks of a machine.
#[derive(Clone, Debug)]
pub(crate) struct Locks {
    held: BTreeMap<(Vnode, LockFamily, LockOwner), Ranges>,
    /// On which files an owner has any.
    owned: BTreeSet<(LockOwner, Vnode)>,
    /// How many there are.
    count: usize,
    /// Woken whenever a lock is given up.
    channel: Channel,
}

impl Locks {
    pub(crate) fn new(channel: Channel) -> Self {
        Self { held: BTreeMap::new(), owned: BTreeSet::new(), count: 0, channel }
    }

    /// A lock that keeps `wanted` from being taken.
    pub(crate) fn conflict(&self, file: Vnode, wanted: &Lock) -> Option<Lock> {
        let first = (file, wanted.family, LockOwner::Description(0));
        let last = (file, wanted.family, LockOwner::Process(u32::MAX));
        self.held.range(first..=last).filter(|((_, _, owner), _)| *owner != wanted.owner).find_map(
            |((_, family, owner), ranges)| {
                let found = overlapping(ranges, wanted.start, wanted.end)
                    .find(|(_, _, exclusive)| wanted.exclusive || *exclusive);
                let (start, end, exclusive) = found?;
                Some(Lock { family: *family, owner: *owner, exclusive, start, end })
            },
        )
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Woken whenever a lock is given up.
    pub(crate) fn channel(&self) -> Channel {
        self.channel
    }

    /// The files on which an owner has locks.
    pub(crate) fn files_of(&self, owner: LockOwner) -> Vec<Vnode> {
        let first = Vnode { volume: VolumeId(0), node: NodeId(0) };
        let owned = self.owned.range((owner, first)..);
        owned.take_while(|(other, _)| *other == owner).map(|(_, file)| *file).collect()
    }

    /// Takes a lock that conflicts with none; whether it replaces one of the owner's, which may have
    /// been stronger.
    ///
    /// # Errors
    /// ENOLCK where there are too many.
    pub(crate) fn take(&mut self, file: Vnode, wanted: Lock) -> Result<bool, Errno> {
        // One lock can split another and stay itself.
        if self.count + 2 > LOCKS_MAX {
            return Err(Errno::ENOLCK);
        }
        let replaces = self.clear(file, &wanted);
        self.put(file, wanted);
        Ok(replaces)
    }

    /// Takes what `range`'s owner holds out of the range; whether anything was.
    pub(crate) fn clear(&mut self, file: Vnode, range: &Lock) -> bool {
        let key = (file, range.family, range.owner);
        let Some(ranges) = self.held.get_mut(&key) else { return false };
        let cut: Vec<_> = overlapping(ranges, range.start, range.end).collect();
        for (start, end, exclusive) in &cut {
            ranges.remove(start);
            self.count -= 1;
            if *start < range.start {
                ranges.insert(*start, (range.start, *exclusive));
                self.count += 1;
            }
            if range.end < *end {
                ranges.insert(range.end, (*end, *exclusive));
                self.count += 1;
            }
        }
        if ranges.is_empty() {
            self.held.remove(&key);
            let other = LockFamily::ALL.iter().any(|family| self.held.contains_key(&(file, *family, key.2)));
            if !other {
                self.owned.remove(&(key.2, file));
            }
        }
        !cut.is_empty()
    }

    /// Adds a lock where the owner has none, joining it with equal ones beside it.
    fn put(&mut self, file: Vnode, mut lock: Lock) {
        let ranges = self.held.entry((file, lock.family, lock.owner)).or_default();
        self.owned.insert((lock.owner, file));
        let before = ranges.range(..lock.start).next_back().map(|(start, entry)| (*start, *entry));
        if let Some((start, entry)) = before
            && entry == (lock.start, lock.exclusive)
        {
            ranges.remove(&start);
            (lock.start, self.count) = (start, self.count - 1);
        }
        if let Some((end, exclusive)) = ranges.get(&lock.end).copied()
            && exclusive == lock.exclusive
        {
            ranges.remove(&lock.end);
            (lock.end, self.count) = (end, self.count - 1);
        }
        ranges.insert(lock.start, (lock.end, lock.exclusive));
        self.count += 1;
    }
}

/// The ranges that have bytes from `start` to before `end`: first byte, one past the last, exclusive.
fn overlapping(ranges: &Ranges, start: u64, end: u64) -> impl Iterator<Item = (u64, u64, bool)> + '_ {
    let first = ranges.range(..=start).next_back().map_or(start, |(first, _)| *first);
    let known = ranges.range(first..).map(|(first, (end, exclusive))| (*first, *end, *exclusive));
    known.skip_while(move |(_, stop, _)| *stop <= start).take_while(move |(first, _, _)| *first < end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Vnode = Vnode { volume: VolumeId(0), node: NodeId(1) };

    fn range(owner: u32, exclusive: bool, start: u64, end: u64) -> Lock {
        let owner = LockOwner::Process(owner);
        Lock { family: LockFamily::Range, owner, exclusive, start, end }
    }

    #[test]
    fn ranges_split_join_and_conflict() {
        let mut locks = Locks::new(Channel::Console);
        locks.put(FILE, range(1, true, 0, 100));
        assert!(locks.clear(FILE, &range(1, true, 40, 60)));
        assert_eq!(locks.conflict(FILE, &range(2, false, 40, 60)), None);
        assert_eq!(locks.conflict(FILE, &range(2, false, 39, 60)), Some(range(1, true, 0, 40)));
        assert_eq!(locks.conflict(FILE, &range(1, true, 0, 100)), None, "one's own never conflict");
        locks.put(FILE, range(1, true, 40, 60));
        assert_eq!(locks.conflict(FILE, &range(2, false, 50, 51)), Some(range(1, true, 0, 100)));
        assert_eq!(locks.count, 1);
        assert!(locks.clear(FILE, &range(1, true, 0, u64::MAX)));
        assert!(locks.held.is_empty() && locks.owned.is_empty() && locks.count == 0);
    }

    #[test]
    fn readers_share() {
        let mut locks = Locks::new(Channel::Console);
        locks.put(FILE, range(1, false, 0, 10));
        assert_eq!(locks.conflict(FILE, &range(2, false, 0, 10)), None);
        assert!(locks.conflict(FILE, &range(2, true, 9, 10)).is_some());
    }
}
