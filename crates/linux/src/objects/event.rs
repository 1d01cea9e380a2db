//! Event counters (eventfd(2)) and timers (timerfd_create(2)) behind descriptors.

use crate::errno::Errno;
use crate::wait::Channel;

/// The counter of an eventfd.
#[derive(Clone, Debug)]
pub(crate) struct Counter {
    value: u64,
    /// Each read takes one (EFD_SEMAPHORE), not all.
    semaphore: bool,
    pub(crate) channel: Channel,
}

impl Counter {
    /// A counter that starts at `value`.
    pub(crate) fn new(value: u64, semaphore: bool, channel: Channel) -> Self {
        Self { value, semaphore, channel }
    }

    /// What a read gives, or `None` where it has to wait.
    pub(crate) fn read(&mut self) -> Option<u64> {
        match (self.value, self.semaphore) {
            (0, _) => None,
            (_, true) => {
                self.value -= 1;
                Some(1)
            }
            (_, false) => Some(std::mem::take(&mut self.value)),
        }
    }

    /// Adds `more`; `None` where a writer has to wait, EINVAL for the one value that never fits.
    pub(crate) fn write(&mut self, more: u64) -> Result<Option<()>, Errno> {
        if more == u64::MAX {
            return Err(Errno::EINVAL);
        }
        match self.value.checked_add(more) {
            Some(value) if value < u64::MAX => {
                self.value = value;
                Ok(Some(()))
            }
            _ => Ok(None),
        }
    }

    /// Whether a read would give something.
    pub(crate) fn is_readable(&self) -> bool {
        self.value > 0
    }

    /// Whether a write of 1 would go through.
    pub(crate) fn is_writable(&self) -> bool {
        self.value < u64::MAX - 1
    }
}

/// A timer, in monotonic nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Timer {
    /// Whether it counts in CLOCK_REALTIME.
    pub(crate) realtime: bool,
    /// The next expiration.
    next: Option<u64>,
    /// Nanoseconds between expirations; 0 for a single one.
    interval: u64,
    pub(crate) channel: Channel,
}

impl Timer {
    /// A timer that is not set.
    pub(crate) fn new(realtime: bool, channel: Channel) -> Self {
        Self { realtime, next: None, interval: 0, channel }
    }

    /// Sets it to expire at `next` and then every `interval`; `None` stops it.
    pub(crate) fn set(&mut self, next: Option<u64>, interval: u64) {
        self.next = next;
        self.interval = interval;
    }

    /// Nanoseconds to the next expiration after `now` (0 when it is not set), and the interval.
    pub(crate) fn remaining(&self, now: u64) -> (u64, u64) {
        let Some(next) = self.next else { return (0, self.interval) };
        let ahead = match next.checked_sub(now) {
            Some(ahead) if ahead > 0 => ahead,
            _ if self.interval > 0 => self.interval - (now - next) % self.interval,
            _ => 0,
        };
        (ahead, self.interval)
    }

    /// How often it has expired since the last read, or `None` where a reader has to wait.
    pub(crate) fn read(&mut self, now: u64) -> Option<u64> {
        let next = self.next.filter(|next| *next <= now)?;
        if self.interval == 0 {
            self.next = None;
            return Some(1);
        }
        let count = 1 + (now - next) / self.interval;
        self.next = next.checked_add(count.saturating_mul(self.interval));
        Some(count)
    }

    /// When it expires next, if it is set.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_taken_whole_or_one_by_one() {
        let mut counter = Counter::new(3, false, Channel::Console);
        assert_eq!((counter.read(), counter.read()), (Some(3), None));
        let mut semaphore = Counter::new(2, true, Channel::Console);
        assert_eq!([semaphore.read(), semaphore.read(), semaphore.read()], [Some(1), Some(1), None]);
        assert_eq!(semaphore.write(u64::MAX), Err(Errno::EINVAL));
        assert_eq!(semaphore.write(u64::MAX - 1), Ok(Some(())));
        assert_eq!(semaphore.write(1), Ok(None), "full");
    }

    #[test]
    fn a_timer_counts_what_was_missed() {
        let mut timer = Timer::new(false, Channel::Console);
        timer.set(Some(100), 10);
        assert_eq!(timer.read(99), None);
        assert_eq!(timer.read(125), Some(3));
        assert_eq!(timer.remaining(125), (5, 10));
        assert_eq!((timer.read(129), timer.read(130)), (None, Some(1)));
    }
}
