//! What a file system is to the layer that resolves paths: numbered nodes and operations on them.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use super::archive::ArchiveError;
use super::attributes::{Attributes, Change, DeviceNumber, FileType, Owner, Timestamp};
use super::content::Content;
use super::folder::HostFile;
use super::view::View;
use super::vnode::{NodeId, Vnode};
use crate::errno::Errno;

/// A name in a directory: bytes without `/` and NUL, at most [`NAME_MAX`].
pub(crate) type Name = Arc<[u8]>;

/// Longest name of a directory entry, in bytes.
pub(crate) const NAME_MAX: usize = 255;

/// A file to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewNode<'a> {
    pub(crate) file_type: FileType,
    pub(crate) mode: u32,
    pub(crate) owner: Owner,
    pub(crate) device: DeviceNumber,
    /// The text of a symbolic link.
    pub(crate) target: &'a [u8],
}

/// An entry of a directory, without `.` and `..`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct DirectoryEntry {
    pub(crate) name: Name,
    pub(crate) node: NodeId,
    pub(crate) file_type: FileType,
}

/// Where a symbolic link leads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum LinkTarget {
    /// A path to resolve.
    Text(Vec<u8>),
    /// A link of `/proc` that leads to a file whatever its name: the file, and the text that
    /// `readlink` gives.
    Jump(Vnode, Vec<u8>),
}

/// What `rename` does where the new name exists (rename(2), `renameat2`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RenameMode {
    /// Replace it.
    Replace,
    /// Fail with EEXIST.
    NoReplace,
    /// Swap the two.
    Exchange,
}

/// What `fallocate` does with a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Allocation {
    /// Make sure of room, and grow the file to the range's end unless `keep_size`.
    Reserve {
        /// The size stays.
        keep_size: bool,
    },
    /// Zero the range, and give its room back.
    PunchHole,
    /// Zero the range, growing the file unless `keep_size`.
    Zero {
        /// The size stays.
        keep_size: bool,
    },
}

/// The figures of statfs(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct VolumeStatistics {
    /// The file system's magic number.
    pub(crate) magic: u32,
    /// Bytes in all, in blocks of 4096.
    pub(crate) blocks: u64,
    /// Blocks that are free.
    pub(crate) free_blocks: u64,
    /// Inodes in all.
    pub(crate) files: u64,
    /// Inodes that are free.
    pub(crate) free_files: u64,
}

/// A file system. Nodes live as long as they have a name or are open.
///
/// Callers have checked permissions, names (not empty, not `.` or `..`, not too long) and that a
/// `directory` is one.
pub(crate) trait Volume: Send + Sync + Debug {
    /// The top directory.
    fn root(&self) -> NodeId;

    /// The name of the kind of file system, as `/proc/mounts` has it.
    fn kind(&self) -> &'static str;

    /// The file that `name` in `directory` names.
    fn lookup(&mut self, view: &View<'_>, directory: NodeId, name: &[u8]) -> Result<NodeId, Errno>;

    /// The directory that holds the node and its name there; `None` for the root and what has no
    /// name any more.
    fn place(&self, node: NodeId) -> Option<(NodeId, Name)>;

    /// What `stat` tells.
    fn attributes(&mut self, view: &View<'_>, node: NodeId) -> Result<Attributes, Errno>;

    /// Sets attributes, the size included.
    fn change(&mut self, view: &View<'_>, node: NodeId, change: &Change) -> Result<(), Errno>;

    /// Where a symbolic link leads.
    fn link_target(&mut self, view: &View<'_>, node: NodeId) -> Result<LinkTarget, Errno>;

    /// All entries, in an order that depends only on the directory's history.
    fn list(&mut self, view: &View<'_>, directory: NodeId) -> Result<Vec<DirectoryEntry>, Errno>;

    /// Makes a file; EEXIST where the name is taken.
    fn create(
        &mut self,
        view: &View<'_>,
        directory: NodeId,
        name: &[u8],
        new: &NewNode<'_>,
    ) -> Result<NodeId, Errno>;

    /// Gives a file that is not a directory one more name.
    fn link(&mut self, view: &View<'_>, node: NodeId, directory: NodeId, name: &[u8]) -> Result<(), Errno>;

    /// Takes a name away: of an empty directory if `directory_wanted`, else of anything else.
    fn remove(
        &mut self,
        view: &View<'_>,
        directory: NodeId,
        name: &[u8],
        directory_wanted: bool,
    ) -> Result<(), Errno>;

    /// Moves a name.
    fn rename(
        &mut self,
        view: &View<'_>,
        from: (NodeId, &[u8]),
        to: (NodeId, &[u8]),
        mode: RenameMode,
    ) -> Result<(), Errno>;

    /// Reads up to `buffer.len()` bytes of a regular file; 0 at its end.
    fn read(&mut self, view: &View<'_>, node: NodeId, offset: u64, buffer: &mut [u8])
    -> Result<usize, Errno>;

    /// The host's file behind a regular file, if its content is there and nowhere else.
    fn host_file(&mut self, node: NodeId) -> Option<Arc<dyn HostFile>> {
        let _ = node;
        None
    }

    /// The content of a regular file that is in memory and takes long to copy.
    fn large_content(&self, node: NodeId) -> Option<Content> {
        let _ = node;
        None
    }

    /// Writes to a regular file, growing it; fewer bytes than given where room ends.
    fn write(&mut self, view: &View<'_>, node: NodeId, offset: u64, bytes: &[u8]) -> Result<usize, Errno>;

    /// The first byte at or after `offset` (inside the file) that is in data, if `data`, or in a
    /// hole; `None` where the volume does not know of holes, or there is no more data.
    fn seek(&mut self, node: NodeId, offset: u64, data: bool) -> Option<u64> {
        let _ = (node, offset, data);
        None
    }

    /// fallocate(2).
    fn allocate(
        &mut self,
        view: &View<'_>,
        node: NodeId,
        offset: u64,
        length: u64,
        how: Allocation,
    ) -> Result<(), Errno>;

    /// Keeps the node while it is open, even without a name.
    fn retain(&mut self, node: NodeId);

    /// The inverse of [`Volume::retain`].
    fn release(&mut self, node: NodeId);

    /// Bytes of the host's memory that its files, names and attributes take.
    fn held_bytes(&self) -> u64 {
        0
    }

    /// The figures of statfs(2).
    fn statistics(&self) -> VolumeStatistics;

    /// Appends the changes to it to a tar file, their paths put under `below`; EOPNOTSUPP where it
    /// keeps none. Something is mounted on the directories in `covered`.
    fn save(&mut self, below: &[u8], covered: &BTreeSet<NodeId>, archive: &mut Vec<u8>) -> Result<(), Errno> {
        let _ = (below, covered, archive);
        Err(Errno::EOPNOTSUPP)
    }

    /// How many files [`Volume::save`] would save or tell the removal of, directories not counted.
    fn count_changes(&mut self, covered: &BTreeSet<NodeId>) -> Result<u64, Errno> {
        let _ = covered;
        Err(Errno::EOPNOTSUPP)
    }

    /// Whether it shows a folder that it leaves as it is, and keeps the guest's changes to itself.
    fn is_overlay(&self) -> bool {
        false
    }

    /// Makes the changes that a tar file holds.
    fn load(&mut self, archive: &[u8], now: Timestamp) -> Result<(), ArchiveError> {
        let _ = (archive, now);
        Err(ArchiveError::Entry { path: String::new(), errno: Errno::EOPNOTSUPP })
    }

    /// A copy for a snapshot: equal now, independent from here on (as far as the host allows).
    fn duplicate(&self) -> Box<dyn Volume>;
}
