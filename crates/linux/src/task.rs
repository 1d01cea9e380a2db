//! Tasks (threads) and processes, and which kernel objects they hold.

use pentimento_registers::{CpuState, TlsDescriptors};

use crate::arena::Id;
use crate::ids::{Crash, ProcessId, TaskId, Termination};
use crate::objects::FileDescriptors;
use crate::ptrace::{EndedTracee, Tracing};
use crate::resource::ResourceLimits;
use crate::seccomp::Seccomp;
use crate::signal::frame::Cause;
use crate::signal::{Actions, AlternateStack, PendingSignals, Signal, SignalSet};
use crate::space::Space;
use crate::timer::Timers;
use crate::vfs::Location;
use crate::wait::{PendingCall, Wait};

/// What a task is doing. Whether its process is stopped is the process's business.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum TaskState {
    /// It can run, or run its pending call again.
    Runnable,
    /// Its call waits.
    Blocked(Wait),
}

/// A thread.
#[derive(Clone)]
pub(crate) struct Task {
    /// Its process.
    pub(crate) process: ProcessId,
    /// The registers, which an engine borrows for a turn.
    pub(crate) cpu: CpuState,
    /// What it is doing.
    pub(crate) state: TaskState,
    /// It is in the run queue.
    pub(crate) queued: bool,
    /// The system call that it is in.
    pub(crate) call: Option<PendingCall>,
    /// Its descriptor table (shared by CLONE_FILES).
    pub(crate) files: Id<FileDescriptors>,
    /// Its root, working directory and umask (shared by CLONE_FS).
    pub(crate) location: Id<Location>,
    /// Its own TLS descriptors.
    pub(crate) tls: TlsDescriptors,
    /// Where to write 0 and wake a futex when it ends (set_tid_address(2)); 0 for nowhere.
    pub(crate) clear_child_tid: u32,
    /// Head of the robust futex list (set_robust_list(2)); 0 for none.
    pub(crate) robust_list: u32,
    /// The name that prctl(PR_SET_NAME) and execve set; at most 15 bytes.
    pub(crate) name: Vec<u8>,
    /// Instructions executed.
    pub(crate) instructions: u64,
    /// What it may call (seccomp(2)).
    pub(crate) seccomp: Seccomp,
    /// Its nice value, -20 to 19 (setpriority(2)).
    pub(crate) nice: i32,
    /// Blocked signals.
    pub(crate) mask: SignalSet,
    /// The mask to come back to when a call that replaced it ends.
    pub(crate) saved_mask: Option<SignalSet>,
    /// Signals that sigtimedwait(2) waits for, blocked or not.
    pub(crate) awaited: SignalSet,
    /// Signals for this thread alone.
    pub(crate) pending: PendingSignals,
    /// Its alternate signal stack.
    pub(crate) alternate_stack: AlternateStack,
    /// The last exception, which every signal frame shows.
    pub(crate) cause: Cause,
    /// An exception whose signal the thread has not taken yet.
    pub(crate) crash: Option<(Signal, Crash)>,
    /// Who traces it, and how (ptrace(2)).
    pub(crate) tracing: Option<Box<Tracing>>,
}

impl Task {
    /// Signals that no handler gets now: those that are blocked, and those that the call it is in waits for.
    pub(crate) fn held_back(&self) -> SignalSet {
        if self.call.is_some() { self.mask.union(self.awaited) } else { self.mask }
    }
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

impl Credentials {
    /// Those of a user and group, without further groups.
    pub(crate) const fn of((user, group): (u32, u32)) -> Self {
        Self {
            uid: user,
            euid: user,
            suid: user,
            fsuid: user,
            gid: group,
            egid: group,
            sgid: group,
            fsgid: group,
            groups: Vec::new(),
        }
    }
}

/// A change of state that wait4(2) reports to the parent, beside the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ChildEvent {
    /// Stopped by this signal.
    Stopped(u8),
    /// Continued by SIGCONT.
    Continued,
}

/// A process: a group of threads with one address space.
#[derive(Clone)]
pub(crate) struct Process {
    /// A number that no other process of the machine ever has.
    pub(crate) serial: u64,
    /// The parent; 1 is the kernel itself, which reaps.
    pub(crate) parent: ProcessId,
    /// Process group.
    pub(crate) group: ProcessId,
    /// Session.
    pub(crate) session: ProcessId,
    /// Its memory, until it ends.
    pub(crate) space: Option<Id<Space>>,
    /// Its living threads, oldest first.
    pub(crate) threads: Vec<TaskId>,
    /// Its children, zombies included, oldest first.
    pub(crate) children: Vec<ProcessId>,
    /// How it ended, once it has.
    pub(crate) ended: Option<Termination>,
    /// The status with which its first thread called exit(2) while others lived on.
    pub(crate) leader_status: Option<u8>,
    /// A stop or continuation that nobody has waited for.
    pub(crate) event: Option<ChildEvent>,
    /// A signal has stopped it.
    pub(crate) stopped: bool,
    /// The threads that it traces (ptrace(2)), those that it began with first.
    pub(crate) tracees: Vec<TaskId>,
    /// Those that have ended and that it has not waited for.
    pub(crate) ended_tracees: Vec<EndedTracee>,
    /// It was traced when its first thread ended, by this process, which hears of its end before its parent.
    pub(crate) tracer: Option<ProcessId>,
    /// What its parent gets when it ends.
    pub(crate) exit_signal: Option<Signal>,
    /// It has called execve(2) since it was forked.
    pub(crate) has_executed: bool,
    /// Users and groups.
    pub(crate) credentials: Credentials,
    /// What /proc/self/exe names.
    pub(crate) executable: Vec<u8>,
    /// Its signal actions (shared by CLONE_SIGHAND).
    pub(crate) actions: Id<Actions>,
    /// Signals for any of its threads.
    pub(crate) pending: PendingSignals,
    /// What it may use (getrlimit(2)).
    pub(crate) limits: ResourceLimits,
    /// Its interval and POSIX timers.
    pub(crate) timers: Timers,
    /// personality(2).
    pub(crate) personality: u32,
    /// `/proc/PID/oom_score_adj`.
    pub(crate) oom_adjustment: OomAdjustment,
    /// `/proc/PID/io`.
    pub(crate) transfers: Transfers,
    /// prctl(PR_SET_DUMPABLE), (PR_SET_NO_NEW_PRIVS), (PR_SET_PDEATHSIG), (PR_SET_CHILD_SUBREAPER).
    pub(crate) attributes: Attributes,
    /// Instructions of its ended threads.
    pub(crate) instructions: u64,
    /// Instructions of its ended and awaited children.
    pub(crate) child_instructions: u64,
    /// Monotonic time of its start, nanoseconds.
    pub(crate) started: u64,
}

/// How much rather a process is to be ended where memory runs out than its size says, -1000 to 1000.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct OomAdjustment {
    pub(crate) value: i16,
    /// The least value that a user may set: what the superuser set last.
    pub(crate) least: i16,
}

/// What a process has read and written (`/proc/PID/io`).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Transfers {
    /// Bytes that read(2) and its like returned.
    pub(crate) read: u64,
    /// Bytes that write(2) and its like took.
    pub(crate) written: u64,
    /// How many calls read.
    pub(crate) reads: u64,
    /// How many calls wrote.
    pub(crate) writes: u64,
}

/// What prctl(2) sets and reports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Attributes {
    /// It has registered for barriers of its own threads (membarrier(2)).
    pub(crate) has_barriers: bool,
    pub(crate) dumpable: u32,
    pub(crate) no_new_privileges: u32,
    pub(crate) death_signal: u32,
    pub(crate) subreaper: u32,
    pub(crate) keep_capabilities: u32,
    pub(crate) timer_slack: u32,
    /// Which kinds of memory a core file has (`/proc/PID/coredump_filter`, core(5)).
    pub(crate) core_filter: u32,
}

impl Default for Attributes {
    fn default() -> Self {
        Self {
            has_barriers: false,
            dumpable: 1,
            no_new_privileges: 0,
            death_signal: 0,
            subreaper: 0,
            keep_capabilities: 0,
            timer_slack: 50_000,
            core_filter: 0x33,
        }
    }
}
