//! What is known of a traced thread.

use bitflags::bitflags;

use crate::ids::{ProcessId, TaskId, Termination};
use crate::signal::{Info, Signal};
use crate::wait::PendingCall;

bitflags! {
    /// PTRACE_O_*.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub(crate) struct TraceOptions: u32 {
        /// Stops at calls have bit 7 set in their signal.
        const SYSGOOD = 1;
        const FORK = 2;
        const VFORK = 4;
        const CLONE = 8;
        const EXEC = 0x10;
        const VFORK_DONE = 0x20;
        const EXIT = 0x40;
        /// Filters of calls can stop it: there are none.
        const SECCOMP = 0x80;
        /// It is killed when whoever traces it ends.
        const EXIT_KILL = 0x10_0000;
    }
}

/// PTRACE_EVENT_*; the discriminant is the number in the status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    Fork = 1,
    Vfork = 2,
    Clone = 3,
    Exec = 4,
    VforkDone = 5,
    Exit = 6,
    /// PTRACE_INTERRUPT, or a new thread of one that was seized.
    Stop = 128,
}

impl Event {
    /// The option without which it is not reported.
    pub(crate) const fn option(self) -> TraceOptions {
        match self {
            Self::Fork => TraceOptions::FORK,
            Self::Vfork => TraceOptions::VFORK,
            Self::Clone => TraceOptions::CLONE,
            Self::Exec => TraceOptions::EXEC,
            Self::VforkDone => TraceOptions::VFORK_DONE,
            Self::Exit => TraceOptions::EXIT,
            Self::Stop => TraceOptions::empty(),
        }
    }
}

/// Where a thread has stopped for its tracer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    /// Before a system call.
    Entry {
        /// The call is not to be made (PTRACE_SYSEMU).
        emulated: bool,
    },
    /// Behind a system call.
    Exit,
    /// Before it takes a signal.
    Signal(Info),
    /// Its process has been stopped by this signal.
    Group(Signal),
    /// Something that was asked to be told of.
    Event(Event),
    /// At the first instruction of a handler, while it is stepped.
    Handler,
}

/// How a thread was let go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Mode {
    /// PTRACE_CONT.
    #[default]
    Free,
    /// PTRACE_SYSCALL: it stops before its next call, or behind the one that it is in.
    Calls,
    /// PTRACE_SYSEMU: it stops before its next call, which is not made.
    Emulation,
}

/// A traced thread, as long as it lives and is traced.
#[derive(Clone, Debug)]
pub(crate) struct Tracing {
    /// Who traces it: any thread of that process may.
    pub(crate) tracer: ProcessId,
    pub(crate) options: TraceOptions,
    /// By PTRACE_SEIZE.
    pub(crate) seized: bool,
    pub(crate) stop: Option<Stop>,
    /// wait4(2) has told of the stop.
    pub(crate) reported: bool,
    /// PTRACE_LISTEN: it waits for its process to go on.
    pub(crate) listening: bool,
    pub(crate) mode: Mode,
    /// EFLAGS.TF is set for the tracer.
    pub(crate) stepping: bool,
    /// PTRACE_GETEVENTMSG.
    pub(crate) message: u32,
    /// `orig_eax`: the number of the call that it is in, -1 outside of calls.
    pub(crate) original: u32,
    /// The signal with which the tracer let it go.
    pub(crate) passed: Option<Info>,
    /// A call has ended whose stop, if there is to be one, was not made.
    pub(crate) exit_due: bool,
    /// It is to stop when it can (PTRACE_INTERRUPT).
    pub(crate) interrupted: bool,
    /// It was stopped before this end.
    pub(crate) ending: Option<Termination>,
    /// A call that a signal interrupted, while EAX says that it is to be made again.
    pub(crate) suspended: Option<PendingCall>,
}

impl Tracing {
    pub(crate) const fn new(tracer: ProcessId, options: TraceOptions, seized: bool) -> Self {
        Self {
            tracer,
            options,
            seized,
            stop: None,
            reported: false,
            listening: false,
            mode: Mode::Free,
            stepping: false,
            message: 0,
            original: u32::MAX,
            passed: None,
            exit_due: false,
            interrupted: false,
            ending: None,
            suspended: None,
        }
    }

    /// What wait4(2) says of the stop that it is in, in bits 8 and above; `None` if it runs.
    pub(crate) fn status(&self) -> Option<u32> {
        const TRAP: u32 = Signal::TRAP.number() as u32;
        let call = if self.options.contains(TraceOptions::SYSGOOD) { TRAP | 0x80 } else { TRAP };
        Some(match self.stop? {
            Stop::Entry { .. } | Stop::Exit => call,
            Stop::Signal(info) => info.signal.number().into(),
            Stop::Group(signal) if self.seized => u32::from(signal.number()) | (Event::Stop as u32) << 8,
            Stop::Group(signal) => signal.number().into(),
            Stop::Event(event) => TRAP | (event as u32) << 8,
            Stop::Handler => TRAP,
        })
    }
}

/// A thread or process that has ended and whose tracer was not told yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct EndedTracee {
    pub(crate) task: TaskId,
    pub(crate) how: Termination,
    /// Its user, for `siginfo_t`.
    pub(crate) user: u32,
    /// It was a process, whose parent is told after the tracer.
    pub(crate) is_process: bool,
}
