//! Shared kernel objects by number: what `CLONE_*` flags let tasks share is an object here, with a count.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;
use core::ops::{Index, IndexMut};
use std::collections::BTreeSet;

/// The number of an object in an [`Arena`].
pub(crate) struct Id<T> {
    number: u32,
    kind: PhantomData<fn() -> T>,
}

impl<T> Id<T> {
    /// The object of that number, which its holder has kept as such.
    pub(crate) const fn from_number(number: u32) -> Self {
        Self { number, kind: PhantomData }
    }

    /// The number, unique among the living objects of one arena.
    pub(crate) const fn number(self) -> u32 {
        self.number
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl<T> Eq for Id<T> {}
impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.number.cmp(&other.number)
    }
}
impl<T> Hash for Id<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}
impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.number)
    }
}

#[derive(Clone)]
struct Slot<T> {
    holders: u32,
    value: T,
}

/// Objects with a count of holders each. Numbers of released objects are used again, lowest first.
#[derive(Clone)]
pub(crate) struct Arena<T> {
    slots: Vec<Option<Slot<T>>>,
    /// The slots that are empty.
    free: BTreeSet<u32>,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: BTreeSet::new() }
    }
}

impl<T> Arena<T> {
    /// Adds an object with one holder.
    pub(crate) fn insert(&mut self, value: T) -> Id<T> {
        let slot = Some(Slot { holders: 1, value });
        let number = match self.free.pop_first() {
            Some(free) => {
                self.slots[free as usize] = slot;
                free as usize
            }
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        };
        Id { number: number as u32, kind: PhantomData }
    }

    /// Adds a holder.
    pub(crate) fn hold(&mut self, id: Id<T>) -> Id<T> {
        if let Some(Some(slot)) = self.slots.get_mut(id.number as usize) {
            slot.holders = slot.holders.saturating_add(1);
        }
        id
    }

    /// Takes a holder away, and gives the object back when that was the last.
    pub(crate) fn release(&mut self, id: Id<T>) -> Option<T> {
        let entry = self.slots.get_mut(id.number as usize)?;
        let slot = entry.as_mut()?;
        slot.holders -= 1;
        if slot.holders > 0 {
            return None;
        }
        self.free.insert(id.number);
        entry.take().map(|slot| slot.value)
    }

    /// What `each` makes of every object, with the same number and as many holders.
    pub(crate) fn map_mut<U>(&mut self, mut each: impl FnMut(&mut T) -> U) -> Arena<U> {
        let mut made = |slot: &mut Slot<T>| Slot { holders: slot.holders, value: each(&mut slot.value) };
        let slots = self.slots.iter_mut().map(Option::as_mut).map(|slot| slot.map(&mut made)).collect();
        Arena { slots, free: self.free.clone() }
    }

    /// As [`map_mut`](Self::map_mut), where `each` makes something of all objects that are to live.
    pub(crate) fn filter_map<U>(&self, mut each: impl FnMut(&T) -> Option<U>) -> Arena<U> {
        let mut made = |slot: &Slot<T>| Some(Slot { holders: slot.holders, value: each(&slot.value)? });
        let slots: Vec<_> = self.slots.iter().map(|slot| made(slot.as_ref()?)).collect();
        let free = slots.iter().enumerate().filter(|(_, slot)| slot.is_none());
        let free = free.map(|(number, _)| number as u32).collect();
        Arena { slots, free }
    }

    /// The objects in order of their numbers, without those.
    pub(crate) fn into_values(self) -> impl Iterator<Item = T> {
        self.slots.into_iter().flatten().map(|slot| slot.value)
    }

    /// All living objects in order of their numbers, to change.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().flatten().map(|slot| &mut slot.value)
    }

    /// How many objects live.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// How many hold the object.
    pub(crate) fn holders(&self, id: Id<T>) -> u32 {
        self.slots.get(id.number as usize).and_then(Option::as_ref).map_or(0, |slot| slot.holders)
    }

    /// The object, if it lives.
    pub(crate) fn get(&self, id: Id<T>) -> Option<&T> {
        self.slots.get(id.number as usize)?.as_ref().map(|slot| &slot.value)
    }

    /// The object, if it lives, to change.
    pub(crate) fn get_mut(&mut self, id: Id<T>) -> Option<&mut T> {
        self.slots.get_mut(id.number as usize)?.as_mut().map(|slot| &mut slot.value)
    }

    /// All living objects in order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Id<T>, &T)> {
        self.slots.iter().enumerate().filter_map(|(number, slot)| {
            slot.as_ref().map(|slot| (Id { number: number as u32, kind: PhantomData }, &slot.value))
        })
    }
}

/// Objects are held by whoever has their id, so a missing one is a mistake of this crate.
impl<T> Index<Id<T>> for Arena<T> {
    type Output = T;

    fn index(&self, id: Id<T>) -> &T {
        match &self.slots[id.number as usize] {
            Some(slot) => &slot.value,
            None => unreachable!("object {id:?} was released while it was held"),
        }
    }
}

impl<T> IndexMut<Id<T>> for Arena<T> {
    fn index_mut(&mut self, id: Id<T>) -> &mut T {
        match &mut self.slots[id.number as usize] {
            Some(slot) => &mut slot.value,
            None => unreachable!("object {id:?} was released while it was held"),
        }
    }
}
