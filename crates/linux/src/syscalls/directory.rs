//! Directories, names and links.

use super::file::{AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_FOLLOW, start};
use crate::errno::Errno;
use crate::kernel::{Arguments, Call};
use crate::record::Record;
use crate::vfs::{DeviceNumber, FileType, Last, RenameMode, Vnode, encode_entries};
use crate::wait::CallResult;

/// `AT_REMOVEDIR` of unlinkat(2).
const AT_REMOVEDIR: u32 = 0x200;

/// A path of the guest and where it starts.
fn place(call: &mut Call<'_>, dirfd: u32, path: u32) -> Result<(Vnode, Vec<u8>), Errno> {
    place_or_start(call, dirfd, path, false)
}

/// The same, where the path may be `empty` and means the start then.
fn place_or_start(
    call: &mut Call<'_>,
    dirfd: u32,
    path: u32,
    empty: bool,
) -> Result<(Vnode, Vec<u8>), Errno> {
    let path = call.user().path(path)?;
    if path.is_empty() && !empty {
        return Err(Errno::ENOENT);
    }
    let start = start(call, dirfd, &path)?;
    Ok((start, path))
}

fn entries(call: &mut Call<'_>, arguments: Arguments, wide: bool) -> CallResult {
    let [fd, buffer, room, ..] = arguments;
    let id = call.open_file(fd)?;
    let (listing, first) = call.with_files(|files, caller| files.entries(caller, id))?;
    let (bytes, count) = encode_entries(&listing, first, room.min(1 << 20) as usize, wide)?;
    call.user().copy_out(buffer, &bytes)?;
    call.kernel.fs.set_offset(id, (first + count) as u64);
    Ok(bytes.len() as u32)
}

/// getdents(2).
pub(super) fn getdents(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    entries(call, arguments, false)
}

/// getdents64(2).
pub(super) fn getdents64(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    entries(call, arguments, true)
}

/// readdir(2): one entry as `struct old_linux_dirent`.
pub(super) fn readdir(call: &mut Call<'_>, [fd, buffer, ..]: Arguments) -> CallResult {
    let id = call.open_file(fd)?;
    let (listing, first) = call.with_files(|files, caller| files.entries(caller, id))?;
    let Some(entry) = listing.get(first) else { return Ok(0) };
    let record = Record::new()
        .u32(entry.node.inode())
        .u32(first as u32)
        .u16(entry.name.len() as u16)
        .bytes(&entry.name)
        .u8(0);
    call.user().copy_out(buffer, record.as_bytes())?;
    call.kernel.fs.set_offset(id, first as u64 + 1);
    Ok(1)
}

/// getcwd(2): bytes with the terminating zero.
pub(super) fn getcwd(call: &mut Call<'_>, [buffer, size, ..]: Arguments) -> CallResult {
    let location = *call.location();
    let mut path = match call.kernel.fs.vfs.path_of(location.root, location.working_directory) {
        Some(path) => path,
        None if call.kernel.fs.vfs.is_outside(location.root, location.working_directory) => {
            b"(unreachable)/".to_vec()
        }
        None => return Err(Errno::ENOENT.into()),
    };
    path.push(0);
    if path.len() > size as usize {
        return Err(Errno::ERANGE.into());
    }
    call.user().copy_out(buffer, &path)?;
    Ok(path.len() as u32)
}

fn enter(call: &mut Call<'_>, directory: Vnode) -> Result<(), Errno> {
    call.with_files(|files, caller| files.vfs.check_directory(caller, directory))?;
    call.location().working_directory = directory;
    Ok(())
}

/// chdir(2).
pub(super) fn chdir(call: &mut Call<'_>, [path, ..]: Arguments) -> CallResult {
    let (start, path) = place(call, AT_FDCWD, path)?;
    let directory = call.with_files(|files, caller| files.vfs.find(caller, start, &path, Last::Follow))?;
    enter(call, directory)?;
    Ok(0)
}

/// fchdir(2).
pub(super) fn fchdir(call: &mut Call<'_>, [fd, ..]: Arguments) -> CallResult {
    let directory = super::file::vnode(call, fd)?;
    enter(call, directory)?;
    Ok(0)
}

/// chroot(2), for root.
pub(super) fn chroot(call: &mut Call<'_>, [path, ..]: Arguments) -> CallResult {
    let (start, path) = place(call, AT_FDCWD, path)?;
    let directory = call.with_files(|files, caller| {
        let directory = files.vfs.find(caller, start, &path, Last::Follow)?;
        files.vfs.check_directory(caller, directory)?;
        if caller.credentials.uid == 0 { Ok(directory) } else { Err(Errno::EPERM) }
    })?;
    call.location().root = directory;
    Ok(0)
}

/// umask(2).
pub(super) fn umask(call: &mut Call<'_>, [mask, ..]: Arguments) -> CallResult {
    Ok(std::mem::replace(&mut call.location().umask, mask & 0o777))
}

fn make(call: &mut Call<'_>, dirfd: u32, path: u32, mode: u32, made: (FileType, u32)) -> CallResult {
    let (start, path) = place(call, dirfd, path)?;
    let (file_type, device) = (made.0, DeviceNumber::decode(made.1));
    call.with_files(|files, caller| files.vfs.make(caller, start, &path, file_type, mode, device))?;
    Ok(0)
}

/// mkdir(2).
pub(super) fn mkdir(call: &mut Call<'_>, [path, mode, ..]: Arguments) -> CallResult {
    make(call, AT_FDCWD, path, mode & 0o1777, (FileType::Directory, 0))
}

/// mkdirat(2).
pub(super) fn mkdirat(call: &mut Call<'_>, [fd, path, mode, ..]: Arguments) -> CallResult {
    make(call, fd, path, mode & 0o1777, (FileType::Directory, 0))
}

/// mknodat(2).
pub(super) fn mknodat(call: &mut Call<'_>, [fd, path, mode, device, ..]: Arguments) -> CallResult {
    let file_type = match mode & 0o170000 {
        0 => FileType::Regular,
        bits => FileType::from_mode(bits).ok_or(Errno::EINVAL)?,
    };
    match file_type {
        FileType::Directory => Err(Errno::EPERM.into()),
        FileType::Symlink => Err(Errno::EINVAL.into()),
        _ => make(call, fd, path, mode, (file_type, device)),
    }
}

/// mknod(2).
pub(super) fn mknod(call: &mut Call<'_>, [path, mode, device, ..]: Arguments) -> CallResult {
    mknodat(call, [AT_FDCWD, path, mode, device, 0, 0])
}

fn remove(call: &mut Call<'_>, dirfd: u32, path: u32, directory: bool) -> CallResult {
    let (start, path) = place(call, dirfd, path)?;
    call.with_files(|files, caller| files.vfs.remove(caller, start, &path, directory))?;
    Ok(0)
}

/// unlink(2).
pub(super) fn unlink(call: &mut Call<'_>, [path, ..]: Arguments) -> CallResult {
    remove(call, AT_FDCWD, path, false)
}

/// rmdir(2).
pub(super) fn rmdir(call: &mut Call<'_>, [path, ..]: Arguments) -> CallResult {
    remove(call, AT_FDCWD, path, true)
}

/// unlinkat(2).
pub(super) fn unlinkat(call: &mut Call<'_>, [fd, path, flags, ..]: Arguments) -> CallResult {
    if flags & !AT_REMOVEDIR != 0 {
        return Err(Errno::EINVAL.into());
    }
    remove(call, fd, path, flags & AT_REMOVEDIR != 0)
}

/// linkat(2).
pub(super) fn linkat(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    let [from, existing, to, path, flags, _] = arguments;
    if flags & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (old_start, existing) = place(call, from, existing)?;
    let (new_start, path) = place(call, to, path)?;
    let last = if flags & AT_SYMLINK_FOLLOW != 0 { Last::Follow } else { Last::Stay };
    call.with_files(|files, caller| {
        let file = if existing.is_empty() && flags & AT_EMPTY_PATH != 0 {
            old_start
        } else {
            files.vfs.find(caller, old_start, &existing, last)?
        };
        files.vfs.link(caller, file, new_start, &path)
    })?;
    Ok(0)
}

/// link(2).
pub(super) fn link(call: &mut Call<'_>, [existing, path, ..]: Arguments) -> CallResult {
    linkat(call, [AT_FDCWD, existing, AT_FDCWD, path, 0, 0])
}

/// symlinkat(2).
pub(super) fn symlinkat(call: &mut Call<'_>, [target, fd, path, ..]: Arguments) -> CallResult {
    let target = call.user().path(target)?;
    if target.is_empty() {
        return Err(Errno::ENOENT.into());
    }
    let (start, path) = place(call, fd, path)?;
    call.with_files(|files, caller| files.vfs.make_symlink(caller, start, &path, &target))?;
    Ok(0)
}

/// symlink(2).
pub(super) fn symlink(call: &mut Call<'_>, [target, path, ..]: Arguments) -> CallResult {
    symlinkat(call, [target, AT_FDCWD, path, 0, 0, 0])
}

/// readlinkat(2).
pub(super) fn readlinkat(call: &mut Call<'_>, [fd, path, buffer, size, ..]: Arguments) -> CallResult {
    if size as i32 <= 0 {
        return Err(Errno::EINVAL.into());
    }
    let (start, path) = place_or_start(call, fd, path, true)?;
    let text = call.with_files(|files, caller| {
        let file = if path.is_empty() && fd != AT_FDCWD {
            start
        } else {
            files.vfs.find(caller, start, &path, Last::Stay)?
        };
        files.vfs.read_link(caller, file)
    })?;
    let length = text.len().min(size as usize);
    call.user().copy_out(buffer, &text[..length])?;
    Ok(length as u32)
}

/// readlink(2).
pub(super) fn readlink(call: &mut Call<'_>, [path, buffer, size, ..]: Arguments) -> CallResult {
    readlinkat(call, [AT_FDCWD, path, buffer, size, 0, 0])
}

/// renameat2(2).
pub(super) fn renameat2(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    let [from, old, to, new, flags, _] = arguments;
    let mode = match flags {
        0 => RenameMode::Replace,
        1 => RenameMode::NoReplace,
        2 => RenameMode::Exchange,
        _ => return Err(Errno::EINVAL.into()),
    };
    let (old_start, old) = place(call, from, old)?;
    let (new_start, new) = place(call, to, new)?;
    call.with_files(|files, caller| files.vfs.rename(caller, (old_start, &old), (new_start, &new), mode))?;
    Ok(0)
}

/// renameat(2).
pub(super) fn renameat(call: &mut Call<'_>, [from, old, to, new, ..]: Arguments) -> CallResult {
    renameat2(call, [from, old, to, new, 0, 0])
}

/// rename(2).
pub(super) fn rename(call: &mut Call<'_>, [old, new, ..]: Arguments) -> CallResult {
    renameat2(call, [AT_FDCWD, old, AT_FDCWD, new, 0, 0])
}
