//! What `/proc/PID` says of a process (proc(5)).

use std::fmt::Write as _;

use pentimento_registers::Gpr;

use super::processes::Processes;
use crate::errno::Errno;
use crate::ids::TaskId;
use crate::resource::{Limit, Resource};
use crate::signal::{Action, Signal, SignalSet};
use crate::space::Space;
use crate::task::{Process, Task, TaskState, Transfers};

/// Nanoseconds of a clock tick (AT_CLKTCK is 100).
pub(super) const TICK: u64 = 10_000_000;

/// Whom a file is about: a process, and one of its threads.
pub(super) struct Subject<'a> {
    pub(super) view: &'a Processes<'a>,
    pub(super) number: u32,
    pub(super) thread: u32,
    pub(super) process: &'a Process,
    pub(super) task: Option<&'a Task>,
    pub(super) space: Option<&'a Space>,
}

impl<'a> Subject<'a> {
    /// `None` where there is no such process; a thread that is none of the living is its first.
    pub(super) fn new(view: &'a Processes<'a>, number: u32, thread: u32) -> Option<Self> {
        let process = view.process(number)?;
        Some(Self {
            view,
            number,
            thread,
            process,
            task: view.tasks.get(&TaskId(thread)).or_else(|| view.task(number)),
            space: process.space.and_then(|space| view.spaces.get(space)),
        })
    }

    pub(super) fn name(&self) -> String {
        self.task.map_or_else(String::new, |task| String::from_utf8_lossy(&task.name).into_owned())
    }

    /// The letter and word of its state.
    pub(super) fn state(&self) -> (char, &'static str) {
        match self.task {
            _ if self.process.ended.is_some() => ('Z', "zombie"),
            Some(task) if task.tracing.as_ref().is_some_and(|tracing| tracing.stop.is_some()) => {
                ('t', "tracing stop")
            }
            _ if self.process.stopped => ('T', "stopped"),
            Some(task) if matches!(task.state, TaskState::Blocked(_)) => ('S', "sleeping"),
            _ => ('R', "running"),
        }
    }

    /// The process of whoever asks.
    pub(super) fn caller(&self) -> Option<&'a Process> {
        self.view.processes.get(&self.view.tasks.get(&self.view.current)?.process)
    }

    /// EPERM unless the superuser or the process's own user asks.
    pub(super) fn check_same_user(&self) -> Result<(), Errno> {
        let user = self.caller().map(|process| process.credentials.euid);
        if user == Some(0) || user == Some(self.process.credentials.uid) { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// Bytes mapped.
    pub(super) fn size(&self) -> u64 {
        self.space.map_or(0, |space| space.areas.mapped())
    }

    /// Pages in memory.
    pub(super) fn resident(&self) -> u32 {
        self.space.map_or(0, |space| space.memory.resident_pages())
    }

    /// Clock ticks of processor time.
    pub(super) fn ticks(&self) -> u64 {
        let instructions = self.process.threads.iter().filter_map(|task| self.view.tasks.get(task));
        let sum =
            instructions.fold(self.process.instructions, |sum, task| sum.wrapping_add(task.instructions));
        self.view.time.processor_time(sum) / TICK
    }

    /// Bytes of the process's own memory.
    fn memory(&self, range: impl Fn(&Space) -> (u32, u32)) -> Vec<u8> {
        let Some(space) = self.space else { return Vec::new() };
        let (start, end) = range(space);
        let mut bytes = vec![0; end.saturating_sub(start) as usize];
        match space.memory.peek_bytes(start, &mut bytes) {
            Ok(()) => bytes,
            Err(_) => Vec::new(),
        }
    }

    /// The signals that are ignored, and those that have handlers.
    pub(super) fn dispositions(&self) -> [SignalSet; 2] {
        let mut sets = [SignalSet::default(); 2];
        let Some(actions) = self.view.actions.get(self.process.actions) else { return sets };
        for signal in (1..=64).filter_map(Signal::new) {
            match actions.get(signal).handler {
                Action::DEFAULT => {}
                Action::IGNORE => sets[0] = sets[0].union(SignalSet::of(signal)),
                _ => sets[1] = sets[1].union(SignalSet::of(signal)),
            }
        }
        sets
    }
}

/// `auxv`
pub(super) fn auxiliary_vector(subject: &Subject<'_>) -> Vec<u8> {
    subject.space.map_or_else(Vec::new, |space| space.auxiliary.clone())
}

/// `cmdline`
pub(super) fn command_line(subject: &Subject<'_>) -> Vec<u8> {
    subject.memory(|space| space.arguments)
}

/// `comm`
pub(super) fn name(subject: &Subject<'_>) -> Vec<u8> {
    [subject.name().as_bytes(), b"\n"].concat()
}

/// `oom_score`: as Linux has it for a process with little memory.
pub(super) fn oom_score(subject: &Subject<'_>) -> Vec<u8> {
    let adjustment = i32::from(subject.process.oom_adjustment.value);
    format!("{}\n", (1000 + adjustment) * 2 / 3).into_bytes()
}

/// `oom_score_adj`
pub(super) fn oom_adjustment(subject: &Subject<'_>) -> Vec<u8> {
    format!("{}\n", subject.process.oom_adjustment.value).into_bytes()
}

/// `io`
pub(super) fn transfers(subject: &Subject<'_>) -> Vec<u8> {
    let Transfers { read, written, reads, writes } = subject.process.transfers;
    // Nothing comes from a disk.
    let disk = "read_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n";
    format!("rchar: {read}\nwchar: {written}\nsyscr: {reads}\nsyscw: {writes}\n{disk}").into_bytes()
}

/// `personality`
pub(super) fn personality(subject: &Subject<'_>) -> Vec<u8> {
    format!("{:08x}\n", subject.process.personality).into_bytes()
}

/// `schedstat`: nanoseconds run, nanoseconds waited, and turns, which are not counted.
pub(super) fn schedule(subject: &Subject<'_>) -> Vec<u8> {
    let instructions = subject.task.map_or(0, |task| task.instructions);
    format!("{} 0 0\n", subject.view.time.processor_time(instructions)).into_bytes()
}

/// `syscall`: number, arguments, stack pointer and instruction pointer of the call that it waits in.
pub(super) fn system_call(subject: &Subject<'_>) -> Vec<u8> {
    let Some(task) = subject.task.filter(|task| matches!(task.state, TaskState::Blocked(_))) else {
        return b"running\n".to_vec();
    };
    let (pointer, eip) = (task.cpu.gpr(Gpr::Esp), task.cpu.eip);
    let Some(call) = &task.call else { return format!("-1 {pointer:#x} {eip:#x}\n").into_bytes() };
    let mut text = call.number.to_string();
    for argument in call.arguments {
        let _ = write!(text, " {argument:#x}");
    }
    let _ = writeln!(text, " {pointer:#x} {eip:#x}");
    text.into_bytes()
}

/// `coredump_filter`
pub(super) fn core_filter(subject: &Subject<'_>) -> Vec<u8> {
    format!("{:08x}\n", subject.process.attributes.core_filter).into_bytes()
}

/// `timerslack_ns`
pub(super) fn timer_slack(subject: &Subject<'_>) -> Vec<u8> {
    format!("{}\n", subject.process.attributes.timer_slack).into_bytes()
}

/// What is only written.
pub(super) fn nothing(_: &Subject<'_>) -> Vec<u8> {
    Vec::new()
}

/// `environ`
pub(super) fn environment(subject: &Subject<'_>) -> Vec<u8> {
    subject.memory(|space| space.environment)
}

/// `limits`: a table of the resource limits.
pub(super) fn limits(subject: &Subject<'_>) -> Vec<u8> {
    const ROWS: [(&str, &str); Resource::ALL.len()] = [
        ("Max cpu time", "seconds"),
        ("Max file size", "bytes"),
        ("Max data size", "bytes"),
        ("Max stack size", "bytes"),
        ("Max core file size", "bytes"),
        ("Max resident set", "bytes"),
        ("Max processes", "processes"),
        ("Max open files", "files"),
        ("Max locked memory", "bytes"),
        ("Max address space", "bytes"),
        ("Max file locks", "locks"),
        ("Max pending signals", "signals"),
        ("Max msgqueue size", "bytes"),
        ("Max nice priority", ""),
        ("Max realtime priority", ""),
        ("Max realtime timeout", "us"),
    ];
    let show = |limit: u64| if limit == u64::MAX { "unlimited".to_owned() } else { limit.to_string() };
    let mut text = format!("{:<26}{:<21}{:<21}{:<10}\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for ((name, unit), resource) in ROWS.iter().zip(Resource::ALL) {
        let Limit { soft, hard } = subject.process.limits[resource];
        let _ = writeln!(text, "{name:<26}{:<21}{:<21}{unit:<10}", show(soft), show(hard));
    }
    text.into_bytes()
}
