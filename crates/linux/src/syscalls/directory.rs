//! Directories, names and links.

use super::call::Arguments;
use super::file::{AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_FOLLOW, start};
use crate::errno::Errno;
use crate::ids::TaskId;
use crate::kernel::Kernel;
use crate::record::Record;
use crate::vfs::{DeviceNumber, FileType, Last, RenameMode, Vnode, encode_entries};
use crate::wait::CallResult;

/// `AT_REMOVEDIR` of unlinkat(2).
const AT_REMOVEDIR: u32 = 0x200;

/// A path of the guest and where it starts.
fn place(kernel: &mut Kernel, task: TaskId, dirfd: u32, path: u32) -> Result<(Vnode, Vec<u8>), Errno> {
    let path = kernel.user(task).path(path)?;
    let start = start(kernel, task, dirfd, &path)?;
    Ok((start, path))
}

fn entries(kernel: &mut Kernel, task: TaskId, arguments: Arguments, wide: bool) -> CallResult {
    let [fd, buffer, room, ..] = arguments;
    let id = kernel.open_file(task, fd)?;
    let (listing, first) = kernel.with_files(task, |files, caller| files.entries(caller, id))?;
    let (bytes, count) = encode_entries(&listing, first, room.min(1 << 20) as usize, wide)?;
    kernel.user(task).copy_out(buffer, &bytes)?;
    kernel.fs.set_offset(id, (first + count) as u64);
    Ok(bytes.len() as u32)
}

/// getdents(2).
pub(super) fn getdents(kernel: &mut Kernel, task: TaskId, arguments: Arguments) -> CallResult {
    entries(kernel, task, arguments, false)
}

/// getdents64(2).
pub(super) fn getdents64(kernel: &mut Kernel, task: TaskId, arguments: Arguments) -> CallResult {
    entries(kernel, task, arguments, true)
}

/// readdir(2): one entry as `struct old_linux_dirent`.
pub(super) fn readdir(kernel: &mut Kernel, task: TaskId, [fd, buffer, ..]: Arguments) -> CallResult {
    let id = kernel.open_file(task, fd)?;
    let (listing, first) = kernel.with_files(task, |files, caller| files.entries(caller, id))?;
    let Some(entry) = listing.get(first) else { return Ok(0) };
    let record = Record::new()
        .u32(entry.node.0 as u32)
        .u32(first as u32)
        .u16(entry.name.len() as u16)
        .bytes(&entry.name)
        .u8(0);
    kernel.user(task).copy_out(buffer, record.as_bytes())?;
    kernel.fs.set_offset(id, first as u64 + 1);
    Ok(1)
}

/// getcwd(2): bytes with the terminating zero.
pub(super) fn getcwd(kernel: &mut Kernel, task: TaskId, [buffer, size, ..]: Arguments) -> CallResult {
    let location = *kernel.location(task)?;
    let mut path = match kernel.fs.vfs.path_of(location.root, location.working_directory) {
        Some(path) => path,
        None if kernel.fs.vfs.is_outside(location.root, location.working_directory) => {
            b"(unreachable)/".to_vec()
        }
        None => return Err(Errno::ENOENT.into()),
    };
    path.push(0);
    if path.len() > size as usize {
        return Err(Errno::ERANGE.into());
    }
    kernel.user(task).copy_out(buffer, &path)?;
    Ok(path.len() as u32)
}

fn enter(kernel: &mut Kernel, task: TaskId, directory: Vnode) -> Result<(), Errno> {
    kernel.with_files(task, |files, caller| files.vfs.check_directory(caller, directory))?;
    kernel.location(task)?.working_directory = directory;
    Ok(())
}

/// chdir(2).
pub(super) fn chdir(kernel: &mut Kernel, task: TaskId, [path, ..]: Arguments) -> CallResult {
    let (start, path) = place(kernel, task, AT_FDCWD, path)?;
    let directory =
        kernel.with_files(task, |files, caller| files.vfs.find(caller, start, &path, Last::Follow))?;
    enter(kernel, task, directory)?;
    Ok(0)
}

/// fchdir(2).
pub(super) fn fchdir(kernel: &mut Kernel, task: TaskId, [fd, ..]: Arguments) -> CallResult {
    let directory = super::file::vnode(kernel, task, fd)?;
    enter(kernel, task, directory)?;
    Ok(0)
}

/// chroot(2), for root.
pub(super) fn chroot(kernel: &mut Kernel, task: TaskId, [path, ..]: Arguments) -> CallResult {
    let (start, path) = place(kernel, task, AT_FDCWD, path)?;
    let directory = kernel.with_files(task, |files, caller| {
        let directory = files.vfs.find(caller, start, &path, Last::Follow)?;
        files.vfs.check_directory(caller, directory)?;
        if caller.credentials.uid == 0 { Ok(directory) } else { Err(Errno::EPERM) }
    })?;
    kernel.location(task)?.root = directory;
    Ok(0)
}

/// umask(2).
pub(super) fn umask(kernel: &mut Kernel, task: TaskId, [mask, ..]: Arguments) -> CallResult {
    Ok(std::mem::replace(&mut kernel.location(task)?.umask, mask & 0o777))
}

fn make(
    kernel: &mut Kernel,
    task: TaskId,
    dirfd: u32,
    path: u32,
    mode: u32,
    made: (FileType, u32),
) -> CallResult {
    let (start, path) = place(kernel, task, dirfd, path)?;
    let (file_type, device) = (made.0, DeviceNumber::decode(made.1));
    kernel.with_files(task, |files, caller| files.vfs.make(caller, start, &path, file_type, mode, device))?;
    Ok(0)
}

/// mkdir(2).
pub(super) fn mkdir(kernel: &mut Kernel, task: TaskId, [path, mode, ..]: Arguments) -> CallResult {
    make(kernel, task, AT_FDCWD, path, mode & 0o1777, (FileType::Directory, 0))
}

/// mkdirat(2).
pub(super) fn mkdirat(kernel: &mut Kernel, task: TaskId, [fd, path, mode, ..]: Arguments) -> CallResult {
    make(kernel, task, fd, path, mode & 0o1777, (FileType::Directory, 0))
}

/// mknodat(2).
pub(super) fn mknodat(
    kernel: &mut Kernel,
    task: TaskId,
    [fd, path, mode, device, ..]: Arguments,
) -> CallResult {
    let file_type = match mode & 0o170000 {
        0 => FileType::Regular,
        bits => FileType::from_mode(bits).ok_or(Errno::EINVAL)?,
    };
    match file_type {
        FileType::Directory => Err(Errno::EPERM.into()),
        FileType::Symlink => Err(Errno::EINVAL.into()),
        _ => make(kernel, task, fd, path, mode, (file_type, device)),
    }
}

/// mknod(2).
pub(super) fn mknod(kernel: &mut Kernel, task: TaskId, [path, mode, device, ..]: Arguments) -> CallResult {
    mknodat(kernel, task, [AT_FDCWD, path, mode, device, 0, 0])
}

fn remove(kernel: &mut Kernel, task: TaskId, dirfd: u32, path: u32, directory: bool) -> CallResult {
    let (start, path) = place(kernel, task, dirfd, path)?;
    kernel.with_files(task, |files, caller| files.vfs.remove(caller, start, &path, directory))?;
    Ok(0)
}

/// unlink(2).
pub(super) fn unlink(kernel: &mut Kernel, task: TaskId, [path, ..]: Arguments) -> CallResult {
    remove(kernel, task, AT_FDCWD, path, false)
}

/// rmdir(2).
pub(super) fn rmdir(kernel: &mut Kernel, task: TaskId, [path, ..]: Arguments) -> CallResult {
    remove(kernel, task, AT_FDCWD, path, true)
}

/// unlinkat(2).
pub(super) fn unlinkat(kernel: &mut Kernel, task: TaskId, [fd, path, flags, ..]: Arguments) -> CallResult {
    if flags & !AT_REMOVEDIR != 0 {
        return Err(Errno::EINVAL.into());
    }
    remove(kernel, task, fd, path, flags & AT_REMOVEDIR != 0)
}

/// linkat(2).
pub(super) fn linkat(kernel: &mut Kernel, task: TaskId, arguments: Arguments) -> CallResult {
    let [from, existing, to, path, flags, _] = arguments;
    if flags & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (old_start, existing) = place(kernel, task, from, existing)?;
    let (new_start, path) = place(kernel, task, to, path)?;
    let last = if flags & AT_SYMLINK_FOLLOW != 0 { Last::Follow } else { Last::Stay };
    kernel.with_files(task, |files, caller| {
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
pub(super) fn link(kernel: &mut Kernel, task: TaskId, [existing, path, ..]: Arguments) -> CallResult {
    linkat(kernel, task, [AT_FDCWD, existing, AT_FDCWD, path, 0, 0])
}

/// symlinkat(2).
pub(super) fn symlinkat(kernel: &mut Kernel, task: TaskId, [target, fd, path, ..]: Arguments) -> CallResult {
    let target = kernel.user(task).path(target)?;
    let (start, path) = place(kernel, task, fd, path)?;
    kernel.with_files(task, |files, caller| files.vfs.make_symlink(caller, start, &path, &target))?;
    Ok(0)
}

/// symlink(2).
pub(super) fn symlink(kernel: &mut Kernel, task: TaskId, [target, path, ..]: Arguments) -> CallResult {
    symlinkat(kernel, task, [target, AT_FDCWD, path, 0, 0, 0])
}

/// readlinkat(2).
pub(super) fn readlinkat(
    kernel: &mut Kernel,
    task: TaskId,
    [fd, path, buffer, size, ..]: Arguments,
) -> CallResult {
    if size as i32 <= 0 {
        return Err(Errno::EINVAL.into());
    }
    let (start, path) = place(kernel, task, fd, path)?;
    let text = kernel.with_files(task, |files, caller| {
        let file = if path.is_empty() && fd != AT_FDCWD {
            start
        } else {
            files.vfs.find(caller, start, &path, Last::Stay)?
        };
        files.vfs.read_link(caller, file)
    })?;
    let length = text.len().min(size as usize);
    kernel.user(task).copy_out(buffer, &text[..length])?;
    Ok(length as u32)
}

/// readlink(2).
pub(super) fn readlink(kernel: &mut Kernel, task: TaskId, [path, buffer, size, ..]: Arguments) -> CallResult {
    readlinkat(kernel, task, [AT_FDCWD, path, buffer, size, 0, 0])
}

/// renameat2(2).
pub(super) fn renameat2(kernel: &mut Kernel, task: TaskId, arguments: Arguments) -> CallResult {
    let [from, old, to, new, flags, _] = arguments;
    let mode = match flags {
        0 => RenameMode::Replace,
        1 => RenameMode::NoReplace,
        2 => RenameMode::Exchange,
        _ => return Err(Errno::EINVAL.into()),
    };
    let (old_start, old) = place(kernel, task, from, old)?;
    let (new_start, new) = place(kernel, task, to, new)?;
    kernel.with_files(task, |files, caller| {
        files.vfs.rename(caller, (old_start, &old), (new_start, &new), mode)
    })?;
    Ok(0)
}

/// renameat(2).
pub(super) fn renameat(kernel: &mut Kernel, task: TaskId, [from, old, to, new, ..]: Arguments) -> CallResult {
    renameat2(kernel, task, [from, old, to, new, 0, 0])
}

/// rename(2).
pub(super) fn rename(kernel: &mut Kernel, task: TaskId, [old, new, ..]: Arguments) -> CallResult {
    renameat2(kernel, task, [AT_FDCWD, old, AT_FDCWD, new, 0, 0])
}
