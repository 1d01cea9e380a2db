//! Processes behind descriptors: pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2), CLONE_PIDFD.

use pentimento_memory::Access;

use super::call::Arguments;
use super::signal::{made_info, may_signal, sent_by, signal_or_zero};
use crate::errno::Errno;
use crate::ids::{ProcessId, TaskId};
use crate::kernel::Kernel;
use crate::objects::{OpenFlags, ProcessFile};
use crate::signal::code;
use crate::wait::CallResult;

/// The process behind a descriptor, ended or not, and the descriptor's flags.
///
/// # Errors
/// EBADF for what is no pidfd, ESRCH once the process has been waited for.
pub(super) fn process(kernel: &mut Kernel, task: TaskId, fd: u32) -> Result<(ProcessId, OpenFlags), Errno> {
    let id = kernel.open_file(task, fd)?;
    let description = kernel.fs.description(id);
    let ProcessFile { number, serial } = *description.as_kind().ok_or(Errno::EBADF)?;
    let flags = description.flags;
    let id = ProcessId(number);
    match kernel.processes.get(&id) {
        Some(process) if process.serial == serial => Ok((id, flags)),
        _ => Err(Errno::ESRCH),
    }
}

/// A new descriptor of a process.
fn open(kernel: &mut Kernel, task: TaskId, target: ProcessId, flags: OpenFlags) -> Result<u32, Errno> {
    let serial = kernel.processes.get(&target).ok_or(Errno::ESRCH)?.serial;
    let file = kernel.with_files(task, |files, caller| {
        Ok::<_, Errno>(files.process_file(caller, ProcessFile { number: target.number(), serial }, flags))
    })?;
    kernel.add_descriptor(task, file, 0, true)
}

/// Whether a descriptor of a new child could be stored for its maker (CLONE_PIDFD).
///
/// # Errors
/// EMFILE, EFAULT.
pub(super) fn prepare(kernel: &mut Kernel, task: TaskId, address: u32) -> Result<(), Errno> {
    kernel.user(task).check(address, 4, Access::Write)?;
    let limit = kernel.descriptor_limit(task);
    kernel.descriptors(task)?.free(0, limit).map(|_| ())
}

/// Stores it.
///
/// # Errors
/// None that [`prepare`] would not have found.
pub(super) fn give(kernel: &mut Kernel, task: TaskId, child: ProcessId, address: u32) -> Result<(), Errno> {
    let fd = open(kernel, task, child, OpenFlags::empty())?;
    kernel.user(task).write(address, fd)
}

/// pidfd_open(2).
pub(super) fn pidfd_open(kernel: &mut Kernel, task: TaskId, [number, bits, ..]: Arguments) -> CallResult {
    let flags = OpenFlags::from_bits_retain(bits);
    if flags & !OpenFlags::O_NONBLOCK != OpenFlags::empty() || number as i32 <= 0 {
        return Err(Errno::EINVAL.into());
    }
    let target = ProcessId(number);
    if !kernel.processes.contains_key(&target) {
        // Only the first thread of a process stands for it.
        let thread = kernel.tasks.contains_key(&TaskId(number));
        return Err(if thread { Errno::EINVAL } else { Errno::ESRCH }.into());
    }
    Ok(open(kernel, task, target, flags)?)
}

/// pidfd_send_signal(2).
pub(super) fn pidfd_send_signal(
    kernel: &mut Kernel,
    task: TaskId,
    [fd, number, info, flags, ..]: Arguments,
) -> CallResult {
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (target, _) = process(kernel, task, fd)?;
    let signal = signal_or_zero(number)?;
    let own = kernel.task(task).process;
    let info = match (signal, info) {
        (None, _) => None,
        (Some(signal), 0) => Some(sent_by(kernel, task, signal, code::USER)),
        (Some(signal), address) => Some(made_info(kernel, task, signal, address, own == target)?),
    };
    if kernel.processes.get(&target).is_none_or(|process| process.ended.is_some()) {
        return Err(Errno::ESRCH.into());
    }
    if !may_signal(kernel, own, target, signal) {
        return Err(Errno::EPERM.into());
    }
    if let Some(info) = info {
        kernel.signal_process(target, info);
    }
    Ok(0)
}

/// pidfd_getfd(2): a copy of another process's descriptor.
pub(super) fn pidfd_getfd(
    kernel: &mut Kernel,
    task: TaskId,
    [fd, wanted, flags, ..]: Arguments,
) -> CallResult {
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (target, _) = process(kernel, task, fd)?;
    let credentials = &kernel.process(task).credentials;
    let (own, privileged) = (credentials.uid, credentials.euid == 0);
    let other = kernel.processes.get(&target).ok_or(Errno::ESRCH)?;
    if !privileged && other.credentials.uid != own {
        return Err(Errno::EPERM.into());
    }
    let thread = *other.threads.first().ok_or(Errno::ESRCH)?;
    let description = kernel.open_file(thread, wanted)?;
    kernel.fs.hold(description);
    Ok(kernel.add_descriptor(task, description, 0, true)?)
}
