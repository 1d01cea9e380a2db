//! What files under `/proc` need to know of processes: a trait that the kernel implements.

use super::attributes::Owner;
use crate::objects::{Descriptors, Location};
use crate::signal::Signal;

/// A text file of `/proc/PID`, whose content the kernel writes (proc(5)).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum ProcessFile {
    /// `auxv`
    AuxiliaryVector,
    /// `cmdline`
    CommandLine,
    /// `comm`
    Name,
    /// `environ`
    Environment,
    /// `limits`
    Limits,
    /// `maps`
    Maps,
    /// `stat`
    Stat,
    /// `statm`
    MemoryPages,
    /// `status`
    Status,
    /// A setting that is always zero.
    Zero,
}

/// A text file of `/proc` itself that depends on the kernel's state.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum SystemFile {
    /// `cpuinfo`
    Processors,
    /// `loadavg`
    Load,
    /// `meminfo`
    Memory,
    /// `stat`
    Statistics,
    /// `uptime`
    Uptime,
    /// `version`
    Version,
    /// `sys/kernel/osrelease`
    Release,
    /// `sys/kernel/version`
    Build,
    /// `sys/kernel/hostname`
    HostName,
    /// `sys/kernel/domainname`
    DomainName,
}

/// The processes of a machine as `/proc` shows them.
pub(crate) trait ProcessView {
    /// The calling process, which `/proc/self` names.
    fn current(&self) -> u32;

    /// The calling thread, which `/proc/thread-self` names.
    fn current_thread(&self) -> u32 {
        self.current()
    }

    /// All processes by number, zombies included.
    fn processes(&self) -> Vec<u32>;

    /// The threads of a process by number.
    fn threads(&self, process: u32) -> Vec<u32>;

    /// Whom a process's files belong to; `None` where there is no such process.
    fn owner(&self, process: u32) -> Option<Owner>;

    /// The descriptors of a process that has not ended.
    fn descriptors(&self, process: u32) -> Option<&Descriptors>;

    /// Root and working directory of a process that has not ended.
    fn location(&self, process: u32) -> Option<&Location>;

    /// The absolute path of the program that a process runs.
    fn executable(&self, process: u32) -> Option<Vec<u8>>;

    /// Process group and session of the caller.
    fn job(&self) -> (u32, u32) {
        (0, 0)
    }

    /// Whether the calling thread blocks or ignores a signal.
    fn ignores(&self, signal: Signal) -> bool {
        let _ = signal;
        false
    }

    /// The signals that wait for the calling thread, as a signal set.
    fn pending_signals(&self) -> u64 {
        0
    }

    /// Whether the process behind a pidfd has ended.
    fn has_ended(&self, number: u32, serial: u64) -> bool {
        let _ = (number, serial);
        true
    }

    /// The content of a file of a process; `None` where there is no such process.
    fn text(&self, process: u32, thread: u32, file: ProcessFile) -> Option<Vec<u8>>;

    /// The content of a file of the whole system.
    fn system_text(&self, file: SystemFile) -> Vec<u8>;
}
