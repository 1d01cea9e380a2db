//! Timers of processes: setting them, and what happens when their time comes.

use super::Kernel;
use crate::ids::ProcessId;
use crate::resource::Resource;
use crate::scheduler::Event;
use crate::signal::{Info, Signal, SignalSet, code};
use crate::timer::{Interval, Notify, PosixTimer, Timers};

impl Kernel {
    /// Sets ITIMER_REAL.
    pub(crate) fn arm_real_timer(&mut self, id: ProcessId, interval: Interval) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        self.scheduler.remove_event(process.timers.real.next, Event::RealTimer(id));
        process.timers.real = interval;
        process.timers.real_is_dormant = false;
        if interval.next != 0 {
            self.scheduler.add_event(interval.next, Event::RealTimer(id));
        }
    }

    /// ITIMER_REAL's time has come: the next one is awaited when the signal has been taken.
    pub(crate) fn fire_real_timer(&mut self, id: ProcessId) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        process.timers.real_is_dormant = true;
        self.signal_process(id, Info::kernel(Signal::ALRM));
    }

    /// Sets a POSIX timer.
    pub(crate) fn arm_posix_timer(&mut self, id: ProcessId, number: u32, interval: Interval) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        let Some(timer) = process.timers.posix.get_mut(&number) else { return };
        let event = Event::PosixTimer(id, number);
        self.scheduler.remove_event(timer.interval.next, event);
        (timer.interval, timer.dormant) = (interval, false);
        if interval.next != 0 && timer.notify != Notify::Nobody {
            self.scheduler.add_event(interval.next, event);
        }
    }

    /// A POSIX timer's time has come. Its signal waits once; what expires until it is taken is counted then
    /// (timer_getoverrun(2)).
    pub(crate) fn fire_posix_timer(&mut self, id: ProcessId, number: u32) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        let Some(timer) = process.timers.posix.get_mut(&number) else { return };
        timer.dormant = true;
        let (timer, ignored) = (*timer, timer.signal().is_none_or(|signal| self.is_lost(id, signal)));
        if timer.queued || ignored {
            return;
        }
        self.posix_timer(id, number, |timer| timer.queued = true);
        let info =
            |signal| Info { signal, errno: 0, code: code::TIMER, fields: [number, 0, timer.value, 0, 0] };
        match timer.notify {
            Notify::Nobody => {}
            Notify::Process(signal) => self.signal_process(id, info(signal)),
            Notify::Task(signal, task) => self.signal_task(task, info(signal)),
        }
    }

    fn posix_timer(&mut self, id: ProcessId, number: u32, change: impl FnOnce(&mut PosixTimer)) {
        let process = self.processes.get_mut(&id);
        if let Some(timer) = process.and_then(|process| process.timers.posix.get_mut(&number)) {
            change(timer);
        }
    }

    /// A signal has been taken: the timer that sent it goes on, and the signal tells how often it has
    /// expired beyond once.
    pub(crate) fn continue_timer(&mut self, id: ProcessId, info: &mut Info) {
        let now = self.time.monotonic();
        let Some(process) = self.processes.get_mut(&id) else { return };
        if info.signal == Signal::ALRM && process.timers.real_is_dormant {
            process.timers.real.advance(now);
            let interval = process.timers.real;
            self.arm_real_timer(id, interval);
        }
        if info.code != code::TIMER {
            return;
        }
        let number = info.fields[0];
        let Some(process) = self.processes.get_mut(&id) else { return };
        let Some(timer) = process.timers.posix.get_mut(&number) else { return };
        timer.queued = false;
        if timer.dormant {
            let missed = timer.interval.advance(now).saturating_sub(1);
            timer.overrun = missed.min(i32::MAX as u64) as u32;
            info.fields[1] = timer.overrun;
            let interval = timer.interval;
            self.arm_posix_timer(id, number, interval);
        }
    }

    /// Has timers look again whether anybody wants their signals, which are of `set`: those that waited
    /// are no more if they were `discarded`.
    pub(crate) fn wake_timers(&mut self, id: ProcessId, set: SignalSet, discarded: bool) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        let timers = &mut process.timers;
        let real = timers.real_is_dormant && set.contains(Signal::ALRM);
        let mut woken = Vec::new();
        if !timers.signals.intersection(set).is_empty() {
            for (number, timer) in &mut timers.posix {
                if timer.signal().is_some_and(|signal| set.contains(signal)) {
                    timer.queued &= !discarded;
                    woken.extend((timer.dormant && !timer.queued).then_some((*number, timer.interval)));
                }
            }
        }
        if real && (discarded || !process.pending.set().contains(Signal::ALRM)) {
            let interval = process.timers.real;
            self.arm_real_timer(id, interval);
        }
        for (number, interval) in woken {
            self.arm_posix_timer(id, number, interval);
        }
    }

    /// Takes the POSIX timers of a process away (execve(2)).
    pub(crate) fn delete_posix_timers(&mut self, id: ProcessId) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        process.timers.signals = SignalSet::default();
        for (number, timer) in core::mem::take(&mut process.timers.posix) {
            self.scheduler.remove_event(timer.interval.next, Event::PosixTimer(id, number));
        }
    }

    /// Takes all timers of a process away.
    pub(crate) fn delete_timers(&mut self, id: ProcessId) {
        self.delete_posix_timers(id);
        self.arm_real_timer(id, Interval::default());
        if let Some(process) = self.processes.get_mut(&id) {
            process.timers = Timers::default();
        }
    }

    /// The processor time of a process's own instructions, nanoseconds.
    pub(crate) fn processor_time(&self, id: ProcessId) -> u64 {
        let Some(process) = self.processes.get(&id) else { return 0 };
        let threads = process.threads.iter().filter_map(|task| self.tasks.get(task));
        let instructions =
            threads.fold(process.instructions, |sum, task| sum.wrapping_add(task.instructions));
        self.time.processor_time(instructions)
    }

    /// Tells a process that it has used up its processor time, every second anew; kills it at the
    /// hard limit (RLIMIT_CPU).
    fn enforce_processor_limit(&mut self, id: ProcessId, now: u64) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        let used = now / 1_000_000_000;
        if used >= process.limits[Resource::Cpu].hard {
            self.signal_process(id, Info::kernel(Signal::KILL));
        } else if used >= process.timers.limit {
            process.timers.limit = used + 1;
            self.signal_process(id, Info::kernel(Signal::XCPU));
        }
    }

    /// Fires the interval timers that run on processor time.
    pub(crate) fn fire_processor_timers(&mut self, id: ProcessId) {
        let Some(process) = self.processes.get(&id) else { return };
        if !process.timers.run_on_processor_time() {
            return;
        }
        let now = self.processor_time(id);
        self.enforce_processor_limit(id, now);
        let Some(process) = self.processes.get_mut(&id) else { return };
        let virtual_time = process.timers.virtual_time.advance(now) > 0;
        let profile = process.timers.profile.advance(now) > 0;
        if virtual_time {
            self.signal_process(id, Info::kernel(Signal::VTALRM));
        }
        if profile {
            self.signal_process(id, Info::kernel(Signal::PROF));
        }
    }
}
