//! Futexes (futex(2)): queues of tasks by word.

use std::collections::BTreeMap;

use crate::ids::TaskId;
use crate::space::AreaSource;
use crate::space::Space;
use crate::vfs::Vnode;

/// What a futex word is known by: its place in private memory, or in what is mapped there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Key {
    /// Address space number and address.
    Private(u32, u32),
    /// A shared object's number and the offset in it.
    Shared(u64, u64),
    /// A file's number and the offset in it.
    File(Vnode, u64),
}

impl Key {
    /// The key of the word at `address`; `private` if the program says that it is not shared.
    pub(crate) fn new(space: &Space, address: u32, private: bool) -> Self {
        let own = Self::Private(space.id.number(), address);
        if private {
            return own;
        }
        match space.areas.at(address) {
            Some((start, area)) if area.shared => {
                let within = u64::from(address - start);
                match area.backing {
                    AreaSource::Shared { object, offset } => Self::Shared(object, offset + within),
                    AreaSource::File { node, offset } => Self::File(node, offset + within),
                    _ => own,
                }
            }
            _ => own,
        }
    }
}

/// A task that waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Waiter {
    pub(crate) key: Key,
    pub(crate) task: TaskId,
    /// Wakes with none of these bits pass it by.
    pub(crate) bits: u32,
}

/// All waiting tasks of a machine.
#[derive(Clone, Default, Debug)]
pub(crate) struct Futexes {
    /// Who waits for each word, oldest first: by the number of the wait.
    queues: BTreeMap<(Key, u64), (TaskId, u32)>,
    /// Where each task is in them.
    places: BTreeMap<TaskId, (Key, u64)>,
    /// The last number that a wait got.
    last: u64,
}

impl Futexes {
    /// Whether `task` waits.
    pub(crate) fn holds(&self, task: TaskId) -> bool {
        self.places.contains_key(&task)
    }

    /// Queues a task, which does not wait yet.
    pub(crate) fn push(&mut self, Waiter { key, task, bits }: Waiter) {
        self.last += 1;
        self.queues.insert((key, self.last), (task, bits));
        self.places.insert(task, (key, self.last));
    }

    /// Takes a task off; says whether it was there.
    pub(crate) fn remove(&mut self, task: TaskId) -> bool {
        let place = self.places.remove(&task);
        place.is_some_and(|place| self.queues.remove(&place).is_some())
    }

    /// Takes the oldest task that waits for `key` with one of `bits`.
    pub(crate) fn take(&mut self, key: Key, bits: u32) -> Option<TaskId> {
        let task = self.waiters(key).find(|waiter| waiter.bits & bits != 0)?.task;
        self.remove(task);
        Some(task)
    }

    /// The oldest task that waits for `key`.
    pub(crate) fn first(&self, key: Key) -> Option<TaskId> {
        self.waiters(key).next().map(|waiter| waiter.task)
    }

    /// Whether more than one task waits for `key`.
    pub(crate) fn is_contended(&self, key: Key) -> bool {
        self.waiters(key).nth(1).is_some()
    }

    /// Moves up to `count` tasks from one word's queue to the end of another's.
    pub(crate) fn requeue(&mut self, from: Key, to: Key, count: u32) -> u32 {
        let moved: Vec<Waiter> = self.waiters(from).take(count as usize).collect();
        for waiter in &moved {
            self.remove(waiter.task);
            self.push(Waiter { key: to, ..*waiter });
        }
        moved.len() as u32
    }

    fn waiters(&self, key: Key) -> impl Iterator<Item = Waiter> + '_ {
        let queue = self.queues.range((key, 0)..=(key, u64::MAX));
        queue.map(move |(_, (task, bits))| Waiter { key, task: *task, bits: *bits })
    }
}
