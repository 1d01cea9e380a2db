//! A system call's context: who calls, found once.

use super::Kernel;
use crate::arena::Id;
use crate::errno::Errno;
use crate::ids::{ProcessId, TaskId};
use crate::objects::{Description, FileDescriptor, FileDescriptors, Files};
use crate::procfs::Processes;
use crate::resource::Resource;
use crate::signal::{Info, Signal, code};
use crate::space::Space;
use crate::task::{Process, Task};
use crate::user_memory::UserMemory;
use crate::vfs::{Caller, FileCredentials, Location, Restrictions, View};
use crate::wait::{Failure, PendingCall, Wait};

/// EBX, ECX, EDX, ESI, EDI and EBP of a system call.
pub(crate) type Arguments = [u32; 6];

/// What a handler of a system call is given beside its arguments: the kernel, and in it the task that
/// calls.
pub(crate) struct Call<'k> {
    /// The machine.
    pub(crate) kernel: &'k mut Kernel,
    /// Who calls.
    pub(crate) task_id: TaskId,
    /// Its process.
    pub(crate) process_id: ProcessId,
}

impl<'k> Call<'k> {
    /// The context of a call that `task` makes, or of what the kernel does in its name.
    pub(crate) fn of(kernel: &'k mut Kernel, task_id: TaskId) -> Option<Self> {
        let process_id = kernel.tasks.get(&task_id)?.process;
        Some(Self { kernel, task_id, process_id })
    }

    /// Whether the caller still lives: some calls end it.
    pub(crate) fn lives(&self) -> bool {
        self.kernel.tasks.contains_key(&self.task_id)
    }

    /// The caller.
    pub(crate) fn task(&mut self) -> &mut Task {
        match self.kernel.tasks.get_mut(&self.task_id) {
            Some(task) => task,
            None => unreachable!("{:?} goes on with a call after its end", self.task_id),
        }
    }

    /// The caller's process.
    pub(crate) fn process(&mut self) -> &mut Process {
        match self.kernel.processes.get_mut(&self.process_id) {
            Some(process) => process,
            None => unreachable!("a task outlived its process"),
        }
    }

    /// The caller's address space, which becomes the one in use.
    pub(crate) fn space(&mut self) -> &mut Space {
        match self.process().space {
            Some(space) => {
                self.kernel.use_space(space);
                &mut self.kernel.spaces[space]
            }
            None => unreachable!("a task outlived its process's memory"),
        }
    }

    /// The caller and its address space, both to change at once.
    pub(crate) fn task_and_space(&mut self) -> (&mut Task, &mut Space) {
        self.space();
        let kernel = &mut *self.kernel;
        let space = kernel.processes.get(&self.process_id).and_then(|process| process.space);
        match (kernel.tasks.get_mut(&self.task_id), space) {
            (Some(task), Some(space)) => (task, &mut kernel.spaces[space]),
            _ => unreachable!("{:?} goes on with a call after its end", self.task_id),
        }
    }

    /// The caller's memory.
    pub(crate) fn user(&mut self) -> UserMemory<'_> {
        UserMemory::new(self.space())
    }

    /// What the call keeps from one run to the next.
    pub(crate) fn pending(&mut self) -> Result<&mut PendingCall, Errno> {
        self.task().call.as_mut().ok_or(Errno::ESRCH)
    }

    /// What becomes of a call that would have to wait with `done` bytes moved: they are its result if a signal
    /// has interrupted it, and else what the next run goes on with.
    ///
    /// # Errors
    /// [`Failure::Block`].
    pub(crate) fn stop_at(&mut self, done: u32, wait: Wait) -> Result<u32, Failure> {
        let pending = self.pending()?;
        if pending.interrupted && done > 0 {
            return Ok(done);
        }
        pending.progress = done;
        Err(Failure::Block(wait))
    }

    /// Accounts for `bytes` that the call is going to move, `done` after which it goes on if the host
    /// wants the machine to stop.
    ///
    /// # Errors
    /// [`Failure::Pause`].
    pub(crate) fn spend_bytes(&mut self, bytes: u32, done: u32) -> Result<(), Failure> {
        self.kernel.audit_if_due();
        let spent = self.kernel.fs.work.spend_bytes(bytes.into());
        if spent.is_err() {
            self.pending()?.progress = done;
        }
        spent
    }

    /// Notes that the call is going to make something of `bytes` of the host's memory.
    ///
    /// # Errors
    /// ENOMEM where the machine may not have that much more.
    pub(crate) fn charge(&mut self, bytes: u64) -> Result<(), Errno> {
        let charged = self.kernel.fs.vfs.account.charge(bytes);
        if charged.is_ok() || !self.kernel.fs.vfs.account.is_vague() {
            return charged;
        }
        self.kernel.audit();
        self.kernel.fs.vfs.account.charge(bytes)
    }

    /// The caller's descriptor table.
    pub(crate) fn descriptors(&mut self) -> &mut FileDescriptors {
        let files = self.task().files;
        &mut self.kernel.files[files]
    }

    /// The caller's root, working directory and umask.
    pub(crate) fn location(&mut self) -> &mut Location {
        let location = self.task().location;
        &mut self.kernel.locations[location]
    }

    /// Runs `action` on the machine's files in the caller's name.
    pub(crate) fn with_files<R>(&mut self, action: impl FnOnce(&mut Files, &Caller<'_>) -> R) -> R {
        self.with_files_as(false, action)
    }

    /// As [`with_files`](Self::with_files), but with the rights of the real user if `real` (access(2)).
    pub(crate) fn with_files_as<R>(
        &mut self,
        real: bool,
        action: impl FnOnce(&mut Files, &Caller<'_>) -> R,
    ) -> R {
        let kernel = &mut *self.kernel;
        kernel.release_shared();
        let now = kernel.file_time();
        let uptime = kernel.time.monotonic();
        let (task, process) = (&kernel.tasks[&self.task_id], &kernel.processes[&self.process_id]);
        let processes = Processes {
            current: self.task_id,
            tasks: &kernel.tasks,
            processes: &kernel.processes,
            spaces: &kernel.spaces,
            files: &kernel.files,
            locations: &kernel.locations,
            actions: &kernel.actions,
            uptime,
            time: &kernel.time,
            ipc: &kernel.ipc,
            cpuid: &kernel.cpuid,
            names: [&kernel.host_name, &kernel.domain_name],
            last_number: kernel.last_number,
            boot: now.seconds - (uptime / 1_000_000_000) as i64,
        };
        let ids = &process.credentials;
        let (uid, gid) = if real { (ids.uid, ids.gid) } else { (ids.fsuid, ids.fsgid) };
        let caller = Caller {
            view: View {
                now,
                monotonic: uptime,
                file_size: process.limits[Resource::Fsize].soft.min(kernel.limits.file_size),
                processes: &processes,
            },
            location: &kernel.locations[task.location],
            credentials: FileCredentials { uid, gid, groups: &ids.groups },
            restrictions: Restrictions::empty(),
        };
        action(&mut kernel.fs, &caller)
    }

    /// The open file behind a descriptor.
    pub(crate) fn open_file(&mut self, fd: u32) -> Result<Id<Description>, Errno> {
        self.descriptors().get(fd).map(|descriptor| descriptor.description)
    }

    /// The two descriptors that the next open files will have.
    ///
    /// # Errors
    /// EMFILE where there are not so many.
    pub(crate) fn next_descriptors(&mut self) -> Result<(u32, u32), Errno> {
        let limit = self.descriptor_limit();
        let descriptors = self.descriptors();
        let first = descriptors.free(0, limit)?;
        Ok((first, descriptors.free(first + 1, limit)?))
    }

    /// Gives an open file the lowest free descriptor at or above `from`; the file is closed where
    /// there is none.
    pub(crate) fn add_descriptor(
        &mut self,
        description: Id<Description>,
        from: u32,
        close_on_exec: bool,
    ) -> Result<u32, Errno> {
        let limit = self.descriptor_limit();
        /// What an open file and its entry in the table take.
        const OPEN: u64 = 512;
        let too_many = self.kernel.fs.has_too_many_files() || self.charge(OPEN).is_err();
        let file = self.kernel.fs.description(description).vnode;
        let descriptors = self.descriptors();
        let free = if too_many { Err(Errno::ENFILE) } else { descriptors.free(from, limit) };
        match free {
            Ok(fd) => {
                descriptors.set(fd, FileDescriptor { description, file, close_on_exec });
                Ok(fd)
            }
            Err(errno) => {
                self.kernel.fs.close(description);
                Err(errno)
            }
        }
    }

    /// One more than the highest descriptor that the process may have (RLIMIT_NOFILE).
    pub(crate) fn descriptor_limit(&mut self) -> u32 {
        /// `/proc/sys/fs/nr_open`: no limit may be higher.
        const NR_OPEN: u64 = 1 << 20;
        let most = NR_OPEN.min(u64::from(self.kernel.limits.descriptors));
        self.process().limits[Resource::Nofile].soft.min(most) as u32
    }

    /// Tells the caller that it wrote where nobody reads (SIGPIPE).
    pub(crate) fn broken_pipe(&mut self) {
        let user = self.process().credentials.uid;
        let info = Info::sent(Signal::PIPE, code::USER, self.process_id.number(), user);
        self.kernel.signal_task(self.task_id, info);
    }
}
