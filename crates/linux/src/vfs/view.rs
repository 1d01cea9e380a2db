//! Who asks for a file, from where, and what files may know of the processes around them.

use bitflags::bitflags;

use super::attributes::{FileCredentials, Owner, Timestamp};
use super::vnode::{ROOT, Vnode, VolumeId};
use crate::errno::Errno;
use crate::signal::Signal;

/// Root, working directory and umask (shared by CLONE_FS).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Location {
    /// Where `/` leads.
    pub(crate) root: Vnode,
    /// Where relative paths start.
    pub(crate) working_directory: Vnode,
    /// Permission bits that new files do not get.
    pub(crate) umask: u32,
}

impl Default for Location {
    /// The root of the machine, and the umask that login(1) leaves.
    fn default() -> Self {
        let root = Vnode { volume: VolumeId(0), node: ROOT };
        Self { root, working_directory: root, umask: 0o022 }
    }
}

bitflags! {
    /// What a resolution must not do (`RESOLVE_*` of openat2(2)).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub(crate) struct Restrictions: u32 {
        /// Cross to another mount.
        const NO_XDEV = 1;
        /// Follow links of `/proc` that lead to files whatever their names.
        const NO_MAGICLINKS = 2;
        /// Follow any symbolic link.
        const NO_SYMLINKS = 4;
        /// Leave the directory where it starts.
        const BENEATH = 8;
        /// Leave that directory, which is `/` for the resolution.
        const IN_ROOT = 0x10;
        /// Wait for a disk: there is none to wait for.
        const CACHED = 0x20;
    }
}

/// What an operation on a volume may know of the machine around it.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) now: Timestamp,
    /// CLOCK_MONOTONIC in nanoseconds.
    pub(crate) monotonic: u64,
    /// Bytes that a file may have (RLIMIT_FSIZE).
    pub(crate) file_size: u64,
    pub(crate) processes: &'a dyn ProcessView,
}

/// Who asks: in whose name and from where files are accessed.
#[derive(Clone, Copy)]
pub(crate) struct Caller<'a> {
    pub(crate) view: View<'a>,
    pub(crate) location: &'a Location,
    pub(crate) credentials: FileCredentials<'a>,
    pub(crate) restrictions: Restrictions,
}

/// An open file as a descriptor names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OpenFile {
    /// The number of its description.
    pub(crate) description: u32,
    /// The file itself.
    pub(crate) file: Vnode,
}

/// What was written to a file of `/proc/PID`: the kernel does it when the call that writes is over. Whether
/// it may be done has been checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Setting {
    /// The name of a thread, at most 15 bytes.
    ThreadName(u32, Vec<u8>),
    /// A process's `oom_score_adj`.
    OomAdjustment {
        /// Whose.
        process: u32,
        /// From -1000 to 1000.
        value: i16,
        /// The superuser sets it: users go no lower from now on.
        privileged: bool,
    },
    /// Nanoseconds that a process's timers may be late; 0 for the default.
    TimerSlack(u32, u32),
    /// Which kinds of memory a core file of a process has.
    CoreFilter(u32, u32),
    /// Nothing: what it would change is not there.
    Nothing,
}

/// The processes of a machine as files see them: what the kernel tells those below it.
pub(crate) trait ProcessView {
    /// The calling process, which `/proc/self` names.
    fn current(&self) -> u32;

    /// The calling thread, which `/proc/thread-self` names.
    fn current_thread(&self) -> u32 {
        self.current()
    }

    /// All processes by number, zombies included.
    fn processes(&self) -> Vec<u32>;

    /// The threads of a process by number.
    fn threads(&self, process: u32) -> Vec<u32>;

    /// Whom a process's files belong to; `None` where there is no such process.
    fn owner(&self, process: u32) -> Option<Owner>;

    /// The descriptors in use of a process, lowest first; `None` once it has ended.
    fn descriptors(&self, process: u32) -> Option<Vec<u32>>;

    /// What a descriptor of a process stands for.
    fn descriptor(&self, process: u32, fd: u32) -> Option<OpenFile>;

    /// Root and working directory of a process that has not ended.
    fn location(&self, process: u32) -> Option<&Location>;

    /// The absolute path of the program that a process runs.
    fn executable(&self, process: u32) -> Option<Vec<u8>>;

    /// Process group and session of the caller.
    fn job(&self) -> (u32, u32) {
        (0, 0)
    }

    /// The session of a process group; `None` where the group has no process.
    fn session_of(&self, group: u32) -> Option<u32> {
        let _ = group;
        None
    }

    /// Whether the calling thread blocks or ignores a signal.
    fn ignores(&self, signal: Signal) -> bool {
        let _ = signal;
        false
    }

    /// The signals that wait for the calling thread, as a signal set.
    fn pending_signals(&self) -> u64 {
        0
    }

    /// Whether the process behind a pidfd has ended.
    fn has_ended(&self, number: u32, serial: u64) -> bool {
        let _ = (number, serial);
        true
    }

    /// The number that a process shares with no other one ever.
    fn serial(&self, process: u32) -> Option<u64> {
        let _ = process;
        None
    }

    /// What a text of `/proc` about the machine says, by its row in the table of such files.
    fn system_text(&self, row: usize) -> Vec<u8> {
        let _ = row;
        Vec::new()
    }

    /// What writing `text` to a file of `/proc/PID` asks of the kernel.
    fn setting(&self, row: usize, process: u32, thread: u32, text: &[u8]) -> Result<Setting, Errno> {
        let _ = (row, process, thread, text);
        Err(Errno::EINVAL)
    }

    /// What a text of `/proc/PID` says, or a part of it from the place `from` on, which is 0 at first;
    /// `None` where there is no such process.
    fn process_text(&self, row: usize, process: u32, thread: u32, from: u32) -> Option<TextPart> {
        let _ = (row, process, thread, from);
        None
    }
}

/// A part of a text of `/proc`, and the place where the next one begins.
pub(crate) type TextPart = (Vec<u8>, Option<u32>);

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

    fn descriptors(&self, _: u32) -> Option<Vec<u32>> {
        None
    }

    fn descriptor(&self, _: u32, _: u32) -> Option<OpenFile> {
        None
    }

    fn location(&self, _: u32) -> Option<&Location> {
        None
    }

    fn executable(&self, _: u32) -> Option<Vec<u8>> {
        None
    }
}
