//! A Linux machine: a kernel, and an engine that runs its tasks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::time::Duration;

use pentimento_execute::{Environment, Exit, Guest, Stop, StopHandle, Until};
use pentimento_linux::host::StopRequest;
use pentimento_linux::{Kernel, Next, ProcessId, SpaceId, TaskId, Termination};
use pentimento_memory::AddressSpace;
use pentimento_registers::{CpuState, Exception};

use crate::bounds::Left;
use crate::builder::MachineBuilder;
use crate::engines::Engines;
use crate::hooks::{Hooks, Positions, Reply};
use crate::provided::Surroundings;
use crate::record::{Moment, Recorder, Start};
use crate::told::Told;
use crate::trace_hash::TraceHash;
use crate::{Bounds, EngineKind, Halt};

/// The longest that the host sleeps before it looks whether it is to stop: where nobody else can ask for
/// it, and where somebody can.
const NAP: Duration = Duration::from_millis(50);
const SHORT_NAP: Duration = Duration::from_micros(500);

/// What a machine has done so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Statistics {
    /// Instructions executed by all tasks.
    pub instructions: u64,
    /// System calls made.
    pub system_calls: u64,
    /// Exceptions raised, page faults that brought a page in included.
    pub exceptions: u64,
}

/// A machine that runs 32-bit Linux programs.
///
/// ```no_run
/// use pentimento::{Capture, Halt, Machine};
///
/// let output = Capture::new();
/// let mut machine = Machine::builder().stdout(output.clone()).build()?;
/// machine.load_file("fixtures/programs/hello", &["hello"], &[])?;
/// assert_eq!(machine.run(u64::MAX), Halt::Exited(0));
/// assert_eq!(output.text(), "Hello, world!\n");
/// # Ok::<(), pentimento::Error>(())
/// ```
pub struct Machine {
    /// Where runs stop, before the instruction at each of these EIPs, whoever comes to it
    /// ([`Halt::Breakpoint`]); a run whose first instruction it would be leaves it. What runs between them
    /// is as fast as without.
    pub breakpoints: BTreeSet<u32>,
    /// Whether runs stop where a task raises an exception that becomes a signal, before anybody takes it
    /// ([`Halt::Raised`]): for debuggers. Running on delivers the signal.
    pub stop_at_exceptions: bool,
    /// What is called while it runs.
    pub hooks: Hooks,
    pub(crate) kernel: Kernel,
    pub(crate) environment: Environment,
    engines: Engines,
    /// Where the tasks are among the events that hooks hear of.
    pub(crate) positions: Positions,
    /// Who ran last: whose registers and memory a host sees.
    pub(crate) current: Option<TaskId>,
    /// Its registers as they were when it last left its code: they outlive it.
    pub(crate) last_state: CpuState,
    pub(crate) statistics: Statistics,
    /// What the run is recognised by, where the host wants to know.
    pub(crate) trace_hash: Option<TraceHash>,
    /// The address behind raw code, by the address space that it was loaded into; `None` once it has
    /// written more code there.
    pub(crate) code_ends: HashMap<SpaceId, Option<u32>>,
    /// The last exception was raised by raw code with HLT.
    pub(crate) halted: bool,
    /// Whose turn ended in the middle of its code: if it goes on, nothing has come in between.
    pub(crate) interrupted: Option<TaskId>,
    /// What programs get beside their arguments.
    pub(crate) surroundings: Surroundings,
    /// What is recorded, or replayed.
    pub(crate) recorder: Option<Recorder>,
    /// How often the machine has waited for its host.
    pub(crate) waits: u64,
    /// How far standard output and error are.
    pub(crate) told: [Told; 2],
}

/// What the kernel asks within its own work.
struct Request(StopHandle);

impl StopRequest for Request {
    fn is_requested(&self) -> bool {
        self.0.is_requested()
    }
}

impl Machine {
    /// Starts to describe a machine.
    #[must_use]
    pub fn builder() -> MachineBuilder {
        MachineBuilder::default()
    }

    pub(crate) fn new(mut kernel: Kernel, environment: Environment, engines: Engines) -> Self {
        kernel.heed(Box::new(Request(environment.stop.clone())));
        Self {
            breakpoints: BTreeSet::new(),
            stop_at_exceptions: false,
            hooks: Hooks::default(),
            positions: Positions::default(),
            kernel,
            environment,
            engines,
            current: None,
            last_state: CpuState::new(),
            statistics: Statistics::default(),
            trace_hash: None,
            code_ends: HashMap::new(),
            halted: false,
            interrupted: None,
            surroundings: Surroundings::default(),
            recorder: None,
            waits: 0,
            told: Default::default(),
        }
    }

    /// Runs within the bounds and says why it stopped; a number bounds the instructions. It never
    /// sleeps: a machine that waits for its host comes back with [`Halt::Waiting`].
    ///
    /// A machine in which nobody runs spends its budget too, if slowly, so that one that waits for ever
    /// comes to an end.
    pub fn run(&mut self, bounds: impl Into<Bounds>) -> Halt {
        let bounds = bounds.into();
        let stop = self.stop_handle();
        let mut left = Left::of(&bounds, &stop);
        let halt = self.run_on(&bounds, &mut left);
        left.end(halt, &stop)
    }

    /// As [`run`](Self::run), but sleeps where that would be [`Halt::Waiting`]. A timeout and a stop
    /// handle end the sleep, too.
    pub fn run_and_wait(&mut self, bounds: impl Into<Bounds>) -> Halt {
        let nap = self.longest_nap();
        let bounds = bounds.into();
        let stop = self.stop_handle();
        let mut left = Left::of(&bounds, &stop);
        loop {
            let halt = self.run_on(&bounds, &mut left);
            if !matches!(halt, Halt::Waiting { .. }) {
                return left.end(halt, &stop);
            }
            self.kernel.wait(left.time(nap));
        }
    }

    /// Sleeps while the machine waits for its host ([`Halt::Waiting`]), at most for `longest`; says
    /// whether something may have happened. A stop handle ends the sleep; the request stays for the
    /// next run.
    pub fn wait(&mut self, longest: Duration) -> bool {
        let longest_nap = self.longest_nap();
        let mut left = longest;
        while !self.environment.stop.is_requested() {
            let nap = left.min(longest_nap);
            if self.kernel.wait(nap) {
                return true;
            }
            left = left.saturating_sub(nap);
            if left.is_zero() {
                return false;
            }
        }
        true
    }

    /// How long the host may sleep before it looks whether it is to stop.
    fn longest_nap(&self) -> Duration {
        /// The handles of the machine itself: the environment's, and the kernel's.
        const OWN: usize = 2;
        if self.environment.stop.holders() > OWN { SHORT_NAP } else { NAP }
    }

    /// The machine's monotonic clock, in which [`Halt::Waiting`] says until when: instructions in
    /// virtual time, else the host's clock.
    pub fn now(&mut self) -> Duration {
        self.kernel.monotonic()
    }

    /// Runs on with what is left of a run's bounds.
    fn run_on(&mut self, bounds: &Bounds, left: &mut Left) -> Halt {
        /// What a turn costs in which nobody executed anything.
        const IDLE: u64 = 1000;
        /// Such turns in a row that cost nothing: system calls that wait, pages that come in.
        const FREE: u32 = 16;
        let mut barren = 0;
        let stops = bounds.stops(&self.breakpoints, &mut self.environment);
        let begun = self.statistics.instructions;
        while left.budget > 0 {
            if self.environment.stop.take() {
                return Halt::Stopped;
            }
            if left.is_over() {
                return Halt::Timeout;
            }
            let before = self.statistics.instructions;
            let until = Until::budget(left.slice());
            let watch = (stops && (bounds.arriving || before != begun)).then_some(bounds.address);
            if let Some(halt) = self.turn(until, watch) {
                return halt;
            }
            let executed = self.statistics.instructions - before;
            barren = if executed == 0 { barren + 1 } else { 0 };
            left.budget = left.budget.saturating_sub(if barren > FREE { IDLE } else { executed });
            self.forget_ended_spaces();
        }
        Halt::Budget
    }

    /// Drops the code that was decoded for address spaces that are no more.
    pub(crate) fn forget_ended_spaces(&mut self) {
        for space in self.kernel.take_ended_spaces() {
            self.engines.end(space);
            self.code_ends.remove(&space);
            self.positions.keep(&self.kernel);
        }
    }

    /// Executes one instruction of the task whose turn it is: [`Halt::Budget`] if the machine can go on.
    pub fn step(&mut self) -> Halt {
        self.run(1)
    }

    /// Runs to the next end of a block behind `least` instructions, to the next system call,
    /// exception or switch to another task, or until `most` instructions are executed, whatever
    /// comes first; `None` if the machine can go on. What a block is depends on the engine.
    pub fn run_to_block_end(&mut self, least: u64, most: u64) -> Option<Halt> {
        self.turn(Until::block_end(least, most), None)
    }

    /// Tells the tape, if there is one, how far the machine is.
    fn mark_moment(&self) {
        if let Some(recorder) = &self.recorder {
            recorder.tape.come_to(self.moment());
        }
    }

    /// How far the machine is, in what is the same in every run.
    pub(crate) const fn moment(&self) -> Moment {
        let Statistics { instructions, system_calls, exceptions } = self.statistics;
        Moment { instructions, entries: system_calls + exceptions, waits: self.waits }
    }

    /// Lets the task whose turn it is run as far as `until` says, or to the end of its quantum; not at
    /// all if `watch` is there and it is at a breakpoint or at the address in `watch`.
    fn turn(&mut self, until: Until, watch: Option<Option<u32>>) -> Option<Halt> {
        self.mark_moment();
        self.kernel.keep_events(self.hooks.wants_events());
        let next = self.kernel.schedule();
        if let Some(halt) = self.tell_events() {
            return Some(halt);
        }
        let (task, space, quantum) = match next {
            Next::Run { task, space, quantum } => (task, space, quantum),
            Next::Finished(Termination::Exited(status)) => return Some(Halt::Exited(status)),
            Next::Finished(Termination::Killed(_)) if self.halted => return Some(Halt::Halted),
            Next::Finished(Termination::Killed(signal)) => {
                return Some(Halt::Killed { signal, crash: self.kernel.crash() });
            }
            Next::Waiting { until } => {
                self.waits += 1;
                return Some(Halt::Waiting { until });
            }
            Next::Deadlock => return Some(Halt::Deadlock),
            // Idle: nobody runs this turn.
            _ => return None,
        };
        self.current = Some(task);
        let parts = self.kernel.parts(task)?;
        let eip = parts.cpu.eip;
        match watch {
            Some(Some(address)) if address == eip => return Some(Halt::Reached(eip)),
            Some(_) if self.breakpoints.contains(&eip) => return Some(Halt::Breakpoint(eip)),
            _ => {}
        }
        if let Some(hash) = &self.trace_hash
            && self.interrupted != Some(task)
        {
            hash.resumes(task, self.statistics.instructions, parts.cpu);
        }
        self.environment.code_end = self.code_ends.get(&space).copied().flatten();
        self.halted = false;
        let quantum = quantum.min(self.engines.patience());
        let engine = self.engines.of(space, parts.program);
        let until = Until { budget: until.budget.min(quantum), ..until };
        let mut guest = Guest {
            state: parts.cpu,
            memory: parts.memory,
            environment: &mut self.environment,
            descriptors: parts.descriptors,
        };
        let listening = (self.positions.of(task), Some(task));
        let Stop { executed, exit } = self.hooks.run(engine, &mut guest, until, listening);
        self.engines.settle(space);
        self.statistics.instructions += executed;
        self.interrupted = exit.is_pause().then_some(task);
        if !exit.is_pause() {
            self.last_state.clone_from(parts.cpu);
            if let Some(hash) = &self.trace_hash {
                hash.stops(exit, self.statistics.instructions, parts.cpu);
            }
        }
        if exit == Exit::CodeEnd && self.is_at_code_end(task, space) {
            return Some(Halt::CodeEnd);
        }
        self.halted = self.is_halt(task, space, exit);
        self.kernel.retire(task, executed);
        if self.ask_hooks(task, exit) == Reply::Pass {
            let halt = self.handle(task, exit);
            if halt.is_some() {
                return halt;
            }
        }
        let halt = self.tell_events();
        if self.stop_at_exceptions
            && exit.exception().is_some()
            && let Some((signal, crash)) = self.kernel.raised(task)
        {
            return Some(Halt::Raised { signal, crash });
        }
        halt
    }

    /// Whether nothing has been written behind the raw code of `space`, at whose end `task` is. What
    /// has been written there is code, too, and then it has no end any more.
    fn is_at_code_end(&mut self, task: TaskId, space: SpaceId) -> bool {
        let Some(end) = self.code_ends.get_mut(&space) else { return true };
        let mut byte = [0];
        if let (Some(address), Some(parts)) = (*end, self.kernel.parts(task))
            && parts.memory.peek_bytes(address, &mut byte).is_ok()
            && byte != [0]
        {
            *end = None;
        }
        end.is_some()
    }

    /// Whether an exception is that of HLT in raw code.
    fn is_halt(&mut self, task: TaskId, space: SpaceId, exit: Exit) -> bool {
        const HLT: [u8; 1] = [0xf4];
        let mut byte = [0];
        matches!(exit, Exit::Exception { exception: Exception::GeneralProtection, .. })
            && self.code_ends.contains_key(&space)
            && self
                .kernel
                .parts(task)
                .is_some_and(|parts| parts.memory.peek_bytes(parts.cpu.eip, &mut byte).is_ok())
            && byte == HLT
    }

    /// Asks the hooks about what a task's code came to, before the kernel hears of it.
    fn ask_hooks(&mut self, task: TaskId, exit: Exit) -> Reply {
        if let Exit::PageFault(fault) = exit {
            if !self.hooks.wants_faults() {
                return Reply::Pass;
            }
            if self.kernel.resolve_fault(task, fault) {
                self.statistics.exceptions += 1;
                return Reply::Done;
            }
        }
        let Some(parts) = self.kernel.parts(task) else { return Reply::Pass };
        let mut guest = Guest {
            state: parts.cpu,
            memory: parts.memory,
            environment: &mut self.environment,
            descriptors: parts.descriptors,
        };
        match exit {
            Exit::PageFault(fault) => self.hooks.fault(&mut guest, &fault, Some(task)),
            Exit::Exception { exception, error_code } => {
                self.hooks.exception(&mut guest, (exception, error_code), Some(task))
            }
            Exit::Interrupt(vector) => match self.hooks.interrupt(&mut guest, vector, Some(task)) {
                Reply::Pass => self.hooks.system_call(&mut guest, task),
                Reply::Done => Reply::Done,
            },
            _ => Reply::Pass,
        }
    }

    /// Tells the hooks what the kernel has done; says how the run ends if one wants it to.
    fn tell_events(&mut self) -> Option<Halt> {
        if self.hooks.wants_events() {
            self.hooks.tell_events(&mut self.kernel, &mut self.environment);
        }
        self.hooks.stopped.take().map(Halt::Hook)
    }

    /// Brings the kernel what a task's code came to.
    fn handle(&mut self, task: TaskId, exit: Exit) -> Option<Halt> {
        match exit {
            Exit::Budget | Exit::Breakpoint | Exit::Observer | Exit::CodeEnd => {}
            Exit::Stopped => return Some(Halt::Stopped),
            // The only gate that is open: `Gates::Linux`.
            Exit::Interrupt(_) | Exit::Sysenter | Exit::Syscall => {
                self.statistics.system_calls += 1;
                self.mark_moment();
                self.kernel.system_call(task);
            }
            Exit::PageFault(fault) => {
                self.statistics.exceptions += 1;
                self.mark_moment();
                self.kernel.page_fault(task, fault);
            }
            Exit::Exception { exception, error_code } => {
                self.statistics.exceptions += 1;
                self.mark_moment();
                self.kernel.exception(task, exception, error_code);
            }
            _ => debug_assert!(false, "an exit that the machine has no answer to: {exit:?}"),
        }
        None
    }

    /// The registers of the task that ran last, or `None` before the first and after the last.
    pub fn state(&mut self) -> Option<&mut CpuState> {
        let task = self.current?;
        self.kernel.parts(task).map(|parts| parts.cpu)
    }

    /// The registers that a task had when it last made a system call or raised an exception. They
    /// outlive the task: after the end of a machine these are its last.
    #[must_use]
    pub fn last_state(&self) -> &CpuState {
        &self.last_state
    }

    /// The memory of the task that ran last, or `None` before the first and after the last.
    pub fn memory(&mut self) -> Option<&mut AddressSpace> {
        let task = self.current?;
        self.kernel.parts(task).map(|parts| parts.memory)
    }

    /// Starts the program at `path` in the guest's file system.
    ///
    /// # Errors
    /// It cannot be found, read or loaded.
    pub fn spawn(&mut self, path: &str, argv: &[&str], envp: &[&str]) -> Result<ProcessId, crate::Error> {
        let bytes = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>();
        self.spawn_bytes(path.as_bytes(), &bytes(argv), &bytes(envp))
    }

    /// [`spawn`](Self::spawn) with any bytes in names, as Linux has them.
    ///
    /// # Errors
    /// It cannot be found, read or loaded.
    pub fn spawn_bytes(
        &mut self,
        path: &[u8],
        argv: &[Vec<u8>],
        envp: &[Vec<u8>],
    ) -> Result<ProcessId, crate::Error> {
        let start = Start::Program { path: path.to_vec(), argv: argv.to_vec(), envp: envp.to_vec() };
        Ok(self.make(start)?)
    }

    /// Starts the program in a host file; the guest knows it by the same path.
    ///
    /// # Errors
    /// The file cannot be read, or is no program that can be loaded.
    pub fn load_file(
        &mut self,
        path: impl AsRef<std::path::Path>,
        argv: &[&str],
        envp: &[&str],
    ) -> Result<ProcessId, crate::Error> {
        let path = path.as_ref();
        let file = std::fs::read(path).map_err(|source| crate::Error::Read { path: path.into(), source })?;
        let name = path.as_os_str().as_encoded_bytes();
        let bytes = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>();
        let (argv, envp) = (bytes(argv), bytes(envp));
        Ok(self.make(Start::Image { path: name.to_vec(), file, argv, envp })?)
    }

    /// Starts raw machine code: `length` bytes of memory at `base` that allow everything, the code
    /// at its start, EIP there and ESP behind its end. The machine stops with [`Halt::CodeEnd`] where
    /// the code ends, unless it has written the byte there itself, and with [`Halt::Halted`] where HLT
    /// kills it.
    ///
    /// # Errors
    /// `base` is no multiple of 4096, or there is not that much memory.
    pub fn load_code(&mut self, base: u32, code: &[u8], length: u32) -> Result<ProcessId, crate::Error> {
        Ok(self.make(Start::Code { base, code: code.to_vec(), length })?)
    }

    /// Puts a file at an absolute path of the guest, with these permission bits.
    ///
    /// # Errors
    /// There is no room for it, or a directory is in its place.
    pub fn install_file(&mut self, path: &[u8], content: &[u8], mode: u32) -> Result<(), crate::Error> {
        self.make(Start::File { path: path.to_vec(), content: content.to_vec(), mode })?;
        Ok(())
    }

    /// [`load_code`](Self::load_code).
    pub(crate) fn place_code(
        &mut self,
        base: u32,
        code: &[u8],
        length: u32,
    ) -> Result<ProcessId, pentimento_linux::Error> {
        let process = self.kernel.spawn_code(base, code, length)?;
        if let Some(space) = self.kernel.space_of(process) {
            self.code_ends.insert(space, Some(base.wrapping_add(code.len() as u32)));
        }
        self.current = self.current.or(self.kernel.first_task());
        Ok(process)
    }

    /// The engine that runs it.
    #[must_use]
    pub const fn engine(&self) -> EngineKind {
        self.engines.kind()
    }

    /// The task that ran last, or that will run first.
    #[must_use]
    pub const fn task(&self) -> Option<TaskId> {
        self.current
    }

    /// The kernel, for what the facade does not wrap.
    pub fn kernel(&mut self) -> &mut Kernel {
        &mut self.kernel
    }

    /// What has happened so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// From here on, output that the host has is not given to it again when the machine goes back, or is.
    pub(crate) fn tell_once(&self, once: bool) {
        self.told.iter().for_each(|told| told.tell_once(once));
    }

    /// What the engines of all address spaces have counted of their own work, by name: how much a
    /// translator has translated, for instance.
    #[must_use]
    pub fn engine_counts(&self) -> BTreeMap<String, u64> {
        self.engines.counts()
    }

    /// Bytes of the host's memory that engines hold for what they made of code, about. They are part of
    /// [`Limits::total_memory`](crate::Limits::total_memory): an eighth of it is theirs and nobody else's.
    #[must_use]
    pub const fn engine_memory(&self) -> usize {
        self.engines.held()
    }

    /// A hash over what has happened so far, or `None` unless
    /// [`MachineBuilder::trace_hash`] asked for it. It takes in every system call with arguments and
    /// results, every exception, every change from one task to another, each with the number of
    /// instructions before it, and every byte of output. It does not depend on the engine, nor on
    /// how the run is cut into calls of [`run`](Self::run); two runs with the same hash were the same.
    #[must_use]
    pub fn trace_hash(&self) -> Option<u64> {
        self.trace_hash.as_ref().map(TraceHash::value)
    }

    /// What the interpreter left to the reference, in all tasks.
    #[cfg(feature = "count-slow")]
    #[must_use]
    pub const fn slow_counts(&self) -> &pentimento_execute::SlowCounts {
        &self.environment.slow_counts
    }

    /// A handle with which another thread can stop a run.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        self.environment.stop.clone()
    }
}

/// The engine, what has happened so far, and the registers of the task that left its code last.
impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("engine", &self.engines.kind())
            .field("model", &self.environment.model.name())
            .field("statistics", &self.statistics)
            .field("task", &self.current)
            .field("last_state", &format_args!("\n{}\n", self.last_state))
            .field("breakpoints", &self.breakpoints)
            .finish_non_exhaustive()
    }
}
