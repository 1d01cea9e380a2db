//! Open files: what descriptors stand for, from regular files to pipes, sockets, terminals and
//! event counters.
//!
//! [`FileSystem`] is all of a machine's file state. Its operations return an errno, or a
//! [`Failure`](crate::wait::Failure) where they may have to wait; then they have changed nothing,
//! and are called again when one of the channels in [`FileSystem::take_woken`] is named.

mod description;
mod descriptor;
mod device;
mod epoll;
mod event;
mod files;
mod open;
mod pipe;
mod readiness;
mod setup;
mod socket;
mod stream;
mod terminal;
mod transfer;

#[cfg(all(test, unix))]
mod tests;

pub(crate) use description::{Description, Object, OpenFlags};
pub(crate) use descriptor::{Descriptor, Descriptors};
pub(crate) use epoll::Control;
pub(crate) use files::{FileSystem, Location, MAY_NOT};
pub(crate) use open::Opened;
pub(crate) use readiness::{Events, Readiness};
pub(crate) use setup::NoProcesses;
pub(crate) use socket::{AF_INET, AF_INET6, AF_UNIX, Address, Kind, Peer, Received, Sending, Socket};
pub(crate) use stream::{Standard, Streams};
pub(crate) use terminal::{Modes, Terminal};
pub(crate) use transfer::Whence;
