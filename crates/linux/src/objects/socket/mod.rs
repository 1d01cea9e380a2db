//! Sockets: unix(7), and the Internet protocols over the machine's own loopback or, where the host
//! grants it, over the host's network.

pub(crate) mod address;
pub(crate) mod bridge;
mod connection;
mod rights;
pub(crate) mod state;

pub(crate) use address::{AF_INET, AF_INET6, AF_UNIX, Address};
pub(crate) use state::{Kind, Peer, Received, Sending, Socket};
