//! A tree in memory, on its own or over a folder of the host.
//!
//! Without a folder below it is an in-memory file system. Over a folder it is a copy-on-write
//! overlay: names and attributes of the folder are taken over as they are met, content stays on
//! the host until the first write, and removed names leave a whiteout. Nothing is ever written to
//! the host. A read-only mount is the same tree with writing refused by the mount.

mod operations;

use std::collections::BTreeMap;
use std::sync::Arc;

use rpds::RedBlackTreeMapSync;

use super::attributes::{Attributes, FileType, Owner, Timestamp};
use super::content::Content;
use super::folder::{HostAccess, HostFile, HostFolder, HostMetadata, join};
use super::volume::{Name, Volume};
use crate::errno::Errno;
use crate::vfs::view::View;
use crate::vfs::vnode::{NodeId, ROOT};

/// Most links that a file can have, as ext4 has it.
const LINK_MAX: u32 = 65_000;

/// What a tree may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Capacity {
    /// Bytes of file content in memory; beyond it ENOSPC.
    pub(crate) bytes: u64,
    /// Nodes made by the guest; beyond it ENOSPC.
    pub(crate) nodes: u64,
}

/// The folder below a tree.
#[derive(Clone, Debug)]
pub(crate) struct Lower {
    folder: Arc<dyn HostFolder>,
    /// Whether the guest sees changes that others make to the folder.
    live: bool,
    /// Whom the guest sees as the owner of everything in it.
    owner: Owner,
}

impl Lower {
    /// A folder that shows as `owner`'s; `live` if its changes are to be seen.
    pub(crate) fn new(folder: Arc<dyn HostFolder>, live: bool, owner: Owner) -> Self {
        Self { folder, live, owner }
    }

    fn attributes(&self, host: &HostMetadata) -> Attributes {
        let (uid, gid) = host.owner.unwrap_or((self.owner.uid, self.owner.gid));
        Attributes {
            file_type: host.file_type,
            mode: host.mode,
            uid,
            gid,
            links: host.links,
            size: host.size,
            blocks: host.blocks,
            device: host.device,
            accessed: host.accessed,
            modified: host.modified,
            changed: host.changed,
        }
    }
}

/// What stands behind a name of a directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::vfs) enum Slot {
    /// A node.
    Present(NodeId),
    /// Nothing, though the folder below has the name.
    Whiteout,
}

/// The names of a directory.
#[derive(Clone, Debug, Default)]
pub(in crate::vfs) struct Directory {
    /// Names taken over from below, made, or removed.
    pub(in crate::vfs) slots: RedBlackTreeMapSync<Name, Slot>,
    /// The path of the directory below, if it has one whose names show through.
    pub(in crate::vfs) lower: Option<Vec<u8>>,
}

#[derive(Clone, Debug)]
pub(in crate::vfs) enum Body {
    /// A regular file in memory.
    Memory(Content),
    /// A regular file whose content is still the host's.
    Below,
    Directory(Directory),
    Symlink(Vec<u8>),
    /// Devices, pipes, sockets: only the node.
    Special,
}

#[derive(Clone, Debug)]
pub(in crate::vfs) struct Node {
    pub(in crate::vfs) attributes: Attributes,
    pub(in crate::vfs) body: Body,
    /// A directory and name that lead here.
    pub(in crate::vfs) place: Option<(NodeId, Name)>,
    /// Holders beside the names.
    open: u32,
    /// The path of the file below that this node began as.
    pub(in crate::vfs) origin: Option<Arc<[u8]>>,
    /// Whether the attributes are the tree's own, and no longer the host's.
    pub(in crate::vfs) touched: bool,
    /// The open file below, while the node is open and its content there.
    handle: Option<Arc<dyn HostFile>>,
}

/// A file system in memory, perhaps over a folder of the host. Copies share every node that neither has
/// changed since.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    pub(in crate::vfs) nodes: RedBlackTreeMapSync<NodeId, Arc<Node>>,
    next: u64,
    lower: Option<Lower>,
    /// Files below that have several names, by their identity on the host.
    linked_below: Arc<BTreeMap<(u64, u64), NodeId>>,
    capacity: Capacity,
    used_bytes: u64,
    /// Nodes that did not come from below.
    made_nodes: u64,
}

impl Tree {
    /// An empty tree, its root owned by `owner` with `mode`.
    pub(crate) fn new(owner: Owner, mode: u32, now: Timestamp, capacity: Capacity) -> Self {
        let root = Node {
            attributes: Attributes::new(FileType::Directory, mode, owner, now),
            body: Body::Directory(Directory::default()),
            place: None,
            open: 0,
            origin: None,
            touched: true,
            handle: None,
        };
        Self {
            nodes: [(ROOT, Arc::new(root))].into_iter().collect(),
            next: 2,
            lower: None,
            linked_below: Arc::default(),
            capacity,
            used_bytes: 0,
            made_nodes: 0,
        }
    }

    /// A tree over a host's folder.
    ///
    /// # Errors
    /// The host's, when it does not tell of the folder itself.
    pub(crate) fn over(lower: Lower, capacity: Capacity) -> Result<Self, Errno> {
        let attributes = lower.attributes(&lower.folder.metadata(b"")?);
        let owner = Owner { uid: attributes.uid, gid: attributes.gid };
        let mut tree = Self::new(owner, attributes.mode, attributes.modified, capacity);
        let root = tree.node_mut(ROOT)?;
        root.attributes = attributes;
        root.touched = false;
        root.origin = Some(Arc::from(&b""[..]));
        root.body = Body::Directory(Directory { lower: Some(Vec::new()), ..Directory::default() });
        tree.lower = Some(lower);
        Ok(tree)
    }

    pub(in crate::vfs) fn node(&self, id: NodeId) -> Result<&Node, Errno> {
        self.nodes.get(&id).map(|node| &**node).ok_or(Errno::ENOENT)
    }

    pub(in crate::vfs) fn node_mut(&mut self, id: NodeId) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(&id).map(Arc::make_mut).ok_or(Errno::ENOENT)
    }

    pub(in crate::vfs) fn directory(&self, id: NodeId) -> Result<&Directory, Errno> {
        match &self.node(id)?.body {
            Body::Directory(directory) => Ok(directory),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn directory_mut(&mut self, id: NodeId) -> Result<&mut Directory, Errno> {
        match &mut self.node_mut(id)?.body {
            Body::Directory(directory) => Ok(directory),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn insert(&mut self, node: Node) -> NodeId {
        let id = NodeId(self.next);
        self.next += 1;
        self.nodes.insert_mut(id, Arc::new(node));
        id
    }

    /// Takes a file of the folder below into the tree.
    fn adopt(&mut self, directory: NodeId, name: &[u8], host: &HostMetadata) -> Result<NodeId, Errno> {
        let (Some(lower), Some(folder)) = (&self.lower, &self.directory(directory)?.lower) else {
            return Err(Errno::ENOENT);
        };
        let shared = host.links > 1 && host.file_type != FileType::Directory;
        if shared && let Some(id) = self.linked_below.get(&host.identity).copied() {
            self.directory_mut(directory)?.slots.insert_mut(name.into(), Slot::Present(id));
            return Ok(id);
        }
        let path = join(folder, name);
        let body = match host.file_type {
            FileType::Regular => Body::Below,
            FileType::Directory => {
                Body::Directory(Directory { lower: Some(path.clone()), ..Directory::default() })
            }
            FileType::Symlink => Body::Symlink(lower.folder.read_link(&path)?),
            _ => Body::Special,
        };
        let node = Node {
            attributes: lower.attributes(host),
            body,
            place: Some((directory, name.into())),
            open: 0,
            origin: Some(path.into()),
            touched: false,
            handle: None,
        };
        let id = self.insert(node);
        if shared {
            Arc::make_mut(&mut self.linked_below).insert(host.identity, id);
        }
        self.directory_mut(directory)?.slots.insert_mut(name.into(), Slot::Present(id));
        Ok(id)
    }

    /// Makes sure that `directory` still has a name: it may have been removed while it was open.
    fn check_named(&self, directory: NodeId) -> Result<(), Errno> {
        if directory != ROOT && self.node(directory)?.place.is_none() {
            return Err(Errno::ENOENT);
        }
        Ok(())
    }

    /// Makes sure that `name` can be given in `directory`; EEXIST where it is taken.
    fn check_free(&mut self, directory: NodeId, name: &[u8]) -> Result<(), Errno> {
        match self.find(directory, name) {
            Ok(_) => Err(Errno::EEXIST),
            Err(Errno::ENOENT) => self.check_named(directory),
            Err(other) => Err(other),
        }
    }

    /// The node that `name` names, without regard to a folder below that changes.
    fn find(&mut self, directory: NodeId, name: &[u8]) -> Result<NodeId, Errno> {
        let held = self.directory(directory)?;
        match held.slots.get(name) {
            Some(Slot::Present(id)) => return Ok(*id),
            Some(Slot::Whiteout) => return Err(Errno::ENOENT),
            None => {}
        }
        match (&held.lower, &self.lower) {
            (Some(folder), Some(lower)) => {
                let host = lower.folder.metadata(&join(folder, name)).map_err(hide_link)?;
                self.adopt(directory, name, &host)
            }
            _ => Err(Errno::ENOENT),
        }
    }

    /// Forgets a name whose file below has gone or been replaced, if the folder is live.
    fn revalidate(&mut self, directory: NodeId, name: &[u8]) -> Result<(), Errno> {
        let Some(lower) = self.lower.as_ref().filter(|lower| lower.live) else { return Ok(()) };
        let Some(Slot::Present(id)) = self.directory(directory)?.slots.get(name).copied() else {
            return Ok(());
        };
        let node = self.node(id)?;
        let Some(path) = node.origin.clone().filter(|_| !node.touched) else { return Ok(()) };
        let fresh = lower.folder.metadata(&path).ok().map(|host| lower.attributes(&host));
        // A replaced link must show its new text.
        let (kind, changed) = (node.attributes.file_type, node.attributes.changed);
        let same = |fresh: &Attributes| {
            fresh.file_type == kind && (kind != FileType::Symlink || fresh.changed == changed)
        };
        if let Some(fresh) = fresh.filter(same) {
            self.node_mut(id)?.attributes = fresh;
            return Ok(());
        }
        self.directory_mut(directory)?.slots.remove_mut(name);
        Arc::make_mut(&mut self.linked_below).retain(|_, linked| *linked != id);
        self.drop_name(id, directory, name)
    }

    /// Accounts for a name of `id` that is no more.
    fn drop_name(&mut self, id: NodeId, directory: NodeId, name: &[u8]) -> Result<(), Errno> {
        let node = self.node_mut(id)?;
        if node.attributes.is_directory() {
            node.attributes.links = 0;
        } else {
            node.attributes.links = node.attributes.links.saturating_sub(1);
        }
        if node.place.as_ref().is_some_and(|(parent, own)| *parent == directory && **own == *name) {
            node.place = None;
        }
        self.collect(id);
        Ok(())
    }

    /// Frees a node that nobody can reach any more.
    fn collect(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get(&id) else { return };
        if id == ROOT || node.open > 0 || node.attributes.links > 0 {
            return;
        }
        if let Body::Memory(content) = &node.body {
            self.used_bytes = self.used_bytes.saturating_sub(content.used());
        }
        if node.origin.is_none() {
            self.made_nodes = self.made_nodes.saturating_sub(1);
        }
        self.nodes.remove_mut(&id);
    }

    /// The open file below of a node whose content is there.
    fn handle(&self, id: NodeId) -> Result<Arc<dyn HostFile>, Errno> {
        let node = self.node(id)?;
        if let Some(handle) = &node.handle {
            return Ok(handle.clone());
        }
        match (&self.lower, &node.origin) {
            (Some(lower), Some(path)) => lower.folder.open(path, HostAccess::Read).map_err(hide_link),
            _ => Err(Errno::EIO),
        }
    }

    /// Makes the attributes the tree's own.
    fn touch(&mut self, id: NodeId) -> Result<&mut Node, Errno> {
        let node = self.node_mut(id)?;
        node.touched = true;
        Ok(node)
    }

    /// Copies the first `keep` bytes of a file below into memory (copy-up), and gives its content.
    fn content_mut(&mut self, id: NodeId, keep: u64) -> Result<&mut Content, Errno> {
        if matches!(self.node(id)?.body, Body::Below) {
            let content = if keep == 0 { Content::default() } else { self.copy_up(id, keep)? };
            self.used_bytes += content.used();
            let node = self.touch(id)?;
            node.handle = None;
            node.attributes.size = content.size();
            node.body = Body::Memory(content);
        }
        match &mut self.node_mut(id)?.body {
            Body::Memory(content) => Ok(content),
            Body::Directory(_) => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    fn copy_up(&self, id: NodeId, keep: u64) -> Result<Content, Errno> {
        let room = self.room();
        if keep.min(self.node(id)?.attributes.size) > room {
            return Err(Errno::ENOSPC);
        }
        let handle = self.handle(id)?;
        let (mut content, mut offset) = (Content::default(), 0);
        let mut buffer = vec![0; 1 << 16];
        while offset < keep {
            let wanted = (keep - offset).min(buffer.len() as u64) as usize;
            let read = handle.read_at(offset, &mut buffer[..wanted])?;
            if read == 0 {
                break;
            }
            let bytes = &buffer[..read];
            // Zeroes become a hole: they may have been one.
            if bytes.iter().any(|byte| *byte != 0)
                && content.write(offset, bytes, room - content.used().min(room)) < read
            {
                return Err(Errno::ENOSPC);
            }
            offset += read as u64;
        }
        content.resize(offset.max(content.size()));
        Ok(content)
    }

    fn room(&self) -> u64 {
        self.capacity.bytes.saturating_sub(self.used_bytes)
    }

    /// Runs `action` on a file's content, keeping the books.
    fn edit<R>(
        &mut self,
        id: NodeId,
        keep: u64,
        now: Timestamp,
        action: impl FnOnce(&mut Content, u64) -> R,
    ) -> Result<R, Errno> {
        self.content_mut(id, keep)?;
        let room = self.room();
        let content = self.content_mut(id, keep)?;
        let before = content.used();
        let result = action(content, room);
        let (after, size) = (content.used(), content.size());
        self.used_bytes = (self.used_bytes + after).saturating_sub(before);
        let node = self.touch(id)?;
        node.attributes.size = size;
        node.attributes.blocks = after / 512;
        node.attributes.modified = now;
        node.attributes.changed = now;
        Ok(result)
    }

    /// Marks a directory's names as changed.
    fn names_changed(&mut self, directory: NodeId, now: Timestamp, links: i32) -> Result<(), Errno> {
        let node = self.touch(directory)?;
        node.attributes.modified = now;
        node.attributes.changed = now;
        node.attributes.links = node.attributes.links.saturating_add_signed(links).max(2);
        Ok(())
    }

    /// Takes `name` out of `directory`, leaving a whiteout where the folder below has it.
    fn detach(&mut self, directory: NodeId, name: &[u8]) -> Result<(), Errno> {
        let below = match (&self.directory(directory)?.lower, &self.lower) {
            (Some(folder), Some(lower)) => {
                !matches!(lower.folder.metadata(&join(folder, name)), Err(Errno::ENOENT))
            }
            _ => false,
        };
        let slots = &mut self.directory_mut(directory)?.slots;
        if below {
            slots.insert_mut(name.into(), Slot::Whiteout);
        } else {
            slots.remove_mut(name);
        }
        Ok(())
    }

    fn attach(&mut self, directory: NodeId, name: &[u8], id: NodeId) -> Result<(), Errno> {
        self.directory_mut(directory)?.slots.insert_mut(name.into(), Slot::Present(id));
        self.node_mut(id)?.place = Some((directory, name.into()));
        Ok(())
    }

    /// Takes every name of a directory below into the tree.
    pub(in crate::vfs) fn adopt_all(&mut self, directory: NodeId) -> Result<(), Errno> {
        let (Some(path), Some(lower)) = (self.directory(directory)?.lower.clone(), &self.lower) else {
            return Ok(());
        };
        let mut entries = lower.folder.entries(&path).map_err(hide_link)?;
        let live = lower.live;
        // The host's order is its own affair; the guest's must not depend on it.
        entries.sort_by(|left, right| left.name.cmp(&right.name));
        if live {
            let known: Vec<Name> = self.directory(directory)?.slots.keys().cloned().collect();
            for name in known {
                self.revalidate(directory, &name)?;
            }
        }
        for entry in entries {
            if !self.directory(directory)?.slots.contains_key(entry.name.as_slice()) {
                self.adopt(directory, &entry.name, &entry.metadata)?;
            }
        }
        Ok(())
    }

    /// Whether a folder of the host is below.
    pub(in crate::vfs) fn has_lower(&self) -> bool {
        self.lower.is_some()
    }

    /// Makes a directory hide what the folder below has there.
    pub(in crate::vfs) fn hide_lower(&mut self, id: NodeId) -> Result<(), Errno> {
        self.adopt_all(id)?;
        let directory = self.directory_mut(id)?;
        let hidden: Vec<Name> = directory.slots.keys().cloned().collect();
        for name in hidden {
            if let Some(Slot::Present(child)) = self.directory(id)?.slots.get(&name).copied()
                && self.node(child)?.origin.is_some()
            {
                self.directory_mut(id)?.slots.remove_mut(&name);
                self.drop_name(child, id, &name)?;
            }
        }
        let directory = self.directory_mut(id)?;
        let present = directory.slots.iter().filter(|(_, slot)| matches!(slot, Slot::Present(_)));
        directory.slots = present.map(|(name, slot)| (name.clone(), *slot)).collect();
        directory.lower = None;
        Ok(())
    }

    fn is_empty(&mut self, directory: NodeId) -> Result<bool, Errno> {
        self.adopt_all(directory)?;
        Ok(!self.directory(directory)?.slots.values().any(|slot| matches!(slot, Slot::Present(_))))
    }

    /// Whether `inner` is `outer` or below it.
    fn is_within(&self, inner: NodeId, outer: NodeId) -> bool {
        let mut at = Some(inner);
        // A tree has no cycles, and no path is longer than the number of its nodes.
        for _ in 0..=self.nodes.size() {
            match at {
                Some(id) if id == outer => return true,
                Some(id) => {
                    at = self.node(id).ok().and_then(|node| node.place.as_ref().map(|place| place.0));
                }
                None => return false,
            }
        }
        false
    }

    fn is_directory(&self, id: NodeId) -> Result<bool, Errno> {
        Ok(self.node(id)?.attributes.is_directory())
    }

    /// Removes what a rename replaces.
    fn displace(
        &mut self,
        view: &View<'_>,
        moved: NodeId,
        to: (NodeId, &[u8]),
        target: NodeId,
    ) -> Result<(), Errno> {
        match (self.is_directory(moved)?, self.is_directory(target)?) {
            (true, false) => return Err(Errno::ENOTDIR),
            (false, true) => return Err(Errno::EISDIR),
            (true, true) if !self.is_empty(target)? => return Err(Errno::ENOTEMPTY),
            _ => {}
        }
        self.remove(view, to.0, to.1, self.is_directory(target)?)
    }

    fn exchange(&mut self, from: (NodeId, &[u8]), to: (NodeId, &[u8])) -> Result<(), Errno> {
        let (one, other) = (self.find(from.0, from.1)?, self.find(to.0, to.1)?);
        if self.is_within(to.0, one) || self.is_within(from.0, other) {
            return Err(Errno::EINVAL);
        }
        self.attach(to.0, to.1, one)?;
        self.attach(from.0, from.1, other)
    }
}

/// A link that appeared on the host in the middle of a path is none of the guest's business.
fn hide_link(errno: Errno) -> Errno {
    if errno == Errno::ELOOP { Errno::ENOENT } else { errno }
}
