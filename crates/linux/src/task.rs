//! Tasks (threads) and processes, and which kernel objects they hold.

use std::collections::VecDeque;

use pentimento_registers::{CpuState, Descriptor};

use crate::arena::Id;
use crate::fs;
use crate::space::Space;
use crate::wait::{PendingCall, Wait};

/// A task's number as the guest sees it (gettid(2)).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TaskId(pub(crate) u32);

impl TaskId {
    /// The number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// A process's number as the guest sees it (getpid(2)).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ProcessId(pub(crate) u32);

impl ProcessId {
    /// The number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// What a task is doing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum TaskState {
    /// It can run, or run its pending call again.
    Runnable,
    /// Its call waits.
    Blocked(Wait),
    /// Its process is stopped by a signal.
    Stopped,
    /// It has ended.
    Dead,
}

/// How many TLS entries the global descriptor table has: selectors 12 to 14 (set_thread_area(2)).
pub(crate) const TLS_ENTRIES: usize = 3;

/// A thread.
pub(crate) struct Task {
    /// Its process.
    pub(crate) process: ProcessId,
    /// Its registers.
    pub(crate) cpu: CpuState,
    /// What it is doing.
    pub(crate) state: TaskState,
    /// The system call that it is in.
    pub(crate) call: Option<PendingCall>,
    /// Its descriptor table (shared by CLONE_FILES).
    pub(crate) files: Id<fs::Descriptors>,
    /// Its root, working directory and umask (shared by CLONE_FS).
    pub(crate) location: Id<fs::Location>,
    /// Its own TLS descriptors.
    pub(crate) tls: [Option<Descriptor>; TLS_ENTRIES],
    /// Where to write 0 and wake a futex when it ends (set_tid_address(2)); 0 for nowhere.
    pub(crate) clear_child_tid: u32,
    /// Head of the robust futex list (set_robust_list(2)); 0 for none.
    pub(crate) robust_list: u32,
    /// The name that prctl(PR_SET_NAME) and execve set; at most 15 bytes.
    pub(crate) name: Vec<u8>,
    /// Instructions executed.
    pub(crate) instructions: u64,
}

/// Users and groups of a process (credentials(7)).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Credentials {
    pub(crate) uid: u32,
    pub(crate) euid: u32,
    pub(crate) suid: u32,
    pub(crate) fsuid: u32,
    pub(crate) gid: u32,
    pub(crate) egid: u32,
    pub(crate) sgid: u32,
    pub(crate) fsgid: u32,
    pub(crate) groups: Vec<u32>,
}

/// A process: a group of threads with one address space.
pub(crate) struct Process {
    /// The parent; 1 is the kernel itself, which reaps.
    pub(crate) parent: ProcessId,
    /// Process group.
    pub(crate) group: ProcessId,
    /// Session.
    pub(crate) session: ProcessId,
    /// Its memory.
    pub(crate) space: Id<Space>,
    /// Its living threads; the first is the leader while that lives.
    pub(crate) threads: Vec<TaskId>,
    /// Its children, zombies included, oldest first.
    pub(crate) children: Vec<ProcessId>,
    /// How it ended, once it has.
    pub(crate) ended: Option<crate::Termination>,
    /// Users and groups.
    pub(crate) credentials: Credentials,
    /// What /proc/self/exe names.
    pub(crate) executable: Vec<u8>,
}

/// Tasks in the order in which they get the processor.
#[derive(Clone, Default, Debug)]
pub(crate) struct RunQueue(pub(crate) VecDeque<TaskId>);
