//! epoll(7): a set of open files and what to tell of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::description::{Description, OpenFlags};
use super::files::Files;
use super::object::Object;
use super::readiness::{Events, Readiness};
use super::states::State;
use crate::arena::Id;
use crate::errno::Errno;
use crate::vfs::{Caller, FileType};
use crate::wait::{Channel, Failure};

/// Most epoll sets that watch one another in a row (one more than EP_MAX_NESTS).
const NESTING_MAX: u32 = 5;

/// Interests of all sets together: beyond it ENOSPC (`/proc/sys/fs/epoll/max_user_watches`).
const INTERESTS_MAX: usize = 1 << 20;

/// Report only what is new (EPOLLET).
const EDGE_TRIGGERED: u32 = 1 << 31;
/// Report once, then wait to be armed again (EPOLLONESHOT).
const ONE_SHOT: u32 = 1 << 30;

/// What an interest takes of the host's memory.
const INTEREST: u64 = 256;

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
    seen: Option<Sight>,
}

/// The state of a set.
#[derive(Clone, Debug)]
struct Epoll {
    interests: BTreeMap<Key, Interest>,
    /// Those of them that are sets.
    nested: BTreeSet<Key>,
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
    fn closed(&self, files: &mut Files, id: Id<Description>, _: OpenFlags) {
        if let Some(epoll) = files.states.release(self.0) {
            files.forget_channel(epoll.channel);
            for (fd, watched) in epoll.interests.into_keys() {
                files.watchers.remove(&(watched, id, fd));
            }
        }
    }

    fn forget(&self, files: &mut Files, (fd, closed): (u32, Id<Description>)) {
        let epoll = &mut files.states[self.0];
        epoll.interests.remove(&(fd, closed));
        epoll.nested.remove(&(fd, closed));
    }
}

/// What has been seen in one look at a set and all that it watches: each set is looked at once, however
/// many others watch it.
#[derive(Default)]
struct Survey {
    /// What to wait for.
    waits: Readiness,
    sets: BTreeMap<Id<Epoll>, Sight>,
}

/// What a watched file has to tell, and how much has happened on its channels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Sight {
    events: Events,
    activity: u64,
}

impl Files {
    /// Makes an epoll set (epoll_create(2)).
    pub(crate) fn epoll(&mut self, caller: &Caller<'_>) -> Id<Description> {
        let channel = self.new_channel();
        let (interests, nested) = (BTreeMap::new(), BTreeSet::new());
        let set = self.states.insert(Epoll { interests, nested, turn: None, channel });
        let (object, kind) = (Arc::new(EpollSet(set)), (FileType::Regular, 0o600));
        let label = "anon_inode:[eventpoll]";
        self.add_anonymous(caller, object, kind, label, OpenFlags::O_RDWR)
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
    ) -> Result<(), Failure> {
        let epoll = self.epoll_of(set).ok_or(Errno::EINVAL)?;
        let watched = self.description(target);
        if watched.is_path() {
            return Err(Errno::EBADF.into());
        }
        watched.object.check_watchable()?;
        let inner = self.epoll_of(target);
        if inner == Some(epoll) {
            return Err(Errno::EINVAL.into());
        }
        let key = (fd, target);
        match (control, self.states[epoll].interests.contains_key(&key)) {
            (Control::Add, true) => return Err(Errno::EEXIST.into()),
            (Control::Delete | Control::Modify, false) => return Err(Errno::ENOENT.into()),
            (Control::Delete, true) => {
                self.watchers.remove(&(target, set, fd));
                self.states[epoll].interests.remove(&key);
                self.states[epoll].nested.remove(&key);
            }
            (Control::Add | Control::Modify, _) => {
                if control == Control::Add {
                    self.check_room(set, inner)?;
                }
                if inner.is_some() {
                    self.states[epoll].nested.insert(key);
                }
                let interest = Interest { wanted, data, armed: true, seen: None };
                self.states[epoll].interests.insert(key, interest);
                self.watchers.insert((target, set, fd));
            }
        }
        self.wake(self.states[epoll].channel);
        Ok(())
    }

    /// ENOSPC where there are too many interests; ELOOP where a set that watches `inner` would watch
    /// itself, or too many in a row.
    fn check_room(&mut self, outer: Id<Description>, inner: Option<Id<Epoll>>) -> Result<(), Failure> {
        if self.watchers.len() >= INTERESTS_MAX {
            return Err(Errno::ENOSPC.into());
        }
        self.vfs.account.charge(INTEREST)?;
        let Some(inner) = inner else { return Ok(()) };
        let (mut heights, mut depths) = (BTreeMap::new(), BTreeMap::new());
        let height = self.height(inner, &mut heights)?;
        let depth = self.depth(outer, &mut depths)?;
        let circular = self.epoll_of(outer).is_some_and(|outer| heights.contains_key(&outer));
        if circular || height + depth > NESTING_MAX { Err(Errno::ELOOP.into()) } else { Ok(()) }
    }

    /// How many sets are in the longest row of sets that begins with `set`, each watching the next.
    fn height(&mut self, set: Id<Epoll>, known: &mut BTreeMap<Id<Epoll>, u32>) -> Result<u32, Failure> {
        if let Some(height) = known.get(&set) {
            return Ok(*height);
        }
        let nested: Vec<Id<Description>> = self.states[set].nested.iter().map(|(_, below)| *below).collect();
        let mut height = 0;
        for below in nested {
            self.work.spend(1)?;
            if let Some(below) = self.epoll_of(below) {
                height = self.height(below, known)?.max(height);
            }
        }
        known.insert(set, height + 1);
        Ok(height + 1)
    }

    /// How many sets are in the longest row that ends with `set`.
    fn depth(
        &mut self,
        set: Id<Description>,
        known: &mut BTreeMap<Id<Description>, u32>,
    ) -> Result<u32, Failure> {
        if let Some(depth) = known.get(&set) {
            return Ok(*depth);
        }
        let above: Vec<Id<Description>> = self.watchers_of(set).map(|(above, _)| above).collect();
        let mut depth = 0;
        for above in above {
            self.work.spend(1)?;
            depth = self.depth(above, known)?.max(depth);
        }
        known.insert(set, depth + 1);
        Ok(depth + 1)
    }

    /// What poll(2) tells of a set: whether it has anything to report.
    pub(super) fn epoll_readiness(
        &mut self,
        caller: &Caller<'_>,
        id: Id<Description>,
    ) -> Result<Option<Readiness>, Failure> {
        let Some(set) = self.epoll_of(id) else { return Ok(None) };
        let mut survey = Survey::default();
        let sight = self.survey_set(caller, set, &mut survey)?;
        Ok(Some(Readiness { events: sight.events, ..survey.waits }))
    }

    /// What a watched file has to tell.
    fn survey(
        &mut self,
        caller: &Caller<'_>,
        id: Id<Description>,
        survey: &mut Survey,
    ) -> Result<Sight, Failure> {
        self.work.spend(1)?;
        if let Some(set) = self.epoll_of(id) {
            return self.survey_set(caller, set, survey);
        }
        let readiness = self.object_readiness(caller, id);
        survey.waits.also(&readiness);
        Ok(Sight { events: readiness.events, activity: self.activity_of(&readiness) })
    }

    fn survey_set(
        &mut self,
        caller: &Caller<'_>,
        set: Id<Epoll>,
        survey: &mut Survey,
    ) -> Result<Sight, Failure> {
        if let Some(sight) = survey.sets.get(&set) {
            return Ok(*sight);
        }
        let own = Readiness::on(self.states[set].channel);
        survey.waits.also(&own);
        let mut sight = Sight { events: Events::empty(), activity: self.activity_of(&own) };
        let keys: Vec<Key> = self.states[set].interests.keys().copied().collect();
        for key in keys {
            let watched = self.survey_interest(caller, set, key, survey)?;
            sight.events.set(Events::READABLE, !sight.events.is_empty() || !watched.events.is_empty());
            sight.activity = sight.activity.wrapping_add(watched.activity);
        }
        survey.sets.insert(set, sight);
        Ok(sight)
    }

    /// What an interest has to report now.
    fn survey_interest(
        &mut self,
        caller: &Caller<'_>,
        set: Id<Epoll>,
        key: Key,
        survey: &mut Survey,
    ) -> Result<Sight, Failure> {
        let Sight { events, activity } = self.survey(caller, key.1, survey)?;
        let nothing = Sight { events: Events::empty(), activity };
        let Some(interest) = self.states[set].interests.get(&key) else { return Ok(nothing) };
        let mask = Events::from_bits_retain(interest.wanted & 0xffff) | Events::ERR | Events::HUP;
        let news = Sight { events: events & mask, activity };
        let stale = interest.wanted & EDGE_TRIGGERED != 0 && interest.seen == Some(news);
        Ok(if !interest.armed || stale { nothing } else { news })
    }

    /// Up to `room` reports, as event bits and data; with none, what to wait for.
    pub(crate) fn epoll_reports(
        &mut self,
        caller: &Caller<'_>,
        set: Id<Description>,
        room: usize,
    ) -> Result<(Vec<(u32, u64)>, Readiness), Failure> {
        let epoll = self.epoll_of(set).ok_or(Errno::EINVAL)?;
        let held = &self.states[epoll];
        let turn = held.turn.unwrap_or((0, Id::from_number(0)));
        let later = held.interests.range(turn..).map(|(key, _)| *key);
        let keys: Vec<Key> = later.chain(held.interests.range(..turn).map(|(key, _)| *key)).collect();
        let mut survey = Survey { waits: Readiness::on(held.channel), sets: BTreeMap::new() };
        let (mut found, mut turn) = (Vec::new(), held.turn);
        for key in keys {
            if found.len() >= room {
                turn = Some(key);
                break;
            }
            let news = self.survey_interest(caller, epoll, key, &mut survey)?;
            if !news.events.is_empty() {
                found.push((key, news));
            }
        }
        // From here on the call comes to its end.
        let held = &mut self.states[epoll];
        held.turn = turn;
        let mut reports = Vec::with_capacity(found.len());
        for (key, news) in found {
            if let Some(interest) = held.interests.get_mut(&key) {
                interest.seen = Some(news);
                interest.armed = interest.wanted & ONE_SHOT == 0;
                reports.push((news.events.bits(), interest.data));
            }
        }
        Ok((reports, survey.waits))
    }
}
