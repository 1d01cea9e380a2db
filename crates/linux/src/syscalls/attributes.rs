//! Attributes of files: stat and its kin, rights, owners, times, file systems' figures.

use super::file::{AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, find_at, vnode};
use crate::errno::Errno;
use crate::kernel::{Arguments, Call};
use crate::record::Record;
use crate::vfs;
use crate::vfs::{Attributes, Change, Timestamp, Vnode};
use crate::wait::CallResult;

/// Encodes a structure of the stat family.
type Layout = fn(Vnode, &Attributes) -> Result<Record, Errno>;

fn stat64_layout(file: Vnode, attributes: &Attributes) -> Result<Record, Errno> {
    Ok(vfs::stat64(file, attributes))
}

fn fill(call: &mut Call<'_>, file: Vnode, buffer: u32, layout: Layout) -> CallResult {
    let attributes = call.with_files(|files, caller| files.vfs.attributes(caller, file))?;
    let record = layout(file, &attributes)?;
    call.user().copy_out(buffer, record.as_bytes())?;
    Ok(0)
}

macro_rules! stat_calls {
    ($($name:ident $link_name:ident $open_name:ident $layout:path, $text:literal;)*) => {$(
        #[doc = concat!($text, ", following links.")]
        pub(super) fn $name(call: &mut Call<'_>, [path, buffer, ..]: Arguments) -> CallResult {
            let file = find_at(call, AT_FDCWD, path, 0)?;
            fill(call, file, buffer, $layout)
        }

        #[doc = concat!($text, ", of a link itself.")]
        pub(super) fn $link_name(call: &mut Call<'_>, [path, buffer, ..]: Arguments) -> CallResult {
            let file = find_at(call, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)?;
            fill(call, file, buffer, $layout)
        }

        #[doc = concat!($text, ", of an open file.")]
        pub(super) fn $open_name(call: &mut Call<'_>, [fd, buffer, ..]: Arguments) -> CallResult {
            let file = vnode(call, fd)?;
            fill(call, file, buffer, $layout)
        }
    )*};
}

stat_calls! {
    oldstat oldlstat oldfstat vfs::old_stat, "stat(2) of Linux 1";
    stat lstat fstat vfs::stat, "stat(2)";
    stat64 lstat64 fstat64 stat64_layout, "stat64(2)";
}

/// fstatat64(2).
pub(super) fn fstatat64(call: &mut Call<'_>, [fd, path, buffer, flags, ..]: Arguments) -> CallResult {
    const AT_NO_AUTOMOUNT: u32 = 0x800;
    const AT_STATX_SYNC_TYPE: u32 = 0x6000;
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_SYNC_TYPE) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let file = find_at(call, fd, path, flags)?;
    fill(call, file, buffer, stat64_layout)
}

/// statx(2).
pub(super) fn statx(call: &mut Call<'_>, [fd, path, flags, mask, buffer, _]: Arguments) -> CallResult {
    const AT_NO_AUTOMOUNT: u32 = 0x800;
    const AT_STATX_SYNC_TYPE: u32 = 0x6000;
    const STATX_RESERVED: u32 = 1 << 31;
    const KNOWN: u32 = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_SYNC_TYPE;
    if mask & STATX_RESERVED != 0 || flags & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE || flags & !KNOWN != 0 {
        return Err(Errno::EINVAL.into());
    }
    let file = find_at(call, fd, path, flags)?;
    let (attributes, mount_root) = call.with_files(|files, caller| {
        Ok::<_, Errno>((files.vfs.attributes(caller, file)?, files.vfs.is_mount_root(file)))
    })?;
    let record = vfs::statx(file, &attributes, mount_root);
    call.user().copy_out(buffer, record.as_bytes())?;
    Ok(0)
}

fn check_access(call: &mut Call<'_>, fd: u32, path: u32, wanted: u32, flags: u32) -> CallResult {
    const AT_EACCESS: u32 = 0x200;
    if wanted & !7 != 0 || flags & !(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let path = call.user().path(path)?;
    if path.is_empty() && flags & AT_EMPTY_PATH == 0 {
        return Err(Errno::ENOENT.into());
    }
    let start = super::file::start(call, fd, &path)?;
    let last = if flags & AT_SYMLINK_NOFOLLOW != 0 { vfs::Last::Stay } else { vfs::Last::Follow };
    call.with_files_as(flags & AT_EACCESS == 0, |files, caller| {
        let own = path.is_empty() && flags & AT_EMPTY_PATH != 0;
        let file = if own { start } else { files.vfs.find(caller, start, &path, last)? };
        files.vfs.check_access(caller, file, wanted)
    })?;
    Ok(0)
}

/// access(2).
pub(super) fn access(call: &mut Call<'_>, [path, wanted, ..]: Arguments) -> CallResult {
    check_access(call, AT_FDCWD, path, wanted, 0)
}

/// faccessat(2), which has no flags.
pub(super) fn faccessat(call: &mut Call<'_>, [fd, path, wanted, ..]: Arguments) -> CallResult {
    check_access(call, fd, path, wanted, 0)
}

/// faccessat2(2).
pub(super) fn faccessat2(call: &mut Call<'_>, [fd, path, wanted, flags, ..]: Arguments) -> CallResult {
    check_access(call, fd, path, wanted, flags)
}

fn set_mode(call: &mut Call<'_>, file: Vnode, mode: u32) -> CallResult {
    call.with_files(|files, caller| files.vfs.set_mode(caller, file, mode & 0o7777))?;
    Ok(0)
}

/// chmod(2).
pub(super) fn chmod(call: &mut Call<'_>, [path, mode, ..]: Arguments) -> CallResult {
    let file = find_at(call, AT_FDCWD, path, 0)?;
    set_mode(call, file, mode)
}

/// fchmod(2).
pub(super) fn fchmod(call: &mut Call<'_>, [fd, mode, ..]: Arguments) -> CallResult {
    let file = changeable(call, fd)?;
    set_mode(call, file, mode)
}

/// fchmodat(2), which has no flags.
pub(super) fn fchmodat(call: &mut Call<'_>, [fd, path, mode, ..]: Arguments) -> CallResult {
    let file = find_at(call, fd, path, 0)?;
    set_mode(call, file, mode)
}

/// fchmodat2(2).
pub(super) fn fchmodat2(call: &mut Call<'_>, [fd, path, mode, flags, ..]: Arguments) -> CallResult {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let file = find_at(call, fd, path, flags)?;
    set_mode(call, file, mode)
}

/// The file of a descriptor that may be more than a path (O_PATH).
fn changeable(call: &mut Call<'_>, fd: u32) -> Result<Vnode, Errno> {
    let id = call.open_file(fd)?;
    let description = call.kernel.fs.description(id);
    if description.is_path() { Err(Errno::EBADF) } else { Ok(description.vnode) }
}

fn set_owner(call: &mut Call<'_>, file: Vnode, uid: u32, gid: u32) -> CallResult {
    call.with_files(|files, caller| files.vfs.set_owner(caller, file, uid, gid))?;
    Ok(0)
}

/// A 16-bit id as the old calls pass it; -1 leaves the id as it is.
fn short(id: u32) -> u32 {
    if id as u16 == u16::MAX { u32::MAX } else { id & 0xffff }
}

/// chown(2) with 16-bit ids.
pub(super) fn chown(call: &mut Call<'_>, [path, uid, gid, ..]: Arguments) -> CallResult {
    chown32(call, [path, short(uid), short(gid), 0, 0, 0])
}

/// lchown(2) with 16-bit ids.
pub(super) fn lchown(call: &mut Call<'_>, [path, uid, gid, ..]: Arguments) -> CallResult {
    lchown32(call, [path, short(uid), short(gid), 0, 0, 0])
}

/// fchown(2) with 16-bit ids.
pub(super) fn fchown(call: &mut Call<'_>, [fd, uid, gid, ..]: Arguments) -> CallResult {
    fchown32(call, [fd, short(uid), short(gid), 0, 0, 0])
}

/// chown(2).
pub(super) fn chown32(call: &mut Call<'_>, [path, uid, gid, ..]: Arguments) -> CallResult {
    let file = find_at(call, AT_FDCWD, path, 0)?;
    set_owner(call, file, uid, gid)
}

/// lchown(2).
pub(super) fn lchown32(call: &mut Call<'_>, [path, uid, gid, ..]: Arguments) -> CallResult {
    let file = find_at(call, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)?;
    set_owner(call, file, uid, gid)
}

/// fchown(2).
pub(super) fn fchown32(call: &mut Call<'_>, [fd, uid, gid, ..]: Arguments) -> CallResult {
    let file = changeable(call, fd)?;
    set_owner(call, file, uid, gid)
}

/// fchownat(2).
pub(super) fn fchownat(call: &mut Call<'_>, [fd, path, uid, gid, flags, _]: Arguments) -> CallResult {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let file = find_at(call, fd, path, flags)?;
    set_owner(call, file, uid, gid)
}

/// A time to set: `None` leaves it, and the flag tells a given one from the current.
type Wish = (Option<Timestamp>, bool);

fn set_times(call: &mut Call<'_>, file: Vnode, [accessed, modified]: [Wish; 2]) -> CallResult {
    let change = Change { accessed: accessed.0, modified: modified.0, ..Change::default() };
    let explicit = accessed.1 || modified.1;
    call.with_files(|files, caller| files.vfs.set_times(caller, file, &change, explicit))?;
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

fn times_target(call: &mut Call<'_>, fd: u32, path: u32, flags: u32) -> Result<Vnode, Errno> {
    let is_open = path == 0 && fd != AT_FDCWD;
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 || is_open && flags != 0 {
        return Err(Errno::EINVAL);
    }
    // futimens(3) passes no path at all.
    if is_open { vnode(call, fd) } else { find_at(call, fd, path, flags) }
}

/// utimensat(2) with 32-bit times.
pub(super) fn utimensat(call: &mut Call<'_>, [fd, path, times, flags, ..]: Arguments) -> CallResult {
    let now = call.kernel.file_time();
    let wishes = if times == 0 {
        [Ok((Some(now), false)); 2]
    } else {
        let [s0, n0, s1, n1] = call.user().words(times)?;
        [wish(now, i64::from(s0 as i32), n0), wish(now, i64::from(s1 as i32), n1)]
    };
    let file = times_target(call, fd, path, flags)?;
    let [accessed, modified] = wishes;
    set_times(call, file, [accessed?, modified?])
}

/// utimensat(2) with 64-bit times.
pub(super) fn utimensat_time64(call: &mut Call<'_>, [fd, path, times, flags, ..]: Arguments) -> CallResult {
    let now = call.kernel.file_time();
    let wishes = if times == 0 {
        [Ok((Some(now), false)); 2]
    } else {
        let [l0, h0, n0, _, l1, h1, n1, _] = call.user().words(times)?;
        let seconds = |low, high| super::file::wide(low, high) as i64;
        [wish(now, seconds(l0, h0), n0), wish(now, seconds(l1, h1), n1)]
    };
    let file = times_target(call, fd, path, flags)?;
    let [accessed, modified] = wishes;
    set_times(call, file, [accessed?, modified?])
}

/// futimesat(2): microseconds.
pub(super) fn futimesat(call: &mut Call<'_>, [fd, path, times, ..]: Arguments) -> CallResult {
    let now = call.kernel.file_time();
    let wishes = if times == 0 {
        [(Some(now), false); 2]
    } else {
        let [s0, u0, s1, u1] = call.user().words(times)?;
        if u0 >= 1_000_000 || u1 >= 1_000_000 {
            return Err(Errno::EINVAL.into());
        }
        [wish(now, i64::from(s0 as i32), u0 * 1000)?, wish(now, i64::from(s1 as i32), u1 * 1000)?]
    };
    let file = times_target(call, fd, path, 0)?;
    set_times(call, file, wishes)
}

/// utimes(2).
pub(super) fn utimes(call: &mut Call<'_>, [path, times, ..]: Arguments) -> CallResult {
    futimesat(call, [AT_FDCWD, path, times, 0, 0, 0])
}

/// utime(2): whole seconds.
pub(super) fn utime(call: &mut Call<'_>, [path, times, ..]: Arguments) -> CallResult {
    let now = call.kernel.file_time();
    let wishes = if times == 0 {
        [(Some(now), false); 2]
    } else {
        let [accessed, modified] = call.user().words(times)?;
        [wish(now, i64::from(accessed as i32), 0)?, wish(now, i64::from(modified as i32), 0)?]
    };
    let file = find_at(call, AT_FDCWD, path, 0)?;
    set_times(call, file, wishes)
}

fn figures(call: &mut Call<'_>, file: Vnode, buffer: u32) -> CallResult {
    let record = vfs::statfs(
        file,
        &call.kernel.fs.vfs.statistics(file),
        call.kernel.fs.vfs.check_writable(file).is_err(),
    )?;
    call.user().copy_out(buffer, record.as_bytes())?;
    Ok(0)
}

/// Fails unless `size` is one that `struct statfs64` has had.
fn check_size(size: u32) -> Result<(), Errno> {
    const SIZES: [u32; 2] = [84, 88];
    if SIZES.contains(&size) { Ok(()) } else { Err(Errno::EINVAL) }
}

fn figures64(call: &mut Call<'_>, file: Vnode, buffer: u32) -> CallResult {
    let record = vfs::statfs64(
        file,
        &call.kernel.fs.vfs.statistics(file),
        call.kernel.fs.vfs.check_writable(file).is_err(),
    );
    call.user().copy_out(buffer, record.as_bytes())?;
    Ok(0)
}

/// statfs(2).
pub(super) fn statfs(call: &mut Call<'_>, [path, buffer, ..]: Arguments) -> CallResult {
    let file = find_at(call, AT_FDCWD, path, 0)?;
    figures(call, file, buffer)
}

/// fstatfs(2).
pub(super) fn fstatfs(call: &mut Call<'_>, [fd, buffer, ..]: Arguments) -> CallResult {
    let file = vnode(call, fd)?;
    figures(call, file, buffer)
}

/// statfs64(2).
pub(super) fn statfs64(call: &mut Call<'_>, [path, size, buffer, ..]: Arguments) -> CallResult {
    check_size(size)?;
    let file = find_at(call, AT_FDCWD, path, 0)?;
    figures64(call, file, buffer)
}

/// fstatfs64(2).
pub(super) fn fstatfs64(call: &mut Call<'_>, [fd, size, buffer, ..]: Arguments) -> CallResult {
    check_size(size)?;
    let file = vnode(call, fd)?;
    figures64(call, file, buffer)
}

/// name_to_handle_at(2): no volume can find its files by handles.
pub(super) fn name_to_handle_at(call: &mut Call<'_>, [fd, path, _, _, flags, _]: Arguments) -> CallResult {
    // Unlike elsewhere, links are followed only on request.
    let followed = if flags & super::file::AT_SYMLINK_FOLLOW != 0 { 0 } else { AT_SYMLINK_NOFOLLOW };
    find_at(call, fd, path, flags & AT_EMPTY_PATH | followed)?;
    Err(Errno::EOPNOTSUPP.into())
}

/// setxattr(2) and removexattr(2): no volume keeps extended attributes.
pub(super) fn set_extended(call: &mut Call<'_>, [path, ..]: Arguments) -> CallResult {
    find_at(call, AT_FDCWD, path, 0)?;
    Err(Errno::EOPNOTSUPP.into())
}

/// fsetxattr(2) and fremovexattr(2).
pub(super) fn set_extended_open(call: &mut Call<'_>, [fd, ..]: Arguments) -> CallResult {
    call.open_file(fd)?;
    Err(Errno::EOPNOTSUPP.into())
}

/// getxattr(2): there is none of that name.
pub(super) fn get_extended(call: &mut Call<'_>, [path, ..]: Arguments) -> CallResult {
    find_at(call, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)?;
    Err(Errno::ENODATA.into())
}

/// fgetxattr(2).
pub(super) fn get_extended_open(call: &mut Call<'_>, [fd, ..]: Arguments) -> CallResult {
    call.open_file(fd)?;
    Err(Errno::ENODATA.into())
}

/// listxattr(2): an empty list.
pub(super) fn list_extended(call: &mut Call<'_>, [path, ..]: Arguments) -> CallResult {
    find_at(call, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)?;
    Ok(0)
}

/// flistxattr(2).
pub(super) fn list_extended_open(call: &mut Call<'_>, [fd, ..]: Arguments) -> CallResult {
    call.open_file(fd)?;
    Ok(0)
}
