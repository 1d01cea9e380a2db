//! The volume behind `/proc`, whose files say what the kernel knows at the moment of reading.
//!
//! Nodes are not kept: a node's number says which file of which process it is. Links such as
//! `/proc/self/fd/0`, `cwd` or `root` lead to files of the guest and nowhere else.

use super::table::{Content, PROCESS, ProcEntry, SYSTEM, THREAD_ENTRIES};
use crate::arena::Id;
use crate::errno::Errno;
use crate::objects::Files;
use crate::vfs::{
    Allocation, Attributes, Caller, Change, DirectoryEntry, FileType, LinkTarget, Name, NewNode, NodeId,
    Owner, ROOT, RenameMode, Vfs, View, Vnode, Volume, VolumeStatistics,
};

/// A file of `/proc`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Node {
    Root,
    /// A row of [`SYSTEM`].
    System(usize),
    /// `PID`
    Process(u32),
    /// `PID/task/TID`
    Task(u32, u32),
    /// A row of [`PROCESS`], of a process and a thread; thread 0 for the process itself.
    Entry(usize, u32, u32),
    /// `PID/fd/N`
    Descriptor(u32, u32),
    /// `PID/fdinfo/N`
    DescriptorText(u32, u32),
}

impl Node {
    /// Packs the node: kind in bits 56 to 63, row in 48 to 55, process in 24 to 47, thread or
    /// descriptor in 0 to 23. Process and descriptor numbers stay below 2^22.
    fn id(self) -> NodeId {
        let pack = |kind: u64, row: usize, process: u32, inner: u32| {
            NodeId(
                kind << 56
                    | (row as u64 & 0xff) << 48
                    | u64::from(process & 0xff_ffff) << 24
                    | u64::from(inner & 0xff_ffff),
            )
        };
        match self {
            Self::Root => ROOT,
            Self::System(row) => pack(1, row, 0, 0),
            Self::Process(process) => pack(2, 0, process, 0),
            Self::Task(process, thread) => pack(3, 0, process, thread),
            Self::Entry(row, process, thread) => pack(4, row, process, thread),
            Self::Descriptor(process, fd) => pack(5, 0, process, fd),
            Self::DescriptorText(process, fd) => pack(6, 0, process, fd),
        }
    }

    /// The inverse of [`Node::id`].
    fn from_id(id: NodeId) -> Result<Self, Errno> {
        let (row, process, inner) =
            ((id.0 >> 48 & 0xff) as usize, (id.0 >> 24 & 0xff_ffff) as u32, (id.0 & 0xff_ffff) as u32);
        Ok(match id.0 >> 56 {
            0 => Self::Root,
            1 if row < SYSTEM.len() => Self::System(row),
            2 => Self::Process(process),
            3 => Self::Task(process, inner),
            4 if row < PROCESS.len() => Self::Entry(row, process, inner),
            5 => Self::Descriptor(process, inner),
            6 => Self::DescriptorText(process, inner),
            _ => return Err(Errno::ENOENT),
        })
    }

    /// The row of a table that it is, if it is one.
    fn row(self) -> Option<&'static ProcEntry> {
        match self {
            Self::System(row) => SYSTEM.get(row),
            Self::Entry(row, ..) => PROCESS.get(row),
            _ => None,
        }
    }

    fn content(self) -> Option<Content> {
        self.row().map(|row| row.content)
    }

    fn file_type(self) -> FileType {
        match (self, self.content()) {
            (Self::Root | Self::Process(_) | Self::Task(..), _) => FileType::Directory,
            (Self::Descriptor(..), _) | (_, Some(Content::Link(_))) => FileType::Symlink,
            (
                _,
                Some(Content::Directory | Content::Descriptors | Content::DescriptorTexts | Content::Threads),
            ) => FileType::Directory,
            _ => FileType::Regular,
        }
    }

    fn mode(self) -> u32 {
        match (self.row(), self.file_type()) {
            (Some(row), _) => row.mode,
            (None, FileType::Directory) => 0o555,
            (None, FileType::Symlink) => 0o777,
            (None, _) => 0o444,
        }
    }

    /// The process whose file it is.
    fn process(self) -> Option<u32> {
        match self {
            Self::Process(process)
            | Self::Task(process, _)
            | Self::Entry(_, process, _)
            | Self::Descriptor(process, _)
            | Self::DescriptorText(process, _) => Some(process),
            Self::Root | Self::System(_) => None,
        }
    }

    fn name(self) -> String {
        match self {
            Self::Root => String::new(),
            Self::System(row) => last_part(SYSTEM[row].path).into(),
            Self::Entry(row, ..) => last_part(PROCESS[row].path).into(),
            Self::Process(number)
            | Self::Task(_, number)
            | Self::Descriptor(_, number)
            | Self::DescriptorText(_, number) => number.to_string(),
        }
    }

    fn parent(self) -> Option<Self> {
        let holder = |wanted: fn(Content) -> bool, process| {
            let row = PROCESS.iter().position(|row| wanted(row.content))?;
            Some(Self::Entry(row, process, 0))
        };
        match self {
            Self::Root => None,
            Self::Process(_) => Some(Self::Root),
            Self::System(row) => {
                let above = SYSTEM[row].path.rsplit_once('/').map(|(above, _)| above);
                let row = above.and_then(|above| SYSTEM.iter().position(|row| row.path == above));
                Some(row.map_or(Self::Root, Self::System))
            }
            Self::Entry(_, process, 0) => Some(Self::Process(process)),
            Self::Entry(_, process, thread) => Some(Self::Task(process, thread)),
            Self::Task(process, _) => holder(|content| matches!(content, Content::Threads), process),
            Self::Descriptor(process, _) => {
                holder(|content| matches!(content, Content::Descriptors), process)
            }
            Self::DescriptorText(process, _) => {
                holder(|content| matches!(content, Content::DescriptorTexts), process)
            }
        }
    }

    /// What a directory holds.
    fn children(self, view: &View<'_>) -> Vec<Self> {
        match self {
            Self::Root => {
                let top = (0..SYSTEM.len()).filter(|row| !SYSTEM[*row].path.contains('/')).map(Self::System);
                top.chain(view.processes.processes().into_iter().map(Self::Process)).collect()
            }
            Self::System(own) => {
                let is_below = |row: &usize| {
                    let above = SYSTEM[*row].path.rsplit_once('/').map(|(above, _)| above);
                    above == Some(SYSTEM[own].path)
                };
                (0..SYSTEM.len()).filter(is_below).map(Self::System).collect()
            }
            Self::Process(process) => (0..PROCESS.len()).map(|row| Self::Entry(row, process, 0)).collect(),
            Self::Task(process, thread) => {
                (0..THREAD_ENTRIES).map(|row| Self::Entry(row, process, thread)).collect()
            }
            Self::Entry(row, process, _) => {
                let descriptors = || view.processes.descriptors(process).unwrap_or_default().into_iter();
                match PROCESS[row].content {
                    Content::Threads => {
                        let threads = view.processes.threads(process).into_iter();
                        threads.map(|thread| Self::Task(process, thread)).collect()
                    }
                    Content::Descriptors => descriptors().map(|fd| Self::Descriptor(process, fd)).collect(),
                    Content::DescriptorTexts => {
                        descriptors().map(|fd| Self::DescriptorText(process, fd)).collect()
                    }
                    _ => Vec::new(),
                }
            }
            Self::Descriptor(..) | Self::DescriptorText(..) => Vec::new(),
        }
    }

    fn exists(self, view: &View<'_>) -> bool {
        match (self, self.process()) {
            (_, None) => true,
            (Self::Task(process, thread), _) => view.processes.threads(process).contains(&thread),
            (Self::Descriptor(process, fd) | Self::DescriptorText(process, fd), _) => {
                view.processes.descriptor(process, fd).is_some()
            }
            (_, Some(process)) => view.processes.owner(process).is_some(),
        }
    }
}

fn last_part(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// A number as a file name has it: no sign, no leading zeroes.
fn number(name: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(name).ok()?;
    text.parse().ok().filter(|number: &u32| number.to_string() == text && *number < 1 << 22)
}

/// The volume behind `/proc`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProcVolume;

impl Volume for ProcVolume {
    fn root(&self) -> NodeId {
        Node::Root.id()
    }

    fn kind(&self) -> &'static str {
        "proc"
    }

    fn lookup(&mut self, view: &View<'_>, directory: NodeId, name: &[u8]) -> Result<NodeId, Errno> {
        let directory = Node::from_id(directory)?;
        let numbered = number(name).and_then(|number| {
            Some(match directory {
                Node::Root => Node::Process(number),
                Node::Entry(row, process, _) => match PROCESS[row].content {
                    Content::Threads => Node::Task(process, number),
                    Content::Descriptors => Node::Descriptor(process, number),
                    Content::DescriptorTexts => Node::DescriptorText(process, number),
                    _ => return None,
                },
                _ => return None,
            })
        });
        let found = match numbered {
            Some(node) => node.exists(view).then_some(node),
            None => directory.children(view).into_iter().find(|child| child.name().as_bytes() == name),
        };
        found.map(Node::id).ok_or(Errno::ENOENT)
    }

    fn place(&self, node: NodeId) -> Option<(NodeId, Name)> {
        let node = Node::from_id(node).ok()?;
        Some((node.parent()?.id(), node.name().into_bytes().into()))
    }

    fn attributes(&mut self, view: &View<'_>, node: NodeId) -> Result<Attributes, Errno> {
        let node = Node::from_id(node)?;
        let owner = match node.process() {
            Some(_) if !node.exists(view) => return Err(Errno::ENOENT),
            Some(process) => view.processes.owner(process).ok_or(Errno::ENOENT)?,
            None => Owner::default(),
        };
        let mut attributes = Attributes::new(node.file_type(), node.mode(), owner, view.now);
        if node.process().is_some() && node.file_type() == FileType::Symlink {
            attributes.size = 64;
        }
        Ok(attributes)
    }

    fn change(&mut self, _: &View<'_>, _: NodeId, change: &Change) -> Result<(), Errno> {
        // Opening with O_TRUNC before writing is usual, and does nothing here.
        if change.size.is_some() { Ok(()) } else { Err(Errno::EPERM) }
    }

    fn link_target(&mut self, view: &View<'_>, node: NodeId) -> Result<LinkTarget, Errno> {
        match Node::from_id(node)? {
            Node::Descriptor(process, fd) => {
                let open = view.processes.descriptor(process, fd).ok_or(Errno::ENOENT)?;
                Ok(LinkTarget::Jump(open.file, Vec::new()))
            }
            node => match node.content() {
                Some(Content::Link(target)) => target(view, node.process().unwrap_or_default()),
                _ => Err(Errno::EINVAL),
            },
        }
    }

    fn list(&mut self, view: &View<'_>, directory: NodeId) -> Result<Vec<DirectoryEntry>, Errno> {
        let entry = |node: Node| DirectoryEntry {
            name: node.name().into_bytes().into(),
            node: node.id(),
            file_type: node.file_type(),
        };
        Ok(Node::from_id(directory)?.children(view).into_iter().map(entry).collect())
    }

    fn create(&mut self, _: &View<'_>, _: NodeId, _: &[u8], _: &NewNode<'_>) -> Result<NodeId, Errno> {
        Err(Errno::ENOENT)
    }

    fn link(&mut self, _: &View<'_>, _: NodeId, _: NodeId, _: &[u8]) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    fn remove(&mut self, _: &View<'_>, _: NodeId, _: &[u8], _: bool) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    fn rename(
        &mut self,
        _: &View<'_>,
        _: (NodeId, &[u8]),
        _: (NodeId, &[u8]),
        _: RenameMode,
    ) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    fn read(&mut self, view: &View<'_>, node: NodeId, _: u64, _: &mut [u8]) -> Result<usize, Errno> {
        // Whoever reads through a description gets the text as a whole: see `text_of`.
        let _ = (view, node);
        Err(Errno::EINVAL)
    }

    fn write(&mut self, view: &View<'_>, node: NodeId, _: u64, bytes: &[u8]) -> Result<usize, Errno> {
        let Node::Entry(row, process, thread) = Node::from_id(node)? else { return Err(Errno::EINVAL) };
        view.processes.set_text(row, process, thread, bytes)?;
        Ok(bytes.len())
    }

    fn allocate(&mut self, _: &View<'_>, _: NodeId, _: u64, _: u64, _: Allocation) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn retain(&mut self, _: NodeId) {}

    fn release(&mut self, _: NodeId) {}

    fn statistics(&self) -> VolumeStatistics {
        const PROC_SUPER_MAGIC: u32 = 0x9fa0;
        VolumeStatistics { magic: PROC_SUPER_MAGIC, blocks: 0, free_blocks: 0, files: 0, free_files: 0 }
    }

    fn duplicate(&self) -> Box<dyn Volume> {
        Box::new(*self)
    }
}

/// What a regular file of `/proc` says now.
pub(super) fn text_of(files: &Files, caller: &Caller<'_>, node: NodeId) -> Result<Vec<u8>, Errno> {
    let processes = caller.view.processes;
    let node = Node::from_id(node)?;
    match (node, node.content()) {
        (Node::DescriptorText(process, fd), _) => {
            let open = processes.descriptor(process, fd).ok_or(Errno::EBADF)?;
            let description = files.description(Id::from_number(open.description));
            let (offset, flags) = (description.offset, description.flags.bits());
            let mount = description.vnode.volume.0.wrapping_add(1);
            let facts = description.object.facts(processes);
            Ok(format!("pos:\t{offset}\nflags:\t0{flags:o}\nmnt_id:\t{mount}\n{facts}").into_bytes())
        }
        (_, Some(Content::Fixed(text))) => Ok(text.as_bytes().to_vec()),
        (Node::System(row), Some(Content::System(_))) => Ok(processes.system_text(row)),
        (Node::Entry(row, process, thread), Some(Content::Process(_) | Content::Setting(..))) => {
            let thread = if thread == 0 { process } else { thread };
            processes.process_text(row, process, thread).ok_or(Errno::ESRCH)
        }
        (Node::Entry(_, process, _), Some(Content::Mounts { long })) => {
            let root = processes.location(process).ok_or(Errno::EINVAL)?.root;
            Ok(mount_table(&files.vfs, root, long))
        }
        _ => Err(Errno::EINVAL),
    }
}

/// `/proc/PID/mounts`, or `mountinfo`.
fn mount_table(vfs: &Vfs, root: Vnode, long: bool) -> Vec<u8> {
    let mut table = Vec::new();
    for (id, mounted) in vfs.mounts() {
        let at = Vnode { volume: id, node: mounted.volume.root() };
        let Some(path) = vfs.path_of(root, at) else { continue };
        let path = String::from_utf8_lossy(&path).replace(' ', "\\040");
        let kind = mounted.volume.kind();
        let access = if mounted.read_only { "ro" } else { "rw" };
        let line = if long {
            let (number, minor) = (id.0 + 1, 0x10 + id.0);
            let parent = mounted.covers.map_or(number, |covered| covered.volume.0 + 1);
            format!("{number} {parent} 0:{minor} / {path} {access} - {kind} {kind} {access}\n")
        } else {
            format!("{kind} {path} {kind} {access} 0 0\n")
        };
        table.extend_from_slice(line.as_bytes());
    }
    table
}
