//! `/proc` (proc(5)): a volume whose files say what the kernel knows at the moment of reading.
//!
//! Nodes are not kept: a node's number says which file of which process it is. Links such as
//! `/proc/self/fd/0`, `cwd` or `root` lead to files of the guest and nowhere else.

use crate::errno::Errno;
use crate::objects::{FileSystem, MAY_NOT, Object};
use crate::vfs::{
    Allocation, Attributes, Caller, Change, Entry, FileType, LinkTarget, Name, NewNode, NodeId, Owner,
    ProcessFile, RenameMode, Statistics, SystemFile, View, Vnode, Volume,
};

/// A file of `/proc`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Node {
    Root,
    /// `self`
    OwnLink,
    /// `thread-self`
    OwnThreadLink,
    /// `mounts`
    MountsLink,
    /// A row of [`FIXED`].
    Fixed(usize),
    /// A row of [`SYSTEM_TEXTS`].
    System(usize),
    /// `PID`
    Process(u32),
    /// `PID/task`
    Tasks(u32),
    /// `PID/task/TID`
    Task(u32, u32),
    /// `PID/fd`
    Descriptors(u32),
    /// `PID/fd/N`
    Descriptor(u32, u32),
    /// `PID/fdinfo`
    DescriptorTexts(u32),
    /// `PID/fdinfo/N`
    DescriptorText(u32, u32),
    /// A row of [`PROCESS_TEXTS`].
    Text(usize, u32, u32),
    /// A row of [`PROCESS_LINKS`].
    Link(usize, u32),
    /// `PID/mounts`, `PID/mountinfo`
    Mounts(usize, u32),
}

/// Directories and unchanging files: path below `/proc`, and content, if it is a file.
#[rustfmt::skip]
const FIXED: &[(&str, Option<&str>)] = &[
    ("sys",                             None),
    ("sys/fs",                          None),
    ("sys/fs/file-max",                 Some("1048576\n")),
    ("sys/fs/nr_open",                  Some("1048576\n")),
    ("sys/fs/pipe-max-size",            Some("1048576\n")),
    ("sys/kernel",                      None),
    ("sys/kernel/cap_last_cap",         Some("40\n")),
    ("sys/kernel/ngroups_max",          Some("65536\n")),
    ("sys/kernel/overflowgid",          Some("65534\n")),
    ("sys/kernel/overflowuid",          Some("65534\n")),
    ("sys/kernel/ostype",               Some("Linux\n")),
    ("sys/kernel/pid_max",              Some("4194304\n")),
    ("sys/kernel/randomize_va_space",   Some("2\n")),
    ("sys/kernel/threads-max",          Some("65536\n")),
    ("sys/net",                         None),
    ("sys/net/core",                    None),
    ("sys/net/core/somaxconn",          Some("4096\n")),
    ("sys/vm",                          None),
    ("sys/vm/max_map_count",            Some("65530\n")),
    ("sys/vm/mmap_min_addr",            Some("65536\n")),
    ("sys/vm/overcommit_memory",        Some("1\n")),
    ("filesystems",                     Some("nodev\tproc\nnodev\ttmpfs\nnodev\tdevpts\nnodev\toverlay\n")),
    ("cmdline",                         Some("\n")),
    ("devices",                         Some("Character devices:\n  1 mem\n  5 tty\n136 pts\n\nBlock devices:\n")),
    ("swaps",                           Some("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n")),
    ("net",                             None),
    ("net/dev",                         Some("Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0\n")),
];

/// Files of the system whose content the kernel writes.
#[rustfmt::skip]
const SYSTEM_TEXTS: &[(&str, SystemFile)] = &[
    ("cpuinfo",                 SystemFile::Processors),
    ("loadavg",                 SystemFile::Load),
    ("meminfo",                 SystemFile::Memory),
    ("stat",                    SystemFile::Statistics),
    ("uptime",                  SystemFile::Uptime),
    ("version",                 SystemFile::Version),
    ("sys/kernel/osrelease",    SystemFile::Release),
    ("sys/kernel/version",      SystemFile::Build),
    ("sys/kernel/hostname",     SystemFile::HostName),
    ("sys/kernel/domainname",   SystemFile::DomainName),
];

/// Files of a process: name, content, permission bits.
#[rustfmt::skip]
const PROCESS_TEXTS: &[(&str, ProcessFile, u32)] = &[
    ("auxv",            ProcessFile::AuxiliaryVector, 0o400),
    ("cmdline",         ProcessFile::CommandLine,     0o444),
    ("comm",            ProcessFile::Name,            0o644),
    ("environ",         ProcessFile::Environment,     0o400),
    ("limits",          ProcessFile::Limits,          0o444),
    ("maps",            ProcessFile::Maps,            0o444),
    ("oom_score",       ProcessFile::Zero,            0o444),
    ("oom_score_adj",   ProcessFile::Zero,            0o644),
    ("stat",            ProcessFile::Stat,            0o444),
    ("statm",           ProcessFile::MemoryPages,     0o444),
    ("status",          ProcessFile::Status,          0o444),
];

/// Links of a process.
const PROCESS_LINKS: &[&str] = &["cwd", "exe", "root"];

/// Tables of mounts of a process.
const MOUNT_TABLES: &[&str] = &["mounts", "mountinfo"];

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
            Self::Root => NodeId(1),
            Self::OwnLink => pack(1, 0, 0, 0),
            Self::OwnThreadLink => pack(1, 1, 0, 0),
            Self::MountsLink => pack(1, 2, 0, 0),
            Self::Fixed(row) => pack(2, row, 0, 0),
            Self::System(row) => pack(3, row, 0, 0),
            Self::Process(process) => pack(4, 0, process, 0),
            Self::Tasks(process) => pack(5, 0, process, 0),
            Self::Task(process, thread) => pack(6, 0, process, thread),
            Self::Descriptors(process) => pack(7, 0, process, 0),
            Self::Descriptor(process, fd) => pack(8, 0, process, fd),
            Self::DescriptorTexts(process) => pack(9, 0, process, 0),
            Self::DescriptorText(process, fd) => pack(10, 0, process, fd),
            Self::Text(row, process, thread) => pack(11, row, process, thread),
            Self::Link(row, process) => pack(12, row, process, 0),
            Self::Mounts(row, process) => pack(13, row, process, 0),
        }
    }

    /// The inverse of [`Node::id`].
    fn from_id(id: NodeId) -> Result<Self, Errno> {
        let (row, process, inner) =
            ((id.0 >> 48 & 0xff) as usize, (id.0 >> 24 & 0xff_ffff) as u32, (id.0 & 0xff_ffff) as u32);
        Ok(match (id.0 >> 56, row) {
            (0, _) => Self::Root,
            (1, 0) => Self::OwnLink,
            (1, 1) => Self::OwnThreadLink,
            (1, _) => Self::MountsLink,
            (2, _) if row < FIXED.len() => Self::Fixed(row),
            (3, _) if row < SYSTEM_TEXTS.len() => Self::System(row),
            (4, _) => Self::Process(process),
            (5, _) => Self::Tasks(process),
            (6, _) => Self::Task(process, inner),
            (7, _) => Self::Descriptors(process),
            (8, _) => Self::Descriptor(process, inner),
            (9, _) => Self::DescriptorTexts(process),
            (10, _) => Self::DescriptorText(process, inner),
            (11, _) if row < PROCESS_TEXTS.len() => Self::Text(row, process, inner),
            (12, _) if row < PROCESS_LINKS.len() => Self::Link(row, process),
            (13, _) if row < MOUNT_TABLES.len() => Self::Mounts(row, process),
            _ => return Err(Errno::ENOENT),
        })
    }

    fn file_type(self) -> FileType {
        match self {
            Self::Root
            | Self::Process(_)
            | Self::Tasks(_)
            | Self::Task(..)
            | Self::Descriptors(_)
            | Self::DescriptorTexts(_) => FileType::Directory,
            Self::Fixed(row) if FIXED[row].1.is_none() => FileType::Directory,
            Self::OwnLink
            | Self::OwnThreadLink
            | Self::MountsLink
            | Self::Descriptor(..)
            | Self::Link(..) => FileType::Symlink,
            _ => FileType::Regular,
        }
    }

    fn mode(self) -> u32 {
        match self {
            Self::Text(row, ..) => PROCESS_TEXTS[row].2,
            Self::Descriptors(_) | Self::DescriptorTexts(_) => 0o500,
            _ => match self.file_type() {
                FileType::Directory => 0o555,
                FileType::Symlink => 0o777,
                _ => 0o444,
            },
        }
    }

    /// The process whose file it is.
    fn process(self) -> Option<u32> {
        match self {
            Self::Process(process)
            | Self::Tasks(process)
            | Self::Task(process, _)
            | Self::Descriptors(process)
            | Self::Descriptor(process, _)
            | Self::DescriptorTexts(process)
            | Self::DescriptorText(process, _)
            | Self::Text(_, process, _)
            | Self::Link(_, process)
            | Self::Mounts(_, process) => Some(process),
            _ => None,
        }
    }

    fn name(self) -> String {
        match self {
            Self::Root => String::new(),
            Self::OwnLink => "self".into(),
            Self::OwnThreadLink => "thread-self".into(),
            Self::MountsLink => "mounts".into(),
            Self::Fixed(row) => last_part(FIXED[row].0).into(),
            Self::System(row) => last_part(SYSTEM_TEXTS[row].0).into(),
            Self::Process(number)
            | Self::Task(_, number)
            | Self::Descriptor(_, number)
            | Self::DescriptorText(_, number) => number.to_string(),
            Self::Tasks(_) => "task".into(),
            Self::Descriptors(_) => "fd".into(),
            Self::DescriptorTexts(_) => "fdinfo".into(),
            Self::Text(row, ..) => PROCESS_TEXTS[row].0.into(),
            Self::Link(row, _) => PROCESS_LINKS[row].into(),
            Self::Mounts(row, _) => MOUNT_TABLES[row].into(),
        }
    }

    fn parent(self) -> Option<Self> {
        Some(match self {
            Self::Root => return None,
            Self::Fixed(row) => fixed_parent(FIXED[row].0),
            Self::System(row) => fixed_parent(SYSTEM_TEXTS[row].0),
            Self::OwnLink | Self::OwnThreadLink | Self::MountsLink | Self::Process(_) => Self::Root,
            Self::Task(process, _) => Self::Tasks(process),
            Self::Descriptor(process, _) => Self::Descriptors(process),
            Self::DescriptorText(process, _) => Self::DescriptorTexts(process),
            Self::Text(_, process, thread) if thread != 0 => Self::Task(process, thread),
            other => Self::Process(other.process()?),
        })
    }

    /// What a directory holds.
    fn children(self, view: &View<'_>) -> Vec<Self> {
        let below = |path: &str| match self {
            Self::Root => !path.contains('/'),
            Self::Fixed(row) => path.rsplit_once('/').is_some_and(|(above, _)| above == FIXED[row].0),
            _ => false,
        };
        let fixed = (0..FIXED.len()).filter(|row| below(FIXED[*row].0)).map(Self::Fixed);
        let texts = (0..SYSTEM_TEXTS.len()).filter(|row| below(SYSTEM_TEXTS[*row].0)).map(Self::System);
        let mut children: Vec<Self> = fixed.chain(texts).collect();
        match self {
            Self::Root => {
                children.extend([Self::OwnLink, Self::OwnThreadLink, Self::MountsLink]);
                children.extend(view.processes.processes().into_iter().map(Self::Process));
            }
            Self::Process(process) => {
                children.extend((0..PROCESS_TEXTS.len()).map(|row| Self::Text(row, process, 0)));
                children.extend((0..PROCESS_LINKS.len()).map(|row| Self::Link(row, process)));
                children.extend((0..MOUNT_TABLES.len()).map(|row| Self::Mounts(row, process)));
                children.extend([Self::Descriptors(process), Self::DescriptorTexts(process)]);
                children.push(Self::Tasks(process));
            }
            Self::Tasks(process) => {
                let threads = view.processes.threads(process);
                children.extend(threads.into_iter().map(|thread| Self::Task(process, thread)));
            }
            Self::Task(process, thread) => {
                children.extend((0..PROCESS_TEXTS.len()).map(|row| Self::Text(row, process, thread)));
            }
            Self::Descriptors(process) | Self::DescriptorTexts(process) => {
                if let Some(descriptors) = view.processes.descriptors(process) {
                    let one = |fd| match self {
                        Self::Descriptors(_) => Self::Descriptor(process, fd),
                        _ => Self::DescriptorText(process, fd),
                    };
                    children.extend(descriptors.iter().map(|(fd, _)| one(fd)));
                }
            }
            _ => {}
        }
        children
    }

    fn exists(self, view: &View<'_>) -> bool {
        match (self, self.process()) {
            (_, None) => true,
            (Self::Task(process, thread), _) => view.processes.threads(process).contains(&thread),
            (Self::Descriptor(process, fd) | Self::DescriptorText(process, fd), _) => {
                view.processes.descriptors(process).is_some_and(|table| table.get(fd).is_ok())
            }
            (_, Some(process)) => view.processes.owner(process).is_some(),
        }
    }
}

fn last_part(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

fn fixed_parent(path: &str) -> Node {
    let above = path.rsplit_once('/').map(|(above, _)| above);
    let row = above.and_then(|above| FIXED.iter().position(|(other, _)| *other == above));
    row.map_or(Node::Root, Node::Fixed)
}

/// A number as a file name has it: no sign, no leading zeroes.
fn number(name: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(name).ok()?;
    text.parse().ok().filter(|number: &u32| number.to_string() == text && *number < 1 << 22)
}

/// The volume behind `/proc`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct System;

impl System {
    fn target(view: &View<'_>, node: Node) -> Result<LinkTarget, Errno> {
        let text = |text: String| Ok(LinkTarget::Text(text.into_bytes()));
        let jump = |vnode: Vnode| Ok(LinkTarget::Jump(vnode, Vec::new()));
        match node {
            Node::OwnLink => text(view.processes.current().to_string()),
            Node::OwnThreadLink => {
                let (process, thread) = (view.processes.current(), view.processes.current_thread());
                text(format!("{process}/task/{thread}"))
            }
            Node::MountsLink => text("self/mounts".into()),
            Node::Link(row, process) => match PROCESS_LINKS[row] {
                "exe" => view.processes.executable(process).map(LinkTarget::Text).ok_or(Errno::ENOENT),
                "cwd" => jump(view.processes.location(process).ok_or(Errno::ENOENT)?.working_directory),
                _ => jump(view.processes.location(process).ok_or(Errno::ENOENT)?.root),
            },
            _ => Err(Errno::EINVAL),
        }
    }
}

impl Volume for System {
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
                Node::Tasks(process) => Node::Task(process, number),
                Node::Descriptors(process) => Node::Descriptor(process, number),
                Node::DescriptorTexts(process) => Node::DescriptorText(process, number),
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
            Some(process) if !node.exists(view) => {
                let _ = process;
                return Err(Errno::ENOENT);
            }
            Some(process) => view.processes.owner(process).ok_or(Errno::ENOENT)?,
            None => Owner::default(),
        };
        let mut attributes = Attributes::new(node.file_type(), node.mode(), owner, view.now);
        if let Node::Descriptor(..) | Node::Link(..) = node {
            attributes.size = 64;
        }
        Ok(attributes)
    }

    fn change(&mut self, _: &View<'_>, _: NodeId, change: &Change) -> Result<(), Errno> {
        // Opening with O_TRUNC before writing is usual, and does nothing here.
        if change.size.is_some() { Ok(()) } else { Err(Errno::EPERM) }
    }

    fn link_target(&mut self, view: &View<'_>, node: NodeId) -> Result<LinkTarget, Errno> {
        Self::target(view, Node::from_id(node)?)
    }

    fn list(&mut self, view: &View<'_>, directory: NodeId) -> Result<Vec<Entry>, Errno> {
        let entry = |node: Node| Entry {
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
        Err(MAY_NOT)
    }

    fn remove(&mut self, _: &View<'_>, _: NodeId, _: &[u8], _: bool) -> Result<(), Errno> {
        Err(MAY_NOT)
    }

    fn rename(
        &mut self,
        _: &View<'_>,
        _: (NodeId, &[u8]),
        _: (NodeId, &[u8]),
        _: RenameMode,
    ) -> Result<(), Errno> {
        Err(MAY_NOT)
    }

    fn read(&mut self, view: &View<'_>, node: NodeId, _: u64, _: &mut [u8]) -> Result<usize, Errno> {
        // Whoever reads through a description gets the text as a whole; see `system_text`.
        let _ = (view, node);
        Err(Errno::EINVAL)
    }

    fn write(&mut self, _: &View<'_>, node: NodeId, _: u64, bytes: &[u8]) -> Result<usize, Errno> {
        match Node::from_id(node)? {
            // Settings that have no meaning here are taken and forgotten.
            Node::Text(row, ..) if PROCESS_TEXTS[row].1 == ProcessFile::Zero => Ok(bytes.len()),
            _ => Err(Errno::EINVAL),
        }
    }

    fn allocate(&mut self, _: &View<'_>, _: NodeId, _: u64, _: u64, _: Allocation) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn retain(&mut self, _: NodeId) {}

    fn release(&mut self, _: NodeId) {}

    fn statistics(&self) -> Statistics {
        const PROC_SUPER_MAGIC: u32 = 0x9fa0;
        Statistics { magic: PROC_SUPER_MAGIC, blocks: 0, free_blocks: 0, files: 0, free_files: 0 }
    }

    fn duplicate(&self) -> Box<dyn Volume> {
        Box::new(*self)
    }
}

impl FileSystem {
    /// What a regular file of `/proc` says now.
    pub(crate) fn system_text(&mut self, caller: &Caller<'_>, file: Vnode) -> Result<Vec<u8>, Errno> {
        let processes = caller.view.processes;
        match Node::from_id(file.node)? {
            Node::Fixed(row) => Ok(FIXED[row].1.unwrap_or_default().as_bytes().to_vec()),
            Node::System(row) => Ok(processes.system_text(SYSTEM_TEXTS[row].1)),
            Node::Text(row, process, thread) => {
                let thread = if thread == 0 { process } else { thread };
                processes.text(process, thread, PROCESS_TEXTS[row].1).ok_or(Errno::ESRCH)
            }
            Node::Mounts(row, process) => {
                let root = processes.location(process).ok_or(Errno::EINVAL)?.root;
                Ok(self.mount_table(root, MOUNT_TABLES[row] == "mountinfo"))
            }
            Node::DescriptorText(process, fd) => {
                let table = processes.descriptors(process).ok_or(Errno::ENOENT)?;
                let description = self.description(table.get(fd)?.description);
                let (offset, flags) = (description.offset, description.flags.bits());
                let mount = description.vnode.volume.0.wrapping_add(1);
                let mut text = format!("pos:\t{offset}\nflags:\t0{flags:o}\nmnt_id:\t{mount}\n");
                if let Object::Process(number, serial) = description.object {
                    let living = processes.owner(number).is_some() && !processes.has_ended(number, serial);
                    let number = if living { i64::from(number) } else { -1 };
                    text.push_str(&format!("Pid:\t{number}\nNSpid:\t{number}\n"));
                }
                Ok(text.into_bytes())
            }
            _ => Err(Errno::EINVAL),
        }
    }

    /// Where `/proc/PID/fd/N` leads.
    pub(crate) fn descriptor_link(&self, caller: &Caller<'_>, file: Vnode) -> Result<Option<Vnode>, Errno> {
        if file.volume != self.system {
            return Ok(None);
        }
        let Node::Descriptor(process, fd) = Node::from_id(file.node)? else { return Ok(None) };
        let table = caller.view.processes.descriptors(process).ok_or(Errno::ENOENT)?;
        let descriptor = table.get(fd).map_err(|_| Errno::ENOENT)?;
        Ok(Some(self.description(descriptor.description).vnode))
    }

    /// `/proc/PID/mounts`, or `mountinfo`.
    fn mount_table(&self, root: Vnode, long: bool) -> Vec<u8> {
        let mut table = Vec::new();
        for (id, mounted) in self.mounts.iter() {
            let at = Vnode { volume: id, node: mounted.volume.root() };
            let Some(path) = self.path_of(root, at) else { continue };
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
}
