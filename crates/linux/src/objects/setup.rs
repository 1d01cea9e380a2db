//! Building a machine's file system: mounts, `/dev`, `/proc`, programs, standard streams.

use super::description::{Object, OpenFlags};
use super::descriptor::{Descriptor, Descriptors};
use super::device::DEVICES;
use super::files::{FileSystem, Location};
use super::stream::{Standard, Streams};
use crate::arena::Arena;
use crate::config::Limits;
use crate::errno::Errno;
use crate::loader::File;
use crate::procfs::System;
use crate::random::Random;
use crate::vfs::{
    ArchiveError, Attributes, Caller, Capacity, DeviceNumber, FileCredentials, FileType, Last, Locks,
    MAY_EXECUTE, Mount, Mounted, Mounts, Owner, ProcessFile, ProcessView, Restrictions, SystemFile,
    Timestamp, Tree, View, Vnode, Volume, VolumeId,
};
use crate::wait::Channel;

/// Bytes of a program that may be loaded into the host's memory at once.
const PROGRAM_MAX: u64 = 1 << 31;

/// A machine before its first process.
pub(crate) struct NoProcesses;

impl ProcessView for NoProcesses {
    fn current(&self) -> u32 {
        0
    }

    fn processes(&self) -> Vec<u32> {
        Vec::new()
    }

    fn threads(&self, _: u32) -> Vec<u32> {
        Vec::new()
    }

    fn owner(&self, _: u32) -> Option<Owner> {
        None
    }

    fn descriptors(&self, _: u32) -> Option<&Descriptors> {
        None
    }

    fn location(&self, _: u32) -> Option<&Location> {
        None
    }

    fn executable(&self, _: u32) -> Option<Vec<u8>> {
        None
    }

    fn text(&self, _: u32, _: u32, _: ProcessFile) -> Option<Vec<u8>> {
        None
    }

    fn system_text(&self, _: SystemFile) -> Vec<u8> {
        Vec::new()
    }
}

/// What a new file system needs to know.
pub(crate) struct Setup {
    pub(crate) streams: Streams,
    /// Decides what `/dev/urandom` says.
    pub(crate) random: Random,
    /// Whom files of host folders belong to, and what the first process makes.
    pub(crate) owner: Owner,
    pub(crate) now: Timestamp,
    /// What each file system in memory may hold.
    pub(crate) capacity: Capacity,
}

impl FileSystem {
    /// The file system of a machine: an empty root with `/tmp`, `/dev` and `/proc`. What does not
    /// fit the limits is missing.
    pub(crate) fn for_machine(
        streams: Streams,
        seed: u64,
        limits: &Limits,
        owner: Owner,
        realtime: u64,
    ) -> Self {
        let now = Timestamp {
            seconds: (realtime / 1_000_000_000) as i64,
            nanoseconds: (realtime % 1_000_000_000) as u32,
        };
        let mut files = Self::new(Setup {
            streams,
            // Not the kernel's own sequence, which the guest must not be able to read on from.
            random: Random::new(seed ^ 0x7261_6e64_6f6d),
            owner,
            now,
            capacity: Capacity { bytes: limits.memory_files, nodes: limits.inodes },
        });
        let _ = files.mount_system(now);
        let _ = files.mount(b"/tmp", Mount::Memory, 0o1777, now);
        files
    }

    /// A file system with an empty root in memory.
    pub(crate) fn new(setup: Setup) -> Self {
        let mut mounts = Mounts::default();
        let in_memory = |mode| Mounted {
            volume: Box::new(Tree::new(setup.owner, mode, setup.now, setup.capacity)),
            covers: None,
            path: b"/".to_vec(),
            read_only: false,
            devices: false,
        };
        mounts.add(in_memory(0o755));
        let nameless = mounts.add(in_memory(0o777));
        Self {
            mounts,
            system: VolumeId(u32::MAX - 1),
            nameless,
            descriptions: Arena::default(),
            pipes: Arena::default(),
            counters: Arena::default(),
            timers: Arena::default(),
            epolls: Arena::default(),
            terminals: Arena::default(),
            console: None,
            console_ended: false,
            signals: Vec::new(),
            pseudo_terminals: VolumeId(u32::MAX - 1),
            sockets: Arena::default(),
            names: Default::default(),
            doomed: Vec::new(),
            locks: Locks::new(Channel::File(0)),
            activity: Default::default(),
            fifos: Default::default(),
            anonymous: Default::default(),
            next_number: 0,
            streams: setup.streams,
            random: setup.random,
            in_flight: 0,
            rights_in_flight: 0,
            outside: Default::default(),
            closed_sockets: 0,
            woken: Vec::new(),
            mapped: Default::default(),
            capacity: setup.capacity,
            owner: setup.owner,
        }
    }

    /// Runs `action` as the machine's builder: root's rights, from `/`.
    fn as_builder<R>(
        &mut self,
        now: Timestamp,
        action: impl FnOnce(&mut Self, &Caller<'_>, Vnode) -> R,
    ) -> R {
        let location = Location { umask: 0, ..Location::default() };
        let credentials = FileCredentials::default();
        let view = View { now, monotonic: 0, file_size: u64::MAX, processes: &NoProcesses };
        let caller = Caller { view, location: &location, credentials, restrictions: Restrictions::empty() };
        action(self, &caller, location.root)
    }

    /// The directory at `path`, made with all above it where it is missing. A read-only mount gets
    /// it in its memory.
    fn ensure_directory(&mut self, path: &[u8], now: Timestamp) -> Result<Vnode, Errno> {
        self.as_builder(now, |files, caller, root| {
            let mut at = root;
            for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
                let walked = files.walk(caller, at, name, Last::Follow)?;
                at = match walked.found {
                    Some(found) => found,
                    None => {
                        let mounted = files.mounts.get_mut(walked.directory.volume)?;
                        let read_only = std::mem::replace(&mut mounted.read_only, false);
                        let made = files.create(caller, &walked, FileType::Directory, 0o755, &[]);
                        files.mounts.get_mut(walked.directory.volume)?.read_only = read_only;
                        made?
                    }
                };
            }
            Ok(at)
        })
    }

    fn mount_volume(
        &mut self,
        path: &[u8],
        volume: Box<dyn Volume>,
        read_only: bool,
        devices: bool,
        now: Timestamp,
    ) -> Result<VolumeId, Errno> {
        let covers = Some(self.ensure_directory(path, now)?);
        let path = path.to_vec();
        Ok(self.mounts.add(Mounted { volume, covers, path, read_only, devices }))
    }

    /// Replaces the root, and puts everything that is mounted below it in its place again.
    fn mount_root(&mut self, volume: Box<dyn Volume>, read_only: bool, now: Timestamp) -> Result<(), Errno> {
        let root = self.mounts.get_mut(VolumeId(0))?;
        root.volume = volume;
        root.read_only = read_only;
        for (id, path) in self.mounts.uncover_all() {
            let covers = self.ensure_directory(&path, now)?;
            self.mounts.cover(id, covers);
        }
        Ok(())
    }

    /// Mounts something at the absolute `path`, which is made if it is missing; `mode` is for the
    /// top directory of a file system in memory.
    ///
    /// # Errors
    /// ENOTDIR where `path` leads through a file that is no directory; the host's errors.
    pub(crate) fn mount(
        &mut self,
        path: &[u8],
        mount: Mount,
        mode: u32,
        now: Timestamp,
    ) -> Result<(), Errno> {
        let (volume, read_only) = mount.build(self.owner, mode, now, self.capacity)?;
        if path.iter().all(|byte| *byte == b'/') {
            return self.mount_root(volume, read_only, now);
        }
        self.mount_volume(path, volume, read_only, false, now).map(|_| ())
    }

    /// Mounts `/dev` with its devices, `/dev/shm` and `/proc`.
    ///
    /// # Errors
    /// As [`FileSystem::mount`].
    pub(crate) fn mount_system(&mut self, now: Timestamp) -> Result<(), Errno> {
        let devices = Box::new(Tree::new(Owner::default(), 0o755, now, self.capacity));
        self.mount_volume(b"/dev", devices, false, true, now)?;
        self.as_builder(now, |files, caller, root| {
            for device in DEVICES {
                let path = [b"/dev/", device.name.as_bytes()].concat();
                let file_type = FileType::CharacterDevice;
                files.make(caller, root, &path, file_type, device.mode, device.number)?;
            }
            for (name, target) in [
                (&b"/dev/fd"[..], &b"/proc/self/fd"[..]),
                (b"/dev/stdin", b"/proc/self/fd/0"),
                (b"/dev/stdout", b"/proc/self/fd/1"),
                (b"/dev/stderr", b"/proc/self/fd/2"),
            ] {
                files.make_symlink(caller, root, name, target)?;
            }
            Ok::<(), Errno>(())
        })?;
        self.mount(b"/dev/shm", Mount::Memory, 0o1777, now)?;
        let terminals = Box::new(Tree::new(Owner::default(), 0o755, now, self.capacity));
        self.pseudo_terminals = self.mount_volume(b"/dev/pts", terminals, false, true, now)?;
        self.system = self.mount_volume(b"/proc", Box::new(System), false, false, now)?;
        Ok(())
    }

    /// The mount whose top is at the absolute `path`.
    fn mounted_at(&mut self, path: &[u8], now: Timestamp) -> Result<VolumeId, Errno> {
        self.as_builder(now, |files, caller, root| {
            let top = files.find(caller, root, path, Last::Follow)?;
            if files.is_mount_root(top) { Ok(top.volume) } else { Err(Errno::EINVAL) }
        })
    }

    /// What the guest has changed on the mount at `path`, as a tar file.
    ///
    /// # Errors
    /// EINVAL where nothing is mounted at `path`, EOPNOTSUPP for a folder that is really written.
    pub(crate) fn save(&mut self, path: &[u8], now: Timestamp) -> Result<Vec<u8>, Errno> {
        let volume = self.mounted_at(path, now)?;
        self.mounts.get_mut(volume)?.volume.save()
    }

    /// Makes the changes that a tar file holds on the mount at `path`.
    ///
    /// # Errors
    /// As [`FileSystem::save`], and where the file is none or does not fit.
    pub(crate) fn load(&mut self, path: &[u8], archive: &[u8], now: Timestamp) -> Result<(), ArchiveError> {
        let refuse = |errno| ArchiveError::Entry { path: String::from_utf8_lossy(path).into_owned(), errno };
        let volume = self.mounted_at(path, now).map_err(refuse)?;
        self.mounts.get_mut(volume).map_err(refuse)?.volume.load(archive, now)
    }

    /// Puts a file with the given content and permission bits at the absolute `path`; directories
    /// above it are made, an older file there is replaced.
    ///
    /// # Errors
    /// EISDIR where a directory is in the way, ENOSPC where it does not fit.
    pub(crate) fn install(
        &mut self,
        path: &[u8],
        content: &[u8],
        mode: u32,
        now: Timestamp,
    ) -> Result<(), Errno> {
        let slash = path.iter().rposition(|byte| *byte == b'/').ok_or(Errno::EINVAL)?;
        let directory = self.ensure_directory(&path[..slash], now)?;
        self.as_builder(now, |files, caller, _| {
            let walked = files.walk(caller, directory, &path[slash + 1..], Last::Follow)?;
            let file = match walked.found {
                Some(file) => {
                    files.truncate(caller, file, 0)?;
                    file
                }
                None => files.create(caller, &walked, FileType::Regular, mode, &[])?,
            };
            let volume = &mut files.mounts.get_mut(file.volume)?.volume;
            let mut done = 0;
            while done < content.len() {
                done += volume.write(&caller.view, file.node, done as u64, &content[done..])?;
            }
            Ok(())
        })
    }

    /// The standard streams as the first process's descriptors 0, 1 and 2.
    pub(crate) fn standard_descriptors(&mut self, now: Timestamp) -> Descriptors {
        let mut descriptors = Descriptors::default();
        let streams = [
            (Standard::Input, OpenFlags::empty()),
            (Standard::Output, OpenFlags::O_WRONLY),
            (Standard::Error, OpenFlags::O_WRONLY),
        ];
        let console = self.make_console();
        for (fd, (which, flags)) in streams.into_iter().enumerate() {
            let terminal = self.streams.terminal_size(which).is_some();
            let file_type = if terminal { FileType::CharacterDevice } else { FileType::Fifo };
            let mut attributes = Attributes::new(file_type, 0o600, self.owner, now);
            let label = if terminal {
                attributes.device = DeviceNumber::new(5, 1);
                "/dev/console"
            } else {
                "pipe"
            };
            let (object, flags) = match console.filter(|_| terminal) {
                Some(console) => (Object::Terminal(console), OpenFlags::O_RDWR),
                None => (Object::Stream(which), flags),
            };
            let device = self.as_builder(now, |files, caller, root| {
                files.find(caller, root, b"/dev/console", Last::Follow)
            });
            let vnode = match (device, object) {
                // So that ttyname(3) finds it.
                (Ok(device), Object::Terminal(_)) => device,
                _ => self.new_anonymous(attributes, object, label),
            };
            let description = self.add_description(object, vnode, flags);
            descriptors.set(fd as u32, Descriptor { description, close_on_exec: false });
        }
        descriptors
    }

    /// A program's own absolute path and its file, if the caller may execute it.
    ///
    /// # Errors
    /// What execve(2) says: EACCES where it is no regular file or not executable.
    pub(crate) fn read_program(
        &mut self,
        caller: &Caller<'_>,
        start: Vnode,
        path: &[u8],
    ) -> Result<(Vec<u8>, File), Errno> {
        let file = self.find(caller, start, path, Last::Follow)?;
        let bytes = self.read_executable(caller, file)?;
        Ok((self.name_of(caller.location.root, file), bytes))
    }

    /// The file of a program that has been found.
    ///
    /// # Errors
    /// As [`FileSystem::read_program`].
    pub(crate) fn read_executable(&mut self, caller: &Caller<'_>, file: Vnode) -> Result<File, Errno> {
        let attributes = self.attributes(caller, file)?;
        if attributes.file_type != FileType::Regular {
            return Err(Errno::EACCES);
        }
        caller.credentials.check(&attributes, MAY_EXECUTE)?;
        if attributes.size > PROGRAM_MAX {
            return Err(Errno::ENOMEM);
        }
        if let Some(source) = self.page_source(file) {
            return File::of(source, attributes.size);
        }
        let mut bytes = vec![0; attributes.size as usize];
        let length = self.read_vnode(caller, file, 0, &mut bytes)?;
        bytes.truncate(length);
        Ok(File::from(bytes))
    }
}
