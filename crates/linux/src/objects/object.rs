//! What a descriptor stands for: one trait, as Linux has `struct file_operations`.
//!
//! Each method that an object leaves out answers as Linux does for a file without that operation.
//! An object is a handle: what changes lies in a [`State`](super::states::State), which several
//! objects may share, so that an object can be copied for a snapshot together with the states. It
//! holds nothing of the host but through a trait, and no other object but by number.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use super::description::{Description, OpenFlags};
use super::files::Files;
use super::readiness::{Events, Readiness};
use crate::arena::Id;
use crate::errno::Errno;
use crate::record::Record;
use crate::vfs::{Caller, DirectoryEntry, ProcessView};
use crate::wait::{Failure, Wait};

/// From where lseek(2) counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Whence {
    /// The start.
    Set,
    /// The description's own offset.
    Current,
    /// The end.
    End,
    /// The next byte that is not in a hole.
    Data,
    /// The next hole.
    Hole,
}

/// What mmap(2) finds behind an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mappable {
    /// The content of the description's file.
    Content,
    /// Zeros, as without a file (`/dev/zero`).
    Zeros,
}

/// The entries of a directory as of the first reading, and the index of the next one.
pub(crate) type Entries = (Arc<[DirectoryEntry]>, usize);

/// One read or write: through which open file, for whom, and how.
#[derive(Clone, Copy)]
pub(crate) struct Transfer<'a> {
    pub(crate) caller: &'a Caller<'a>,
    pub(crate) id: Id<Description>,
    /// The offset that pread(2) or pwrite(2) gave; `None` for the description's own.
    pub(crate) position: Option<u64>,
    /// Whether the caller waits where nothing can be moved (no O_NONBLOCK).
    pub(crate) waits: bool,
}

impl Transfer<'_> {
    /// Has the caller wait, or tells it that it would have to.
    pub(crate) fn block<T>(&self, wait: Wait) -> Result<T, Failure> {
        Err(if self.waits { Failure::Block(wait) } else { Errno::EAGAIN.into() })
    }
}

/// A request of ioctl(2).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    /// What is asked for.
    pub(crate) number: u32,
    /// The third argument as it is.
    pub(crate) argument: u32,
    /// The bytes where that points to: as many as [`Object::request_size`] said.
    pub(crate) bytes: &'a [u8],
}

impl Request<'_> {
    /// A 32-bit word of the bytes.
    pub(crate) fn word(&self, index: usize) -> u32 {
        let (words, _) = self.bytes.as_chunks();
        words.get(index).copied().map_or(0, u32::from_le_bytes)
    }
}

/// What ioctl(2) does after a request was served.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Returns 0.
    Done,
    /// Stores this where the argument points, and returns 0.
    Structure(Record),
    /// Returns a descriptor for this open file, with the close-on-exec flag or without.
    Opened(Id<Description>, bool),
}

/// An open file's operations. Callers have checked the access mode, and that the description is no
/// O_PATH one, which has no operations at all.
pub(crate) trait Object: Any + Debug + Send + Sync {
    /// A description of it has been made, with these flags.
    fn opened(&self, files: &mut Files, flags: OpenFlags) {
        let _ = (files, flags);
    }

    /// A description of it is no more; the last one's object gives up its state.
    fn closed(&self, files: &mut Files, id: Id<Description>, flags: OpenFlags) {
        let _ = (files, id, flags);
    }

    /// read(2): bytes read, 0 at the end.
    fn read(&self, files: &mut Files, access: &Transfer<'_>, buffer: &mut [u8]) -> Result<usize, Failure> {
        let _ = (files, access, buffer);
        Err(Errno::EINVAL.into())
    }

    /// write(2): bytes written. EPIPE goes with SIGPIPE.
    fn write(&self, files: &mut Files, access: &Transfer<'_>, bytes: &[u8]) -> Result<usize, Failure> {
        let _ = (files, access, bytes);
        Err(Errno::EINVAL.into())
    }

    /// Whether pread(2) and pwrite(2) work; the errno says why not.
    fn check_positions(&self) -> Result<(), Errno> {
        Err(Errno::ESPIPE)
    }

    /// lseek(2): the new offset.
    fn seek(
        &self,
        files: &mut Files,
        access: &Transfer<'_>,
        offset: i64,
        whence: Whence,
    ) -> Result<u64, Errno> {
        let _ = (files, access, offset, whence);
        Err(Errno::ESPIPE)
    }

    /// getdents(2).
    fn entries(&self, files: &mut Files, access: &Transfer<'_>) -> Result<Entries, Errno> {
        let _ = (files, access);
        Err(Errno::ENOTDIR)
    }

    /// poll(2): by default neither reading nor writing ever waits. Epoll sets are asked otherwise.
    fn readiness(&self, files: &mut Files, caller: &Caller<'_>, flags: OpenFlags) -> Readiness {
        let _ = (files, caller, flags);
        Readiness::default().with(Events::READABLE, true).with(Events::WRITABLE, true)
    }

    /// Whether epoll(7) can watch it; the errno says why not.
    fn check_watchable(&self) -> Result<(), Errno> {
        Ok(())
    }

    /// A description that it watches, by this descriptor, has been closed.
    fn forget(&self, files: &mut Files, watched: (u32, Id<Description>)) {
        let _ = (files, watched);
    }

    /// FIONREAD: bytes that can be read without waiting.
    fn readable_bytes(&self, files: &mut Files, access: &Transfer<'_>) -> Result<u32, Errno> {
        let _ = (files, access);
        Err(Errno::ENOTTY)
    }

    /// Bytes that a request of ioctl(2) reads where its argument points. The errno says why there will be
    /// no reading: that an object does not take a request is found before a bad pointer is.
    fn request_size(&self, files: &mut Files, access: &Transfer<'_>, number: u32) -> Result<usize, Errno> {
        let _ = (files, access, number);
        Ok(0)
    }

    /// ioctl(2), as far as the object's own requests go.
    fn request(
        &self,
        files: &mut Files,
        access: &Transfer<'_>,
        request: &Request<'_>,
    ) -> Result<Reply, Failure> {
        let _ = (files, access, request);
        Err(Errno::ENOTTY.into())
    }

    /// Whether opening its link in `/proc/PID/fd` makes one more description of it, where it has no
    /// file of its own; the errno says why not.
    fn check_reopening(&self) -> Result<(), Errno> {
        Err(Errno::ENXIO)
    }

    /// Whether it is content that ftruncate(2) and copy_file_range(2) work on; the errno says why
    /// not.
    fn check_content(&self) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    /// Whether fallocate(2) works; the errno says why not.
    fn check_allocation(&self) -> Result<(), Errno> {
        Err(Errno::ENODEV)
    }

    /// mmap(2).
    fn mappable(&self) -> Result<Mappable, Errno> {
        Err(Errno::ENODEV)
    }

    /// Whether fsync(2) has a meaning; the errno says why not.
    fn check_sync(&self) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    /// Whether posix_fadvise(2) has a meaning; the errno says why not.
    fn check_advice(&self) -> Result<(), Errno> {
        Ok(())
    }

    /// Whether a short read means that there is no more, so that a long one may be made in parts,
    /// and sendfile(2) may read it.
    fn reads_whole(&self) -> bool {
        false
    }

    /// The signals that reading takes from the reader (signalfd(2)): only the kernel can do that,
    /// instead of [`Object::read`].
    fn signals(&self) -> Option<u64> {
        None
    }

    /// The process whose memory reading and writing reach (`/proc/PID/mem`), by its number and the one that it
    /// shares with none: only the kernel can do that, instead of [`Object::read`] and [`Object::write`].
    fn process_memory(&self) -> Option<(u32, u64)> {
        None
    }

    /// What `/proc/PID/fdinfo/N` says beyond what all files have there: whole lines.
    fn facts(&self, processes: &dyn ProcessView) -> String {
        let _ = processes;
        String::new()
    }
}

impl dyn Object {
    /// The object as what it is, if it is a `T`.
    pub(crate) fn as_kind<T: Object>(&self) -> Option<&T> {
        (self as &dyn Any).downcast_ref()
    }
}
