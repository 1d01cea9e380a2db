//! Debuggers inside the machine (ptrace(2)): what a traced thread remembers, and how its registers look to
//! whoever traces it.
//!
//! `kernel::tracing` stops threads and lets them go on; the calls are in `syscalls::ptrace`.

mod registers;
mod state;

pub(crate) use registers::{REGISTERS, registers, set_register, set_registers};
pub(crate) use state::{EndedTracee, Event, Mode, Stop, TraceOptions, Tracing};
