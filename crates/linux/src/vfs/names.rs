//! Making, moving and removing names, and changing attributes.

use super::attributes::{Attributes, Change, DeviceNumber, FileType, MAY_EXECUTE, MAY_WRITE};
use super::path::{Last, Walked};
use super::system::Vfs;
use super::view::{Caller, Location, View};
use super::vnode::{ROOT, Vnode, VolumeId};
use super::volume::{Allocation, DirectoryEntry, NewNode, RenameMode, VolumeStatistics};
use crate::errno::Errno;

impl Vfs {
    /// EROFS where nothing on the file's mount may be changed.
    pub(crate) fn check_writable(&self, file: Vnode) -> Result<(), Errno> {
        match self.mounts.get(file.volume) {
            Ok(mounted) if mounted.read_only => Err(Errno::EROFS),
            _ => Ok(()),
        }
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
        /// What a file takes before it has content.
        const NODE: u64 = 1024;
        let directory = walked.directory;
        self.check_change_of_names(caller, directory)?;
        self.account.charge(NODE).map_err(|_| Errno::ENOSPC)?;
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

    /// Whether the caller may add and remove names in a directory.
    pub(crate) fn check_change_of_names(
        &mut self,
        caller: &Caller<'_>,
        directory: Vnode,
    ) -> Result<(), Errno> {
        let attributes = self.attributes(caller, directory)?;
        if !attributes.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        caller.credentials.check(&attributes, MAY_WRITE | MAY_EXECUTE)?;
        self.check_writable(directory)
    }

    /// The sticky bit: only the owner of a file or of its directory takes the name away.
    fn check_sticky(&mut self, caller: &Caller<'_>, directory: Vnode, file: Vnode) -> Result<(), Errno> {
        let above = self.attributes(caller, directory)?;
        if above.mode & 0o1000 == 0 || caller.credentials.owns(&above) {
            return Ok(());
        }
        let own = self.attributes(caller, file)?;
        if caller.credentials.owns(&own) { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// Makes a directory, fifo, device node, socket or empty regular file (mkdir(2), mknod(2)).
    pub(crate) fn make(
        &mut self,
        caller: &Caller<'_>,
        start: Vnode,
        path: &[u8],
        file_type: FileType,
        mode: u32,
        device: DeviceNumber,
    ) -> Result<Vnode, Errno> {
        let walked = self.walk(caller, start, path, Last::Stay)?;
        if walked.found.is_some() {
            return Err(Errno::EEXIST);
        }
        if walked.wants_directory && file_type != FileType::Directory {
            return Err(Errno::ENOENT);
        }
        let is_device = matches!(file_type, FileType::CharacterDevice | FileType::BlockDevice);
        if is_device && caller.credentials.uid != 0 {
            return Err(Errno::EPERM);
        }
        self.create_device(caller, &walked, file_type, mode, &[], device)
    }

    /// Makes a symbolic link (symlink(2)).
    pub(crate) fn make_symlink(
        &mut self,
        caller: &Caller<'_>,
        start: Vnode,
        path: &[u8],
        target: &[u8],
    ) -> Result<(), Errno> {
        if target.is_empty() {
            return Err(Errno::ENOENT);
        }
        let walked = self.walk(caller, start, path, Last::Stay)?;
        match walked.found {
            Some(_) => Err(Errno::EEXIST),
            None if walked.wants_directory => Err(Errno::ENOENT),
            None => self.create(caller, &walked, FileType::Symlink, 0o777, target).map(|_| ()),
        }
    }

    /// Gives `file` the further name `path` (link(2)).
    pub(crate) fn link(
        &mut self,
        caller: &Caller<'_>,
        file: Vnode,
        start: Vnode,
        path: &[u8],
    ) -> Result<(), Errno> {
        let walked = self.walk(caller, start, path, Last::Stay)?;
        if walked.found.is_some() {
            return Err(Errno::EEXIST);
        }
        if walked.wants_directory {
            return Err(Errno::ENOENT);
        }
        if file.volume != walked.directory.volume {
            return Err(Errno::EXDEV);
        }
        if self.attributes(caller, file)?.is_directory() {
            return Err(Errno::EPERM);
        }
        self.check_change_of_names(caller, walked.directory)?;
        let volume = &mut self.mounts.get_mut(file.volume)?.volume;
        volume.link(&caller.view, file.node, walked.directory.node, &walked.name)
    }

    /// Takes a name away: unlink(2), or rmdir(2) if `directory`.
    pub(crate) fn remove(
        &mut self,
        caller: &Caller<'_>,
        start: Vnode,
        path: &[u8],
        directory: bool,
    ) -> Result<(), Errno> {
        let walked = self.walk(caller, start, path, Last::Stay)?;
        let file = walked.file()?;
        if walked.name.is_empty() {
            return Err(match (directory, walked.ends_in_dot, file == caller.location.root) {
                (false, ..) => Errno::EISDIR,
                (true, true, _) => Errno::EINVAL,
                (true, false, true) if path.iter().all(|byte| *byte == b'/') => Errno::EBUSY,
                (true, false, _) => Errno::ENOTEMPTY,
            });
        }
        if walked.wants_directory && !directory {
            let is_directory = self.attributes(caller, file)?.is_directory();
            return Err(if is_directory { Errno::EISDIR } else { Errno::ENOTDIR });
        }
        self.check_change_of_names(caller, walked.directory)?;
        self.check_sticky(caller, walked.directory, file)?;
        match (self.attributes(caller, file)?.is_directory(), directory) {
            (true, false) => return Err(Errno::EISDIR),
            (false, true) => return Err(Errno::ENOTDIR),
            _ => {}
        }
        if self.mounts.is_mount_point(file) || file == caller.location.root {
            return Err(Errno::EBUSY);
        }
        self.keep_if_entered(caller, file);
        let volume = &mut self.mounts.get_mut(file.volume)?.volume;
        volume.remove(&caller.view, walked.directory.node, &walked.name, directory)
    }

    /// Takes a name out of a volume's top directory, if it is there, without asking who may.
    pub(crate) fn remove_from_top(&mut self, view: &View<'_>, volume: VolumeId, name: &[u8]) {
        if let Ok(mounted) = self.mounts.get_mut(volume) {
            let _ = mounted.volume.remove(view, ROOT, name, false);
        }
    }

    /// Keeps a directory that loses its name if some process is in it: it stays usable there.
    fn keep_if_entered(&mut self, caller: &Caller<'_>, file: Vnode) {
        let processes = caller.view.processes;
        let inside = |location: &Location| location.working_directory == file || location.root == file;
        if processes.processes().into_iter().any(|id| processes.location(id).is_some_and(inside)) {
            self.retain(file);
        }
    }

    /// Moves a name (rename(2), renameat2(2)).
    pub(crate) fn rename(
        &mut self,
        caller: &Caller<'_>,
        from: (Vnode, &[u8]),
        to: (Vnode, &[u8]),
        mode: RenameMode,
    ) -> Result<(), Errno> {
        let old = self.walk(caller, from.0, from.1, Last::Stay)?;
        let new = self.walk(caller, to.0, to.1, Last::Stay)?;
        if old.name.is_empty() || new.name.is_empty() {
            return Err(if mode == RenameMode::NoReplace { Errno::EEXIST } else { Errno::EBUSY });
        }
        if old.directory.volume != new.directory.volume {
            return Err(Errno::EXDEV);
        }
        let file = old.file()?;
        self.check_move(caller, &old, file)?;
        let is_directory = self.attributes(caller, file)?.is_directory();
        if (old.wants_directory || new.wants_directory) && !is_directory {
            return Err(Errno::ENOTDIR);
        }
        match new.found {
            Some(target) => {
                self.check_move(caller, &new, target)?;
                self.keep_if_entered(caller, target);
            }
            None => self.check_change_of_names(caller, new.directory)?,
        }
        let volume = &mut self.mounts.get_mut(old.directory.volume)?.volume;
        let (source, target) = (old.directory.node, new.directory.node);
        volume.rename(&caller.view, (source, &old.name), (target, &new.name), mode)
    }

    fn check_move(&mut self, caller: &Caller<'_>, walked: &Walked, file: Vnode) -> Result<(), Errno> {
        self.check_change_of_names(caller, walked.directory)?;
        self.check_sticky(caller, walked.directory, file)?;
        let busy = self.mounts.is_mount_point(file) || file == caller.location.root;
        if busy { Err(Errno::EBUSY) } else { Ok(()) }
    }

    /// Sets attributes, without asking who may.
    pub(crate) fn change(&mut self, caller: &Caller<'_>, file: Vnode, change: &Change) -> Result<(), Errno> {
        self.check_writable(file)?;
        match self.mounts.get_mut(file.volume) {
            Ok(mounted) => {
                mounted.volume.change(&caller.view, file.node, change)?;
                change.size.map_or(Ok(()), |size| self.resize_mapping(file, size))
            }
            Err(_) => {
                let anonymous = self.anonymous.get_mut(&file.node).ok_or(Errno::ENOENT)?;
                change.apply(&mut anonymous.attributes, caller.view.now);
                Ok(())
            }
        }
    }

    /// chmod(2).
    pub(crate) fn set_mode(&mut self, caller: &Caller<'_>, file: Vnode, mode: u32) -> Result<(), Errno> {
        let attributes = self.attributes(caller, file)?;
        if attributes.file_type == FileType::Symlink {
            return Err(Errno::EOPNOTSUPP);
        }
        if !caller.credentials.owns(&attributes) {
            return Err(Errno::EPERM);
        }
        let foreign = caller.credentials.uid != 0 && !caller.credentials.in_group(attributes.gid);
        let mode = if foreign { mode & !0o2000 } else { mode };
        self.change(caller, file, &Change { mode: Some(mode & 0o7777), ..Change::default() })
    }

    /// chown(2); `u32::MAX` leaves an id as it is.
    pub(crate) fn set_owner(
        &mut self,
        caller: &Caller<'_>,
        file: Vnode,
        uid: u32,
        gid: u32,
    ) -> Result<(), Errno> {
        let attributes = self.attributes(caller, file)?;
        let (uid, gid) = (Some(uid).filter(|uid| *uid != u32::MAX), Some(gid).filter(|gid| *gid != u32::MAX));
        let credentials = caller.credentials;
        let uid_allowed = uid.is_none_or(|uid| uid == attributes.uid);
        let gid_allowed = gid.is_none_or(|gid| gid == attributes.gid || credentials.in_group(gid));
        let owns = credentials.uid == attributes.uid;
        if credentials.uid != 0 && !(owns && uid_allowed && gid_allowed) {
            return Err(Errno::EPERM);
        }
        let mut mode = None;
        if attributes.file_type == FileType::Regular && (uid.is_some() || gid.is_some()) {
            let group = if attributes.mode & 0o10 != 0 { 0o2000 } else { 0 };
            mode = Some(attributes.mode & !(0o4000 | group));
        }
        self.change(caller, file, &Change { uid, gid, mode, ..Change::default() })
    }

    /// utimensat(2): `None` leaves a time as it is; `explicit` if a time other than now is set.
    pub(crate) fn set_times(
        &mut self,
        caller: &Caller<'_>,
        file: Vnode,
        change: &Change,
        explicit: bool,
    ) -> Result<(), Errno> {
        let attributes = self.attributes(caller, file)?;
        if !caller.credentials.owns(&attributes) {
            if explicit {
                return Err(Errno::EPERM);
            }
            caller.credentials.check(&attributes, MAY_WRITE)?;
        }
        self.change(caller, file, change)
    }

    /// truncate(2) of a file that the caller may write.
    pub(crate) fn truncate(&mut self, caller: &Caller<'_>, file: Vnode, size: u64) -> Result<(), Errno> {
        match self.attributes(caller, file)?.file_type {
            FileType::Regular => {}
            FileType::Directory => return Err(Errno::EISDIR),
            _ => return Err(Errno::EINVAL),
        }
        if size > caller.view.file_size {
            return Err(Errno::EFBIG);
        }
        self.change(caller, file, &Change { size: Some(size), ..Change::default() })
    }

    /// access(2) as `caller`, whose credentials the call has chosen.
    pub(crate) fn check_access(
        &mut self,
        caller: &Caller<'_>,
        file: Vnode,
        wanted: u32,
    ) -> Result<(), Errno> {
        let attributes = self.attributes(caller, file)?;
        caller.credentials.check(&attributes, wanted)?;
        let stored =
            matches!(attributes.file_type, FileType::Regular | FileType::Directory | FileType::Symlink);
        if wanted & MAY_WRITE != 0 && stored { self.check_writable(file) } else { Ok(()) }
    }

    /// fallocate(2).
    pub(crate) fn allocate(
        &mut self,
        caller: &Caller<'_>,
        file: Vnode,
        offset: u64,
        length: u64,
        how: Allocation,
    ) -> Result<(), Errno> {
        self.check_writable(file)?;
        let volume = &mut self.mounts.get_mut(file.volume)?.volume;
        volume.allocate(&caller.view, file.node, offset, length, how)?;
        let size = self.attributes(caller, file)?.size;
        self.resize_mapping(file, size)
    }

    /// The first byte at or after `offset` that is in data, if `data`, or in a hole.
    ///
    /// # Errors
    /// ENXIO where there is none.
    pub(crate) fn seek(
        &mut self,
        caller: &Caller<'_>,
        file: Vnode,
        offset: u64,
        data: bool,
    ) -> Result<u64, Errno> {
        let size = self.attributes(caller, file)?.size;
        if offset >= size {
            return Err(Errno::ENXIO);
        }
        let volume = &mut self.mounts.get_mut(file.volume)?.volume;
        let found = volume.seek(file.node, offset, data).unwrap_or(if data { offset } else { size });
        if data && found >= size { Err(Errno::ENXIO) } else { Ok(found) }
    }

    /// All entries of a directory, `.` and `..` first.
    pub(crate) fn list(
        &mut self,
        caller: &Caller<'_>,
        directory: Vnode,
    ) -> Result<Vec<DirectoryEntry>, Errno> {
        let parent = self.parent_of(caller.location.root, directory).unwrap_or(directory);
        let volume = &mut self.mounts.get_mut(directory.volume)?.volume;
        let own = volume.list(&caller.view, directory.node)?;
        let dot = |name: &[u8], vnode: Vnode| DirectoryEntry {
            name: name.into(),
            node: vnode.node,
            file_type: FileType::Directory,
        };
        let mut entries = vec![dot(b".", directory), dot(b"..", parent)];
        entries.extend(own);
        Ok(entries)
    }

    /// statfs(2).
    pub(crate) fn statistics(&self, file: Vnode) -> VolumeStatistics {
        const PIPEFS_MAGIC: u32 = 0x5049_5045;
        match self.mounts.get(file.volume) {
            Ok(mounted) => mounted.volume.statistics(),
            Err(_) => {
                VolumeStatistics { magic: PIPEFS_MAGIC, blocks: 0, free_blocks: 0, files: 0, free_files: 0 }
            }
        }
    }

    /// Goes to a directory (chdir(2), chroot(2)): the directory, if the caller may search it.
    pub(crate) fn check_directory(&mut self, caller: &Caller<'_>, file: Vnode) -> Result<(), Errno> {
        let attributes: Attributes = self.attributes(caller, file)?;
        if !attributes.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        caller.credentials.check(&attributes, MAY_EXECUTE)
    }
}
