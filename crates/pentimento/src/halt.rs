//! Why a run ended.

use std::fmt;
#[cfg(feature = "linux")]
use std::time::Duration;

use pentimento_execute::Exit;
use pentimento_memory::Fault;
use pentimento_registers::Exception;

/// Why a [`Cpu`](crate::Cpu) or a `Machine` stopped. The state is precise in every case: EIP is that
/// of the instruction that comes next, or that could not be executed.
///
/// A machine has a kernel, to which system calls and exceptions go; a bare CPU has none, and they end
/// its runs. The other reasons are the same for both.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Halt {
    /// The instruction budget is used up.
    Budget,
    /// The timeout is over.
    Timeout,
    /// A [`StopHandle`](crate::StopHandle) asked for it.
    Stopped,
    /// The next instruction is the one at this EIP, which [`Bounds::until`](crate::Bounds::until) names.
    Reached(u32),
    /// The next instruction has a breakpoint, at this EIP.
    Breakpoint(u32),
    /// This hook asked for it ([`View::stop`](crate::View::stop)); where several did, it is the first.
    Hook(crate::HookId),
    /// Raw code has come to its end, or to a last instruction that is cut off: EIP says which. It has not
    /// been executed, and running on stops there again. For a machine the end is where the code of
    /// `Machine::load_code` ends, for a CPU
    /// [`Environment::code_end`](crate::Environment::code_end).
    CodeEnd,
    /// CPU: INT n was executed; EIP is behind it.
    Interrupt(u8),
    /// CPU: SYSENTER was executed; EIP is behind it.
    Sysenter,
    /// CPU: SYSCALL was executed; EIP is behind it.
    Syscall,
    /// CPU: an access that the memory refused. Nothing of the instruction has happened (of a repeated
    /// string instruction: exactly the finished iterations), so a host that maps the page can simply
    /// run on.
    PageFault(Fault),
    /// CPU: the guest raised an exception other than #PF. For a fault nothing of the instruction has
    /// happened; for a trap ([`Exception::is_trap`]) it has completed.
    Exception {
        /// The exception, which is not #PF.
        exception: Exception,
        /// Its error code, 0 for those that have none.
        error_code: u32,
    },
    /// Machine: the first process called exit(2) with this status, and the machine ended with it.
    #[cfg(feature = "linux")]
    Exited(u8),
    /// Machine: the first process was killed by a signal, and the machine ended with it.
    #[cfg(feature = "linux")]
    Killed {
        /// The signal, 1 to 64.
        signal: u8,
        /// The exception behind it; `None` if somebody sent the signal.
        crash: Option<pentimento_linux::Crash>,
    },
    /// Machine: a task has raised an exception whose signal it will take when the machine runs on: see
    /// `Machine::stop_at_exceptions`.
    #[cfg(feature = "linux")]
    Raised {
        /// The signal, 1 to 64.
        signal: u8,
        /// The exception.
        crash: pentimento_linux::Crash,
    },
    /// Machine: the first process, raw code, was killed by the HLT that EIP is at.
    #[cfg(feature = "linux")]
    Halted,
    /// Machine: every task waits for something outside of it: for input, for the network, or for the
    /// host's clock. Running on looks whether it has come; `Machine::wait` sleeps until then, and
    /// `Machine::run_and_wait` does so by itself.
    #[cfg(feature = "linux")]
    Waiting {
        /// When a timer of the guest runs out, by the clock of `Machine::now`; `None` if nobody waits for
        /// time.
        until: Option<Duration>,
    },
    /// Machine: every task waits for something that cannot happen.
    #[cfg(feature = "linux")]
    Deadlock,
}

impl Halt {
    /// What an engine's exit is to whoever has no kernel.
    pub(crate) fn of_exit(exit: Exit) -> Self {
        match exit {
            Exit::Budget => Self::Budget,
            Exit::Stopped => Self::Stopped,
            Exit::CodeEnd => Self::CodeEnd,
            Exit::Interrupt(vector) => Self::Interrupt(vector),
            Exit::Sysenter => Self::Sysenter,
            Exit::Syscall => Self::Syscall,
            Exit::PageFault(fault) => Self::PageFault(fault),
            Exit::Exception { exception, error_code } => Self::Exception { exception, error_code },
            _ => {
                debug_assert!(false, "an exit that has no word here: {exit:?}");
                Self::Stopped
            }
        }
    }

    /// Whether the guest was only interrupted: running on goes on as if nothing had been.
    #[must_use]
    pub const fn is_pause(&self) -> bool {
        matches!(
            self,
            Self::Budget
                | Self::Timeout
                | Self::Stopped
                | Self::Reached(_)
                | Self::Breakpoint(_)
                | Self::Hook(_)
        )
    }

    /// The signal that killed the first process of a machine.
    #[cfg(feature = "linux")]
    #[must_use]
    pub const fn signal(&self) -> Option<u8> {
        match self {
            Self::Killed { signal, .. } => Some(*signal),
            _ => None,
        }
    }
}

/// A line for a person, in lower case and without a full stop: `exit code 3`, `instruction limit
/// reached`, `killed by signal 11 (segmentation fault): #PF at eip 0x00001000: Read at 0x00000000: not
/// mapped`.
impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Budget => f.write_str("instruction limit reached"),
            Self::Timeout => f.write_str("time limit reached"),
            Self::Stopped => f.write_str("stopped"),
            Self::Reached(address) => write!(f, "reached {address:#010x}"),
            Self::Hook(_) => f.write_str("stopped by a hook"),
            Self::Breakpoint(address) => write!(f, "breakpoint at {address:#010x}"),
            Self::CodeEnd => f.write_str("ran off the end of the code"),
            Self::Interrupt(vector) => write!(f, "int {vector:#x}"),
            Self::Sysenter => f.write_str("sysenter"),
            Self::Syscall => f.write_str("syscall"),
            Self::PageFault(fault) => write!(f, "page fault: {fault}"),
            Self::Exception { exception, error_code: 0 } => write!(f, "exception {exception}"),
            Self::Exception { exception, error_code } => {
                write!(f, "exception {exception}, error code {error_code:#x}")
            }
            #[cfg(feature = "linux")]
            Self::Exited(status) => write!(f, "exit code {status}"),
            #[cfg(feature = "linux")]
            Self::Killed { signal, crash } => {
                write!(f, "killed by signal {signal}{}", meaning(*signal))?;
                crash.map_or(Ok(()), |crash| write!(f, ": {crash}"))
            }
            #[cfg(feature = "linux")]
            Self::Raised { signal, crash } => write!(f, "signal {signal}{}: {crash}", meaning(*signal)),
            #[cfg(feature = "linux")]
            Self::Halted => f.write_str("halted"),
            #[cfg(feature = "linux")]
            Self::Waiting { .. } => f.write_str("waiting for input, network or time"),
            #[cfg(feature = "linux")]
            Self::Deadlock => f.write_str("deadlock: every task waits for something that cannot happen"),
        }
    }
}

/// What signals that programs bring on themselves mean.
#[cfg(feature = "linux")]
const fn meaning(signal: u8) -> &'static str {
    match signal {
        4 => " (illegal instruction)",
        5 => " (breakpoint)",
        6 => " (aborted)",
        7 => " (bus error)",
        8 => " (arithmetic error)",
        11 => " (segmentation fault)",
        _ => "",
    }
}
