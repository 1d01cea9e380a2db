//! What poll(2) tells of an open file, and what to wait for until it tells something else.

use bitflags::bitflags;

use super::description::{Description, Object};
use super::files::FileSystem;
use super::pipe::PIPE_BUF;
use super::stream::Standard;
use crate::arena::Id;
use crate::vfs::Caller;
use crate::wait::Channel;

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
        self.deadline = [self.deadline, other.deadline].into_iter().flatten().min();
    }
}

impl FileSystem {
    /// What poll(2) tells of an open file.
    pub(crate) fn readiness(&mut self, caller: &Caller<'_>, id: Id<Description>) -> Readiness {
        let description = &self.descriptions[id];
        let flags = description.flags;
        match description.object {
            Object::File | Object::Directory | Object::Device(_) => {
                Readiness::default().with(Events::READABLE, true).with(Events::WRITABLE, true)
            }
            Object::Path => Readiness::default().with(Events::NVAL, true),
            Object::Pipe(pipe) => {
                let pipe = &self.pipes[pipe];
                let mut readiness = Readiness::on(pipe.channel);
                if flags.reads() {
                    readiness = readiness
                        .with(Events::READABLE, pipe.held() > 0)
                        .with(Events::HUP, pipe.writers == 0 && pipe.writer_openings > 0);
                }
                if flags.writes() {
                    readiness = readiness
                        .with(Events::WRITABLE, pipe.room() >= PIPE_BUF.min(pipe.capacity()))
                        .with(Events::ERR, pipe.readers == 0);
                }
                readiness
            }
            Object::Stream(Standard::Input) => {
                // Who waits although there is input waits for something else, and must not be woken
                // by that input again and again.
                match self.streams.input_is_ready() {
                    true => Readiness::default().with(Events::READABLE, true),
                    false => Readiness::on(Channel::Console),
                }
            }
            Object::Stream(_) => Readiness::default().with(Events::WRITABLE, true),
            Object::Counter(counter) => {
                let counter = &self.counters[counter];
                Readiness::on(counter.channel)
                    .with(Events::READABLE, counter.is_readable())
                    .with(Events::WRITABLE, counter.is_writable())
            }
            Object::Timer(timer) => {
                let timer = &self.timers[timer];
                let deadline = timer.deadline();
                let expired = deadline.is_some_and(|deadline| deadline <= caller.view.monotonic);
                Readiness { deadline, ..Readiness::on(timer.channel) }.with(Events::READABLE, expired)
            }
            Object::Signals(mask) => Readiness::on(Channel::Signal)
                .with(Events::READABLE, caller.view.processes.pending_signals() & mask != 0),
            Object::Process(number, serial) => {
                let ended = caller.view.processes.has_ended(number, serial);
                Readiness::on(Channel::Exit(number)).with(Events::READABLE, ended)
            }
            Object::Terminal(terminal) => self.terminal_readiness(terminal, true),
            Object::Master(terminal) => self.terminal_readiness(terminal, false),
            Object::Socket(socket) => self.socket_readiness(socket),
            Object::Epoll(epoll) => self.epoll_readiness(caller, epoll),
        }
    }
}
