//! Objects of one kind by number and key.

use super::permissions::{Caller, IpcObject};
use crate::errno::Errno;

/// Flags of shmget(2), semget(2) and msgget(2).
const IPC_CREAT: u32 = 0o1000;
const IPC_EXCL: u32 = 0o2000;
/// The key of objects that nobody finds.
const IPC_PRIVATE: u32 = 0;

/// A number is an index below this, and above it how many objects there were before.
const INDICES: u32 = 1 << 15;
const SEQUENCES: u32 = 1 << 16;

#[derive(Clone, Debug)]
struct Slot<T> {
    sequence: u32,
    object: T,
}

/// Objects of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Table<T> {
    slots: Vec<Option<Slot<T>>>,
    /// How many there have been.
    made: u32,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), made: 0 }
    }
}

impl<T: IpcObject> Table<T> {
    const fn id(index: usize, sequence: u32) -> u32 {
        sequence * INDICES + index as u32
    }

    /// The object with a number; `None` where there is none any more.
    pub(crate) fn get(&self, id: u32) -> Option<&T> {
        let slot = self.slots.get((id % INDICES) as usize)?.as_ref()?;
        (slot.sequence == id / INDICES).then_some(&slot.object)
    }

    /// The object with a number, to change.
    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        let slot = self.slots.get_mut((id % INDICES) as usize)?.as_mut()?;
        (slot.sequence == id / INDICES).then_some(&mut slot.object)
    }

    /// The number of the object at an index (SHM_STAT and its like).
    pub(crate) fn at(&self, index: u32) -> Option<u32> {
        let slot = self.slots.get(index as usize)?.as_ref()?;
        Some(Self::id(index as usize, slot.sequence))
    }

    /// All objects with their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let slot = slot.as_ref()?;
            Some((Self::id(index, slot.sequence), &slot.object))
        })
    }

    /// All objects, to change.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().flatten().map(|slot| &mut slot.object)
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    /// The highest index in use; 0 where there is none.
    pub(crate) fn highest(&self) -> u32 {
        self.slots.iter().rposition(Option::is_some).unwrap_or(0) as u32
    }

    /// The number of the object with a key that the flags of a *get* call ask for; `None` for one that is to
    /// be made.
    ///
    /// # Errors
    /// ENOENT, EEXIST, EACCES.
    pub(crate) fn find(&self, caller: &Caller, key: u32, flags: u32) -> Result<Option<u32>, Errno> {
        if key == IPC_PRIVATE {
            return Ok(None);
        }
        match self.iter().find(|(_, object)| object.permissions().key == key) {
            None if flags & IPC_CREAT == 0 => Err(Errno::ENOENT),
            None => Ok(None),
            Some(_) if flags & (IPC_CREAT | IPC_EXCL) == IPC_CREAT | IPC_EXCL => Err(Errno::EEXIST),
            Some((id, object)) => {
                let wanted = flags >> 6 | flags >> 3 | flags;
                object.permissions().check(caller, wanted & 7)?;
                Ok(Some(id))
            }
        }
    }

    /// Adds an object, unless there are `most`; gives its number.
    ///
    /// # Errors
    /// ENOSPC.
    pub(crate) fn insert(&mut self, object: T, most: usize) -> Result<u32, Errno> {
        if self.len() >= most {
            return Err(Errno::ENOSPC);
        }
        let index = self.slots.iter().position(Option::is_none).unwrap_or(self.slots.len());
        if index == self.slots.len() {
            self.slots.push(None);
        }
        let sequence = self.made % SEQUENCES;
        self.made = self.made.wrapping_add(1);
        self.slots[index] = Some(Slot { sequence, object });
        Ok(Self::id(index, sequence))
    }

    /// Takes an object out.
    pub(crate) fn remove(&mut self, id: u32) -> Option<T> {
        self.get(id)?;
        self.slots.get_mut((id % INDICES) as usize)?.take().map(|slot| slot.object)
    }

    pub(super) fn held_bytes(&self) -> u64 {
        self.slots.iter().flatten().map(|slot| slot.object.held_bytes()).sum()
    }
}
