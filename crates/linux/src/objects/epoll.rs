//! epoll(7): a set of open files and what to tell of them.

use std::collections::BTreeMap;

use super::description::{Description, Object};
use super::files::FileSystem;
use super::readiness::{Events, Readiness};
use crate::arena::Id;
use crate::errno::Errno;
use crate::vfs::Caller;
use crate::wait::Channel;

/// Most epoll sets that watch one another in a row (EP_MAX_NESTS).
const NESTING_MAX: u32 = 5;

/// Report only what is new (EPOLLET).
const EDGE_TRIGGERED: u32 = 1 << 31;
/// Report once, then wait to be armed again (EPOLLONESHOT).
const ONE_SHOT: u32 = 1 << 30;

/// A file that a set watches, by descriptor and description.
type Key = (u32, Id<Description>);

#[derive(Clone, Debug)]
struct Interest {
    /// `EPOLL*` bits as given.
    wanted: u32,
    data: u64,
    /// Whether ONE_SHOT has not fired.
    armed: bool,
    /// What was reported last, and the channels' activity then, for EDGE_TRIGGERED.
    seen: Option<(Events, u64)>,
}

/// A set.
#[derive(Clone, Debug)]
pub(crate) struct Epoll {
    interests: BTreeMap<Key, Interest>,
    /// Where the next report starts, so that none is starved.
    turn: Option<Key>,
    pub(crate) channel: Channel,
}

/// What epoll_ctl(2) does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Control {
    /// EPOLL_CTL_ADD.
    Add,
    /// EPOLL_CTL_DEL.
    Delete,
    /// EPOLL_CTL_MOD.
    Modify,
}

impl Epoll {
    pub(crate) fn new(channel: Channel) -> Self {
        Self { interests: BTreeMap::new(), turn: None, channel }
    }

    /// Forgets a description that has been closed.
    pub(crate) fn forget(&mut self, id: Id<Description>) {
        self.interests.retain(|(_, held), _| *held != id);
    }
}

impl FileSystem {
    /// epoll_ctl(2): changes what `set` watches of `fd`, which is `target`.
    pub(crate) fn epoll_control(
        &mut self,
        set: Id<Description>,
        control: Control,
        (fd, target): (u32, Id<Description>),
        wanted: u32,
        data: u64,
    ) -> Result<(), Errno> {
        let Object::Epoll(epoll) = self.descriptions[set].object else { return Err(Errno::EINVAL) };
        match self.descriptions[target].object {
            Object::File | Object::Directory => return Err(Errno::EPERM),
            Object::Path => return Err(Errno::EBADF),
            Object::Epoll(inner) if inner == epoll => return Err(Errno::EINVAL),
            Object::Epoll(inner) if control == Control::Add && self.nesting(inner, epoll, 0)? => {
                return Err(Errno::ELOOP);
            }
            _ => {}
        }
        let interests = &mut self.epolls[epoll].interests;
        let interest = Interest { wanted, data, armed: true, seen: None };
        match (control, interests.contains_key(&(fd, target))) {
            (Control::Add, true) => return Err(Errno::EEXIST),
            (Control::Delete | Control::Modify, false) => return Err(Errno::ENOENT),
            (Control::Delete, true) => {
                interests.remove(&(fd, target));
            }
            _ => {
                interests.insert((fd, target), interest);
            }
        }
        let channel = self.epolls[epoll].channel;
        self.wake(channel);
        Ok(())
    }

    /// Whether `inner` watches `outer`, directly or not; ELOOP where sets are nested too deep.
    fn nesting(&self, inner: Id<Epoll>, outer: Id<Epoll>, depth: u32) -> Result<bool, Errno> {
        if depth >= NESTING_MAX {
            return Err(Errno::ELOOP);
        }
        for (_, watched) in self.epolls[inner].interests.keys() {
            if let Object::Epoll(below) = self.descriptions[*watched].object
                && (below == outer || self.nesting(below, outer, depth + 1)?)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How much has happened on the channels of a file, for edges.
    fn activity_of(&self, readiness: &Readiness) -> u64 {
        let count = |channel| self.activity.get(channel).copied().unwrap_or_default();
        readiness.channels.iter().map(count).fold(0, u64::wrapping_add)
    }

    /// What an interest has to report now, with what to wait for otherwise.
    fn interest_readiness(&mut self, caller: &Caller<'_>, epoll: Id<Epoll>, key: Key) -> (Events, Readiness) {
        let mut readiness = self.readiness(caller, key.1);
        let Some(interest) = self.epolls[epoll].interests.get(&key) else {
            return (Events::empty(), readiness);
        };
        let mask = Events::from_bits_retain(interest.wanted & 0xffff) | Events::ERR | Events::HUP;
        let mut events = readiness.events & mask;
        let news = (events, self.activity_of(&readiness));
        if !interest.armed || interest.wanted & EDGE_TRIGGERED != 0 && interest.seen == Some(news) {
            events = Events::empty();
        }
        readiness.events = events;
        (events, readiness)
    }

    /// Up to `room` reports, as event bits and data; with none, what to wait for.
    pub(crate) fn epoll_reports(
        &mut self,
        caller: &Caller<'_>,
        set: Id<Description>,
        room: usize,
    ) -> Result<(Vec<(u32, u64)>, Readiness), Errno> {
        let Object::Epoll(epoll) = self.descriptions[set].object else { return Err(Errno::EINVAL) };
        let held = &self.epolls[epoll];
        let turn = held.turn.unwrap_or((0, Id::from_number(0)));
        let later = held.interests.range(turn..).map(|(key, _)| *key);
        let keys: Vec<Key> = later.chain(held.interests.range(..turn).map(|(key, _)| *key)).collect();
        let mut waits = Readiness::on(held.channel);
        let mut reports = Vec::new();
        for key in keys {
            if reports.len() >= room {
                self.epolls[epoll].turn = Some(key);
                break;
            }
            let (events, readiness) = self.interest_readiness(caller, epoll, key);
            waits.also(&readiness);
            if events.is_empty() {
                continue;
            }
            let news = (events, self.activity_of(&readiness));
            if let Some(interest) = self.epolls[epoll].interests.get_mut(&key) {
                interest.seen = Some(news);
                interest.armed = interest.wanted & ONE_SHOT == 0;
                reports.push((events.bits(), interest.data));
            }
        }
        Ok((reports, waits))
    }

    /// Whether a set has anything to report.
    pub(crate) fn epoll_readiness(&mut self, caller: &Caller<'_>, epoll: Id<Epoll>) -> Readiness {
        let keys: Vec<Key> = self.epolls[epoll].interests.keys().copied().collect();
        let mut all = Readiness::on(self.epolls[epoll].channel);
        for key in keys {
            let (events, readiness) = self.interest_readiness(caller, epoll, key);
            all.also(&readiness);
            all = all.with(Events::READABLE, !events.is_empty());
        }
        all
    }
}
