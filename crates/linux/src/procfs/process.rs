//! What `/proc/PID` says of a process (proc(5)).

use std::fmt::Write as _;

use pentimento_memory::{PAGE_SIZE, Permissions};

use super::processes::Processes;
use crate::errno::Errno;
use crate::ids::{ProcessId, TaskId};
use crate::resource::{Limit, Resource};
use crate::signal::{Action, Signal, SignalSet};
use crate::space::AreaSource;
use crate::space::Space;
use crate::task::{Process, Task, TaskState};

/// Nanoseconds of a clock tick (AT_CLKTCK is 100).
const TICK: u64 = 10_000_000;

/// Whom a file is about: a process, and one of its threads.
pub(super) struct Subject<'a> {
    view: &'a Processes<'a>,
    number: u32,
    thread: u32,
    process: &'a Process,
    task: Option<&'a Task>,
    space: Option<&'a Space>,
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

    fn name(&self) -> String {
        self.task.map_or_else(String::new, |task| String::from_utf8_lossy(&task.name).into_owned())
    }

    /// The letter and word of its state.
    fn state(&self) -> (char, &'static str) {
        match self.task {
            _ if self.process.ended.is_some() => ('Z', "zombie"),
            _ if self.process.stopped => ('T', "stopped"),
            Some(task) if matches!(task.state, TaskState::Blocked(_)) => ('S', "sleeping"),
            _ => ('R', "running"),
        }
    }

    /// Bytes mapped.
    fn size(&self) -> u64 {
        self.space.map_or(0, |space| space.areas.mapped())
    }

    /// Pages in memory.
    fn resident(&self) -> u32 {
        self.space.map_or(0, |space| space.memory.resident_pages())
    }

    /// Clock ticks of processor time.
    fn ticks(&self) -> u64 {
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

    /// `stat`: 52 numbers in one line.
    fn stat(&self) -> String {
        let Self { thread, process, .. } = self;
        let id = |id: ProcessId| id.number();
        let children = self.view.time.processor_time(process.child_instructions) / TICK;
        let nice = self.task.map_or(0, |task| task.nice);
        let mut line = format!(
            "{thread} ({}) {} {} {} {} 0 -1 4194304 0 0 0 0 {} 0 {children} 0 {} {nice} {} 0 {} {} {} {}",
            self.name(),
            self.state().0,
            id(process.parent),
            id(process.group),
            id(process.session),
            self.ticks(),
            20 + nice,
            process.threads.len(),
            process.started / TICK,
            self.size(),
            self.resident(),
            u32::MAX,
        );
        // Addresses of code and stack, signals, scheduling, and what else is not told.
        for _ in 26..=52 {
            line.push_str(" 0");
        }
        line.push('\n');
        line
    }

    /// `status`: one fact a line.
    fn status(&self) -> String {
        let ids = &self.process.credentials;
        let (letter, word) = self.state();
        let groups: Vec<String> = ids.groups.iter().map(u32::to_string).collect();
        let (private, mask) = self.task.map_or_else(Default::default, |task| (task.pending.set(), task.mask));
        let [ignored, caught] = self.dispositions();
        let capabilities: u64 = if ids.euid == 0 { 0x1ff_ffff_ffff } else { 0 };
        let size = self.size() / 1024;
        let resident = u64::from(self.resident()) * u64::from(PAGE_SIZE) / 1024;
        let mut text = String::new();
        let mut put = |name: &str, value: String| {
            let _ = writeln!(text, "{name}:\t{value}");
        };
        put("Name", self.name());
        put("State", format!("{letter} ({word})"));
        put("Tgid", self.number.to_string());
        put("Ngid", "0".into());
        put("Pid", self.thread.to_string());
        put("PPid", self.process.parent.number().to_string());
        put("TracerPid", "0".into());
        put("Uid", format!("{}\t{}\t{}\t{}", ids.uid, ids.euid, ids.suid, ids.fsuid));
        put("Gid", format!("{}\t{}\t{}\t{}", ids.gid, ids.egid, ids.sgid, ids.fsgid));
        put("FDSize", "64".into());
        put("Groups", groups.join(" "));
        put("VmPeak", format!("{size:8} kB"));
        put("VmSize", format!("{size:8} kB"));
        put("VmRSS", format!("{resident:8} kB"));
        put("Threads", self.process.threads.len().to_string());
        put("SigPnd", format!("{:016x}", private.0));
        put("ShdPnd", format!("{:016x}", self.process.pending.set().0));
        put("SigBlk", format!("{:016x}", mask.0));
        put("SigIgn", format!("{:016x}", ignored.0));
        put("SigCgt", format!("{:016x}", caught.0));
        for name in ["CapPrm", "CapEff", "CapBnd"] {
            put(name, format!("{capabilities:016x}"));
        }
        put("NoNewPrivs", self.process.attributes.no_new_privileges.to_string());
        put("Seccomp", "0".into());
        put("Cpus_allowed", "1".into());
        put("Cpus_allowed_list", "0".into());
        text
    }

    /// The signals that are ignored, and those that have handlers.
    fn dispositions(&self) -> [SignalSet; 2] {
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
    let adjustment = i32::from(subject.process.oom_adjustment.get());
    format!("{}\n", (1000 + adjustment) * 2 / 3).into_bytes()
}

/// `oom_score_adj`
pub(super) fn oom_adjustment(subject: &Subject<'_>) -> Vec<u8> {
    format!("{}\n", subject.process.oom_adjustment.get()).into_bytes()
}

/// Sets `oom_score_adj`: from -1000 to 1000, for users not below what the superuser set last.
pub(super) fn set_oom_adjustment(subject: &Subject<'_>, text: &[u8]) -> Result<(), Errno> {
    let text = std::str::from_utf8(text.trim_ascii()).map_err(|_| Errno::EINVAL)?;
    let wanted: i16 = text.parse().map_err(|_| Errno::EINVAL)?;
    if !(-1000..=1000).contains(&wanted) {
        return Err(Errno::EINVAL);
    }
    let caller = subject.view.tasks.get(&subject.view.current);
    let caller = caller.and_then(|task| subject.view.processes.get(&task.process));
    let privileged = caller.is_some_and(|process| process.credentials.euid == 0);
    if subject.process.oom_adjustment.set(wanted, privileged) { Ok(()) } else { Err(Errno::EACCES) }
}

/// `environ`
pub(super) fn environment(subject: &Subject<'_>) -> Vec<u8> {
    subject.memory(|space| space.environment)
}

/// `stat`
pub(super) fn stat(subject: &Subject<'_>) -> Vec<u8> {
    subject.stat().into_bytes()
}

/// `statm`
pub(super) fn memory_pages(subject: &Subject<'_>) -> Vec<u8> {
    let (size, resident) = (subject.size() / PAGE_SIZE as u64, subject.resident());
    format!("{size} {resident} 0 0 0 {size} 0\n").into_bytes()
}

/// `status`
pub(super) fn status(subject: &Subject<'_>) -> Vec<u8> {
    subject.status().into_bytes()
}

/// `maps`: one area a line.
pub(super) fn maps(subject: &Subject<'_>) -> Vec<u8> {
    let Some(space) = subject.space else { return Vec::new() };
    let mut text = Vec::new();
    for (start, area) in space.areas.iter() {
        let flag = |bit, letter| if area.protection.contains(bit) { letter } else { '-' };
        let (offset, inode) = match area.backing {
            AreaSource::File { node, offset } => (offset, node.node.0),
            AreaSource::Program { offset, .. } => (u64::from(offset), 1),
            AreaSource::Shared { object, offset } => (offset, object),
            _ => (0, 0),
        };
        let line = format!(
            "{start:08x}-{:08x} {}{}{}{} {offset:08x} 00:00 {inode}",
            area.end,
            flag(Permissions::READ, 'r'),
            flag(Permissions::WRITE, 'w'),
            flag(Permissions::EXECUTE, 'x'),
            if area.shared { 's' } else { 'p' },
        );
        let name: &[u8] = match area.backing {
            AreaSource::Heap => b"[heap]",
            AreaSource::Stack => b"[stack]",
            AreaSource::Vdso => b"[vdso]",
            AreaSource::Shared { .. } => b"/dev/zero (deleted)",
            AreaSource::File { node, .. } => space.files.get(&node).map_or(b"", |file| &file.name),
            AreaSource::Program { interpreter: false, .. } => &space.program,
            AreaSource::Program { interpreter: true, .. } => &space.interpreter,
            AreaSource::Anonymous => b"",
        };
        if name.is_empty() {
            text.extend_from_slice(line.as_bytes());
        } else {
            // Names start in the same column.
            text.extend_from_slice(format!("{line:<72} ").as_bytes());
            text.extend_from_slice(name);
        }
        text.push(b'\n');
    }
    text
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
