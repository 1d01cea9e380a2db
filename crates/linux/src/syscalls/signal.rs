//! Signals: sigaction(2), sigprocmask(2), kill(2), and waiting for them.

use pentimento_registers::{DescriptorTables, Gpr};

use super::time::{Layout, read_timeout};
use crate::errno::Errno;
use crate::ids::{ProcessId, TaskId};
use crate::kernel::{Arguments, Call, Kernel};
use crate::record::Record;
use crate::resource::Resource;
use crate::signal::{
    Action, AlternateStack, Info, SS_AUTODISARM, SS_DISABLE, SS_ONSTACK, Signal, SignalSet, code, frame,
};
use crate::user_memory::UserMemory;
use crate::wait::{CallResult, Failure, Wait};

/// Bytes of a `sigset_t`.
const SET_SIZE: u32 = 8;

fn check_set_size(size: u32) -> Result<(), Errno> {
    if size == SET_SIZE { Ok(()) } else { Err(Errno::EINVAL) }
}

/// The set at `address`.
pub(super) fn read_set(call: &mut Call<'_>, address: u32, size: u32) -> Result<SignalSet, Errno> {
    check_set_size(size)?;
    Ok(SignalSet(call.user().read(address)?))
}

/// Puts a new action in place of the old one, which it returns.
fn replace_action(call: &mut Call<'_>, number: u32, new: Option<Action>) -> Result<Action, Errno> {
    let signal = Signal::new(number).ok_or(Errno::EINVAL)?;
    let actions = call.process().actions;
    let old = call.kernel.actions[actions].get(signal);
    if let Some(mut action) = new {
        if SignalSet::UNBLOCKABLE.contains(signal) {
            return Err(Errno::EINVAL);
        }
        action.mask = action.mask.as_mask();
        call.kernel.actions[actions].set(signal, action);
        if call.kernel.actions[actions].ignores(signal) {
            let set = SignalSet::of(signal);
            call.process().pending.discard(set);
            for thread in call.process().threads.clone() {
                call.kernel.task(thread).pending.discard(set);
            }
        }
        let discarded = call.kernel.actions[actions].ignores(signal);
        call.kernel.wake_timers(call.process_id, SignalSet::of(signal), discarded);
    }
    Ok(old)
}

/// rt_sigaction(2).
pub(super) fn rt_sigaction(call: &mut Call<'_>, [number, new, old, size, ..]: Arguments) -> CallResult {
    check_set_size(size)?;
    let action = match new {
        0 => None,
        new => {
            let [handler, flags, restorer, low, high] = call.user().words(new)?;
            let mask = SignalSet(u64::from(high) << 32 | u64::from(low));
            Some(Action { handler, flags, restorer, mask })
        }
    };
    let before = replace_action(call, number, action)?;
    if old != 0 {
        let record =
            Record::new().u32(before.handler).u32(before.flags).u32(before.restorer).u64(before.mask.0);
        call.user().copy_out(old, record.as_bytes())?;
    }
    Ok(0)
}

/// sigaction(2) as number 67: a mask of 32 signals, and its own order of fields.
pub(super) fn sigaction(call: &mut Call<'_>, [number, new, old, ..]: Arguments) -> CallResult {
    let action = match new {
        0 => None,
        new => {
            let [handler, mask, flags, restorer] = call.user().words(new)?;
            Some(Action { handler, flags, restorer, mask: SignalSet(u64::from(mask)) })
        }
    };
    let before = replace_action(call, number, action)?;
    if old != 0 {
        let record = Record::new()
            .u32(before.handler)
            .u32(before.mask.0 as u32)
            .u32(before.flags)
            .u32(before.restorer);
        call.user().copy_out(old, record.as_bytes())?;
    }
    Ok(0)
}

/// signal(2): resets itself and does not block, as System V had it.
pub(super) fn signal(call: &mut Call<'_>, [number, handler, ..]: Arguments) -> CallResult {
    use crate::signal::flag::{NODEFER, RESETHAND};
    let action = Action { handler, flags: RESETHAND | NODEFER, ..Action::default() };
    Ok(replace_action(call, number, Some(action))?.handler)
}

/// Changes the mask of `task` as sigprocmask(2) says.
fn change_mask(call: &mut Call<'_>, how: u32, set: SignalSet) -> Result<(), Errno> {
    let mask = &mut call.task().mask;
    let new = match how {
        0 => mask.union(set),
        1 => mask.without(set),
        2 => set,
        _ => return Err(Errno::EINVAL),
    };
    let blocked = new.as_mask().without(*mask);
    *mask = new.as_mask();
    // A signal that is ignored is kept while it is blocked.
    call.kernel.wake_timers(call.process_id, blocked, false);
    Ok(())
}

/// rt_sigprocmask(2).
pub(super) fn rt_sigprocmask(call: &mut Call<'_>, [how, new, old, size, ..]: Arguments) -> CallResult {
    check_set_size(size)?;
    let before = call.task().mask;
    if new != 0 {
        let set = read_set(call, new, size)?;
        change_mask(call, how, set)?;
    }
    if old != 0 {
        call.user().write(old, before.0)?;
    }
    Ok(0)
}

/// sigprocmask(2) as number 126: the first 32 signals.
pub(super) fn sigprocmask(call: &mut Call<'_>, [how, new, old, ..]: Arguments) -> CallResult {
    let before = call.task().mask;
    if new != 0 {
        let low: u32 = call.user().read(new)?;
        let high = if how == 2 { before.0 & !0xffff_ffff } else { 0 };
        change_mask(call, how, SignalSet(high | u64::from(low)))?;
    }
    if old != 0 {
        call.user().write(old, before.0 as u32)?;
    }
    Ok(0)
}

/// sgetmask(2).
pub(super) fn sgetmask(call: &mut Call<'_>, _: Arguments) -> CallResult {
    Ok(call.task().mask.0 as u32)
}

/// ssetmask(2).
pub(super) fn ssetmask(call: &mut Call<'_>, [new, ..]: Arguments) -> CallResult {
    let before = call.task().mask.0 as u32;
    // A 64-bit kernel extends the sign.
    call.task().mask = SignalSet(i64::from(new as i32) as u64).as_mask();
    Ok(before)
}

/// The signals that are pending and blocked.
fn pending(call: &mut Call<'_>) -> SignalSet {
    let shared = call.process().pending.set();
    let task = call.task();
    task.pending.set().union(shared).intersection(task.mask)
}

/// rt_sigpending(2).
pub(super) fn rt_sigpending(call: &mut Call<'_>, [set, size, ..]: Arguments) -> CallResult {
    if size > SET_SIZE {
        return Err(Errno::EINVAL.into());
    }
    let pending = pending(call).0.to_le_bytes();
    call.user().copy_out(set, &pending[..size as usize])?;
    Ok(0)
}

/// sigpending(2).
pub(super) fn sigpending(call: &mut Call<'_>, [set, ..]: Arguments) -> CallResult {
    let pending = pending(call).0 as u32;
    call.user().write(set, pending)?;
    Ok(0)
}

/// Waits for a signal with another mask.
fn suspend(call: &mut Call<'_>, mask: SignalSet) -> CallResult {
    call.kernel.set_temporary_mask(call.task_id, mask);
    Err(Failure::Block(Wait::default().never_restarts()))
}

/// rt_sigsuspend(2).
pub(super) fn rt_sigsuspend(call: &mut Call<'_>, [set, size, ..]: Arguments) -> CallResult {
    let mask = read_set(call, set, size)?;
    suspend(call, mask)
}

/// sigsuspend(2): the mask is the third argument.
pub(super) fn sigsuspend(call: &mut Call<'_>, [_, _, mask, ..]: Arguments) -> CallResult {
    suspend(call, SignalSet(u64::from(mask)))
}

/// restart_syscall(2): calls go on by themselves after a stop, so there is never one to restart.
pub(super) fn restart_syscall(_: &mut Call<'_>, _: Arguments) -> CallResult {
    Err(Errno::EINTR.into())
}

/// pause(2).
pub(super) fn pause(_: &mut Call<'_>, _: Arguments) -> CallResult {
    Err(Failure::Block(Wait::default().never_restarts()))
}

/// rt_sigtimedwait(2).
pub(super) fn rt_sigtimedwait(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    timed_wait(call, arguments, Layout::Short)
}

/// rt_sigtimedwait(2) with a 64-bit timespec.
pub(super) fn rt_sigtimedwait_time64(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    timed_wait(call, arguments, Layout::Long)
}

fn timed_wait(call: &mut Call<'_>, [set, info, timeout, size, ..]: Arguments, layout: Layout) -> CallResult {
    let wanted = read_set(call, set, size)?.as_mask();
    let timeout = read_timeout(call, timeout, layout)?;
    let deadline = call.deadline(timeout);
    call.task().awaited = SignalSet::default();
    if let Some(taken) = call.kernel.take_signal(call.task_id, wanted) {
        if info != 0 {
            call.user().copy_out(info, &taken.to_bytes())?;
        }
        return Ok(u32::from(taken.signal.number()));
    }
    if call.kernel.has_passed(deadline) {
        return Err(Errno::EAGAIN.into());
    }
    if call.is_interrupted() {
        return Err(Errno::EINTR.into());
    }
    call.task().awaited = wanted;
    let process = call.task().process;
    call.kernel.wake_timers(process, wanted, false);
    Err(Failure::Block(Wait::default().until(deadline).never_restarts()))
}

/// sigaltstack(2).
pub(super) fn sigaltstack(call: &mut Call<'_>, [new, old, ..]: Arguments) -> CallResult {
    let before = call.task().alternate_stack;
    let pointer = call.task().cpu.gpr(Gpr::Esp);
    let flags = before.flags(pointer);
    if new != 0 {
        let words = call.user().words::<3>(new)?;
        if flags & SS_ONSTACK != 0 {
            return Err(Errno::EPERM.into());
        }
        // What is there already may be asked for whatever its size.
        if words != [before.start, flags, before.size] && (before.size, words) != (0, [0; 3]) {
            call.task().alternate_stack = alternate_stack(words)?;
        }
    }
    if old != 0 {
        let record = Record::new().u32(before.start).u32(flags).u32(before.size);
        call.user().copy_out(old, record.as_bytes())?;
    }
    Ok(0)
}

/// A `stack_t` as a stack.
fn alternate_stack([start, flags, size]: [u32; 3]) -> Result<AlternateStack, Errno> {
    const MINIMUM: u32 = 2048;
    match flags & !SS_AUTODISARM {
        SS_DISABLE => Ok(AlternateStack::default()),
        0 | SS_ONSTACK if size < MINIMUM => Err(Errno::ENOMEM),
        0 | SS_ONSTACK => Ok(AlternateStack { start, size, disarm: flags & SS_AUTODISARM != 0 }),
        _ => Err(Errno::EINVAL),
    }
}

/// sigreturn(2): back from a handler without SA_SIGINFO.
pub(super) fn sigreturn(call: &mut Call<'_>, _: Arguments) -> CallResult {
    return_from_handler(call, false)
}

/// rt_sigreturn(2): back from a handler with SA_SIGINFO.
pub(super) fn rt_sigreturn(call: &mut Call<'_>, _: Arguments) -> CallResult {
    return_from_handler(call, true)
}

fn return_from_handler(call: &mut Call<'_>, extended: bool) -> CallResult {
    let (task, space) = call.task_and_space();
    // The memory is borrowed whole, so the table comes out of it for a while.
    let local = std::mem::take(&mut space.local_descriptors);
    let descriptors = DescriptorTables { tls: &task.tls, local: &local };
    let mut cpu = task.cpu.clone();
    let mut memory = UserMemory::new(space);
    let restored = if extended {
        frame::pop_rt(&mut cpu, &mut memory, descriptors)
    } else {
        frame::pop_plain(&mut cpu, &mut memory, descriptors)
    };
    space.local_descriptors = local;
    match restored {
        Ok(restored) => {
            let pointer = cpu.gpr(Gpr::Esp);
            task.cpu = cpu;
            task.mask = restored.mask.as_mask();
            if let Some(words) = restored.stack
                && !task.alternate_stack.holds(pointer)
                && let Ok(stack) = alternate_stack(words)
            {
                task.alternate_stack = stack;
            }
        }
        Err(_) => call.kernel.force_signal(call.task_id, Info::kernel(Signal::SEGV)),
    }
    Err(Failure::NoReturn)
}

/// Whether `sender` may signal `target` (kill(2)).
pub(super) fn may_signal(
    kernel: &Kernel,
    sender: ProcessId,
    target: ProcessId,
    signal: Option<Signal>,
) -> bool {
    let (Some(from), Some(to)) = (kernel.processes.get(&sender), kernel.processes.get(&target)) else {
        return false;
    };
    let (own, other) = (&from.credentials, &to.credentials);
    own.euid == 0
        || [own.euid, own.uid].iter().any(|id| *id == other.suid || *id == other.uid)
        || signal == Some(Signal::CONT) && from.session == to.session
}

/// A signal number; 0 only asks whether it could be sent.
pub(super) fn signal_or_zero(number: u32) -> Result<Option<Signal>, Errno> {
    match number {
        0 => Ok(None),
        number => Signal::new(number).map(Some).ok_or(Errno::EINVAL),
    }
}

/// What a signal sent by `task` says of its origin.
pub(super) fn sent_by(call: &mut Call<'_>, signal: Signal, code: i32) -> Info {
    let process = call.process_id;
    let user = call.process().credentials.uid;
    Info::sent(signal, code, process.0, user)
}

/// kill(2).
pub(super) fn kill(call: &mut Call<'_>, [target, number, ..]: Arguments) -> CallResult {
    let own = call.process_id;
    if target as i32 > 0 && !is_somebody(call, target) {
        return Err(Errno::ESRCH.into());
    }
    let group = match target as i32 {
        0 => Some(call.process().group),
        -1 => None,
        target if target < 0 => Some(ProcessId(target.unsigned_abs())),
        _ => {
            let signal = signal_or_zero(number)?;
            let info = signal.map(|signal| sent_by(call, signal, code::USER));
            return send_to_process(call.kernel, own, ProcessId(target), signal, info);
        }
    };
    let members: Vec<ProcessId> = call
        .kernel
        .processes
        .iter()
        .filter(|(id, process)| match group {
            Some(group) => process.group == group,
            None => *id != own,
        })
        .map(|(id, _)| id)
        .collect();
    if members.is_empty() {
        return Err(Errno::ESRCH.into());
    }
    let signal = signal_or_zero(number)?;
    let info = signal.map(|signal| sent_by(call, signal, code::USER));
    let results: Vec<CallResult> =
        members.into_iter().map(|member| send_to_process(call.kernel, own, member, signal, info)).collect();
    results.iter().find(|result| result.is_ok()).or(results.first()).cloned().unwrap_or(Ok(0))
}

/// Whether a process or thread has that number.
fn is_somebody(call: &mut Call<'_>, number: u32) -> bool {
    call.kernel.tasks.contains_key(&TaskId(number)) || call.kernel.processes.contains_key(&ProcessId(number))
}

fn send_to_process(
    kernel: &mut Kernel,
    from: ProcessId,
    to: ProcessId,
    signal: Option<Signal>,
    info: Option<Info>,
) -> CallResult {
    // kill(2) reaches any thread by its number too.
    let to = kernel.tasks.get(&TaskId(to.0)).map_or(to, |task| task.process);
    if !kernel.processes.contains_key(&to) {
        return Err(Errno::ESRCH.into());
    }
    if !may_signal(kernel, from, to, signal) {
        return Err(Errno::EPERM.into());
    }
    if let Some(info) = info {
        kernel.signal_process(to, info);
    }
    Ok(0)
}

/// Sends to one thread, of `process` if that is given.
fn send_to_task(
    call: &mut Call<'_>,
    process: Option<u32>,
    target: u32,
    signal: Option<Signal>,
    info: Option<Info>,
) -> CallResult {
    let own = call.process_id;
    let target = TaskId(target);
    let of = call.kernel.tasks.get(&target).map(|task| task.process);
    let Some(of) = of.filter(|of| process.is_none_or(|process| process == of.0)) else {
        return Err(Errno::ESRCH.into());
    };
    if !may_signal(call.kernel, own, of, signal) {
        return Err(Errno::EPERM.into());
    }
    if let Some(info) = info {
        call.kernel.signal_task(target, info);
    }
    Ok(0)
}

/// tgkill(2).
pub(super) fn tgkill(call: &mut Call<'_>, [process, target, number, ..]: Arguments) -> CallResult {
    if process as i32 <= 0 || target as i32 <= 0 {
        return Err(Errno::EINVAL.into());
    }
    if !is_somebody(call, target) {
        return Err(Errno::ESRCH.into());
    }
    let signal = signal_or_zero(number)?;
    let info = signal.map(|signal| sent_by(call, signal, code::TKILL));
    send_to_task(call, Some(process), target, signal, info)
}

/// tkill(2).
pub(super) fn tkill(call: &mut Call<'_>, [target, number, ..]: Arguments) -> CallResult {
    if target as i32 <= 0 {
        return Err(Errno::EINVAL.into());
    }
    if !is_somebody(call, target) {
        return Err(Errno::ESRCH.into());
    }
    let signal = signal_or_zero(number)?;
    let info = signal.map(|signal| sent_by(call, signal, code::TKILL));
    send_to_task(call, None, target, signal, info)
}

/// The `siginfo_t` that a program made; only to itself may it claim to be the kernel or kill(2).
pub(super) fn made_info(
    call: &mut Call<'_>,
    signal: Option<Signal>,
    address: u32,
    own: bool,
) -> Result<Option<Info>, Errno> {
    let bytes: [u8; Info::SIZE as usize] = call.user().array(address)?;
    // Signal 0 asks whether there is somebody, and is checked like others.
    let info = Info::from_bytes(signal.unwrap_or(Signal::KILL), &bytes);
    if !own && (info.code >= 0 || info.code == code::TKILL) {
        return Err(Errno::EPERM);
    }
    Ok(signal.map(|_| info))
}

/// rt_sigqueueinfo(2).
pub(super) fn rt_sigqueueinfo(call: &mut Call<'_>, [target, number, address, ..]: Arguments) -> CallResult {
    let signal = signal_or_zero(number)?;
    let own = call.process_id;
    let info = made_info(call, signal, address, own.0 == target)?;
    if signal.is_some() {
        limit_queue(call)?;
    }
    send_to_process(call.kernel, own, ProcessId(target), signal, info)
}

/// rt_tgsigqueueinfo(2).
pub(super) fn rt_tgsigqueueinfo(
    call: &mut Call<'_>,
    [process, target, number, address, ..]: Arguments,
) -> CallResult {
    call.user().array::<{ Info::SIZE as usize }>(address)?;
    if process as i32 <= 0 || target as i32 <= 0 {
        return Err(Errno::EINVAL.into());
    }
    let signal = signal_or_zero(number)?;
    let own = call.process_id;
    let info = made_info(call, signal, address, own.0 == process)?;
    if signal.is_some() {
        limit_queue(call)?;
    }
    send_to_task(call, Some(process), target, signal, info)
}

/// Fails with EAGAIN if too many signals are queued (RLIMIT_SIGPENDING).
fn limit_queue(call: &mut Call<'_>) -> Result<(), Errno> {
    let limit = call.process().limits[Resource::Sigpending].soft;
    let queued: usize = call.kernel.processes.values().map(|process| process.pending.len()).sum::<usize>()
        + call.kernel.tasks.values().map(|task| task.pending.len()).sum::<usize>();
    if queued as u64 >= limit { Err(Errno::EAGAIN) } else { Ok(()) }
}
