//! How a system call that cannot finish yet waits: by being run again.
//!
//! A handler that cannot finish returns [`Failure::Block`] with what it waits for, having changed
//! nothing that a second run would repeat. The task sleeps; when one of the channels is woken or
//! the deadline passes, the handler runs again *with the same arguments*, and so on until it
//! returns a value. What has to survive between the runs (an absolute deadline, bytes already
//! moved) is kept in the task's [`PendingCall`], which lives as long as the call.
//!
//! A signal ends the wait: the handler runs once more with [`PendingCall::interrupted`] set and
//! may finish (a partial count, a remaining time written out); if it still blocks, the call ends
//! with EINTR or starts afresh after the signal handler, as [`Restart`] and SA_RESTART say.

use crate::errno::Errno;
use crate::ids::ProcessId;

/// Something that tasks wait for; [`Kernel::wake`](crate::Kernel) wakes all that wait for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Channel {
    /// A child of this process changed its state.
    Child(ProcessId),
    /// This process released its parent's memory (vfork) by exec or exit.
    Vfork(ProcessId),
    /// This process ended.
    Exit(u32),
    /// A file object of the file system's own numbering: pipe, socket, event counter, terminal...
    File(u64),
    /// The host's standard input.
    Console,
    /// The host's standard output or error, which takes nothing.
    Output,
    /// A signal arrived somewhere (signalfd).
    Signal,
}

/// What a call that a signal interrupts does after the signal's handler has run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) enum Restart {
    /// Starts again if the handler was installed with SA_RESTART (ERESTARTSYS).
    #[default]
    IfFlagged,
    /// Fails with EINTR whatever the flags (ERESTARTNOHAND, and ERESTART_RESTARTBLOCK, whose
    /// deadline is kept in [`PendingCall`]).
    Never,
}

/// What a blocked task waits for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Wait {
    /// Any of these wakes the task.
    pub(crate) channels: Vec<Channel>,
    /// Monotonic time in nanoseconds at which the task wakes by itself.
    pub(crate) deadline: Option<u64>,
    /// What a signal does to the call.
    pub(crate) restart: Restart,
    /// Signals do not end the wait (nor does a stop).
    pub(crate) uninterruptible: bool,
    /// Its place among those who wait; the scheduler's.
    pub(crate) ticket: u64,
}

/// Different channels that one call may wait for: beyond it ENOMEM.
pub(crate) const CHANNELS_MAX: usize = 1 << 16;

impl Wait {
    /// Waits for one channel.
    pub(crate) fn on(channel: Channel) -> Self {
        Self { channels: vec![channel], ..Self::default() }
    }

    /// Also wakes at `deadline` (monotonic nanoseconds), if there is one.
    pub(crate) fn until(mut self, deadline: Option<u64>) -> Self {
        self.deadline = deadline;
        self
    }

    /// Goes on whatever signals come.
    pub(crate) fn uninterruptible(mut self) -> Self {
        self.uninterruptible = true;
        self
    }

    /// Ends with EINTR after any signal handler.
    pub(crate) fn never_restarts(mut self) -> Self {
        self.restart = Restart::Never;
        self
    }
}

/// Why a handler did not return a value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Failure {
    /// The call fails.
    Errno(Errno),
    /// The call waits, and is run again.
    Block(Wait),
    /// The host wants the machine to stop: the call is run again when it goes on.
    Pause,
    /// The call replaced the task's registers (sigreturn, execve) or ended the task: EAX stays as it is.
    NoReturn,
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<pentimento_memory::Fault> for Failure {
    fn from(_: pentimento_memory::Fault) -> Self {
        Self::Errno(Errno::EFAULT)
    }
}

/// What a system-call handler returns: the value for EAX, or why there is none.
pub(crate) type CallResult = Result<u32, Failure>;

/// A system call between its first run and its end.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct PendingCall {
    /// The number, from EAX.
    pub(crate) number: u32,
    /// EBX, ECX, EDX, ESI, EDI and EBP.
    pub(crate) arguments: [u32; 6],
    /// The deadline that the first run computed from a relative timeout; the inner `None` is "no deadline".
    pub(crate) deadline: Option<Option<u64>>,
    /// Bytes (or whatever the handler counts) already moved.
    pub(crate) progress: u32,
    /// Messages already moved, of a call that moves several.
    pub(crate) messages: u32,
    /// Where what the call moves goes to, once that is known.
    pub(crate) place: Option<u32>,
    /// Somebody handed this call its result (a futex wake).
    pub(crate) granted: bool,
    /// A signal waits: the handler's last chance to finish by itself.
    pub(crate) interrupted: bool,
    /// It waits for something that signals do not end.
    pub(crate) uninterruptible: bool,
    /// How often it was paused for the host.
    pub(crate) pauses: u32,
    /// The arguments as they were at the start, printed for a trace.
    pub(crate) printed: Vec<String>,
}
