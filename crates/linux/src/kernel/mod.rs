//! The kernel of one machine: what a host calls.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pentimento_memory::{AddressSpace, Fault, FrameSource};
use pentimento_registers::{CpuState, DescriptorTables, Exception};

use crate::account::Account;
use crate::arena::{Arena, Id};
use crate::config::{Config, Limits};
use crate::errno::Errno;
use crate::error::Error;
use crate::event::KernelEvent;
use crate::futex::Futexes;
use crate::host;
use crate::ids::{Crash, FIRST_NUMBER, ProcessId, TaskId, Termination};
use crate::ipc::Ipc;
use crate::loader;
use crate::numbered::Numbered;
use crate::objects::{FileDescriptors, Files, Streams};
use crate::processor::Cpuid;
use crate::random::Random;
use crate::scheduler::Scheduler;
use crate::signal::Actions;
use crate::space::{Space, SpaceId};
use crate::task::{Process, Task};
use crate::time::Timekeeper;
use crate::vfs::{ArchiveError, Last, Location, Mount, Owner};

pub(crate) mod account;
mod call;
mod delivery;
mod fault;
mod files;
mod futexes;
mod inspect;
mod lifecycle;
mod lookup;
mod scheduling;
mod snapshot;
mod timers;
mod tracing;

pub(crate) use call::{Arguments, Call};
pub(crate) use files::read_executable;
pub use inspect::Mapping;
use snapshot::Kept;
pub use snapshot::{KernelSnapshot, RestoreError};

/// What the host does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Next {
    /// Run `task` in its memory for at most `quantum` instructions.
    Run {
        /// Whose registers are run.
        task: TaskId,
        /// The number of its address space.
        space: SpaceId,
        /// Instructions, at least 1.
        quantum: u64,
    },
    /// Nobody can run yet: ask again, unless the machine is to stop. Programs that wait for timers
    /// could keep [`Kernel::schedule`] busy for ever otherwise, and so could calls that take long.
    Idle,
    /// Nobody can run before something happens outside of the machine: its time comes, or input or
    /// the network brings something. [`Kernel::wait`] sleeps until then; a host that knows better
    /// asks again when it likes.
    Waiting {
        /// When a timer of the guest runs out, as [`Kernel::monotonic`] counts; `None` if nobody waits
        /// for time.
        until: Option<Duration>,
    },
    /// The first process ended, and the machine with it.
    Finished(Termination),
    /// Every task waits for something that cannot happen.
    Deadlock,
}

/// What running a task needs.
pub struct Parts<'a> {
    /// The task's registers.
    pub cpu: &'a mut CpuState,
    /// Its memory.
    pub memory: &'a mut AddressSpace,
    /// The segment descriptors that it can load.
    pub descriptors: DescriptorTables<'a>,
    /// The path of the program that its process executes.
    pub program: &'a [u8],
}

/// The host's side of a machine.
pub(crate) struct HostSide {
    pub(crate) entropy: Option<Box<dyn host::Entropy>>,
    pub(crate) trace: Option<Box<dyn host::TraceSink>>,
}

/// A Linux kernel for the programs of one machine. It is `Send`, and shares nothing with others.
pub struct Kernel {
    pub(crate) host: HostSide,
    pub(crate) limits: Limits,
    /// What the addresses of programs and mappings are drawn from, by each program from the start: the same
    /// code lies at the same addresses in all processes of a machine, so that translations of it serve them
    /// all, and at others in another machine. `None` if nothing is drawn.
    pub(crate) placement: Option<Random>,
    /// The processor that programs are told of.
    pub(crate) cpuid: Cpuid,
    /// User and group of processes that nobody forked.
    pub(crate) identity: (u32, u32),
    pub(crate) random: Random,
    pub(crate) time: Timekeeper,
    pub(crate) scheduler: Scheduler,
    pub(crate) tasks: Numbered<TaskId, Task>,
    pub(crate) processes: Numbered<ProcessId, Process>,
    pub(crate) spaces: Arena<Space>,
    /// Where all of them take their pages from.
    pub(crate) frames: FrameSource,
    /// Spaces that have ended since the host asked last.
    pub(crate) ended_spaces: Vec<SpaceId>,
    pub(crate) actions: Arena<Actions>,
    pub(crate) files: Arena<FileDescriptors>,
    pub(crate) locations: Arena<Location>,
    pub(crate) fs: Files,
    pub(crate) futexes: Futexes,
    /// System V IPC.
    pub(crate) ipc: Ipc,
    /// The space whose shared objects may be held.
    pub(crate) active_space: Option<Id<Space>>,
    /// The last number that a process or task got.
    pub(crate) last_number: u32,
    /// The number that the next address space gets.
    pub(crate) next_space: u32,
    /// The last number that an anonymous shared mapping or a process got for itself alone.
    pub(crate) next_object: u64,
    /// The process whose end is the machine's.
    pub(crate) first: Option<ProcessId>,
    /// The exception that killed that process.
    pub(crate) crash: Option<Crash>,
    /// uname(2)'s node name, which sethostname(2) changes.
    pub(crate) host_name: Vec<u8>,
    /// uname(2)'s domain name, which setdomainname(2) changes.
    pub(crate) domain_name: Vec<u8>,
    /// The last call was paused for the host.
    pub(crate) paused: bool,
    /// Calls of each number that has no handler.
    pub(crate) unimplemented: BTreeMap<u32, u64>,
    /// The snapshots that can be restored, oldest first.
    snapshots: Vec<Arc<Kept>>,
    /// The memory of spaces that have ended, and that snapshots have.
    ended_memory: BTreeMap<SpaceId, AddressSpace>,
    /// What has happened since the host asked last, if it wants to know.
    pub(crate) events: Option<Vec<KernelEvent>>,
}

impl Kernel {
    /// A machine without processes.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let streams = Streams::new(config.input, config.output, config.error, config.limits.output);
        let mut time = Timekeeper::new(config.time, config.clock);
        let mut fs = Files::for_machine(
            streams,
            config.seed,
            &config.limits,
            Owner { uid: config.identity.0, gid: config.identity.1 },
            time.realtime(),
        );
        fs.grant_network(config.network);
        let frames = FrameSource::new();
        fs.vfs.account = Account::new(config.limits.total_memory, &frames);
        Self {
            host: HostSide { entropy: config.entropy, trace: config.trace },
            limits: config.limits,
            placement: config.randomize_addresses.then(|| Random::new(!config.seed)),
            cpuid: config.cpuid,
            identity: config.identity,
            random: Random::new(config.seed),
            time,
            scheduler: Scheduler::new(config.quantum),
            tasks: Numbered::default(),
            processes: Numbered::default(),
            spaces: Arena::default(),
            frames,
            ended_spaces: Vec::new(),
            actions: Arena::default(),
            files: Arena::default(),
            locations: Arena::default(),
            fs,
            futexes: Futexes::default(),
            ipc: Ipc::default(),
            active_space: None,
            last_number: FIRST_NUMBER,
            next_space: 0,
            next_object: 0,
            first: None,
            crash: None,
            host_name: b"pentimento".to_vec(),
            domain_name: b"(none)".to_vec(),
            paused: false,
            unimplemented: BTreeMap::new(),
            snapshots: Vec::new(),
            ended_memory: BTreeMap::new(),
            events: None,
        }
    }

    /// Has system calls that take long, and whatever else the kernel does between two turns of a task, ask
    /// now and then whether the machine is to stop. Where it is, [`schedule`](Self::schedule) says
    /// [`Next::Idle`], and what was going on continues when it is called again.
    pub fn heed(&mut self, request: Box<dyn host::StopRequest>) {
        self.fs.work.heed(request);
    }

    /// Bytes of the host's memory that the machine takes now, of
    /// [`Limits::total_memory`](crate::Limits::total_memory): added up anew, in time proportional to what
    /// there is.
    pub fn held_memory(&mut self) -> u64 {
        self.audit();
        self.fs.vfs.account.taken()
    }

    /// Mounts something at an absolute path of the guest, which is made if it is missing; `/`
    /// replaces the root, and what is mounted already stays in its place. Only the `/tmp` that every
    /// machine begins with gives way to a root's own.
    ///
    /// # Errors
    /// [`Error::Mount`] with what the host said of its folder, or with ENOTDIR where `path` leads
    /// through a file.
    pub fn mount(&mut self, path: &[u8], mount: Mount) -> Result<(), Error> {
        let now = self.file_time();
        // As mount(8) makes a tmpfs: for everybody, with the sticky bit. The root is the owner's alone.
        let mode = if path.iter().all(|byte| *byte == b'/') { 0o755 } else { 0o1777 };
        self.fs.vfs.mount(path, mount, mode, now).map_err(|errno| Error::providing(path, errno))
    }

    /// Puts a file with the given content and permission bits at an absolute path of the guest.
    ///
    /// # Errors
    /// [`Error::Mount`] with ENOSPC where it does not fit, EISDIR where a directory is in the way.
    pub fn install_file(&mut self, path: &[u8], content: &[u8], mode: u32) -> Result<(), Error> {
        let now = self.file_time();
        self.fs.vfs.install(path, content, mode, now).map_err(|errno| Error::providing(path, errno))
    }

    /// Makes the changes that a tar file of [`save_changes`](Self::save_changes) or of tar(1) holds.
    ///
    /// # Errors
    /// [`ArchiveError`], with what was made before it left as it is.
    pub fn load_changes(&mut self, path: &[u8], archive: &[u8]) -> Result<(), ArchiveError> {
        let now = self.file_time();
        self.fs.vfs.load(path, archive, now)
    }

    /// Starts the program at `path` of the guest's file system as a new process with its standard
    /// streams connected. The first one spawned is the one whose end is the machine's.
    ///
    /// # Errors
    /// [`Error::Open`] if it cannot be read, [`Error::Load`] if it or its interpreter cannot be run.
    pub fn spawn(&mut self, path: &[u8], argv: &[&[u8]], envp: &[&[u8]]) -> Result<ProcessId, Error> {
        let (path, file) = self.read_program(None, path).map_err(|errno| Error::opening(path, errno))?;
        self.spawn_file(&path, file, argv, envp)
    }

    /// Starts a program from the bytes of its file; `path` is what it is told that it is called.
    ///
    /// # Errors
    /// As for [`spawn`](Self::spawn).
    pub fn spawn_image(
        &mut self,
        path: &[u8],
        file: &[u8],
        argv: &[&[u8]],
        envp: &[&[u8]],
    ) -> Result<ProcessId, Error> {
        self.spawn_file(path, loader::File::from(file.to_vec()), argv, envp)
    }

    /// Starts raw machine code as a new process: `length` bytes of memory at `base` that allow
    /// everything, `code` at its start, EIP there, and ESP behind its end.
    ///
    /// # Errors
    /// [`Error::Place`].
    pub fn spawn_code(&mut self, base: u32, code: &[u8], length: u32) -> Result<ProcessId, Error> {
        self.start_code(base, code, length)
    }

    /// Sets the working directory of a process, before or while it runs.
    ///
    /// # Errors
    /// [`Error::Open`] with ESRCH, ENOENT, ENOTDIR or EACCES.
    pub fn change_directory(&mut self, process: ProcessId, path: &[u8]) -> Result<(), Error> {
        let refuse = |errno| Error::opening(path, errno);
        let task = self.processes.get(&process).and_then(|process| process.threads.first().copied());
        let call = task.and_then(|task| Call::of(self, task));
        let mut call = call.ok_or(refuse(Errno::ESRCH))?;
        let found = call.with_files(|files, caller| {
            let directory = files.vfs.find(caller, caller.location.working_directory, path, Last::Follow)?;
            files.vfs.check_directory(caller, directory)?;
            Ok(directory)
        });
        call.location().working_directory = found.map_err(refuse)?;
        Ok(())
    }

    /// Decides who runs next: finishes calls that can be finished, delivers signals, and lets time
    /// pass while nobody can run.
    pub fn schedule(&mut self) -> Next {
        self.next()
    }

    /// Sleeps while all tasks wait for what is outside of the machine, at most for `longest`; says
    /// whether something may have happened. Nothing else in the kernel ever sleeps.
    pub fn wait(&mut self, longest: Duration) -> bool {
        self.nap(longest)
    }

    /// The machine's CLOCK_MONOTONIC: with [`TimeMode::Real`](crate::TimeMode::Real) what
    /// [`Clock::monotonic`](host::Clock::monotonic) says.
    pub fn monotonic(&mut self) -> Duration {
        Duration::from_nanos(self.time.monotonic())
    }

    /// The process that was made last, the kernel's own number before the first.
    #[must_use]
    pub fn newest_process(&self) -> ProcessId {
        ProcessId(self.last_number)
    }

    /// The tasks of all processes, by number.
    pub fn tasks(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.tasks.keys()
    }

    /// The exception that `task` has raised, if it has not taken its signal yet, and that signal.
    #[must_use]
    pub fn raised(&self, task: TaskId) -> Option<(u8, Crash)> {
        let (signal, crash) = self.tasks.get(&task)?.crash?;
        Some((signal.number(), crash))
    }

    /// The exception that killed the first process, if it was one.
    #[must_use]
    pub const fn crash(&self) -> Option<Crash> {
        self.crash
    }

    /// The task that would run first, before anything has run.
    #[must_use]
    pub fn first_task(&self) -> Option<TaskId> {
        self.scheduler.queue.front().copied()
    }

    /// What running `task` needs, or `None` if there is no such task any more.
    pub fn parts(&mut self, task: TaskId) -> Option<Parts<'_>> {
        let task = self.tasks.get_mut(&task)?;
        let process = self.processes.get(&task.process)?;
        let space = self.spaces.get_mut(process.space?)?;
        Some(Parts {
            cpu: &mut task.cpu,
            memory: &mut space.memory,
            descriptors: DescriptorTables { tls: &task.tls, local: &space.local_descriptors },
            program: &space.program,
        })
    }

    /// The number of a process's address space; `None` once it has ended.
    #[must_use]
    pub fn space_of(&self, process: ProcessId) -> Option<SpaceId> {
        self.spaces.get(self.processes.get(&process)?.space?).map(|space| space.id)
    }

    /// Accounts for instructions that `task` has executed.
    pub fn retire(&mut self, id: TaskId, executed: u64) {
        self.time.retire(executed);
        self.scheduler.retire(id, executed);
        if let Some(task) = self.tasks.get_mut(&id) {
            task.instructions = task.instructions.wrapping_add(executed);
            let process = task.process;
            self.fire_processor_timers(process);
        }
    }

    /// Runs the system call that `task` asks for (`int 0x80`: number in EAX, arguments in EBX, ECX,
    /// EDX, ESI, EDI and EBP; EIP behind the instruction). Its result is in EAX when
    /// [`schedule`](Self::schedule) names the task again.
    pub fn system_call(&mut self, id: TaskId) {
        self.begin_call(id);
    }

    /// Turns an exception other than #PF into the signal that Linux makes of it. The registers must
    /// be those of the exception: EIP of the instruction for a fault, behind it for a trap.
    pub fn exception(&mut self, task: TaskId, exception: Exception, error_code: u32) {
        self.take_exception(task, exception, error_code);
    }

    /// Serves an access that the memory of `task` refused: the page appears, or a signal is sent. EIP
    /// must be that of the instruction, which has changed nothing.
    pub fn page_fault(&mut self, task: TaskId, fault: Fault) {
        self.serve_fault(task, fault);
    }

    /// The address spaces that have ended since the last call: their numbers never come again, so an
    /// engine can drop what it keeps for them.
    pub fn take_ended_spaces(&mut self) -> Vec<SpaceId> {
        std::mem::take(&mut self.ended_spaces)
    }

    /// Remembers the machine: tasks, memory, files, and everything else that is inside. Snapshots nest;
    /// one costs as much as there are tasks, open files and pages written since the one before, and
    /// neither pages that are mapped nor files that are there cost anything, except that the content of
    /// shared mappings is copied.
    ///
    /// What is the host's is not in it. Output that has been written stays written; input that was read is
    /// read again, from the machine's own memory of it; connections to the host's network go on if they are
    /// there and are reset if not; folders that are really written stay as they are; the host's clock goes on.
    pub fn snapshot(&mut self) -> KernelSnapshot {
        self.take_snapshot()
    }

    /// Makes everything what it was at `snapshot`, which stays, to be restored again; snapshots taken
    /// after it are gone.
    ///
    /// # Errors
    /// [`RestoreError::NoSuchSnapshot`], with nothing changed; [`RestoreError::OutOfMemory`] where the
    /// content of shared mappings cannot be put back.
    pub fn restore(&mut self, snapshot: &KernelSnapshot) -> Result<(), RestoreError> {
        self.go_back_to(snapshot)
    }

    /// Forgets `snapshot` alone; those before and after it can still be restored.
    ///
    /// # Errors
    /// [`RestoreError::NoSuchSnapshot`].
    pub fn forget(&mut self, snapshot: &KernelSnapshot) -> Result<(), RestoreError> {
        self.forget_snapshot(snapshot)
    }

    /// Whether the kernel keeps [events](Self::take_events), of which the host then has to take note.
    pub fn keep_events(&mut self, keep: bool) {
        if keep != self.events.is_some() {
            self.events = keep.then(Vec::new);
        }
    }

    /// What has happened since the last call, oldest first, if [events are kept](Self::keep_events).
    pub fn take_events(&mut self) -> Vec<KernelEvent> {
        self.events.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Tells the host of an event, if it wants to know.
    pub(crate) fn tell(&mut self, event: impl FnOnce() -> KernelEvent) {
        if let Some(events) = &mut self.events {
            events.push(event());
        }
    }

    /// Brings in the page that an access needs which the memory of `task` refused, and says whether it may
    /// start again. If not, nothing has happened: [`page_fault`](Self::page_fault) makes a signal of it.
    pub fn resolve_fault(&mut self, task: TaskId, fault: Fault) -> bool {
        self.tasks.contains_key(&task) && self.space(task).resolve(fault).is_ok()
    }

    /// How often each system call was called that is not implemented, by number.
    #[must_use]
    pub const fn unimplemented_calls(&self) -> &BTreeMap<u32, u64> {
        &self.unimplemented
    }

    /// The content of the regular file at an absolute path of the guest: at most the first `limit`
    /// bytes, whatever rights the guest's users have to it.
    ///
    /// # Errors
    /// [`Error::Open`] with ENOENT, or EINVAL where it is no regular file.
    pub fn read_file(&mut self, path: &[u8], limit: usize) -> Result<Vec<u8>, Error> {
        let now = self.file_time();
        self.fs.vfs.read_whole(path, limit, now).map_err(|errno| Error::opening(path, errno))
    }

    /// What the guest has changed on the mount at `path` (all of it for a file system in memory), as
    /// a tar file: POSIX ustar, with removed names as container images have them.
    ///
    /// # Errors
    /// [`Error::Mount`] with EINVAL where nothing is mounted at `path`, or EOPNOTSUPP for a folder
    /// that is really written.
    pub fn save_changes(&mut self, path: &[u8]) -> Result<Vec<u8>, Error> {
        let now = self.file_time();
        self.fs.vfs.save(path, now).map_err(|errno| Error::providing(path, errno))
    }

    /// What the guest has changed on all mounts that are copied on write, as one tar file in the form
    /// of [`save_changes`](Self::save_changes). Its paths are the guest's, without the slash at their
    /// start, so that it can be unpacked over the guest's root.
    ///
    /// # Errors
    /// [`Error::Mount`] with what the host says where a folder can no longer be read.
    pub fn save_overlays(&mut self) -> Result<Vec<u8>, Error> {
        self.fs.vfs.save_overlays().map_err(|errno| Error::Mount { path: "/".into(), errno })
    }

    /// How many files the guest has made, written, changed or removed on the mount at `path`;
    /// directories are not counted.
    ///
    /// # Errors
    /// As [`save_changes`](Self::save_changes).
    pub fn count_changes(&mut self, path: &[u8]) -> Result<u64, Error> {
        let now = self.file_time();
        self.fs.vfs.count_changes(path, now).map_err(|errno| Error::providing(path, errno))
    }
}
