//! What `/proc` knows of the kernel.

use crate::arena::Arena;
use crate::ids::{ProcessId, TaskId};
use crate::ipc::Ipc;
use crate::numbered::Numbered;
use crate::objects::FileDescriptors;
use crate::processor::Cpuid;
use crate::signal::Actions;
use crate::space::Space;
use crate::task::{Process, Task};
use crate::time::Timekeeper;
use crate::vfs::Location;

/// The kernel's processes, as files see them.
pub(crate) struct Processes<'a> {
    pub(crate) current: TaskId,
    pub(crate) tasks: &'a Numbered<TaskId, Task>,
    pub(crate) processes: &'a Numbered<ProcessId, Process>,
    pub(crate) spaces: &'a Arena<Space>,
    pub(crate) files: &'a Arena<FileDescriptors>,
    pub(crate) locations: &'a Arena<Location>,
    pub(crate) actions: &'a Arena<Actions>,
    pub(crate) uptime: u64,
    pub(crate) time: &'a Timekeeper,
    pub(crate) ipc: &'a Ipc,
    pub(crate) cpuid: &'a Cpuid,
    /// Node and domain name (uname(2)).
    pub(crate) names: [&'a [u8]; 2],
    /// The last number that a process or thread got.
    pub(crate) last_number: u32,
    /// When the machine started, seconds since 1970.
    pub(crate) boot: i64,
}

impl Processes<'_> {
    pub(crate) fn process(&self, number: u32) -> Option<&Process> {
        self.processes.get(&ProcessId(number))
    }

    /// A living thread of the process.
    pub(crate) fn task(&self, number: u32) -> Option<&Task> {
        self.tasks.get(self.process(number)?.threads.first()?)
    }
}
