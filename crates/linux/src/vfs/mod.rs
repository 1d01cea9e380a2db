//! The file system: volumes, where they are mounted, and how paths lead to their files.
//!
//! What a volume is to path resolution is [`Volume`]; `tree` is memory and copy-on-write overlays,
//! `passthrough` a host folder that is really written. The host is reached through the
//! [`HostFolder`]s alone that it mounts.
//!
//! Operations take a [`Caller`]: whose rights count, where paths start, what time it is.

mod archive;
mod attributes;
mod build;
mod content;
mod folder;
mod layout;
#[cfg(unix)]
mod local_folder;
mod lock;
mod mapping;
mod mount;
mod names;
mod passthrough;
mod path;
mod system;
mod tar_entry;
mod tree;
mod view;
mod vnode;
mod volume;

pub use archive::ArchiveError;
pub(crate) use attributes::{Attributes, Change, FileCredentials, MAY_EXECUTE, MAY_READ, MAY_WRITE, Owner};
pub use attributes::{DeviceNumber, FileType, Timestamp};
pub use folder::{HostAccess, HostChange, HostEntry, HostFile, HostFolder, HostMetadata};
pub(crate) use layout::{encode_entries, old_stat, stat, stat64, statfs, statfs64, statx};
#[cfg(unix)]
pub use local_folder::LocalFolder;
pub(crate) use lock::{Lock, LockFamily, LockOwner, Locks};
pub(crate) use mapping::PageSource;
pub use mount::Mount;
pub(crate) use path::{Last, Walked};
pub(crate) use system::Vfs;
pub use tar_entry::{TAR_BLOCK, TarAmendments, TarEntry};
pub(crate) use tree::{Capacity, Tree};
pub(crate) use view::{
    Caller, Location, NoProcesses, OpenFile, ProcessView, Restrictions, Setting, TextPart, View,
};
pub(crate) use vnode::{NodeId, ROOT, Vnode, VolumeId};
pub(crate) use volume::{
    Allocation, DirectoryEntry, LinkTarget, Name, NewNode, RenameMode, Volume, VolumeStatistics,
};
