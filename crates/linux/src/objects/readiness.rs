//! What poll(2) tells of an open file, and what to wait for until it tells something else.

use bitflags::bitflags;

use crate::wait::{CHANNELS_MAX, Channel};

bitflags! {
    /// `POLL*` and the equal `EPOLL*` bits.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub(crate) struct Events: u32 {
        const IN = 0x1;
        const PRI = 0x2;
        const OUT = 0x4;
        const ERR = 0x8;
        const HUP = 0x10;
        const NVAL = 0x20;
        const RDNORM = 0x40;
        const RDBAND = 0x80;
        const WRNORM = 0x100;
        const WRBAND = 0x200;
        const RDHUP = 0x2000;
        const _ = !0;
    }
}

impl Events {
    /// There is something to read.
    pub(crate) const READABLE: Self = Self::IN.union(Self::RDNORM);
    /// Writing would not wait.
    pub(crate) const WRITABLE: Self = Self::OUT.union(Self::WRNORM);
    /// What is told whether asked for or not.
    pub(crate) const ALWAYS: Self = Self::ERR.union(Self::HUP).union(Self::NVAL);
}

/// The state of an open file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Readiness {
    pub(crate) events: Events,
    /// What is woken when that changes.
    pub(crate) channels: Vec<Channel>,
    /// Monotonic nanoseconds at which it changes by itself.
    pub(crate) deadline: Option<u64>,
}

impl Readiness {
    pub(crate) fn on(channel: Channel) -> Self {
        Self { channels: vec![channel], ..Self::default() }
    }

    /// Adds `events` if `holds`.
    pub(crate) fn with(mut self, events: Events, holds: bool) -> Self {
        self.events.set(events, holds || self.events.contains(events));
        self
    }

    /// Takes over what else to wait for.
    pub(crate) fn also(&mut self, other: &Self) {
        self.channels.extend_from_slice(&other.channels);
        // Many entries may name few channels, and more than so many nobody can wait for.
        if self.channels.len() > 2 * CHANNELS_MAX {
            self.channels.sort_unstable();
            self.channels.dedup();
            self.channels.truncate(CHANNELS_MAX + 1);
        }
        self.deadline = [self.deadline, other.deadline].into_iter().flatten().min();
    }
}
