//! What a kernel tells a host of that wants to know.

use crate::ids::{ProcessId, TaskId, Termination};

/// Something that has happened in a machine: see [`Kernel::take_events`](crate::Kernel::take_events).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum KernelEvent {
    /// A process has begun: by fork(2) and its kin, or because the host started a program. Its first thread
    /// begins with it.
    ProcessStarted {
        /// The process.
        process: ProcessId,
        /// Whose child it is; `None` if nobody forked it.
        parent: Option<ProcessId>,
    },
    /// A process has another program now: execve(2) succeeded.
    Executed {
        /// The process.
        process: ProcessId,
    },
    /// A process has ended; its threads have ended before.
    ProcessEnded {
        /// The process.
        process: ProcessId,
        /// With its exit status, or the signal that killed it.
        how: Termination,
    },
    /// A thread of a process that goes on has begun.
    ThreadStarted {
        /// The process.
        process: ProcessId,
        /// The thread.
        task: TaskId,
    },
    /// A thread has ended, and with a process each of its threads.
    ThreadEnded {
        /// The process.
        process: ProcessId,
        /// The thread.
        task: TaskId,
    },
    /// A thread takes a signal: its handler is next, or the signal ends its process.
    Signal {
        /// The thread.
        task: TaskId,
        /// The signal, 1 to 64.
        signal: u8,
        /// The handler's EIP; `None` if the process ends.
        handler: Option<u32>,
    },
    /// A system call has come to its end, and its result is in EAX. Calls that end their thread, execve(2)
    /// that succeeds and sigreturn(2) have none.
    CallEnded {
        /// The caller.
        task: TaskId,
        /// The call's number.
        number: u32,
        /// Its arguments.
        arguments: [u32; 6],
        /// Its result, an errno negated.
        result: u32,
    },
}
