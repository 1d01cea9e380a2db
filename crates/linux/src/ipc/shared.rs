//! Shared memory segments (shmget(2)).

use pentimento_memory::SharedMemory;

use super::permissions::{IpcObject, IpcPermissions};

/// A segment.
#[derive(Clone)]
pub(crate) struct Segment {
    pub(crate) permissions: IpcPermissions,
    /// Bytes, as they were asked for.
    pub(crate) size: u32,
    /// The number by which areas know the object, and the object.
    pub(crate) object: u64,
    pub(crate) memory: SharedMemory,
    /// Seconds since 1970 of the last attaching, detaching and change.
    pub(crate) attached: u64,
    pub(crate) detached: u64,
    pub(crate) changed: u64,
    /// How often it is attached in all spaces.
    pub(crate) attachments: u32,
    /// Processes: who made it, and who attached or detached last.
    pub(crate) creator: u32,
    pub(crate) last: u32,
}

impl Segment {
    /// It goes with its last attachment (IPC_RMID), and the bit of the mode that says so.
    pub(crate) const DOOMED: u32 = 0o1000;
    /// SHM_LOCK.
    pub(crate) const LOCKED: u32 = 0o2000;

    pub(crate) const fn is_doomed(&self) -> bool {
        self.permissions.mode & Self::DOOMED != 0
    }
}

impl IpcObject for Segment {
    fn permissions(&self) -> &IpcPermissions {
        &self.permissions
    }

    fn permissions_mut(&mut self) -> &mut IpcPermissions {
        &mut self.permissions
    }

    fn held_bytes(&self) -> u64 {
        size_of::<Self>() as u64 + u64::from(self.size) / crate::space::OBJECT_SHARE
    }
}
