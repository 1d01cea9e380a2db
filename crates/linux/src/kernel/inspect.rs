//! What a host may ask about a program, as a debugger or a profiler does.

use pentimento_memory::Permissions;

use super::Kernel;
use crate::ids::{ProcessId, TaskId};
use crate::space::Space;

/// A range of a program's memory, as a line of `/proc/PID/maps` tells of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// Its first byte.
    pub start: u32,
    /// One past its last byte.
    pub end: u32,
    /// What the program may do there.
    pub permissions: Permissions,
    /// Where in the file its first byte is; 0 where there is no file.
    pub offset: u64,
    /// The path of the file; a name in brackets for a stack and the like, or nothing.
    pub name: Vec<u8>,
}

impl Kernel {
    /// The address space of `task`, unless it has ended.
    fn inspected(&self, task: TaskId) -> Option<&Space> {
        self.spaces.get(self.processes.get(&self.tasks.get(&task)?.process)?.space?)
    }

    /// What is mapped in the memory of `task`, by address; nothing once it has ended.
    #[must_use]
    pub fn mappings(&self, task: TaskId) -> Vec<Mapping> {
        let Some(space) = self.inspected(task) else { return Vec::new() };
        let mapping = |(start, area): (u32, &crate::space::Area)| Mapping {
            start,
            end: area.end,
            permissions: area.protection,
            offset: area.file_offset().unwrap_or(0),
            name: space.name_of(area).to_vec(),
        };
        space.areas.iter().map(mapping).collect()
    }

    /// The number of the address space of `task`, unless it has ended.
    #[must_use]
    pub fn space_of_task(&self, task: TaskId) -> Option<crate::SpaceId> {
        self.inspected(task).map(|space| space.id)
    }

    /// The process of `task`, unless it has ended.
    #[must_use]
    pub fn process_of(&self, task: TaskId) -> Option<ProcessId> {
        self.tasks.get(&task).map(|task| task.process)
    }

    /// The path of the program that a process runs, also where it has ended and nobody has waited for it.
    #[must_use]
    pub fn executable(&self, process: ProcessId) -> Option<&[u8]> {
        self.processes.get(&process).map(|process| &process.executable[..])
    }

    /// The auxiliary vector that `task`'s program was started with: pairs of little-endian words.
    #[must_use]
    pub fn auxiliary_vector(&self, task: TaskId) -> &[u8] {
        self.inspected(task).map_or(&[], |space| &space.auxiliary)
    }
}
