//! The volumes behind `/proc` and `/sys`, whose files say what the kernel knows at the moment of reading.
//!
//! Links such as `/proc/self/fd/0`, `cwd` or `root` lead to files of the guest and nowhere else.

use super::node::Node;
use super::table::{Content, Table};
use crate::arena::Id;
use crate::errno::Errno;
use crate::objects::Files;
use crate::vfs::{
    Allocation, Attributes, Caller, Change, DirectoryEntry, FileType, LinkTarget, Name, NewNode, NodeId,
    Owner, RenameMode, Setting, TextPart, Vfs, View, Vnode, Volume, VolumeStatistics,
};

/// A number as a file name has it: no sign, no leading zeroes.
fn number(name: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(name).ok()?;
    text.parse().ok().filter(|number: &u32| number.to_string() == text && *number < 1 << 22)
}

/// The volume behind `/proc`, or `/sys`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProcVolume(Table);

impl ProcVolume {
    pub(crate) const PROC: Self = Self(Table::Proc);
    pub(crate) const SYS: Self = Self(Table::Sys);
}

impl Volume for ProcVolume {
    fn root(&self) -> NodeId {
        Node::Fixed(self.0, 0).id()
    }

    fn kind(&self) -> &'static str {
        match self.0 {
            Table::Proc => "proc",
            Table::Sys => "sysfs",
        }
    }

    fn lookup(&mut self, view: &View<'_>, directory: NodeId, name: &[u8]) -> Result<NodeId, Errno> {
        let directory = Node::from_id(directory)?;
        let found = match number(name) {
            Some(number) => directory.numbered(view, number),
            None => std::str::from_utf8(name).ok().and_then(|name| directory.named(name)),
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

    fn write(&mut self, _: &View<'_>, _: NodeId, _: u64, _: &[u8]) -> Result<usize, Errno> {
        // Whoever writes through a description asks for a setting: see `setting_of`.
        Err(Errno::EINVAL)
    }

    fn allocate(&mut self, _: &View<'_>, _: NodeId, _: u64, _: u64, _: Allocation) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn retain(&mut self, _: NodeId) {}

    fn release(&mut self, _: NodeId) {}

    fn statistics(&self) -> VolumeStatistics {
        const PROC_SUPER_MAGIC: u32 = 0x9fa0;
        const SYSFS_MAGIC: u32 = 0x6265_6572;
        let magic = if self.0 == Table::Proc { PROC_SUPER_MAGIC } else { SYSFS_MAGIC };
        VolumeStatistics { magic, blocks: 0, free_blocks: 0, files: 0, free_files: 0 }
    }

    fn duplicate(&self) -> Box<dyn Volume> {
        Box::new(*self)
    }
}

/// The process whose memory a file of `/proc` is, if it is that.
pub(super) fn memory_owner(node: NodeId) -> Result<Option<u32>, Errno> {
    let node = Node::from_id(node)?;
    Ok(node.process().filter(|_| matches!(node.content(), Some(Content::Memory))))
}

/// What writing to a file of `/proc` asks of the kernel.
pub(super) fn setting_of(caller: &Caller<'_>, node: NodeId, bytes: &[u8]) -> Result<Setting, Errno> {
    match Node::from_id(node)? {
        Node::Entry(row, process, thread) => {
            let thread = if thread == 0 { process } else { thread };
            caller.view.processes.setting(row, process, thread, bytes)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// What a regular file of `/proc` or `/sys` says now.
pub(super) fn text_of(
    files: &Files,
    caller: &Caller<'_>,
    node: NodeId,
    from: u32,
) -> Result<TextPart, Errno> {
    let processes = caller.view.processes;
    let node = Node::from_id(node)?;
    let text = match (node, node.content()) {
        (Node::DescriptorText(process, fd), _) => {
            let open = processes.descriptor(process, fd).ok_or(Errno::EBADF)?;
            let description = files.description(Id::from_number(open.description));
            let (offset, flags) = (description.offset, description.flags.bits());
            let mount = description.vnode.volume.0.wrapping_add(1);
            let facts = description.object.facts(processes);
            Ok(format!("pos:\t{offset}\nflags:\t0{flags:o}\nmnt_id:\t{mount}\n{facts}").into_bytes())
        }
        (_, Some(Content::Fixed(text))) => Ok(text.as_bytes().to_vec()),
        (Node::Fixed(Table::Proc, row), Some(Content::System(_))) => Ok(processes.system_text(row)),
        (Node::Entry(_, process, _), Some(Content::Files(text))) => {
            // Networks and the like are the machine's, whichever process they are asked about.
            processes.owner(process).ok_or(Errno::ESRCH)?;
            Ok(text(files).into_bytes())
        }
        (_, Some(Content::Files(text))) => Ok(text(files).into_bytes()),
        (
            Node::Entry(row, process, thread),
            Some(Content::Process(_) | Content::Parts(_) | Content::Setting(..)),
        ) => {
            let thread = if thread == 0 { process } else { thread };
            return processes.process_text(row, process, thread, from).ok_or(Errno::ESRCH);
        }
        (Node::Entry(_, process, _), Some(Content::Mounts { long })) => {
            let root = processes.location(process).ok_or(Errno::EINVAL)?.root;
            Ok(mount_table(&files.vfs, root, long))
        }
        _ => Err(Errno::EINVAL),
    };
    text.map(|text| (text, None))
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
