//! Adding up what the kernel's own things take of the host's memory.

use std::collections::BTreeSet;

use super::Kernel;
use crate::ptrace::{EndedTracee, Tracing};
use crate::seccomp::Filter;
use crate::space::Space;
use crate::task::{Process, Task};

/// What a timer, a queued signal and a wait for a channel take.
pub(crate) const TIMER: u64 = 160;
pub(crate) const SIGNAL: u64 = 96;
pub(crate) const WAIT: u64 = 80;

impl Kernel {
    /// Sees to an audit where one is due.
    pub(crate) fn audit_if_due(&mut self) {
        if self.fs.vfs.account.is_due() {
            self.audit();
        }
    }

    /// Adds up what everything takes, and says whether there may be more room for pages than before.
    pub(crate) fn audit(&mut self) -> bool {
        self.release_shared();
        let tasks = self.tasks.values().map(|task| {
            let traced = if task.tracing.is_some() { size_of::<Tracing>() } else { 0 };
            (size_of::<Task>() + traced) as u64
                + signals(task.pending.len())
                + task.seccomp.filter().map_or(0, Filter::held_bytes)
        });
        let processes = self.processes.values().map(Process::held_bytes);
        let tables = self.files.iter().map(|(_, table)| table.held_bytes());
        let waits = self.scheduler.held_bytes();
        let bytes = tasks.sum::<u64>()
            + processes.sum::<u64>()
            + tables.sum::<u64>()
            + self.space_bytes()
            + waits
            + self.ipc.held_bytes()
            + self.fs.held_bytes();
        self.fs.vfs.account.audited(bytes)
    }

    /// Page tables, areas, and what is known of the objects behind them.
    fn space_bytes(&self) -> u64 {
        let (mut seen, mut bytes) = (BTreeSet::new(), 0);
        for (_, space) in self.spaces.iter() {
            bytes += size_of::<Space>() as u64 + space.own_bytes();
            for (object, held) in space.object_bytes() {
                bytes += if seen.insert(object) { held } else { 0 };
            }
        }
        bytes
    }
}

/// What queued signals take.
fn signals(count: usize) -> u64 {
    count as u64 * SIGNAL
}

impl Process {
    /// Bytes of the host's memory that it takes, its memory aside.
    fn held_bytes(&self) -> u64 {
        let own = size_of::<Self>() + 4 * self.credentials.groups.len() + 4 * self.children.len();
        let traced = 4 * self.tracees.len() + size_of::<EndedTracee>() * self.ended_tracees.len();
        (own + traced) as u64 + signals(self.pending.len()) + self.timers.posix.len() as u64 * TIMER
    }
}
