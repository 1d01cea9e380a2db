//! What a tree does as a volume.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Body, Directory, LINK_MAX, Node, Slot, Tree, hide_link};
use crate::errno::Errno;
use crate::vfs::archive::ArchiveError;
use crate::vfs::attributes::{Attributes, Change, FileType, Timestamp};
use crate::vfs::content::{CHUNK, Content, MAX_SIZE};
use crate::vfs::folder::{HostFile, fill};
use crate::vfs::view::View;
use crate::vfs::vnode::{NodeId, ROOT};
use crate::vfs::volume::{
    Allocation, DirectoryEntry, LinkTarget, NAME_MAX, Name, NewNode, RenameMode, Volume, VolumeStatistics,
};

impl Volume for Tree {
    fn root(&self) -> NodeId {
        ROOT
    }

    fn kind(&self) -> &'static str {
        if self.lower.is_some() { "overlay" } else { "tmpfs" }
    }

    fn lookup(&mut self, _: &View<'_>, directory: NodeId, name: &[u8]) -> Result<NodeId, Errno> {
        self.revalidate(directory, name)?;
        self.find(directory, name)
    }

    fn place(&self, node: NodeId) -> Option<(NodeId, Name)> {
        self.nodes.get(&node)?.place.clone()
    }

    fn attributes(&mut self, _: &View<'_>, id: NodeId) -> Result<Attributes, Errno> {
        let node = self.node(id)?;
        if let (Some(lower), Some(path), false) = (&self.lower, &node.origin, node.touched)
            && lower.live
        {
            let fresh = match &node.handle {
                Some(handle) => handle.metadata(),
                None => lower.folder.metadata(path),
            };
            let attributes = lower.attributes(&fresh.map_err(hide_link)?);
            if attributes.file_type == node.attributes.file_type {
                self.node_mut(id)?.attributes = attributes;
            }
        }
        Ok(self.node(id)?.attributes)
    }

    fn change(&mut self, view: &View<'_>, id: NodeId, change: &Change) -> Result<(), Errno> {
        if let Some(size) = change.size {
            if size > MAX_SIZE {
                return Err(Errno::EFBIG);
            }
            self.edit(id, size, view.now, |content, _| content.resize(size))?;
        }
        change.apply(&mut self.touch(id)?.attributes, view.now);
        Ok(())
    }

    fn link_target(&mut self, _: &View<'_>, node: NodeId) -> Result<LinkTarget, Errno> {
        match &self.node(node)?.body {
            Body::Symlink(text) => Ok(LinkTarget::Text(text.clone())),
            _ => Err(Errno::EINVAL),
        }
    }

    fn list(&mut self, _: &View<'_>, directory: NodeId) -> Result<Vec<DirectoryEntry>, Errno> {
        self.adopt_all(directory)?;
        let slots = &self.directory(directory)?.slots;
        let mut entries = Vec::with_capacity(slots.size());
        for (name, slot) in slots {
            if let Slot::Present(node) = slot {
                let file_type = self.node(*node)?.attributes.file_type;
                entries.push(DirectoryEntry { name: name.clone(), node: *node, file_type });
            }
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
        self.check_free(directory, name)?;
        if self.made_nodes >= self.capacity.nodes {
            return Err(Errno::ENOSPC);
        }
        let mut attributes = Attributes::new(new.file_type, new.mode, new.owner, view.now);
        attributes.device = new.device;
        let body = match new.file_type {
            FileType::Regular => Body::Memory(Content::default()),
            FileType::Directory => Body::Directory(Directory::default()),
            FileType::Symlink => Body::Symlink(new.target.to_vec()),
            _ => Body::Special,
        };
        attributes.size = match new.file_type {
            FileType::Symlink => new.target.len() as u64,
            FileType::Directory => 4096,
            _ => 0,
        };
        let place = Some((directory, Name::from(name)));
        let node = Node { attributes, body, place, open: 0, origin: None, touched: true, handle: None };
        let id = self.insert(node);
        self.made_nodes += 1;
        self.attach(directory, name, id)?;
        self.names_changed(directory, view.now, i32::from(new.file_type == FileType::Directory))?;
        Ok(id)
    }

    fn link(&mut self, view: &View<'_>, node: NodeId, directory: NodeId, name: &[u8]) -> Result<(), Errno> {
        self.check_free(directory, name)?;
        let held = self.node(node)?;
        if held.attributes.is_directory() {
            return Err(Errno::EPERM);
        }
        if held.attributes.links >= LINK_MAX {
            return Err(Errno::EMLINK);
        }
        let held = self.touch(node)?;
        held.attributes.links += 1;
        held.attributes.changed = view.now;
        self.attach(directory, name, node)?;
        self.names_changed(directory, view.now, 0)
    }

    fn remove(
        &mut self,
        view: &View<'_>,
        directory: NodeId,
        name: &[u8],
        directory_wanted: bool,
    ) -> Result<(), Errno> {
        let id = self.find(directory, name)?;
        match (self.is_directory(id)?, directory_wanted) {
            (true, false) => return Err(Errno::EISDIR),
            (false, true) => return Err(Errno::ENOTDIR),
            (true, true) if !self.is_empty(id)? => return Err(Errno::ENOTEMPTY),
            _ => {}
        }
        self.detach(directory, name)?;
        self.touch(id)?.attributes.changed = view.now;
        self.drop_name(id, directory, name)?;
        self.names_changed(directory, view.now, -i32::from(directory_wanted))
    }

    fn rename(
        &mut self,
        view: &View<'_>,
        from: (NodeId, &[u8]),
        to: (NodeId, &[u8]),
        mode: RenameMode,
    ) -> Result<(), Errno> {
        let moved = self.find(from.0, from.1)?;
        self.check_named(to.0)?;
        let target = match self.find(to.0, to.1) {
            Ok(target) => Some(target),
            Err(Errno::ENOENT) => None,
            Err(other) => return Err(other),
        };
        match (mode, target) {
            (RenameMode::NoReplace, Some(_)) => return Err(Errno::EEXIST),
            (RenameMode::Exchange, None) => return Err(Errno::ENOENT),
            (_, Some(target)) if target == moved => return Ok(()),
            _ => {}
        }
        if self.is_directory(moved)? && self.is_within(to.0, moved) {
            return Err(Errno::EINVAL);
        }
        if let (Some(target), true) = (target, from.0 != to.0)
            && self.is_within(from.0, target)
            && mode == RenameMode::Replace
        {
            return Err(Errno::ENOTEMPTY);
        }
        let moves_directory = i32::from(self.is_directory(moved)?);
        if mode == RenameMode::Exchange {
            self.exchange(from, to)?;
        } else {
            if let Some(target) = target {
                self.displace(view, moved, to, target)?;
            }
            self.detach(from.0, from.1)?;
            self.attach(to.0, to.1, moved)?;
            self.names_changed(from.0, view.now, -moves_directory)?;
            self.names_changed(to.0, view.now, moves_directory)?;
        }
        self.touch(moved)?.attributes.changed = view.now;
        self.names_changed(from.0, view.now, 0)?;
        self.names_changed(to.0, view.now, 0)
    }

    fn read(&mut self, _: &View<'_>, id: NodeId, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        match &self.node(id)?.body {
            Body::Memory(content) => Ok(content.read(offset, buffer)),
            Body::Below => fill(&*self.handle(id)?, offset, buffer),
            Body::Directory(_) => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    fn host_file(&mut self, id: NodeId) -> Option<Arc<dyn HostFile>> {
        matches!(self.node(id).ok()?.body, Body::Below).then(|| self.handle(id).ok())?
    }

    fn write(&mut self, view: &View<'_>, id: NodeId, offset: u64, bytes: &[u8]) -> Result<usize, Errno> {
        if bytes.is_empty() {
            return Ok(0);
        }
        if offset >= MAX_SIZE {
            return Err(Errno::EFBIG);
        }
        match self.edit(id, u64::MAX, view.now, |content, room| content.write(offset, bytes, room))? {
            0 => Err(Errno::ENOSPC),
            written => Ok(written),
        }
    }

    fn seek(&mut self, id: NodeId, offset: u64, data: bool) -> Option<u64> {
        match &self.node(id).ok()?.body {
            Body::Memory(content) => content.seek(offset, data).or(data.then_some(u64::MAX)),
            _ => None,
        }
    }

    fn allocate(
        &mut self,
        view: &View<'_>,
        id: NodeId,
        offset: u64,
        length: u64,
        how: Allocation,
    ) -> Result<(), Errno> {
        let end = offset.checked_add(length).filter(|end| *end <= MAX_SIZE).ok_or(Errno::EFBIG)?;
        let fits = |content: &Content, room| end.saturating_sub(content.size()) <= room;
        self.edit(id, u64::MAX, view.now, |content, room| match how {
            Allocation::PunchHole => {
                let end = end.min(content.size());
                content.zero(offset, end.saturating_sub(offset));
                Ok(())
            }
            Allocation::Reserve { keep_size } | Allocation::Zero { keep_size } => {
                if !fits(content, room) {
                    return Err(Errno::ENOSPC);
                }
                if matches!(how, Allocation::Zero { .. }) {
                    content.zero(offset, end.min(content.size()).saturating_sub(offset));
                }
                if !keep_size && end > content.size() {
                    content.resize(end);
                }
                Ok(())
            }
        })?
    }

    fn retain(&mut self, id: NodeId) {
        let handle = match self.node(id) {
            Ok(node) if node.open == 0 && matches!(node.body, Body::Below) => self.handle(id).ok(),
            _ => None,
        };
        if let Ok(node) = self.node_mut(id) {
            node.open = node.open.saturating_add(1);
            if handle.is_some() {
                node.handle = handle;
            }
        }
    }

    fn release(&mut self, id: NodeId) {
        if let Ok(node) = self.node_mut(id) {
            node.open = node.open.saturating_sub(1);
            if node.open == 0 {
                node.handle = None;
            }
            self.collect(id);
        }
    }

    fn large_content(&self, node: NodeId) -> Option<Content> {
        /// Bytes from which on a file is large.
        const LARGE: u64 = 1 << 20;
        match &self.nodes.get(&node)?.body {
            Body::Memory(content) if content.size() >= LARGE => Some(content.clone()),
            _ => None,
        }
    }

    fn held_bytes(&self) -> u64 {
        // Content with what finds it; a node, its entry in a directory, and its name twice.
        self.used_bytes
            + self.used_bytes / 32
            + (self.nodes.size() * (2 * size_of::<Node>() + NAME_MAX)) as u64
    }

    fn statistics(&self) -> VolumeStatistics {
        const TMPFS_MAGIC: u32 = 0x0102_1994;
        const OVERLAYFS_MAGIC: u32 = 0x794c_7630;
        VolumeStatistics {
            magic: if self.lower.is_some() { OVERLAYFS_MAGIC } else { TMPFS_MAGIC },
            blocks: self.capacity.bytes / CHUNK,
            free_blocks: self.room() / CHUNK,
            files: self.capacity.nodes,
            free_files: self.capacity.nodes.saturating_sub(self.made_nodes),
        }
    }

    fn save(&mut self, below: &[u8], covered: &BTreeSet<NodeId>, archive: &mut Vec<u8>) -> Result<(), Errno> {
        self.save_changes(below, covered, archive)
    }

    fn count_changes(&mut self, covered: &BTreeSet<NodeId>) -> Result<u64, Errno> {
        Tree::count_changes(self, covered)
    }

    fn is_overlay(&self) -> bool {
        self.has_lower()
    }

    fn load(&mut self, archive: &[u8], now: Timestamp) -> Result<(), ArchiveError> {
        self.load_changes(archive, now)
    }

    fn duplicate(&self) -> Box<dyn Volume> {
        Box::new(self.clone())
    }
}
