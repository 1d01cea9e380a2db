//! Opening, reading, writing and seeking.

use super::call::Arguments;
use super::transfer::{read_segments, segments, write_segments};
use crate::arena::Id;
use crate::errno::Errno;
use crate::ids::TaskId;
use crate::kernel::Kernel;
use crate::objects::{Description, OpenFlags, Opened, Whence};
use crate::signal::{Info, Signal};
use crate::vfs::{Allocation, Caller, Last, Restrictions, Vnode};
use crate::wait::{CallResult, Failure, Wait};

/// `AT_FDCWD`: paths start at the working directory.
pub(super) const AT_FDCWD: u32 = -100_i32 as u32;
/// Do not follow a symbolic link in the last place.
pub(super) const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
/// Follow it where the call does not by itself.
pub(super) const AT_SYMLINK_FOLLOW: u32 = 0x400;
/// An empty path means the descriptor's own file.
pub(super) const AT_EMPTY_PATH: u32 = 0x1000;

/// Where a path relative to `dirfd` starts.
pub(super) fn start(kernel: &mut Kernel, task: TaskId, dirfd: u32, path: &[u8]) -> Result<Vnode, Errno> {
    if path.first() == Some(&b'/') {
        return Ok(kernel.location(task)?.root);
    }
    if dirfd == AT_FDCWD {
        return Ok(kernel.location(task)?.working_directory);
    }
    let description = kernel.open_file(task, dirfd)?;
    Ok(kernel.fs.description(description).vnode)
}

/// The file that `path` names from `dirfd`, with `AT_*` flags as fstatat(2) takes them.
pub(super) fn find_at(
    kernel: &mut Kernel,
    task: TaskId,
    dirfd: u32,
    path: u32,
    flags: u32,
) -> Result<Vnode, Errno> {
    let path = kernel.user(task).path(path)?;
    let start = start(kernel, task, dirfd, &path)?;
    if path.is_empty() && flags & AT_EMPTY_PATH != 0 {
        return Ok(start);
    }
    let last = if flags & AT_SYMLINK_NOFOLLOW != 0 { Last::Stay } else { Last::Follow };
    kernel.with_files(task, |files, caller| files.vfs.find(caller, start, &path, last))
}

/// The vnode of an open file.
pub(super) fn vnode(kernel: &mut Kernel, task: TaskId, fd: u32) -> Result<Vnode, Errno> {
    let description = kernel.open_file(task, fd)?;
    Ok(kernel.fs.description(description).vnode)
}

/// 64 bits from two arguments.
pub(super) fn wide(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// An offset, which must not be negative.
fn offset(low: u32, high: u32) -> Result<u64, Errno> {
    let offset = wide(low, high);
    if offset > i64::MAX as u64 { Err(Errno::EINVAL) } else { Ok(offset) }
}

/// The two restrictions that exclude each other.
const BOTH_ROOTS: Restrictions = Restrictions::BENEATH.union(Restrictions::IN_ROOT);

fn open_path(kernel: &mut Kernel, task: TaskId, dirfd: u32, path: u32, flags: u32, mode: u32) -> CallResult {
    open_restricted(kernel, task, dirfd, path, (flags, mode), Restrictions::empty())
}

fn open_restricted(
    kernel: &mut Kernel,
    task: TaskId,
    dirfd: u32,
    path: u32,
    (flags, mode): (u32, u32),
    restrictions: Restrictions,
) -> CallResult {
    let flags = OpenFlags::from_bits_retain(flags);
    let close_on_exec = flags.contains(OpenFlags::O_CLOEXEC);
    if let Some(waiting) = kernel.pending(task)?.progress.checked_sub(1) {
        return finish_fifo(kernel, task, Id::from_number(waiting), close_on_exec);
    }
    let path = kernel.user(task).path(path)?;
    // Restricted to a directory, an absolute path has to do with it too.
    let start = start(kernel, task, dirfd, if restrictions.intersects(BOTH_ROOTS) { b"." } else { &path })?;
    let opened = kernel.with_files(task, |files, caller| {
        let mut location = *caller.location;
        if restrictions.contains(Restrictions::IN_ROOT) {
            location.root = start;
        }
        let caller = Caller { restrictions, location: &location, ..*caller };
        files.open(&caller, start, &path, flags, mode)
    })?;
    match opened {
        Opened::Ready(description) => Ok(kernel.add_descriptor(task, description, 0, close_on_exec)?),
        Opened::Waits(description) => {
            // The opened end is there for the other to see; a second run must find it again.
            kernel.pending(task)?.progress = description.number() + 1;
            finish_fifo(kernel, task, description, close_on_exec)
        }
    }
}

/// Waits until the other end of a fifo is open.
fn finish_fifo(kernel: &mut Kernel, task: TaskId, id: Id<Description>, close_on_exec: bool) -> CallResult {
    match kernel.fs.fifo_is_ready(id) {
        Ok(()) => Ok(kernel.add_descriptor(task, id, 0, close_on_exec)?),
        Err(_) if kernel.pending(task)?.interrupted => {
            kernel.fs.close(id);
            kernel.pending(task)?.progress = 0;
            Err(Errno::EINTR.into())
        }
        Err(channel) => Err(Failure::Block(Wait::on(channel))),
    }
}

/// open(2).
pub(super) fn open(kernel: &mut Kernel, task: TaskId, [path, flags, mode, ..]: Arguments) -> CallResult {
    open_path(kernel, task, AT_FDCWD, path, flags, mode)
}

/// creat(2).
pub(super) fn creat(kernel: &mut Kernel, task: TaskId, [path, mode, ..]: Arguments) -> CallResult {
    let flags = OpenFlags::O_CREAT | OpenFlags::O_WRONLY | OpenFlags::O_TRUNC;
    open_path(kernel, task, AT_FDCWD, path, flags.bits(), mode)
}

/// openat(2).
pub(super) fn openat(
    kernel: &mut Kernel,
    task: TaskId,
    [fd, path, flags, mode, ..]: Arguments,
) -> CallResult {
    open_path(kernel, task, fd, path, flags, mode)
}

/// openat2(2).
pub(super) fn openat2(kernel: &mut Kernel, task: TaskId, [fd, path, how, size, ..]: Arguments) -> CallResult {
    const HOW_SIZE: u32 = 24;
    if size < HOW_SIZE {
        return Err(Errno::EINVAL.into());
    }
    let [flags, flags_high, mode, mode_high, resolve, resolve_high] = kernel.user(task).words(how)?;
    if flags_high != 0 || mode_high != 0 || mode & !0o7777 != 0 {
        return Err(Errno::EINVAL.into());
    }
    // What a longer structure says further on is only known to be nothing if it is zero.
    let further = kernel.user(task).bytes(how.wrapping_add(HOW_SIZE), size.min(4096) - HOW_SIZE)?;
    if size > 4096 || further.iter().any(|byte| *byte != 0) {
        return Err(Errno::E2BIG.into());
    }
    let known = OpenFlags::KNOWN.bits();
    let makes = OpenFlags::from_bits_retain(flags).intersects(OpenFlags::O_CREAT)
        || OpenFlags::from_bits_retain(flags).contains(OpenFlags::O_TMPFILE);
    let restrictions = Restrictions::from_bits(resolve).filter(|_| resolve_high == 0).ok_or(Errno::EINVAL)?;
    if flags & !known != 0 || mode != 0 && !makes || restrictions.contains(BOTH_ROOTS) {
        return Err(Errno::EINVAL.into());
    }
    open_restricted(kernel, task, fd, path, (flags, mode), restrictions)
}

/// close(2).
pub(super) fn close(kernel: &mut Kernel, task: TaskId, [fd, ..]: Arguments) -> CallResult {
    let descriptor = kernel.descriptors(task)?.take(fd)?;
    kernel.close_descriptor(task, descriptor);
    Ok(0)
}

/// read(2).
pub(super) fn read(kernel: &mut Kernel, task: TaskId, [fd, buffer, length, ..]: Arguments) -> CallResult {
    read_segments(kernel, task, fd, &[(buffer, length)], None)
}

/// write(2).
pub(super) fn write(kernel: &mut Kernel, task: TaskId, [fd, buffer, length, ..]: Arguments) -> CallResult {
    write_segments(kernel, task, fd, &[(buffer, length)], None)
}

/// readv(2).
pub(super) fn readv(kernel: &mut Kernel, task: TaskId, [fd, vector, count, ..]: Arguments) -> CallResult {
    let segments = segments(kernel, task, vector, count)?;
    read_segments(kernel, task, fd, &segments, None)
}

/// writev(2).
pub(super) fn writev(kernel: &mut Kernel, task: TaskId, [fd, vector, count, ..]: Arguments) -> CallResult {
    let segments = segments(kernel, task, vector, count)?;
    write_segments(kernel, task, fd, &segments, None)
}

/// pread(2).
pub(super) fn pread64(
    kernel: &mut Kernel,
    task: TaskId,
    [fd, buffer, length, low, high, _]: Arguments,
) -> CallResult {
    read_segments(kernel, task, fd, &[(buffer, length)], Some(offset(low, high)?))
}

/// pwrite(2).
pub(super) fn pwrite64(
    kernel: &mut Kernel,
    task: TaskId,
    [fd, buffer, length, low, high, _]: Arguments,
) -> CallResult {
    write_segments(kernel, task, fd, &[(buffer, length)], Some(offset(low, high)?))
}

/// preadv(2), and preadv2(2) without flags that ask for more; offset -1 there is the file's own.
pub(super) fn preadv(
    kernel: &mut Kernel,
    task: TaskId,
    [fd, vector, count, low, high, _]: Arguments,
) -> CallResult {
    let segments = segments(kernel, task, vector, count)?;
    read_segments(kernel, task, fd, &segments, Some(offset(low, high)?))
}

/// pwritev(2).
pub(super) fn pwritev(
    kernel: &mut Kernel,
    task: TaskId,
    [fd, vector, count, low, high, _]: Arguments,
) -> CallResult {
    let segments = segments(kernel, task, vector, count)?;
    write_segments(kernel, task, fd, &segments, Some(offset(low, high)?))
}

/// preadv2(2).
pub(super) fn preadv2(kernel: &mut Kernel, task: TaskId, arguments: Arguments) -> CallResult {
    if arguments[3..5] == [u32::MAX; 2] {
        return readv(kernel, task, arguments);
    }
    preadv(kernel, task, arguments)
}

/// pwritev2(2).
pub(super) fn pwritev2(kernel: &mut Kernel, task: TaskId, arguments: Arguments) -> CallResult {
    if arguments[3..5] == [u32::MAX; 2] {
        return writev(kernel, task, arguments);
    }
    pwritev(kernel, task, arguments)
}

fn seek(kernel: &mut Kernel, task: TaskId, fd: u32, offset: i64, whence: u32) -> Result<u64, Errno> {
    let whence = match whence {
        0 => Whence::Set,
        1 => Whence::Current,
        2 => Whence::End,
        3 => Whence::Data,
        4 => Whence::Hole,
        _ => return Err(Errno::EINVAL),
    };
    let id = kernel.open_file(task, fd)?;
    kernel.with_files(task, |files, caller| files.seek(caller, id, offset, whence))
}

/// lseek(2).
pub(super) fn lseek(kernel: &mut Kernel, task: TaskId, [fd, offset, whence, ..]: Arguments) -> CallResult {
    let target = seek(kernel, task, fd, i64::from(offset as i32), whence)?;
    Ok(u32::try_from(target).ok().filter(|target| *target < 1 << 31).ok_or(Errno::EOVERFLOW)?)
}

/// _llseek(2).
pub(super) fn llseek(
    kernel: &mut Kernel,
    task: TaskId,
    [fd, high, low, result, whence, _]: Arguments,
) -> CallResult {
    let target = seek(kernel, task, fd, wide(low, high) as i64, whence)?;
    kernel.user(task).write(result, target)?;
    Ok(0)
}

/// A file that would grow beyond RLIMIT_FSIZE is worth a signal beside the error.
fn report_size(kernel: &mut Kernel, task: TaskId, result: Result<(), Errno>) -> CallResult {
    if result == Err(Errno::EFBIG) {
        kernel.signal_task(task, Info::kernel(Signal::XFSZ));
    }
    result?;
    Ok(0)
}

fn truncate_path(kernel: &mut Kernel, task: TaskId, path: u32, size: u64) -> CallResult {
    let file = find_at(kernel, task, AT_FDCWD, path, 0)?;
    let result = kernel.with_files(task, |files, caller| {
        files.vfs.check_access(caller, file, 2)?;
        files.vfs.truncate(caller, file, size)
    });
    report_size(kernel, task, result)
}

fn truncate_open(kernel: &mut Kernel, task: TaskId, fd: u32, size: u64) -> CallResult {
    let id = kernel.open_file(task, fd)?;
    let description = kernel.fs.description(id);
    if description.is_path() {
        return Err(Errno::EBADF.into());
    }
    if description.object.check_content().is_err() || !description.flags.writes() {
        return Err(Errno::EINVAL.into());
    }
    let file = description.vnode;
    let result = kernel.with_files(task, |files, caller| files.vfs.truncate(caller, file, size));
    report_size(kernel, task, result)
}

/// truncate(2).
pub(super) fn truncate(kernel: &mut Kernel, task: TaskId, [path, size, ..]: Arguments) -> CallResult {
    truncate_path(kernel, task, path, u64::try_from(size as i32).map_err(|_| Errno::EINVAL)?)
}

/// truncate64(2).
pub(super) fn truncate64(kernel: &mut Kernel, task: TaskId, [path, low, high, ..]: Arguments) -> CallResult {
    truncate_path(kernel, task, path, offset(low, high)?)
}

/// ftruncate(2).
pub(super) fn ftruncate(kernel: &mut Kernel, task: TaskId, [fd, size, ..]: Arguments) -> CallResult {
    truncate_open(kernel, task, fd, u64::try_from(size as i32).map_err(|_| Errno::EINVAL)?)
}

/// ftruncate64(2).
pub(super) fn ftruncate64(kernel: &mut Kernel, task: TaskId, [fd, low, high, ..]: Arguments) -> CallResult {
    truncate_open(kernel, task, fd, offset(low, high)?)
}

/// fallocate(2).
pub(super) fn fallocate(kernel: &mut Kernel, task: TaskId, arguments: Arguments) -> CallResult {
    let [fd, mode, offset_low, offset_high, length_low, length_high] = arguments;
    let (start, length) = (offset(offset_low, offset_high)?, offset(length_low, length_high)?);
    let how = match mode {
        0 => Allocation::Reserve { keep_size: false },
        1 => Allocation::Reserve { keep_size: true },
        3 => Allocation::PunchHole,
        0x10 => Allocation::Zero { keep_size: false },
        0x11 => Allocation::Zero { keep_size: true },
        _ => return Err(Errno::EOPNOTSUPP.into()),
    };
    if length == 0 {
        return Err(Errno::EINVAL.into());
    }
    let id = kernel.open_file(task, fd)?;
    let description = kernel.fs.description(id);
    if !description.flags.writes() {
        return Err(Errno::EBADF.into());
    }
    description.object.check_allocation()?;
    let file = description.vnode;
    let result = kernel.with_files(task, |files, caller| {
        let end = start.checked_add(length).ok_or(Errno::EFBIG)?;
        if end > caller.view.file_size {
            Err(Errno::EFBIG)
        } else {
            files.vfs.allocate(caller, file, start, length, how)
        }
    });
    report_size(kernel, task, result)
}

/// fsync(2), fdatasync(2), syncfs(2), sync_file_range(2), fadvise64(2), readahead(2): what is
/// written is as safe as it gets, so only the descriptor is checked.
pub(super) fn sync_descriptor(kernel: &mut Kernel, task: TaskId, [fd, ..]: Arguments) -> CallResult {
    let id = kernel.open_file(task, fd)?;
    let description = kernel.fs.description(id);
    if description.is_path() {
        return Err(Errno::EBADF.into());
    }
    description.object.check_sync()?;
    Ok(0)
}

/// fadvise64(2), fadvise64_64(2).
pub(super) fn fadvise(kernel: &mut Kernel, task: TaskId, [fd, ..]: Arguments) -> CallResult {
    let id = kernel.open_file(task, fd)?;
    let description = kernel.fs.description(id);
    if description.is_path() {
        return Err(Errno::EBADF.into());
    }
    description.object.check_advice()?;
    Ok(0)
}

/// sync(2).
pub(super) fn sync(_: &mut Kernel, _: TaskId, _: Arguments) -> CallResult {
    Ok(0)
}

/// memfd_create(2).
pub(super) fn memfd_create(kernel: &mut Kernel, task: TaskId, [name, flags, ..]: Arguments) -> CallResult {
    const MFD_CLOEXEC: u32 = 1;
    const MFD_KNOWN: u32 = 0x1f;
    const NAME_MAX: u32 = 249;
    let name = kernel
        .user(task)
        .string(name, NAME_MAX + 1)
        .map_err(|errno| if errno == Errno::ENAMETOOLONG { Errno::EINVAL } else { errno })?;
    if flags & !MFD_KNOWN != 0 {
        return Err(Errno::EINVAL.into());
    }
    let _ = name;
    let description = kernel.with_files(task, |files, caller| files.open_memory_file(caller))?;
    Ok(kernel.add_descriptor(task, description, 0, flags & MFD_CLOEXEC != 0)?)
}
