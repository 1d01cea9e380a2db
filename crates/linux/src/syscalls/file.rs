//! Opening, reading, writing and seeking.

use super::transfer::{read_segments, segments, write_segments};
use crate::arena::Id;
use crate::errno::Errno;
use crate::kernel::{Arguments, Call};
use crate::objects::{Description, OpenFlags, Opened, Whence};
use crate::signal::{Info, Signal};
use crate::vfs::{Allocation, Caller, FileType, Last, Restrictions, Vnode};
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
pub(super) fn start(call: &mut Call<'_>, dirfd: u32, path: &[u8]) -> Result<Vnode, Errno> {
    if path.first() == Some(&b'/') {
        return Ok(call.location().root);
    }
    if dirfd == AT_FDCWD {
        return Ok(call.location().working_directory);
    }
    let description = call.open_file(dirfd)?;
    Ok(call.kernel.fs.description(description).vnode)
}

/// The file that `path` names from `dirfd`, with `AT_*` flags as fstatat(2) takes them.
pub(super) fn find_at(call: &mut Call<'_>, dirfd: u32, path: u32, flags: u32) -> Result<Vnode, Errno> {
    let path = call.user().path(path)?;
    if path.is_empty() && flags & AT_EMPTY_PATH == 0 {
        return Err(Errno::ENOENT);
    }
    let start = start(call, dirfd, &path)?;
    if path.is_empty() {
        return Ok(start);
    }
    let last = if flags & AT_SYMLINK_NOFOLLOW != 0 { Last::Stay } else { Last::Follow };
    call.with_files(|files, caller| files.vfs.find(caller, start, &path, last))
}

/// The vnode of an open file.
pub(super) fn vnode(call: &mut Call<'_>, fd: u32) -> Result<Vnode, Errno> {
    let description = call.open_file(fd)?;
    Ok(call.kernel.fs.description(description).vnode)
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

fn open_path(call: &mut Call<'_>, dirfd: u32, path: u32, flags: u32, mode: u32) -> CallResult {
    open_restricted(call, dirfd, path, (flags, mode), Restrictions::empty())
}

fn open_restricted(
    call: &mut Call<'_>,
    dirfd: u32,
    path: u32,
    (flags, mode): (u32, u32),
    restrictions: Restrictions,
) -> CallResult {
    let flags = OpenFlags::from_bits_retain(flags);
    let close_on_exec = flags.contains(OpenFlags::O_CLOEXEC);
    if let Some(waiting) = call.pending()?.progress.checked_sub(1) {
        return finish_fifo(call, Id::from_number(waiting), close_on_exec);
    }
    let path = call.user().path(path)?;
    // Restricted to a directory, an absolute path has to do with it too.
    let start = start(call, dirfd, if restrictions.intersects(BOTH_ROOTS) { b"." } else { &path })?;
    let opened = call.with_files(|files, caller| {
        let mut location = *caller.location;
        if restrictions.contains(Restrictions::IN_ROOT) {
            location.root = start;
        }
        let caller = Caller { restrictions, location: &location, ..*caller };
        files.open(&caller, start, &path, flags, mode)
    })?;
    match opened {
        Opened::Ready(description) => Ok(call.add_descriptor(description, 0, close_on_exec)?),
        Opened::Waits(description) => {
            // The opened end is there for the other to see; a second run must find it again.
            call.pending()?.progress = description.number() + 1;
            finish_fifo(call, description, close_on_exec)
        }
    }
}

/// Waits until the other end of a fifo is open.
fn finish_fifo(call: &mut Call<'_>, id: Id<Description>, close_on_exec: bool) -> CallResult {
    match call.kernel.fs.fifo_is_ready(id) {
        Ok(()) => Ok(call.add_descriptor(id, 0, close_on_exec)?),
        Err(_) if call.pending()?.interrupted => {
            call.kernel.fs.close(id);
            call.pending()?.progress = 0;
            Err(Errno::EINTR.into())
        }
        Err(channel) => Err(Failure::Block(Wait::on(channel))),
    }
}

/// open(2).
pub(super) fn open(call: &mut Call<'_>, [path, flags, mode, ..]: Arguments) -> CallResult {
    open_path(call, AT_FDCWD, path, flags, mode)
}

/// creat(2).
pub(super) fn creat(call: &mut Call<'_>, [path, mode, ..]: Arguments) -> CallResult {
    let flags = OpenFlags::O_CREAT | OpenFlags::O_WRONLY | OpenFlags::O_TRUNC;
    open_path(call, AT_FDCWD, path, flags.bits(), mode)
}

/// openat(2).
pub(super) fn openat(call: &mut Call<'_>, [fd, path, flags, mode, ..]: Arguments) -> CallResult {
    open_path(call, fd, path, flags, mode)
}

/// openat2(2).
pub(super) fn openat2(call: &mut Call<'_>, [fd, path, how, size, ..]: Arguments) -> CallResult {
    const HOW_SIZE: u32 = 24;
    if size < HOW_SIZE {
        return Err(Errno::EINVAL.into());
    }
    let [flags, flags_high, mode, mode_high, resolve, resolve_high] = call.user().words(how)?;
    if flags_high != 0 || mode_high != 0 || mode & !0o7777 != 0 {
        return Err(Errno::EINVAL.into());
    }
    // What a longer structure says further on is only known to be nothing if it is zero.
    let further = call.user().bytes(how.wrapping_add(HOW_SIZE), size.min(4096) - HOW_SIZE)?;
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
    open_restricted(call, fd, path, (flags, mode), restrictions)
}

/// close(2).
pub(super) fn close(call: &mut Call<'_>, [fd, ..]: Arguments) -> CallResult {
    let descriptor = call.descriptors().take(fd)?;
    call.close_descriptor(descriptor);
    Ok(0)
}

/// read(2).
pub(super) fn read(call: &mut Call<'_>, [fd, buffer, length, ..]: Arguments) -> CallResult {
    read_segments(call, fd, &[(buffer, length)], None)
}

/// write(2).
pub(super) fn write(call: &mut Call<'_>, [fd, buffer, length, ..]: Arguments) -> CallResult {
    write_segments(call, fd, &[(buffer, length)], None)
}

/// Fails unless the descriptor can be read, or written: before anything is said of buffers.
fn check_end(call: &mut Call<'_>, fd: u32, writes: bool) -> Result<(), Errno> {
    let id = call.open_file(fd)?;
    let flags = call.kernel.fs.description(id).flags;
    let allowed = if writes { flags.writes() } else { flags.reads() };
    if allowed { Ok(()) } else { Err(Errno::EBADF) }
}

/// Fails unless the descriptor's file can be read and written anywhere.
fn check_position(call: &mut Call<'_>, fd: u32) -> Result<(), Errno> {
    let id = call.open_file(fd)?;
    call.kernel.fs.description(id).object.check_positions()
}

/// readv(2).
pub(super) fn readv(call: &mut Call<'_>, [fd, vector, count, ..]: Arguments) -> CallResult {
    check_end(call, fd, false)?;
    let segments = segments(call, vector, count)?;
    read_segments(call, fd, &segments, None)
}

/// writev(2).
pub(super) fn writev(call: &mut Call<'_>, [fd, vector, count, ..]: Arguments) -> CallResult {
    check_end(call, fd, true)?;
    let segments = segments(call, vector, count)?;
    write_segments(call, fd, &segments, None)
}

/// pread(2).
pub(super) fn pread64(call: &mut Call<'_>, [fd, buffer, length, low, high, _]: Arguments) -> CallResult {
    let offset = offset(low, high)?;
    check_position(call, fd)?;
    read_segments(call, fd, &[(buffer, length)], Some(offset))
}

/// pwrite(2).
pub(super) fn pwrite64(call: &mut Call<'_>, [fd, buffer, length, low, high, _]: Arguments) -> CallResult {
    let offset = offset(low, high)?;
    check_position(call, fd)?;
    write_segments(call, fd, &[(buffer, length)], Some(offset))
}

/// preadv(2), and preadv2(2) without flags that ask for more; offset -1 there is the file's own.
pub(super) fn preadv(call: &mut Call<'_>, [fd, vector, count, low, high, _]: Arguments) -> CallResult {
    offset(low, high)?;
    check_position(call, fd)?;
    check_end(call, fd, false)?;
    let segments = segments(call, vector, count)?;
    read_segments(call, fd, &segments, Some(offset(low, high)?))
}

/// pwritev(2).
pub(super) fn pwritev(call: &mut Call<'_>, [fd, vector, count, low, high, _]: Arguments) -> CallResult {
    offset(low, high)?;
    check_position(call, fd)?;
    check_end(call, fd, true)?;
    let segments = segments(call, vector, count)?;
    write_segments(call, fd, &segments, Some(offset(low, high)?))
}

/// Fails for `RWF_*` flags that cannot be had; before that, for what preadv(2) and pwritev(2) fail.
fn check_wishes(call: &mut Call<'_>, arguments: Arguments, writes: bool) -> Result<(), Errno> {
    let [fd, vector, count, low, high, flags] = arguments;
    if flags == 0 {
        return Ok(());
    }
    if [low, high] != [u32::MAX; 2] {
        offset(low, high)?;
        check_position(call, fd)?;
    }
    check_end(call, fd, writes)?;
    if super::transfer::total(&segments(call, vector, count)?) == 0 {
        return Ok(());
    }
    const APPEND: u32 = 0x10;
    const NOAPPEND: u32 = 0x20;
    /// HIPRI, DSYNC, SYNC and NOWAIT, which mean nothing here, and these two.
    const KNOWN: u32 = 0xf | APPEND | NOAPPEND;
    /// With ATOMIC and DONTCACHE, which no file here has.
    const EVER: u32 = KNOWN | 0xc0;
    match flags {
        flags if flags & !EVER != 0 => Err(Errno::EOPNOTSUPP),
        flags if flags & (APPEND | NOAPPEND) == APPEND | NOAPPEND => Err(Errno::EINVAL),
        flags if flags & !KNOWN != 0 => Err(Errno::EOPNOTSUPP),
        _ => Ok(()),
    }
}

/// preadv2(2).
pub(super) fn preadv2(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    check_wishes(call, arguments, false)?;
    if arguments[3..5] == [u32::MAX; 2] {
        return readv(call, arguments);
    }
    preadv(call, arguments)
}

/// pwritev2(2).
pub(super) fn pwritev2(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    check_wishes(call, arguments, true)?;
    if arguments[3..5] == [u32::MAX; 2] {
        return writev(call, arguments);
    }
    pwritev(call, arguments)
}

fn seek(call: &mut Call<'_>, fd: u32, offset: i64, whence: u32) -> Result<u64, Errno> {
    let id = call.open_file(fd)?;
    let whence = match whence {
        0 => Whence::Set,
        1 => Whence::Current,
        2 => Whence::End,
        3 => Whence::Data,
        4 => Whence::Hole,
        _ => return Err(Errno::EINVAL),
    };
    call.with_files(|files, caller| files.seek(caller, id, offset, whence))
}

/// lseek(2).
pub(super) fn lseek(call: &mut Call<'_>, [fd, offset, whence, ..]: Arguments) -> CallResult {
    let target = seek(call, fd, i64::from(offset as i32), whence)?;
    Ok(u32::try_from(target).ok().filter(|target| *target < 1 << 31).ok_or(Errno::EOVERFLOW)?)
}

/// _llseek(2).
pub(super) fn llseek(call: &mut Call<'_>, [fd, high, low, result, whence, _]: Arguments) -> CallResult {
    let target = seek(call, fd, wide(low, high) as i64, whence)?;
    call.user().write(result, target)?;
    Ok(0)
}

/// A file that would grow beyond RLIMIT_FSIZE is worth a signal beside the error.
fn report_size(call: &mut Call<'_>, result: Result<(), Errno>) -> CallResult {
    if result == Err(Errno::EFBIG) {
        call.kernel.signal_task(call.task_id, Info::kernel(Signal::XFSZ));
    }
    result?;
    Ok(0)
}

fn truncate_path(call: &mut Call<'_>, path: u32, size: u64) -> CallResult {
    let file = find_at(call, AT_FDCWD, path, 0)?;
    let result = call.with_files(|files, caller| {
        match files.vfs.attributes(caller, file)?.file_type {
            FileType::Regular => {}
            FileType::Directory => return Err(Errno::EISDIR),
            _ => return Err(Errno::EINVAL),
        }
        files.vfs.check_access(caller, file, 2)?;
        files.vfs.truncate(caller, file, size)
    });
    report_size(call, result)
}

fn truncate_open(call: &mut Call<'_>, fd: u32, size: u64) -> CallResult {
    let id = call.open_file(fd)?;
    let description = call.kernel.fs.description(id);
    // Without O_LARGEFILE nothing beyond two gigabytes can be asked for, by either call.
    if size > i32::MAX as u64 && !description.flags.contains(OpenFlags::O_LARGEFILE) {
        return Err(Errno::EINVAL.into());
    }
    if description.is_path() {
        return Err(Errno::EBADF.into());
    }
    if description.object.check_content().is_err() || !description.flags.writes() {
        return Err(Errno::EINVAL.into());
    }
    let file = description.vnode;
    let result = call.with_files(|files, caller| files.vfs.truncate(caller, file, size));
    report_size(call, result)
}

/// truncate(2).
pub(super) fn truncate(call: &mut Call<'_>, [path, size, ..]: Arguments) -> CallResult {
    truncate_path(call, path, u64::try_from(size as i32).map_err(|_| Errno::EINVAL)?)
}

/// truncate64(2).
pub(super) fn truncate64(call: &mut Call<'_>, [path, low, high, ..]: Arguments) -> CallResult {
    truncate_path(call, path, offset(low, high)?)
}

/// ftruncate(2).
pub(super) fn ftruncate(call: &mut Call<'_>, [fd, size, ..]: Arguments) -> CallResult {
    truncate_open(call, fd, u64::try_from(size as i32).map_err(|_| Errno::EINVAL)?)
}

/// ftruncate64(2).
pub(super) fn ftruncate64(call: &mut Call<'_>, [fd, low, high, ..]: Arguments) -> CallResult {
    truncate_open(call, fd, offset(low, high)?)
}

/// fallocate(2).
pub(super) fn fallocate(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    let [fd, mode, offset_low, offset_high, length_low, length_high] = arguments;
    call.open_file(fd)?;
    let (start, length) = (offset(offset_low, offset_high)?, offset(length_low, length_high)?);
    if length == 0 {
        return Err(Errno::EINVAL.into());
    }
    let how = match mode {
        0 => Allocation::Reserve { keep_size: false },
        1 => Allocation::Reserve { keep_size: true },
        3 => Allocation::PunchHole,
        0x10 => Allocation::Zero { keep_size: false },
        0x11 => Allocation::Zero { keep_size: true },
        _ => return Err(Errno::EOPNOTSUPP.into()),
    };
    let id = call.open_file(fd)?;
    let description = call.kernel.fs.description(id);
    if !description.flags.writes() {
        return Err(Errno::EBADF.into());
    }
    description.object.check_allocation()?;
    let file = description.vnode;
    let result = call.with_files(|files, caller| {
        let end = start.checked_add(length).ok_or(Errno::EFBIG)?;
        if end > caller.view.file_size {
            Err(Errno::EFBIG)
        } else {
            files.vfs.allocate(caller, file, start, length, how)
        }
    });
    report_size(call, result)
}

/// fsync(2), fdatasync(2), syncfs(2), sync_file_range(2), fadvise64(2), readahead(2): what is
/// written is as safe as it gets, so only the descriptor is checked.
pub(super) fn sync_descriptor(call: &mut Call<'_>, [fd, ..]: Arguments) -> CallResult {
    let id = call.open_file(fd)?;
    let description = call.kernel.fs.description(id);
    if description.is_path() {
        return Err(Errno::EBADF.into());
    }
    description.object.check_sync()?;
    Ok(0)
}

/// fadvise64(2): nothing is read ahead or kept, but what cannot be asked for is refused.
pub(super) fn fadvise64(call: &mut Call<'_>, [fd, _, _, _, advice, _]: Arguments) -> CallResult {
    advise(call, fd, advice)
}

/// fadvise64_64(2).
pub(super) fn fadvise64_64(call: &mut Call<'_>, [fd, _, _, _, _, advice]: Arguments) -> CallResult {
    advise(call, fd, advice)
}

fn advise(call: &mut Call<'_>, fd: u32, advice: u32) -> CallResult {
    /// The highest advice, POSIX_FADV_NOREUSE.
    const MOST: u32 = 5;
    let id = call.open_file(fd)?;
    let description = call.kernel.fs.description(id);
    if description.is_path() {
        return Err(Errno::EBADF.into());
    }
    description.object.check_advice()?;
    if advice > MOST { Err(Errno::EINVAL.into()) } else { Ok(0) }
}

/// readahead(2): there is nothing to wait for.
pub(super) fn readahead(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    check_end(call, arguments[0], false)?;
    sync_descriptor(call, arguments)
}

/// sync_file_range(2): what is written is there.
pub(super) fn sync_file_range(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    const KNOWN: u32 = 7;
    let [fd, _, _, _, _, flags] = arguments;
    let id = call.open_file(fd)?;
    if flags & !KNOWN != 0 {
        return Err(Errno::EINVAL.into());
    }
    let description = call.kernel.fs.description(id);
    if !description.is_path() && description.object.check_sync().is_err() {
        return Err(Errno::ESPIPE.into());
    }
    sync_descriptor(call, arguments)
}

/// syncfs(2): whatever the descriptor is of, it is in a file system.
pub(super) fn syncfs(call: &mut Call<'_>, [fd, ..]: Arguments) -> CallResult {
    let id = call.open_file(fd)?;
    if call.kernel.fs.description(id).is_path() { Err(Errno::EBADF.into()) } else { Ok(0) }
}

/// sync(2).
pub(super) fn sync(_: &mut Call<'_>, _: Arguments) -> CallResult {
    Ok(0)
}

/// memfd_create(2).
pub(super) fn memfd_create(call: &mut Call<'_>, [name, flags, ..]: Arguments) -> CallResult {
    const MFD_CLOEXEC: u32 = 1;
    const MFD_KNOWN: u32 = 0x1f;
    const NAME_MAX: u32 = 249;
    if flags & !MFD_KNOWN != 0 {
        return Err(Errno::EINVAL.into());
    }
    let name = call
        .user()
        .string(name, NAME_MAX + 1)
        .map_err(|errno| if errno == Errno::ENAMETOOLONG { Errno::EINVAL } else { errno })?;
    let _ = name;
    let description = call.with_files(|files, caller| files.open_memory_file(caller))?;
    Ok(call.add_descriptor(description, 0, flags & MFD_CLOEXEC != 0)?)
}
