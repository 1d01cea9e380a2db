//! Descriptors: duplicating, flags, pipes, device requests.

use super::call::Arguments;
use crate::errno::Errno;
use crate::ids::TaskId;
use crate::kernel::Kernel;
use crate::objects::{FileDescriptor, OpenFlags};
use crate::record::Record;
use crate::vfs::LockOwner;
use crate::wait::CallResult;

impl Kernel {
    /// Gives up an entry that has been taken from the task's table.
    pub(super) fn close_descriptor(&mut self, task: TaskId, descriptor: FileDescriptor) {
        // Closing any descriptor of a file gives up the process's locks on it (fcntl(2)).
        if let Some(process) = self.tasks.get(&task).map(|task| task.process.number()) {
            let file = self.fs.description(descriptor.description).vnode;
            self.fs.unlock_all(LockOwner::Process(process), Some(file));
        }
        self.fs.close(descriptor.description);
    }
}

/// dup(2).
pub(super) fn dup(kernel: &mut Kernel, task: TaskId, [fd, ..]: Arguments) -> CallResult {
    duplicate(kernel, task, fd, 0, false)
}

fn duplicate(kernel: &mut Kernel, task: TaskId, fd: u32, from: u32, close_on_exec: bool) -> CallResult {
    let description = kernel.open_file(task, fd)?;
    kernel.fs.hold(description);
    Ok(kernel.add_descriptor(task, description, from, close_on_exec)?)
}

fn duplicate_to(kernel: &mut Kernel, task: TaskId, fd: u32, target: u32, close_on_exec: bool) -> CallResult {
    let description = kernel.open_file(task, fd)?;
    if target >= kernel.descriptor_limit(task) {
        return Err(Errno::EBADF.into());
    }
    kernel.fs.hold(description);
    let file = kernel.fs.description(description).vnode;
    let descriptor = FileDescriptor { description, file, close_on_exec };
    let replaced = kernel.descriptors(task)?.set(target, descriptor);
    if let Some(replaced) = replaced {
        kernel.close_descriptor(task, replaced);
    }
    Ok(target)
}

/// dup2(2).
pub(super) fn dup2(kernel: &mut Kernel, task: TaskId, [fd, target, ..]: Arguments) -> CallResult {
    if fd == target {
        kernel.open_file(task, fd)?;
        return Ok(fd);
    }
    duplicate_to(kernel, task, fd, target, false)
}

/// dup3(2).
pub(super) fn dup3(kernel: &mut Kernel, task: TaskId, [fd, target, flags, ..]: Arguments) -> CallResult {
    let flags = OpenFlags::from_bits_retain(flags);
    if fd == target || flags & !OpenFlags::O_CLOEXEC != OpenFlags::empty() {
        return Err(Errno::EINVAL.into());
    }
    duplicate_to(kernel, task, fd, target, flags.contains(OpenFlags::O_CLOEXEC))
}

/// close_range(2).
pub(super) fn close_range(
    kernel: &mut Kernel,
    task: TaskId,
    [first, last, flags, ..]: Arguments,
) -> CallResult {
    const CLOSE_RANGE_UNSHARE: u32 = 2;
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    if flags & !(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC) != 0 || first > last {
        return Err(Errno::EINVAL.into());
    }
    for fd in first..=last.min(kernel.descriptors(task)?.end()) {
        let descriptors = kernel.descriptors(task)?;
        if flags & CLOSE_RANGE_CLOEXEC != 0 {
            if let Ok(descriptor) = descriptors.get_mut(fd) {
                descriptor.close_on_exec = true;
            }
        } else if let Ok(descriptor) = descriptors.take(fd) {
            kernel.close_descriptor(task, descriptor);
        }
    }
    Ok(0)
}

/// pipe(2).
pub(super) fn pipe(kernel: &mut Kernel, task: TaskId, [pair, ..]: Arguments) -> CallResult {
    pipe2(kernel, task, [pair, 0, 0, 0, 0, 0])
}

/// pipe2(2).
pub(super) fn pipe2(kernel: &mut Kernel, task: TaskId, [pair, flags, ..]: Arguments) -> CallResult {
    let flags = OpenFlags::from_bits_retain(flags);
    let known = OpenFlags::O_CLOEXEC | OpenFlags::O_NONBLOCK | OpenFlags::O_DIRECT;
    if flags & !known != OpenFlags::empty() {
        return Err(Errno::EINVAL.into());
    }
    let ends = kernel.with_files(task, |files, caller| Ok::<_, Errno>(files.pipe(caller, flags)))?;
    add_pair(kernel, task, ends, pair, flags.contains(OpenFlags::O_CLOEXEC))
}

/// Makes descriptors of two open files and stores them at `pair`; neither is left behind where
/// that fails.
pub(super) fn add_pair(
    kernel: &mut Kernel,
    task: TaskId,
    ends: [crate::arena::Id<crate::objects::Description>; 2],
    pair: u32,
    close_on_exec: bool,
) -> CallResult {
    let first = match kernel.add_descriptor(task, ends[0], 0, close_on_exec) {
        Ok(first) => first,
        Err(errno) => {
            kernel.fs.close(ends[1]);
            return Err(errno.into());
        }
    };
    let second = kernel.add_descriptor(task, ends[1], 0, close_on_exec);
    let stored = second.and_then(|second| {
        let words = Record::new().u32(first).u32(second);
        kernel.user(task).copy_out(pair, words.as_bytes())
    });
    if let Err(errno) = stored {
        for fd in [Ok(first), second].into_iter().flatten() {
            if let Ok(descriptor) = kernel.descriptors(task)?.take(fd) {
                kernel.close_descriptor(task, descriptor);
            }
        }
        return Err(errno.into());
    }
    Ok(0)
}

/// fcntl(2), fcntl64(2).
pub(super) fn fcntl(kernel: &mut Kernel, task: TaskId, [fd, command, argument, ..]: Arguments) -> CallResult {
    let id = kernel.open_file(task, fd)?;
    match command {
        // F_DUPFD, F_DUPFD_CLOEXEC
        0 | 1030 => {
            if argument >= kernel.descriptor_limit(task) {
                return Err(Errno::EINVAL.into());
            }
            duplicate(kernel, task, fd, argument, command == 1030)
        }
        // F_GETFD, F_SETFD
        1 => Ok(kernel.descriptors(task)?.get(fd)?.close_on_exec.into()),
        2 => {
            kernel.descriptors(task)?.get_mut(fd)?.close_on_exec = argument & 1 != 0;
            Ok(0)
        }
        // F_GETFL, F_SETFL
        3 => Ok(kernel.fs.description(id).flags.bits() | OpenFlags::O_LARGEFILE.bits()),
        4 => {
            let wanted = OpenFlags::from_bits_retain(argument) & OpenFlags::SETTABLE;
            let description = kernel.fs.description_mut(id);
            description.flags = description.flags & !OpenFlags::SETTABLE | wanted;
            Ok(0)
        }
        // F_GETLK, F_SETLK, F_SETLKW; with 64 bits; of open files
        5..=7 | 12..=14 | 36..=38 => super::lock::fcntl_lock(kernel, task, [fd, command, argument, 0, 0, 0]),
        // F_SETOWN, F_GETOWN, F_SETSIG, F_GETSIG
        8 => {
            kernel.fs.description_mut(id).owner = argument;
            Ok(0)
        }
        9 => Ok(kernel.fs.description(id).owner),
        10 | 11 => Ok(0),
        // F_SETPIPE_SZ, F_GETPIPE_SZ
        1031 => Ok(kernel.fs.set_pipe_capacity(id, argument)?),
        1032 => Ok(kernel.fs.pipe_capacity(id)?),
        // F_ADD_SEALS, F_GET_SEALS: nothing is sealed.
        1033 => Ok(0),
        1034 => Ok(1),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// ioctl(2).
pub(super) fn ioctl(kernel: &mut Kernel, task: TaskId, [fd, request, argument, ..]: Arguments) -> CallResult {
    const FIONREAD: u32 = 0x541b;
    const FIONBIO: u32 = 0x5421;
    const FIONCLEX: u32 = 0x5450;
    const FIOCLEX: u32 = 0x5451;
    const FIOASYNC: u32 = 0x5452;
    let id = kernel.open_file(task, fd)?;
    if kernel.fs.description(id).is_path() {
        return Err(Errno::EBADF.into());
    }
    match request {
        FIOCLEX | FIONCLEX => {
            kernel.descriptors(task)?.get_mut(fd)?.close_on_exec = request == FIOCLEX;
            Ok(0)
        }
        FIONBIO | FIOASYNC => {
            let on = kernel.user(task).read::<u32>(argument)? != 0;
            let flag = if request == FIONBIO { OpenFlags::O_NONBLOCK } else { OpenFlags::O_ASYNC };
            kernel.fs.description_mut(id).flags.set(flag, on);
            Ok(0)
        }
        FIONREAD => {
            let held = kernel.with_files(task, |files, caller| files.readable_bytes(caller, id))?;
            kernel.user(task).write(argument, held)?;
            Ok(0)
        }
        _ => super::terminal::request(kernel, task, id, request, argument),
    }
}
