//! A machine as the stub sees it.

use gdbstub::common::{Signal, Tid};
use gdbstub::stub::MultiThreadStopReason;
use gdbstub::target::ext::auxv::AuxvOps;
use gdbstub::target::ext::base::BaseOps;
use gdbstub::target::ext::base::multithread::{
    MultiThreadBase, MultiThreadResume, MultiThreadResumeOps, MultiThreadSchedulerLocking,
    MultiThreadSchedulerLockingOps, MultiThreadSingleStep, MultiThreadSingleStepOps,
};
use gdbstub::target::ext::base::reverse_exec::{
    ReplayLogPosition, ReverseCont, ReverseContOps, ReverseStep, ReverseStepOps,
};
use gdbstub::target::ext::breakpoints::{
    Breakpoints, BreakpointsOps, HwWatchpoint, HwWatchpointOps, SwBreakpoint, SwBreakpointOps, WatchKind,
};
use gdbstub::target::ext::exec_file::ExecFileOps;
use gdbstub::target::ext::host_io::HostIoOps;
use gdbstub::target::ext::target_description_xml_override::{
    TargetDescriptionXmlOverride, TargetDescriptionXmlOverrideOps,
};
use gdbstub::target::{Target, TargetError, TargetResult};
use gdbstub_arch::x86::X86_SSE;
use gdbstub_arch::x86::reg::X86CoreRegs;
use pentimento_memory::Access;

use super::files::{OpenFiles, copy};
use super::registers::{description, from_gdb, to_gdb};
use super::signals::gdb_signal;
use super::tid;
use crate::{Halt, History, Machine, Past, RestoreError, TaskId};

/// Instructions between two looks at the connection.
const SLICE: u64 = 100_000;

/// A wait for the host between two looks at the connection.
const NAP: std::time::Duration = std::time::Duration::from_millis(10);

/// Where the machine goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Direction {
    Forwards,
    /// By one instruction.
    BackOne,
    /// To a breakpoint or a write.
    Back,
}

/// What a thread is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Resume {
    Continue,
    Step,
}

/// A range of addresses whose accesses stop the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Watchpoint {
    start: u32,
    length: u32,
    kind: WatchKind,
}

impl Watchpoint {
    /// The address in the range that an access is about.
    fn hit(&self, address: u32, length: u32, access: Access) -> Option<u32> {
        let meant = match self.kind {
            WatchKind::Read => access == Access::Read,
            WatchKind::Write => access == Access::Write,
            WatchKind::ReadWrite => access != Access::Execute,
        };
        let first = u64::from(self.start.max(address));
        let end =
            (u64::from(self.start) + u64::from(self.length)).min(u64::from(address) + u64::from(length));
        (meant && first < end).then_some(self.start)
    }
}

/// The machine that GDB looks at.
pub(super) struct Debugged<'a> {
    pub(super) machine: &'a mut Machine,
    /// What GDB has open of the guest's files.
    pub(super) files: OpenFiles,
    watchpoints: Vec<Watchpoint>,
    /// What GDB wants of single threads; all others go on.
    resumes: Vec<(Tid, Resume)>,
    history: History,
    direction: Direction,
    /// How the machine ended.
    ended: Option<Halt>,
    description: String,
}

impl<'a> Debugged<'a> {
    pub(super) fn new(machine: &'a mut Machine) -> Self {
        let (watchpoints, resumes) = (Vec::new(), Vec::new());
        let history = History::of(machine);
        let (direction, ended) = (Direction::Forwards, None);
        let files = OpenFiles::default();
        Self { machine, files, watchpoints, resumes, history, direction, ended, description: description() }
    }

    /// Gives the machine back; how it ended, if it did.
    pub(super) fn end(mut self) -> Option<Halt> {
        for watchpoint in std::mem::take(&mut self.watchpoints) {
            self.unwatch(watchpoint);
        }
        self.history.end(self.machine);
        self.ended
    }

    /// The task whose turn it is.
    fn task(&mut self) -> Option<TaskId> {
        self.machine.task().or_else(|| self.machine.kernel().first_task())
    }

    /// That task as GDB numbers it.
    pub(super) fn current(&mut self) -> Option<Tid> {
        self.task().and_then(tid)
    }

    /// The task of that number.
    fn find(&mut self, wanted: Tid) -> Option<TaskId> {
        self.machine.kernel().tasks().find(|task| tid(*task) == Some(wanted))
    }

    /// Runs until something stops the machine, or for so short that GDB is not kept waiting.
    pub(super) fn run_a_while(&mut self) -> Option<MultiThreadStopReason<u32>> {
        if self.direction != Direction::Forwards {
            return self.go_back();
        }
        let stepping: Vec<Tid> =
            self.resumes.iter().filter(|(_, resume)| *resume == Resume::Step).map(|(tid, _)| *tid).collect();
        let single = !stepping.is_empty() || !self.watchpoints.is_empty();
        for _ in 0..if single { SLICE / 10 } else { 1 } {
            let before = self.machine.statistics().instructions;
            let halt = self.history.run(self.machine, if single { 1 } else { SLICE });
            let current = self.current();
            if let Some(stop) = self.watched(current) {
                return Some(stop);
            }
            match halt {
                Halt::Budget => {}
                Halt::Waiting { .. } => {
                    self.machine.wait(NAP);
                    return None;
                }
                other => return self.stopped(other),
            }
            let executed = self.machine.statistics().instructions > before;
            if executed && let Some(tid) = current.filter(|tid| stepping.contains(tid)) {
                return Some(MultiThreadStopReason::SignalWithThread { tid, signal: Signal::SIGTRAP });
            }
        }
        None
    }

    /// Goes back as far as GDB wants.
    fn go_back(&mut self) -> Option<MultiThreadStopReason<u32>> {
        let watchpoints = self.watchpoints.clone();
        let found = match self.direction {
            Direction::BackOne => self.step_back(&watchpoints),
            _ => self.find_back(&watchpoints),
        };
        self.watch_again(&watchpoints);
        self.ended = None;
        let Some(tid) = self.current() else { return Some(MultiThreadStopReason::Signal(Signal::SIGTRAP)) };
        Some(match found {
            Ok((Past::Breakpoint(_), _)) => MultiThreadStopReason::SwBreak(tid),
            Ok((Past::Written, Some(Watchpoint { start: addr, kind, .. }))) => {
                MultiThreadStopReason::Watch { tid, kind, addr }
            }
            Ok((Past::Beginning, _)) => {
                MultiThreadStopReason::ReplayLog { tid: Some(tid), pos: ReplayLogPosition::Begin }
            }
            _ => MultiThreadStopReason::SignalWithThread { tid, signal: Signal::SIGTRAP },
        })
    }

    /// Watches all ranges, whatever was watched before, and forgets the accesses until now.
    fn watch_again(&mut self, watchpoints: &[Watchpoint]) {
        let Some(memory) = self.machine.memory() else { return };
        for watchpoint in watchpoints {
            let _ = memory.watch(watchpoint.start, watchpoint.length);
        }
        let _ = memory.take_watch_hits();
    }

    /// Goes back by one instruction; GDB wants to hear of it if that wrote to what is watched.
    fn step_back(&mut self, watchpoints: &[Watchpoint]) -> Result<(Past, Option<Watchpoint>), RestoreError> {
        let past = self.history.reverse_step(self.machine)?;
        if past != Past::Reached || watchpoints.is_empty() {
            return Ok((past, None));
        }
        self.watch_again(watchpoints);
        self.history.run(self.machine, 1);
        let hits = self.machine.memory().map(|memory| memory.take_watch_hits()).unwrap_or_default();
        self.history.reverse_step(self.machine)?;
        let written = watchpoints.iter().find(|watchpoint| {
            hits.iter().any(|hit| watchpoint.hit(hit.address, hit.length, hit.access).is_some())
        });
        Ok(written.map_or((past, None), |watchpoint| (Past::Written, Some(*watchpoint))))
    }

    /// Goes back to whatever was last: a breakpoint, or a write to what is watched. Reads that are watched
    /// stop nobody who goes back.
    fn find_back(&mut self, watchpoints: &[Watchpoint]) -> Result<(Past, Option<Watchpoint>), RestoreError> {
        let now = |machine: &Machine| machine.statistics().instructions;
        let present = now(self.machine);
        let mut best = (self.history.reverse_continue(self.machine)?, None);
        let mut moment = now(self.machine);
        for watchpoint in watchpoints.iter().filter(|watchpoint| watchpoint.kind != WatchKind::Read) {
            self.history.go_to(self.machine, present)?;
            let Watchpoint { start, length, .. } = *watchpoint;
            let past = self.history.reverse_to_write(self.machine, start, length)?;
            if past == Past::Written && (now(self.machine) > moment || best.0 == Past::Beginning) {
                best = (past, Some(*watchpoint));
                moment = now(self.machine);
            }
        }
        if now(self.machine) != moment {
            self.history.go_to(self.machine, moment)?;
        }
        Ok(best)
    }

    /// The watchpoint that was hit since the last time.
    fn watched(&mut self, current: Option<Tid>) -> Option<MultiThreadStopReason<u32>> {
        if self.watchpoints.is_empty() {
            return None;
        }
        let hits = self.machine.memory()?.take_watch_hits();
        let tid = current?;
        hits.iter().find_map(|hit| {
            self.watchpoints.iter().find_map(|watchpoint| {
                let addr = watchpoint.hit(hit.address, hit.length, hit.access)?;
                Some(MultiThreadStopReason::Watch { tid, kind: watchpoint.kind, addr })
            })
        })
    }

    /// A stop in GDB's words.
    fn stopped(&mut self, halt: Halt) -> Option<MultiThreadStopReason<u32>> {
        let signal = |signal: Signal, tid: Option<Tid>| match tid {
            Some(tid) => MultiThreadStopReason::SignalWithThread { tid, signal },
            None => MultiThreadStopReason::Signal(signal),
        };
        let current = self.current();
        Some(match halt {
            Halt::Breakpoint(_) | Halt::Reached(_) => {
                current.map_or(signal(Signal::SIGTRAP, None), MultiThreadStopReason::SwBreak)
            }
            Halt::Raised { signal: number, crash } => signal(gdb_signal(number), tid(crash.task)),
            Halt::Exited(status) => {
                self.ended = Some(halt);
                MultiThreadStopReason::Exited(status)
            }
            Halt::Killed { signal: number, .. } => {
                self.ended = Some(halt);
                MultiThreadStopReason::Terminated(gdb_signal(number))
            }
            Halt::Halted => {
                self.ended = Some(halt);
                MultiThreadStopReason::Exited(0)
            }
            Halt::Stopped | Halt::Timeout => signal(Signal::SIGINT, current),
            _ => signal(Signal::SIGSTOP, current),
        })
    }

    fn unwatch(&mut self, watchpoint: Watchpoint) {
        if let Some(memory) = self.machine.memory() {
            // Its pages may be those of another one, which is watched on.
            let _ = memory.unwatch(watchpoint.start, watchpoint.length);
            for other in &self.watchpoints {
                let _ = memory.watch(other.start, other.length);
            }
        }
    }
}

impl Target for Debugged<'_> {
    type Arch = X86_SSE;
    type Error = &'static str;

    fn base_ops(&mut self) -> BaseOps<'_, X86_SSE, Self::Error> {
        BaseOps::MultiThread(self)
    }

    fn support_breakpoints(&mut self) -> Option<BreakpointsOps<'_, Self>> {
        Some(self)
    }

    fn support_host_io(&mut self) -> Option<HostIoOps<'_, Self>> {
        Some(self)
    }

    fn support_exec_file(&mut self) -> Option<ExecFileOps<'_, Self>> {
        Some(self)
    }

    fn support_auxv(&mut self) -> Option<AuxvOps<'_, Self>> {
        Some(self)
    }

    fn support_target_description_xml_override(
        &mut self,
    ) -> Option<TargetDescriptionXmlOverrideOps<'_, Self>> {
        Some(self)
    }
}

impl MultiThreadBase for Debugged<'_> {
    fn read_registers(&mut self, registers: &mut X86CoreRegs, thread: Tid) -> TargetResult<(), Self> {
        let task = self.find(thread).ok_or(TargetError::NonFatal)?;
        let parts = self.machine.kernel().parts(task).ok_or(TargetError::NonFatal)?;
        to_gdb(parts.cpu, registers);
        Ok(())
    }

    fn write_registers(&mut self, registers: &X86CoreRegs, thread: Tid) -> TargetResult<(), Self> {
        let task = self.find(thread).ok_or(TargetError::NonFatal)?;
        let parts = self.machine.kernel().parts(task).ok_or(TargetError::NonFatal)?;
        let tls = *parts.descriptors.tls;
        from_gdb(registers, parts.cpu, tls);
        self.history.note_change(self.machine);
        Ok(())
    }

    fn read_addrs(&mut self, start: u32, data: &mut [u8], thread: Tid) -> TargetResult<usize, Self> {
        let task = self.find(thread).ok_or(TargetError::NonFatal)?;
        match self.machine.kernel().read_memory(task, start, data) {
            0 if !data.is_empty() => Err(TargetError::NonFatal),
            read => Ok(read),
        }
    }

    fn write_addrs(&mut self, start: u32, data: &[u8], thread: Tid) -> TargetResult<(), Self> {
        let task = self.find(thread).ok_or(TargetError::NonFatal)?;
        let written = self.machine.kernel().write_memory(task, start, data);
        self.history.note_change(self.machine);
        if written == data.len() { Ok(()) } else { Err(TargetError::NonFatal) }
    }

    fn list_active_threads(&mut self, register: &mut dyn FnMut(Tid)) -> Result<(), Self::Error> {
        // The one that stopped comes first: GDB begins with it.
        let current = self.task();
        let all: Vec<TaskId> = self.machine.kernel().tasks().collect();
        let others = all.iter().copied().filter(|task| Some(*task) != current);
        for task in current.into_iter().filter(|task| all.contains(task)).chain(others) {
            tid(task).into_iter().for_each(&mut *register);
        }
        Ok(())
    }

    fn support_resume(&mut self) -> Option<MultiThreadResumeOps<'_, Self>> {
        Some(self)
    }
}

impl MultiThreadResume for Debugged<'_> {
    fn resume(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }

    fn clear_resume_actions(&mut self) -> Result<(), Self::Error> {
        self.direction = Direction::Forwards;
        self.resumes.clear();
        Ok(())
    }

    fn set_resume_action_continue(&mut self, tid: Tid, _: Option<Signal>) -> Result<(), Self::Error> {
        self.resumes.push((tid, Resume::Continue));
        Ok(())
    }

    fn support_single_step(&mut self) -> Option<MultiThreadSingleStepOps<'_, Self>> {
        Some(self)
    }

    fn support_reverse_step(&mut self) -> Option<ReverseStepOps<'_, Tid, Self>> {
        Some(self)
    }

    fn support_reverse_cont(&mut self) -> Option<ReverseContOps<'_, Tid, Self>> {
        Some(self)
    }

    fn support_scheduler_locking(&mut self) -> Option<MultiThreadSchedulerLockingOps<'_, Self>> {
        Some(self)
    }
}

/// One instruction of the machine, whoever executed it.
impl ReverseStep<Tid> for Debugged<'_> {
    fn reverse_step(&mut self, _: Tid) -> Result<(), Self::Error> {
        self.direction = Direction::BackOne;
        Ok(())
    }
}

impl ReverseCont<Tid> for Debugged<'_> {
    fn reverse_cont(&mut self) -> Result<(), Self::Error> {
        self.direction = Direction::Back;
        Ok(())
    }
}

impl MultiThreadSchedulerLocking for Debugged<'_> {
    /// GDB asks for it when it steps off a breakpoint that it has put into the code. Ours are not in the
    /// code, and who runs next is the machine's business: it stays as it would have been.
    fn set_resume_action_scheduler_lock(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

impl MultiThreadSingleStep for Debugged<'_> {
    fn set_resume_action_step(&mut self, tid: Tid, _: Option<Signal>) -> Result<(), Self::Error> {
        self.resumes.push((tid, Resume::Step));
        Ok(())
    }
}

impl Breakpoints for Debugged<'_> {
    fn support_sw_breakpoint(&mut self) -> Option<SwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_watchpoint(&mut self) -> Option<HwWatchpointOps<'_, Self>> {
        Some(self)
    }
}

impl SwBreakpoint for Debugged<'_> {
    fn add_sw_breakpoint(&mut self, address: u32, _: usize) -> TargetResult<bool, Self> {
        self.machine.breakpoints.insert(address);
        Ok(true)
    }

    fn remove_sw_breakpoint(&mut self, address: u32, _: usize) -> TargetResult<bool, Self> {
        Ok(self.machine.breakpoints.remove(&address))
    }
}

impl HwWatchpoint for Debugged<'_> {
    fn add_hw_watchpoint(&mut self, start: u32, length: u32, kind: WatchKind) -> TargetResult<bool, Self> {
        let task = self.task().ok_or(TargetError::NonFatal)?;
        let parts = self.machine.kernel().parts(task).ok_or(TargetError::NonFatal)?;
        if parts.memory.watch(start, length).is_err() {
            return Ok(false);
        }
        self.watchpoints.push(Watchpoint { start, length, kind });
        Ok(true)
    }

    fn remove_hw_watchpoint(&mut self, start: u32, length: u32, kind: WatchKind) -> TargetResult<bool, Self> {
        let wanted = Watchpoint { start, length, kind };
        let Some(index) = self.watchpoints.iter().position(|watchpoint| *watchpoint == wanted) else {
            return Ok(false);
        };
        self.watchpoints.remove(index);
        self.unwatch(wanted);
        Ok(true)
    }
}

impl TargetDescriptionXmlOverride for Debugged<'_> {
    fn target_description_xml(
        &self,
        annex: &[u8],
        offset: u64,
        length: usize,
        buffer: &mut [u8],
    ) -> TargetResult<usize, Self> {
        if annex != b"target.xml" {
            return Err(TargetError::NonFatal);
        }
        Ok(copy(self.description.as_bytes(), offset, length, buffer))
    }
}
