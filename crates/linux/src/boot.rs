//! What a machine has before its first process: `/dev`, `/proc`, `/sys`, `/tmp`, and standard streams.

use std::sync::Arc;

use crate::config::Limits;
use crate::errno::Errno;
use crate::objects::object::Object;
use crate::objects::{
    FileDescriptor, FileDescriptors, Files, MEMORY_MAJOR, MemoryDevices, OpenFlags, PTS_MAJOR, Standard,
    StreamFile, Streams, TTY_MAJOR, TerminalDevices, TerminalFile, Terminals,
};
use crate::procfs::{ProcFiles, ProcVolume};
use crate::random::Random;
use crate::vfs::{Attributes, Capacity, DeviceNumber, FileType, Last, Mount, Owner, Timestamp, Tree, Vfs};

/// A device of `/dev`: its name, number and permission bits.
struct DeviceNode {
    name: &'static str,
    number: DeviceNumber,
    mode: u32,
}

const fn node(name: &'static str, major: u32, minor: u32, mode: u32) -> DeviceNode {
    DeviceNode { name, number: DeviceNumber::new(major, minor), mode }
}

/// What `/dev` holds; numbers as in the kernel's devices.txt.
#[rustfmt::skip]
const DEVICES: &[DeviceNode] = &[
    node("null",    MEMORY_MAJOR, 3, 0o666),
    node("zero",    MEMORY_MAJOR, 5, 0o666),
    node("full",    MEMORY_MAJOR, 7, 0o666),
    node("random",  MEMORY_MAJOR, 8, 0o666),
    node("urandom", MEMORY_MAJOR, 9, 0o666),
    node("tty",     TTY_MAJOR,    0, 0o666),
    node("console", TTY_MAJOR,    1, 0o600),
    node("ptmx",    TTY_MAJOR,    2, 0o666),
];

/// The links of `/dev`.
const LINKS: &[(&str, &str)] = &[
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];

impl Files {
    /// The files of a machine: an empty root with `/tmp`, `/dev` and `/proc`. What does not fit the
    /// limits is missing. `realtime` is in nanoseconds since 1970.
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
        let capacity = Capacity { bytes: limits.memory_files, nodes: limits.inodes };
        // Not the kernel's own sequence, which the guest must not be able to read on from.
        let random = Random::new(seed ^ 0x7261_6e64_6f6d);
        let mut files = Self::new(Vfs::new(owner, now, capacity), random);
        files.families.insert(streams);
        files.drivers.insert(MEMORY_MAJOR, &MemoryDevices);
        files.drivers.insert(TTY_MAJOR, &TerminalDevices);
        files.drivers.insert(PTS_MAJOR, &TerminalDevices);
        let _ = files.mount_system(now, capacity);
        let _ = files.vfs.mount_stand_in(b"/tmp", 0o1777, now);
        files
    }

    /// Mounts `/dev` with its devices, `/dev/shm` `/proc` and `/sys`.
    fn mount_system(&mut self, now: Timestamp, capacity: Capacity) -> Result<(), Errno> {
        let devices = Box::new(Tree::new(Owner::default(), 0o755, now, capacity));
        self.vfs.mount_volume(b"/dev", devices, false, true, now)?;
        self.vfs.as_builder(now, |vfs, caller, root| {
            for device in DEVICES {
                let path = [b"/dev/", device.name.as_bytes()].concat();
                let file_type = FileType::CharacterDevice;
                vfs.make(caller, root, &path, file_type, device.mode, device.number)?;
            }
            for (name, target) in LINKS {
                vfs.make_symlink(caller, root, name.as_bytes(), target.as_bytes())?;
            }
            Ok::<(), Errno>(())
        })?;
        self.vfs.mount(b"/dev/shm", Mount::Memory, 0o1777, now)?;
        let pairs = Box::new(Tree::new(Owner::default(), 0o755, now, capacity));
        let pairs = self.vfs.mount_volume(b"/dev/pts", pairs, false, true, now)?;
        self.families.get_mut::<Terminals>().pairs = Some(pairs);
        for (path, volume) in [(&b"/proc"[..], ProcVolume::PROC), (b"/sys", ProcVolume::SYS)] {
            let volume = self.vfs.mount_volume(path, Box::new(volume), false, false, now)?;
            self.openers.insert(volume, &ProcFiles);
        }
        Ok(())
    }

    /// The standard streams as the first process's descriptors 0, 1 and 2.
    pub(crate) fn standard_descriptors(&mut self, now: Timestamp) -> FileDescriptors {
        let mut descriptors = FileDescriptors::default();
        let streams = [
            (Standard::Input, OpenFlags::empty()),
            (Standard::Output, OpenFlags::O_WRONLY),
            (Standard::Error, OpenFlags::O_WRONLY),
        ];
        let console = self.make_console();
        let device = self
            .vfs
            .as_builder(now, |vfs, caller, root| vfs.find(caller, root, b"/dev/console", Last::Follow));
        for (fd, (which, flags)) in streams.into_iter().enumerate() {
            let is_terminal = self.terminal_size(which).is_some();
            let (object, flags): (Arc<dyn Object>, _) = match console.filter(|_| is_terminal) {
                Some(console) => (Arc::new(TerminalFile(console)), OpenFlags::O_RDWR),
                None => (Arc::new(StreamFile(which)), flags),
            };
            let file_type = if is_terminal { FileType::CharacterDevice } else { FileType::Fifo };
            let mut attributes = Attributes::new(file_type, 0o600, self.vfs.owner(), now);
            let label = if is_terminal {
                attributes.device = DeviceNumber::new(TTY_MAJOR, 1);
                "/dev/console"
            } else {
                "pipe"
            };
            let file = match device {
                // So that ttyname(3) finds it.
                Ok(device) if console.is_some() && is_terminal => device,
                _ => self.vfs.make_anonymous(attributes, label),
            };
            let description = self.add_description(object, file, flags);
            descriptors.set(fd as u32, FileDescriptor { description, file, close_on_exec: false });
        }
        descriptors
    }
}
