//! Other processes' memory: process_vm_readv(2) and process_vm_writev(2).

use super::table::Arguments;
use crate::Errno;
use crate::kernel::Kernel;
use crate::task::TaskId;
use crate::wait::Outcome;

/// Segments of `struct iovec` as one list of (address, length).
fn segments(kernel: &mut Kernel, task: TaskId, address: u32, count: u32) -> Result<Vec<(u32, u32)>, Errno> {
    const MOST: u32 = 1024;
    if count > MOST {
        return Err(Errno::EINVAL);
    }
    let mut segments = Vec::new();
    for index in 0..count {
        let [base, length] = kernel.user(task).words(address.wrapping_add(8 * index))?;
        segments.push((base, length));
    }
    Ok(segments)
}

/// process_vm_readv(2).
pub(super) fn process_vm_readv(kernel: &mut Kernel, task: TaskId, arguments: Arguments) -> Outcome {
    transfer(kernel, task, arguments, false)
}

/// process_vm_writev(2).
pub(super) fn process_vm_writev(kernel: &mut Kernel, task: TaskId, arguments: Arguments) -> Outcome {
    transfer(kernel, task, arguments, true)
}

/// Moves bytes between the caller's memory and another process's.
fn transfer(
    kernel: &mut Kernel,
    task: TaskId,
    [target, local, local_count, remote, remote_count, flags]: Arguments,
    writes: bool,
) -> Outcome {
    const CHUNK: u32 = 4096;
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let mut local = segments(kernel, task, local, local_count)?;
    let mut remote = segments(kernel, task, remote, remote_count)?;
    let other = kernel.tasks.contains_key(&TaskId(target)).then_some(TaskId(target)).ok_or(Errno::ESRCH)?;
    let (own, others) = (kernel.process(task).credentials.euid, kernel.process(other).credentials.uid);
    if own != 0 && own != others {
        return Err(Errno::EPERM.into());
    }
    let (from, to) = if writes { (task, other) } else { (other, task) };
    let mut done = 0_u32;
    while let (Some(mine), Some(theirs)) = (local.first_mut(), remote.first_mut()) {
        let length = mine.1.min(theirs.1).min(CHUNK);
        let (source, sink) = if writes { (mine.0, theirs.0) } else { (theirs.0, mine.0) };
        let moved =
            kernel.user(from).bytes(source, length).and_then(|bytes| kernel.user(to).copy_out(sink, &bytes));
        match moved {
            Ok(()) => done = done.saturating_add(length),
            Err(errno) if done == 0 => return Err(errno.into()),
            Err(_) => break,
        }
        for segment in [mine, theirs] {
            *segment = (segment.0.wrapping_add(length), segment.1 - length);
        }
        local.retain(|segment| segment.1 > 0);
        remote.retain(|segment| segment.1 > 0);
    }
    Ok(done)
}
