//! Timers behind descriptors (timerfd_create(2)).

use std::sync::Arc;

use super::description::{Description, OpenFlags};
use super::files::Files;
use super::object::{Object, Transfer};
use super::readiness::{Events, Readiness};
use super::states::State;
use crate::arena::Id;
use crate::errno::Errno;
use crate::vfs::{Caller, FileType};
use crate::wait::{Channel, Failure, Wait};

/// A timer, in monotonic nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Timer {
    /// Whether it counts in CLOCK_REALTIME.
    pub(crate) realtime: bool,
    /// The next expiration.
    next: Option<u64>,
    /// Nanoseconds between expirations; 0 for a single one.
    interval: u64,
    channel: Channel,
}

impl Timer {
    /// A timer that is not set.
    fn new(realtime: bool, channel: Channel) -> Self {
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
    fn read(&mut self, now: u64) -> Option<u64> {
        let next = self.next.filter(|next| *next <= now)?;
        if self.interval == 0 {
            self.next = None;
            return Some(1);
        }
        let count = 1 + (now - next) / self.interval;
        self.next = next.checked_add(count.saturating_mul(self.interval));
        Some(count)
    }
}

impl State for Timer {
    fn held_bytes(&self) -> u64 {
        0
    }
}

/// An open timerfd.
#[derive(Clone, Copy, Debug)]
struct TimerFile(Id<Timer>);

impl Object for TimerFile {
    fn closed(&self, files: &mut Files, _: Id<Description>, _: OpenFlags) {
        if let Some(timer) = files.states.release(self.0) {
            files.forget_channel(timer.channel);
        }
    }

    fn read(&self, files: &mut Files, access: &Transfer<'_>, buffer: &mut [u8]) -> Result<usize, Failure> {
        let target: &mut [u8; 8] = buffer.first_chunk_mut().ok_or(Errno::EINVAL)?;
        let timer = &mut files.states[self.0];
        let channel = timer.channel;
        let count = timer.read(access.caller.view.monotonic);
        let Some(count) = count else { return access.block(Wait::on(channel).until(timer.next)) };
        files.wake(channel);
        *target = count.to_le_bytes();
        Ok(target.len())
    }

    fn readiness(&self, files: &mut Files, caller: &Caller<'_>, _: OpenFlags) -> Readiness {
        let timer = &files.states[self.0];
        let expired = timer.next.is_some_and(|deadline| deadline <= caller.view.monotonic);
        Readiness { deadline: timer.next, ..Readiness::on(timer.channel) }.with(Events::READABLE, expired)
    }
}

impl Files {
    /// Makes a timer (timerfd_create(2)).
    pub(crate) fn timer(&mut self, caller: &Caller<'_>, realtime: bool, flags: OpenFlags) -> Id<Description> {
        let channel = self.new_channel();
        let timer = self.states.insert(Timer::new(realtime, channel));
        let object = Arc::new(TimerFile(timer));
        let kind = (FileType::Regular, 0o600);
        self.add_anonymous(caller, object, kind, "anon_inode:[timerfd]", flags | OpenFlags::O_RDWR)
    }

    /// The timer behind a description; its waiters look again.
    ///
    /// # Errors
    /// EINVAL for what is no timer.
    pub(crate) fn timer_mut(&mut self, id: Id<Description>) -> Result<&mut Timer, Errno> {
        let TimerFile(timer) = *self.description(id).as_kind().ok_or(Errno::EINVAL)?;
        self.wake(self.states[timer].channel);
        Ok(&mut self.states[timer])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
