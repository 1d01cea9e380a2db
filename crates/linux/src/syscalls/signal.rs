//! Signals: sigaction(2), sigprocmask(2), kill(2), and waiting for them.

use pentimento_registers::{DescriptorTables, Gpr};

use super::call::Arguments;
use super::time::{Layout, read_timeout};
use crate::errno::Errno;
use crate::ids::{ProcessId, TaskId};
use crate::kernel::Kernel;
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
pub(super) fn read_set(
    kernel: &mut Kernel,
    task: TaskId,
    address: u32,
    size: u32,
) -> Result<SignalSet, Errno> {
    check_set_size(size)?;
    Ok(SignalSet(kernel.user(task).read(address)?))
}

/// Puts a new action in place of the old one, which it returns.
fn replace_action(
    kernel: &mut Kernel,
    task: TaskId,
    number: u32,
    new: Option<Action>,
) -> Result<Action, Errno> {
    let signal = Signal::new(number).ok_or(Errno::EINVAL)?;
    let actions = kernel.process(task).actions;
    let old = kernel.actions[actions].get(signal);
    if let Some(mut action) = new {
        if SignalSet::UNBLOCKABLE.contains(signal) {
            return Err(Errno::EINVAL);
        }
        action.mask = action.mask.as_mask();
        kernel.actions[actions].set(signal, action);
        if kernel.actions[actions].ignores(signal) {
            let set = SignalSet::of(signal);
            kernel.process(task).pending.discard(set);
            for thread in kernel.process(task).threads.clone() {
                kernel.task(thread).pending.discard(set);
            }
        }
        let (process, discarded) = (kernel.task(task).process, kernel.actions[actions].ignores(signal));
        kernel.wake_timers(process, SignalSet::of(signal), discarded);
    }
    Ok(old)
}

/// rt_sigaction(2).
pub(super) fn rt_sigaction(
    kernel: &mut Kernel,
    task: TaskId,
    [number, new, old, size, ..]: Arguments,
) -> CallResult {
    check_set_size(size)?;
    let action = match new {
        0 => None,
        new => {
            let [handler, flags, restorer, low, high] = kernel.user(task).words(new)?;
            let mask = SignalSet(u64::from(high) << 32 | u64::from(low));
            Some(Action { handler, flags, restorer, mask })
        }
    };
    let before = replace_action(kernel, task, number, action)?;
    if old != 0 {
        let record =
            Record::new().u32(before.handler).u32(before.flags).u32(before.restorer).u64(before.mask.0);
        kernel.user(task).copy_out(old, record.as_bytes())?;
    }
    Ok(0)
}

/// sigaction(2) as number 67: a mask of 32 signals, and its own order of fields.
pub(super) fn sigaction(kernel: &mut Kernel, task: TaskId, [number, new, old, ..]: Arguments) -> CallResult {
    let action = match new {
        0 => None,
        new => {
            let [handler, mask, flags, restorer] = kernel.user(task).words(new)?;
            Some(Action { handler, flags, restorer, mask: SignalSet(u64::from(mask)) })
        }
    };
    let before = replace_action(kernel, task, number, action)?;
    if old != 0 {
        let record = Record::new()
            .u32(before.handler)
            .u32(before.mask.0 as u32)
            .u32(before.flags)
            .u32(before.restorer);
        kernel.user(task).copy_out(old, record.as_bytes())?;
    }
    Ok(0)
}

/// signal(2): resets itself and does not block, as System V had it.
pub(super) fn signal(kernel: &mut Kernel, task: TaskId, [number, handler, ..]: Arguments) -> CallResult {
    use crate::signal::flag::{NODEFER, RESETHAND};
    let action = Action { handler, flags: RESETHAND | NODEFER, ..Action::default() };
    Ok(replace_action(kernel, task, number, Some(action))?.handler)
}

/// Changes the mask of `task` as sigprocmask(2) says.
fn change_mask(kernel: &mut Kernel, task: TaskId, how: u32, set: SignalSet) -> Result<(), Errno> {
    let mask = &mut kernel.task(task).mask;
    let new = match how {
        0 => mask.union(set),
        1 => mask.without(set),
        2 => set,
        _ => return Err(Errno::EINVAL),
    };
    let blocked = new.as_mask().without(*mask);
    *mask = new.as_mask();
    // A signal that is ignored is kept while it is blocked.
    let process = kernel.task(task).process;
    kernel.wake_timers(process, blocked, false);
    Ok(())
}

/// rt_sigprocmask(2).
pub(super) fn rt_sigprocmask(
    kernel: &mut Kernel,
    task: TaskId,
    [how, new, old, size, ..]: Arguments,
) -> CallResult {
    check_set_size(size)?;
    let before = kernel.task(task).mask;
    if new != 0 {
        let set = read_set(kernel, task, new, size)?;
        change_mask(kernel, task, how, set)?;
    }
    if old != 0 {
        kernel.user(task).write(old, before.0)?;
    }
    Ok(0)
}

/// sigprocmask(2) as number 126: the first 32 signals.
pub(super) fn sigprocmask(kernel: &mut Kernel, task: TaskId, [how, new, old, ..]: Arguments) -> CallResult {
    let before = kernel.task(task).mask;
    if new != 0 {
        let low: u32 = kernel.user(task).read(new)?;
        let high = if how == 2 { before.0 & !0xffff_ffff } else { 0 };
        change_mask(kernel, task, how, SignalSet(high | u64::from(low)))?;
    }
    if old != 0 {
        kernel.user(task).write(old, before.0 as u32)?;
    }
    Ok(0)
}

/// sgetmask(2).
pub(super) fn sgetmask(kernel: &mut Kernel, task: TaskId, _: Arguments) -> CallResult {
    Ok(kernel.task(task).mask.0 as u32)
}

/// ssetmask(2).
pub(super) fn ssetmask(kernel: &mut Kernel, task: TaskId, [new, ..]: Arguments) -> CallResult {
    let before = kernel.task(task).mask.0 as u32;
    kernel.task(task).mask = SignalSet(u64::from(new)).as_mask();
    Ok(before)
}

/// The signals that are pending and blocked.
fn pending(kernel: &mut Kernel, task: TaskId) -> SignalSet {
    let shared = kernel.process(task).pending.set();
    let task = kernel.task(task);
    task.pending.set().union(shared).intersection(task.mask)
}

/// rt_sigpending(2).
pub(super) fn rt_sigpending(kernel: &mut Kernel, task: TaskId, [set, size, ..]: Arguments) -> CallResult {
    if size > SET_SIZE {
        return Err(Errno::EINVAL.into());
    }
    let pending = pending(kernel, task).0.to_le_bytes();
    kernel.user(task).copy_out(set, &pending[..size as usize])?;
    Ok(0)
}

/// sigpending(2).
pub(super) fn sigpending(kernel: &mut Kernel, task: TaskId, [set, ..]: Arguments) -> CallResult {
    let pending = pending(kernel, task).0 as u32;
    kernel.user(task).write(set, pending)?;
    Ok(0)
}

/// Waits for a signal with another mask.
fn suspend(kernel: &mut Kernel, task: TaskId, mask: SignalSet) -> CallResult {
    kernel.set_temporary_mask(task, mask);
    Err(Failure::Block(Wait::default().never_restarts()))
}

/// rt_sigsuspend(2).
pub(super) fn rt_sigsuspend(kernel: &mut Kernel, task: TaskId, [set, size, ..]: Arguments) -> CallResult {
    let mask = read_set(kernel, task, set, size)?;
    suspend(kernel, task, mask)
}

/// sigsuspend(2): the mask is the third argument.
pub(super) fn sigsuspend(kernel: &mut Kernel, task: TaskId, [_, _, mask, ..]: Arguments) -> CallResult {
    suspend(kernel, task, SignalSet(u64::from(mask)))
}

/// restart_syscall(2): calls go on by themselves after a stop, so there is never one to restart.
pub(super) fn restart_syscall(_: &mut Kernel, _: TaskId, _: Arguments) -> CallResult {
    Err(Errno::EINTR.into())
}

/// pause(2).
pub(super) fn pause(_: &mut Kernel, _: TaskId, _: Arguments) -> CallResult {
    Err(Failure::Block(Wait::default().never_restarts()))
}

/// rt_sigtimedwait(2).
pub(super) fn rt_sigtimedwait(kernel: &mut Kernel, task: TaskId, arguments: Arguments) -> CallResult {
    timed_wait(kernel, task, arguments, Layout::Short)
}

/// rt_sigtimedwait(2) with a 64-bit timespec.
pub(super) fn rt_sigtimedwait_time64(kernel: &mut Kernel, task: TaskId, arguments: Arguments) -> CallResult {
    timed_wait(kernel, task, arguments, Layout::Long)
}

fn timed_wait(
    kernel: &mut Kernel,
    task: TaskId,
    [set, info, timeout, size, ..]: Arguments,
    layout: Layout,
) -> CallResult {
    let wanted = read_set(kernel, task, set, size)?.as_mask();
    let timeout = read_timeout(kernel, task, timeout, layout)?;
    let deadline = kernel.deadline(task, timeout);
    kernel.task(task).awaited = SignalSet::default();
    if let Some(taken) = kernel.take_signal(task, wanted) {
        if info != 0 {
            kernel.user(task).copy_out(info, &taken.to_bytes())?;
        }
        return Ok(u32::from(taken.signal.number()));
    }
    if kernel.has_passed(deadline) {
        return Err(Errno::EAGAIN.into());
    }
    if kernel.is_interrupted(task) {
        return Err(Errno::EINTR.into());
    }
    kernel.task(task).awaited = wanted;
    let process = kernel.task(task).process;
    kernel.wake_timers(process, wanted, false);
    Err(Failure::Block(Wait::default().until(deadline).never_restarts()))
}

/// sigaltstack(2).
pub(super) fn sigaltstack(kernel: &mut Kernel, task: TaskId, [new, old, ..]: Arguments) -> CallResult {
    let before = kernel.task(task).alternate_stack;
    let pointer = kernel.task(task).cpu.gpr(Gpr::Esp);
    let flags = before.flags(pointer);
    if new != 0 {
        let words = kernel.user(task).words::<3>(new)?;
        if flags & SS_ONSTACK != 0 {
            return Err(Errno::EPERM.into());
        }
        kernel.task(task).alternate_stack = alternate_stack(words)?;
    }
    if old != 0 {
        let record = Record::new().u32(before.start).u32(flags).u32(before.size);
        kernel.user(task).copy_out(old, record.as_bytes())?;
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
pub(super) fn sigreturn(kernel: &mut Kernel, task: TaskId, _: Arguments) -> CallResult {
    return_from_handler(kernel, task, false)
}

/// rt_sigreturn(2): back from a handler with SA_SIGINFO.
pub(super) fn rt_sigreturn(kernel: &mut Kernel, task: TaskId, _: Arguments) -> CallResult {
    return_from_handler(kernel, task, true)
}

fn return_from_handler(kernel: &mut Kernel, id: TaskId, extended: bool) -> CallResult {
    let Some(task) = kernel.tasks.get_mut(&id) else { return Err(Failure::NoReturn) };
    let space = kernel.processes.get(&task.process).and_then(|process| process.space);
    let Some(space) = space.and_then(|space| kernel.spaces.get_mut(space)) else {
        return Err(Failure::NoReturn);
    };
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
        Err(_) => kernel.force_signal(id, Info::kernel(Signal::SEGV)),
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
pub(super) fn sent_by(kernel: &mut Kernel, task: TaskId, signal: Signal, code: i32) -> Info {
    let process = kernel.task(task).process;
    let user = kernel.process(task).credentials.uid;
    Info::sent(signal, code, process.0, user)
}

/// kill(2).
pub(super) fn kill(kernel: &mut Kernel, task: TaskId, [target, number, ..]: Arguments) -> CallResult {
    let signal = signal_or_zero(number)?;
    let own = kernel.task(task).process;
    let group = match target as i32 {
        0 => Some(kernel.process(task).group),
        -1 => None,
        target if target < 0 => Some(ProcessId(target.unsigned_abs())),
        _ => {
            let info = signal.map(|signal| sent_by(kernel, task, signal, code::USER));
            return send_to_process(kernel, own, ProcessId(target), signal, info);
        }
    };
    let members: Vec<ProcessId> = kernel
        .processes
        .iter()
        .filter(|(id, process)| match group {
            Some(group) => process.group == group,
            None => **id != own,
        })
        .map(|(id, _)| *id)
        .collect();
    if members.is_empty() {
        return Err(Errno::ESRCH.into());
    }
    let info = signal.map(|signal| sent_by(kernel, task, signal, code::USER));
    let results: Vec<CallResult> =
        members.into_iter().map(|member| send_to_process(kernel, own, member, signal, info)).collect();
    results.iter().find(|result| result.is_ok()).or(results.first()).cloned().unwrap_or(Ok(0))
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
    kernel: &mut Kernel,
    from: TaskId,
    process: Option<u32>,
    target: u32,
    signal: Option<Signal>,
    info: Option<Info>,
) -> CallResult {
    let own = kernel.task(from).process;
    let target = TaskId(target);
    let of = kernel.tasks.get(&target).map(|task| task.process);
    let Some(of) = of.filter(|of| process.is_none_or(|process| process == of.0)) else {
        return Err(Errno::ESRCH.into());
    };
    if !may_signal(kernel, own, of, signal) {
        return Err(Errno::EPERM.into());
    }
    if let Some(info) = info {
        kernel.signal_task(target, info);
    }
    Ok(0)
}

/// tgkill(2).
pub(super) fn tgkill(
    kernel: &mut Kernel,
    task: TaskId,
    [process, target, number, ..]: Arguments,
) -> CallResult {
    let signal = signal_or_zero(number)?;
    if process as i32 <= 0 || target as i32 <= 0 {
        return Err(Errno::EINVAL.into());
    }
    let info = signal.map(|signal| sent_by(kernel, task, signal, code::TKILL));
    send_to_task(kernel, task, Some(process), target, signal, info)
}

/// tkill(2).
pub(super) fn tkill(kernel: &mut Kernel, task: TaskId, [target, number, ..]: Arguments) -> CallResult {
    let signal = signal_or_zero(number)?;
    if target as i32 <= 0 {
        return Err(Errno::EINVAL.into());
    }
    let info = signal.map(|signal| sent_by(kernel, task, signal, code::TKILL));
    send_to_task(kernel, task, None, target, signal, info)
}

/// The `siginfo_t` that a program made; only to itself may it claim to be the kernel or kill(2).
pub(super) fn made_info(
    kernel: &mut Kernel,
    task: TaskId,
    signal: Signal,
    address: u32,
    own: bool,
) -> Result<Info, Errno> {
    let bytes: [u8; Info::SIZE as usize] = kernel.user(task).array(address)?;
    let info = Info::from_bytes(signal, &bytes);
    if !own && (info.code >= 0 || info.code == code::TKILL) {
        return Err(Errno::EPERM);
    }
    Ok(info)
}

/// rt_sigqueueinfo(2).
pub(super) fn rt_sigqueueinfo(
    kernel: &mut Kernel,
    task: TaskId,
    [target, number, address, ..]: Arguments,
) -> CallResult {
    let signal = Signal::new(number).ok_or(Errno::EINVAL)?;
    let own = kernel.task(task).process;
    let info = made_info(kernel, task, signal, address, own.0 == target)?;
    limit_queue(kernel, task)?;
    send_to_process(kernel, own, ProcessId(target), Some(signal), Some(info))
}

/// rt_tgsigqueueinfo(2).
pub(super) fn rt_tgsigqueueinfo(
    kernel: &mut Kernel,
    task: TaskId,
    [process, target, number, address, ..]: Arguments,
) -> CallResult {
    let signal = Signal::new(number).ok_or(Errno::EINVAL)?;
    let own = kernel.task(task).process;
    let info = made_info(kernel, task, signal, address, own.0 == process)?;
    limit_queue(kernel, task)?;
    send_to_task(kernel, task, Some(process), target, Some(signal), Some(info))
}

/// Fails with EAGAIN if too many signals are queued (RLIMIT_SIGPENDING).
fn limit_queue(kernel: &mut Kernel, task: TaskId) -> Result<(), Errno> {
    let limit = kernel.process(task).limits[Resource::Sigpending].soft;
    let queued: usize = kernel.processes.values().map(|process| process.pending.len()).sum::<usize>()
        + kernel.tasks.values().map(|task| task.pending.len()).sum::<usize>();
    if queued as u64 >= limit { Err(Errno::EAGAIN) } else { Ok(()) }
}
