//! seccomp(2), the same by prctl(2), and what becomes of calls that a filter refuses.

use std::sync::Arc;

use crate::errno::Errno;
use crate::ids::{ProcessId, TaskId, Termination};
use crate::kernel::{Arguments, Call};
use crate::seccomp::{Attempt, Filter, Instruction, PROGRAM_MAX, Seccomp, action};
use crate::signal::{Info, Signal};
use crate::wait::{CallResult, Failure};

const TSYNC: u32 = 1;
const LOG: u32 = 2;
const SPEC_ALLOW: u32 = 4;
const TSYNC_ESRCH: u32 = 16;

/// What a filter makes of a call.
pub(super) enum Screened {
    /// It is made.
    Allowed,
    /// It is not made, and this comes of it.
    Refused(CallResult),
}

/// seccomp(2).
pub(super) fn seccomp(call: &mut Call<'_>, [operation, flags, address, ..]: Arguments) -> CallResult {
    const SET_MODE_STRICT: u32 = 0;
    const SET_MODE_FILTER: u32 = 1;
    const GET_ACTION_AVAIL: u32 = 2;
    const GET_NOTIF_SIZES: u32 = 3;
    match operation {
        SET_MODE_STRICT if flags == 0 && address == 0 => set_strict(call),
        SET_MODE_FILTER => set_filter(call, flags, address),
        GET_ACTION_AVAIL if flags == 0 => {
            use action::{ALLOW, ERRNO, KILL_PROCESS, KILL_THREAD, TRACE, TRAP};
            let known = [KILL_PROCESS, KILL_THREAD, TRAP, ERRNO, TRACE, action::LOG, ALLOW];
            let asked: u32 = call.user().read(address)?;
            if known.contains(&asked) { Ok(0) } else { Err(Errno::EOPNOTSUPP.into()) }
        }
        GET_NOTIF_SIZES if flags == 0 => {
            // struct seccomp_notif, seccomp_notif_resp and seccomp_data.
            let sizes = [80_u16, 24, 64].map(u16::to_le_bytes).concat();
            call.user().copy_out(address, &sizes)?;
            Ok(0)
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

/// prctl(PR_SET_SECCOMP).
pub(super) fn set_mode(call: &mut Call<'_>, mode: u32, address: u32) -> CallResult {
    match mode {
        1 => set_strict(call),
        2 => set_filter(call, 0, address),
        _ => Err(Errno::EINVAL.into()),
    }
}

fn set_strict(call: &mut Call<'_>) -> CallResult {
    match call.task().seccomp {
        Seccomp::Filtered(_) => Err(Errno::EINVAL.into()),
        _ => {
            call.task().seccomp = Seccomp::Strict;
            Ok(0)
        }
    }
}

/// Installs a filter on top of those that there are. Nobody listens to filters (SECCOMP_FILTER_FLAG_NEW_LISTENER).
fn set_filter(call: &mut Call<'_>, flags: u32, address: u32) -> CallResult {
    if flags & !(TSYNC | LOG | SPEC_ALLOW | TSYNC_ESRCH) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let program = read_program(call, address)?;
    let process = call.process();
    if process.attributes.no_new_privileges == 0 && process.credentials.euid != 0 {
        return Err(Errno::EACCES.into());
    }
    call.charge((program.len() * Instruction::SIZE) as u64)?;
    let previous = match &call.task().seccomp {
        Seccomp::Strict => return Err(Errno::EINVAL.into()),
        other => other.filter().cloned(),
    };
    let filter = Filter::new(program, previous.clone())?;
    if flags & TSYNC == 0 {
        call.task().seccomp = Seccomp::Filtered(filter);
        return Ok(0);
    }
    if let Some(other) = diverging(call, previous.as_ref()) {
        return if flags & TSYNC_ESRCH != 0 { Err(Errno::ESRCH.into()) } else { Ok(other.number()) };
    }
    for thread in call.process().threads.clone() {
        call.kernel.task(thread).seccomp = Seccomp::Filtered(filter.clone());
    }
    Ok(0)
}

/// A thread of the caller's process that has filters which the caller has not.
fn diverging(call: &mut Call<'_>, own: Option<&Arc<Filter>>) -> Option<TaskId> {
    let threads = call.process().threads.clone();
    threads.into_iter().find(|thread| match &call.kernel.task(*thread).seccomp {
        Seccomp::Off => false,
        Seccomp::Strict => true,
        Seccomp::Filtered(filter) => own.is_none_or(|own| !own.descends_from(filter)),
    })
}

/// The program of a `struct sock_fprog`: how many instructions, and where.
fn read_program(call: &mut Call<'_>, address: u32) -> Result<Vec<Instruction>, Errno> {
    let [count, start] = call.user().words(address)?;
    let count = count & 0xffff;
    if count == 0 || count as usize > PROGRAM_MAX {
        return Err(Errno::EINVAL);
    }
    let bytes = call.user().bytes(start, count * Instruction::SIZE as u32)?;
    let (chunks, _) = bytes.as_chunks::<{ Instruction::SIZE }>();
    Ok(chunks.iter().map(|chunk| Instruction::from_bytes(*chunk)).collect())
}

impl Call<'_> {
    /// Whether the caller's filters let a call through.
    pub(super) fn screen(&mut self, number: u32, arguments: &[u32; 6]) -> Screened {
        match &self.task().seccomp {
            Seccomp::Off => Screened::Allowed,
            Seccomp::Strict => self.screen_strictly(number),
            Seccomp::Filtered(filter) => {
                let filter = filter.clone();
                let attempt = Attempt { number, arguments: *arguments, eip: self.task().cpu.eip };
                self.obey(filter.judge(&attempt), &attempt)
            }
        }
    }

    fn screen_strictly(&mut self, number: u32) -> Screened {
        /// exit(2), read(2), write(2) and sigreturn(2).
        const ALLOWED: [u32; 4] = [1, 3, 4, 119];
        if ALLOWED.contains(&number) { Screened::Allowed } else { self.end_thread(Signal::KILL) }
    }

    /// Does what a filter says.
    fn obey(&mut self, verdict: u32, attempt: &Attempt) -> Screened {
        /// The largest errno that there is room for (MAX_ERRNO).
        const ERRNO_MAX: u32 = 4095;
        let data = verdict & !action::MASK;
        match verdict & action::MASK {
            action::ALLOW | action::LOG => Screened::Allowed,
            action::ERRNO => Screened::Refused(Ok(data.min(ERRNO_MAX).wrapping_neg())),
            // Nobody traces, and nobody listens.
            action::TRACE | action::USER_NOTIFICATION => Screened::Refused(Err(Errno::ENOSYS.into())),
            action::TRAP => {
                let info = Info { errno: data, ..Info::refused_call(attempt.eip, attempt.number) };
                self.kernel.force_signal(self.task_id, info);
                // EAX still has the number, which is what the handler finds there.
                Screened::Refused(Err(Failure::NoReturn))
            }
            action::KILL_THREAD => self.end_thread(Signal::SYS),
            _ => self.end_whole(self.process_id, Signal::SYS),
        }
    }

    /// Ends the calling thread, and with the last one the process.
    fn end_thread(&mut self, signal: Signal) -> Screened {
        if self.process().threads.len() < 2 {
            return self.end_whole(self.process_id, signal);
        }
        self.kernel.end_task(self.task_id, 0);
        Screened::Refused(Err(Failure::NoReturn))
    }

    fn end_whole(&mut self, process: ProcessId, signal: Signal) -> Screened {
        self.kernel.end_process(process, Termination::Killed(signal.number()));
        Screened::Refused(Err(Failure::NoReturn))
    }
}
