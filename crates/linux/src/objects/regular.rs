//! Open regular files: content that the file system keeps.

use std::sync::Arc;

use super::description::{Description, OpenFlags};
use super::files::Files;
use super::object::{Mappable, Object, Transfer, Whence};
use crate::arena::Id;
use crate::errno::Errno;
use crate::vfs::{Caller, Vnode};
use crate::wait::Failure;

/// An open regular file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RegularFile;

impl Files {
    /// Opens a regular file that the caller may use.
    pub(crate) fn open_regular(&mut self, file: Vnode, flags: OpenFlags) -> Id<Description> {
        self.add_description(Arc::new(RegularFile), file, flags)
    }

    /// A file in memory without a name (memfd_create(2)).
    pub(crate) fn open_memory_file(&mut self, caller: &Caller<'_>) -> Result<Id<Description>, Errno> {
        let file = self.vfs.make_memory_file(caller)?;
        let description = self.open_regular(file, OpenFlags::O_RDWR);
        self.vfs.release(file);
        Ok(description)
    }
}

impl Object for RegularFile {
    fn read(&self, files: &mut Files, access: &Transfer<'_>, buffer: &mut [u8]) -> Result<usize, Failure> {
        let description = files.description(access.id);
        let (vnode, offset) = (description.vnode, access.position.unwrap_or(description.offset));
        let read = files.vfs.read(&access.caller.view, vnode, offset, buffer)?;
        if access.position.is_none() {
            files.set_offset(access.id, offset + read as u64);
        }
        Ok(read)
    }

    fn write(&self, files: &mut Files, access: &Transfer<'_>, bytes: &[u8]) -> Result<usize, Failure> {
        let description = files.description(access.id);
        let (vnode, held) = (description.vnode, description.offset);
        let offset = if description.flags.contains(OpenFlags::O_APPEND) {
            files.vfs.attributes(access.caller, vnode)?.size
        } else {
            access.position.unwrap_or(held)
        };
        let room = access.caller.view.file_size.saturating_sub(offset);
        if room == 0 && !bytes.is_empty() {
            return Err(Errno::EFBIG.into());
        }
        let bytes = &bytes[..bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX))];
        let written = files.vfs.write(&access.caller.view, vnode, offset, bytes)?;
        if access.position.is_none() {
            files.set_offset(access.id, offset + written as u64);
        }
        Ok(written)
    }

    fn check_positions(&self) -> Result<(), Errno> {
        Ok(())
    }

    fn seek(
        &self,
        files: &mut Files,
        access: &Transfer<'_>,
        offset: i64,
        whence: Whence,
    ) -> Result<u64, Errno> {
        seek_content(files, access, offset, whence)
    }

    fn check_watchable(&self) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    fn readable_bytes(&self, files: &mut Files, access: &Transfer<'_>) -> Result<u32, Errno> {
        let description = files.description(access.id);
        let (vnode, offset) = (description.vnode, description.offset);
        let left = files.vfs.attributes(access.caller, vnode)?.size.saturating_sub(offset);
        Ok(u32::try_from(left).unwrap_or(i32::MAX as u32))
    }

    fn check_content(&self) -> Result<(), Errno> {
        Ok(())
    }

    fn check_allocation(&self) -> Result<(), Errno> {
        Ok(())
    }

    fn mappable(&self) -> Result<Mappable, Errno> {
        Ok(Mappable::Content)
    }

    fn check_sync(&self) -> Result<(), Errno> {
        Ok(())
    }

    fn reads_whole(&self) -> bool {
        true
    }
}

/// lseek(2) in what has a size: content, and the entries of a directory.
pub(crate) fn seek_content(
    files: &mut Files,
    access: &Transfer<'_>,
    offset: i64,
    whence: Whence,
) -> Result<u64, Errno> {
    let description = files.description(access.id);
    let (vnode, held) = (description.vnode, description.offset);
    let base = match whence {
        Whence::Set => 0,
        Whence::Current => held,
        Whence::End => files.vfs.attributes(access.caller, vnode)?.size,
        Whence::Data | Whence::Hole => {
            let offset = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
            let found = files.vfs.seek(access.caller, vnode, offset, whence == Whence::Data)?;
            files.set_offset(access.id, found);
            return Ok(found);
        }
    };
    let target = i64::try_from(base).ok().and_then(|base| base.checked_add(offset));
    let target = target.ok_or(Errno::EOVERFLOW)?;
    let target = u64::try_from(target).map_err(|_| Errno::EINVAL)?;
    files.set_offset(access.id, target);
    Ok(target)
}
