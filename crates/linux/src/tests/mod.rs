//! A file system without a kernel around it, and what it must hold to.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

mod confinement;
mod layouts;
mod names;
mod overlay;
mod sockets;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::arena::Id;
use crate::config::Limits;
use crate::errno::Errno;
use crate::host::{Bytes, Discard};
use crate::objects::*;
use crate::vfs::*;

/// A machine's files and one caller.
struct Fixture {
    files: Files,
    location: Location,
    uid: u32,
    file_size: u64,
}

impl Fixture {
    fn new() -> Self {
        let streams =
            Streams::new(Box::new(Bytes::default()), Box::new(Discard), Box::new(Discard), u64::MAX);
        let files = Files::for_machine(streams, 0, &Limits::default(), Owner::default(), 0);
        Self { files, location: Location::default(), uid: 0, file_size: u64::MAX }
    }

    fn with_root(mount: Mount) -> Self {
        let mut fixture = Self::new();
        fixture.files.vfs.mount(b"/", mount, 0o755, Timestamp::default()).unwrap();
        fixture
    }

    fn run<R>(&mut self, action: impl FnOnce(&mut Files, &Caller<'_>) -> R) -> R {
        let view = View {
            now: Timestamp { seconds: 7, nanoseconds: 9 },
            monotonic: 0,
            file_size: self.file_size,
            processes: &NoProcesses,
        };
        let credentials = FileCredentials { uid: self.uid, gid: self.uid, groups: &[] };
        action(
            &mut self.files,
            &Caller { view, location: &self.location, credentials, restrictions: Restrictions::empty() },
        )
    }

    fn open(&mut self, path: &str, flags: OpenFlags) -> Result<Id<Description>, Errno> {
        let start = self.location.working_directory;
        match self.run(|files, caller| files.open(caller, start, path.as_bytes(), flags, 0o644))? {
            Opened::Ready(id) | Opened::Waits(id) => Ok(id),
        }
    }

    fn read(&mut self, path: &str) -> Result<Vec<u8>, Errno> {
        let id = self.open(path, OpenFlags::empty())?;
        let mut bytes = vec![0; 1 << 16];
        let read = self.run(|files, caller| files.read(caller, id, None, &mut bytes));
        self.files.close(id);
        match read {
            Ok(read) => Ok(bytes[..read].to_vec()),
            Err(crate::wait::Failure::Errno(errno)) => Err(errno),
            Err(other) => panic!("{path}: {other:?}"),
        }
    }

    fn write(&mut self, path: &str, bytes: &[u8]) -> Result<(), Errno> {
        let flags = OpenFlags::O_WRONLY | OpenFlags::O_CREAT | OpenFlags::O_TRUNC;
        let id = self.open(path, flags)?;
        let written = self.run(|files, caller| files.write(caller, id, None, bytes));
        self.files.close(id);
        match written {
            Ok(written) => assert_eq!(written, bytes.len()),
            Err(crate::wait::Failure::Errno(errno)) => return Err(errno),
            Err(other) => panic!("{path}: {other:?}"),
        }
        Ok(())
    }

    fn make_directory(&mut self, path: &str) -> Result<(), Errno> {
        let start = self.location.working_directory;
        let device = DeviceNumber::default();
        self.run(|files, caller| {
            files.vfs.make(caller, start, path.as_bytes(), FileType::Directory, 0o755, device)
        })
        .map(|_| ())
    }

    fn symlink(&mut self, path: &str, target: &str) -> Result<(), Errno> {
        let start = self.location.working_directory;
        self.run(|files, caller| files.vfs.make_symlink(caller, start, path.as_bytes(), target.as_bytes()))
    }

    fn link(&mut self, existing: &str, path: &str) -> Result<(), Errno> {
        let start = self.location.working_directory;
        self.run(|files, caller| {
            let file = files.vfs.find(caller, start, existing.as_bytes(), Last::Stay)?;
            files.vfs.link(caller, file, start, path.as_bytes())
        })
    }

    fn remove(&mut self, path: &str, directory: bool) -> Result<(), Errno> {
        let start = self.location.working_directory;
        self.run(|files, caller| files.vfs.remove(caller, start, path.as_bytes(), directory))
    }

    fn rename(&mut self, from: &str, to: &str, mode: RenameMode) -> Result<(), Errno> {
        let start = self.location.working_directory;
        self.run(|files, caller| {
            files.vfs.rename(caller, (start, from.as_bytes()), (start, to.as_bytes()), mode)
        })
    }

    fn stat(&mut self, path: &str, last: Last) -> Result<Attributes, Errno> {
        let start = self.location.working_directory;
        self.run(|files, caller| {
            let file = files.vfs.find(caller, start, path.as_bytes(), last)?;
            files.vfs.attributes(caller, file)
        })
    }

    fn list(&mut self, path: &str) -> Result<Vec<String>, Errno> {
        let id = self.open(path, OpenFlags::O_DIRECTORY)?;
        let entries = self.run(|files, caller| files.entries(caller, id));
        self.files.close(id);
        let names =
            entries?.0.iter().map(|entry| String::from_utf8_lossy(&entry.name).into_owned()).collect();
        Ok(names)
    }
}

/// A folder of the host that goes away with the test.
struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("pentimento-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn folder(&self, name: &str) -> Arc<dyn HostFolder> {
        Arc::new(LocalFolder::open(self.0.join(name)).unwrap())
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
