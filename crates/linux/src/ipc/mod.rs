//! System V IPC (sysvipc(7)): shared memory, semaphores and message queues, by their keys and numbers.

mod messages;
mod permissions;
mod semaphores;
mod shared;
mod table;

pub(crate) use messages::{Message, MessageQueue, Wanted};
pub(crate) use permissions::{Caller, IpcObject, IpcPermissions, MAY_READ, MAY_WRITE};
pub(crate) use semaphores::{Attempt, Operation, SemaphoreSet, VALUE_MAX};
pub(crate) use shared::Segment;
pub(crate) use table::Table;

use crate::ids::TaskId;

/// All of a machine's objects.
#[derive(Clone, Default)]
pub(crate) struct Ipc {
    pub(crate) segments: Table<Segment>,
    pub(crate) semaphores: Table<SemaphoreSet>,
    pub(crate) queues: Table<MessageQueue>,
}

impl Ipc {
    /// A segment is attached once more: by shmat(2), or in a space that is copied.
    pub(crate) fn attach(&mut self, id: u32) {
        if let Some(segment) = self.segments.get_mut(id) {
            segment.attachments = segment.attachments.saturating_add(1);
        }
    }

    /// An attachment of a segment is gone: with the last one goes a segment that was removed.
    pub(crate) fn detach(&mut self, id: u32) {
        if let Some(segment) = self.segments.get_mut(id) {
            segment.attachments = segment.attachments.saturating_sub(1);
            self.drop_if_unused(id);
        }
    }

    /// Drops a segment that was removed and is attached nowhere.
    pub(crate) fn drop_if_unused(&mut self, id: u32) {
        if self.segments.get(id).is_some_and(|segment| segment.is_doomed() && segment.attachments == 0) {
            self.segments.remove(id);
        }
    }

    /// A task that waited for a semaphore is gone.
    pub(crate) fn forget_waiter(&mut self, task: TaskId) {
        for set in self.semaphores.values_mut() {
            set.waiters.remove(&task);
        }
    }

    /// Bytes of the host's memory that they take, the pages of segments aside.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.segments.held_bytes() + self.semaphores.held_bytes() + self.queues.held_bytes()
    }
}
