//! The files of an archive or of an image's layers, one over the other, as a folder to read.

use std::collections::BTreeMap;
use std::sync::Arc;

use pentimento_linux::{
    DeviceNumber, Errno, FileType, HostAccess, HostChange, HostEntry, HostFile, HostFolder, HostMetadata,
    Timestamp,
};

use crate::archive::{Entries, Member, MemberContent};
use crate::error::ImageError;
use crate::source::{Budget, Part, plain_metadata};

/// What a name that a layer removes is called.
const WHITEOUT: &[u8] = b".wh.";

/// Marks a directory that shows nothing of the layers below.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Directories in one another, as a guest can still name them.
const DEPTH_MAX: usize = 1024;

/// Bytes of a name.
const NAME_MAX: usize = 255;

/// Symbolic links that are followed for one path.
const LINKS_MAX: usize = 40;

/// The number of a file in its tree.
type Number = usize;

const ROOT: Number = 0;

/// A directory, and a name in it.
type Position = (Number, Box<[u8]>);

#[derive(Clone, Debug)]
enum Body {
    Directory(BTreeMap<Box<[u8]>, Number>),
    File(Part),
    Symlink(Vec<u8>),
    Special(FileType, DeviceNumber),
}

#[derive(Clone, Debug)]
struct Node {
    body: Body,
    mode: u32,
    owner: (u32, u32),
    modified: Timestamp,
    /// Names that lead here.
    links: u32,
    /// The layer that said last what it is.
    layer: u32,
}

/// The files of a tar file or an image. It is only read.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    layer: u32,
}

impl Tree {
    /// A tree with nothing but its top directory.
    pub(crate) fn new() -> Self {
        Self { nodes: vec![Node::directory(0)], layer: 0 }
    }

    /// Adds all entries of a tar file. Names that begin with `.wh.` remove what the layers below
    /// have, if `whiteouts`.
    pub(crate) fn add(
        &mut self,
        mut entries: Entries,
        whiteouts: bool,
        budget: &mut Budget,
    ) -> Result<(), ImageError> {
        self.layer += 1;
        while let Some(entry) = entries.next()? {
            budget.take_entry()?;
            self.add_entry(entry, whiteouts, budget)?;
        }
        Ok(())
    }

    /// The names of a directory.
    fn names(&self, at: Number) -> Option<&BTreeMap<Box<[u8]>, Number>> {
        match &self.nodes[at].body {
            Body::Directory(names) => Some(names),
            _ => None,
        }
    }

    fn names_mut(&mut self, at: Number) -> Option<&mut BTreeMap<Box<[u8]>, Number>> {
        match &mut self.nodes[at].body {
            Body::Directory(names) => Some(names),
            _ => None,
        }
    }

    /// The directory that holds the last name of `path`, and that name; `None` for the top itself.
    /// Links on the way are followed within the tree, as container engines unpack layers; what is
    /// missing is made, if `budget`.
    fn place(
        &mut self,
        path: &[u8],
        mut budget: Option<&mut Budget>,
    ) -> Result<Option<Position>, ImageError> {
        let refuse = |what| Err(ImageError::entry(path, what));
        let mut left: Vec<Box<[u8]>> = components(path).map(Box::from).collect();
        if left.len() > DEPTH_MAX {
            return refuse("more than 1024 directories in one another");
        }
        if left.iter().any(|name| &**name == b"..") {
            return refuse("its path leads out of the archive");
        }
        if left.iter().any(|name| name.len() > NAME_MAX || name.contains(&0)) {
            return refuse("no name may have more than 255 bytes, or a zero in it");
        }
        left.reverse();
        // The directories from the top to where we are.
        let (mut above, mut links) = (vec![ROOT], 0);
        while let Some(name) = left.pop() {
            let at = above.last().copied().unwrap_or(ROOT);
            if left.is_empty() {
                return Ok(Some((at, name)));
            }
            if &*name == b".." {
                above.truncate(above.len().saturating_sub(1).max(1));
                continue;
            }
            let Some(names) = self.names(at) else { return refuse("its path leads through a file") };
            let next = match (names.get(&name).copied(), &mut budget) {
                (Some(next), _) => next,
                (None, Some(_)) if name.len() > NAME_MAX => {
                    return refuse("a link with a name of more than 255 bytes");
                }
                (None, Some(budget)) => {
                    budget.take_entry()?;
                    self.insert(at, name, Node::directory(self.layer))
                }
                (None, None) => return refuse("its path leads through a directory that is not there"),
            };
            if let Body::Symlink(target) = &self.nodes[next].body {
                links += 1;
                if links > LINKS_MAX || left.len() > DEPTH_MAX {
                    return refuse("its path leads through too many symbolic links");
                }
                if target.starts_with(b"/") {
                    above.truncate(1);
                }
                left.extend(components(target).map(Box::from).collect::<Vec<_>>().into_iter().rev());
            } else if above.len() > DEPTH_MAX {
                return refuse("more than 1024 directories in one another");
            } else {
                above.push(next);
            }
        }
        Ok(None)
    }

    fn insert(&mut self, directory: Number, name: Box<[u8]>, node: Node) -> Number {
        let number = self.nodes.len();
        self.nodes.push(node);
        if let Some(names) = self.names_mut(directory) {
            names.insert(name, number);
        }
        number
    }

    fn add_entry(&mut self, entry: Member, whiteouts: bool, budget: &mut Budget) -> Result<(), ImageError> {
        let (body, layer) = (self.body(&entry)?, self.layer);
        let Some((directory, name)) = self.place(&entry.path, Some(budget))? else {
            if matches!(body, Some(Body::Directory(_))) {
                self.nodes[ROOT].describe(&entry, layer);
            }
            return Ok(());
        };
        if self.names(directory).is_none() {
            return Err(ImageError::entry(&entry.path, "its path leads through a file"));
        }
        if whiteouts && &*name == OPAQUE {
            self.remove_below(directory, 0);
            return Ok(());
        }
        if whiteouts && let Some(removed) = name.strip_prefix(WHITEOUT) {
            self.remove_lower(directory, removed, 0);
            return Ok(());
        }
        let old = self.names(directory).and_then(|names| names.get(&name).copied());
        let Some(body) = body else { return self.link(&entry, directory, name, old) };
        // A directory that was there keeps what it holds.
        let kept = old.filter(|old| matches!(body, Body::Directory(_)) && self.names(*old).is_some());
        if let Some(kept) = kept {
            self.nodes[kept].describe(&entry, layer);
            return Ok(());
        }
        self.unlink(old);
        let mut node = Node { body, ..Node::directory(layer) };
        node.describe(&entry, layer);
        self.insert(directory, name, node);
        Ok(())
    }

    /// What an entry is to become; `None` for a hard link.
    fn body(&self, entry: &Member) -> Result<Option<Body>, ImageError> {
        Ok(Some(match &entry.content {
            MemberContent::HardLink(_) => return Ok(None),
            MemberContent::Directory => Body::Directory(BTreeMap::new()),
            MemberContent::File(part) => Body::File(part.clone()),
            MemberContent::Symlink(target)
                if target.is_empty() || target.len() > 4095 || target.contains(&0) =>
            {
                return Err(ImageError::entry(&entry.path, "no symbolic link can lead there"));
            }
            MemberContent::Symlink(target) => Body::Symlink(target.clone()),
            MemberContent::CharacterDevice(device) => Body::Special(FileType::CharacterDevice, *device),
            MemberContent::BlockDevice(device) => Body::Special(FileType::BlockDevice, *device),
            MemberContent::Fifo => Body::Special(FileType::Fifo, DeviceNumber::default()),
        }))
    }

    fn link(
        &mut self,
        entry: &Member,
        directory: Number,
        name: Box<[u8]>,
        old: Option<Number>,
    ) -> Result<(), ImageError> {
        let MemberContent::HardLink(target) = &entry.content else { return Ok(()) };
        let refuse = |what| Err(ImageError::entry(&entry.path, what));
        let found = match self.place(target, None) {
            Ok(Some((place, last))) => self.names(place).and_then(|names| names.get(&last).copied()),
            _ => None,
        };
        let Some(found) = found else { return refuse("a hard link to a file that is not there") };
        if self.names(found).is_some() {
            return refuse("a hard link to a directory");
        }
        if old == Some(found) {
            return Ok(());
        }
        self.unlink(old);
        self.nodes[found].links = self.nodes[found].links.saturating_add(1);
        if let Some(names) = self.names_mut(directory) {
            names.insert(name, found);
        }
        Ok(())
    }

    /// Accounts for a name that is no more.
    fn unlink(&mut self, number: Option<Number>) {
        if let Some(number) = number {
            let links = &mut self.nodes[number].links;
            *links = links.saturating_sub(1);
        }
    }

    /// Removes what the layers below have in a directory.
    fn remove_below(&mut self, directory: Number, depth: usize) {
        let names: Vec<Box<[u8]>> =
            self.names(directory).into_iter().flat_map(|names| names.keys().cloned()).collect();
        for name in names {
            self.remove_lower(directory, &name, depth);
        }
    }

    /// Removes what the layers below have under a name; what this layer has stays.
    fn remove_lower(&mut self, directory: Number, name: &[u8], depth: usize) {
        let Some(number) = self.names(directory).and_then(|names| names.get(name).copied()) else { return };
        if depth <= DEPTH_MAX && self.names(number).is_some() {
            self.remove_below(number, depth + 1);
        }
        let kept = self.nodes[number].layer == self.layer
            || self.names(number).is_some_and(|names| !names.is_empty());
        if !kept {
            if let Some(names) = self.names_mut(directory) {
                names.remove(name);
            }
            self.unlink(Some(number));
        }
    }

    /// The file at a path below the top, nothing followed.
    fn find(&self, path: &[u8]) -> Result<Number, Errno> {
        components(path).try_fold(ROOT, |at, name| {
            self.names(at).ok_or(Errno::ENOTDIR)?.get(name).copied().ok_or(Errno::ENOENT)
        })
    }

    fn metadata_of(&self, number: Number) -> HostMetadata {
        let node = &self.nodes[number];
        let (file_type, size, stored) = match &node.body {
            Body::Directory(_) => (FileType::Directory, 4096, 4096),
            Body::File(part) => (FileType::Regular, part.size, part.stored()),
            Body::Symlink(target) => (FileType::Symlink, target.len() as u64, 0),
            Body::Special(file_type, _) => (*file_type, 0, 0),
        };
        let device = match &node.body {
            Body::Special(_, device) => *device,
            _ => DeviceNumber::default(),
        };
        let subdirectories = || {
            let names = self.names(number).into_iter().flat_map(BTreeMap::values);
            names.filter(|child| self.names(**child).is_some()).count() as u32
        };
        HostMetadata {
            file_type,
            mode: node.mode,
            links: if file_type == FileType::Directory { 2 + subdirectories() } else { node.links },
            blocks: stored.div_ceil(4096) * 8,
            accessed: node.modified,
            modified: node.modified,
            changed: node.modified,
            identity: (0, number as u64),
            owner: Some(node.owner),
            device,
            ..plain_metadata(size)
        }
    }
}

impl Node {
    /// A directory that nothing has described.
    fn directory(layer: u32) -> Self {
        let body = Body::Directory(BTreeMap::new());
        Self { body, mode: 0o755, owner: (0, 0), modified: Timestamp::default(), links: 1, layer }
    }

    fn describe(&mut self, entry: &Member, layer: u32) {
        self.mode = entry.mode;
        self.owner = entry.owner;
        self.modified = entry.modified;
        self.layer = layer;
    }
}

/// The names of a path; a slash at its start and dots mean nothing.
fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".")
}

impl HostFolder for Tree {
    fn metadata(&self, path: &[u8]) -> Result<HostMetadata, Errno> {
        self.find(path).map(|number| self.metadata_of(number))
    }

    fn entries(&self, path: &[u8]) -> Result<Vec<HostEntry>, Errno> {
        let names = self.names(self.find(path)?).ok_or(Errno::ENOTDIR)?;
        let entries = names
            .iter()
            .map(|(name, number)| HostEntry { name: name.to_vec(), metadata: self.metadata_of(*number) });
        Ok(entries.collect())
    }

    fn read_link(&self, path: &[u8]) -> Result<Vec<u8>, Errno> {
        match &self.nodes[self.find(path)?].body {
            Body::Symlink(target) => Ok(target.clone()),
            _ => Err(Errno::EINVAL),
        }
    }

    fn open(&self, path: &[u8], access: HostAccess) -> Result<Arc<dyn HostFile>, Errno> {
        if access != HostAccess::Read {
            return Err(Errno::EROFS);
        }
        match &self.nodes[self.find(path)?].body {
            Body::File(part) => Ok(Arc::new(part.clone())),
            _ => Err(Errno::EACCES),
        }
    }

    fn make_folder(&self, _: &[u8], _: u32) -> Result<(), Errno> {
        Err(Errno::EROFS)
    }

    fn make_link(&self, _: &[u8], _: &[u8]) -> Result<(), Errno> {
        Err(Errno::EROFS)
    }

    fn link(&self, _: &[u8], _: &[u8]) -> Result<(), Errno> {
        Err(Errno::EROFS)
    }

    fn remove(&self, _: &[u8], _: bool) -> Result<(), Errno> {
        Err(Errno::EROFS)
    }

    fn rename(&self, _: &[u8], _: &[u8], _: bool) -> Result<(), Errno> {
        Err(Errno::EROFS)
    }

    fn change(&self, _: &[u8], _: &HostChange) -> Result<(), Errno> {
        Err(Errno::EROFS)
    }

    fn room(&self) -> Result<(u64, u64), Errno> {
        let stored = |node: &Node| match &node.body {
            Body::File(part) => part.stored(),
            _ => 0,
        };
        Ok((self.nodes.iter().map(stored).sum(), 0))
    }
}
