//! What open files change: states, each shared by the objects that hold its number, and what all
//! objects of one family have in common.

use std::any::Any;
use std::fmt::Debug;
use std::ops::{Index, IndexMut};

use crate::arena::{Arena, Id};

/// A pipe's bytes, a socket, a terminal... It names other states by their numbers, never by
/// reference, so that all of them can be copied at once.
pub(crate) trait State: Any + Debug + Send + Sync + Duplicate {
    /// Bytes of the host's memory that the guest can make it hold, beyond its own size.
    fn held_bytes(&self) -> u64;
}

/// What every state can do that is `Clone`.
pub(crate) trait Duplicate {
    /// A copy, for a snapshot.
    fn duplicate(&self) -> Box<dyn State>;
}

impl<T: State + Clone> Duplicate for T {
    fn duplicate(&self) -> Box<dyn State> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn State> {
    fn clone(&self) -> Self {
        (**self).duplicate()
    }
}

/// All states of a machine, by number, with a count of holders each.
#[derive(Clone, Default)]
pub(crate) struct States(Arena<Box<dyn State>>);

fn untyped<T>(id: Id<T>) -> Id<Box<dyn State>> {
    Id::from_number(id.number())
}

impl States {
    /// Adds a state with one holder.
    pub(crate) fn insert<T: State>(&mut self, state: T) -> Id<T> {
        Id::from_number(self.0.insert(Box::new(state)).number())
    }

    /// Adds a holder.
    pub(crate) fn hold<T: State>(&mut self, id: Id<T>) {
        self.0.hold(untyped(id));
    }

    /// Takes a holder away, and gives the state back when that was the last.
    pub(crate) fn release<T: State>(&mut self, id: Id<T>) -> Option<T> {
        let state: Box<dyn Any> = self.0.release(untyped(id))?;
        state.downcast().ok().map(|state| *state)
    }

    /// All states of one kind in order of their numbers.
    pub(crate) fn iter<T: State>(&self) -> impl Iterator<Item = (Id<T>, &T)> {
        self.0.iter().filter_map(|(id, state)| {
            let state: &dyn Any = &**state;
            Some((Id::from_number(id.number()), state.downcast_ref()?))
        })
    }

    /// Bytes that all states say they hold.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.0.iter().map(|(_, state)| state.held_bytes()).sum()
    }
}

/// A number of a `T` is made by [`States::insert`] of one, so any other state there is a mistake of
/// this crate.
impl<T: State> Index<Id<T>> for States {
    type Output = T;

    fn index(&self, id: Id<T>) -> &T {
        let state: &dyn Any = &*self.0[untyped(id)];
        match state.downcast_ref() {
            Some(state) => state,
            None => unreachable!("state {id:?} is of another kind"),
        }
    }
}

impl<T: State> IndexMut<Id<T>> for States {
    fn index_mut(&mut self, id: Id<T>) -> &mut T {
        let state: &mut dyn Any = &mut *self.0[untyped(id)];
        match state.downcast_mut() {
            Some(state) => state,
            None => unreachable!("state {id:?} is of another kind"),
        }
    }
}

/// What all objects of a family share: the names of sockets, the console of terminals...
pub(crate) trait Family: Any + Send {
    /// What a snapshot keeps of it: all but what is the host's.
    fn keep(&self) -> Kept;

    /// Makes it what it was when `kept` was kept, which is its own; what is the host's stays.
    fn put_back(&mut self, kept: &Kept);
}

/// What a snapshot keeps of a family: of a type that the family knows.
pub(crate) type Kept = Box<dyn Any + Send + Sync>;

/// The families that have been used, one of each type.
#[derive(Default)]
pub(crate) struct Families(Vec<Box<dyn Family>>);

impl Families {
    /// What a snapshot keeps of all that have been used.
    pub(crate) fn keep(&self) -> Vec<Kept> {
        self.0.iter().map(|family| family.keep()).collect()
    }

    /// Makes all of them what they were; those used since are as if they had not been.
    pub(crate) fn put_back(&mut self, kept: &[Kept]) {
        // Families come and never go.
        self.0.truncate(kept.len());
        for (family, kept) in self.0.iter_mut().zip(kept) {
            family.put_back(kept);
        }
    }

    /// Puts a family in its place, for one that does not begin with its default.
    pub(crate) fn insert<T: Family>(&mut self, family: T) {
        self.0.push(Box::new(family));
    }

    /// What the family has in common, once it has been used.
    pub(crate) fn get<T: Family>(&self) -> Option<&T> {
        self.0.iter().find_map(|family| (&**family as &dyn Any).downcast_ref())
    }

    /// What the family has in common, to change.
    pub(crate) fn get_mut<T: Family + Default>(&mut self) -> &mut T {
        let index = self.0.iter().position(|family| (&**family as &dyn Any).is::<T>());
        let index = index.unwrap_or_else(|| {
            self.0.push(Box::new(T::default()));
            self.0.len() - 1
        });
        match (&mut *self.0[index] as &mut dyn Any).downcast_mut() {
            Some(family) => family,
            None => unreachable!("a family is of the type that it was found by"),
        }
    }
}
