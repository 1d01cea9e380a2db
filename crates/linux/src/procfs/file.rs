//! Open files of `/proc`: what they said when they were read from their start stays until that is
//! done again.

use std::sync::Arc;

use super::memory::MemoryFile;
use super::volume::{memory_owner, setting_of, text_of};
use crate::arena::Id;
use crate::errno::Errno;
use crate::objects::object::{Mappable, Object, Transfer, Whence};
use crate::objects::states::State;
use crate::objects::{Description, Files, OpenFlags, Opener, RegularFile};
use crate::vfs::{Caller, DeviceNumber, Vnode};
use crate::wait::Failure;
use crate::work::BETWEEN_LOOKS;

/// What an open file said.
#[derive(Clone, Default, Debug)]
struct Text {
    whole: Option<Arc<[u8]>>,
    /// What it is going to say, as far as a reader has come that was paused, and where to go on.
    begun: Option<(Vec<u8>, u32)>,
}

impl State for Text {
    fn held_bytes(&self) -> u64 {
        let whole = self.whole.as_ref().map_or(0, |text| text.len());
        let begun = self.begun.as_ref().map_or(0, |(text, _)| text.len());
        (whole + begun) as u64
    }
}

/// An open file of `/proc`.
#[derive(Clone, Copy, Debug)]
struct TextFile(Id<Text>);

impl TextFile {
    /// What the file says now.
    fn say(self, files: &mut Files, access: &Transfer<'_>) -> Result<Arc<[u8]>, Failure> {
        let node = files.description(access.id).vnode.node;
        let (mut text, mut from) = files.states[self.0].begun.take().unwrap_or_default();
        loop {
            let (part, next) = text_of(files, access.caller, node, from)?;
            files.vfs.account.charge(part.len() as u64)?;
            text.extend_from_slice(&part);
            let Some(next) = next else { break };
            from = next;
            if let Err(pause) = files.work.spend(BETWEEN_LOOKS) {
                files.states[self.0].begun = Some((text, from));
                return Err(pause);
            }
        }
        let text: Arc<[u8]> = text.into();
        files.states[self.0].whole = Some(text.clone());
        Ok(text)
    }
}

/// Opens the files of `/proc`.
pub(crate) struct ProcFiles;

impl Opener for ProcFiles {
    fn open(
        &self,
        files: &mut Files,
        caller: &Caller<'_>,
        file: Vnode,
        _: DeviceNumber,
        flags: OpenFlags,
    ) -> Result<Id<Description>, Errno> {
        if let Some(number) = memory_owner(file.node)? {
            let serial = caller.view.processes.serial(number).ok_or(Errno::ESRCH)?;
            let memory = MemoryFile { number, serial };
            return Ok(files.add_description(Arc::new(memory), file, flags));
        }
        let text = files.states.insert(Text::default());
        Ok(files.add_description(Arc::new(TextFile(text)), file, flags))
    }
}

/// A file like any other, but for where its content comes from.
impl Object for TextFile {
    fn closed(&self, files: &mut Files, _: Id<Description>, _: OpenFlags) {
        files.states.release(self.0);
    }

    fn read(&self, files: &mut Files, access: &Transfer<'_>, buffer: &mut [u8]) -> Result<usize, Failure> {
        let description = files.description(access.id);
        let offset = access.position.unwrap_or(description.offset);
        let text = match &files.states[self.0].whole {
            Some(text) if offset > 0 => text.clone(),
            _ => self.say(files, access)?,
        };
        let rest = usize::try_from(offset).ok().and_then(|offset| text.get(offset..)).unwrap_or(&[]);
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        if access.position.is_none() {
            files.set_offset(access.id, offset + length as u64);
        }
        Ok(length)
    }

    fn write(&self, files: &mut Files, access: &Transfer<'_>, bytes: &[u8]) -> Result<usize, Failure> {
        let node = files.description(access.id).vnode.node;
        let setting = setting_of(access.caller, node, bytes)?;
        files.settings.push(setting);
        Ok(bytes.len())
    }

    fn check_positions(&self) -> Result<(), Errno> {
        RegularFile.check_positions()
    }

    fn seek(
        &self,
        files: &mut Files,
        access: &Transfer<'_>,
        offset: i64,
        whence: Whence,
    ) -> Result<u64, Errno> {
        RegularFile.seek(files, access, offset, whence)
    }

    fn check_watchable(&self) -> Result<(), Errno> {
        RegularFile.check_watchable()
    }

    fn readable_bytes(&self, files: &mut Files, access: &Transfer<'_>) -> Result<u32, Errno> {
        RegularFile.readable_bytes(files, access)
    }

    fn check_content(&self) -> Result<(), Errno> {
        RegularFile.check_content()
    }

    fn check_allocation(&self) -> Result<(), Errno> {
        RegularFile.check_allocation()
    }

    fn mappable(&self) -> Result<Mappable, Errno> {
        RegularFile.mappable()
    }

    fn check_sync(&self) -> Result<(), Errno> {
        RegularFile.check_sync()
    }

    fn reads_whole(&self) -> bool {
        RegularFile.reads_whole()
    }
}
