//! The files of `/proc` and `/sys`: which there are, and what their numbers say.
//!
//! Nodes are not kept: a node's number says which file of which process it is.

use super::table::{Content, PROCESS, ProcEntry, THREAD_ENTRIES, Table};
use crate::errno::Errno;
use crate::vfs::{FileType, NodeId, View};

/// A file of `/proc` or `/sys`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Node {
    /// A row of a [`Table`]; the first is the top directory.
    Fixed(Table, usize),
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

/// Where the inode numbers of files that belong to no process begin, as on Linux (PROC_DYNAMIC_FIRST).
const FIXED: u64 = 0xf000_0000;
/// The bits of an inode number that a descriptor's file has, besides the 30 of process and descriptor.
const DESCRIPTOR: u64 = 0x4000_0000;
const DESCRIPTOR_TEXT: u64 = 0x8000_0000;

/// Process and descriptor in 30 bits, which no two files have as long as descriptors stay below 32,768.
fn mixed(process: u32, fd: u32) -> u64 {
    u64::from((process << 15 ^ fd) & 0x3fff_ffff)
}

impl Node {
    /// The number: the kind in bits 56 to 63, the process in 32 to 55, and below them the
    /// [inode](NodeId::inode): 22 bits of process or thread, three of the kind and seven of the row, or what
    /// stands for a descriptor. Numbers of processes stay below 2^15.
    pub(super) fn id(self) -> NodeId {
        let pack =
            |kind: u64, process: u32, inode: u64| NodeId(kind << 56 | u64::from(process) << 32 | inode);
        let of_row = |kind: u64, number: u32, row: usize| {
            u64::from(number & 0x3f_ffff) << 10 | kind << 7 | row as u64 & 0x7f
        };
        match self {
            Self::Fixed(Table::Proc, 0) => NodeId(1),
            Self::Fixed(table, row) => {
                let kind = if table == Table::Proc { 1 } else { 2 };
                pack(kind, 0, FIXED | kind << 16 | row as u64)
            }
            Self::Process(process) => pack(3, process, of_row(3, process, 0)),
            Self::Task(process, thread) => pack(4, process, of_row(4, thread, 0)),
            Self::Entry(row, process, 0) => pack(5, process, of_row(5, process, row)),
            Self::Entry(row, process, thread) => pack(6, process, of_row(6, thread, row)),
            Self::Descriptor(process, fd) => pack(7, process, DESCRIPTOR | mixed(process, fd)),
            Self::DescriptorText(process, fd) => pack(8, process, DESCRIPTOR_TEXT | mixed(process, fd)),
        }
    }

    /// The inverse of [`Node::id`].
    pub(super) fn from_id(id: NodeId) -> Result<Self, Errno> {
        let (process, inode) = ((id.0 >> 32 & 0xff_ffff) as u32, id.inode());
        let (number, row) = (inode >> 10, inode as usize & 0x7f);
        let fd = || u32::try_from(mixed(process, inode)).unwrap_or_default();
        let fixed = |table: Table| {
            let row = (inode & 0xffff) as usize;
            (row < table.rows().len()).then_some(Self::Fixed(table, row)).ok_or(Errno::ENOENT)
        };
        Ok(match id.0 >> 56 {
            0 => Self::Fixed(Table::Proc, 0),
            1 => fixed(Table::Proc)?,
            2 => fixed(Table::Sys)?,
            3 => Self::Process(process),
            4 => Self::Task(process, number),
            5 if row < PROCESS.len() => Self::Entry(row, process, 0),
            6 if row < PROCESS.len() => Self::Entry(row, process, number),
            7 => Self::Descriptor(process, fd()),
            8 => Self::DescriptorText(process, fd()),
            _ => return Err(Errno::ENOENT),
        })
    }

    /// The row of a table that it is, if it is one.
    fn row(self) -> Option<&'static ProcEntry> {
        match self {
            Self::Fixed(table, row) => table.rows().get(row),
            Self::Entry(row, ..) => PROCESS.get(row),
            _ => None,
        }
    }

    pub(super) fn content(self) -> Option<Content> {
        self.row().map(|row| row.content)
    }

    pub(super) fn file_type(self) -> FileType {
        match (self, self.content()) {
            (Self::Process(_) | Self::Task(..), _) => FileType::Directory,
            (Self::Descriptor(..), _) | (_, Some(Content::Link(_))) => FileType::Symlink,
            (
                _,
                Some(Content::Directory | Content::Descriptors | Content::DescriptorTexts | Content::Threads),
            ) => FileType::Directory,
            _ => FileType::Regular,
        }
    }

    pub(super) fn mode(self) -> u32 {
        match (self.row(), self.file_type()) {
            (Some(row), _) => row.mode,
            (None, FileType::Directory) => 0o555,
            (None, FileType::Symlink) => 0o777,
            (None, _) => 0o444,
        }
    }

    /// The process whose file it is.
    pub(super) fn process(self) -> Option<u32> {
        match self {
            Self::Process(process)
            | Self::Task(process, _)
            | Self::Entry(_, process, _)
            | Self::Descriptor(process, _)
            | Self::DescriptorText(process, _) => Some(process),
            Self::Fixed(..) => None,
        }
    }

    pub(super) fn name(self) -> String {
        match self {
            Self::Fixed(..) | Self::Entry(..) => self.row().map_or("", |row| last_part(row.path)).into(),
            Self::Process(number)
            | Self::Task(_, number)
            | Self::Descriptor(_, number)
            | Self::DescriptorText(_, number) => number.to_string(),
        }
    }

    pub(super) fn parent(self) -> Option<Self> {
        let holder = |wanted: fn(Content) -> bool, process| {
            let row = PROCESS.iter().position(|row| wanted(row.content))?;
            Some(Self::Entry(row, process, 0))
        };
        match self {
            Self::Fixed(_, 0) => None,
            Self::Process(_) => Some(Self::Fixed(Table::Proc, 0)),
            Self::Fixed(table, row) => {
                let row = directory_of(table.rows(), table.rows().get(row)?.path);
                Some(Self::Fixed(table, row.unwrap_or(0)))
            }
            Self::Entry(row, process, thread) => match directory_of(PROCESS, PROCESS.get(row)?.path) {
                Some(above) => Some(Self::Entry(above, process, thread)),
                None if thread == 0 => Some(Self::Process(process)),
                None => Some(Self::Task(process, thread)),
            },
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
    pub(super) fn children(self, view: &View<'_>) -> Vec<Self> {
        let entries = |above: &str, most: usize, process, thread| {
            let rows = rows_in(&PROCESS[..most], above);
            rows.into_iter().map(|row| Self::Entry(row, process, thread)).collect()
        };
        match self {
            Self::Fixed(table, row) => {
                let rows = table.rows().get(row).map_or_else(Vec::new, |own| rows_in(table.rows(), own.path));
                let fixed = rows.into_iter().map(|row| Self::Fixed(table, row));
                let processes = match (table, row) {
                    (Table::Proc, 0) => view.processes.processes(),
                    _ => Vec::new(),
                };
                fixed.chain(processes.into_iter().map(Self::Process)).collect()
            }
            Self::Process(process) => entries("", PROCESS.len(), process, 0),
            Self::Task(process, thread) => entries("", THREAD_ENTRIES, process, thread),
            Self::Entry(row, process, thread) => {
                let descriptors = || view.processes.descriptors(process).unwrap_or_default().into_iter();
                match PROCESS[row].content {
                    Content::Directory => entries(PROCESS[row].path, PROCESS.len(), process, thread),
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

    /// The child of a directory that is a row of a table and has this name there, if there is such a one.
    pub(super) fn named(self, name: &str) -> Option<Self> {
        let find = |rows: &[ProcEntry], above: &str| {
            let is_it = |row: &ProcEntry| match row.path.rsplit_once('/') {
                Some((directory, last)) => directory == above && last == name,
                None => above.is_empty() && row.path == name && !name.is_empty(),
            };
            rows.iter().position(is_it)
        };
        match self {
            Self::Fixed(table, row) => {
                find(table.rows(), table.rows().get(row)?.path).map(|row| Self::Fixed(table, row))
            }
            Self::Process(process) => find(PROCESS, "").map(|row| Self::Entry(row, process, 0)),
            Self::Task(process, thread) => {
                find(&PROCESS[..THREAD_ENTRIES], "").map(|row| Self::Entry(row, process, thread))
            }
            Self::Entry(row, process, thread) => {
                let above = PROCESS.get(row).filter(|row| matches!(row.content, Content::Directory))?;
                find(PROCESS, above.path).map(|row| Self::Entry(row, process, thread))
            }
            Self::Descriptor(..) | Self::DescriptorText(..) => None,
        }
    }

    /// The child of a directory that has a number for its name, if there is such a one.
    pub(super) fn numbered(self, view: &View<'_>, number: u32) -> Option<Self> {
        let child = match self {
            Self::Fixed(Table::Proc, 0) => Self::Process(number),
            Self::Entry(row, process, _) => match PROCESS[row].content {
                Content::Threads => Self::Task(process, number),
                Content::Descriptors => Self::Descriptor(process, number),
                Content::DescriptorTexts => Self::DescriptorText(process, number),
                _ => return None,
            },
            _ => return None,
        };
        child.exists(view).then_some(child)
    }

    pub(super) fn exists(self, view: &View<'_>) -> bool {
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

/// The rows of a table that lie directly in the directory at `above`.
fn rows_in(rows: &[ProcEntry], above: &str) -> Vec<usize> {
    let lies_there = |row: &&usize| {
        let path = rows[**row].path;
        !path.is_empty() && path.rsplit_once('/').map_or("", |(directory, _)| directory) == above
    };
    let all: Vec<usize> = (0..rows.len()).collect();
    all.iter().filter(lies_there).copied().collect()
}

/// The row of the directory that holds `path`, if that is a row.
fn directory_of(rows: &[ProcEntry], path: &str) -> Option<usize> {
    let (above, _) = path.rsplit_once('/')?;
    rows.iter().position(|row| row.path == above)
}

fn last_part(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn numbers_lead_back_to_their_files_and_inodes_tell_them_apart() {
        let mut inodes = BTreeSet::new();
        let fixed = [Table::Proc, Table::Sys]
            .into_iter()
            .flat_map(|table| (0..table.rows().len()).map(move |row| Node::Fixed(table, row)));
        let of_processes = [1_u32, 2, 300, 1000, 1001, 32767].into_iter().flat_map(|process| {
            let rows = move |thread| (0..PROCESS.len()).map(move |row| Node::Entry(row, process, thread));
            let fds = [0, 1, 2, 3, 255, 1023, 32767].into_iter();
            let threads = [process, process ^ 4096].into_iter();
            [Node::Process(process)]
                .into_iter()
                .chain(rows(0))
                .chain(threads.flat_map(move |thread| rows(thread).chain([Node::Task(process, thread)])))
                .chain(fds.clone().map(move |fd| Node::Descriptor(process, fd)))
                .chain(fds.map(move |fd| Node::DescriptorText(process, fd)))
        });
        for node in fixed.chain(of_processes) {
            assert_eq!(Node::from_id(node.id()), Ok(node));
            assert!(inodes.insert(node.id().inode()), "{node:?} has the inode of another file");
        }
    }
}
