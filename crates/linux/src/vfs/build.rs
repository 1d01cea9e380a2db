//! What a machine's builder does before programs run: mounting, installing files, changes as archives.

use super::archive::{ArchiveError, end_archive};
use super::attributes::{FileCredentials, FileType, Timestamp};
use super::mount::{Mount, Mounted};
use super::path::Last;
use super::system::Vfs;
use super::view::{Caller, Location, NoProcesses, Restrictions, View};
use super::vnode::{Vnode, VolumeId};
use super::volume::Volume;
use crate::errno::Errno;

impl Vfs {
    /// Runs `action` as the machine's builder: root's rights, from `/`.
    pub(crate) fn as_builder<R>(
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

    /// Whether the machine's builder finds a directory at `path`.
    fn has_directory(&mut self, path: &[u8], now: Timestamp) -> bool {
        self.as_builder(now, |files, caller, root| {
            let found = files.find(caller, root, path, Last::Follow)?;
            Ok::<bool, Errno>(files.attributes(caller, found)?.is_directory())
        })
        .unwrap_or(false)
    }

    /// The content of the regular file at `path`, as the machine's builder sees it: at most the first
    /// `limit` bytes.
    ///
    /// # Errors
    /// EINVAL where it is no regular file, and what finding and reading it gives.
    pub(crate) fn read_whole(&mut self, path: &[u8], limit: usize, now: Timestamp) -> Result<Vec<u8>, Errno> {
        self.as_builder(now, |files, caller, root| {
            let file = files.find(caller, root, path, Last::Follow)?;
            let attributes = files.attributes(caller, file)?;
            if attributes.file_type != FileType::Regular {
                return Err(Errno::EINVAL);
            }
            let mut bytes = vec![0; usize::try_from(attributes.size).unwrap_or(limit).min(limit)];
            let length =
                files.mounts.get_mut(file.volume)?.volume.read(&caller.view, file.node, 0, &mut bytes)?;
            bytes.truncate(length);
            Ok(bytes)
        })
    }

    pub(crate) fn mount_volume(
        &mut self,
        path: &[u8],
        volume: Box<dyn Volume>,
        read_only: bool,
        devices: bool,
        now: Timestamp,
    ) -> Result<VolumeId, Errno> {
        let covers = Some(self.ensure_directory(path, now)?);
        let path = path.to_vec();
        Ok(self.mounts.add(Mounted { volume, covers, path, read_only, devices, stands_in: false }))
    }

    /// Replaces the root, and puts everything that is mounted below it in its place again, except
    /// what only stands in for a directory that the new root has.
    fn mount_root(&mut self, volume: Box<dyn Volume>, read_only: bool, now: Timestamp) -> Result<(), Errno> {
        let root = self.mounts.get_mut(VolumeId(0))?;
        root.volume = volume;
        root.read_only = read_only;
        for (id, path) in self.mounts.uncover_all() {
            if self.mounts.get(id)?.stands_in && self.has_directory(&path, now) {
                continue;
            }
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

    /// Mounts an empty file system in memory at `path` until a root has a directory of that name.
    ///
    /// # Errors
    /// As [`Vfs::mount`].
    pub(crate) fn mount_stand_in(&mut self, path: &[u8], mode: u32, now: Timestamp) -> Result<(), Errno> {
        let (volume, read_only) = Mount::Memory.build(self.owner, mode, now, self.capacity)?;
        let id = self.mount_volume(path, volume, read_only, false, now)?;
        self.mounts.get_mut(id)?.stands_in = true;
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
        let id = self.mounted_at(path, now)?;
        let covered = self.mounts.covered_in(id);
        let mut archive = Vec::new();
        self.mounts.get_mut(id)?.volume.save(b"", &covered, &mut archive)?;
        end_archive(&mut archive);
        Ok(archive)
    }

    /// What the guest has changed on all mounts that are copied on write, as one tar file whose
    /// paths are the guest's, without the slash at their start.
    ///
    /// # Errors
    /// The host's, where a folder can no longer be read.
    pub(crate) fn save_overlays(&mut self) -> Result<Vec<u8>, Errno> {
        let mut archive = Vec::new();
        for id in self.mounts.overlays() {
            let covered = self.mounts.covered_in(id);
            let mounted = self.mounts.get_mut(id)?;
            let below = mounted.path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
            let below = below.collect::<Vec<_>>().join(&b'/');
            mounted.volume.save(&below, &covered, &mut archive)?;
        }
        end_archive(&mut archive);
        Ok(archive)
    }

    /// How many files the guest has made, written, changed or removed on the mount at `path`.
    ///
    /// # Errors
    /// As [`Vfs::save`].
    pub(crate) fn count_changes(&mut self, path: &[u8], now: Timestamp) -> Result<u64, Errno> {
        let id = self.mounted_at(path, now)?;
        let covered = self.mounts.covered_in(id);
        self.mounts.get_mut(id)?.volume.count_changes(&covered)
    }

    /// Makes the changes that a tar file holds on the mount at `path`.
    ///
    /// # Errors
    /// As [`Vfs::save`], and where the file is none or does not fit.
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
}
