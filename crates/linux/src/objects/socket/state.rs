//! What a socket is, and what all sockets of a machine share.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use super::address::{AF_UNIX, SocketAddress};
use super::outside::{KeptBridge, Outside};
use crate::arena::Id;
use crate::errno::Errno;
use crate::objects::description::Description;
use crate::objects::states::{Family, Kept, State};
use crate::vfs::{Caller, Vnode};
use crate::wait::Channel;

/// Bytes that wait for one reader at most (`net.core.rmem_default`).
pub(crate) const BUFFER_MAX: usize = 212_992;

/// Largest payload of a UDP datagram.
pub(crate) const UDP_MAX: usize = 65_507;

/// `SOCK_*`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum SocketKind {
    /// A stream of bytes.
    Stream,
    /// Messages, each for itself.
    Datagram,
    /// Messages over a connection.
    Packets,
}

/// Process, user and group of whoever made or sent something (SO_PEERCRED, SCM_CREDENTIALS).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Peer {
    pub(crate) process: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Peer {
    /// The caller as the other end of a socket sees it.
    pub(crate) fn of(caller: &Caller<'_>) -> Self {
        let (uid, gid) = (caller.credentials.uid, caller.credentials.gid);
        Self { process: caller.view.processes.current(), uid, gid }
    }
}

/// Bytes on their way, with what goes along.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) bytes: VecDeque<u8>,
    pub(crate) from: SocketAddress,
    pub(crate) rights: Vec<Id<Description>>,
    pub(crate) sender: Peer,
}

#[derive(Clone, Debug)]
pub(crate) enum Role {
    Idle,
    Listening {
        backlog: u32,
        queue: VecDeque<Id<Socket>>,
    },
    /// Connected; `None` once the other side has gone.
    Connected(Option<Id<Socket>>),
}

/// How far a connection to the host is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Attempt {
    /// None is being made.
    None,
    /// The host has not answered.
    Pending,
    /// It is there, and connect(2) has not said so.
    Made,
}

/// A socket.
#[derive(Clone, Debug)]
pub(crate) struct Socket {
    pub(crate) family: u16,
    pub(crate) kind: SocketKind,
    pub(crate) role: Role,
    pub(crate) local: SocketAddress,
    pub(crate) remote: SocketAddress,
    pub(crate) incoming: VecDeque<Message>,
    pub(crate) held: usize,
    pub(crate) receive_closed: bool,
    pub(crate) send_closed: bool,
    pub(crate) error: Option<Errno>,
    /// A connection to the host that is being made.
    pub(crate) attempt: Attempt,
    pub(crate) channel: Channel,
    /// Options that are kept and given back, by level and name.
    pub(crate) options: BTreeMap<(u32, u32), Vec<u8>>,
    pub(crate) creator: Peer,
    /// Who is at the other end, as of the connection.
    pub(crate) peer: Peer,
}

impl Socket {
    pub(super) fn new(family: u16, kind: SocketKind, creator: Peer, channel: Channel) -> Self {
        Self {
            family,
            kind,
            role: Role::Idle,
            local: SocketAddress::Unnamed,
            remote: SocketAddress::Unnamed,
            incoming: VecDeque::new(),
            held: 0,
            receive_closed: false,
            send_closed: false,
            error: None,
            attempt: Attempt::None,
            channel,
            options: BTreeMap::new(),
            creator,
            peer: Peer::default(),
        }
    }

    /// IPV6_V6ONLY is set: `::` leaves IPv4 to others.
    pub(crate) fn is_ipv6_only(&self) -> bool {
        const IPPROTO_IPV6: u32 = 41;
        const IPV6_V6ONLY: u32 = 26;
        let option = self.options.get(&(IPPROTO_IPV6, IPV6_V6ONLY));
        option.is_some_and(|value| value.iter().any(|byte| *byte != 0))
    }

    pub(crate) fn is_internet(&self) -> bool {
        self.family != AF_UNIX
    }

    /// Whether it waits for connections (SO_ACCEPTCONN).
    pub(crate) fn is_listening(&self) -> bool {
        matches!(self.role, Role::Listening { .. })
    }

    /// Whether it has a connection, or had one.
    pub(crate) fn is_connected(&self) -> bool {
        matches!(self.role, Role::Connected(_))
    }

    /// Takes the error that waits to be told (SO_ERROR).
    pub(crate) fn take_error(&mut self) -> Option<Errno> {
        self.error.take()
    }

    /// Bytes that the next read would give at most.
    pub(crate) fn readable(&self) -> usize {
        match (self.kind, self.incoming.front()) {
            (SocketKind::Stream, _) => self.held,
            (_, Some(message)) => message.bytes.len(),
            (_, None) => 0,
        }
    }
}

/// What a name leads to a socket by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum SocketName {
    File(Vnode),
    Abstract(Vec<u8>),
    Port(SocketKind, IpAddr, u16),
}

/// What sendmsg(2) is given besides bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sending {
    /// Where to, unless connected.
    pub(crate) to: Option<SocketAddress>,
    /// Open files to hand over; each is held for the message.
    pub(crate) rights: Vec<Id<Description>>,
    /// Do not wait.
    pub(crate) immediate: bool,
    pub(crate) sender: Peer,
}

/// What recvmsg(2) gives.
#[derive(Clone, Debug, Default)]
pub(crate) struct Received {
    pub(crate) length: usize,
    /// Bytes of the message before it was cut to the buffer.
    pub(crate) full_length: usize,
    pub(crate) from: SocketAddress,
    /// Open files that came along; the receiver holds them now.
    pub(crate) rights: Vec<Id<Description>>,
    pub(crate) sender: Peer,
}

impl State for Socket {
    fn held_bytes(&self) -> u64 {
        self.held as u64
    }
}

/// What the sockets of a machine share.
#[derive(Default)]
pub(crate) struct Sockets {
    /// Bound sockets.
    pub(super) names: BTreeMap<SocketName, Id<Socket>>,
    /// The host's network, and the sockets of it that stand for some of the machine's.
    pub(super) outside: Outside,
    /// How many sockets there are.
    pub(super) count: usize,
    /// Sockets closed since messages that nobody can receive were last looked for.
    pub(super) closed: usize,
    /// Open files that messages hold.
    pub(super) rights_in_flight: usize,
}

/// What a snapshot keeps of [`Sockets`].
struct KeptSockets {
    names: BTreeMap<SocketName, Id<Socket>>,
    bridges: Vec<KeptBridge>,
    count: usize,
    closed: usize,
    rights_in_flight: usize,
}

/// The host's network stays as it is: what the machine has of it since is dropped, and what it had then
/// goes on, if it is still there.
impl Family for Sockets {
    fn keep(&self) -> Kept {
        let Self { names, outside, count, closed, rights_in_flight } = self;
        Box::new(KeptSockets {
            names: names.clone(),
            bridges: outside.keep(),
            count: *count,
            closed: *closed,
            rights_in_flight: *rights_in_flight,
        })
    }

    fn put_back(&mut self, kept: &Kept) {
        let Some(kept) = kept.downcast_ref::<KeptSockets>() else { return };
        self.names.clone_from(&kept.names);
        self.outside.put_back(&kept.bridges);
        self.count = kept.count;
        self.closed = kept.closed;
        self.rights_in_flight = kept.rights_in_flight;
    }
}
