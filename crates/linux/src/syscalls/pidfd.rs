//! Processes behind descriptors: pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2), CLONE_PIDFD.

use pentimento_memory::Access;

use super::signal::{made_info, may_signal, sent_by, signal_or_zero};
use crate::errno::Errno;
use crate::ids::{ProcessId, TaskId};
use crate::kernel::{Arguments, Call};
use crate::objects::{OpenFlags, ProcessFile};
use crate::signal::code;
use crate::wait::CallResult;

/// The process behind a descriptor, ended or not, and the descriptor's flags.
///
/// # Errors
/// EBADF for what is no pidfd, ESRCH once the process has been waited for.
pub(super) fn process(call: &mut Call<'_>, fd: u32) -> Result<(ProcessId, OpenFlags), Errno> {
    let id = call.open_file(fd)?;
    let description = call.kernel.fs.description(id);
    let ProcessFile { number, serial } = *description.as_kind().ok_or(Errno::EBADF)?;
    let flags = description.flags;
    let id = ProcessId(number);
    match call.kernel.processes.get(&id) {
        Some(process) if process.serial == serial => Ok((id, flags)),
        _ => Err(Errno::ESRCH),
    }
}

/// A new descriptor of a process.
fn open(call: &mut Call<'_>, target: ProcessId, flags: OpenFlags) -> Result<u32, Errno> {
    let serial = call.kernel.processes.get(&target).ok_or(Errno::ESRCH)?.serial;
    let file = call.with_files(|files, caller| {
        files.process_file(caller, ProcessFile { number: target.number(), serial }, flags)
    });
    call.add_descriptor(file, 0, true)
}

/// Whether a descriptor of a new child could be stored for its maker (CLONE_PIDFD).
///
/// # Errors
/// EMFILE, EFAULT.
pub(super) fn prepare(call: &mut Call<'_>, address: u32) -> Result<(), Errno> {
    call.user().check(address, 4, Access::Write)?;
    let limit = call.descriptor_limit();
    call.descriptors().free(0, limit).map(|_| ())
}

/// Stores it.
///
/// # Errors
/// None that [`prepare`] would not have found.
pub(super) fn give(call: &mut Call<'_>, child: ProcessId, address: u32) -> Result<(), Errno> {
    let fd = open(call, child, OpenFlags::empty())?;
    call.user().write(address, fd)
}

/// pidfd_open(2).
pub(super) fn pidfd_open(call: &mut Call<'_>, [number, bits, ..]: Arguments) -> CallResult {
    let flags = OpenFlags::from_bits_retain(bits);
    if flags & !OpenFlags::O_NONBLOCK != OpenFlags::empty() || number as i32 <= 0 {
        return Err(Errno::EINVAL.into());
    }
    let target = ProcessId(number);
    if !call.kernel.processes.contains_key(&target) {
        // Only the first thread of a process stands for it.
        let thread = call.kernel.tasks.contains_key(&TaskId(number));
        return Err(if thread { Errno::EINVAL } else { Errno::ESRCH }.into());
    }
    Ok(open(call, target, flags)?)
}

/// pidfd_send_signal(2).
pub(super) fn pidfd_send_signal(call: &mut Call<'_>, [fd, number, info, flags, ..]: Arguments) -> CallResult {
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (target, _) = process(call, fd)?;
    let signal = signal_or_zero(number)?;
    let own = call.process_id;
    let info = match (signal, info) {
        (None, _) => None,
        (Some(signal), 0) => Some(sent_by(call, signal, code::USER)),
        (signal, address) => made_info(call, signal, address, own == target)?,
    };
    if call.kernel.processes.get(&target).is_none_or(|process| process.ended.is_some()) {
        return Err(Errno::ESRCH.into());
    }
    if !may_signal(call.kernel, own, target, signal) {
        return Err(Errno::EPERM.into());
    }
    if let Some(info) = info {
        call.kernel.signal_process(target, info);
    }
    Ok(0)
}

/// pidfd_getfd(2): a copy of another process's descriptor.
pub(super) fn pidfd_getfd(call: &mut Call<'_>, [fd, wanted, flags, ..]: Arguments) -> CallResult {
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (target, _) = process(call, fd)?;
    let credentials = &call.process().credentials;
    let (own, privileged) = (credentials.uid, credentials.euid == 0);
    let other = call.kernel.processes.get(&target).ok_or(Errno::ESRCH)?;
    if !privileged && other.credentials.uid != own {
        return Err(Errno::EPERM.into());
    }
    let thread = *other.threads.first().ok_or(Errno::ESRCH)?;
    let mut target = Call::of(call.kernel, thread).ok_or(Errno::ESRCH)?;
    let description = target.open_file(wanted)?;
    call.kernel.fs.hold(description);
    Ok(call.add_descriptor(description, 0, true)?)
}
