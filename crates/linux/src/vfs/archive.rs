//! An overlay as a tar file: what a guest has changed, to keep and to bring back.
//!
//! The format is POSIX ustar with PAX records for long names and large sizes, as tar(1) reads and
//! writes it. Removed names are files called `.wh.NAME`, and a directory that hides what is below
//! it holds a file `.wh..wh..opq`, as the layers of container images have them.

use std::collections::{BTreeMap, BTreeSet};

use super::attributes::{Change, DeviceNumber, FileType, Owner, Timestamp};
use super::pax::{pax_records, pax_time};
use super::tree::{Body, Slot, Tree};
use super::view::{NoProcesses, View};
use super::vnode::{NodeId, ROOT};
use super::volume::{NAME_MAX, NewNode, Volume};
use crate::errno::Errno;

/// Bytes of a header, and what everything in the file is padded to.
const BLOCK: usize = 512;

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
    /// A header is cut off, its checksum is wrong, or a field holds no number.
    #[error("no tar header at offset {offset}")]
    Header {
        /// Where in the file.
        offset: usize,
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

/// What a header says.
#[derive(Clone, Debug)]
struct Header {
    path: Vec<u8>,
    kind: u8,
    mode: u32,
    owner: Owner,
    size: u64,
    modified: Timestamp,
    target: Vec<u8>,
    device: DeviceNumber,
}

/// Writes `number` in octal into a field that ends in a zero; the largest that fits otherwise.
fn octal(field: &mut [u8], number: u64) {
    let digits = field.len() - 1;
    let number = number.min((1 << (3 * digits)) - 1);
    field[..digits].copy_from_slice(format!("{number:0digits$o}").as_bytes());
}

fn parse_octal(field: &[u8]) -> Option<u64> {
    let text = field.split(|byte| *byte == 0).next()?;
    let text = std::str::from_utf8(text).ok()?.trim();
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

impl Header {
    fn block(&self, path: &[u8]) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let put = |block: &mut [u8; BLOCK], at: usize, room: usize, bytes: &[u8]| {
            let length = bytes.len().min(room);
            block[at..at + length].copy_from_slice(&bytes[..length]);
        };
        put(&mut block, 0, 100, path);
        octal(&mut block[100..108], self.mode.into());
        octal(&mut block[108..116], self.owner.uid.into());
        octal(&mut block[116..124], self.owner.gid.into());
        octal(&mut block[124..136], self.size);
        octal(&mut block[136..148], u64::try_from(self.modified.seconds).unwrap_or(0));
        block[156] = self.kind;
        put(&mut block, 157, 100, &self.target);
        put(&mut block, 257, 8, b"ustar\x0000");
        octal(&mut block[329..337], self.device.major.into());
        octal(&mut block[337..345], self.device.minor.into());
        let sum = checksum(&block);
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }

    /// Appends the header, with PAX records before it where its fields are too small.
    fn write(&self, archive: &mut Vec<u8>) {
        let mut records = Vec::new();
        let mut record = |key: &str, value: &[u8]| {
            // The length counts its own digits.
            let rest = key.len() + value.len() + 3;
            let length =
                (1..).map(|digits| rest + digits).find(|length| length.to_string().len() + rest == *length);
            records.extend_from_slice(format!("{} {key}=", length.unwrap_or(rest)).as_bytes());
            records.extend_from_slice(value);
            records.push(b'\n');
        };
        if self.path.len() > 100 {
            record("path", &self.path);
        }
        if self.target.len() > 100 {
            record("linkpath", &self.target);
        }
        if self.size >= 1 << 33 {
            record("size", self.size.to_string().as_bytes());
        }
        if self.modified.nanoseconds != 0 || self.modified.seconds < 0 {
            let Timestamp { seconds, nanoseconds } = self.modified;
            record("mtime", format!("{seconds}.{nanoseconds:09}").as_bytes());
        }
        if !records.is_empty() {
            let size = records.len() as u64;
            let pax = Self { kind: b'x', size, target: Vec::new(), ..self.clone() };
            archive.extend_from_slice(&pax.block(b"././@PaxHeader"));
            archive.extend_from_slice(&records);
            pad(archive);
        }
        archive.extend_from_slice(&self.block(&self.path));
    }

    fn read(block: &[u8]) -> Option<Self> {
        let sum = parse_octal(&block[148..156])?;
        if u64::from(checksum(block)) != sum {
            return None;
        }
        let text = |range: std::ops::Range<usize>| {
            block[range].split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
        };
        let number = |range: std::ops::Range<usize>| parse_octal(&block[range]);
        let small = |range| number(range).map(|number| number as u32);
        let mut path = text(0..100);
        if &block[257..262] == b"ustar" && block[345] != 0 {
            let mut whole = text(345..500);
            whole.push(b'/');
            whole.extend_from_slice(&path);
            path = whole;
        }
        Some(Self {
            path,
            kind: block[156],
            mode: small(100..108)? & 0o7777,
            owner: Owner { uid: small(108..116)?, gid: small(116..124)? },
            size: number(124..136)?,
            modified: Timestamp { seconds: number(136..148)? as i64, nanoseconds: 0 },
            target: text(157..257),
            device: DeviceNumber::new(small(329..337)?, small(337..345)?),
        })
    }

    /// Applies PAX records.
    fn amend(&mut self, records: &[u8]) -> Option<()> {
        for (key, value) in pax_records(records)? {
            match key {
                b"path" => self.path = value.to_vec(),
                b"linkpath" => self.target = value.to_vec(),
                b"size" => self.size = std::str::from_utf8(value).ok()?.parse().ok()?,
                b"mtime" => self.modified = pax_time(value)?,
                _ => {}
            }
        }
        Some(())
    }
}

/// The sum of a header's bytes with its checksum field as spaces.
fn checksum(block: &[u8]) -> u32 {
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    let field: u32 = block[148..156].iter().map(|byte| u32::from(*byte)).sum();
    sum - field + 8 * u32::from(b' ')
}

fn pad(archive: &mut Vec<u8>) {
    archive.resize(archive.len().next_multiple_of(BLOCK), 0);
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
        let header = Header {
            path: super::folder::join(self.below, path),
            kind: b'0',
            mode: 0,
            owner: Owner::default(),
            size: 0,
            modified: Timestamp::default(),
            target: Vec::new(),
            device: DeviceNumber::default(),
        };
        header.write(self.archive);
    }

    fn entry(&mut self, id: NodeId, path: &[u8], kind: u8) -> Result<(), Errno> {
        let attributes = self.tree.node(id)?.attributes;
        let mut header = Header {
            path: super::folder::join(self.below, path),
            kind,
            mode: attributes.mode,
            owner: Owner { uid: attributes.uid, gid: attributes.gid },
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
    archive.resize(archive.len() + 2 * BLOCK, 0);
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
        let (mut offset, mut records) = (0, Vec::new());
        // Directories get their times last, when nothing is put into them any more.
        let mut directories = Vec::new();
        while let Some(block) = archive.get(offset..offset + BLOCK) {
            if block.iter().all(|byte| *byte == 0) {
                break;
            }
            let mut header = Header::read(block).ok_or(ArchiveError::Header { offset })?;
            if header.kind != b'x' && header.kind != b'g' {
                header.amend(&records).ok_or(ArchiveError::Header { offset })?;
                records.clear();
            }
            offset += BLOCK;
            let size = usize::try_from(header.size).ok().filter(|size| *size <= archive.len() - offset);
            let size = size.ok_or_else(|| ArchiveError::Truncated { path: show(&header.path) })?;
            let content = &archive[offset..offset + size];
            offset = offset.saturating_add(size.next_multiple_of(BLOCK));
            match header.kind {
                b'x' => records = content.to_vec(),
                b'g' => {}
                _ => {
                    let made = self.take_entry(&header, content, now);
                    let made =
                        made.map_err(|errno| ArchiveError::Entry { path: show(&header.path), errno })?;
                    directories.extend(made.map(|id| (id, header.modified)));
                }
            }
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
        header: &Header,
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
            uid: Some(header.owner.uid),
            gid: Some(header.owner.gid),
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
