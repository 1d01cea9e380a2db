//! Descriptor tables: small numbers for open file descriptions.

use super::description::Description;
use crate::arena::Id;
use crate::errno::Errno;
use crate::vfs::Vnode;

/// An entry of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FileDescriptor {
    pub(crate) description: Id<Description>,
    /// The description's file.
    pub(crate) file: Vnode,
    pub(crate) close_on_exec: bool,
}

/// A table of descriptors (shared by CLONE_FILES).
#[derive(Clone, Default, Debug)]
pub(crate) struct FileDescriptors {
    slots: Vec<Option<FileDescriptor>>,
}

impl FileDescriptors {
    /// The entry of `fd`; EBADF where there is none.
    pub(crate) fn get(&self, fd: u32) -> Result<FileDescriptor, Errno> {
        self.slots.get(fd as usize).copied().flatten().ok_or(Errno::EBADF)
    }

    /// The entry of `fd`, to change its flags.
    pub(crate) fn get_mut(&mut self, fd: u32) -> Result<&mut FileDescriptor, Errno> {
        self.slots.get_mut(fd as usize).and_then(Option::as_mut).ok_or(Errno::EBADF)
    }

    /// The lowest free number at or above `from` and below `limit`; EMFILE where all are taken.
    pub(crate) fn free(&self, from: u32, limit: u32) -> Result<u32, Errno> {
        let taken = |fd: &u32| self.slots.get(*fd as usize).is_some_and(Option::is_some);
        (from..limit).find(|fd| !taken(fd)).ok_or(Errno::EMFILE)
    }

    /// Puts an entry at `fd`, and gives back the one that was there.
    pub(crate) fn set(&mut self, fd: u32, descriptor: FileDescriptor) -> Option<FileDescriptor> {
        let index = fd as usize;
        if self.slots.len() <= index {
            self.slots.resize(index + 1, None);
        }
        self.slots[index].replace(descriptor)
    }

    /// Takes the entry of `fd` out; EBADF where there is none.
    pub(crate) fn take(&mut self, fd: u32) -> Result<FileDescriptor, Errno> {
        self.slots.get_mut(fd as usize).and_then(Option::take).ok_or(Errno::EBADF)
    }

    /// All entries by number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, FileDescriptor)> {
        self.slots.iter().enumerate().filter_map(|(fd, slot)| slot.map(|slot| (fd as u32, slot)))
    }

    /// One more than the highest number in use.
    pub(crate) fn end(&self) -> u32 {
        self.slots.len() as u32
    }
}
