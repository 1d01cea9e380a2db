//! All of a machine's file systems: what is mounted where, and files without a name.

use std::collections::BTreeMap;

use pentimento_memory::FrameSource;

use super::attributes::{Attributes, FileType, Owner, Timestamp};
use super::mapping::MappedFile;
use super::mount::{Mounted, Mounts};
use super::path::Walked;
use super::tree::{Capacity, Tree};
use super::view::{Caller, Location};
use super::vnode::{NodeId, ROOT, Vnode, VolumeId};
use super::volume::NAME_MAX;
use crate::account::Account;
use crate::errno::Errno;

/// A file without a name: a pipe, a socket, an event counter...
#[derive(Clone, Debug)]
pub(super) struct Anonymous {
    pub(super) attributes: Attributes,
    /// What `/proc/PID/fd` shows, before the number in brackets if that is part of it.
    label: &'static str,
    /// Open files and mappings that keep it.
    holders: u32,
}

/// Mounts, names and content. What is open lies in [`Files`](crate::objects::Files).
#[derive(Clone, Debug)]
pub(crate) struct Vfs {
    pub(super) mounts: Mounts,
    /// A volume that is mounted nowhere, for memfd_create(2).
    nameless: VolumeId,
    pub(super) anonymous: BTreeMap<NodeId, Anonymous>,
    /// The last number that an anonymous file or a channel got.
    last_number: u64,
    /// The files that are mapped shared.
    pub(super) mapped: BTreeMap<Vnode, MappedFile>,
    /// What each file system in memory may hold.
    pub(super) capacity: Capacity,
    /// Whom files of host folders belong to.
    pub(super) owner: Owner,
    /// What the machine takes of the host's memory.
    pub(crate) account: Account,
}

impl Vfs {
    /// An empty root in memory; files of host folders will belong to `owner`.
    pub(crate) fn new(owner: Owner, now: Timestamp, capacity: Capacity) -> Self {
        let mut mounts = Mounts::default();
        let in_memory = |mode| Mounted {
            volume: Box::new(Tree::new(owner, mode, now, capacity)),
            covers: None,
            path: b"/".to_vec(),
            read_only: false,
            devices: false,
            stands_in: false,
        };
        mounts.add(in_memory(0o755));
        let nameless = mounts.add(in_memory(0o777));
        Self {
            mounts,
            nameless,
            anonymous: BTreeMap::new(),
            last_number: 0,
            mapped: BTreeMap::new(),
            capacity,
            owner,
            account: Account::new(u64::MAX, &FrameSource::new()),
        }
    }

    /// Bytes of the host's memory that all volumes and files without a name take.
    pub(crate) fn held_bytes(&self) -> u64 {
        /// A file without a name.
        const ANONYMOUS: u64 = size_of::<Anonymous>() as u64 + 64;
        let volumes = self.mounts.iter().map(|(_, mounted)| mounted.volume.held_bytes());
        volumes.sum::<u64>() + self.anonymous.len() as u64 * ANONYMOUS
    }

    /// Whom files of host folders belong to.
    pub(crate) fn owner(&self) -> Owner {
        self.owner
    }

    /// A number that no anonymous file and no channel has had.
    pub(crate) fn new_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Keeps a file while somebody uses it: an open file, a mapping.
    pub(crate) fn retain(&mut self, vnode: Vnode) {
        if let Ok(mounted) = self.mounts.get_mut(vnode.volume) {
            mounted.volume.retain(vnode.node);
        } else if let Some(anonymous) = self.anonymous.get_mut(&vnode.node) {
            anonymous.holders += 1;
        }
    }

    /// Lets a file go that was retained.
    pub(crate) fn release(&mut self, vnode: Vnode) {
        if let Ok(mounted) = self.mounts.get_mut(vnode.volume) {
            mounted.volume.release(vnode.node);
        } else if let Some(anonymous) = self.anonymous.get_mut(&vnode.node) {
            anonymous.holders = anonymous.holders.saturating_sub(1);
            if anonymous.holders == 0 {
                self.anonymous.remove(&vnode.node);
            }
        }
    }

    /// A new file without a name, held by nobody yet. `label` is what `/proc/PID/fd` shows.
    pub(crate) fn make_anonymous(&mut self, attributes: Attributes, label: &'static str) -> Vnode {
        let node = NodeId(self.new_number());
        self.anonymous.insert(node, Anonymous { attributes, label, holders: 0 });
        Vnode { volume: VolumeId::ANONYMOUS, node }
    }

    /// What `stat` tells of an anonymous file, which somebody seems to read all the time.
    pub(super) fn anonymous_attributes(&self, caller: &Caller<'_>, file: Vnode) -> Result<Attributes, Errno> {
        let mut attributes = self.anonymous.get(&file.node).ok_or(Errno::ENOENT)?.attributes;
        attributes.accessed = caller.view.now;
        Ok(attributes)
    }

    /// The text of `/proc/PID/fd/N` for a file.
    pub(crate) fn name_of(&self, root: Vnode, file: Vnode) -> Vec<u8> {
        if let Some(anonymous) = self.anonymous.get(&file.node).filter(|_| file.volume == VolumeId::ANONYMOUS)
        {
            return match anonymous.label {
                label @ ("pipe" | "socket") => format!("{label}:[{}]", file.node.0).into_bytes(),
                label => label.as_bytes().to_vec(),
            };
        }
        self.path_of(root, file).unwrap_or_else(|| b"/ (deleted)".to_vec())
    }

    /// Whether a file is the top directory of a mount.
    pub(crate) fn is_mount_root(&self, file: Vnode) -> bool {
        self.mounts.get(file.volume).is_ok_and(|mounted| mounted.volume.root() == file.node)
    }

    /// Whether a file has a path, but none below `root`.
    pub(crate) fn is_outside(&self, root: Vnode, file: Vnode) -> bool {
        let top = Location::default().root;
        self.path_of(root, file).is_none() && self.path_of(top, file).is_some()
    }

    /// All mounts in the order in which they were made.
    pub(crate) fn mounts(&self) -> impl Iterator<Item = (VolumeId, &Mounted)> {
        self.mounts.iter()
    }

    /// Whether device nodes on the file's mount work.
    ///
    /// # Errors
    /// ENODEV for a file that is on no mount.
    pub(crate) fn has_devices(&self, file: Vnode) -> Result<bool, Errno> {
        Ok(self.mounts.get(file.volume)?.devices)
    }

    /// A new regular file in `directory` that has lost its name already (O_TMPFILE). It is held
    /// once, for the caller to [`release`](Self::release).
    pub(crate) fn make_nameless(
        &mut self,
        caller: &Caller<'_>,
        directory: Vnode,
        mode: u32,
    ) -> Result<Vnode, Errno> {
        let name = format!(".nameless-{}", self.new_number());
        debug_assert!(name.len() <= NAME_MAX);
        let walked = Walked::missing(directory, name.as_bytes());
        let file = self.create(caller, &walked, FileType::Regular, mode, &[])?;
        self.retain(file);
        let volume = &mut self.mounts.get_mut(directory.volume)?.volume;
        volume.remove(&caller.view, directory.node, name.as_bytes(), false)?;
        Ok(file)
    }

    /// A new file in memory that was never in any directory (memfd_create(2)), held once.
    pub(crate) fn make_memory_file(&mut self, caller: &Caller<'_>) -> Result<Vnode, Errno> {
        let directory = Vnode { volume: self.nameless, node: ROOT };
        self.make_nameless(caller, directory, 0o777)
    }
}
