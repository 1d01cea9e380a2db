//! How traced threads stop for their tracers, and go on (ptrace(2)).

use pentimento_registers::{Eflags, Gpr};

use super::Kernel;
use crate::errno::Errno;
use crate::ids::{ProcessId, TaskId, Termination};
use crate::ptrace::{EndedTracee, Event, Mode, Stop, TraceOptions, Tracing};
use crate::signal::{Action, Info, Signal, code, flag};
use crate::wait::{Channel, PendingCall, Restart};

/// What EAX says while a call is to be made again: always but for handlers without SA_RESTART, only without
/// a handler, and by restart_syscall(2), which knows how long it has waited.
const ERESTARTSYS: u32 = 512_u32.wrapping_neg();
const ERESTARTNOHAND: u32 = 514_u32.wrapping_neg();
const ERESTART_RESTARTBLOCK: u32 = 516_u32.wrapping_neg();

/// The number of restart_syscall(2).
const RESTART_SYSCALL: u32 = 0;

/// Bytes of the instruction that makes a call.
const CALL_LENGTH: u32 = 2;

impl Kernel {
    /// What is known of a thread that is traced.
    pub(crate) fn tracing(&mut self, id: TaskId) -> Option<&mut Tracing> {
        self.tasks.get_mut(&id)?.tracing.as_deref_mut()
    }

    /// Has `tracer` trace a thread that nobody traces.
    pub(crate) fn begin_tracing(&mut self, id: TaskId, tracing: Tracing) {
        let tracer = tracing.tracer;
        let Some(task) = self.tasks.get_mut(&id) else { return };
        task.tracing = Some(Box::new(tracing));
        if let Some(process) = self.processes.get_mut(&tracer) {
            process.tracees.push(id);
        }
    }

    /// Stops a traced thread, and tells its tracer.
    pub(crate) fn stop_tracee(&mut self, id: TaskId, stop: Stop) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let Some(tracing) = &mut task.tracing else { return };
        if core::mem::take(&mut tracing.stepping) {
            task.cpu.eflags.remove(Eflags::TF);
        }
        (tracing.stop, tracing.reported, tracing.listening) = (Some(stop), false, false);
        let (tracer, status) = (tracing.tracer, tracing.status().unwrap_or_default());
        let code = if matches!(stop, Stop::Group(_)) { code::CLD_STOPPED } else { code::CLD_TRAPPED };
        self.tell_tracer(tracer, id, (code, status));
    }

    /// Sends SIGCHLD about a thread to its tracer, and wakes those who wait there.
    fn tell_tracer(&mut self, tracer: ProcessId, id: TaskId, (code, status): (i32, u32)) {
        let Some(actions) = self.processes.get(&tracer).filter(|p| p.ended.is_none()).map(|p| p.actions)
        else {
            return;
        };
        let action = self.actions[actions].get(Signal::CHLD);
        if action.handler != Action::IGNORE && action.flags & flag::NOCLDSTOP == 0 {
            let info = self.tracee_info(id, code, status);
            self.signal_process(tracer, info);
        }
        self.wake(Channel::Child(tracer));
    }

    /// The `siginfo_t` of SIGCHLD about a traced thread.
    pub(crate) fn tracee_info(&self, id: TaskId, code: i32, status: u32) -> Info {
        let process = self.tasks.get(&id).and_then(|task| self.processes.get(&task.process));
        let user = process.map_or(0, |process| process.credentials.uid);
        Info { signal: Signal::CHLD, errno: 0, code, fields: [id.number(), user, status, 0, 0] }
    }

    /// Stops a traced thread for an event, if its tracer wants to be told of it. Says whether.
    pub(crate) fn stop_for_event(&mut self, id: TaskId, event: Event, message: u32) -> bool {
        let Some(tracing) = self.tracing(id) else { return false };
        if !tracing.options.contains(event.option()) {
            return false;
        }
        tracing.message = message;
        self.stop_tracee(id, Stop::Event(event));
        true
    }

    /// Stops a traced thread before a call, if its tracer wants that. The call is pending already.
    pub(crate) fn stop_before_call(&mut self, id: TaskId, number: u32) -> bool {
        let Some(task) = self.tasks.get_mut(&id) else { return false };
        let Some(tracing) = &mut task.tracing else { return false };
        tracing.original = number;
        if tracing.mode == Mode::Free {
            return false;
        }
        let emulated = tracing.mode == Mode::Emulation;
        task.cpu.set_gpr(Gpr::Eax, Errno::ENOSYS.to_register());
        self.stop_tracee(id, Stop::Entry { emulated });
        true
    }

    /// The call with which a thread goes on that restart_syscall(2) names.
    pub(crate) fn restarted_call(&mut self, id: TaskId, number: u32) -> Option<PendingCall> {
        if number != RESTART_SYSCALL {
            return None;
        }
        let call = self.tracing(id)?.suspended.take()?;
        Some(PendingCall { interrupted: false, ..call })
    }

    /// Makes the stops of a thread that are due before it goes on; says whether it is not to go on.
    pub(super) fn makes_stops(&mut self, id: TaskId) -> bool {
        let has_signal = self.has_signal(id);
        let Some(task) = self.tasks.get_mut(&id) else { return true };
        let (process, in_call) = (task.process, task.call.is_some());
        let Some(tracing) = &mut task.tracing else { return false };
        if let Some(how) = tracing.ending {
            self.end_process(process, how);
            return true;
        }
        if in_call && (has_signal || tracing.interrupted) && !self.suspend_call(id) {
            return true;
        }
        let Some(task) = self.tasks.get_mut(&id) else { return true };
        let Some(tracing) = &mut task.tracing else { return false };
        if core::mem::take(&mut tracing.exit_due) {
            if tracing.mode == Mode::Calls {
                self.stop_tracee(id, Stop::Exit);
                return true;
            }
            if core::mem::take(&mut tracing.stepping) {
                // The processor does not trap behind an interrupt.
                task.cpu.eflags.remove(Eflags::TF);
                let info = Info::fault(Signal::TRAP, code::TRAP_BRKPT, task.cpu.eip);
                self.force_signal(id, info);
            }
        }
        let Some(tracing) = self.tracing(id) else { return false };
        if core::mem::take(&mut tracing.interrupted) {
            self.stop_tracee(id, Stop::Event(Event::Stop));
            return true;
        }
        false
    }

    /// Gives the call that a traced thread waits in its last chance, and else leaves it with EAX saying that
    /// it is to be made again, as debuggers know it. Says whether the thread is out of its call.
    fn suspend_call(&mut self, id: TaskId) -> bool {
        if let Some(call) = self.tasks.get_mut(&id).and_then(|task| task.call.as_mut()) {
            call.interrupted = true;
        }
        let restart = self.run_call(id);
        let Some(task) = self.tasks.get_mut(&id) else { return false };
        let Some(restart) = restart else { return task.call.is_none() };
        let Some(call) = task.call.take() else { return false };
        let timed = matches!(call.deadline, Some(Some(_)));
        let eax = match restart {
            Restart::IfFlagged => ERESTARTSYS,
            Restart::Never if timed => ERESTART_RESTARTBLOCK,
            Restart::Never => ERESTARTNOHAND,
        };
        task.cpu.set_gpr(Gpr::Eax, eax);
        if let Some(tracing) = &mut task.tracing {
            // It may not have been traced when the call began.
            tracing.original = call.number;
            (tracing.suspended, tracing.exit_due) = (Some(call), true);
        }
        self.make_runnable(id);
        true
    }

    /// Has a traced thread make the call again that a signal interrupted, unless its tracer has decided
    /// otherwise; for a handler with this action, if there is one.
    pub(super) fn restart_call(&mut self, id: TaskId, action: Option<Action>) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let Some(tracing) = &mut task.tracing else { return };
        if tracing.suspended.is_none() || (tracing.original as i32) < 0 {
            tracing.suspended = None;
            return;
        }
        let flagged = action.is_none_or(|action| action.flags & flag::RESTART != 0);
        let number = match task.cpu.gpr(Gpr::Eax) {
            ERESTARTSYS if flagged => Some(tracing.original),
            ERESTARTNOHAND if action.is_none() => Some(tracing.original),
            ERESTART_RESTARTBLOCK if action.is_none() => Some(RESTART_SYSCALL),
            ERESTARTSYS | ERESTARTNOHAND | ERESTART_RESTARTBLOCK => None,
            _ => {
                tracing.suspended = None;
                return;
            }
        };
        if number != Some(RESTART_SYSCALL) {
            tracing.suspended = None;
        }
        match number {
            Some(number) => {
                task.cpu.set_gpr(Gpr::Eax, number);
                task.cpu.eip = task.cpu.eip.wrapping_sub(CALL_LENGTH);
            }
            None => task.cpu.set_gpr(Gpr::Eax, Errno::EINTR.to_register()),
        }
    }

    /// The signal that a traced thread takes next: the one that its tracer passed on. With one that the
    /// tracer has not seen it stops.
    pub(super) fn next_traced_signal(&mut self, id: TaskId) -> Option<Info> {
        let task = self.tasks.get_mut(&id)?;
        let mask = task.held_back();
        if let Some(info) = task.tracing.as_mut()?.passed.take() {
            if !mask.contains(info.signal) {
                return Some(info);
            }
            task.pending.push(info, u64::MAX);
        }
        let info = self.take_signal(id, crate::signal::SignalSet(!mask.0))?;
        if info.signal == Signal::KILL {
            return Some(info);
        }
        self.stop_tracee(id, Stop::Signal(info));
        None
    }

    /// Whether a thread is stopped for its tracer.
    pub(crate) fn is_trace_stopped(&self, id: TaskId) -> bool {
        let tracing = self.tasks.get(&id).and_then(|task| task.tracing.as_ref());
        tracing.is_some_and(|tracing| tracing.stop.is_some())
    }

    /// Lets a stopped thread go on, with a signal if the tracer says so.
    pub(crate) fn resume_tracee(&mut self, id: TaskId, mode: Mode, step: bool, signal: Option<Signal>) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let user = self.processes.get(&task.process).map_or(0, |process| process.credentials.uid);
        let Some(tracing) = &mut task.tracing else { return };
        let Some(stop) = tracing.stop.take() else { return };
        (tracing.mode, tracing.stepping) = (mode, step);
        if step {
            task.cpu.eflags.insert(Eflags::TF);
        }
        let sent = signal.map(|signal| Info::sent(signal, code::USER, tracing.tracer.number(), user));
        match stop {
            Stop::Entry { emulated } => {
                // The tracer may have chosen another call, or none.
                let number = tracing.original;
                let arguments = [Gpr::Ebx, Gpr::Ecx, Gpr::Edx, Gpr::Esi, Gpr::Edi, Gpr::Ebp]
                    .map(|register| task.cpu.gpr(register));
                let printed = task.call.take().map(|call| call.printed).unwrap_or_default();
                let restarted = tracing.suspended.take_if(|_| number == RESTART_SYSCALL && !emulated);
                if let Some(call) = restarted {
                    task.call = Some(PendingCall { interrupted: false, ..call });
                } else if !emulated && number != u32::MAX {
                    task.call = Some(PendingCall { number, arguments, printed, ..PendingCall::default() });
                } else {
                    tracing.exit_due = !emulated;
                }
            }
            Stop::Signal(info) => {
                tracing.passed = sent.map(|sent| if sent.signal == info.signal { info } else { sent });
            }
            _ => {}
        }
        if matches!(stop, Stop::Entry { .. } | Stop::Exit)
            && let Some(info) = sent
        {
            self.signal_task(id, info);
        }
        if stop == Stop::Event(Event::Exit) {
            self.make_runnable(id);
        }
        self.enqueue(id);
    }

    /// Ends the tracing of a thread, which goes on.
    pub(crate) fn end_tracing(&mut self, id: TaskId, signal: Option<Signal>) {
        self.resume_tracee(id, Mode::Free, false, signal);
        self.restart_call(id, None);
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let Some(tracing) = task.tracing.take() else { return };
        if tracing.stepping {
            task.cpu.eflags.remove(Eflags::TF);
        }
        if let Some(info) = tracing.passed {
            task.pending.push(info, u64::MAX);
        }
        if let Some(process) = self.processes.get_mut(&tracing.tracer) {
            process.tracees.retain(|tracee| *tracee != id);
        }
        self.enqueue(id);
    }

    /// A process that may trace others ends: they go on alone, or end with it.
    pub(super) fn end_tracer(&mut self, id: ProcessId) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        let (tracees, ended) =
            (core::mem::take(&mut process.tracees), core::mem::take(&mut process.ended_tracees));
        for tracee in tracees {
            let kills = self.tracing(tracee).is_some_and(|t| t.options.contains(TraceOptions::EXIT_KILL));
            self.end_tracing(tracee, None);
            if kills && let Some(process) = self.tasks.get(&tracee).map(|task| task.process) {
                self.end_process(process, Termination::Killed(Signal::KILL.number()));
            }
        }
        for tracee in ended {
            self.give_to_parent(tracee);
        }
    }

    /// A traced thread ends; what is left of it its tracer hears of.
    pub(super) fn end_tracee(&mut self, id: TaskId, how: Termination) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let process = task.process;
        let Some(tracing) = task.tracing.take() else { return };
        let is_process = id.number() == process.number();
        let tracer = tracing.tracer;
        if let Some(process) = self.processes.get_mut(&tracer) {
            process.tracees.retain(|tracee| *tracee != id);
        }
        if is_process {
            // A tracer that is the parent hears of it as any parent does.
            if let Some(process) = self.processes.get_mut(&process)
                && process.parent != tracer
            {
                process.tracer = Some(tracer);
            }
            return;
        }
        self.leave_to_tracer(tracer, id, how, false);
    }

    /// A process has ended: says whether its tracer is to hear of that before its parent.
    pub(super) fn tells_tracer_first(&mut self, id: ProcessId) -> bool {
        let Some(process) = self.processes.get(&id) else { return false };
        let (Some(tracer), Some(how)) = (process.tracer, process.ended) else { return false };
        if self.processes.get(&tracer).is_none_or(|tracer| tracer.ended.is_some()) {
            return false;
        }
        self.leave_to_tracer(tracer, TaskId(id.number()), how, true);
        true
    }

    fn leave_to_tracer(&mut self, tracer: ProcessId, task: TaskId, how: Termination, is_process: bool) {
        let user = self.processes.get(&ProcessId(task.number())).map_or(0, |p| p.credentials.uid);
        let most = self.limits.tasks as usize;
        let Some(process) = self.processes.get_mut(&tracer).filter(|process| process.ended.is_none()) else {
            return;
        };
        // A tracer that never waits does not hear of all threads; of processes there are not more than that.
        if is_process || process.ended_tracees.len() < most {
            process.ended_tracees.push(EndedTracee { task, how, user, is_process });
        }
        let report = match how {
            Termination::Exited(status) => (code::CLD_EXITED, status.into()),
            Termination::Killed(signal) => (code::CLD_KILLED, signal.into()),
        };
        self.tell_tracer(tracer, task, report);
    }

    /// The tracer of a process that has ended knows of it, so its parent may.
    pub(crate) fn give_to_parent(&mut self, tracee: EndedTracee) {
        let id = ProcessId(tracee.task.number());
        if !tracee.is_process {
            return;
        }
        if let Some(process) = self.processes.get_mut(&id) {
            process.tracer = None;
            self.notify_parent(id);
        }
    }

    /// A program begins in a traced process, whose first thread was `former` before.
    pub(crate) fn trace_execution(&mut self, id: TaskId, former: TaskId) {
        let Some(process) = self.tasks.get(&id).map(|task| task.process) else { return };
        let Some(tracing) = self.tracing(id) else { return };
        tracing.exit_due = true;
        let (tracer, seized) = (tracing.tracer, tracing.seized);
        if let Some(tracer) = self.processes.get_mut(&tracer) {
            for tracee in tracer.tracees.iter_mut().filter(|tracee| **tracee == former) {
                *tracee = id;
            }
        }
        if self.stop_for_event(id, Event::Exec, former.number()) || seized {
            return;
        }
        let user = self.processes.get(&process).map_or(0, |process| process.credentials.uid);
        self.signal_task(id, Info::sent(Signal::TRAP, code::USER, process.number(), user));
    }

    /// A traced thread has made a new one, which is traced like it if the tracer wants that.
    pub(crate) fn trace_child(&mut self, parent: TaskId, child: TaskId, event: Event) {
        let Some(tracing) = self.tracing(parent) else { return };
        if !tracing.options.contains(event.option()) {
            return;
        }
        let mut inherited = Tracing::new(tracing.tracer, tracing.options, tracing.seized);
        inherited.interrupted = tracing.seized;
        let stops = !tracing.seized;
        self.begin_tracing(child, inherited);
        if stops && let Some(task) = self.tasks.get_mut(&child) {
            task.pending.push(Info::sent(Signal::STOP, code::USER, 0, 0), u64::MAX);
        }
        self.stop_for_event(parent, event, child.number());
    }

    /// Stops the traced threads of a process that a signal has stopped; says whether its parent traces it.
    pub(super) fn stop_traced_threads(&mut self, id: ProcessId, signal: Signal) -> bool {
        let Some(process) = self.processes.get(&id) else { return false };
        let (threads, parent) = (process.threads.clone(), process.parent);
        let mut by_parent = false;
        for thread in threads {
            let Some(tracing) = self.tracing(thread) else { continue };
            by_parent |= tracing.tracer == parent;
            if tracing.stop.is_none() {
                self.stop_tracee(thread, Stop::Group(signal));
            }
        }
        by_parent
    }

    /// Tells the tracers of seized threads that wait for it that their process goes on.
    pub(super) fn continue_traced_threads(&mut self, id: ProcessId) {
        let Some(process) = self.processes.get(&id) else { return };
        for thread in process.threads.clone() {
            self.continue_listener(thread);
        }
    }

    /// Tells the tracer of a thread that listens that something has happened.
    pub(crate) fn continue_listener(&mut self, id: TaskId) {
        if self.tracing(id).is_some_and(|tracing| tracing.seized && tracing.listening) {
            self.stop_tracee(id, Stop::Event(Event::Stop));
        }
    }
}
