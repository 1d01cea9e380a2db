//! Processes and threads from start to end.

use pentimento_memory::{PAGE_SIZE, Permissions};
use pentimento_registers::{CpuState, Gpr, TlsDescriptors};

use super::Kernel;
use crate::errno::Errno;
use crate::error::Error;
use crate::event::KernelEvent;
use crate::futex::Key;
use crate::ids::{ProcessId, TaskId, Termination};
use crate::loader;
use crate::loader::Arguments;
use crate::loader::LoadError;
use crate::loader::{MachineFacts, Program};
use crate::objects::FileDescriptors;
use crate::resource::{Limit, Resource, ResourceLimits};
use crate::seccomp::Seccomp;
use crate::signal::{Actions, AlternateStack, Info, PendingSignals, Signal, SignalSet, code, flag};
use crate::space::{Area, AreaSource};
use crate::space::{Space, SpaceId, TASK_SIZE, TASK_SIZE_3GB, page_align};
use crate::task::{Attributes, ChildEvent, Credentials, OomAdjustment, Process, Task, TaskState, Transfers};
use crate::timer::Timers;
use crate::vfs::Location;
use crate::vfs::LockOwner;
use crate::wait::Channel;

/// The parent of processes that have none: the kernel itself, which reaps them.
pub(crate) const REAPER: ProcessId = ProcessId(1);

/// Scripts may name scripts as their interpreters this often.
const MAX_SCRIPTS: usize = 5;

/// How long the first line of a script may be (BINPRM_BUF_SIZE).
const SCRIPT_LINE: usize = 256;

impl Kernel {
    pub(super) fn spawn_file(
        &mut self,
        path: &[u8],
        file: loader::File,
        argv: &[&[u8]],
        envp: &[&[u8]],
    ) -> Result<ProcessId, Error> {
        let copy = |texts: &[&[u8]]| texts.iter().map(|text| text.to_vec()).collect();
        let arguments = Arguments { argv: copy(argv), envp: copy(envp) };
        let program = Program { path: path.to_vec(), file, ..Program::default() };
        let loaded = self.resolve_program(None, program, arguments).and_then(|(program, arguments)| {
            let (space, cpu) = self.load(None, &program, &arguments)?;
            Ok((space, cpu, program))
        });
        let (space, cpu, program) = loaded
            .map_err(|source| Error::Load { path: String::from_utf8_lossy(path).into_owned(), source })?;
        self.add_process(space, cpu, &program).map_err(|errno| Error::opening(path, errno))
    }

    /// Follows `#!` lines to the program that is really run, and reads its interpreter (execve(2),
    /// "Interpreter scripts").
    pub(crate) fn resolve_program(
        &mut self,
        caller: Option<TaskId>,
        mut program: Program,
        mut arguments: Arguments,
    ) -> Result<(Program, Arguments), LoadError> {
        for _ in 0..MAX_SCRIPTS {
            let Some((interpreter, argument)) = script_interpreter(program.file.head())? else {
                self.read_interpreter(caller, &mut program)?;
                return Ok((program, arguments));
            };
            let script = core::mem::take(&mut program.path);
            let mut argv = vec![interpreter.clone()];
            argv.extend(argument);
            argv.push(script);
            argv.extend(arguments.argv.into_iter().skip(1));
            arguments.argv = argv;
            let (executable, file) = self.read_interpreter_file(caller, &interpreter)?;
            program = Program { path: interpreter, file, executable, interpreter: None };
        }
        Err(LoadError::TooDeep)
    }

    fn read_interpreter(&mut self, caller: Option<TaskId>, program: &mut Program) -> Result<(), LoadError> {
        if program.executable.is_empty() {
            program.executable = program.path.clone();
        }
        if let Some(path) = program.interpreter_path()? {
            program.interpreter = Some(self.read_interpreter_file(caller, &path)?.1);
        }
        Ok(())
    }

    fn read_interpreter_file(
        &mut self,
        caller: Option<TaskId>,
        path: &[u8],
    ) -> Result<(Vec<u8>, loader::File), LoadError> {
        self.read_program(caller, path).map_err(|errno| LoadError::Interpreter {
            path: String::from_utf8_lossy(path).into_owned(),
            errno,
        })
    }

    /// [`Self::spawn_code`].
    pub(super) fn start_code(&mut self, base: u32, code: &[u8], length: u32) -> Result<ProcessId, Error> {
        let refuse = |errno| Error::Place { base, length, errno };
        let pages = page_align(length).ok_or(refuse(Errno::ENOMEM))?;
        if !base.is_multiple_of(PAGE_SIZE) || code.len() as u64 > u64::from(pages) {
            return Err(refuse(Errno::EINVAL));
        }
        let id = self.new_space_number();
        let mut space = Space::new(id, &self.frames, (self.limits.memory, self.limits.stack), TASK_SIZE)
            .map_err(refuse)?;
        space.map(base, pages, Area::private(Permissions::all(), AreaSource::Anonymous)).map_err(refuse)?;
        space.memory.poke_bytes(base, code).map_err(|_| refuse(Errno::ENOMEM))?;
        let mut cpu = CpuState::new();
        cpu.eip = base;
        cpu.set_gpr(Gpr::Esp, base.wrapping_add(pages));
        let program = Program { path: b"code".to_vec(), executable: b"code".to_vec(), ..Program::default() };
        self.add_process(space, cpu, &program).map_err(refuse)
    }

    /// Loads a program into a new address space, for the process of `caller` if it replaces one.
    pub(crate) fn load(
        &mut self,
        caller: Option<TaskId>,
        program: &Program,
        arguments: &Arguments,
    ) -> Result<(Space, CpuState), LoadError> {
        const ADDR_NO_RANDOMIZE: u32 = 0x004_0000;
        const READ_IMPLIES_EXEC: u32 = 0x040_0000;
        const ADDR_LIMIT_3GB: u32 = 0x800_0000;
        const EDX: usize = 3;
        let (mut memory, mut stack, mut personality) = (self.limits.memory, self.limits.stack, 0);
        let mut data = u64::MAX;
        let (user, group) = self.identity;
        let mut ids = [user, user, group, group];
        if let Some(caller) = caller {
            let process = self.process(caller);
            let credentials = &process.credentials;
            ids = [credentials.uid, credentials.euid, credentials.gid, credentials.egid];
            personality = process.personality;
            let limits = process.limits;
            memory = memory.min(limits[Resource::As].soft);
            stack = u32::try_from(limits[Resource::Stack].soft).unwrap_or(u32::MAX);
            data = limits[Resource::Data].soft;
        }
        let end = if personality & ADDR_LIMIT_3GB == 0 { TASK_SIZE } else { TASK_SIZE_3GB };
        let space = Space::new(self.new_space_number(), &self.frames, (memory, stack), end);
        let mut space = space.map_err(|_| LoadError::Memory)?;
        space.data_limit = data;
        space.read_implies_exec = personality & READ_IMPLIES_EXEC != 0;
        let surroundings = MachineFacts {
            placement: self.placement.clone().filter(|_| personality & ADDR_NO_RANDOMIZE == 0),
            hardware_capabilities: (self.cpuid)(1, 0)[EDX],
            ids,
        };
        let cpu = loader::load(&mut space, program, arguments, surroundings, &mut self.random)?;
        Ok((space, cpu))
    }

    /// A number that no address space has had.
    pub(crate) fn new_space_number(&mut self) -> SpaceId {
        let id = SpaceId(self.next_space);
        self.next_space = self.next_space.wrapping_add(1);
        id
    }

    /// Adds a process that nobody forked.
    fn add_process(&mut self, space: Space, cpu: CpuState, program: &Program) -> Result<ProcessId, Errno> {
        let number = self.new_number()?;
        let (id, task) = (ProcessId(number), TaskId(number));
        let now = self.file_time();
        let descriptors = self.fs.standard_descriptors(now);
        let files = self.files.insert(descriptors);
        let location = self.locations.insert(Location::default());
        let process = Process {
            serial: self.new_object(),
            parent: REAPER,
            group: id,
            session: id,
            space: Some(self.spaces.insert(space)),
            threads: vec![task],
            children: Vec::new(),
            ended: None,
            leader_status: None,
            event: None,
            stopped: false,
            exit_signal: None,
            tracees: Vec::new(),
            ended_tracees: Vec::new(),
            tracer: None,
            has_executed: true,
            credentials: Credentials::of(self.identity),
            executable: program.executable.clone(),
            actions: self.actions.insert(Actions::default()),
            pending: PendingSignals::default(),
            limits: self.initial_limits(),
            timers: Timers::default(),
            personality: 0,
            oom_adjustment: OomAdjustment::default(),
            transfers: Transfers::default(),
            attributes: Attributes::default(),
            instructions: 0,
            child_instructions: 0,
            started: self.time.monotonic(),
        };
        self.processes.insert(id, process);
        self.tasks.insert(
            task,
            Task {
                process: id,
                cpu,
                state: TaskState::Runnable,
                queued: false,
                call: None,
                files,
                location,
                tls: TlsDescriptors::new(),
                clear_child_tid: 0,
                robust_list: 0,
                name: program.name(),
                instructions: 0,
                seccomp: Seccomp::default(),
                nice: 0,
                mask: SignalSet::default(),
                saved_mask: None,
                awaited: SignalSet::default(),
                pending: PendingSignals::default(),
                alternate_stack: AlternateStack::default(),
                cause: crate::signal::frame::Cause::default(),
                crash: None,
                tracing: None,
            },
        );
        self.make_runnable(task);
        self.first.get_or_insert(id);
        self.tell(|| KernelEvent::ProcessStarted { process: id, parent: None });
        Ok(id)
    }

    /// What getrlimit(2) says at first.
    fn initial_limits(&self) -> ResourceLimits {
        let tasks = Limit::both(u64::from(self.limits.tasks));
        let descriptors = u64::from(self.limits.descriptors);
        let mut limits = ResourceLimits::default();
        limits[Resource::Fsize] = Limit::both(self.limits.file_size);
        limits[Resource::Stack].soft = u64::from(self.limits.stack);
        limits[Resource::Core].soft = 0;
        limits[Resource::Nproc] = tasks;
        limits[Resource::Nofile] = Limit { soft: descriptors.min(1024), hard: descriptors };
        limits[Resource::Memlock] = Limit::both(8 << 20);
        limits[Resource::Sigpending] = tasks;
        limits[Resource::Msgqueue] = Limit::both(819_200);
        limits[Resource::Nice] = Limit::both(0);
        limits[Resource::Rtprio] = Limit::both(0);
        limits
    }

    /// Ends one thread (exit(2)); with the last one its process ends.
    pub(crate) fn end_task(&mut self, id: TaskId, status: u8) {
        let Some(process) = self.tasks.get(&id).map(|task| task.process) else { return };
        let Some(entry) = self.processes.get_mut(&process) else { return };
        if id.0 == process.0 {
            entry.leader_status = Some(status);
        }
        if entry.threads.len() <= 1 {
            let status = entry.leader_status.unwrap_or(status);
            return self.end_process(process, Termination::Exited(status));
        }
        self.end_tracee(id, Termination::Exited(status));
        self.release_task(id);
    }

    /// Takes a task out of the machine and drops what it holds; the process's memory still exists.
    pub(crate) fn release_task(&mut self, id: TaskId) {
        self.release_robust_futexes(id);
        self.clear_child_number(id);
        self.futexes.remove(id);
        self.make_runnable(id);
        let Some(task) = self.tasks.remove(&id) else { return };
        // It may have waited for a semaphore (ipc, semtimedop_time64).
        if task.call.as_ref().is_some_and(|call| matches!(call.number, 117 | 420)) {
            self.ipc.forget_waiter(id);
        }
        if let Some(tracing) = &task.tracing
            && let Some(tracer) = self.processes.get_mut(&tracing.tracer)
        {
            tracer.tracees.retain(|tracee| *tracee != id);
        }
        if let Some(files) = self.files.release(task.files) {
            self.fs.release(files);
            self.wake_files();
        }
        self.locations.release(task.location);
        if let Some(process) = self.processes.get_mut(&task.process) {
            process.threads.retain(|thread| *thread != id);
            process.instructions = process.instructions.wrapping_add(task.instructions);
        }
        self.tell(|| KernelEvent::ThreadEnded { process: task.process, task: id });
    }

    /// Writes 0 where set_tid_address(2) or CLONE_CHILD_CLEARTID says, and wakes who waits for it.
    pub(crate) fn clear_child_number(&mut self, id: TaskId) {
        let task = self.task(id);
        let address = core::mem::take(&mut task.clear_child_tid);
        // Where nobody else can see the memory, nobody can wait.
        if address == 0 || !self.shares_memory(id) {
            return;
        }
        if self.user(id).write(address, 0_u32).is_ok() {
            let space = self.space(id);
            for key in [Key::new(space, address, true), Key::new(space, address, false)] {
                if self.futex_wake(key, 1, u32::MAX) > 0 {
                    break;
                }
            }
        }
    }

    fn shares_memory(&self, id: TaskId) -> bool {
        let process = &self.processes[&self.tasks[&id].process];
        process.threads.len() > 1 || process.space.is_some_and(|space| self.spaces.holders(space) > 1)
    }

    /// Ends a process with all its threads, and tells its parent.
    pub(crate) fn end_process(&mut self, id: ProcessId, how: Termination) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        if process.ended.is_some() {
            return;
        }
        process.ended = Some(how);
        process.event = None;
        process.stopped = false;
        let threads = process.threads.clone();
        self.delete_timers(id);
        self.end_tracer(id);
        for thread in threads {
            self.end_tracee(thread, how);
            self.release_task(thread);
        }
        self.tell(|| KernelEvent::ProcessEnded { process: id, how });
        self.undo_semaphores(id);
        self.release_memory(id);
        self.fs.unlock_all(LockOwner::Process(id.number()), None);
        self.wake_files();
        let Some(process) = self.processes.get_mut(&id) else { return };
        let actions = process.actions;
        let children = core::mem::take(&mut process.children);
        self.actions.release(actions);
        for child in children {
            self.adopt(child, id);
        }
        if !self.tells_tracer_first(id) {
            self.notify_parent(id);
        }
        self.wake(Channel::Exit(id.number()));
    }

    /// Drops a process's hold on its memory, and lets a parent that vfork(2) suspended go on.
    pub(crate) fn release_memory(&mut self, id: ProcessId) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        if let Some(space) = process.space.take() {
            self.drop_space(space);
        }
        self.wake(Channel::Vfork(id));
    }

    /// Gives an orphan to the nearest subreaper above `parent`, or to the kernel.
    fn adopt(&mut self, child: ProcessId, parent: ProcessId) {
        let mut ancestor = self.processes.get(&parent).map_or(REAPER, |process| process.parent);
        while let Some(process) = self.processes.get(&ancestor)
            && (process.attributes.subreaper == 0 || process.ended.is_some())
        {
            ancestor = process.parent;
        }
        let Some(process) = self.processes.get_mut(&child) else { return };
        process.parent = ancestor;
        let (ended, death_signal) = (process.ended.is_some(), process.attributes.death_signal);
        if let Some(reaper) = self.processes.get_mut(&ancestor) {
            reaper.children.push(child);
        }
        if ended {
            self.notify_parent(child);
        } else if let Some(signal) = Signal::new(death_signal) {
            self.signal_process(child, Info::kernel(signal));
        }
    }

    /// Tells the parent of a process that it ended, stopped or went on; reaps it if nobody wants to know.
    pub(crate) fn notify_parent(&mut self, id: ProcessId) {
        let Some(child) = self.processes.get(&id) else { return };
        let (parent, ended, event) = (child.parent, child.ended, child.event);
        let signal = child.exit_signal;
        let Some(actions) = self.processes.get(&parent).filter(|p| p.ended.is_none()).map(|p| p.actions)
        else {
            if ended.is_some() && self.first != Some(id) {
                self.processes.remove(&id);
            }
            return;
        };
        let action = self.actions[actions].get(Signal::CHLD);
        let info = self.child_info(id);
        match (ended, event) {
            (Some(_), _) => {
                if let Some(signal) = signal {
                    self.signal_process(parent, Info { signal, ..info });
                }
                let unwanted =
                    action.handler == crate::signal::Action::IGNORE || action.flags & flag::NOCLDWAIT != 0;
                if signal == Some(Signal::CHLD) && unwanted {
                    self.reap(id);
                }
            }
            (None, Some(_)) if action.flags & flag::NOCLDSTOP == 0 => self.signal_process(parent, info),
            _ => {}
        }
        self.wake(Channel::Child(parent));
    }

    /// The `siginfo_t` of SIGCHLD for a process's last change.
    pub(crate) fn child_info(&self, id: ProcessId) -> Info {
        let Some(child) = self.processes.get(&id) else { return Info::kernel(Signal::CHLD) };
        let (code, status) = match (child.ended, child.event) {
            (Some(Termination::Exited(status)), _) => (code::CLD_EXITED, status),
            (Some(Termination::Killed(signal)), _) => (code::CLD_KILLED, signal),
            (None, Some(ChildEvent::Stopped(signal))) => (code::CLD_STOPPED, signal),
            (None, _) => (code::CLD_CONTINUED, Signal::CONT.number()),
        };
        let ticks = (self.processor_time(id) / 10_000_000) as u32;
        Info {
            signal: Signal::CHLD,
            errno: 0,
            code,
            fields: [id.0, child.credentials.uid, u32::from(status), ticks, 0],
        }
    }

    /// Forgets a process that has ended and whose end was reported.
    pub(crate) fn reap(&mut self, id: ProcessId) {
        if self.first == Some(id) {
            return;
        }
        let Some(child) = self.processes.remove(&id) else { return };
        if let Some(parent) = self.processes.get_mut(&child.parent) {
            parent.children.retain(|other| *other != id);
            parent.child_instructions = parent
                .child_instructions
                .wrapping_add(child.instructions)
                .wrapping_add(child.child_instructions);
        }
    }

    /// Replaces the program of `task`'s process: other threads end, memory and handlers are new.
    pub(crate) fn execute(&mut self, caller: TaskId, space: Space, cpu: CpuState, program: &Program) {
        let id = self.tasks[&caller].process;
        for thread in self.processes[&id].threads.clone() {
            if thread != caller {
                self.release_task(thread);
            }
        }
        self.clear_child_number(caller);
        self.futexes.remove(caller);
        self.release_memory(id);
        let leader = self.rename_to_leader(caller, id);
        self.delete_posix_timers(id);

        let space = self.spaces.insert(space);
        let private = self.actions[self.processes[&id].actions].clone();
        let actions = self.actions.insert(private);
        self.actions[actions].reset_for_exec();
        let process = self.process(leader);
        process.space = Some(space);
        process.executable.clone_from(&program.executable);
        process.has_executed = true;
        process.attributes.dumpable = 1;
        process.attributes.keep_capabilities = 0;
        process.attributes.has_barriers = false;
        let old_actions = core::mem::replace(&mut process.actions, actions);
        self.actions.release(old_actions);

        let task = self.task(leader);
        task.cpu = cpu;
        task.call = None;
        task.tls = TlsDescriptors::new();
        task.robust_list = 0;
        task.alternate_stack = AlternateStack::default();
        task.name = program.name();
        let files = task.files;
        self.own_descriptors(leader, files);
        let files = self.task(leader).files;
        self.fs.close_on_exec(&mut self.files[files]);
        self.tell(|| KernelEvent::Executed { process: id });
        self.trace_execution(leader, caller);
    }

    /// The thread that calls execve takes the number of its process.
    fn rename_to_leader(&mut self, caller: TaskId, process: ProcessId) -> TaskId {
        let leader = TaskId(process.0);
        if caller != leader
            && let Some(mut task) = self.tasks.remove(&caller)
        {
            task.queued = false;
            self.tasks.insert(leader, task);
            self.process(leader).threads = vec![leader];
            self.make_runnable(leader);
        }
        leader
    }

    /// Gives `task` a descriptor table of its own, if it shares `files`.
    pub(crate) fn own_descriptors(&mut self, task: TaskId, files: crate::arena::Id<FileDescriptors>) {
        if self.files.holders(files) > 1 {
            let copy = self.fs.copy(&self.files[files]);
            let own = self.files.insert(copy);
            self.files.release(files);
            self.task(task).files = own;
        }
    }
}

/// A script's interpreter, and its one argument.
type ScriptInterpreter = (Vec<u8>, Option<Vec<u8>>);

/// The interpreter and its one argument from a script's first line, or `None` for what is no script.
fn script_interpreter(file: &[u8]) -> Result<Option<ScriptInterpreter>, LoadError> {
    let Some(rest) = file.strip_prefix(b"#!") else { return Ok(None) };
    let line =
        rest[..rest.len().min(SCRIPT_LINE - 2)].split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.trim_ascii();
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let end = line.iter().position(blank).unwrap_or(line.len());
    let (path, argument) = line.split_at(end);
    if path.is_empty() {
        return Err(LoadError::Format);
    }
    let argument = argument.trim_ascii();
    Ok(Some((path.to_vec(), (!argument.is_empty()).then(|| argument.to_vec()))))
}
