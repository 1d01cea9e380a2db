//! A folder of the host, as the guest may see it: one trait, behind which nothing outside the
//! folder can be reached.
//!
//! Paths are relative to the folder: names joined by `/`, the empty path for the folder itself.
//! No operation follows a symbolic link, at any component: links are read as text, and resolved
//! in the guest's own view by the layer above.

use std::fmt::Debug;
use std::sync::Arc;

use super::attributes::{DeviceNumber, FileType, Timestamp};
use crate::errno::Errno;

/// What the host tells of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostMetadata {
    /// The type of the file.
    pub file_type: FileType,
    /// The twelve permission bits.
    pub mode: u32,
    /// Links to the file on the host.
    pub links: u32,
    /// Bytes of content; of a link, of its target.
    pub size: u64,
    /// 512-byte blocks in use.
    pub blocks: u64,
    /// Last read.
    pub accessed: Timestamp,
    /// Last write.
    pub modified: Timestamp,
    /// Last change.
    pub changed: Timestamp,
    /// Tells two names of one file: device and inode number on the host.
    pub identity: (u64, u64),
    /// User and group that the guest sees; `None` for those of the machine's first process, which
    /// is what files of this host's users get.
    pub owner: Option<(u32, u32)>,
    /// What a device node stands for; 0:0 where the guest is not told.
    pub device: DeviceNumber,
}

/// An entry of a host folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostEntry {
    /// The name, as bytes.
    pub name: Vec<u8>,
    /// What the host tells of it, symbolic links not followed.
    pub metadata: HostMetadata,
}

/// How to open a regular file of the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HostAccess {
    /// For reading, as it is.
    Read,
    /// For reading and writing, as it is.
    Write,
    /// For reading and writing; it must not exist yet, and gets these permission bits.
    Create(u32),
}

/// Attributes to set on a host file; `None` leaves one as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HostChange {
    /// Permission bits.
    pub mode: Option<u32>,
    /// Last read.
    pub accessed: Option<Timestamp>,
    /// Last write.
    pub modified: Option<Timestamp>,
}

/// An open regular file of the host.
pub trait HostFile: Send + Sync + Debug {
    /// Reads at `offset`; 0 bytes at the end.
    ///
    /// # Errors
    /// The host's, as an errno.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno>;

    /// Writes at `offset`.
    ///
    /// # Errors
    /// The host's, as an errno.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<usize, Errno>;

    /// Cuts or grows the file.
    ///
    /// # Errors
    /// The host's, as an errno.
    fn resize(&self, size: u64) -> Result<(), Errno>;

    /// What the host tells of it now.
    ///
    /// # Errors
    /// The host's, as an errno.
    fn metadata(&self) -> Result<HostMetadata, Errno>;
}

/// Reads from `offset` until the buffer is full or the file ends; says how many bytes.
pub(super) fn fill(file: &dyn HostFile, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(offset + done as u64, &mut buffer[done..])? {
            0 => break,
            read => done += read,
        }
    }
    Ok(done)
}

/// A folder of the host that a machine was given.
///
/// Every implementation must refuse to leave the folder: no `..`, no absolute path, no symbolic
/// link at any component, and no devices, pipes or sockets opened. All errors are the errno that
/// the guest gets.
pub trait HostFolder: Send + Sync + Debug {
    /// What the host tells of the file at `path`.
    ///
    /// # Errors
    /// ENOENT, ENOTDIR, EACCES and the like; ELOOP where a component is a symbolic link.
    fn metadata(&self, path: &[u8]) -> Result<HostMetadata, Errno>;

    /// The entries of the folder at `path`, without `.` and `..`, in any order.
    ///
    /// # Errors
    /// As [`HostFolder::metadata`].
    fn entries(&self, path: &[u8]) -> Result<Vec<HostEntry>, Errno>;

    /// The text of the symbolic link at `path`.
    ///
    /// # Errors
    /// As [`HostFolder::metadata`]; EINVAL where it is no link.
    fn read_link(&self, path: &[u8]) -> Result<Vec<u8>, Errno>;

    /// Opens the regular file at `path`.
    ///
    /// # Errors
    /// As [`HostFolder::metadata`]; EACCES where it is no regular file.
    fn open(&self, path: &[u8], access: HostAccess) -> Result<Arc<dyn HostFile>, Errno>;

    /// Makes a folder.
    ///
    /// # Errors
    /// The host's, as an errno.
    fn make_folder(&self, path: &[u8], mode: u32) -> Result<(), Errno>;

    /// Makes a symbolic link that holds `target`.
    ///
    /// # Errors
    /// The host's, as an errno.
    fn make_link(&self, path: &[u8], target: &[u8]) -> Result<(), Errno>;

    /// Gives the file at `existing` (not followed) the further name `path`.
    ///
    /// # Errors
    /// The host's, as an errno.
    fn link(&self, existing: &[u8], path: &[u8]) -> Result<(), Errno>;

    /// Takes a name away: an empty folder's if `folder`, else any other file's.
    ///
    /// # Errors
    /// The host's, as an errno.
    fn remove(&self, path: &[u8], folder: bool) -> Result<(), Errno>;

    /// Moves a name, replacing what the new one named, or swapping the two if `exchange`.
    ///
    /// # Errors
    /// The host's, as an errno.
    fn rename(&self, from: &[u8], to: &[u8], exchange: bool) -> Result<(), Errno>;

    /// Sets permission bits and times.
    ///
    /// # Errors
    /// The host's, as an errno.
    fn change(&self, path: &[u8], change: &HostChange) -> Result<(), Errno>;

    /// Bytes in all and bytes free where the folder is.
    ///
    /// # Errors
    /// The host's, as an errno.
    fn room(&self) -> Result<(u64, u64), Errno>;
}

/// `folder/name`.
pub(crate) fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(folder.len() + 1 + name.len());
    path.extend_from_slice(folder);
    if !folder.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}
