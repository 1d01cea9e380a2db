//! Which volume is where, and with which rights.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::attributes::{Owner, Timestamp};
use super::folder::HostFolder;
use super::passthrough::Passthrough;
use super::tree::{Capacity, Lower, Tree};
use super::vnode::{NodeId, Vnode, VolumeId};
use super::volume::Volume;
use crate::errno::Errno;

/// What a mount gives the guest.
#[derive(Clone, Debug)]
pub enum Mount {
    /// An empty file system in memory.
    Memory,
    /// A host folder that the guest can only read; it sees changes that others make.
    ReadOnly(Arc<dyn HostFolder>),
    /// A host folder that the guest reads and writes.
    ReadWrite(Arc<dyn HostFolder>),
    /// A host folder that the guest seems to write: what it changes stays in memory.
    CopyOnWrite(Arc<dyn HostFolder>),
}

/// A volume in its place.
#[derive(Debug)]
pub(crate) struct Mounted {
    pub(crate) volume: Box<dyn Volume>,
    /// The directory that the volume's root hides; `None` for the machine's root.
    pub(crate) covers: Option<Vnode>,
    /// Where it was mounted, in the view of the machine's builder.
    pub(crate) path: Vec<u8>,
    /// Nothing on it may be changed.
    pub(crate) read_only: bool,
    /// Device nodes on it work.
    pub(crate) devices: bool,
    /// It is there only for want of a directory of that name: a root that has one shows its own.
    pub(crate) stands_in: bool,
}

impl Clone for Mounted {
    fn clone(&self) -> Self {
        Self { volume: self.volume.duplicate(), path: self.path.clone(), ..*self }
    }
}

/// All mounts of a machine. Volume 0 is the root.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mounts {
    volumes: Vec<Mounted>,
    covered: BTreeMap<Vnode, VolumeId>,
}

impl Mounts {
    /// Adds a volume, in its place if it has one.
    pub(crate) fn add(&mut self, mounted: Mounted) -> VolumeId {
        let id = VolumeId(self.volumes.len() as u32);
        if let Some(covers) = mounted.covers {
            self.covered.insert(covers, id);
        }
        self.volumes.push(mounted);
        id
    }

    /// Takes every mount out of its place: what is to be put back, oldest first.
    pub(crate) fn uncover_all(&mut self) -> Vec<(VolumeId, Vec<u8>)> {
        self.covered.clear();
        let placed = self.volumes.iter_mut().enumerate().filter(|(_, mounted)| mounted.covers.is_some());
        placed
            .map(|(id, mounted)| {
                mounted.covers = None;
                (VolumeId(id as u32), mounted.path.clone())
            })
            .collect()
    }

    /// Puts a volume in its place.
    pub(crate) fn cover(&mut self, id: VolumeId, covers: Vnode) {
        if let Ok(mounted) = self.get_mut(id) {
            mounted.covers = Some(covers);
            self.covered.insert(covers, id);
        }
    }

    /// The mount of a volume; ENODEV for files that are on none.
    pub(crate) fn get(&self, id: VolumeId) -> Result<&Mounted, Errno> {
        self.volumes.get(id.0 as usize).ok_or(Errno::ENODEV)
    }

    /// The mount of a volume, to work on its files.
    pub(crate) fn get_mut(&mut self, id: VolumeId) -> Result<&mut Mounted, Errno> {
        self.volumes.get_mut(id.0 as usize).ok_or(Errno::ENODEV)
    }

    /// The file that shows at `vnode`: the root of what is mounted there, if anything is.
    pub(crate) fn uncover(&self, vnode: Vnode) -> Vnode {
        let mut shown = vnode;
        // Each step goes to a volume that was mounted later, so this ends.
        while let Some(id) = self.covered.get(&shown) {
            match self.get(*id) {
                Ok(mounted) => shown = Vnode { volume: *id, node: mounted.volume.root() },
                Err(_) => break,
            }
        }
        shown
    }

    /// Whether something is mounted on `vnode`, or it is the root of a mount.
    pub(crate) fn is_mount_point(&self, vnode: Vnode) -> bool {
        self.covered.contains_key(&vnode)
            || self.get(vnode.volume).is_ok_and(|mounted| mounted.volume.root() == vnode.node)
    }

    /// The files of a volume that something is mounted on.
    pub(crate) fn covered_in(&self, id: VolumeId) -> BTreeSet<NodeId> {
        self.covered.keys().filter(|vnode| vnode.volume == id).map(|vnode| vnode.node).collect()
    }

    /// The volumes in their places that are copied on write, in the order in which they were mounted.
    pub(crate) fn overlays(&self) -> Vec<VolumeId> {
        let shown = |(id, mounted): &(VolumeId, &Mounted)| {
            (mounted.covers.is_some() || *id == VolumeId(0))
                && mounted.volume.is_overlay()
                && !mounted.read_only
        };
        self.iter().filter(shown).map(|(id, _)| id).collect()
    }

    /// All mounts in the order in which they were made.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (VolumeId, &Mounted)> {
        self.volumes.iter().enumerate().map(|(id, mounted)| (VolumeId(id as u32), mounted))
    }
}

impl Mount {
    /// The volume, and whether it is read-only.
    ///
    /// # Errors
    /// The host's, where it does not tell of the folder.
    pub(crate) fn build(
        self,
        owner: Owner,
        mode: u32,
        now: Timestamp,
        capacity: Capacity,
    ) -> Result<(Box<dyn Volume>, bool), Errno> {
        Ok(match self {
            Self::Memory => (Box::new(Tree::new(owner, mode, now, capacity)), false),
            Self::ReadOnly(folder) => {
                (Box::new(Tree::over(Lower::new(folder, true, owner), capacity)?), true)
            }
            Self::CopyOnWrite(folder) => {
                (Box::new(Tree::over(Lower::new(folder, false, owner), capacity)?), false)
            }
            Self::ReadWrite(folder) => (Box::new(Passthrough::new(folder, owner)?), false),
        })
    }
}
