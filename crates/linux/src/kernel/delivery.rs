//! Who gets a signal, when, and what becomes of it.

use pentimento_registers::{Eflags, Gpr};

use super::Kernel;
use super::account::SIGNAL;
use crate::account::Account;
use crate::errno::Errno;
use crate::event::KernelEvent;
use crate::ids::{ProcessId, TaskId, Termination};
use crate::ptrace::{Event, Stop};
use crate::resource::Resource;
use crate::signal::frame::Delivery;
use crate::signal::{
    Action, AlternateStack, DefaultAction, Info, SS_AUTODISARM, SS_DISABLE, SS_ONSTACK, Signal, SignalSet,
    flag, frame,
};
use crate::task::{ChildEvent, Process, TaskState};
use crate::user_memory::UserMemory;
use crate::vdso;
use crate::wait::{Channel, Restart};

/// Signals that may be queued for a process or a thread (RLIMIT_SIGPENDING).
fn room(process: &Process, account: &Account) -> u64 {
    /// Whatever the limit says: what waits takes the host's memory.
    const MOST: u64 = 1 << 16;
    let most = if account.exceeds(SIGNAL) { 0 } else { MOST };
    process.limits[Resource::Sigpending].soft.min(most)
}

impl Kernel {
    /// Sends a signal to a process: one of its threads that does not block it will take it.
    pub(crate) fn signal_process(&mut self, id: ProcessId, info: Info) {
        if !self.prepare_signal(id, info.signal) {
            return;
        }
        let Some(process) = self.processes.get_mut(&id) else { return };
        let room = room(process, &self.fs.vfs.account);
        self.fs.vfs.account.note(SIGNAL);
        process.pending.push(info, room);
        for task in process.threads.clone() {
            if self.interrupt(task, info.signal) {
                break;
            }
        }
    }

    /// Sends a signal to one thread.
    pub(crate) fn signal_task(&mut self, id: TaskId, info: Info) {
        let Some(process) = self.tasks.get(&id).map(|task| task.process) else { return };
        if !self.prepare_signal(process, info.signal) {
            return;
        }
        let Some(process) = self.processes.get(&process) else { return };
        let room = room(process, &self.fs.vfs.account);
        self.fs.vfs.account.note(SIGNAL);
        if let Some(task) = self.tasks.get_mut(&id) {
            task.pending.push(info, room);
            self.interrupt(id, info.signal);
        }
    }

    /// Whether a signal to a process would be thrown away.
    pub(crate) fn is_lost(&self, id: ProcessId, signal: Signal) -> bool {
        let Some(process) = self.processes.get(&id).filter(|process| process.ended.is_none()) else {
            return true;
        };
        self.actions[process.actions].ignores(signal) && !self.is_awaited(process, signal)
    }

    /// Whether a thread of the process blocks a signal or waits for it, so that it is kept even if
    /// it is ignored.
    fn is_awaited(&self, process: &Process, signal: Signal) -> bool {
        process.threads.iter().any(|task| {
            self.tasks.get(task).is_some_and(|task| {
                // A tracer is to see what would be ignored.
                task.tracing.is_some() || task.mask.contains(signal) || task.awaited.contains(signal)
            })
        })
    }

    /// Sends the signal of a fault, which cannot be blocked or ignored: then it kills.
    pub(crate) fn force_signal(&mut self, id: TaskId, info: Info) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let blocked = task.mask.contains(info.signal);
        task.mask = task.mask.without(SignalSet::of(info.signal));
        let Some(process) = self.processes.get(&task.process) else { return };
        let actions = &mut self.actions[process.actions];
        let action = actions.get(info.signal);
        if blocked || action.handler == Action::IGNORE {
            actions.set(info.signal, Action { handler: Action::DEFAULT, ..action });
        }
        task.pending.discard(SignalSet::of(info.signal));
        task.pending.push(info, u64::MAX);
        self.interrupt(id, info.signal);
    }

    /// What a signal does at once, before anybody takes it: stops and continues cancel each other,
    /// SIGKILL ends the process, and ignored ones vanish. Says whether it is to be queued.
    fn prepare_signal(&mut self, id: ProcessId, signal: Signal) -> bool {
        let Some(process) = self.processes.get_mut(&id) else { return false };
        if process.ended.is_some() {
            return false;
        }
        let cancelled = match signal {
            Signal::CONT => SignalSet::STOPPING,
            _ if SignalSet::STOPPING.contains(signal) => SignalSet::of(Signal::CONT),
            _ => SignalSet::default(),
        };
        process.pending.discard(cancelled);
        let threads = process.threads.clone();
        for task in &threads {
            if let Some(task) = self.tasks.get_mut(task) {
                task.pending.discard(cancelled);
            }
        }
        if !cancelled.is_empty() {
            self.wake_timers(id, cancelled, true);
        }
        if signal == Signal::CONT {
            self.continue_process(id);
        }
        if signal == Signal::KILL {
            self.end_process(id, Termination::Killed(signal.number()));
            return false;
        }
        let Some(process) = self.processes.get(&id) else { return false };
        self.is_awaited(process, signal) || !self.actions[process.actions].ignores(signal)
    }

    /// Makes a blocked thread notice a signal that it does not block; says whether it will take it.
    fn interrupt(&mut self, id: TaskId, signal: Signal) -> bool {
        let Some(task) = self.tasks.get(&id) else { return false };
        let takes = !task.mask.contains(signal) || task.awaited.contains(signal);
        let waits_on = matches!(&task.state, TaskState::Blocked(wait) if wait.uninterruptible);
        if takes && !waits_on {
            self.make_runnable(id);
        }
        // Descriptors of signalfd(2) become readable by signals that are blocked.
        self.wake(Channel::Signal);
        takes
    }

    /// Whether `task` has a signal to take.
    pub(crate) fn has_signal(&self, id: TaskId) -> bool {
        let Some(task) = self.tasks.get(&id) else { return false };
        let shared = self.processes.get(&task.process).map_or(SignalSet::default(), |p| p.pending.set());
        !task.pending.set().union(shared).without(task.held_back()).is_empty()
    }

    /// Takes a pending signal of `wanted` from `task` or its process.
    pub(crate) fn take_signal(&mut self, id: TaskId, wanted: SignalSet) -> Option<Info> {
        let task = self.tasks.get_mut(&id)?;
        let process = task.process;
        let mut info = match task.pending.take(wanted) {
            Some(info) => info,
            None => self.processes.get_mut(&process)?.pending.take(wanted)?,
        };
        self.continue_timer(process, &mut info);
        Some(info)
    }

    /// Delivers what is pending for `task` before it runs on. Its process may be stopped or gone afterwards.
    pub(crate) fn deliver_signals(&mut self, id: TaskId) {
        while let Some(task) = self.tasks.get(&id) {
            let (held_back, process, traced) = (task.held_back(), task.process, task.tracing.is_some());
            if traced && self.makes_stops(id) {
                return;
            }
            let info = match traced {
                true => self.next_traced_signal(id),
                false => self.take_signal(id, SignalSet(!held_back.0)),
            };
            let Some(info) = info else { break };
            let raised = self
                .tasks
                .get_mut(&id)
                .and_then(|task| task.crash.take_if(|(signal, _)| *signal == info.signal));
            let Some(actions) = self.processes.get(&process).map(|process| process.actions) else { return };
            let action = self.actions[actions].get(info.signal);
            match action.handler {
                Action::IGNORE => {}
                Action::DEFAULT => match info.signal.default_action() {
                    DefaultAction::Ignore | DefaultAction::Continue => {}
                    DefaultAction::Terminate => {
                        self.trace_signal(id, info.signal, None);
                        if self.first == Some(process) {
                            self.crash = raised.map(|(_, crash)| crash);
                        }
                        let how = Termination::Killed(info.signal.number());
                        if self.stop_for_event(id, Event::Exit, info.signal.number().into()) {
                            if let Some(tracing) = self.tracing(id) {
                                tracing.ending = Some(how);
                            }
                            return;
                        }
                        return self.end_process(process, how);
                    }
                    DefaultAction::Stop => {
                        if info.signal == Signal::STOP || !self.is_orphaned_group(process) {
                            return self.stop_process(process, info.signal);
                        }
                    }
                },
                _ => {
                    self.trace_signal(id, info.signal, Some(action.handler));
                    self.call_handler(id, &info, action);
                    if self.is_trace_stopped(id) {
                        return;
                    }
                }
            }
        }
        if self.is_trace_stopped(id) {
            return;
        }
        if self.tasks.get(&id).is_some_and(|task| task.call.is_none()) {
            self.restart_call(id, None);
            if let Some(tracing) = self.tracing(id) {
                tracing.original = u32::MAX;
            }
        }
        // No handler ran whose frame would restore it: the mask of sigsuspend and ppoll ends here.
        if let Some(task) = self.tasks.get_mut(&id)
            && task.call.is_none()
            && let Some(mask) = task.saved_mask.take()
        {
            task.mask = mask;
        }
    }

    fn trace_signal(&mut self, task: TaskId, signal: Signal, handler: Option<u32>) {
        self.tell(|| KernelEvent::Signal { task, signal: signal.number(), handler });
        if let Some(trace) = &mut self.host.trace {
            trace.signal(task, &signal.name());
        }
    }

    /// Points `task` at its handler, and ends or restarts the call that it waits in.
    fn call_handler(&mut self, id: TaskId, info: &Info, action: Action) {
        self.interrupt_call(id, action);
        self.restart_call(id, Some(action));
        let Some(task) = self.tasks.get_mut(&id) else { return };
        task.awaited = SignalSet::default();
        // A tracer steps into the handler, whose frame has no TF.
        let stepping = task.tracing.as_mut().is_some_and(|tracing| core::mem::take(&mut tracing.stepping));
        if stepping {
            task.cpu.eflags.remove(Eflags::TF);
        }
        let Some(process) = self.processes.get(&task.process) else { return };
        let Some(space) = process.space.and_then(|space| self.spaces.get_mut(space)) else { return };
        let pointer = task.cpu.gpr(Gpr::Esp);
        let alternate = task.alternate_stack;
        let wants_alternate = action.flags & flag::ONSTACK != 0 && alternate.size > 0;
        let top = if wants_alternate && !alternate.holds(pointer) {
            alternate.start.wrapping_add(alternate.size)
        } else {
            pointer
        };
        let delivery = Delivery {
            info,
            action: &action,
            mask: task.saved_mask.take().unwrap_or(task.mask),
            cause: task.cause,
            stack: [alternate.start, if alternate.disarm { SS_AUTODISARM } else { 0 }, alternate.size],
            top,
            trampolines: [space.vdso + vdso::SIGRETURN, space.vdso + vdso::RT_SIGRETURN],
        };
        let pushed = frame::push(&mut task.cpu, &mut UserMemory::new(space), &delivery);
        if alternate.disarm {
            task.alternate_stack = AlternateStack::default();
        }
        if action.flags & flag::RESETHAND != 0 {
            self.actions[process.actions].set(info.signal, Action { handler: Action::DEFAULT, ..action });
        }
        let own =
            if action.flags & flag::NODEFER == 0 { SignalSet::of(info.signal) } else { SignalSet::default() };
        task.mask = task.mask.union(action.mask).union(own).as_mask();
        if pushed.is_err() {
            if info.signal == Signal::SEGV {
                let process = task.process;
                return self.end_process(process, Termination::Killed(Signal::SEGV.number()));
            }
            return self.force_signal(id, Info::kernel(Signal::SEGV));
        }
        if stepping {
            self.stop_tracee(id, Stop::Handler);
        }
    }

    /// Gives the call that `task` waits in its last chance, then ends it with EINTR or has it start
    /// again when the handler returns.
    fn interrupt_call(&mut self, id: TaskId, action: Action) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let Some(call) = &mut task.call else { return };
        call.interrupted = true;
        let number = call.number;
        // The mask of sigsuspend and ppoll is for the frame to restore, if the call ends with EINTR.
        let Some(restart) = self.run_call(id) else { return };
        let Some(task) = self.tasks.get_mut(&id) else { return };
        task.call = None;
        if restart == Restart::IfFlagged && action.flags & flag::RESTART != 0 {
            task.cpu.eip = task.cpu.eip.wrapping_sub(2);
            task.cpu.set_gpr(Gpr::Eax, number);
        } else {
            task.cpu.set_gpr(Gpr::Eax, Errno::EINTR.to_register());
        }
        self.make_runnable(id);
    }

    /// Replaces the mask of `task` for the duration of its call (sigsuspend(2), ppoll(2)). Calling it
    /// again when the call is run again changes nothing.
    pub(crate) fn set_temporary_mask(&mut self, id: TaskId, mask: SignalSet) {
        if let Some(task) = self.tasks.get_mut(&id)
            && task.saved_mask.is_none()
        {
            task.saved_mask = Some(task.mask);
            task.mask = mask.as_mask();
        }
    }

    /// Stops a process: its tasks are not scheduled until SIGCONT.
    fn stop_process(&mut self, id: ProcessId, signal: Signal) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        process.stopped = true;
        if self.stop_traced_threads(id, signal) {
            return;
        }
        if let Some(process) = self.processes.get_mut(&id) {
            process.event = Some(ChildEvent::Stopped(signal.number()));
        }
        self.notify_parent(id);
    }

    /// Lets a stopped process go on.
    fn continue_process(&mut self, id: ProcessId) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        if !process.stopped {
            return;
        }
        process.stopped = false;
        process.event = Some(ChildEvent::Continued);
        for task in process.threads.clone() {
            self.make_runnable(task);
        }
        self.continue_traced_threads(id);
        self.notify_parent(id);
    }

    /// Whether nobody in the session could continue the group of `id` (POSIX: orphaned process group).
    fn is_orphaned_group(&self, id: ProcessId) -> bool {
        let Some(group) = self.processes.get(&id).map(|process| process.group) else { return true };
        !self.processes.values().filter(|member| member.group == group && member.ended.is_none()).any(
            |member| {
                self.processes
                    .get(&member.parent)
                    .is_some_and(|parent| parent.group != group && parent.session == member.session)
            },
        )
    }
}

impl AlternateStack {
    /// `ss_flags` as sigaltstack(2) reports them while the stack pointer is `pointer`.
    pub(crate) const fn flags(&self, pointer: u32) -> u32 {
        let disarm = if self.disarm { SS_AUTODISARM } else { 0 };
        if self.size == 0 {
            SS_DISABLE
        } else if self.holds(pointer) {
            SS_ONSTACK | disarm
        } else {
            disarm
        }
    }
}
