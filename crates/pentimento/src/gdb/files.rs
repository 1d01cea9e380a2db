//! What GDB reads of the guest beside its memory: the path of its program, files of its file system, the
//! auxiliary vector. So GDB needs neither the program nor its libraries at hand.

use gdbstub::common::Pid;
use gdbstub::target::TargetError;
use gdbstub::target::TargetResult;
use gdbstub::target::ext::auxv::Auxv;
use gdbstub::target::ext::exec_file::ExecFile;
use gdbstub::target::ext::host_io::{
    FsKind, HostIo, HostIoClose, HostIoCloseOps, HostIoErrno, HostIoError, HostIoFstat, HostIoFstatOps,
    HostIoOpen, HostIoOpenFlags, HostIoOpenMode, HostIoOpenOps, HostIoPread, HostIoPreadOps, HostIoResult,
    HostIoSetfs, HostIoSetfsOps, HostIoStat,
};

use super::target::Debugged;
use crate::TaskId;

/// The largest file that is given to GDB.
const LARGEST: usize = 256 << 20;

/// Files that GDB may have open at once.
const MOST_FILES: usize = 64;

/// The files that GDB has open, by descriptor: whole, as they were when they were opened.
#[derive(Default)]
pub(super) struct OpenFiles(Vec<Option<Vec<u8>>>);

impl OpenFiles {
    /// The lowest descriptor that is free gets `content`.
    fn add(&mut self, content: Vec<u8>) -> Option<u32> {
        let free = self.0.iter().position(Option::is_none).unwrap_or(self.0.len());
        if free >= MOST_FILES {
            return None;
        }
        if free == self.0.len() {
            self.0.push(None);
        }
        self.0[free] = Some(content);
        Some(free as u32)
    }

    fn get(&self, descriptor: u32) -> Option<&[u8]> {
        self.0.get(descriptor as usize)?.as_deref()
    }

    fn close(&mut self, descriptor: u32) -> Option<Vec<u8>> {
        self.0.get_mut(descriptor as usize)?.take()
    }
}

/// Copies what there is of `bytes` from `offset` on, and says how much.
pub(super) fn copy(bytes: &[u8], offset: u64, length: usize, buffer: &mut [u8]) -> usize {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let rest = bytes.get(start..).unwrap_or_default();
    let count = rest.len().min(length).min(buffer.len());
    buffer[..count].copy_from_slice(&rest[..count]);
    count
}

fn refused<E>(errno: HostIoErrno) -> HostIoError<E> {
    HostIoError::Errno(errno)
}

impl Debugged<'_> {
    /// The task that GDB's questions without a thread are about.
    fn asked(&self) -> Option<TaskId> {
        self.machine.task().or_else(|| self.machine.kernel.first_task())
    }
}

impl ExecFile for Debugged<'_> {
    fn get_exec_file(
        &self,
        _: Option<Pid>,
        offset: u64,
        length: usize,
        buffer: &mut [u8],
    ) -> TargetResult<usize, Self> {
        let kernel = &self.machine.kernel;
        let process = self.asked().and_then(|task| kernel.process_of(task)).ok_or(TargetError::NonFatal)?;
        let path = kernel.executable(process).ok_or(TargetError::NonFatal)?;
        Ok(copy(path, offset, length, buffer))
    }
}

impl Auxv for Debugged<'_> {
    fn get_auxv(&self, offset: u64, length: usize, buffer: &mut [u8]) -> TargetResult<usize, Self> {
        let task = self.asked().ok_or(TargetError::NonFatal)?;
        Ok(copy(self.machine.kernel.auxiliary_vector(task), offset, length, buffer))
    }
}

/// The guest's files, to read.
impl HostIo for Debugged<'_> {
    fn support_open(&mut self) -> Option<HostIoOpenOps<'_, Self>> {
        Some(self)
    }

    fn support_close(&mut self) -> Option<HostIoCloseOps<'_, Self>> {
        Some(self)
    }

    fn support_pread(&mut self) -> Option<HostIoPreadOps<'_, Self>> {
        Some(self)
    }

    fn support_fstat(&mut self) -> Option<HostIoFstatOps<'_, Self>> {
        Some(self)
    }

    fn support_setfs(&mut self) -> Option<HostIoSetfsOps<'_, Self>> {
        Some(self)
    }
}

impl HostIoOpen for Debugged<'_> {
    fn open(&mut self, path: &[u8], flags: HostIoOpenFlags, _: HostIoOpenMode) -> HostIoResult<u32, Self> {
        let changes = HostIoOpenFlags::O_WRONLY
            | HostIoOpenFlags::O_RDWR
            | HostIoOpenFlags::O_CREAT
            | HostIoOpenFlags::O_TRUNC;
        if flags.intersects(changes) {
            return Err(refused(HostIoErrno::EROFS));
        }
        let content = self.machine.kernel.read_file(path, LARGEST);
        let content = content.map_err(|_| refused(HostIoErrno::ENOENT))?;
        self.files.add(content).ok_or(refused(HostIoErrno::EMFILE))
    }
}

impl HostIoClose for Debugged<'_> {
    fn close(&mut self, descriptor: u32) -> HostIoResult<(), Self> {
        self.files.close(descriptor).map(drop).ok_or(refused(HostIoErrno::EBADF))
    }
}

impl HostIoPread for Debugged<'_> {
    fn pread(
        &mut self,
        descriptor: u32,
        count: usize,
        offset: u64,
        buffer: &mut [u8],
    ) -> HostIoResult<usize, Self> {
        let content = self.files.get(descriptor).ok_or(refused(HostIoErrno::EBADF))?;
        Ok(copy(content, offset, count, buffer))
    }
}

impl HostIoFstat for Debugged<'_> {
    /// A regular file of its size, that everybody may read; its times are not told.
    fn fstat(&mut self, descriptor: u32) -> HostIoResult<HostIoStat, Self> {
        const BLOCK: u64 = 512;
        let size = self.files.get(descriptor).ok_or(refused(HostIoErrno::EBADF))?.len() as u64;
        Ok(HostIoStat {
            st_dev: 0,
            st_ino: descriptor + 1,
            st_mode: HostIoOpenMode::S_IFREG
                | HostIoOpenMode::S_IRUSR
                | HostIoOpenMode::S_IRGRP
                | HostIoOpenMode::S_IROTH,
            st_nlink: 1,
            st_uid: 0,
            st_gid: 0,
            st_rdev: 0,
            st_size: size,
            st_blksize: BLOCK,
            st_blocks: size.div_ceil(BLOCK),
            st_atime: 0,
            st_mtime: 0,
            st_ctime: 0,
        })
    }
}

impl HostIoSetfs for Debugged<'_> {
    /// All processes of a machine see the same files.
    fn setfs(&mut self, _: FsKind) -> HostIoResult<(), Self> {
        Ok(())
    }
}
