//! Whom an object belongs to, and who may use it.

use crate::errno::Errno;
use crate::task::Credentials;

/// Bits of rights as the last of an octal mode.
pub(crate) const MAY_READ: u32 = 4;
pub(crate) const MAY_WRITE: u32 = 2;

/// Who asks, and when.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) credentials: Credentials,
    pub(crate) process: u32,
    /// Seconds since 1970.
    pub(crate) now: u64,
}

impl Caller {
    pub(crate) const fn is_superuser(&self) -> bool {
        self.credentials.euid == 0
    }

    fn is_in_group(&self, group: u32) -> bool {
        self.credentials.egid == group || self.credentials.groups.contains(&group)
    }
}

/// `struct ipc_perm`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct IpcPermissions {
    pub(crate) key: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) creator_uid: u32,
    pub(crate) creator_gid: u32,
    /// The nine bits, and for segments those of SHM_DEST and SHM_LOCKED.
    pub(crate) mode: u32,
}

impl IpcPermissions {
    pub(crate) const fn new(caller: &Caller, key: u32, flags: u32) -> Self {
        let (uid, gid) = (caller.credentials.euid, caller.credentials.egid);
        Self { key, uid, gid, creator_uid: uid, creator_gid: gid, mode: flags & 0o777 }
    }

    /// EACCES unless the caller has all rights of `wanted`.
    pub(crate) fn check(&self, caller: &Caller, wanted: u32) -> Result<(), Errno> {
        let own = caller.credentials.euid;
        let granted = match () {
            () if own == self.creator_uid || own == self.uid => self.mode >> 6,
            () if caller.is_in_group(self.creator_gid) || caller.is_in_group(self.gid) => self.mode >> 3,
            () => self.mode,
        };
        if wanted & !granted & 7 == 0 || caller.is_superuser() { Ok(()) } else { Err(Errno::EACCES) }
    }

    /// EPERM unless the caller may change and remove the object.
    pub(crate) fn check_owner(&self, caller: &Caller) -> Result<(), Errno> {
        let own = caller.credentials.euid;
        let is_owner = own == self.creator_uid || own == self.uid;
        if is_owner || caller.is_superuser() { Ok(()) } else { Err(Errno::EPERM) }
    }
}

/// An object of a table.
pub(crate) trait IpcObject {
    fn permissions(&self) -> &IpcPermissions;
    fn permissions_mut(&mut self) -> &mut IpcPermissions;
    /// Bytes of the host's memory that it takes.
    fn held_bytes(&self) -> u64;
}
