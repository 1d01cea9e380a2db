//! A host folder on unix: everything relative to one directory descriptor.
//!
//! Each component is opened with `O_NOFOLLOW`, one after the other, from the folder's own
//! descriptor; a path is refused if it holds `..`. On Linux one `openat2` with `RESOLVE_BENEATH`,
//! `RESOLVE_NO_SYMLINKS` and `RESOLVE_NO_MAGICLINKS` does the walk at once where the kernel has it
//! (openat2(2)). Neither way a link that somebody swaps in during the walk is followed.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs as host;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno as HostErrno;

use super::attributes::{DeviceNumber, FileType, Timestamp};
use super::folder::{HostAccess, HostChange, HostEntry, HostFile, HostFolder, HostMetadata};
use crate::errno::Errno;

/// A folder on this host, held open.
#[derive(Debug)]
pub struct LocalFolder {
    root: OwnedFd,
}

impl LocalFolder {
    /// Opens the folder at `path`; symbolic links in `path` itself are followed, as the host's
    /// user meant them.
    ///
    /// # Errors
    /// Whatever keeps the host from opening it, `NotADirectory` included.
    pub fn open(path: impl AsRef<Path>) -> std::io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { root: host::open(path.as_ref(), flags, Mode::empty())? })
    }

    /// Opens the file at `path` below the root with `flags`, following nothing.
    fn open_beneath(&self, path: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if path.is_empty() {
            return host::openat(&self.root, ".", flags, mode).map_err(errno);
        }
        #[cfg(target_os = "linux")]
        {
            use host::ResolveFlags;
            check_path(path)?;
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            match host::openat2(&self.root, path, flags, mode, resolve) {
                Err(HostErrno::NOSYS | HostErrno::PERM | HostErrno::AGAIN | HostErrno::TOOBIG) => {}
                other => return other.map_err(errno),
            }
        }
        let (folder, name) = self.parent(path)?;
        host::openat(folder.as_fd(&self.root), name.as_c_str(), flags, mode).map_err(errno)
    }

    /// Opens the folder that holds the last component of `path`, component by component.
    fn parent(&self, path: &[u8]) -> Result<(Folder, CString), Errno> {
        check_path(path)?;
        let mut components = path.split(|byte| *byte == b'/');
        let name = components.next_back().ok_or(Errno::EBUSY)?;
        let mut folder = Folder::Root;
        for component in components {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let next = host::openat(folder.as_fd(&self.root), component, flags, Mode::empty());
            folder = Folder::Below(next.map_err(errno)?);
        }
        Ok((folder, CString::new(name).map_err(|_| Errno::EINVAL)?))
    }
}

/// The folder that a walk has reached.
enum Folder {
    Root,
    Below(OwnedFd),
}

impl Folder {
    fn as_fd<'a>(&'a self, root: &'a OwnedFd) -> BorrowedFd<'a> {
        match self {
            Self::Root => root.as_fd(),
            Self::Below(below) => below.as_fd(),
        }
    }
}

/// Refuses whatever is not a plain relative path.
fn check_path(path: &[u8]) -> Result<(), Errno> {
    let bad = |name: &[u8]| name.is_empty() || name == b"." || name == b".." || name.contains(&0);
    if path.split(|byte| *byte == b'/').any(bad) { Err(Errno::EINVAL) } else { Ok(()) }
}

impl HostFolder for LocalFolder {
    fn metadata(&self, path: &[u8]) -> Result<HostMetadata, Errno> {
        if path.is_empty() {
            return host::fstat(&self.root).map_err(errno).map(|stat| metadata(&stat));
        }
        let (folder, name) = self.parent_quickly(path)?;
        host::statat(folder.as_fd(&self.root), name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(errno)
            .map(|stat| metadata(&stat))
    }

    fn entries(&self, path: &[u8]) -> Result<Vec<HostEntry>, Errno> {
        let folder = self.open_beneath(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
        let mut entries = Vec::new();
        for entry in host::Dir::read_from(&folder).map_err(errno)? {
            let entry = entry.map_err(errno)?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            // A name that has gone in the meantime is no entry any more.
            if let Ok(stat) = host::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                entries.push(HostEntry { name: name.to_bytes().to_vec(), metadata: metadata(&stat) });
            }
        }
        Ok(entries)
    }

    fn read_link(&self, path: &[u8]) -> Result<Vec<u8>, Errno> {
        let (folder, name) = self.parent_quickly(path)?;
        host::readlinkat(folder.as_fd(&self.root), name.as_c_str(), Vec::new())
            .map(CString::into_bytes)
            .map_err(errno)
    }

    fn open(&self, path: &[u8], access: HostAccess) -> Result<Arc<dyn HostFile>, Errno> {
        // NONBLOCK and NOCTTY: a pipe or terminal that stands there must neither hold us up nor
        // become ours before the check below refuses it.
        let common = OFlags::NONBLOCK | OFlags::NOCTTY;
        let (flags, mode) = match access {
            HostAccess::Read => (OFlags::RDONLY, 0),
            HostAccess::Write => (OFlags::RDWR, 0),
            HostAccess::Create(mode) => (OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, mode),
        };
        if !matches!(access, HostAccess::Create(_)) && self.metadata(path)?.file_type != FileType::Regular {
            return Err(Errno::EACCES);
        }
        let file = self.open_beneath(path, flags | common, Mode::from_raw_mode(mode as _))?;
        let stat = host::fstat(&file).map_err(errno)?;
        if host::FileType::from_raw_mode(stat.st_mode) != host::FileType::RegularFile {
            return Err(Errno::EACCES);
        }
        let privileged = Mode::from_raw_mode(stat.st_mode).intersects(SET_ID).into();
        Ok(Arc::new(LocalFile { fd: file, privileged }))
    }

    fn make_folder(&self, path: &[u8], mode: u32) -> Result<(), Errno> {
        let (folder, name) = self.parent_quickly(path)?;
        host::mkdirat(folder.as_fd(&self.root), name.as_c_str(), Mode::from_raw_mode(mode as _))
            .map_err(errno)
    }

    fn make_link(&self, path: &[u8], target: &[u8]) -> Result<(), Errno> {
        let (folder, name) = self.parent_quickly(path)?;
        host::symlinkat(target, folder.as_fd(&self.root), name.as_c_str()).map_err(errno)
    }

    fn link(&self, existing: &[u8], path: &[u8]) -> Result<(), Errno> {
        let (from, old) = self.parent_quickly(existing)?;
        let (to, new) = self.parent_quickly(path)?;
        let (from, to) = (from.as_fd(&self.root), to.as_fd(&self.root));
        host::linkat(from, old.as_c_str(), to, new.as_c_str(), AtFlags::empty()).map_err(errno)
    }

    fn remove(&self, path: &[u8], folder: bool) -> Result<(), Errno> {
        let (parent, name) = self.parent_quickly(path)?;
        let flags = if folder { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        host::unlinkat(parent.as_fd(&self.root), name.as_c_str(), flags).map_err(errno)
    }

    fn rename(&self, from: &[u8], to: &[u8], exchange: bool) -> Result<(), Errno> {
        let (from, old) = self.parent_quickly(from)?;
        let (to, new) = self.parent_quickly(to)?;
        let (from, to) = (from.as_fd(&self.root), to.as_fd(&self.root));
        if !exchange {
            return host::renameat(from, old.as_c_str(), to, new.as_c_str()).map_err(errno);
        }
        #[cfg(target_os = "linux")]
        return host::renameat_with(from, old.as_c_str(), to, new.as_c_str(), host::RenameFlags::EXCHANGE)
            .map_err(errno);
        #[cfg(not(target_os = "linux"))]
        Err(Errno::EINVAL)
    }

    fn change(&self, path: &[u8], change: &HostChange) -> Result<(), Errno> {
        let (folder, name) =
            if path.is_empty() { (Folder::Root, CString::from(c".")) } else { self.parent_quickly(path)? };
        if let Some(mode) = change.mode {
            // chmod follows links on every host, so only what is opened without following one may
            // be changed.
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
            let file = self.open_beneath(path, flags, Mode::empty())?;
            host::fchmod(&file, Mode::from_raw_mode(mode as _)).map_err(errno)?;
        }
        if change.accessed.is_some() || change.modified.is_some() {
            let times = host::Timestamps {
                last_access: host_time(change.accessed),
                last_modification: host_time(change.modified),
            };
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            host::utimensat(folder.as_fd(&self.root), name.as_c_str(), &times, flags).map_err(errno)?;
        }
        Ok(())
    }

    fn room(&self) -> Result<(u64, u64), Errno> {
        let figures = host::fstatvfs(&self.root).map_err(errno)?;
        let block = figures.f_frsize;
        Ok((figures.f_blocks.saturating_mul(block), figures.f_bavail.saturating_mul(block)))
    }
}

impl LocalFolder {
    /// [`LocalFolder::parent`] in one step where the host can.
    fn parent_quickly(&self, path: &[u8]) -> Result<(Folder, CString), Errno> {
        let Some(slash) = path.iter().rposition(|byte| *byte == b'/') else {
            return self.parent(path);
        };
        check_path(path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let folder = self.open_beneath(&path[..slash], flags, Mode::empty())?;
        let name = CString::new(&path[slash + 1..]).map_err(|_| Errno::EINVAL)?;
        Ok((Folder::Below(folder), name))
    }
}

/// A regular file on this host, held open.
#[derive(Debug)]
struct LocalFile {
    fd: OwnedFd,
    /// It runs with another user's or group's rights, which it must lose before the guest writes to it:
    /// the host's kernel sees to that for ordinary users alone.
    privileged: AtomicBool,
}

impl LocalFile {
    /// The guest is about to write.
    fn drop_privileges(&self) -> Result<(), Errno> {
        if self.privileged.load(Ordering::Relaxed) {
            let mode = host::fstat(&self.fd).map_err(errno)?.st_mode;
            let kept = Mode::from_raw_mode(mode) - SET_ID;
            host::fchmod(&self.fd, kept).map_err(errno)?;
            self.privileged.store(false, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Whoever executes such a file has its owner's or its group's rights.
const SET_ID: Mode = Mode::SUID.union(Mode::SGID);

impl HostFile for LocalFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        rustix::io::pread(&self.fd, buffer, offset).map_err(errno)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<usize, Errno> {
        self.drop_privileges()?;
        rustix::io::pwrite(&self.fd, bytes, offset).map_err(errno)
    }

    fn resize(&self, size: u64) -> Result<(), Errno> {
        self.drop_privileges()?;
        host::ftruncate(&self.fd, size).map_err(errno)
    }

    fn metadata(&self) -> Result<HostMetadata, Errno> {
        host::fstat(&self.fd).map_err(errno).map(|stat| metadata(&stat))
    }
}

fn file_type(host: host::FileType) -> FileType {
    match host {
        host::FileType::RegularFile => FileType::Regular,
        host::FileType::Directory => FileType::Directory,
        host::FileType::Symlink => FileType::Symlink,
        host::FileType::Fifo => FileType::Fifo,
        host::FileType::Socket => FileType::Socket,
        host::FileType::BlockDevice => FileType::BlockDevice,
        _ => FileType::CharacterDevice,
    }
}

#[allow(clippy::unnecessary_cast, clippy::useless_conversion, reason = "the widths differ between hosts")]
fn metadata(stat: &host::Stat) -> HostMetadata {
    let time = |seconds: i64, nanoseconds: u64| Timestamp {
        seconds,
        nanoseconds: nanoseconds.min(999_999_999) as u32,
    };
    HostMetadata {
        file_type: file_type(host::FileType::from_raw_mode(stat.st_mode)),
        mode: stat.st_mode as u32 & 0o7777,
        links: u32::try_from(stat.st_nlink as u64).unwrap_or(u32::MAX),
        size: u64::try_from(stat.st_size).unwrap_or(0),
        blocks: u64::try_from(stat.st_blocks).unwrap_or(0),
        accessed: time(stat.st_atime as i64, stat.st_atime_nsec as u64),
        modified: time(stat.st_mtime as i64, stat.st_mtime_nsec as u64),
        changed: time(stat.st_ctime as i64, stat.st_ctime_nsec as u64),
        identity: (stat.st_dev as u64, stat.st_ino as u64),
        owner: None,
        device: DeviceNumber::default(),
    }
}

fn host_time(time: Option<Timestamp>) -> rustix::fs::Timespec {
    match time {
        Some(time) => {
            rustix::fs::Timespec { tv_sec: time.seconds, tv_nsec: i64::from(time.nanoseconds) as _ }
        }
        None => rustix::fs::Timespec { tv_sec: 0, tv_nsec: host::UTIME_OMIT as _ },
    }
}

/// The guest's number for a host's error: names are common, numbers are not.
fn errno(error: HostErrno) -> Errno {
    match error {
        HostErrno::NOENT => Errno::ENOENT,
        HostErrno::NOTDIR => Errno::ENOTDIR,
        HostErrno::ISDIR => Errno::EISDIR,
        HostErrno::EXIST => Errno::EEXIST,
        HostErrno::NOTEMPTY => Errno::ENOTEMPTY,
        HostErrno::LOOP => Errno::ELOOP,
        HostErrno::ACCESS => Errno::EACCES,
        HostErrno::PERM => Errno::EPERM,
        HostErrno::ROFS => Errno::EROFS,
        HostErrno::NOSPC => Errno::ENOSPC,
        HostErrno::DQUOT => Errno::EDQUOT,
        HostErrno::FBIG => Errno::EFBIG,
        HostErrno::NAMETOOLONG => Errno::ENAMETOOLONG,
        HostErrno::INVAL => Errno::EINVAL,
        HostErrno::XDEV => Errno::EXDEV,
        HostErrno::MLINK => Errno::EMLINK,
        HostErrno::BUSY => Errno::EBUSY,
        HostErrno::TXTBSY => Errno::ETXTBSY,
        HostErrno::MFILE | HostErrno::NFILE => Errno::ENFILE,
        HostErrno::NOMEM => Errno::ENOMEM,
        HostErrno::NXIO => Errno::ENXIO,
        HostErrno::OPNOTSUPP => Errno::EOPNOTSUPP,
        _ => Errno::EIO,
    }
}
