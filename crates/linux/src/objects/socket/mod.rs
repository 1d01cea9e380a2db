//! Sockets: unix(7), and the Internet protocols over the machine's own loopback or, where the host
//! grants it, over the host's network.
//!
//! From the bottom: `address` and `state` are what sockets are, `transfer` moves messages,
//! `connection` has sockets find each other, `bridge` reaches the host, `rights` finds open files
//! that nobody can receive any more, and `listing` says which sockets there are.

mod address;
mod bridge;
mod connection;
mod listing;
mod outside;
mod rights;
mod state;
mod transfer;

pub(crate) use address::{AF_INET, AF_INET6, AF_UNIX, SocketAddress};
pub(crate) use listing::OpenSocket;
pub(crate) use state::{Peer, Received, Sending, Socket, SocketKind};
