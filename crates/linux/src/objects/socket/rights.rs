//! Open files that only messages hold (unix(7), SCM_RIGHTS): sockets can be sent over each other,
//! so that nobody can ever receive them. Those are found by marking what somebody can reach.

use std::collections::{BTreeMap, BTreeSet};

#[cfg(all(test, unix))]
use super::state::Sockets;
use super::state::{Role, Socket};
use crate::arena::Id;
use crate::errno::Errno;
use crate::objects::description::Description;
use crate::objects::files::Files;

/// Open files that messages hold at most.
const RIGHTS_MAX: usize = 16_384;

impl Files {
    /// Open files that messages hold.
    #[cfg(all(test, unix))]
    pub(crate) fn rights_in_flight(&self) -> usize {
        self.families.get::<Sockets>().map_or(0, |sockets| sockets.rights_in_flight)
    }

    /// Whether messages may hold that many more open files.
    ///
    /// # Errors
    /// ETOOMANYREFS.
    pub(crate) fn check_rights(&mut self, more: usize) -> Result<(), Errno> {
        if self.sockets().rights_in_flight + more > RIGHTS_MAX {
            self.collect_rights();
        }
        if self.sockets().rights_in_flight + more > RIGHTS_MAX { Err(Errno::ETOOMANYREFS) } else { Ok(()) }
    }

    /// Collects once so many sockets have been closed that it is worth the search.
    pub(crate) fn collect_rights_sometimes(&mut self) {
        let sockets = self.sockets();
        sockets.closed += 1;
        if sockets.rights_in_flight > 0 && sockets.closed * 4 >= sockets.count {
            self.collect_rights();
        }
    }

    /// Drops the messages of sockets that nobody can reach. What they held is closed by whoever
    /// closes what is doomed.
    fn collect_rights(&mut self) {
        self.sockets().closed = 0;
        let mut in_flight: BTreeMap<Id<Description>, u32> = BTreeMap::new();
        for (_, socket) in self.states.iter::<Socket>() {
            for right in socket.incoming.iter().flat_map(|message| &message.rights) {
                *in_flight.entry(*right).or_default() += 1;
            }
        }
        let held = |id: &Id<Description>| self.descriptions.holders(*id);
        let mut reached: BTreeSet<Id<Description>> = BTreeSet::new();
        let mut pending: Vec<Id<Description>> = self
            .descriptions
            .iter()
            .map(|(id, _)| id)
            .filter(|id| held(id) > in_flight.get(id).copied().unwrap_or_default())
            .collect();
        while let Some(id) = pending.pop() {
            if let (true, Ok(socket)) = (reached.insert(id), self.socket_of(id)) {
                self.rights_within(socket, &mut pending);
            }
        }
        for id in in_flight.into_keys().filter(|id| !reached.contains(id)) {
            if let Ok(socket) = self.socket_of(id) {
                self.empty_socket(socket);
            }
        }
        self.close_doomed();
    }

    /// The open files in the messages that wait for a socket, and for those that it has not accepted.
    fn rights_within(&self, id: Id<Socket>, found: &mut Vec<Id<Description>>) {
        let socket = &self.states[id];
        found.extend(socket.incoming.iter().flat_map(|message| &message.rights));
        if let Role::Listening { queue, .. } = &socket.role {
            for waiting in queue {
                let messages = &self.states[*waiting].incoming;
                found.extend(messages.iter().flat_map(|message| &message.rights));
            }
        }
    }

    /// Throws the messages for a socket away.
    fn empty_socket(&mut self, id: Id<Socket>) {
        let socket = &mut self.states[id];
        self.in_flight = self.in_flight.saturating_sub(socket.held as u64);
        socket.held = 0;
        for message in std::mem::take(&mut socket.incoming) {
            self.drop_rights(message.rights.len());
            self.doomed.extend(message.rights);
        }
    }
}
