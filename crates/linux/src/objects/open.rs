//! Opening files (open(2)).

use super::description::{Description, Object, OpenFlags};
use super::files::FileSystem;
use super::pipe::Pipe;
use crate::arena::Id;
use crate::errno::Errno;
use crate::vfs::{
    Caller, Change, DeviceNumber, FileType, Last, MAY_READ, MAY_WRITE, NAME_MAX, NewNode, Vnode, VolumeId,
    Walked,
};

/// What opening gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Opened {
    /// An open file.
    Ready(Id<Description>),
    /// An end of a fifo that waits for the other: [`FileSystem::fifo_is_ready`] tells when it has
    /// come.
    Waits(Id<Description>),
}

impl FileSystem {
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
        let walked = self.walk(caller, start, path, if stays { Last::Stay } else { Last::Follow })?;
        match walked.found {
            Some(_) if flags.contains(OpenFlags::O_CREAT | OpenFlags::O_EXCL) => Err(Errno::EEXIST),
            Some(file) => self.open_file(caller, file, flags),
            None if !creates => Err(Errno::ENOENT),
            None if walked.wants_directory => Err(Errno::EISDIR),
            None => {
                let file = self.create(caller, &walked, FileType::Regular, mode, &[])?;
                // The mode of a new file does not bind its maker.
                Ok(Opened::Ready(self.add_description(Object::File, file, flags)))
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
        let attributes = self.attributes(caller, file)?;
        if flags.contains(OpenFlags::O_DIRECTORY) && !attributes.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        if flags.contains(OpenFlags::O_PATH) {
            return Ok(Opened::Ready(self.add_description(Object::Path, file, flags)));
        }
        if attributes.file_type == FileType::Symlink {
            return Err(Errno::ELOOP);
        }
        let writes = flags.writes() || flags.contains(OpenFlags::O_TRUNC);
        if attributes.is_directory() && (writes || flags.contains(OpenFlags::O_CREAT)) {
            return Err(Errno::EISDIR);
        }
        let wanted = if flags.reads() { MAY_READ } else { 0 } | if writes { MAY_WRITE } else { 0 };
        caller.credentials.check(&attributes, wanted)?;
        if flags.contains(OpenFlags::O_NOATIME) && !caller.credentials.owns(&attributes) {
            return Err(Errno::EPERM);
        }
        if file.volume == VolumeId::ANONYMOUS {
            return self.open_anonymous(file, flags);
        }
        let object = match attributes.file_type {
            FileType::Regular => {
                if writes {
                    self.check_writable(file)?;
                }
                Object::File
            }
            FileType::Directory => Object::Directory,
            FileType::CharacterDevice => {
                return self.open_device(caller, file, attributes.device, flags);
            }
            FileType::Fifo => return self.open_fifo(file, flags),
            _ => return Err(Errno::ENXIO),
        };
        if flags.contains(OpenFlags::O_TRUNC) && object == Object::File {
            let change = Change { size: Some(0), modified: Some(caller.view.now), ..Change::default() };
            self.change(caller, file, &change)?;
        }
        Ok(Opened::Ready(self.add_description(object, file, flags)))
    }

    /// EROFS where nothing on the file's mount may be changed.
    pub(crate) fn check_writable(&self, file: Vnode) -> Result<(), Errno> {
        match self.mounts.get(file.volume) {
            Ok(mounted) if mounted.read_only => Err(Errno::EROFS),
            _ => Ok(()),
        }
    }

    /// Opens a file without a name once more, through its link in `/proc/PID/fd`.
    fn open_anonymous(&mut self, file: Vnode, flags: OpenFlags) -> Result<Opened, Errno> {
        let object = self.anonymous.get(&file.node).ok_or(Errno::ENOENT)?.object;
        match object {
            Object::Pipe(_) | Object::Stream(_) | Object::Terminal(_) => {
                Ok(Opened::Ready(self.add_description(object, file, flags)))
            }
            _ => Err(Errno::ENXIO),
        }
    }

    fn open_device(
        &mut self,
        caller: &Caller<'_>,
        file: Vnode,
        device: DeviceNumber,
        flags: OpenFlags,
    ) -> Result<Opened, Errno> {
        if !self.mounts.get(file.volume)?.devices {
            return Err(Errno::EACCES);
        }
        if device.major != 1 {
            return self.open_terminal(caller, file, device, flags).map(Opened::Ready);
        }
        let object = self.device_object(device)?;
        Ok(Opened::Ready(self.add_description(object, file, flags)))
    }

    fn open_fifo(&mut self, file: Vnode, flags: OpenFlags) -> Result<Opened, Errno> {
        let known = self.fifos.get(&file).copied();
        let waits_for_reader = !flags.reads() && known.is_none_or(|id| self.pipes[id].readers == 0);
        let waits_for_writer = !flags.writes() && known.is_none_or(|id| self.pipes[id].writers == 0);
        if flags.contains(OpenFlags::O_NONBLOCK) && waits_for_reader {
            return Err(Errno::ENXIO);
        }
        let id = known.unwrap_or_else(|| {
            let channel = self.new_channel();
            self.pipes.insert(Pipe::new(channel))
        });
        self.fifos.insert(file, id);
        let description = self.add_description(Object::Pipe(id), file, flags);
        if known.is_none() {
            self.pipes.release(id);
        }
        let waits = waits_for_reader || waits_for_writer;
        if waits && !flags.contains(OpenFlags::O_NONBLOCK) {
            // What a later opening of the other end has to exceed.
            let pipe = &self.pipes[id];
            let openings = if flags.reads() { pipe.writer_openings } else { pipe.reader_openings };
            self.descriptions[description].offset = openings;
            return Ok(Opened::Waits(description));
        }
        Ok(Opened::Ready(description))
    }

    /// Whether the other end of a fifo has been opened since this one began to wait; if not, the
    /// channel to wait for.
    pub(crate) fn fifo_is_ready(&mut self, id: Id<Description>) -> Result<(), crate::wait::Channel> {
        let description = &self.descriptions[id];
        let Object::Pipe(pipe) = description.object else { return Ok(()) };
        let pipe = &self.pipes[pipe];
        let reads = description.flags.reads();
        let openings = if reads { pipe.writer_openings } else { pipe.reader_openings };
        if openings == description.offset {
            return Err(pipe.channel);
        }
        self.descriptions[id].offset = 0;
        Ok(())
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
        let directory = self.find(caller, start, path, Last::Follow)?;
        if !self.attributes(caller, directory)?.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        self.open_nameless(caller, directory, flags, mode)
    }

    /// A new regular file in `directory` that has lost its name already.
    pub(crate) fn open_nameless(
        &mut self,
        caller: &Caller<'_>,
        directory: Vnode,
        flags: OpenFlags,
        mode: u32,
    ) -> Result<Id<Description>, Errno> {
        let name = format!(".nameless-{}", self.new_number());
        debug_assert!(name.len() <= NAME_MAX);
        let walked = Walked {
            directory,
            name: name.as_bytes().into(),
            found: None,
            wants_directory: false,
            ends_in_dot: false,
        };
        let file = self.create(caller, &walked, FileType::Regular, mode, &[])?;
        let description = self.add_description(Object::File, file, flags);
        let volume = &mut self.mounts.get_mut(directory.volume)?.volume;
        volume.remove(&caller.view, directory.node, name.as_bytes(), false)?;
        Ok(description)
    }

    /// Makes a file where a resolution ended without finding one.
    pub(crate) fn create(
        &mut self,
        caller: &Caller<'_>,
        walked: &Walked,
        file_type: FileType,
        mode: u32,
        target: &[u8],
    ) -> Result<Vnode, Errno> {
        self.create_device(caller, walked, file_type, mode, target, DeviceNumber::default())
    }

    /// Makes a file, perhaps a device node.
    pub(crate) fn create_device(
        &mut self,
        caller: &Caller<'_>,
        walked: &Walked,
        file_type: FileType,
        mode: u32,
        target: &[u8],
        device: DeviceNumber,
    ) -> Result<Vnode, Errno> {
        let directory = walked.directory;
        self.check_change_of_names(caller, directory)?;
        let above = self.attributes(caller, directory)?;
        let mut owner = caller.credentials.owner();
        let mut mode = mode & 0o7777 & !caller.location.umask;
        if above.mode & 0o2000 != 0 {
            // A set-group-ID directory hands its group down.
            owner.gid = above.gid;
            mode |= if file_type == FileType::Directory { 0o2000 } else { 0 };
        }
        let mode = if file_type == FileType::Symlink { 0o777 } else { mode };
        let new = NewNode { file_type, mode, owner, device, target };
        let volume = &mut self.mounts.get_mut(directory.volume)?.volume;
        let node = volume.create(&caller.view, directory.node, &walked.name, &new)?;
        Ok(Vnode { node, ..directory })
    }
}
