//! Timers of processes: interval timers (setitimer(2)) and POSIX timers (timer_create(2)).

use std::collections::BTreeMap;

use crate::ids::TaskId;
use crate::signal::{Signal, SignalSet};

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
    pub(crate) fn advance(&mut self, now: u64) -> u64 {
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

    /// Time left at `now`, whatever has expired without having been noticed; 0 if disarmed, else at
    /// least 1.
    pub(crate) fn left(mut self, now: u64) -> u64 {
        self.advance(now);
        self.next.saturating_sub(now)
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
    /// Its signal waits to be taken.
    pub(crate) queued: bool,
    /// It has expired, and what comes after that is not counted before its signal is taken or is no longer
    /// ignored: however short its period, it costs nothing meanwhile.
    pub(crate) dormant: bool,
}

impl PosixTimer {
    /// The signal that it sends, if it sends one.
    pub(crate) const fn signal(&self) -> Option<Signal> {
        match self.notify {
            Notify::Nobody => None,
            Notify::Process(signal) | Notify::Task(signal, _) => Some(signal),
        }
    }
}

/// A process's timers.
#[derive(Clone, Debug)]
pub(crate) struct Timers {
    /// ITIMER_REAL, in monotonic time.
    pub(crate) real: Interval,
    /// That one has expired, and goes on when SIGALRM is taken.
    pub(crate) real_is_dormant: bool,
    /// ITIMER_VIRTUAL, in the process's processor time.
    pub(crate) virtual_time: Interval,
    /// ITIMER_PROF, in the process's processor time.
    pub(crate) profile: Interval,
    /// Seconds of processor time at which SIGXCPU comes next (RLIMIT_CPU).
    pub(crate) limit: u64,
    pub(crate) posix: BTreeMap<u32, PosixTimer>,
    /// Signals that POSIX timers send or sent.
    pub(crate) signals: SignalSet,
    /// How many POSIX timers there ever were: their numbers.
    pub(crate) created: u32,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            real: Interval::default(),
            real_is_dormant: false,
            virtual_time: Interval::default(),
            profile: Interval::default(),
            limit: u64::MAX,
            posix: BTreeMap::new(),
            signals: SignalSet::default(),
            created: 0,
        }
    }
}

impl Timers {
    /// Whether anything happens at some processor time.
    pub(crate) const fn run_on_processor_time(&self) -> bool {
        self.virtual_time.next != 0 || self.profile.next != 0 || self.limit != u64::MAX
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
