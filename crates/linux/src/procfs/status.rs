//! What `/proc/PID` says of a process as a whole: `stat`, `statm`, `status` (proc(5)).

use std::fmt::Write as _;

use pentimento_memory::{PAGE_SIZE, Permissions};

use super::process::{Subject, TICK};
use crate::resource::Resource;
use crate::seccomp::Seccomp;
use crate::signal::Signal;
use crate::space::{Area, AreaSource, Space};

/// First and one past the last address of the program's areas of a kind; zeros where there are none.
fn program_areas(space: Option<&Space>, is_wanted: impl Fn(&Area) -> bool) -> (u32, u32) {
    let own = |area: &Area| matches!(area.backing, AreaSource::Program { interpreter: false, .. });
    let mut bounds = (0, 0);
    let areas = space.into_iter().flat_map(|space| space.areas.iter());
    for (start, area) in areas.filter(|(_, area)| own(area) && is_wanted(area)) {
        bounds = (if bounds.1 == 0 { start } else { bounds.0 }, area.end);
    }
    bounds
}

/// `stat`: 52 numbers in one line.
pub(super) fn stat(subject: &Subject<'_>) -> Vec<u8> {
    let Subject { view, thread, process, task, space, .. } = subject;
    let children = view.time.processor_time(process.child_instructions) / TICK;
    let nice = task.map_or(0, |task| task.nice);
    let mut line = format!(
        "{thread} ({}) {} {} {} {} 0 -1 4194304 0 0 0 0 {} 0 {children} 0 {} {nice} {} 0 {} {} {} {}",
        subject.name(),
        subject.state().0,
        process.parent.number(),
        process.group.number(),
        process.session.number(),
        subject.ticks(),
        20 + nice,
        process.threads.len(),
        process.started / TICK,
        subject.size(),
        subject.resident(),
        u32::MAX,
    );
    let code = program_areas(*space, |area| area.protection.contains(Permissions::EXECUTE));
    let data = program_areas(*space, |area| area.protection.contains(Permissions::WRITE));
    let (arguments, environment) =
        space.map_or(((0, 0), (0, 0)), |space| (space.arguments, space.environment));
    let [ignored, caught] = subject.dispositions();
    let (pending, mask) = task.map_or_else(Default::default, |task| (task.pending.set(), task.mask));
    // Real-time signals do not fit.
    let standard = |set: u64| set & 0x7fff_ffff;
    let exit_signal = process.exit_signal.map_or(0, Signal::number);
    let heap = space.map_or(0, |space| space.heap_start);
    let _ = writeln!(
        line,
        " {} {} {} 0 0 {} {} {} {} 0 0 0 {exit_signal} 0 0 0 0 0 0 {} {} {heap} {} {} {} {} 0",
        code.0,
        code.1,
        arguments.0,
        standard(pending.0),
        standard(mask.0),
        standard(ignored.0),
        standard(caught.0),
        data.0,
        data.1,
        arguments.0,
        arguments.1,
        environment.0,
        environment.1,
    );
    line.into_bytes()
}

/// `statm`
pub(super) fn memory_pages(subject: &Subject<'_>) -> Vec<u8> {
    let (size, resident) = (subject.size() / u64::from(PAGE_SIZE), subject.resident());
    let code = program_areas(subject.space, |area| area.protection.contains(Permissions::EXECUTE));
    let text = (code.1 - code.0) / PAGE_SIZE;
    let data = subject.space.map_or(0, |space| space.areas.data()) / u64::from(PAGE_SIZE);
    format!("{size} {resident} 0 {text} 0 {data} 0\n").into_bytes()
}

/// A line of `status`.
fn put(text: &mut String, name: &str, value: impl std::fmt::Display) {
    let _ = writeln!(text, "{name}:\t{value}");
}

/// `status`: one fact a line.
pub(super) fn status(subject: &Subject<'_>) -> Vec<u8> {
    let mut text = String::new();
    identity(subject, &mut text);
    memory(subject, &mut text);
    signals(subject, &mut text);
    rights(subject, &mut text);
    text.into_bytes()
}

/// Who it is: from `Name` to `NSsid`.
fn identity(subject: &Subject<'_>, text: &mut String) {
    let (letter, word) = subject.state();
    let process = subject.process;
    let ids = &process.credentials;
    let groups: String = ids.groups.iter().map(|group| format!("{group} ")).collect();
    put(text, "Name", subject.name());
    let location = subject.task.and_then(|task| subject.view.locations.get(task.location));
    if let Some(location) = location {
        put(text, "Umask", format_args!("{:04o}", location.umask));
    }
    put(text, "State", format_args!("{letter} ({word})"));
    put(text, "Tgid", subject.number);
    put(text, "Ngid", 0);
    put(text, "Pid", subject.thread);
    put(text, "PPid", process.parent.number());
    let tracer = subject.task.and_then(|task| task.tracing.as_ref()).map_or(0, |t| t.tracer.number());
    put(text, "TracerPid", tracer);
    put(text, "Uid", format_args!("{}\t{}\t{}\t{}", ids.uid, ids.euid, ids.suid, ids.fsuid));
    put(text, "Gid", format_args!("{}\t{}\t{}\t{}", ids.gid, ids.egid, ids.sgid, ids.fsgid));
    put(text, "FDSize", 64);
    put(text, "Groups", groups);
    put(text, "NStgid", subject.number);
    put(text, "NSpid", subject.thread);
    put(text, "NSpgid", process.group.number());
    put(text, "NSsid", process.session.number());
}

/// What it takes: from `VmPeak` to `Threads`.
fn memory(subject: &Subject<'_>, text: &mut String) {
    if let Some(space) = subject.space {
        let size = subject.size() / 1024;
        let resident = u64::from(subject.resident()) * u64::from(PAGE_SIZE) / 1024;
        let stacks = space.areas.iter().filter(|(_, area)| area.grows_down);
        let stack: u32 = stacks.map(|(start, area)| area.end.wrapping_sub(start)).sum();
        let code = program_areas(subject.space, |area| area.protection.contains(Permissions::EXECUTE));
        let rows = [
            ("VmPeak", size),
            ("VmSize", size),
            ("VmLck", 0),
            ("VmPin", 0),
            ("VmHWM", resident),
            ("VmRSS", resident),
            ("RssAnon", resident),
            ("RssFile", 0),
            ("RssShmem", 0),
            ("VmData", space.areas.data() / 1024),
            ("VmStk", u64::from(stack) / 1024),
            ("VmExe", u64::from(code.1 - code.0) / 1024),
            ("VmLib", 0),
            ("VmPTE", space.memory.table_bytes() / 1024),
            ("VmSwap", 0),
            ("HugetlbPages", 0),
        ];
        for (name, kibibytes) in rows {
            put(text, name, format_args!("{kibibytes:8} kB"));
        }
        put(text, "CoreDumping", 0);
        put(text, "THP_enabled", 0);
    }
    put(text, "Threads", subject.process.threads.len());
}

/// From `SigQ` to `SigCgt`.
fn signals(subject: &Subject<'_>, text: &mut String) {
    let process = subject.process;
    let (private, mask) = subject.task.map_or_else(Default::default, |task| (task.pending.set(), task.mask));
    let [ignored, caught] = subject.dispositions();
    let queued = process.pending.len() + subject.task.map_or(0, |task| task.pending.len());
    put(text, "SigQ", format_args!("{queued}/{}", process.limits[Resource::Sigpending].soft));
    let sets = [
        ("SigPnd", private),
        ("ShdPnd", process.pending.set()),
        ("SigBlk", mask),
        ("SigIgn", ignored),
        ("SigCgt", caught),
    ];
    for (name, set) in sets {
        put(text, name, format_args!("{:016x}", set.0));
    }
}

/// From `CapInh` to the end.
fn rights(subject: &Subject<'_>, text: &mut String) {
    let process = subject.process;
    let capabilities: u64 = if process.credentials.euid == 0 { 0x1ff_ffff_ffff } else { 0 };
    for (name, set) in [
        ("CapInh", 0),
        ("CapPrm", capabilities),
        ("CapEff", capabilities),
        ("CapBnd", capabilities),
        ("CapAmb", 0),
    ] {
        put(text, name, format_args!("{set:016x}"));
    }
    put(text, "NoNewPrivs", process.attributes.no_new_privileges);
    let seccomp = subject.task.map_or(&Seccomp::Off, |task| &task.seccomp);
    let filters = seccomp.filter().map_or(0, |filter| filter.count());
    put(text, "Seccomp", seccomp.mode());
    put(text, "Seccomp_filters", filters);
    put(text, "Cpus_allowed", 1);
    put(text, "Cpus_allowed_list", 0);
    put(text, "Mems_allowed", 1);
    put(text, "Mems_allowed_list", 0);
    put(text, "voluntary_ctxt_switches", 0);
    put(text, "nonvoluntary_ctxt_switches", 0);
}
