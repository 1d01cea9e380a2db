//! `/proc/PID/mem`: a process's memory as a file.

use crate::errno::Errno;
use crate::objects::Files;
use crate::objects::object::{Object, Transfer, Whence};

/// The open memory of a process. Only the kernel can reach that, instead of reading and writing here.
#[derive(Clone, Copy, Debug)]
pub(super) struct MemoryFile {
    /// The process's number, which another one may get.
    pub(super) number: u32,
    /// The one that no other process ever has.
    pub(super) serial: u64,
}

impl Object for MemoryFile {
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
        let held = files.description(access.id).offset;
        let place = match whence {
            Whence::Set => Some(offset as u64),
            Whence::Current => held.checked_add_signed(offset),
            _ => None,
        };
        let place = place.ok_or(Errno::EINVAL)?;
        files.set_offset(access.id, place);
        Ok(place)
    }

    fn process_memory(&self) -> Option<(u32, u64)> {
        Some((self.number, self.serial))
    }
}
