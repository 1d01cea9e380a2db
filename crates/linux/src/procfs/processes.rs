//! Where files meet processes: what `/proc` shows, and in whose name a system call uses files.

use std::collections::BTreeMap;

use super::process::process_text;
use crate::arena::{Arena, Id};
use crate::errno::Errno;
use crate::error::Error;
use crate::kernel::Kernel;
use crate::loader::File;
use crate::objects::{Description, Descriptor, Descriptors, FileSystem, Location, NoProcesses};
use crate::processor::{self, Cpuid};
use crate::signal::{Actions, Info, Signal, code};
use crate::space::Space;
use crate::task::{Process, ProcessId, Task, TaskId};
use crate::time::Timekeeper;
use crate::vfs::{
    ArchiveError, Caller, FileCredentials, Last, Mount, Owner, ProcessFile, ProcessView, Restrictions,
    SystemFile, Timestamp, View,
};
use crate::wait::PendingCall;

/// The kernel's processes, as files see them.
pub(crate) struct Processes<'a> {
    pub(crate) current: TaskId,
    pub(crate) tasks: &'a BTreeMap<TaskId, Task>,
    pub(crate) processes: &'a BTreeMap<ProcessId, Process>,
    pub(crate) spaces: &'a Arena<Space>,
    pub(crate) files: &'a Arena<Descriptors>,
    pub(crate) locations: &'a Arena<Location>,
    pub(crate) actions: &'a Arena<Actions>,
    pub(crate) uptime: u64,
    pub(crate) time: &'a Timekeeper,
    pub(crate) cpuid: &'a Cpuid,
}

impl Processes<'_> {
    pub(crate) fn process(&self, number: u32) -> Option<&Process> {
        self.processes.get(&ProcessId(number))
    }

    /// A living thread of the process.
    pub(crate) fn task(&self, number: u32) -> Option<&Task> {
        self.tasks.get(self.process(number)?.threads.first()?)
    }
}

impl ProcessView for Processes<'_> {
    fn current(&self) -> u32 {
        self.tasks.get(&self.current).map_or(0, |task| task.process.number())
    }

    fn current_thread(&self) -> u32 {
        self.current.number()
    }

    fn processes(&self) -> Vec<u32> {
        self.processes.keys().map(|id| id.number()).collect()
    }

    fn threads(&self, process: u32) -> Vec<u32> {
        self.process(process)
            .map_or_else(Vec::new, |process| process.threads.iter().map(|id| id.number()).collect())
    }

    fn owner(&self, process: u32) -> Option<Owner> {
        let credentials = &self.process(process)?.credentials;
        Some(Owner { uid: credentials.euid, gid: credentials.egid })
    }

    fn descriptors(&self, process: u32) -> Option<&Descriptors> {
        self.files.get(self.task(process)?.files)
    }

    fn location(&self, process: u32) -> Option<&Location> {
        self.locations.get(self.task(process)?.location)
    }

    fn executable(&self, process: u32) -> Option<Vec<u8>> {
        Some(self.process(process)?.executable.clone())
    }

    fn job(&self) -> (u32, u32) {
        let process = self.tasks.get(&self.current).and_then(|task| self.processes.get(&task.process));
        process.map_or((0, 0), |process| (process.group.number(), process.session.number()))
    }

    fn ignores(&self, signal: Signal) -> bool {
        let Some(task) = self.tasks.get(&self.current) else { return false };
        let ignored = self
            .processes
            .get(&task.process)
            .and_then(|process| self.actions.get(process.actions))
            .is_some_and(|actions| actions.ignores(signal));
        ignored || task.mask.contains(signal)
    }

    fn pending_signals(&self) -> u64 {
        let Some(task) = self.tasks.get(&self.current) else { return 0 };
        let shared = self.processes.get(&task.process).map_or(0, |process| process.pending.set().0);
        task.pending.set().0 | shared
    }

    fn has_ended(&self, number: u32, serial: u64) -> bool {
        self.process(number).is_none_or(|process| process.serial != serial || process.ended.is_some())
    }

    fn text(&self, process: u32, thread: u32, file: ProcessFile) -> Option<Vec<u8>> {
        process_text(self, process, thread, file)
    }

    fn system_text(&self, file: SystemFile) -> Vec<u8> {
        system_text(self, file)
    }
}

fn system_text(view: &Processes<'_>, file: SystemFile) -> Vec<u8> {
    let seconds = view.uptime / 1_000_000_000;
    let hundredths = view.uptime / 10_000_000 % 100;
    match file {
        SystemFile::Uptime => format!("{seconds}.{hundredths:02} 0.00\n"),
        SystemFile::Load => format!("0.00 0.00 0.00 1/{} {}\n", view.tasks.len(), view.current.number()),
        SystemFile::Version => "Linux version 6.1.0 (pentimento) #1 SMP\n".into(),
        SystemFile::Release => "6.1.0\n".into(),
        SystemFile::Build => "#1 SMP\n".into(),
        SystemFile::HostName => "pentimento\n".into(),
        SystemFile::DomainName => "(none)\n".into(),
        SystemFile::Memory => {
            "MemTotal:        4194304 kB\nMemFree:         3145728 kB\nMemAvailable:    3145728 kB\nBuffers:               0 kB\nCached:                0 kB\nSwapTotal:             0 kB\nSwapFree:              0 kB\n".into()
        }
        SystemFile::Statistics => format!(
            "cpu  {0} 0 0 0 0 0 0 0 0 0\ncpu0 {0} 0 0 0 0 0 0 0 0 0\nintr 0\nctxt 0\nbtime 0\nprocesses {1}\nprocs_running 1\nprocs_blocked 0\n",
            view.uptime / 10_000_000,
            view.processes.len(),
        ),
        SystemFile::Processors => processor::text(view.cpuid),
    }
    .into_bytes()
}

impl Kernel {
    /// Runs `action` on the machine's files in the name of `task`.
    pub(crate) fn with_files<R, E: From<Errno>>(
        &mut self,
        task: TaskId,
        action: impl FnOnce(&mut FileSystem, &Caller<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        self.with_files_as(task, false, action)
    }

    /// As [`Kernel::with_files`], but with the rights of the real user if `real` (access(2)).
    pub(crate) fn with_files_as<R, E: From<Errno>>(
        &mut self,
        task: TaskId,
        real: bool,
        action: impl FnOnce(&mut FileSystem, &Caller<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        self.release_shared();
        const FSIZE: usize = 1;
        let now = self.file_time();
        let uptime = self.time.monotonic();
        let state = self.tasks.get(&task).ok_or(Errno::ESRCH)?;
        let process = self.processes.get(&state.process).ok_or(Errno::ESRCH)?;
        let processes = Processes {
            current: task,
            tasks: &self.tasks,
            processes: &self.processes,
            spaces: &self.spaces,
            files: &self.files,
            locations: &self.locations,
            actions: &self.actions,
            uptime,
            time: &self.time,
            cpuid: &self.cpuid,
        };
        let ids = &process.credentials;
        let (uid, gid) = if real { (ids.uid, ids.gid) } else { (ids.fsuid, ids.fsgid) };
        let caller = Caller {
            view: View {
                now,
                monotonic: uptime,
                file_size: process.limits[FSIZE].0.min(self.limits.file_size),
                processes: &processes,
            },
            location: &self.locations[state.location],
            credentials: FileCredentials { uid, gid, groups: &ids.groups },
            restrictions: Restrictions::empty(),
        };
        action(&mut self.fs, &caller)
    }

    /// Mounts something at an absolute path of the guest, which is made if it is missing; `/`
    /// replaces the root, and what is mounted already stays in its place.
    ///
    /// # Errors
    /// [`Error::Mount`] with what the host said of its folder, or with ENOTDIR where `path` leads
    /// through a file.
    pub fn mount(&mut self, path: &[u8], mount: Mount) -> Result<(), Error> {
        let now = self.file_time();
        // As mount(8) makes a tmpfs: for everybody, with the sticky bit. The root is the owner's alone.
        let mode = if path.iter().all(|byte| *byte == b'/') { 0o755 } else { 0o1777 };
        self.fs
            .mount(path, mount, mode, now)
            .map_err(|errno| Error::Mount { path: String::from_utf8_lossy(path).into_owned(), errno })
    }

    /// What the guest has changed on the mount at `path` (all of it for a file system in memory), as
    /// a tar file: POSIX ustar, with removed names as container images have them.
    ///
    /// # Errors
    /// [`Error::Mount`] with EINVAL where nothing is mounted at `path`, or EOPNOTSUPP for a folder
    /// that is really written.
    pub fn save_changes(&mut self, path: &[u8]) -> Result<Vec<u8>, Error> {
        let now = self.file_time();
        self.fs
            .save(path, now)
            .map_err(|errno| Error::Mount { path: String::from_utf8_lossy(path).into_owned(), errno })
    }

    /// Makes the changes that a tar file of [`save_changes`](Self::save_changes) or of tar(1) holds.
    ///
    /// # Errors
    /// [`ArchiveError`], with what was made before it left as it is.
    pub fn load_changes(&mut self, path: &[u8], archive: &[u8]) -> Result<(), ArchiveError> {
        let now = self.file_time();
        self.fs.load(path, archive, now)
    }

    /// Puts a file with the given content and permission bits at an absolute path of the guest.
    ///
    /// # Errors
    /// [`Error::Mount`] with ENOSPC where it does not fit, EISDIR where a directory is in the way.
    pub fn install_file(&mut self, path: &[u8], content: &[u8], mode: u32) -> Result<(), Error> {
        let now = self.file_time();
        self.fs
            .install(path, content, mode, now)
            .map_err(|errno| Error::Mount { path: String::from_utf8_lossy(path).into_owned(), errno })
    }

    /// Sets the working directory of a process, before or while it runs.
    ///
    /// # Errors
    /// [`Error::Open`] with ESRCH, ENOENT, ENOTDIR or EACCES.
    pub fn change_directory(&mut self, process: ProcessId, path: &[u8]) -> Result<(), Error> {
        let refuse = |errno| Error::Open { path: String::from_utf8_lossy(path).into_owned(), errno };
        let task = self.processes.get(&process).and_then(|process| process.threads.first().copied());
        let task = task.ok_or(refuse(Errno::ESRCH))?;
        let found = self.with_files(task, |files, caller| {
            let directory = files.find(caller, caller.location.working_directory, path, Last::Follow)?;
            files.check_directory(caller, directory)?;
            Ok(directory)
        });
        self.location(task).map_err(refuse)?.working_directory = found.map_err(refuse)?;
        Ok(())
    }

    /// A program that `task`, or without one the host, wants to run: its own absolute path, and its file.
    ///
    /// # Errors
    /// What execve(2) says: ENOENT, EACCES...
    pub(crate) fn read_program(
        &mut self,
        task: Option<TaskId>,
        path: &[u8],
    ) -> Result<(Vec<u8>, File), Errno> {
        if let Some(task) = task {
            let location = *self.location(task)?;
            let absolute = path.first() == Some(&b'/');
            let start = if absolute { location.root } else { location.working_directory };
            return self.with_files(task, |files, caller| files.read_program(caller, start, path));
        }
        let location = Location::default();
        let view = View { now: self.file_time(), monotonic: 0, file_size: u64::MAX, processes: &NoProcesses };
        let caller = Caller {
            view,
            location: &location,
            credentials: FileCredentials::default(),
            restrictions: Restrictions::empty(),
        };
        self.fs.read_program(&caller, location.root, path)
    }

    /// The call that `task` is in.
    pub(crate) fn pending(&mut self, task: TaskId) -> Result<&mut PendingCall, Errno> {
        self.tasks.get_mut(&task).and_then(|task| task.call.as_mut()).ok_or(Errno::ESRCH)
    }

    /// Tells `task` that it wrote where nobody reads (SIGPIPE).
    pub(crate) fn broken_pipe(&mut self, task: TaskId) {
        let process = self.task(task).process;
        let user = self.process(task).credentials.uid;
        self.signal_task(task, Info::sent(Signal::PIPE, code::USER, process.number(), user));
    }

    /// The time that files get.
    pub(crate) fn file_time(&mut self) -> Timestamp {
        let now = self.time.realtime();
        Timestamp { seconds: (now / 1_000_000_000) as i64, nanoseconds: (now % 1_000_000_000) as u32 }
    }

    /// The descriptor table of `task`.
    pub(crate) fn descriptors(&mut self, task: TaskId) -> Result<&mut Descriptors, Errno> {
        let files = self.tasks.get(&task).ok_or(Errno::ESRCH)?.files;
        self.files.get_mut(files).ok_or(Errno::ESRCH)
    }

    /// Root, working directory and umask of `task`.
    pub(crate) fn location(&mut self, task: TaskId) -> Result<&mut Location, Errno> {
        let location = self.tasks.get(&task).ok_or(Errno::ESRCH)?.location;
        self.locations.get_mut(location).ok_or(Errno::ESRCH)
    }

    /// The open file behind a descriptor.
    pub(crate) fn open_file(&mut self, task: TaskId, fd: u32) -> Result<Id<Description>, Errno> {
        self.descriptors(task)?.get(fd).map(|descriptor| descriptor.description)
    }

    /// Gives an open file the lowest free descriptor at or above `from`; the file is closed where
    /// there is none.
    pub(crate) fn add_descriptor(
        &mut self,
        task: TaskId,
        description: Id<Description>,
        from: u32,
        close_on_exec: bool,
    ) -> Result<u32, Errno> {
        let limit = self.descriptor_limit(task);
        let too_many = self.fs.has_too_many_files();
        let descriptors = self.descriptors(task)?;
        let free = if too_many { Err(Errno::ENFILE) } else { descriptors.free(from, limit) };
        match free {
            Ok(fd) => {
                descriptors.set(fd, Descriptor { description, close_on_exec });
                Ok(fd)
            }
            Err(errno) => {
                self.fs.close(description);
                Err(errno)
            }
        }
    }

    /// One more than the highest descriptor that the process may have (RLIMIT_NOFILE).
    pub(crate) fn descriptor_limit(&self, task: TaskId) -> u32 {
        const NOFILE: usize = 7;
        /// `/proc/sys/fs/nr_open`: no limit may be higher.
        const NR_OPEN: u64 = 1 << 20;
        let process = self.tasks.get(&task).and_then(|task| self.processes.get(&task.process));
        let most = NR_OPEN.min(u64::from(self.limits.descriptors));
        process.map_or(0, |process| process.limits[NOFILE].0.min(most) as u32)
    }
}
