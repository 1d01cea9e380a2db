//! The host's network as a machine has it, where the host grants it.

use super::state::Socket;
use crate::arena::Id;
use crate::host::{Network, NetworkDatagrams, NetworkListener, NetworkStream};

/// A socket of the host, for one of the machine's.
pub(super) enum Bridge {
    /// A connection; the machine's socket is the bridge's own end of it.
    Stream { own: Id<Socket>, stream: Box<dyn NetworkStream>, connecting: bool, finished: bool },
    /// What takes connections for the machine's listening socket.
    Listener { socket: Id<Socket>, listener: Box<dyn NetworkListener> },
    /// A UDP socket for the machine's.
    Datagrams { socket: Id<Socket>, datagrams: Box<dyn NetworkDatagrams> },
}

/// The host's network, and what the machine has of it.
#[derive(Default)]
pub(super) struct Outside {
    pub(super) network: Option<Box<dyn Network>>,
    /// With a number that no other one of the machine has had.
    pub(super) bridges: Vec<(u64, Bridge)>,
    /// How many there ever were.
    made: u64,
    /// The machine's ends of connections that a restored snapshot had and that are gone.
    pub(super) broken: Vec<Id<Socket>>,
}

/// A bridge as a snapshot knows it.
#[derive(Clone, Copy)]
pub(super) struct KeptBridge {
    number: u64,
    /// The machine's end of a connection, and whether it was still being made.
    stream: Option<(Id<Socket>, bool)>,
}

impl Outside {
    /// Adds a bridge.
    pub(super) fn add(&mut self, bridge: Bridge) {
        self.made += 1;
        self.bridges.push((self.made, bridge));
    }

    /// What a snapshot knows of the bridges.
    pub(super) fn keep(&self) -> Vec<KeptBridge> {
        let stream = |bridge: &Bridge| match bridge {
            Bridge::Stream { own, connecting, .. } => Some((*own, *connecting)),
            _ => None,
        };
        self.bridges
            .iter()
            .map(|(number, bridge)| KeptBridge { number: *number, stream: stream(bridge) })
            .collect()
    }

    /// Drops the bridges that are newer than a snapshot, and notes those that it had and that are gone.
    pub(super) fn put_back(&mut self, kept: &[KeptBridge]) {
        let of = |number: u64| kept.iter().find(|kept| kept.number == number);
        self.bridges.retain_mut(|(number, bridge)| {
            let Some(kept) = of(*number) else { return false };
            if let (Bridge::Stream { connecting, .. }, Some((_, was_connecting))) = (bridge, kept.stream) {
                *connecting = was_connecting;
            }
            true
        });
        let lives = |number: u64| self.bridges.iter().any(|(other, _)| *other == number);
        let gone = kept.iter().filter(|kept| !lives(kept.number));
        self.broken = gone.filter_map(|kept| kept.stream.map(|(own, _)| own)).collect();
    }
}
