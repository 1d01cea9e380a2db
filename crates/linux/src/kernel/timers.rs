//! Timers of processes: setting them, and what happens when their time comes.

use super::Kernel;
use crate::ids::ProcessId;
use crate::resource::Resource;
use crate::scheduler::Event;
use crate::signal::{Info, Signal, code};
use crate::timer::{Interval, Notify};

impl Kernel {
    /// Sets ITIMER_REAL.
    pub(crate) fn arm_real_timer(&mut self, id: ProcessId, interval: Interval) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        process.timers.real = interval;
        if interval.next != 0 {
            self.scheduler.add_event(interval.next, Event::RealTimer(id));
        }
    }

    /// ITIMER_REAL's time has come.
    pub(crate) fn fire_real_timer(&mut self, id: ProcessId, time: u64) {
        let now = self.time.monotonic();
        let Some(process) = self.processes.get_mut(&id) else { return };
        if process.ended.is_some() || !process.timers.real_at(time) {
            return;
        }
        process.timers.real.advance(now);
        let interval = process.timers.real;
        self.arm_real_timer(id, interval);
        self.signal_process(id, Info::kernel(Signal::ALRM));
    }

    /// Sets a POSIX timer.
    pub(crate) fn arm_posix_timer(&mut self, id: ProcessId, number: u32, interval: Interval) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        let Some(timer) = process.timers.posix.get_mut(&number) else { return };
        timer.interval = interval;
        if interval.next != 0 {
            self.scheduler.add_event(interval.next, Event::PosixTimer(id, number));
        }
    }

    /// A POSIX timer's time has come.
    pub(crate) fn fire_posix_timer(&mut self, id: ProcessId, number: u32, time: u64) {
        let now = self.time.monotonic();
        let Some(process) = self.processes.get_mut(&id) else { return };
        if process.ended.is_some() || !process.timers.posix_at(number, time) {
            return;
        }
        let Some(timer) = process.timers.posix.get_mut(&number) else { return };
        let count = timer.interval.advance(now);
        // A timer's signal is queued once; what expires until it is taken is counted (timer_getoverrun(2)).
        let waits = match timer.notify {
            Notify::Nobody => false,
            Notify::Process(_) => process.pending.holds_timer(number),
            Notify::Task(_, task) => {
                self.tasks.get(&task).is_some_and(|task| task.pending.holds_timer(number))
            }
        };
        let missed = if waits { u64::from(timer.overrun) + count } else { count.saturating_sub(1) };
        timer.overrun = missed.min(i32::MAX as u64) as u32;
        let timer = *timer;
        self.arm_posix_timer(id, number, timer.interval);
        if waits {
            return;
        }
        let info =
            |signal| Info { signal, code: code::TIMER, fields: [number, timer.overrun, timer.value, 0, 0] };
        match timer.notify {
            Notify::Nobody => {}
            Notify::Process(signal) => self.signal_process(id, info(signal)),
            Notify::Task(signal, task) => self.signal_task(task, info(signal)),
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
