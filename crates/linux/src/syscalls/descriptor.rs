//! Descriptors: duplicating, flags, pipes, device requests.

use crate::errno::Errno;
use crate::kernel::{Arguments, Call};
use crate::objects::{FileDescriptor, FileDescriptors, OpenFlags, Reply, Request};
use crate::record::Record;
use crate::vfs::LockOwner;
use crate::wait::CallResult;

impl Call<'_> {
    /// Gives up an entry that has been taken from the caller's table.
    pub(super) fn close_descriptor(&mut self, descriptor: FileDescriptor) {
        // Closing any descriptor of a file gives up the process's locks on it (fcntl(2)).
        let files = &mut self.kernel.fs;
        let file = files.description(descriptor.description).vnode;
        files.unlock_all(LockOwner::Process(self.process_id.number()), Some(file));
        files.close(descriptor.description);
    }
}

/// dup(2).
pub(super) fn dup(call: &mut Call<'_>, [fd, ..]: Arguments) -> CallResult {
    duplicate(call, fd, 0, false)
}

fn duplicate(call: &mut Call<'_>, fd: u32, from: u32, close_on_exec: bool) -> CallResult {
    let description = call.open_file(fd)?;
    call.kernel.fs.hold(description);
    Ok(call.add_descriptor(description, from, close_on_exec)?)
}

fn duplicate_to(call: &mut Call<'_>, fd: u32, target: u32, close_on_exec: bool) -> CallResult {
    let description = call.open_file(fd)?;
    if target >= call.descriptor_limit() {
        return Err(Errno::EBADF.into());
    }
    // The table grows to the number.
    let more = (target + 1).saturating_sub(call.descriptors().end());
    call.charge(u64::from(more) * FileDescriptors::SLOT)?;
    call.kernel.fs.hold(description);
    let file = call.kernel.fs.description(description).vnode;
    let descriptor = FileDescriptor { description, file, close_on_exec };
    let replaced = call.descriptors().set(target, descriptor);
    if let Some(replaced) = replaced {
        call.close_descriptor(replaced);
    }
    Ok(target)
}

/// dup2(2).
pub(super) fn dup2(call: &mut Call<'_>, [fd, target, ..]: Arguments) -> CallResult {
    if fd == target {
        call.open_file(fd)?;
        return Ok(fd);
    }
    duplicate_to(call, fd, target, false)
}

/// dup3(2).
pub(super) fn dup3(call: &mut Call<'_>, [fd, target, flags, ..]: Arguments) -> CallResult {
    let flags = OpenFlags::from_bits_retain(flags);
    if fd == target || flags & !OpenFlags::O_CLOEXEC != OpenFlags::empty() {
        return Err(Errno::EINVAL.into());
    }
    duplicate_to(call, fd, target, flags.contains(OpenFlags::O_CLOEXEC))
}

/// close_range(2).
pub(super) fn close_range(call: &mut Call<'_>, [first, last, flags, ..]: Arguments) -> CallResult {
    const CLOSE_RANGE_UNSHARE: u32 = 2;
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    if flags & !(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC) != 0 || first > last {
        return Err(Errno::EINVAL.into());
    }
    if flags & CLOSE_RANGE_UNSHARE != 0 {
        let files = call.task().files;
        call.kernel.own_descriptors(call.task_id, files);
    }
    for fd in first..=last.min(call.descriptors().end()) {
        let descriptors = call.descriptors();
        if flags & CLOSE_RANGE_CLOEXEC != 0 {
            if let Ok(descriptor) = descriptors.get_mut(fd) {
                descriptor.close_on_exec = true;
            }
        } else if let Ok(descriptor) = descriptors.take(fd) {
            call.close_descriptor(descriptor);
        }
    }
    Ok(0)
}

/// pipe(2).
pub(super) fn pipe(call: &mut Call<'_>, [pair, ..]: Arguments) -> CallResult {
    pipe2(call, [pair, 0, 0, 0, 0, 0])
}

/// pipe2(2).
pub(super) fn pipe2(call: &mut Call<'_>, [pair, flags, ..]: Arguments) -> CallResult {
    let flags = OpenFlags::from_bits_retain(flags);
    let known = OpenFlags::O_CLOEXEC | OpenFlags::O_NONBLOCK | OpenFlags::O_DIRECT;
    if flags & !known != OpenFlags::empty() {
        return Err(Errno::EINVAL.into());
    }
    let ends = call.with_files(|files, caller| files.pipe(caller, flags));
    add_pair(call, ends, pair, flags.contains(OpenFlags::O_CLOEXEC))
}

/// Makes descriptors of two open files and stores them at `pair`; neither is left behind where
/// that fails.
pub(super) fn add_pair(
    call: &mut Call<'_>,
    ends: [crate::arena::Id<crate::objects::Description>; 2],
    pair: u32,
    close_on_exec: bool,
) -> CallResult {
    let first = match call.add_descriptor(ends[0], 0, close_on_exec) {
        Ok(first) => first,
        Err(errno) => {
            call.kernel.fs.close(ends[1]);
            return Err(errno.into());
        }
    };
    let second = call.add_descriptor(ends[1], 0, close_on_exec);
    let stored = second.and_then(|second| {
        let words = Record::new().u32(first).u32(second);
        call.user().copy_out(pair, words.as_bytes())
    });
    if let Err(errno) = stored {
        for fd in [Ok(first), second].into_iter().flatten() {
            if let Ok(descriptor) = call.descriptors().take(fd) {
                call.close_descriptor(descriptor);
            }
        }
        return Err(errno.into());
    }
    Ok(0)
}

/// fcntl(2), fcntl64(2).
pub(super) fn fcntl(call: &mut Call<'_>, [fd, command, argument, ..]: Arguments) -> CallResult {
    let id = call.open_file(fd)?;
    match command {
        // F_DUPFD, F_DUPFD_CLOEXEC
        0 | 1030 => {
            if argument >= call.descriptor_limit() {
                return Err(Errno::EINVAL.into());
            }
            duplicate(call, fd, argument, command == 1030)
        }
        // F_GETFD, F_SETFD
        1 => Ok(call.descriptors().get(fd)?.close_on_exec.into()),
        2 => {
            call.descriptors().get_mut(fd)?.close_on_exec = argument & 1 != 0;
            Ok(0)
        }
        // F_GETFL, F_SETFL
        3 => Ok(call.kernel.fs.description(id).flags.bits()),
        4 => {
            let wanted = OpenFlags::from_bits_retain(argument) & OpenFlags::SETTABLE;
            let object = &call.kernel.fs.description(id).object;
            if argument & OpenFlags::O_DIRECT.bits() != 0
                && object.check_content().is_err()
                && !call.kernel.fs.is_pipe(id)
            {
                return Err(Errno::EINVAL.into());
            }
            let description = call.kernel.fs.description_mut(id);
            description.flags = description.flags & !OpenFlags::SETTABLE | wanted;
            Ok(0)
        }
        // F_GETLK, F_SETLK, F_SETLKW; with 64 bits; of open files
        5..=7 | 12..=14 | 36..=38 => super::lock::fcntl_lock(call, [fd, command, argument, 0, 0, 0]),
        // F_SETOWN, F_GETOWN, F_SETSIG, F_GETSIG
        8 => {
            call.kernel.fs.description_mut(id).owner = argument;
            Ok(0)
        }
        9 => Ok(call.kernel.fs.description(id).owner),
        10 | 11 => Ok(0),
        // F_SETPIPE_SZ, F_GETPIPE_SZ
        1031 => Ok(call.kernel.fs.set_pipe_capacity(id, argument)?),
        1032 => Ok(call.kernel.fs.pipe_capacity(id)?),
        // F_ADD_SEALS, F_GET_SEALS: nothing is sealed.
        1033 => Ok(0),
        1034 => Ok(1),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// ioctl(2).
pub(super) fn ioctl(call: &mut Call<'_>, [fd, request, argument, ..]: Arguments) -> CallResult {
    const FIONREAD: u32 = 0x541b;
    const FIONBIO: u32 = 0x5421;
    const FIONCLEX: u32 = 0x5450;
    const FIOCLEX: u32 = 0x5451;
    const FIOASYNC: u32 = 0x5452;
    let id = call.open_file(fd)?;
    if call.kernel.fs.description(id).is_path() {
        return Err(Errno::EBADF.into());
    }
    match request {
        FIOCLEX | FIONCLEX => {
            call.descriptors().get_mut(fd)?.close_on_exec = request == FIOCLEX;
            Ok(0)
        }
        FIONBIO | FIOASYNC => {
            let on = call.user().read::<u32>(argument)? != 0;
            let flag = if request == FIONBIO { OpenFlags::O_NONBLOCK } else { OpenFlags::O_ASYNC };
            let description = call.kernel.fs.description(id);
            let changes = description.flags.contains(flag) != on;
            // What is always ready tells nobody.
            if request == FIOASYNC && changes && description.object.check_watchable().is_err() {
                return Err(Errno::ENOTTY.into());
            }
            call.kernel.fs.description_mut(id).flags.set(flag, on);
            Ok(0)
        }
        FIONREAD => {
            let held = call.with_files(|files, caller| files.readable_bytes(caller, id))?;
            call.user().write(argument, held)?;
            Ok(0)
        }
        number => {
            let size = call.with_files(|files, caller| files.request_size(caller, id, number))?;
            let bytes = call.user().bytes(argument, size as u32)?;
            let request = Request { number, argument, bytes: &bytes };
            match call.with_files(|files, caller| files.request(caller, id, &request))? {
                Reply::Done => Ok(0),
                Reply::Structure(record) => {
                    call.user().copy_out(argument, record.as_bytes())?;
                    Ok(0)
                }
                Reply::Opened(file, close_on_exec) => Ok(call.add_descriptor(file, 0, close_on_exec)?),
            }
        }
    }
}
