//! Open files: what descriptors stand for, from regular files to pipes, sockets, terminals and
//! event counters.
//!
//! The ground floor is [`object`] (the operations that an open file has), [`states`] (what they
//! change), `description`, `descriptor` and `readiness`, with [`Files`], which has all of a
//! machine's. Above it, each kind of object has a file or folder of its own that no other imports;
//! `open` is on top. Operations that may have to wait return a [`Failure`](crate::wait::Failure);
//! then they have changed nothing, and are called again when one of the channels in
//! [`Files::take_woken`] is named.

pub(crate) mod object;
pub(crate) mod states;

mod description;
mod descriptor;
mod files;
mod readiness;

mod device;
mod directory;
mod epoll;
mod eventfd;
mod pidfd;
mod pipe;
mod place;
mod regular;
mod signalfd;
mod socket;
mod stream;
mod terminal;
mod timerfd;

mod locking;
mod open;

pub(crate) use description::{Description, OpenFlags};
pub(crate) use descriptor::{FileDescriptor, FileDescriptors};
pub(crate) use device::{MEMORY_MAJOR, MemoryDevices};
pub(crate) use epoll::Control;
#[cfg(all(test, unix))]
pub(crate) use files::IN_FLIGHT_MAX;
pub(crate) use files::{Files, KeptFiles, Opener};
pub(crate) use object::{Mappable, Reply, Request, Whence};
pub(crate) use pidfd::ProcessFile;
pub(crate) use pipe::Opened;
pub(crate) use readiness::{Events, Readiness};
pub(crate) use regular::RegularFile;
pub(crate) use socket::{
    AF_INET, AF_INET6, AF_UNIX, OpenSocket, Peer, Received, Sending, Socket, SocketAddress, SocketKind,
};
pub(crate) use stream::{Standard, StreamFile, Streams};
pub(crate) use terminal::{PTS_MAJOR, TTY_MAJOR, TerminalDevices, TerminalFile, Terminals};
