//! Reading and writing through descriptors.

use super::table::Arguments;
use crate::Errno;
use crate::kernel::Kernel;
use crate::task::TaskId;
use crate::wait::Outcome;

/// write(2): to the console until the file system takes over.
pub(super) fn write(kernel: &mut Kernel, task: TaskId, [fd, buffer, length, ..]: Arguments) -> Outcome {
    let bytes = kernel.user(task).bytes(buffer, length.min(0x7fff_f000))?;
    let written = match fd {
        1 => kernel.host.output.write(&bytes),
        2 => kernel.host.error.write(&bytes),
        _ => return Err(Errno::EBADF.into()),
    };
    Ok(written.map_err(|_| Errno::EIO)? as u32)
}
