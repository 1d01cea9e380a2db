//! Futexes (futex(2)): queues of tasks by word.

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

/// All waiting tasks of a machine, oldest first.
#[derive(Clone, Default, Debug)]
pub(crate) struct Futexes {
    waiters: Vec<Waiter>,
}

impl Futexes {
    /// Whether `task` waits.
    pub(crate) fn holds(&self, task: TaskId) -> bool {
        self.waiters.iter().any(|waiter| waiter.task == task)
    }

    /// Queues a task.
    pub(crate) fn push(&mut self, waiter: Waiter) {
        self.waiters.push(waiter);
    }

    /// Takes a task off; says whether it was there.
    pub(crate) fn remove(&mut self, task: TaskId) -> bool {
        let before = self.waiters.len();
        self.waiters.retain(|waiter| waiter.task != task);
        self.waiters.len() < before
    }

    /// Takes the oldest task that waits for `key` with one of `bits`.
    pub(crate) fn take(&mut self, key: Key, bits: u32) -> Option<TaskId> {
        let index = self.waiters.iter().position(|waiter| waiter.key == key && waiter.bits & bits != 0)?;
        Some(self.waiters.remove(index).task)
    }

    /// The oldest task that waits for `key`.
    pub(crate) fn first(&self, key: Key) -> Option<TaskId> {
        self.waiters.iter().find(|waiter| waiter.key == key).map(|waiter| waiter.task)
    }

    /// How many wait for `key`.
    pub(crate) fn count(&self, key: Key) -> usize {
        self.waiters.iter().filter(|waiter| waiter.key == key).count()
    }

    /// Moves up to `count` tasks from one word's queue to another's.
    pub(crate) fn requeue(&mut self, from: Key, to: Key, count: u32) -> u32 {
        let mut moved = 0;
        let (mut kept, mut appended) = (Vec::new(), Vec::new());
        for waiter in self.waiters.drain(..) {
            if waiter.key == from && moved < count {
                appended.push(Waiter { key: to, ..waiter });
                moved += 1;
            } else {
                kept.push(waiter);
            }
        }
        kept.extend(appended);
        self.waiters = kept;
        moved
    }
}
