//! epoll(7): a set of open files and what to tell of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::description::{Description, OpenFlags};
use super::files::Files;
use super::object::Object;
use super::readiness::{Events, Readiness};
use super::states::State;
use crate::arena::Id;
use crate::errno::Errno;
use crate::vfs::{Caller, FileType};
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

/// The state of a set.
#[derive(Clone, Debug)]
struct Epoll {
    interests: BTreeMap<Key, Interest>,
    /// Where the next report starts, so that none is starved.
    turn: Option<Key>,
    channel: Channel,
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

impl State for Epoll {
    fn held_bytes(&self) -> u64 {
        // Each interest is an open file's, of which there is a limit.
        0
    }
}

/// An open set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct EpollSet(Id<Epoll>);

impl Object for EpollSet {
    fn closed(&self, files: &mut Files, _: Id<Description>, _: OpenFlags) {
        if let Some(epoll) = files.states.release(self.0) {
            files.forget_channel(epoll.channel);
        }
    }

    fn forget(&self, files: &mut Files, closed: Id<Description>) {
        files.states[self.0].interests.retain(|(_, held), _| *held != closed);
    }

    /// Whether the set has anything to report.
    fn readiness(&self, files: &mut Files, caller: &Caller<'_>, _: OpenFlags) -> Readiness {
        let set = &files.states[self.0];
        let keys: Vec<Key> = set.interests.keys().copied().collect();
        let mut all = Readiness::on(set.channel);
        for key in keys {
            let (events, readiness) = files.interest_readiness(caller, self.0, key);
            all.also(&readiness);
            all = all.with(Events::READABLE, !events.is_empty());
        }
        all
    }
}

impl Files {
    /// Makes an epoll set (epoll_create(2)).
    pub(crate) fn epoll(&mut self, caller: &Caller<'_>) -> Id<Description> {
        let channel = self.new_channel();
        let set = self.states.insert(Epoll { interests: BTreeMap::new(), turn: None, channel });
        let (object, kind) = (Arc::new(EpollSet(set)), (FileType::Regular, 0o600));
        let label = "anon_inode:[eventpoll]";
        let description = self.add_anonymous(caller, object, kind, label, OpenFlags::O_RDWR);
        self.add_watcher(description);
        description
    }

    fn epoll_of(&self, id: Id<Description>) -> Option<Id<Epoll>> {
        self.description(id).as_kind().map(|EpollSet(set)| *set)
    }

    /// epoll_ctl(2): changes what `set` watches of `fd`, which is `target`.
    pub(crate) fn epoll_control(
        &mut self,
        set: Id<Description>,
        control: Control,
        (fd, target): (u32, Id<Description>),
        wanted: u32,
        data: u64,
    ) -> Result<(), Errno> {
        let epoll = self.epoll_of(set).ok_or(Errno::EINVAL)?;
        let watched = self.description(target);
        if watched.is_path() {
            return Err(Errno::EBADF);
        }
        watched.object.check_watchable()?;
        match self.epoll_of(target) {
            Some(inner) if inner == epoll => return Err(Errno::EINVAL),
            Some(inner) if control == Control::Add && self.nesting(inner, epoll, 0)? => {
                return Err(Errno::ELOOP);
            }
            _ => {}
        }
        let interests = &mut self.states[epoll].interests;
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
        self.wake(self.states[epoll].channel);
        Ok(())
    }

    /// Whether `inner` watches `outer`, directly or not; ELOOP where sets are nested too deep.
    fn nesting(&self, inner: Id<Epoll>, outer: Id<Epoll>, depth: u32) -> Result<bool, Errno> {
        if depth >= NESTING_MAX {
            return Err(Errno::ELOOP);
        }
        for (_, watched) in self.states[inner].interests.keys() {
            if let Some(below) = self.epoll_of(*watched)
                && (below == outer || self.nesting(below, outer, depth + 1)?)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What an interest has to report now, with what to wait for otherwise.
    fn interest_readiness(&mut self, caller: &Caller<'_>, epoll: Id<Epoll>, key: Key) -> (Events, Readiness) {
        let mut readiness = self.readiness(caller, key.1);
        let Some(interest) = self.states[epoll].interests.get(&key) else {
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
        let epoll = self.epoll_of(set).ok_or(Errno::EINVAL)?;
        let held = &self.states[epoll];
        let turn = held.turn.unwrap_or((0, Id::from_number(0)));
        let later = held.interests.range(turn..).map(|(key, _)| *key);
        let keys: Vec<Key> = later.chain(held.interests.range(..turn).map(|(key, _)| *key)).collect();
        let mut waits = Readiness::on(held.channel);
        let mut reports = Vec::new();
        for key in keys {
            if reports.len() >= room {
                self.states[epoll].turn = Some(key);
                break;
            }
            let (events, readiness) = self.interest_readiness(caller, epoll, key);
            waits.also(&readiness);
            if events.is_empty() {
                continue;
            }
            let news = (events, self.activity_of(&readiness));
            if let Some(interest) = self.states[epoll].interests.get_mut(&key) {
                interest.seen = Some(news);
                interest.armed = interest.wanted & ONE_SHOT == 0;
                reports.push((events.bits(), interest.data));
            }
        }
        Ok((reports, waits))
    }
}
