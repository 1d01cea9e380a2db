//! In whose name a system call uses files, and what a host does with them.

use super::Kernel;
use crate::arena::Id;
use crate::errno::Errno;
use crate::ids::TaskId;
use crate::loader::File;
use crate::objects::{Description, FileDescriptor, FileDescriptors, Files};
use crate::procfs::Processes;
use crate::resource::Resource;
use crate::signal::{Info, Signal, code};
use crate::vfs::{
    Caller, FileCredentials, FileType, Last, Location, MAY_EXECUTE, NoProcesses, Restrictions, Timestamp,
    View, Vnode,
};
use crate::wait::{Failure, PendingCall};

/// Bytes of a program that may be loaded into the host's memory at once.
const PROGRAM_MAX: u64 = 1 << 31;

impl Kernel {
    /// Runs `action` on the machine's files in the name of `task`.
    pub(crate) fn with_files<R, E: From<Errno>>(
        &mut self,
        task: TaskId,
        action: impl FnOnce(&mut Files, &Caller<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        self.with_files_as(task, false, action)
    }

    /// As [`Kernel::with_files`], but with the rights of the real user if `real` (access(2)).
    pub(crate) fn with_files_as<R, E: From<Errno>>(
        &mut self,
        task: TaskId,
        real: bool,
        action: impl FnOnce(&mut Files, &Caller<'_>) -> Result<R, E>,
    ) -> Result<R, E> {
        self.release_shared();
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
            names: [&self.host_name, &self.domain_name],
            boot: now.seconds - (uptime / 1_000_000_000) as i64,
        };
        let ids = &process.credentials;
        let (uid, gid) = if real { (ids.uid, ids.gid) } else { (ids.fsuid, ids.fsgid) };
        let caller = Caller {
            view: View {
                now,
                monotonic: uptime,
                file_size: process.limits[Resource::Fsize].soft.min(self.limits.file_size),
                processes: &processes,
            },
            location: &self.locations[state.location],
            credentials: FileCredentials { uid, gid, groups: &ids.groups },
            restrictions: Restrictions::empty(),
        };
        action(&mut self.fs, &caller)
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
            return self.with_files(task, |files, caller| read_program(files, caller, start, path));
        }
        let location = Location::default();
        let view = View { now: self.file_time(), monotonic: 0, file_size: u64::MAX, processes: &NoProcesses };
        let caller = Caller {
            view,
            location: &location,
            credentials: FileCredentials::default(),
            restrictions: Restrictions::empty(),
        };
        read_program(&mut self.fs, &caller, location.root, path)
    }

    /// The call that `task` is in.
    pub(crate) fn pending(&mut self, task: TaskId) -> Result<&mut PendingCall, Errno> {
        self.tasks.get_mut(&task).and_then(|task| task.call.as_mut()).ok_or(Errno::ESRCH)
    }

    /// Accounts for `bytes` that the call of `task` is going to move, `done` after which it goes on if the
    /// host wants the machine to stop.
    ///
    /// # Errors
    /// [`Failure::Pause`].
    pub(crate) fn spend_bytes(&mut self, task: TaskId, bytes: u32, done: u32) -> Result<(), Failure> {
        let spent = self.fs.work.spend_bytes(bytes.into());
        if spent.is_err() {
            self.pending(task)?.progress = done;
        }
        spent
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
    pub(crate) fn descriptors(&mut self, task: TaskId) -> Result<&mut FileDescriptors, Errno> {
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
        let file = self.fs.description(description).vnode;
        let descriptors = self.descriptors(task)?;
        let free = if too_many { Err(Errno::ENFILE) } else { descriptors.free(from, limit) };
        match free {
            Ok(fd) => {
                descriptors.set(fd, FileDescriptor { description, file, close_on_exec });
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
        /// `/proc/sys/fs/nr_open`: no limit may be higher.
        const NR_OPEN: u64 = 1 << 20;
        let process = self.tasks.get(&task).and_then(|task| self.processes.get(&task.process));
        let most = NR_OPEN.min(u64::from(self.limits.descriptors));
        process.map_or(0, |process| process.limits[Resource::Nofile].soft.min(most) as u32)
    }
}

/// A program's own absolute path and its file, if the caller may execute it.
///
/// # Errors
/// What execve(2) says: EACCES where it is no regular file or not executable.
fn read_program(
    files: &mut Files,
    caller: &Caller<'_>,
    start: Vnode,
    path: &[u8],
) -> Result<(Vec<u8>, File), Errno> {
    let file = files.vfs.find(caller, start, path, Last::Follow)?;
    let bytes = read_executable(files, caller, file)?;
    Ok((files.vfs.name_of(caller.location.root, file), bytes))
}

/// The file of a program that has been found.
///
/// # Errors
/// As [`read_program`].
pub(crate) fn read_executable(files: &mut Files, caller: &Caller<'_>, file: Vnode) -> Result<File, Errno> {
    let attributes = files.vfs.attributes(caller, file)?;
    if attributes.file_type != FileType::Regular {
        return Err(Errno::EACCES);
    }
    caller.credentials.check(&attributes, MAY_EXECUTE)?;
    if attributes.size > PROGRAM_MAX {
        return Err(Errno::ENOMEM);
    }
    if let Some(source) = files.vfs.page_source(file) {
        return File::of(source, attributes.size);
    }
    let mut bytes = vec![0; attributes.size as usize];
    let length = files.vfs.read(&caller.view, file, 0, &mut bytes)?;
    bytes.truncate(length);
    Ok(File::from(bytes))
}
