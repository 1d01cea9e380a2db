//! Attributes of files: stat and its kin, rights, owners, times, file systems' figures.

use super::call::Arguments;
use super::file::{AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, find_at, vnode};
use crate::errno::Errno;
use crate::ids::TaskId;
use crate::kernel::Kernel;
use crate::record::Record;
use crate::vfs;
use crate::vfs::{Attributes, Change, Timestamp, Vnode};
use crate::wait::CallResult;

/// Encodes a structure of the stat family.
type Layout = fn(Vnode, &Attributes) -> Result<Record, Errno>;

fn stat64_layout(file: Vnode, attributes: &Attributes) -> Result<Record, Errno> {
    Ok(vfs::stat64(file, attributes))
}

fn fill(kernel: &mut Kernel, task: TaskId, file: Vnode, buffer: u32, layout: Layout) -> CallResult {
    let attributes = kernel.with_files(task, |files, caller| files.vfs.attributes(caller, file))?;
    let record = layout(file, &attributes)?;
    kernel.user(task).copy_out(buffer, record.as_bytes())?;
    Ok(0)
}

macro_rules! stat_calls {
    ($($name:ident $link_name:ident $open_name:ident $layout:path, $text:literal;)*) => {$(
        #[doc = concat!($text, ", following links.")]
        pub(super) fn $name(kernel: &mut Kernel, task: TaskId, [path, buffer, ..]: Arguments) -> CallResult {
            let file = find_at(kernel, task, AT_FDCWD, path, 0)?;
            fill(kernel, task, file, buffer, $layout)
        }

        #[doc = concat!($text, ", of a link itself.")]
        pub(super) fn $link_name(kernel: &mut Kernel, task: TaskId, [path, buffer, ..]: Arguments) -> CallResult {
            let file = find_at(kernel, task, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)?;
            fill(kernel, task, file, buffer, $layout)
        }

        #[doc = concat!($text, ", of an open file.")]
        pub(super) fn $open_name(kernel: &mut Kernel, task: TaskId, [fd, buffer, ..]: Arguments) -> CallResult {
            let file = vnode(kernel, task, fd)?;
            fill(kernel, task, file, buffer, $layout)
        }
    )*};
}

stat_calls! {
    oldstat oldlstat oldfstat vfs::old_stat, "stat(2) of Linux 1";
    stat lstat fstat vfs::stat, "stat(2)";
    stat64 lstat64 fstat64 stat64_layout, "stat64(2)";
}

/// fstatat64(2).
pub(super) fn fstatat64(
    kernel: &mut Kernel,
    task: TaskId,
    [fd, path, buffer, flags, ..]: Arguments,
) -> CallResult {
    const AT_NO_AUTOMOUNT: u32 = 0x800;
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let file = find_at(kernel, task, fd, path, flags)?;
    fill(kernel, task, file, buffer, stat64_layout)
}

/// statx(2).
pub(super) fn statx(
    kernel: &mut Kernel,
    task: TaskId,
    [fd, path, flags, mask, buffer, _]: Arguments,
) -> CallResult {
    const AT_STATX_SYNC_TYPE: u32 = 0x6000;
    const STATX_RESERVED: u32 = 1 << 31;
    if mask & STATX_RESERVED != 0 || flags & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE {
        return Err(Errno::EINVAL.into());
    }
    let file = find_at(kernel, task, fd, path, flags)?;
    let (attributes, mount_root) = kernel.with_files(task, |files, caller| {
        Ok::<_, Errno>((files.vfs.attributes(caller, file)?, files.vfs.is_mount_root(file)))
    })?;
    let record = vfs::statx(file, &attributes, mount_root);
    kernel.user(task).copy_out(buffer, record.as_bytes())?;
    Ok(0)
}

fn check_access(
    kernel: &mut Kernel,
    task: TaskId,
    fd: u32,
    path: u32,
    wanted: u32,
    flags: u32,
) -> CallResult {
    const AT_EACCESS: u32 = 0x200;
    if wanted & !7 != 0 || flags & !(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let path = kernel.user(task).path(path)?;
    let start = super::file::start(kernel, task, fd, &path)?;
    let last = if flags & AT_SYMLINK_NOFOLLOW != 0 { vfs::Last::Stay } else { vfs::Last::Follow };
    kernel.with_files_as(task, flags & AT_EACCESS == 0, |files, caller| {
        let own = path.is_empty() && flags & AT_EMPTY_PATH != 0;
        let file = if own { start } else { files.vfs.find(caller, start, &path, last)? };
        files.vfs.check_access(caller, file, wanted)
    })?;
    Ok(0)
}

/// access(2).
pub(super) fn access(kernel: &mut Kernel, task: TaskId, [path, wanted, ..]: Arguments) -> CallResult {
    check_access(kernel, task, AT_FDCWD, path, wanted, 0)
}

/// faccessat(2), which has no flags.
pub(super) fn faccessat(kernel: &mut Kernel, task: TaskId, [fd, path, wanted, ..]: Arguments) -> CallResult {
    check_access(kernel, task, fd, path, wanted, 0)
}

/// faccessat2(2).
pub(super) fn faccessat2(
    kernel: &mut Kernel,
    task: TaskId,
    [fd, path, wanted, flags, ..]: Arguments,
) -> CallResult {
    check_access(kernel, task, fd, path, wanted, flags)
}

fn set_mode(kernel: &mut Kernel, task: TaskId, file: Vnode, mode: u32) -> CallResult {
    kernel.with_files(task, |files, caller| files.vfs.set_mode(caller, file, mode & 0o7777))?;
    Ok(0)
}

/// chmod(2).
pub(super) fn chmod(kernel: &mut Kernel, task: TaskId, [path, mode, ..]: Arguments) -> CallResult {
    let file = find_at(kernel, task, AT_FDCWD, path, 0)?;
    set_mode(kernel, task, file, mode)
}

/// fchmod(2).
pub(super) fn fchmod(kernel: &mut Kernel, task: TaskId, [fd, mode, ..]: Arguments) -> CallResult {
    let file = vnode(kernel, task, fd)?;
    set_mode(kernel, task, file, mode)
}

/// fchmodat(2), which has no flags.
pub(super) fn fchmodat(kernel: &mut Kernel, task: TaskId, [fd, path, mode, ..]: Arguments) -> CallResult {
    let file = find_at(kernel, task, fd, path, 0)?;
    set_mode(kernel, task, file, mode)
}

/// fchmodat2(2).
pub(super) fn fchmodat2(
    kernel: &mut Kernel,
    task: TaskId,
    [fd, path, mode, flags, ..]: Arguments,
) -> CallResult {
    let file = find_at(kernel, task, fd, path, flags)?;
    set_mode(kernel, task, file, mode)
}

fn set_owner(kernel: &mut Kernel, task: TaskId, file: Vnode, uid: u32, gid: u32) -> CallResult {
    kernel.with_files(task, |files, caller| files.vfs.set_owner(caller, file, uid, gid))?;
    Ok(0)
}

/// A 16-bit id as the old calls pass it; -1 leaves the id as it is.
fn short(id: u32) -> u32 {
    if id as u16 == u16::MAX { u32::MAX } else { id & 0xffff }
}

/// chown(2) with 16-bit ids.
pub(super) fn chown(kernel: &mut Kernel, task: TaskId, [path, uid, gid, ..]: Arguments) -> CallResult {
    chown32(kernel, task, [path, short(uid), short(gid), 0, 0, 0])
}

/// lchown(2) with 16-bit ids.
pub(super) fn lchown(kernel: &mut Kernel, task: TaskId, [path, uid, gid, ..]: Arguments) -> CallResult {
    lchown32(kernel, task, [path, short(uid), short(gid), 0, 0, 0])
}

/// fchown(2) with 16-bit ids.
pub(super) fn fchown(kernel: &mut Kernel, task: TaskId, [fd, uid, gid, ..]: Arguments) -> CallResult {
    fchown32(kernel, task, [fd, short(uid), short(gid), 0, 0, 0])
}

/// chown(2).
pub(super) fn chown32(kernel: &mut Kernel, task: TaskId, [path, uid, gid, ..]: Arguments) -> CallResult {
    let file = find_at(kernel, task, AT_FDCWD, path, 0)?;
    set_owner(kernel, task, file, uid, gid)
}

/// lchown(2).
pub(super) fn lchown32(kernel: &mut Kernel, task: TaskId, [path, uid, gid, ..]: Arguments) -> CallResult {
    let file = find_at(kernel, task, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)?;
    set_owner(kernel, task, file, uid, gid)
}

/// fchown(2).
pub(super) fn fchown32(kernel: &mut Kernel, task: TaskId, [fd, uid, gid, ..]: Arguments) -> CallResult {
    let file = vnode(kernel, task, fd)?;
    set_owner(kernel, task, file, uid, gid)
}

/// fchownat(2).
pub(super) fn fchownat(
    kernel: &mut Kernel,
    task: TaskId,
    [fd, path, uid, gid, flags, _]: Arguments,
) -> CallResult {
    let file = find_at(kernel, task, fd, path, flags)?;
    set_owner(kernel, task, file, uid, gid)
}

/// A time to set: `None` leaves it, and the flag tells a given one from the current.
type Wish = (Option<Timestamp>, bool);

fn set_times(kernel: &mut Kernel, task: TaskId, file: Vnode, [accessed, modified]: [Wish; 2]) -> CallResult {
    let change = Change { accessed: accessed.0, modified: modified.0, ..Change::default() };
    let explicit = accessed.1 || modified.1;
    kernel.with_files(task, |files, caller| files.vfs.set_times(caller, file, &change, explicit))?;
    Ok(0)
}

/// What utimensat(2) makes of one `struct timespec`.
fn wish(now: Timestamp, seconds: i64, nanoseconds: u32) -> Result<Wish, Errno> {
    const UTIME_NOW: u32 = 0x3fff_ffff;
    const UTIME_OMIT: u32 = 0x3fff_fffe;
    match nanoseconds {
        UTIME_NOW => Ok((Some(now), false)),
        UTIME_OMIT => Ok((None, true)),
        0..=999_999_999 => Ok((Some(Timestamp { seconds, nanoseconds }), true)),
        _ => Err(Errno::EINVAL),
    }
}

fn times_target(kernel: &mut Kernel, task: TaskId, fd: u32, path: u32, flags: u32) -> Result<Vnode, Errno> {
    // futimens(3) passes no path at all.
    if path == 0 && fd != AT_FDCWD { vnode(kernel, task, fd) } else { find_at(kernel, task, fd, path, flags) }
}

/// utimensat(2) with 32-bit times.
pub(super) fn utimensat(
    kernel: &mut Kernel,
    task: TaskId,
    [fd, path, times, flags, ..]: Arguments,
) -> CallResult {
    let now = kernel.file_time();
    let wishes = if times == 0 {
        [(Some(now), false); 2]
    } else {
        let [s0, n0, s1, n1] = kernel.user(task).words(times)?;
        [wish(now, i64::from(s0 as i32), n0)?, wish(now, i64::from(s1 as i32), n1)?]
    };
    let file = times_target(kernel, task, fd, path, flags)?;
    set_times(kernel, task, file, wishes)
}

/// utimensat(2) with 64-bit times.
pub(super) fn utimensat_time64(
    kernel: &mut Kernel,
    task: TaskId,
    [fd, path, times, flags, ..]: Arguments,
) -> CallResult {
    let now = kernel.file_time();
    let wishes = if times == 0 {
        [(Some(now), false); 2]
    } else {
        let [l0, h0, n0, _, l1, h1, n1, _] = kernel.user(task).words(times)?;
        let seconds = |low, high| super::file::wide(low, high) as i64;
        [wish(now, seconds(l0, h0), n0)?, wish(now, seconds(l1, h1), n1)?]
    };
    let file = times_target(kernel, task, fd, path, flags)?;
    set_times(kernel, task, file, wishes)
}

/// futimesat(2): microseconds.
pub(super) fn futimesat(kernel: &mut Kernel, task: TaskId, [fd, path, times, ..]: Arguments) -> CallResult {
    let now = kernel.file_time();
    let wishes = if times == 0 {
        [(Some(now), false); 2]
    } else {
        let [s0, u0, s1, u1] = kernel.user(task).words(times)?;
        if u0 >= 1_000_000 || u1 >= 1_000_000 {
            return Err(Errno::EINVAL.into());
        }
        [wish(now, i64::from(s0 as i32), u0 * 1000)?, wish(now, i64::from(s1 as i32), u1 * 1000)?]
    };
    let file = times_target(kernel, task, fd, path, 0)?;
    set_times(kernel, task, file, wishes)
}

/// utimes(2).
pub(super) fn utimes(kernel: &mut Kernel, task: TaskId, [path, times, ..]: Arguments) -> CallResult {
    futimesat(kernel, task, [AT_FDCWD, path, times, 0, 0, 0])
}

/// utime(2): whole seconds.
pub(super) fn utime(kernel: &mut Kernel, task: TaskId, [path, times, ..]: Arguments) -> CallResult {
    let now = kernel.file_time();
    let wishes = if times == 0 {
        [(Some(now), false); 2]
    } else {
        let [accessed, modified] = kernel.user(task).words(times)?;
        [wish(now, i64::from(accessed as i32), 0)?, wish(now, i64::from(modified as i32), 0)?]
    };
    let file = find_at(kernel, task, AT_FDCWD, path, 0)?;
    set_times(kernel, task, file, wishes)
}

fn figures(kernel: &mut Kernel, task: TaskId, file: Vnode, buffer: u32) -> CallResult {
    let record =
        vfs::statfs(file, &kernel.fs.vfs.statistics(file), kernel.fs.vfs.check_writable(file).is_err())?;
    kernel.user(task).copy_out(buffer, record.as_bytes())?;
    Ok(0)
}

fn figures64(kernel: &mut Kernel, task: TaskId, file: Vnode, size: u32, buffer: u32) -> CallResult {
    const SIZES: [u32; 2] = [84, 88];
    if !SIZES.contains(&size) {
        return Err(Errno::EINVAL.into());
    }
    let record =
        vfs::statfs64(file, &kernel.fs.vfs.statistics(file), kernel.fs.vfs.check_writable(file).is_err());
    kernel.user(task).copy_out(buffer, record.as_bytes())?;
    Ok(0)
}

/// statfs(2).
pub(super) fn statfs(kernel: &mut Kernel, task: TaskId, [path, buffer, ..]: Arguments) -> CallResult {
    let file = find_at(kernel, task, AT_FDCWD, path, 0)?;
    figures(kernel, task, file, buffer)
}

/// fstatfs(2).
pub(super) fn fstatfs(kernel: &mut Kernel, task: TaskId, [fd, buffer, ..]: Arguments) -> CallResult {
    let file = vnode(kernel, task, fd)?;
    figures(kernel, task, file, buffer)
}

/// statfs64(2).
pub(super) fn statfs64(kernel: &mut Kernel, task: TaskId, [path, size, buffer, ..]: Arguments) -> CallResult {
    let file = find_at(kernel, task, AT_FDCWD, path, 0)?;
    figures64(kernel, task, file, size, buffer)
}

/// fstatfs64(2).
pub(super) fn fstatfs64(kernel: &mut Kernel, task: TaskId, [fd, size, buffer, ..]: Arguments) -> CallResult {
    let file = vnode(kernel, task, fd)?;
    figures64(kernel, task, file, size, buffer)
}

/// name_to_handle_at(2): no volume can find its files by handles.
pub(super) fn name_to_handle_at(
    kernel: &mut Kernel,
    task: TaskId,
    [fd, path, _, _, flags, _]: Arguments,
) -> CallResult {
    // Unlike elsewhere, links are followed only on request.
    let followed = if flags & super::file::AT_SYMLINK_FOLLOW != 0 { 0 } else { AT_SYMLINK_NOFOLLOW };
    find_at(kernel, task, fd, path, flags & AT_EMPTY_PATH | followed)?;
    Err(Errno::EOPNOTSUPP.into())
}

/// setxattr(2) and removexattr(2): no volume keeps extended attributes.
pub(super) fn set_extended(kernel: &mut Kernel, task: TaskId, [path, ..]: Arguments) -> CallResult {
    find_at(kernel, task, AT_FDCWD, path, 0)?;
    Err(Errno::EOPNOTSUPP.into())
}

/// fsetxattr(2) and fremovexattr(2).
pub(super) fn set_extended_open(kernel: &mut Kernel, task: TaskId, [fd, ..]: Arguments) -> CallResult {
    kernel.open_file(task, fd)?;
    Err(Errno::EOPNOTSUPP.into())
}

/// getxattr(2): there is none of that name.
pub(super) fn get_extended(kernel: &mut Kernel, task: TaskId, [path, ..]: Arguments) -> CallResult {
    find_at(kernel, task, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)?;
    Err(Errno::ENODATA.into())
}

/// fgetxattr(2).
pub(super) fn get_extended_open(kernel: &mut Kernel, task: TaskId, [fd, ..]: Arguments) -> CallResult {
    kernel.open_file(task, fd)?;
    Err(Errno::ENODATA.into())
}

/// listxattr(2): an empty list.
pub(super) fn list_extended(kernel: &mut Kernel, task: TaskId, [path, ..]: Arguments) -> CallResult {
    find_at(kernel, task, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)?;
    Ok(0)
}

/// flistxattr(2).
pub(super) fn list_extended_open(kernel: &mut Kernel, task: TaskId, [fd, ..]: Arguments) -> CallResult {
    kernel.open_file(task, fd)?;
    Ok(0)
}
