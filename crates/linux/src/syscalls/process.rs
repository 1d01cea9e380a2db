//! Processes: how they start and end.

use super::table::Arguments;
use crate::kernel::{Kernel, Termination};
use crate::task::TaskId;
use crate::wait::{Failure, Outcome};

/// exit(2), the system call: ends the calling thread.
pub(super) fn exit(kernel: &mut Kernel, task: TaskId, [status, ..]: Arguments) -> Outcome {
    kernel.end_process(task, Termination::Exited(status as u8));
    Err(Failure::NoReturn)
}

/// exit_group(2): ends the process.
pub(super) fn exit_group(kernel: &mut Kernel, task: TaskId, [status, ..]: Arguments) -> Outcome {
    kernel.end_process(task, Termination::Exited(status as u8));
    Err(Failure::NoReturn)
}
