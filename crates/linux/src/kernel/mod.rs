//! The kernel of one machine: what a host calls.

use std::collections::BTreeMap;
use std::time::Duration;

use pentimento_memory::{AddressSpace, FrameSource};
use pentimento_registers::{CpuState, DescriptorTables, Segment};

use crate::arena::{Arena, Id};
use crate::config::{Config, Limits, PROCESSOR};
use crate::errno::Errno;
use crate::futex::Futexes;
use crate::host;
use crate::ids::{Crash, ProcessId, TaskId, Termination};
use crate::objects::{FileDescriptors, Files, Streams};
use crate::processor::Cpuid;
use crate::random::Random;
use crate::scheduler::Scheduler;
use crate::signal::Actions;
use crate::space::{Space, SpaceId};
use crate::task::{Process, Task};
use crate::time::Timekeeper;
use crate::user_memory::UserMemory;
use crate::vfs::{Location, Owner};

mod delivery;
mod fault;
mod files;
mod futexes;
mod lifecycle;
mod scheduling;
mod timers;

pub(crate) use files::read_executable;

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
    /// could keep [`Kernel::schedule`] busy for ever otherwise.
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
    pub(crate) randomize: bool,
    /// The processor that programs are told of.
    pub(crate) cpuid: Cpuid,
    /// User and group of processes that nobody forked.
    pub(crate) identity: (u32, u32),
    pub(crate) random: Random,
    pub(crate) time: Timekeeper,
    pub(crate) scheduler: Scheduler,
    pub(crate) tasks: BTreeMap<TaskId, Task>,
    pub(crate) processes: BTreeMap<ProcessId, Process>,
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
    /// Calls of each number that has no handler.
    pub(crate) unimplemented: BTreeMap<u32, u64>,
}

/// The number before the first process's: low enough to look usual, and not 1, which signals treat specially.
const FIRST_NUMBER: u32 = 999;

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
        Self {
            host: HostSide { entropy: config.entropy, trace: config.trace },
            limits: config.limits,
            randomize: config.randomize_addresses,
            cpuid: config.cpuid,
            identity: config.identity,
            random: Random::new(config.seed),
            time,
            scheduler: Scheduler::new(config.quantum),
            tasks: BTreeMap::new(),
            processes: BTreeMap::new(),
            spaces: Arena::default(),
            frames: FrameSource::new(),
            ended_spaces: Vec::new(),
            actions: Arena::default(),
            files: Arena::default(),
            locations: Arena::default(),
            fs,
            futexes: Futexes::default(),
            active_space: None,
            last_number: FIRST_NUMBER,
            next_space: 0,
            next_object: 0,
            first: None,
            crash: None,
            host_name: b"pentimento".to_vec(),
            domain_name: b"(none)".to_vec(),
            unimplemented: BTreeMap::new(),
        }
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

    /// The tasks of all processes, by number.
    pub fn tasks(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.tasks.keys().copied()
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

    /// The address spaces that have ended since the last call: their numbers never come again, so an
    /// engine can drop what it keeps for them.
    pub fn take_ended_spaces(&mut self) -> Vec<SpaceId> {
        std::mem::take(&mut self.ended_spaces)
    }

    /// How often each system call was called that is not implemented, by number.
    #[must_use]
    pub const fn unimplemented_calls(&self) -> &BTreeMap<u32, u64> {
        &self.unimplemented
    }

    /// The memory of `task`.
    pub(crate) fn user(&mut self, task: TaskId) -> UserMemory<'_> {
        UserMemory::new(self.space(task))
    }

    /// The address space of `task`, which becomes the one in use.
    pub(crate) fn space(&mut self, task: TaskId) -> &mut Space {
        match self.processes[&self.tasks[&task].process].space {
            Some(space) => {
                self.use_space(space);
                &mut self.spaces[space]
            }
            None => unreachable!("a task outlived its process's memory"),
        }
    }

    /// Makes a space the one in use: the shared objects that another one has accessed are given back.
    fn use_space(&mut self, space: Id<Space>) {
        if self.active_space != Some(space) {
            self.release_shared();
            self.active_space = Some(space);
        }
    }

    /// Gives back the shared objects that the space in use has accessed, so that files can use them.
    pub(crate) fn release_shared(&mut self) {
        if let Some(active) = self.active_space.and_then(|active| self.spaces.get_mut(active)) {
            active.memory.release_shared();
        }
    }

    /// The process of `task`.
    pub(crate) fn process(&mut self, task: TaskId) -> &mut Process {
        let id = self.tasks[&task].process;
        match self.processes.get_mut(&id) {
            Some(process) => process,
            None => unreachable!("a task outlived its process"),
        }
    }

    /// A task that lives: one whose system call is being handled.
    pub(crate) fn task(&mut self, id: TaskId) -> &mut Task {
        match self.tasks.get_mut(&id) {
            Some(task) => task,
            None => unreachable!("{id:?} called the kernel after its end"),
        }
    }

    /// A number that nothing else gets.
    pub(crate) const fn new_object(&mut self) -> u64 {
        self.next_object += 1;
        self.next_object
    }

    /// Random bytes for the guest: the host's if it grants them, else the seed's.
    pub(crate) fn fill_random(&mut self, buffer: &mut [u8]) {
        match &mut self.host.entropy {
            Some(entropy) => entropy.fill(buffer),
            None => self.random.fill(buffer),
        }
    }

    /// A number for a new process or task, which no process, group or session has (pid_max is 32768).
    ///
    /// # Errors
    /// EAGAIN if there are too many.
    pub(crate) fn new_number(&mut self) -> Result<u32, Errno> {
        if self.tasks.len() >= self.limits.tasks as usize {
            return Err(Errno::EAGAIN);
        }
        for _ in 0..32768 {
            self.last_number = if self.last_number >= 32767 { 300 } else { self.last_number + 1 };
            let number = ProcessId(self.last_number);
            let taken = self.tasks.contains_key(&TaskId(self.last_number))
                || self.processes.contains_key(&number)
                || self
                    .processes
                    .values()
                    .any(|process| process.group == number || process.session == number);
            if !taken {
                return Ok(self.last_number);
            }
        }
        Err(Errno::EAGAIN)
    }

    /// Makes the memory of `task` the one in use, and names it.
    pub(crate) fn switch_to(&mut self, task: TaskId) -> Option<SpaceId> {
        let process = self.processes.get(&self.tasks.get(&task)?.process)?;
        let space = process.space?;
        self.use_space(space);
        self.spaces.get(space).map(|space| space.id)
    }

    /// Reloads the descriptors of `task`'s data segments after a table has changed.
    pub(crate) fn refresh_segments(&mut self, id: TaskId) {
        use pentimento_registers::SegmentRegister::{Ds, Es, Fs, Gs};
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let Some(process) = self.processes.get(&task.process) else { return };
        let Some(space) = process.space.and_then(|space| self.spaces.get(space)) else { return };
        let tables = DescriptorTables { tls: &task.tls, local: &space.local_descriptors };
        for register in [Ds, Es, Fs, Gs] {
            let segment = task.cpu.segment_mut(register);
            if segment.selector & !3 != 0 {
                *segment = Segment::new(segment.selector, tables.get(segment.selector, PROCESSOR));
            }
        }
    }
}
