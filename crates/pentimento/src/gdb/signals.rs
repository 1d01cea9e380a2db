//! Linux's signal numbers in GDB's, which are those of older systems (`include/gdb/signals.def`).

use gdbstub::common::Signal;

/// GDB's number of a signal of Linux on i386.
pub(super) const fn gdb_signal(signal: u8) -> Signal {
    match signal {
        1..=6 | 8 | 9 | 11 | 13..=15 | 24..=28 => Signal(signal),
        7 => Signal::SIGBUS,
        10 => Signal::SIGUSR1,
        12 => Signal::SIGUSR2,
        17 => Signal::SIGCHLD,
        18 => Signal::SIGCONT,
        19 => Signal::SIGSTOP,
        20 => Signal::SIGTSTP,
        21 => Signal::SIGTTIN,
        22 => Signal::SIGTTOU,
        23 => Signal::SIGURG,
        29 => Signal::SIGIO,
        30 => Signal::SIGPWR,
        31 => Signal::SIGSYS,
        _ => Signal::UNKNOWN,
    }
}
