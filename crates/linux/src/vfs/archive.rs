//! An overlay as a tar file: what a guest has changed, to keep and to bring back.
//!
//! The format is POSIX ustar with PAX records for long names and large sizes, as tar(1) reads and
//! writes it. Removed names are files called `.wh.NAME`, and a directory that hides what is below
//! it holds a file `.wh..wh..opq`, as the layers of container images have them.

use std::collections::{BTreeMap, BTreeSet};

use super::attributes::{Change, DeviceNumber, FileType, Owner, Timestamp};
use super::tar_entry::{TAR_BLOCK, TarAmendments, TarEntry, pad};
use super::tree::{Body, Slot, Tree};
use super::view::{NoProcesses, View};
use super::vnode::{NodeId, ROOT};
use super::volume::{NAME_MAX, NewNode, Volume};
use crate::errno::Errno;

/// What a removed name is called.
const WHITEOUT: &[u8] = b".wh.";

/// Marks a directory that hides what is below it.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Directories in one another at most; deeper ones are refused.
const DEPTH_MAX: usize = 1024;

/// Why a tar file cannot be taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// A header or the records before it cannot be read.
    #[error("the tar file has {what} at offset {offset}")]
    Header {
        /// Where in the file.
        offset: usize,
        /// What is there in place of a header.
        what: &'static str,
    },
    /// An entry's content is cut off.
    #[error("the content of {path} is cut off")]
    Truncated {
        /// The entry's path in the archive.
        path: String,
    },
    /// An entry cannot be made.
    #[error("cannot make {path}: {errno}")]
    Entry {
        /// The entry's path in the archive.
        path: String,
        /// What the file system says of it.
        errno: Errno,
    },
}

fn show(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// One change of a tree; paths are relative to its top.
enum Item {
    /// A file that is new or different, as an entry of this type.
    File { path: Vec<u8>, node: NodeId, kind: u8 },
    /// A name that is gone.
    Removed { path: Vec<u8> },
    /// A directory that hides what is below it.
    Opaque { path: Vec<u8> },
}

/// Finds the changes of a tree.
struct Finder<'a> {
    tree: &'a mut Tree,
    /// Directories that something is mounted on: made for the mount, they are no change.
    covered: &'a BTreeSet<NodeId>,
    items: Vec<Item>,
}

impl Finder<'_> {
    /// Finds what has changed in a directory; everything in it if `all`.
    fn directory(&mut self, id: NodeId, path: &[u8], all: bool, depth: usize) -> Result<(), Errno> {
        if depth > DEPTH_MAX {
            return Err(Errno::ELOOP);
        }
        if all {
            self.tree.adopt_all(id)?;
        }
        let directory = self.tree.directory(id)?;
        let slots: Vec<_> = directory.slots.iter().map(|(name, slot)| (name.clone(), *slot)).collect();
        for (name, slot) in slots {
            let path = super::folder::join(path, &name);
            match slot {
                Slot::Whiteout if all => {}
                Slot::Whiteout => self.items.push(Item::Removed { path }),
                Slot::Present(node) => self.node(node, &path, all, depth)?,
            }
        }
        Ok(())
    }

    fn node(&mut self, id: NodeId, path: &[u8], all: bool, depth: usize) -> Result<(), Errno> {
        let node = self.tree.node(id)?;
        // A file of the folder below that is where it was needs no entry.
        let in_place = node.origin.as_deref() == Some(path);
        let changed = all || node.touched || !in_place;
        if let Body::Directory(directory) = &node.body {
            if node.origin.is_none() && directory.slots.is_empty() && self.covered.contains(&id) {
                return Ok(());
            }
            let opaque = !all && node.origin.is_none();
            let below_moved = !in_place && directory.lower.is_some();
            if changed {
                self.items.push(Item::File { path: path.to_vec(), node: id, kind: b'5' });
            }
            if (opaque || below_moved) && changed && self.tree.has_lower() {
                self.items.push(Item::Opaque { path: path.to_vec() });
            }
            return self.directory(id, path, all || below_moved, depth + 1);
        }
        let kind = match node.attributes.file_type {
            FileType::Regular => b'0',
            FileType::Symlink => b'2',
            FileType::CharacterDevice => b'3',
            FileType::BlockDevice => b'4',
            FileType::Fifo => b'6',
            // A socket without its process is nothing.
            FileType::Socket | FileType::Directory => return Ok(()),
        };
        if changed {
            self.items.push(Item::File { path: path.to_vec(), node: id, kind });
        }
        Ok(())
    }
}

/// Writes the changes of a tree.
struct Writer<'a> {
    tree: &'a mut Tree,
    archive: &'a mut Vec<u8>,
    /// What all paths are put under.
    below: &'a [u8],
    /// Files with several names that are in the archive already.
    written: BTreeMap<NodeId, Vec<u8>>,
}

impl Writer<'_> {
    fn item(&mut self, item: &Item) -> Result<(), Errno> {
        match item {
            Item::File { path, node, kind } => self.entry(*node, path, *kind)?,
            Item::Removed { path } => {
                let start = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
                self.marker(&[&path[..start], WHITEOUT, &path[start..]].concat());
            }
            Item::Opaque { path } => self.marker(&super::folder::join(path, OPAQUE)),
        }
        Ok(())
    }

    fn marker(&mut self, path: &[u8]) {
        let header = TarEntry {
            path: super::folder::join(self.below, path),
            kind: b'0',
            mode: 0,
            uid: 0,
            gid: 0,
            size: 0,
            modified: Timestamp::default(),
            target: Vec::new(),
            device: DeviceNumber::default(),
        };
        header.write(self.archive);
    }

    fn entry(&mut self, id: NodeId, path: &[u8], kind: u8) -> Result<(), Errno> {
        let attributes = self.tree.node(id)?.attributes;
        let mut header = TarEntry {
            path: super::folder::join(self.below, path),
            kind,
            mode: attributes.mode,
            uid: attributes.uid,
            gid: attributes.gid,
            size: if kind == b'0' { attributes.size } else { 0 },
            modified: attributes.modified,
            target: Vec::new(),
            device: attributes.device,
        };
        if kind != b'5' && attributes.links > 1 {
            if let Some(first) = self.written.get(&id) {
                header.target = first.clone();
                (header.kind, header.size) = (b'1', 0);
                header.write(self.archive);
                return Ok(());
            }
            self.written.insert(id, header.path.clone());
        }
        if let Body::Symlink(target) = &self.tree.node(id)?.body {
            header.target = target.clone();
        }
        if kind == b'5' {
            header.path.push(b'/');
        }
        header.write(self.archive);
        self.content(id, header.size)
    }

    /// Appends `size` bytes of a file.
    fn content(&mut self, id: NodeId, size: u64) -> Result<(), Errno> {
        let view =
            View { now: Timestamp::default(), monotonic: 0, file_size: u64::MAX, processes: &NoProcesses };
        let (mut offset, mut buffer) = (0, vec![0; 1 << 16]);
        while offset < size {
            let wanted = (size - offset).min(buffer.len() as u64) as usize;
            match self.tree.read(&view, id, offset, &mut buffer[..wanted])? {
                // A file that has become shorter on the host.
                0 => break,
                read => {
                    self.archive.extend_from_slice(&buffer[..read]);
                    offset += read as u64;
                }
            }
        }
        let missing = size.saturating_sub(offset) as usize;
        self.archive.resize(self.archive.len() + missing, 0);
        pad(self.archive);
        Ok(())
    }
}

/// Ends a tar file.
pub(super) fn end_archive(archive: &mut Vec<u8>) {
    archive.resize(archive.len() + 2 * TAR_BLOCK, 0);
}

impl Tree {
    /// The tree's changes, in the order of names; everything where there is no folder below.
    fn changes(&mut self, covered: &BTreeSet<NodeId>) -> Result<Vec<Item>, Errno> {
        let mut finder = Finder { tree: self, covered, items: Vec::new() };
        finder.directory(ROOT, b"", false, 0)?;
        Ok(finder.items)
    }

    /// Appends the tree's changes to a tar file, their paths put under `below`.
    pub(crate) fn save_changes(
        &mut self,
        below: &[u8],
        covered: &BTreeSet<NodeId>,
        archive: &mut Vec<u8>,
    ) -> Result<(), Errno> {
        let items = self.changes(covered)?;
        let mut writer = Writer { tree: self, archive, below, written: BTreeMap::new() };
        items.iter().try_for_each(|item| writer.item(item))
    }

    /// How many files that are no directories have been made, written, changed or removed.
    pub(crate) fn count_changes(&mut self, covered: &BTreeSet<NodeId>) -> Result<u64, Errno> {
        let is_file =
            |item: &&Item| matches!(item, Item::Removed { .. } | Item::File { kind: b'0'..=b'4' | b'6', .. });
        Ok(self.changes(covered)?.iter().filter(is_file).count() as u64)
    }

    /// Makes the changes that a tar file holds.
    pub(crate) fn load_changes(&mut self, archive: &[u8], now: Timestamp) -> Result<(), ArchiveError> {
        let (mut offset, mut amendments) = (0, TarAmendments::default());
        // Directories get their times last, when nothing is put into them any more.
        let mut directories = Vec::new();
        while let Some(block) = archive.get(offset..).and_then(|rest| rest.first_chunk::<TAR_BLOCK>()) {
            if block.iter().all(|byte| *byte == 0) {
                break;
            }
            let damaged = |what| ArchiveError::Header { offset, what };
            let mut entry = TarEntry::read(block).map_err(damaged)?;
            let describes_another = matches!(entry.kind, b'x' | b'g');
            if !describes_another {
                entry.amend(std::mem::take(&mut amendments));
            }
            let start = offset + TAR_BLOCK;
            let size = usize::try_from(entry.size).ok().filter(|size| *size <= archive.len() - start);
            let size = size.ok_or_else(|| ArchiveError::Truncated { path: show(&entry.path) })?;
            let content = &archive[start..start + size];
            if entry.kind == b'x' {
                let taken = amendments.take(content, |_, _| Some(()));
                taken.ok_or(damaged("PAX records that cannot be read"))?;
            } else if !describes_another {
                let made = self.take_entry(&entry, content, now);
                let made = made.map_err(|errno| ArchiveError::Entry { path: show(&entry.path), errno })?;
                directories.extend(made.map(|id| (id, entry.modified)));
            }
            offset = start.saturating_add(size.next_multiple_of(TAR_BLOCK));
        }
        let view = View { now, monotonic: 0, file_size: u64::MAX, processes: &NoProcesses };
        for (id, modified) in directories {
            let _ = self.change(&view, id, &Change { modified: Some(modified), ..Change::default() });
        }
        Ok(())
    }

    /// The directory that holds the last component of an entry's path, and that component; `None`
    /// for the top itself. Missing directories are made; links are not followed.
    fn entry_place<'p>(
        &mut self,
        view: &View<'_>,
        path: &'p [u8],
    ) -> Result<Option<(NodeId, &'p [u8])>, Errno> {
        let parts = path.split(|byte| *byte == b'/');
        let mut parts = parts.filter(|part| !part.is_empty() && *part != b".").peekable();
        let mut at = ROOT;
        while let Some(name) = parts.next() {
            if name == b".." || name.len() > NAME_MAX || name.contains(&0) {
                return Err(Errno::EINVAL);
            }
            if parts.peek().is_none() {
                return Ok(Some((at, name)));
            }
            at = match self.lookup(view, at, name) {
                Ok(id) => id,
                Err(Errno::ENOENT) => self.create(view, at, name, &plain(FileType::Directory, 0o755))?,
                Err(other) => return Err(other),
            };
            self.directory(at)?;
        }
        Ok(None)
    }

    /// Makes one entry; a directory's node, for its times.
    fn take_entry(
        &mut self,
        header: &TarEntry,
        content: &[u8],
        now: Timestamp,
    ) -> Result<Option<NodeId>, Errno> {
        let view = View { now, monotonic: 0, file_size: u64::MAX, processes: &NoProcesses };
        let Some((directory, name)) = self.entry_place(&view, &header.path)? else { return Ok(None) };
        if name == OPAQUE {
            self.hide_lower(directory)?;
            return Ok(None);
        }
        if let Some(removed) = name.strip_prefix(WHITEOUT) {
            return match self.remove_all(&view, directory, removed, 0) {
                Ok(()) | Err(Errno::ENOENT) => Ok(None),
                Err(other) => Err(other),
            };
        }
        let old = self.lookup(&view, directory, name).ok();
        let is_directory = |tree: &Self, id| tree.directory(id).is_ok();
        if header.kind == b'1' {
            let (place, target) = self.entry_place(&view, &header.target)?.ok_or(Errno::EINVAL)?;
            let existing = self.lookup(&view, place, target)?;
            if old.is_some() {
                self.remove_all(&view, directory, name, 0)?;
            }
            return self.link(&view, existing, directory, name).map(|()| None);
        }
        let file_type = match header.kind {
            0 | b'0' | b'7' => FileType::Regular,
            b'2' => FileType::Symlink,
            b'3' => FileType::CharacterDevice,
            b'4' => FileType::BlockDevice,
            b'5' => FileType::Directory,
            b'6' => FileType::Fifo,
            _ => return Err(Errno::EINVAL),
        };
        let id = match old {
            Some(old) if file_type == FileType::Directory && is_directory(self, old) => old,
            old => {
                if old.is_some() {
                    self.remove_all(&view, directory, name, 0)?;
                }
                let new = NewNode {
                    device: header.device,
                    target: &header.target,
                    ..plain(file_type, header.mode)
                };
                self.create(&view, directory, name, &new)?
            }
        };
        let mut done = 0;
        while file_type == FileType::Regular && done < content.len() {
            done += self.write(&view, id, done as u64, &content[done..])?;
        }
        let change = Change {
            mode: Some(header.mode),
            uid: Some(header.uid),
            gid: Some(header.gid),
            modified: Some(header.modified),
            ..Change::default()
        };
        self.change(&view, id, &change)?;
        Ok((file_type == FileType::Directory).then_some(id))
    }

    /// Removes a name, with everything in it if it is a directory.
    fn remove_all(
        &mut self,
        view: &View<'_>,
        directory: NodeId,
        name: &[u8],
        depth: usize,
    ) -> Result<(), Errno> {
        if depth > DEPTH_MAX {
            return Err(Errno::ELOOP);
        }
        let id = self.lookup(view, directory, name)?;
        let is_directory = self.directory(id).is_ok();
        if is_directory {
            for entry in self.list(view, id)? {
                self.remove_all(view, id, &entry.name, depth + 1)?;
            }
        }
        self.remove(view, directory, name, is_directory)
    }
}

fn plain(file_type: FileType, mode: u32) -> NewNode<'static> {
    NewNode { file_type, mode, owner: Owner::default(), device: DeviceNumber::default(), target: b"" }
}
