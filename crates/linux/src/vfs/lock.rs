//! Advisory locks: flock(2) on whole files, fcntl(2) on ranges.

use std::collections::BTreeMap;

use super::vnode::Vnode;
use crate::errno::Errno;
use crate::wait::Channel;

/// Locks that may be held at once: each takes memory, and there could be one a byte.
const LOCKS_MAX: usize = 65_536;

/// Whose a lock is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LockOwner {
    /// An open file's, by its description's number (flock, F_OFD_*).
    Description(u32),
    /// A process's (F_SETLK).
    Process(u32),
}

/// The two families, which do not see each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LockFamily {
    /// flock(2).
    Whole,
    /// fcntl(2).
    Range,
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

impl Lock {
    /// Whether the two cannot be held at once.
    fn conflicts(&self, other: &Self) -> bool {
        self.family == other.family
            && self.owner != other.owner
            && (self.exclusive || other.exclusive)
            && self.start < other.end
            && other.start < self.end
    }
}

/// All locks of a machine.
#[derive(Clone, Debug)]
pub(crate) struct Locks {
    held: BTreeMap<Vnode, Vec<Lock>>,
    /// Woken whenever a lock is given up.
    channel: Channel,
}

impl Locks {
    pub(crate) fn new(channel: Channel) -> Self {
        Self { held: BTreeMap::new(), channel }
    }

    /// A lock that keeps `wanted` from being taken.
    pub(crate) fn conflict(&self, file: Vnode, wanted: &Lock) -> Option<Lock> {
        self.held.get(&file)?.iter().find(|held| held.conflicts(wanted)).copied()
    }

    /// Woken whenever a lock is given up.
    pub(crate) fn channel(&self) -> Channel {
        self.channel
    }

    /// The files on which there are locks.
    pub(crate) fn files(&self) -> Vec<Vnode> {
        self.held.keys().copied().collect()
    }

    /// Takes a lock that conflicts with none; whether it replaces one of the owner's, which may have
    /// been stronger.
    ///
    /// # Errors
    /// ENOLCK where there are too many.
    pub(crate) fn take(&mut self, file: Vnode, wanted: Lock) -> Result<bool, Errno> {
        // One lock can split another and stay itself.
        if self.held.values().map(Vec::len).sum::<usize>() + 2 > LOCKS_MAX {
            return Err(Errno::ENOLCK);
        }
        let replaces = self.clear(file, &wanted);
        self.put(file, wanted);
        Ok(replaces)
    }

    /// Takes what `range`'s owner holds out of the range; whether anything was.
    pub(crate) fn clear(&mut self, file: Vnode, range: &Lock) -> bool {
        let Some(locks) = self.held.get_mut(&file) else { return false };
        let mut kept = Vec::with_capacity(locks.len() + 1);
        let mut cleared = false;
        for lock in locks.iter().copied() {
            let same = lock.family == range.family && lock.owner == range.owner;
            if !same || lock.end <= range.start || range.end <= lock.start {
                kept.push(lock);
                continue;
            }
            cleared = true;
            if lock.start < range.start {
                kept.push(Lock { end: range.start, ..lock });
            }
            if range.end < lock.end {
                kept.push(Lock { start: range.end, ..lock });
            }
        }
        *locks = kept;
        if locks.is_empty() {
            self.held.remove(&file);
        }
        cleared
    }

    fn put(&mut self, file: Vnode, lock: Lock) {
        let locks = self.held.entry(file).or_default();
        let joins = |other: &Lock| {
            other.family == lock.family
                && other.owner == lock.owner
                && other.exclusive == lock.exclusive
                && other.start <= lock.end
                && lock.start <= other.end
        };
        let mut lock = lock;
        for other in locks.iter().filter(|other| joins(other)) {
            lock.start = lock.start.min(other.start);
            lock.end = lock.end.max(other.end);
        }
        locks.retain(|other| !joins(other));
        locks.push(lock);
        locks.sort_by_key(|lock| (lock.start, lock.end));
    }
}

#[cfg(test)]
mod tests {
    use super::super::vnode::{NodeId, VolumeId};
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
        assert_eq!(locks.held[&FILE], [range(1, true, 0, 100)]);
        assert!(locks.clear(FILE, &range(1, true, 0, u64::MAX)));
        assert!(locks.held.is_empty());
    }

    #[test]
    fn readers_share() {
        let mut locks = Locks::new(Channel::Console);
        locks.put(FILE, range(1, false, 0, 10));
        assert_eq!(locks.conflict(FILE, &range(2, false, 0, 10)), None);
        assert!(locks.conflict(FILE, &range(2, true, 9, 10)).is_some());
    }
}
