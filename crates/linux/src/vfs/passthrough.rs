//! A folder of the host that the guest reads and writes in place.
//!
//! Nodes remember where in the folder they are, so that renaming a directory moves all below it.
//! Owners are virtual: the host's are neither shown nor changed. So are the set-user-ID, set-group-ID and
//! sticky bits that the guest sets: on the host they would be rights of the host's user. The other nine
//! are the host's, less its umask where a file is made.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::attributes::{Attributes, Change, FileType, Owner};
use super::folder::{HostAccess, HostChange, HostFile, HostFolder, HostMetadata, fill, join};
use super::view::View;
use super::vnode::{NodeId, ROOT};
use super::volume::{
    Allocation, DirectoryEntry, LinkTarget, NAME_MAX, Name, NewNode, RenameMode, Volume, VolumeStatistics,
};
use crate::errno::Errno;

#[derive(Clone, Debug)]
struct Node {
    /// `None` for the root and for what has lost its name.
    place: Option<(NodeId, Name)>,
    identity: (u64, u64),
    owner: Owner,
    /// Set-user-ID, set-group-ID and sticky bit, once the guest has set any; else the host's show.
    special: Option<u32>,
    open: u32,
    /// The open file, once it has been read or written while open.
    handle: Option<(Arc<dyn HostFile>, bool)>,
}

/// The permission bits that the host's file gets: those of users, groups and others.
const SHARED_BITS: u32 = 0o777;
/// Those that stay in the machine.
const SPECIAL_BITS: u32 = 0o7000;

/// A volume that is a folder of the host.
#[derive(Clone, Debug)]
pub(crate) struct Passthrough {
    folder: Arc<dyn HostFolder>,
    nodes: BTreeMap<NodeId, Node>,
    known: BTreeMap<(u64, u64), NodeId>,
    next: u64,
    owner: Owner,
}

impl Passthrough {
    /// The folder, whose files show as `owner`'s.
    pub(crate) fn new(folder: Arc<dyn HostFolder>, owner: Owner) -> Result<Self, Errno> {
        let identity = folder.metadata(b"")?.identity;
        let root = Node { place: None, identity, owner, special: None, open: 1, handle: None };
        Ok(Self {
            folder,
            nodes: BTreeMap::from([(ROOT, root)]),
            known: BTreeMap::from([(identity, ROOT)]),
            next: 2,
            owner,
        })
    }

    fn node(&self, id: NodeId) -> Result<&Node, Errno> {
        self.nodes.get(&id).ok_or(Errno::ENOENT)
    }

    /// The path in the folder; ENOENT where the node has no name any more.
    fn path(&self, id: NodeId) -> Result<Vec<u8>, Errno> {
        let mut names = Vec::new();
        let mut at = id;
        while at != ROOT {
            let (parent, name) = self.node(at)?.place.as_ref().ok_or(Errno::ENOENT)?;
            names.push(name.clone());
            at = *parent;
            if names.len() > self.nodes.len() {
                return Err(Errno::ELOOP);
            }
        }
        Ok(names.iter().rev().fold(Vec::new(), |path, name| join(&path, name)))
    }

    fn path_in(&self, directory: NodeId, name: &[u8]) -> Result<Vec<u8>, Errno> {
        Ok(join(&self.path(directory)?, name))
    }

    /// The node of a file that the host has just told of.
    fn remember(&mut self, directory: NodeId, name: &[u8], host: &HostMetadata) -> NodeId {
        let place = Some((directory, Name::from(name)));
        if let Some(id) = self.known.get(&host.identity).copied()
            && let Some(node) = self.nodes.get_mut(&id)
        {
            if id != ROOT {
                node.place = place;
            }
            return id;
        }
        let id = NodeId(self.next);
        self.next += 1;
        let (identity, owner) = (host.identity, self.owner);
        let node = Node { place, identity, owner, special: None, open: 0, handle: None };
        self.nodes.insert(id, node);
        self.known.insert(host.identity, id);
        id
    }

    /// The open host file of a node, for writing too if `writes`.
    fn handle(&mut self, id: NodeId, writes: bool) -> Result<Arc<dyn HostFile>, Errno> {
        if let Some((handle, writable)) = &self.node(id)?.handle
            && (*writable || !writes)
        {
            return Ok(handle.clone());
        }
        let access = if writes { HostAccess::Write } else { HostAccess::Read };
        let handle = self.folder.open(&self.path(id)?, access)?;
        if let Some(node) = self.nodes.get_mut(&id).filter(|node| node.open > 0) {
            node.handle = Some((handle.clone(), writes));
        }
        Ok(handle)
    }

    /// Prepares for the loss of a name: what is open must stay readable.
    fn before_loss(&mut self, path: &[u8]) -> Result<Option<NodeId>, Errno> {
        let host = self.folder.metadata(path)?;
        let Some(id) = self.known.get(&host.identity).copied() else { return Ok(None) };
        if self.node(id)?.open > 0 && host.file_type == FileType::Regular {
            let _ = self.handle(id, true).or_else(|_| self.handle(id, false));
        }
        Ok(Some(id))
    }

    /// Notes that a node has lost a name.
    fn lost(&mut self, id: NodeId, directory: NodeId, name: &[u8]) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        if node.place.as_ref().is_some_and(|(parent, own)| *parent == directory && **own == *name) {
            node.place = None;
            self.forget(id);
        }
    }

    /// Drops a node without names and holders, so that the host may use its number again.
    fn forget(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get(&id) else { return };
        if node.place.is_none() {
            self.known.remove(&node.identity);
            if node.open == 0 {
                self.nodes.remove(&id);
            }
        }
    }

    fn show(&self, id: NodeId, host: &HostMetadata) -> Result<Attributes, Errno> {
        let Node { owner, special, .. } = *self.node(id)?;
        Ok(Attributes {
            file_type: host.file_type,
            mode: special.map_or(host.mode, |special| host.mode & SHARED_BITS | special),
            uid: owner.uid,
            gid: owner.gid,
            links: host.links,
            size: host.size,
            blocks: host.blocks,
            device: Default::default(),
            accessed: host.accessed,
            modified: host.modified,
            changed: host.changed,
        })
    }
}

impl Volume for Passthrough {
    fn root(&self) -> NodeId {
        ROOT
    }

    fn kind(&self) -> &'static str {
        "host"
    }

    fn lookup(&mut self, _: &View<'_>, directory: NodeId, name: &[u8]) -> Result<NodeId, Errno> {
        let host = self.folder.metadata(&self.path_in(directory, name)?)?;
        Ok(self.remember(directory, name, &host))
    }

    fn place(&self, node: NodeId) -> Option<(NodeId, Name)> {
        self.nodes.get(&node)?.place.clone()
    }

    fn attributes(&mut self, _: &View<'_>, id: NodeId) -> Result<Attributes, Errno> {
        let host = match &self.node(id)?.handle {
            Some((handle, _)) => handle.metadata()?,
            None => self.folder.metadata(&self.path(id)?)?,
        };
        self.show(id, &host)
    }

    fn change(&mut self, _: &View<'_>, id: NodeId, change: &Change) -> Result<(), Errno> {
        if let Some(size) = change.size {
            self.handle(id, true)?.resize(size)?;
        }
        if let Some(node) = self.nodes.get_mut(&id) {
            node.owner.uid = change.uid.unwrap_or(node.owner.uid);
            node.owner.gid = change.gid.unwrap_or(node.owner.gid);
            node.special = change.mode.map(|mode| mode & SPECIAL_BITS).or(node.special);
        }
        let mode = change.mode.map(|mode| mode & SHARED_BITS);
        let host = HostChange { mode, accessed: change.accessed, modified: change.modified };
        if host == HostChange::default() {
            return Ok(());
        }
        match self.path(id) {
            Ok(path) => self.folder.change(&path, &host),
            // A file without a name keeps the attributes that it has.
            Err(_) => Ok(()),
        }
    }

    fn link_target(&mut self, _: &View<'_>, node: NodeId) -> Result<LinkTarget, Errno> {
        self.folder.read_link(&self.path(node)?).map(LinkTarget::Text)
    }

    fn list(&mut self, _: &View<'_>, directory: NodeId) -> Result<Vec<DirectoryEntry>, Errno> {
        let mut found = self.folder.entries(&self.path(directory)?)?;
        found.sort_by(|left, right| left.name.cmp(&right.name));
        let mut entries = Vec::with_capacity(found.len());
        for entry in found {
            let node = self.remember(directory, &entry.name, &entry.metadata);
            let file_type = entry.metadata.file_type;
            entries.push(DirectoryEntry { name: entry.name.into(), node, file_type });
        }
        Ok(entries)
    }

    fn create(
        &mut self,
        view: &View<'_>,
        directory: NodeId,
        name: &[u8],
        new: &NewNode<'_>,
    ) -> Result<NodeId, Errno> {
        let path = self.path_in(directory, name)?;
        match new.file_type {
            FileType::Regular => {
                self.folder.open(&path, HostAccess::Create(new.mode & SHARED_BITS))?;
            }
            FileType::Directory => self.folder.make_folder(&path, new.mode & SHARED_BITS)?,
            FileType::Symlink => self.folder.make_link(&path, new.target)?,
            _ => return Err(Errno::EPERM),
        }
        let id = self.lookup(view, directory, name)?;
        if let Some(node) = self.nodes.get_mut(&id) {
            node.owner = new.owner;
            node.special = Some(new.mode & SPECIAL_BITS);
        }
        Ok(id)
    }

    fn link(&mut self, _: &View<'_>, node: NodeId, directory: NodeId, name: &[u8]) -> Result<(), Errno> {
        self.folder.link(&self.path(node)?, &self.path_in(directory, name)?)
    }

    fn remove(
        &mut self,
        _: &View<'_>,
        directory: NodeId,
        name: &[u8],
        directory_wanted: bool,
    ) -> Result<(), Errno> {
        let path = self.path_in(directory, name)?;
        let known = self.before_loss(&path)?;
        self.folder.remove(&path, directory_wanted)?;
        if let Some(id) = known {
            self.lost(id, directory, name);
        }
        Ok(())
    }

    fn rename(
        &mut self,
        view: &View<'_>,
        from: (NodeId, &[u8]),
        to: (NodeId, &[u8]),
        mode: RenameMode,
    ) -> Result<(), Errno> {
        let (old, new) = (self.path_in(from.0, from.1)?, self.path_in(to.0, to.1)?);
        let moved = self.lookup(view, from.0, from.1)?;
        let target = self.before_loss(&new).ok().flatten();
        if mode == RenameMode::NoReplace && self.folder.metadata(&new).is_ok() {
            return Err(Errno::EEXIST);
        }
        self.folder.rename(&old, &new, mode == RenameMode::Exchange)?;
        match target {
            Some(target) if target == moved => return Ok(()),
            Some(target) if mode == RenameMode::Exchange => {
                if let Some(node) = self.nodes.get_mut(&target) {
                    node.place = Some((from.0, from.1.into()));
                }
            }
            Some(target) => self.lost(target, to.0, to.1),
            None => {}
        }
        if let Some(node) = self.nodes.get_mut(&moved) {
            node.place = Some((to.0, to.1.into()));
        }
        Ok(())
    }

    fn read(&mut self, _: &View<'_>, id: NodeId, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        fill(&*self.handle(id, false)?, offset, buffer)
    }

    fn host_file(&mut self, id: NodeId) -> Option<Arc<dyn HostFile>> {
        self.handle(id, false).ok()
    }

    fn write(&mut self, _: &View<'_>, id: NodeId, offset: u64, bytes: &[u8]) -> Result<usize, Errno> {
        if offset.checked_add(bytes.len() as u64).is_none_or(|end| end > i64::MAX as u64) {
            return Err(Errno::EFBIG);
        }
        self.handle(id, true)?.write_at(offset, bytes)
    }

    fn allocate(
        &mut self,
        _: &View<'_>,
        id: NodeId,
        offset: u64,
        length: u64,
        how: Allocation,
    ) -> Result<(), Errno> {
        let Allocation::Reserve { keep_size: false } = how else { return Err(Errno::EOPNOTSUPP) };
        let end = offset.checked_add(length).ok_or(Errno::EFBIG)?;
        let handle = self.handle(id, true)?;
        if end > handle.metadata()?.size { handle.resize(end) } else { Ok(()) }
    }

    fn retain(&mut self, id: NodeId) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.open = node.open.saturating_add(1);
        }
    }

    fn release(&mut self, id: NodeId) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.open = node.open.saturating_sub(1);
            if node.open == 0 {
                node.handle = None;
                self.forget(id);
            }
        }
    }

    fn held_bytes(&self) -> u64 {
        // A node by number and by identity, and its name.
        (self.nodes.len() * (2 * size_of::<Node>() + NAME_MAX)) as u64
    }

    fn statistics(&self) -> VolumeStatistics {
        const EXT4_SUPER_MAGIC: u32 = 0xef53;
        let (bytes, free) = self.folder.room().unwrap_or_default();
        VolumeStatistics {
            magic: EXT4_SUPER_MAGIC,
            blocks: bytes / 4096,
            free_blocks: free / 4096,
            files: 1 << 20,
            free_files: 1 << 19,
        }
    }

    fn duplicate(&self) -> Box<dyn Volume> {
        Box::new(self.clone())
    }
}
