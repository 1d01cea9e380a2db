//! The kernel of one machine: what a host calls.

use std::collections::{BTreeMap, VecDeque};

use pentimento_memory::{AddressSpace, PAGE_SIZE, Permissions};
use pentimento_registers::{CpuState, Descriptor, Gpr};

use crate::arena::Arena;
use crate::config::{Config, Limits};
use crate::fs;
use crate::loader::{self, Arguments, Program, Surroundings};
use crate::random::Random;
use crate::space::{Area, Backing, Space, SpaceId, page_align};
use crate::syscalls::table;
use crate::task::{Credentials, Process, ProcessId, TLS_ENTRIES, Task, TaskId, TaskState};
use crate::time::Timekeeper;
use crate::user_memory::UserMemory;
use crate::wait::{Channel, Failure, PendingCall, Wait};
use crate::{Errno, Error, host};

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Termination {
    /// It called exit(2) with this status.
    Exited(u8),
    /// A signal killed it: its number, 1 to 64.
    Killed(u8),
}

/// What the host does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Run `task` in its memory for at most `quantum` instructions.
    Run {
        /// Who.
        task: TaskId,
        /// The number of its address space.
        space: SpaceId,
        /// Instructions, at least 1.
        quantum: u64,
    },
    /// The first process ended, and the machine with it.
    Finished(Termination),
    /// Every task waits for something that cannot happen.
    Deadlock,
}

/// An exception that the processor raised (SDM volume 3, chapter 6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CpuException {
    /// Its vector.
    pub vector: u8,
    /// Its error code, 0 if it has none.
    pub error_code: u32,
    /// The address that could not be accessed, for #PF.
    pub address: u32,
    /// The instruction that raised it; for a trap the one after.
    pub eip: u32,
}

/// What running a task needs.
pub struct Parts<'a> {
    /// Its registers.
    pub cpu: &'a mut CpuState,
    /// Its memory.
    pub memory: &'a mut AddressSpace,
    /// The segment descriptors that it can load.
    pub descriptors: DescriptorTables<'a>,
}

/// The descriptors that segment loads find.
#[derive(Clone, Copy, Debug)]
pub struct DescriptorTables<'a> {
    tls: &'a [Option<Descriptor>; TLS_ENTRIES],
    local: &'a BTreeMap<u16, Descriptor>,
}

impl DescriptorTables<'_> {
    /// First TLS entry of the global table under a 64-bit kernel (set_thread_area(2)).
    pub(crate) const TLS_FIRST: u16 = 12;

    /// The entries of the global table that hold TLS descriptors.
    #[must_use]
    pub fn tls_indices(&self) -> core::ops::Range<u16> {
        Self::TLS_FIRST..Self::TLS_FIRST + TLS_ENTRIES as u16
    }

    /// The descriptor that `selector` names, or `None` where loading it raises #GP: flat code and
    /// data, the task's TLS entries, and the process's local table.
    #[must_use]
    pub fn descriptor(&self, selector: u16) -> Option<Descriptor> {
        let index = selector >> 3;
        if selector & 4 != 0 {
            return self.local.get(&index).copied();
        }
        match index {
            _ if index == CpuState::USER_CS >> 3 => Some(Descriptor::FLAT_CODE),
            _ if index == CpuState::USER_DS >> 3 => Some(Descriptor::FLAT_DATA),
            _ => *self.tls.get(usize::from(index.checked_sub(Self::TLS_FIRST)?))?,
        }
    }
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
    pub(crate) hardware_capabilities: u32,
    quanta: core::ops::RangeInclusive<u64>,
    pub(crate) random: Random,
    pub(crate) time: Timekeeper,
    pub(crate) tasks: BTreeMap<TaskId, Task>,
    pub(crate) processes: BTreeMap<ProcessId, Process>,
    pub(crate) spaces: Arena<Space>,
    pub(crate) files: Arena<fs::Descriptors>,
    pub(crate) locations: Arena<fs::Location>,
    pub(crate) fs: fs::FileSystem,
    queue: VecDeque<TaskId>,
    /// Who runs, and how many instructions of its quantum are left.
    current: Option<(TaskId, u64)>,
    next_number: u32,
    next_space: u32,
    /// The process whose end is the machine's.
    first: Option<ProcessId>,
    /// Calls of each number that has no handler.
    pub(crate) unimplemented: BTreeMap<u32, u64>,
    no_local_descriptors: BTreeMap<u16, Descriptor>,
}

/// The first process's number: low enough to look usual, and not 1, which signals treat specially.
const FIRST_PROCESS: u32 = 1000;

impl Kernel {
    /// A machine without processes.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let streams = fs::Streams::new(config.input, config.output, config.error, config.limits.output);
        let mut time = Timekeeper::new(config.time, config.clock);
        let fs = fs::FileSystem::for_machine(streams, config.seed, &config.limits, time.realtime());
        Self {
            host: HostSide { entropy: config.entropy, trace: config.trace },
            limits: config.limits,
            randomize: config.randomize_addresses,
            hardware_capabilities: config.hardware_capabilities,
            quanta: config.quantum,
            random: Random::new(config.seed),
            time,
            tasks: BTreeMap::new(),
            processes: BTreeMap::new(),
            spaces: Arena::default(),
            files: Arena::default(),
            locations: Arena::default(),
            fs,
            queue: VecDeque::new(),
            current: None,
            next_number: FIRST_PROCESS,
            next_space: 0,
            first: None,
            unimplemented: BTreeMap::new(),
            no_local_descriptors: BTreeMap::new(),
        }
    }

    /// Starts the program at `path` of the guest's file system as a new process with its standard
    /// streams connected. The first one spawned is the one whose end is the machine's.
    ///
    /// # Errors
    /// [`Error::Open`] if it or its interpreter cannot be read, [`Error::Load`] if it cannot be run.
    pub fn spawn(&mut self, path: &[u8], argv: &[&[u8]], envp: &[&[u8]]) -> Result<ProcessId, Error> {
        let name = || String::from_utf8_lossy(path).into_owned();
        let (path, file) = self.read_program(path).map_err(|errno| Error::Open { path: name(), errno })?;
        self.spawn_image(&path, &file, argv, envp)
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
        let copy = |texts: &[&[u8]]| texts.iter().map(|text| text.to_vec()).collect();
        let arguments = Arguments { argv: copy(argv), envp: copy(envp) };
        let program = Program { path: path.to_vec(), file: file.to_vec(), interpreter: None };
        let (space, cpu) = self
            .load(&program, &arguments, [0; 4])
            .map_err(|source| Error::Load { path: String::from_utf8_lossy(path).into_owned(), source })?;
        Ok(self.add_first_process(space, cpu, path))
    }

    /// Starts raw machine code as a new process: `length` bytes of memory at `base` that allow
    /// everything, `code` at its start, EIP there, and ESP behind its end.
    ///
    /// # Errors
    /// [`Error::Place`].
    pub fn spawn_code(&mut self, base: u32, code: &[u8], length: u32) -> Result<ProcessId, Error> {
        let refuse = |errno| Error::Place { base, length, errno };
        let pages = page_align(length).ok_or(refuse(Errno::ENOMEM))?;
        if base % PAGE_SIZE != 0 || code.len() as u64 > u64::from(pages) {
            return Err(refuse(Errno::EINVAL));
        }
        let mut space = self.new_space();
        space.map(base, pages, Area::private(Permissions::all(), Backing::Anonymous)).map_err(refuse)?;
        space.memory.poke_bytes(base, code).map_err(|_| refuse(Errno::ENOMEM))?;
        let mut cpu = CpuState::new();
        cpu.eip = base;
        cpu.set_gpr(Gpr::Esp, base.wrapping_add(pages));
        Ok(self.add_first_process(space, cpu, b"code"))
    }

    fn new_space(&mut self) -> Space {
        let id = SpaceId(self.next_space);
        self.next_space = self.next_space.wrapping_add(1);
        Space::new(id, self.limits.memory, self.limits.stack)
    }

    /// Loads a program into a new address space.
    fn load(
        &mut self,
        program: &Program,
        arguments: &Arguments,
        ids: [u32; 4],
    ) -> Result<(Space, CpuState), loader::LoadError> {
        let mut space = self.new_space();
        let surroundings = Surroundings {
            randomize: self.randomize,
            hardware_capabilities: self.hardware_capabilities,
            ids,
        };
        let cpu = loader::load(&mut space, program, arguments, surroundings, &mut self.random)?;
        Ok((space, cpu))
    }

    fn add_first_process(&mut self, space: Space, cpu: CpuState, path: &[u8]) -> ProcessId {
        let number = self.next_number;
        self.next_number += 1;
        let (process, task) = (ProcessId(number), TaskId(number));
        let space = self.spaces.insert(space);
        let files = {
            let now = self.file_time();
            let descriptors = self.fs.standard_descriptors(now);
            self.files.insert(descriptors)
        };
        let location = self.locations.insert(fs::Location::default());
        self.processes.insert(
            process,
            Process {
                parent: ProcessId(1),
                group: process,
                session: process,
                space,
                threads: vec![task],
                children: Vec::new(),
                ended: None,
                credentials: Credentials::default(),
                executable: path.to_vec(),
            },
        );
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        self.tasks.insert(
            task,
            Task {
                process,
                cpu,
                state: TaskState::Runnable,
                call: None,
                files,
                location,
                tls: [None; TLS_ENTRIES],
                clear_child_tid: 0,
                robust_list: 0,
                name: name[..name.len().min(15)].to_vec(),
                instructions: 0,
            },
        );
        self.queue.push_back(task);
        self.first.get_or_insert(process);
        process
    }

    /// Decides who runs next: finishes calls that can be finished, and lets time pass while nobody can run.
    pub fn schedule(&mut self) -> Next {
        loop {
            if let Some(ended) = self.first.and_then(|first| self.processes.get(&first)?.ended) {
                return Next::Finished(ended);
            }
            let Some((task, quantum)) = self.pick() else {
                if self.idle() {
                    continue;
                }
                return Next::Deadlock;
            };
            if self.tasks.get(&task).is_some_and(|task| task.call.is_some()) {
                self.run_call(task);
                continue;
            }
            let Some(space) = self.space_of(task) else { continue };
            return Next::Run { task, space, quantum };
        }
    }

    /// The task whose turn it is, with what is left of its quantum.
    fn pick(&mut self) -> Option<(TaskId, u64)> {
        if let Some((task, left)) = self.current
            && left > 0
            && self.is_runnable(task)
        {
            return Some((task, left));
        }
        if let Some((task, _)) = self.current.take()
            && self.tasks.contains_key(&task)
        {
            self.queue.push_back(task);
        }
        for _ in 0..self.queue.len() {
            let task = self.queue.pop_front()?;
            if self.is_runnable(task) {
                let (low, high) = (*self.quanta.start(), *self.quanta.end());
                let quantum = low.max(1) + self.random.below(high.saturating_sub(low).saturating_add(1));
                self.current = Some((task, quantum));
                return self.current;
            }
            if self.tasks.contains_key(&task) {
                self.queue.push_back(task);
            }
        }
        None
    }

    fn is_runnable(&self, task: TaskId) -> bool {
        self.tasks.get(&task).is_some_and(|task| task.state == TaskState::Runnable)
    }

    /// Lets time pass until somebody can run; `false` if nobody ever will.
    fn idle(&mut self) -> bool {
        let deadlines = self.tasks.values().filter_map(|task| match &task.state {
            TaskState::Blocked(wait) => wait.deadline,
            _ => None,
        });
        let Some(deadline) = deadlines.min() else { return false };
        self.time.wait_until(deadline);
        let now = self.time.monotonic();
        for task in self.tasks.values_mut() {
            if matches!(&task.state, TaskState::Blocked(Wait { deadline: Some(at), .. }) if *at <= now) {
                task.state = TaskState::Runnable;
            }
        }
        true
    }

    /// Wakes everyone who waits for `channel`.
    pub(crate) fn wake(&mut self, channel: Channel) {
        for task in self.tasks.values_mut() {
            if matches!(&task.state, TaskState::Blocked(wait) if wait.channels.contains(&channel)) {
                task.state = TaskState::Runnable;
            }
        }
    }

    fn space_of(&self, task: TaskId) -> Option<SpaceId> {
        let process = self.processes.get(&self.tasks.get(&task)?.process)?;
        self.spaces.get(process.space).map(|space| space.id)
    }

    /// The task that would run first, before anything has run.
    #[must_use]
    pub fn first_task(&self) -> Option<TaskId> {
        self.queue.front().copied()
    }

    /// What running `task` needs, or `None` if there is no such task any more.
    pub fn parts(&mut self, task: TaskId) -> Option<Parts<'_>> {
        let task = self.tasks.get_mut(&task)?;
        let process = self.processes.get(&task.process)?;
        let space = self.spaces.get_mut(process.space)?;
        Some(Parts {
            cpu: &mut task.cpu,
            memory: &mut space.memory,
            descriptors: DescriptorTables { tls: &task.tls, local: &self.no_local_descriptors },
        })
    }

    /// Accounts for instructions that `task` has executed.
    pub fn retire(&mut self, task: TaskId, executed: u64) {
        self.time.retire(executed);
        if let Some(task) = self.tasks.get_mut(&task) {
            task.instructions = task.instructions.wrapping_add(executed);
        }
        if let Some((current, left)) = &mut self.current
            && *current == task
        {
            *left = left.saturating_sub(executed);
        }
    }

    /// Runs the system call that `task` asks for (`int 0x80`: number in EAX, arguments in EBX, ECX,
    /// EDX, ESI, EDI and EBP). Its result is in EAX when [`schedule`](Self::schedule) names the task again.
    pub fn system_call(&mut self, task: TaskId) {
        let Some(state) = self.tasks.get_mut(&task) else { return };
        let register = |gpr| state.cpu.gpr(gpr);
        let arguments = [Gpr::Ebx, Gpr::Ecx, Gpr::Edx, Gpr::Esi, Gpr::Edi, Gpr::Ebp].map(register);
        let number = register(Gpr::Eax);
        state.call = Some(PendingCall { number, arguments, ..PendingCall::default() });
        self.run_call(task);
    }

    /// Runs the pending call of `task` once.
    fn run_call(&mut self, id: TaskId) {
        let Some(call) = self.tasks.get(&id).and_then(|task| task.call.clone()) else { return };
        let outcome = match table::find(call.number).and_then(|row| row.handler) {
            Some(handler) => handler(self, id, call.arguments),
            None => self.report_unimplemented(call.number),
        };
        self.wake_files();
        let Some(task) = self.tasks.get_mut(&id) else { return };
        match outcome {
            Ok(value) => {
                task.cpu.set_gpr(Gpr::Eax, value);
                task.call = None;
            }
            Err(Failure::Errno(errno)) => {
                task.cpu.set_gpr(Gpr::Eax, errno.to_register());
                task.call = None;
            }
            Err(Failure::Block(wait)) => task.state = TaskState::Blocked(wait),
            Err(Failure::NoReturn) => task.call = None,
        }
    }

    fn report_unimplemented(&mut self, number: u32) -> crate::wait::Outcome {
        let count = self.unimplemented.entry(number.min(0xffff)).or_default();
        *count += 1;
        if *count == 1
            && let Some(trace) = &mut self.host.trace
        {
            trace.unimplemented(number, table::find(number).map_or("unknown", |row| row.name));
        }
        Err(Errno::ENOSYS.into())
    }

    /// Turns an exception into what Linux makes of it: a page that appears on demand, or a signal.
    pub fn fault(&mut self, task: TaskId, exception: CpuException) {
        let signal = match exception.vector {
            0 | 16 | 19 => 8,
            1 | 3 => 5,
            6 => 4,
            17 => 7,
            _ => 11,
        };
        self.end_process(task, Termination::Killed(signal));
    }

    /// Wakes everyone who waits for a file that something has happened to.
    pub(crate) fn wake_files(&mut self) {
        for channel in self.fs.take_woken() {
            self.wake(channel);
        }
    }

    /// The memory of `task`.
    pub(crate) fn user(&mut self, task: TaskId) -> UserMemory<'_> {
        let process = &self.processes[&self.tasks[&task].process];
        UserMemory::new(&mut self.spaces[process.space])
    }

    /// Ends the process of `task`.
    pub(crate) fn end_process(&mut self, task: TaskId, how: Termination) {
        let Some(task) = self.tasks.get(&task) else { return };
        let Some(process) = self.processes.get_mut(&task.process) else { return };
        process.ended = Some(how);
        for thread in core::mem::take(&mut process.threads) {
            self.tasks.remove(&thread);
        }
    }
}
