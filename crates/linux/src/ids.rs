//! The numbers of tasks and processes, and how a process ends.

use core::fmt;

use pentimento_memory::Fault;
use pentimento_registers::Exception;

/// A task's number as the guest sees it (gettid(2)).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TaskId(pub(crate) u32);

impl TaskId {
    /// The number that programs know it by.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// A process's number as the guest sees it (getpid(2)).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ProcessId(pub(crate) u32);

impl ProcessId {
    /// The number that programs know it by.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Termination {
    /// It called exit(2) with this status.
    Exited(u8),
    /// A signal killed it: its number, 1 to 64.
    Killed(u8),
}

/// An exception that nothing in the guest handled, so that its signal killed the process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Crash {
    /// The thread that raised it.
    pub task: TaskId,
    /// Which exception.
    pub exception: Exception,
    /// Its error code, 0 for those that have none.
    pub error_code: u32,
    /// Of the instruction for a fault, behind it for a trap ([`Exception::is_trap`]).
    pub eip: u32,
    /// The access that the memory refused, for #PF.
    pub fault: Option<Fault>,
}

/// Such as `#PF at eip 0x08049000: Write at 0x00000000: not mapped`.
impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at eip {:#010x}", self.exception, self.eip)?;
        match self.fault {
            Some(fault) => write!(f, ": {fault}"),
            None if self.error_code != 0 => write!(f, ", error code {:#x}", self.error_code),
            None => Ok(()),
        }
    }
}

/// The number before the first process's: low enough to look usual, and not 1, which signals treat specially.
pub(crate) const FIRST_NUMBER: u32 = 999;
