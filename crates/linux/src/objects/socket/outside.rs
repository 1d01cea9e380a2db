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
    pub(super) bridges: Vec<Bridge>,
}
