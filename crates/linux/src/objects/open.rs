//! Opening files (open(2)).

use super::description::{Description, OpenFlags};
use super::files::Files;
use super::pipe::Opened;
use crate::arena::Id;
use crate::errno::Errno;
use crate::vfs::{
    Attributes, Caller, Change, DeviceNumber, FileType, Last, MAY_READ, MAY_WRITE, Vnode, VolumeId,
};

impl Files {
    /// Opens the file at `path`, from `start` if that is relative.
    pub(crate) fn open(
        &mut self,
        caller: &Caller<'_>,
        start: Vnode,
        path: &[u8],
        flags: OpenFlags,
        mode: u32,
    ) -> Result<Opened, Errno> {
        let flags = if flags.contains(OpenFlags::O_PATH) {
            flags
                & (OpenFlags::O_PATH | OpenFlags::O_DIRECTORY | OpenFlags::O_NOFOLLOW | OpenFlags::O_CLOEXEC)
        } else {
            flags
        };
        if flags.contains(OpenFlags::O_TMPFILE) {
            return self.open_temporary(caller, start, path, flags, mode).map(Opened::Ready);
        }
        let creates = flags.contains(OpenFlags::O_CREAT);
        if creates && flags.contains(OpenFlags::O_DIRECTORY) {
            return Err(Errno::EINVAL);
        }
        let stays =
            flags.contains(OpenFlags::O_NOFOLLOW) || flags.contains(OpenFlags::O_CREAT | OpenFlags::O_EXCL);
        let walked = self.vfs.walk(caller, start, path, if stays { Last::Stay } else { Last::Follow })?;
        match walked.found {
            Some(_) if flags.contains(OpenFlags::O_CREAT | OpenFlags::O_EXCL) => Err(Errno::EEXIST),
            Some(file) => self.open_file(caller, file, flags),
            None if !creates => Err(Errno::ENOENT),
            None if walked.wants_directory => Err(Errno::EISDIR),
            None => {
                let file = self.vfs.create(caller, &walked, FileType::Regular, mode, &[])?;
                // The mode of a new file does not bind its maker.
                Ok(Opened::Ready(self.open_regular(file, flags)))
            }
        }
    }

    /// Opens a file that has been found.
    pub(crate) fn open_file(
        &mut self,
        caller: &Caller<'_>,
        file: Vnode,
        flags: OpenFlags,
    ) -> Result<Opened, Errno> {
        let attributes = self.vfs.attributes(caller, file)?;
        if flags.contains(OpenFlags::O_DIRECTORY) && !attributes.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        if flags.contains(OpenFlags::O_PATH) {
            return Ok(Opened::Ready(self.open_place(file, flags)));
        }
        check_opening(caller, &attributes, flags)?;
        if file.volume == VolumeId::ANONYMOUS {
            return self.reopen(file, flags).map(Opened::Ready);
        }
        match attributes.file_type {
            FileType::Regular => self.open_content(caller, file, flags).map(Opened::Ready),
            FileType::Directory => Ok(Opened::Ready(self.open_directory(file, flags))),
            FileType::CharacterDevice => {
                self.open_device(caller, file, attributes.device, flags).map(Opened::Ready)
            }
            FileType::Fifo => self.open_fifo(file, flags),
            _ => Err(Errno::ENXIO),
        }
    }

    /// Opens a regular file.
    fn open_content(
        &mut self,
        caller: &Caller<'_>,
        file: Vnode,
        flags: OpenFlags,
    ) -> Result<Id<Description>, Errno> {
        if writes(flags) {
            self.vfs.check_writable(file)?;
        }
        if flags.contains(OpenFlags::O_TRUNC) {
            let change = Change { size: Some(0), modified: Some(caller.view.now), ..Change::default() };
            self.vfs.change(caller, file, &change)?;
        }
        match self.openers.get(&file.volume) {
            Some(opener) => opener.open(self, caller, file, DeviceNumber::default(), flags),
            None => Ok(self.open_regular(file, flags)),
        }
    }

    /// Opens a file without a name once more, through its link in `/proc/PID/fd`.
    fn reopen(&mut self, file: Vnode, flags: OpenFlags) -> Result<Id<Description>, Errno> {
        let is_open = |description: &&Description| description.vnode == file && !description.is_path();
        let same = self.descriptions.iter().map(|(_, description)| description).find(is_open);
        let object = same.ok_or(Errno::ENOENT)?.object.clone();
        object.check_reopening()?;
        Ok(self.add_description(object, file, flags))
    }

    fn open_device(
        &mut self,
        caller: &Caller<'_>,
        file: Vnode,
        device: DeviceNumber,
        flags: OpenFlags,
    ) -> Result<Id<Description>, Errno> {
        if !self.vfs.has_devices(file)? {
            return Err(Errno::EACCES);
        }
        let driver = *self.drivers.get(&device.major).ok_or(Errno::ENXIO)?;
        driver.open(self, caller, file, device, flags)
    }

    /// O_TMPFILE: a file without a name, in the volume of the directory at `path`.
    fn open_temporary(
        &mut self,
        caller: &Caller<'_>,
        start: Vnode,
        path: &[u8],
        flags: OpenFlags,
        mode: u32,
    ) -> Result<Id<Description>, Errno> {
        if !flags.writes() {
            return Err(Errno::EINVAL);
        }
        let directory = self.vfs.find(caller, start, path, Last::Follow)?;
        if !self.vfs.attributes(caller, directory)?.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        let file = self.vfs.make_nameless(caller, directory, mode)?;
        let description = self.open_regular(file, flags);
        self.vfs.release(file);
        Ok(description)
    }
}

/// Whether opening with `flags` asks for the right to write.
fn writes(flags: OpenFlags) -> bool {
    flags.writes() || flags.contains(OpenFlags::O_TRUNC)
}

/// Whether the caller may open a file that way, whatever it is.
fn check_opening(caller: &Caller<'_>, attributes: &Attributes, flags: OpenFlags) -> Result<(), Errno> {
    if attributes.file_type == FileType::Symlink {
        return Err(Errno::ELOOP);
    }
    // Access mode 3 is for neither, and takes the rights of both.
    let both = flags.bits() & 3 == 3;
    let writes = writes(flags) || both;
    if attributes.is_directory() && (writes || flags.contains(OpenFlags::O_CREAT)) {
        return Err(Errno::EISDIR);
    }
    let wanted = if flags.reads() || both { MAY_READ } else { 0 } | if writes { MAY_WRITE } else { 0 };
    caller.credentials.check(attributes, wanted)?;
    if flags.contains(OpenFlags::O_NOATIME) && !caller.credentials.owns(attributes) {
        return Err(Errno::EPERM);
    }
    Ok(())
}
