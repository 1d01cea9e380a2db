//! Waiting for children: wait4(2) and waitid(2).

use bitflags::bitflags;

use super::time::resource_usage;
use crate::errno::Errno;
use crate::ids::{ProcessId, TaskId, Termination};
use crate::kernel::{Arguments, Call, Kernel};
use crate::objects::OpenFlags;
use crate::ptrace::EndedTracee;
use crate::record::Record;
use crate::signal::{Info, Signal, code};
use crate::task::{ChildEvent, Process};
use crate::wait::{CallResult, Channel, Failure, Wait};

bitflags! {
    /// Options of wait4(2) and waitid(2).
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    struct WaitOptions: u32 {
        const NOHANG = 1;
        const STOPPED = 2;
        const EXITED = 4;
        const CONTINUED = 8;
        const NOWAIT = 0x0100_0000;
        const NOTHREAD = 0x2000_0000;
        const ALL = 0x4000_0000;
        const CLONE = 0x8000_0000;
    }
}

/// Which children wait4(2) and waitid(2) are about.
#[derive(Clone, Copy, Debug)]
enum Children {
    Any,
    One(ProcessId),
    Group(ProcessId),
}

/// What a report is about.
#[derive(Clone, Copy, Debug)]
enum Subject {
    /// A child.
    Child,
    /// A thread that the caller traces has stopped.
    Stopped(TaskId),
    /// One has ended, with its process or without.
    Ended(EndedTracee),
}

/// A child with something to report, or a thread that the caller traces.
#[derive(Clone, Copy, Debug)]
struct Report {
    subject: Subject,
    /// Its number.
    child: ProcessId,
    /// As wait4(2) stores it.
    status: u32,
    info: Info,
    user: u32,
    /// Instructions of the child and those that it waited for.
    instructions: u64,
}

impl Children {
    /// Whether a process, or a traced thread of it with the number `id`, is one of them.
    fn contain(self, id: ProcessId, process: &Process) -> bool {
        match self {
            Self::Any => true,
            Self::One(wanted) => wanted == id,
            Self::Group(group) => process.group == group,
        }
    }
}

/// An end as wait4(2) stores it.
fn status_of(how: Termination) -> u32 {
    match how {
        Termination::Exited(status) => u32::from(status) << 8,
        Termination::Killed(signal) => signal.into(),
    }
}

/// The first thread that the caller traces and that has something to report, and whether it traces any.
/// Which kind of children is asked for means nothing for them.
fn find_tracee(call: &mut Call<'_>, which: Children, options: WaitOptions) -> (Option<Report>, bool) {
    let mut any = false;
    for ended in call.process().ended_tracees.clone() {
        let id = ProcessId(ended.task.number());
        let chosen = match (which, call.kernel.processes.get(&id)) {
            (which, Some(process)) => which.contain(id, process),
            (Children::One(wanted), None) => wanted == id,
            (Children::Any, None) => true,
            (Children::Group(_), None) => false,
        };
        any |= chosen;
        if chosen && options.contains(WaitOptions::EXITED) {
            let (code, status) = match ended.how {
                Termination::Exited(status) => (code::CLD_EXITED, status),
                Termination::Killed(signal) => (code::CLD_KILLED, signal),
            };
            let fields = [id.number(), ended.user, u32::from(status), 0, 0];
            let report = Report {
                subject: Subject::Ended(ended),
                child: id,
                status: status_of(ended.how),
                info: Info { signal: Signal::CHLD, errno: 0, code, fields },
                user: ended.user,
                instructions: 0,
            };
            return (Some(report), true);
        }
    }
    for tracee in call.process().tracees.clone() {
        let Some(task) = call.kernel.tasks.get(&tracee) else { continue };
        let Some(process) = call.kernel.processes.get(&task.process) else { continue };
        let id = ProcessId(tracee.number());
        if !which.contain(id, process) {
            continue;
        }
        any = true;
        let Some(tracing) = task.tracing.as_ref().filter(|tracing| !tracing.reported) else { continue };
        let Some(status) = tracing.status() else { continue };
        let report = Report {
            subject: Subject::Stopped(tracee),
            child: id,
            status: status << 8 | 0x7f,
            info: call.kernel.tracee_info(tracee, code::CLD_TRAPPED, status),
            user: process.credentials.uid,
            instructions: task.instructions,
        };
        return (Some(report), true);
    }
    (None, any)
}

/// The first child of the caller with something to report; `None` if all go on undisturbed.
///
/// # Errors
/// ECHILD without such children.
fn find_report(call: &mut Call<'_>, which: Children, options: WaitOptions) -> Result<Option<Report>, Errno> {
    let (report, mut any) = find_tracee(call, which, options);
    if report.is_some() {
        return Ok(report);
    }
    for child in call.process().children.clone() {
        let Some(process) = call.kernel.processes.get(&child) else { continue };
        let is_clone = process.exit_signal != Some(Signal::CHLD);
        let kind = options.contains(WaitOptions::ALL) || is_clone == options.contains(WaitOptions::CLONE);
        if !which.contain(child, process) || !kind {
            continue;
        }
        any = true;
        let status = match (process.ended, process.event) {
            // Its tracer hears of it first.
            (Some(_), _) if process.tracer.is_some() => continue,
            (Some(how), _) if options.contains(WaitOptions::EXITED) => status_of(how),
            (None, Some(ChildEvent::Stopped(signal))) if options.contains(WaitOptions::STOPPED) => {
                u32::from(signal) << 8 | 0x7f
            }
            (None, Some(ChildEvent::Continued)) if options.contains(WaitOptions::CONTINUED) => 0xffff,
            _ => continue,
        };
        let report = Report {
            subject: Subject::Child,
            child,
            status,
            info: call.kernel.child_info(child),
            user: process.credentials.uid,
            instructions: process.instructions.wrapping_add(process.child_instructions),
        };
        return Ok(Some(report));
    }
    if any { Ok(None) } else { Err(Errno::ECHILD) }
}

/// What was reported is not reported again.
fn consume(kernel: &mut Kernel, waiter: ProcessId, report: &Report, options: WaitOptions) {
    if options.contains(WaitOptions::NOWAIT) {
        return;
    }
    match report.subject {
        Subject::Stopped(tracee) => {
            if let Some(tracing) = kernel.tracing(tracee) {
                tracing.reported = true;
            }
        }
        Subject::Ended(tracee) => {
            if let Some(process) = kernel.processes.get_mut(&waiter) {
                process.ended_tracees.retain(|other| *other != tracee);
            }
            kernel.give_to_parent(tracee);
        }
        Subject::Child => match kernel.processes.get_mut(&report.child) {
            Some(process) if process.ended.is_none() => process.event = None,
            _ => kernel.reap(report.child),
        },
    }
}

/// wait4(2).
pub(super) fn wait4(call: &mut Call<'_>, [target, status, bits, usage, ..]: Arguments) -> CallResult {
    let options = WaitOptions::from_bits(bits).ok_or(Errno::EINVAL)? | WaitOptions::EXITED;
    if bits & WaitOptions::EXITED.bits() != 0 || options.contains(WaitOptions::NOWAIT) {
        return Err(Errno::EINVAL.into());
    }
    let which = match target as i32 {
        -1 => Children::Any,
        0 => Children::Group(call.process().group),
        i32::MIN => return Err(Errno::ESRCH.into()),
        target if target < 0 => Children::Group(ProcessId(target.unsigned_abs())),
        _ => Children::One(ProcessId(target)),
    };
    let Some(report) = find_report(call, which, options)? else {
        return wait_or_leave(call, options);
    };
    consume(call.kernel, call.process_id, &report, options);
    if status != 0 {
        call.user().write(status, report.status)?;
    }
    if usage != 0 {
        let time = call.kernel.time.processor_time(report.instructions);
        call.user().copy_out(usage, resource_usage(time).as_bytes())?;
    }
    Ok(report.child.0)
}

fn wait_or_leave(call: &mut Call<'_>, options: WaitOptions) -> CallResult {
    if options.contains(WaitOptions::NOHANG) {
        return Ok(0);
    }
    let own = call.process_id;
    Err(Failure::Block(Wait::on(Channel::Child(own))))
}

/// waitpid(2).
pub(super) fn waitpid(call: &mut Call<'_>, [target, status, options, ..]: Arguments) -> CallResult {
    wait4(call, [target, status, options, 0, 0, 0])
}

/// waitid(2).
pub(super) fn waitid(call: &mut Call<'_>, [kind, target, address, bits, usage, _]: Arguments) -> CallResult {
    let options = WaitOptions::from_bits(bits).ok_or(Errno::EINVAL)?;
    let events = WaitOptions::EXITED | WaitOptions::STOPPED | WaitOptions::CONTINUED;
    if !options.intersects(events) {
        return Err(Errno::EINVAL.into());
    }
    let which = match kind {
        0 => Children::Any,
        1 if target as i32 > 0 => Children::One(ProcessId(target)),
        3 => match super::pidfd::process(call, target) {
            Ok((process, _)) => Children::One(process),
            // It has been waited for.
            Err(Errno::ESRCH) => return Err(Errno::ECHILD.into()),
            Err(errno) => return Err(errno.into()),
        },
        2 if target == 0 => Children::Group(call.process().group),
        2 if target as i32 > 0 => Children::Group(ProcessId(target)),
        _ => return Err(Errno::EINVAL.into()),
    };
    let Some(report) = find_report(call, which, options)? else {
        if options.contains(WaitOptions::NOHANG) && address != 0 {
            // No child: si_pid and si_signo are 0.
            let record = Record::new().pad_to(24);
            call.user().copy_out(address, record.as_bytes())?;
        }
        let impatient = kind == 3 && !options.contains(WaitOptions::NOHANG);
        if impatient && super::pidfd::process(call, target)?.1.contains(OpenFlags::O_NONBLOCK) {
            return Err(Errno::EAGAIN.into());
        }
        return wait_or_leave(call, options);
    };
    consume(call.kernel, call.process_id, &report, options);
    if usage != 0 {
        let time = call.kernel.time.processor_time(report.instructions);
        call.user().copy_out(usage, resource_usage(time).as_bytes())?;
    }
    if address != 0 {
        let info = report.info;
        let record = Record::new()
            .u32(u32::from(Signal::CHLD.number()))
            .u32(0)
            .u32(info.code as u32)
            .u32(report.child.0)
            .u32(report.user)
            .u32(info.fields[2]);
        call.user().copy_out(address, record.as_bytes())?;
    }
    debug_assert!(info_is_child(&report.info), "waitid reports children only");
    Ok(0)
}

fn info_is_child(info: &Info) -> bool {
    (code::CLD_EXITED..=code::CLD_CONTINUED).contains(&info.code)
}
