//! Timers of processes: interval timers (setitimer(2)) and POSIX timers (timer_create(2)).

use std::collections::BTreeMap;

use crate::kernel::Kernel;
use crate::scheduler::Event;
use crate::signal::{Info, Signal, code};
use crate::task::{ProcessId, TaskId};

/// When a timer expires next, and how often after that; nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Interval {
    /// 0 while disarmed.
    pub(crate) next: u64,
    /// 0 for once.
    pub(crate) period: u64,
}

impl Interval {
    /// Moves on past `now`, and says how many expirations that was.
    fn advance(&mut self, now: u64) -> u64 {
        if self.next == 0 || now < self.next {
            return 0;
        }
        if self.period == 0 {
            self.next = 0;
            return 1;
        }
        let count = (now - self.next) / self.period + 1;
        // Beyond the end of time there is no further expiration.
        self.next =
            count.checked_mul(self.period).and_then(|ahead| self.next.checked_add(ahead)).unwrap_or(0);
        count
    }

    /// Time left at `now`; 0 if disarmed, else at least 1.
    pub(crate) fn left(&self, now: u64) -> u64 {
        if self.next == 0 { 0 } else { self.next.saturating_sub(now).max(1) }
    }
}

/// Whom a POSIX timer notifies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Notify {
    /// Nobody (SIGEV_NONE).
    Nobody,
    /// The process (SIGEV_SIGNAL).
    Process(Signal),
    /// One thread (SIGEV_THREAD_ID).
    Task(Signal, TaskId),
}

/// A POSIX timer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PosixTimer {
    pub(crate) clock: u32,
    pub(crate) notify: Notify,
    /// `sigev_value`.
    pub(crate) value: u32,
    /// In monotonic time.
    pub(crate) interval: Interval,
    /// Expirations beyond the one that the last signal told of.
    pub(crate) overrun: u32,
}

/// A process's timers.
#[derive(Clone, Debug)]
pub(crate) struct Timers {
    /// ITIMER_REAL, in monotonic time.
    pub(crate) real: Interval,
    /// ITIMER_VIRTUAL, in the process's processor time.
    pub(crate) virtual_time: Interval,
    /// ITIMER_PROF, in the process's processor time.
    pub(crate) profile: Interval,
    /// Seconds of processor time at which SIGXCPU comes next (RLIMIT_CPU).
    pub(crate) limit: u64,
    pub(crate) posix: BTreeMap<u32, PosixTimer>,
    /// How many POSIX timers there ever were: their numbers.
    pub(crate) created: u32,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            real: Interval::default(),
            virtual_time: Interval::default(),
            profile: Interval::default(),
            limit: u64::MAX,
            posix: BTreeMap::new(),
            created: 0,
        }
    }
}

impl Timers {
    /// Whether anything happens at some processor time.
    const fn run_on_processor_time(&self) -> bool {
        self.virtual_time.next != 0 || self.profile.next != 0 || self.limit != u64::MAX
    }

    /// Whether ITIMER_REAL expires at `time`.
    pub(crate) fn real_at(&self, time: u64) -> bool {
        self.real.next == time
    }

    /// Whether a POSIX timer expires at `time`.
    pub(crate) fn posix_at(&self, number: u32, time: u64) -> bool {
        self.posix.get(&number).is_some_and(|timer| timer.interval.next == time)
    }
}

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
        const CPU: usize = 0;
        let Some(process) = self.processes.get_mut(&id) else { return };
        let used = now / 1_000_000_000;
        if used >= process.limits[CPU].1 {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_counts_what_was_missed_and_ends_with_time() {
        let mut interval = Interval { next: 100, period: 10 };
        assert_eq!((interval.advance(99), interval.next), (0, 100));
        assert_eq!((interval.advance(125), interval.next), (3, 130));
        let mut once = Interval { next: 100, period: 0 };
        assert_eq!((once.advance(100), once.next), (1, 0));
        let mut last = Interval { next: 100, period: u64::MAX - 50 };
        assert_eq!((last.advance(100), last.next), (1, 0), "there is no next time");
    }
}
