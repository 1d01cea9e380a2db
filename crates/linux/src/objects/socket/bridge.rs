//! Sockets of the machine that reach the host's network, where the host grants it.
//!
//! A connection to the outside is a pair of the machine's own sockets, one of which nobody but the
//! bridge holds; what arrives there goes out, and what comes in is sent from there. So waiting,
//! polling, limits and shutting down are those of every other socket.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::address::SocketAddress;
use super::outside::Bridge;
use super::state::{Attempt, BUFFER_MAX, Message, Peer, Role, Socket, SocketKind, Sockets, UDP_MAX};
use crate::arena::Id;
use crate::errno::Errno;
use crate::host::{Network, NetworkDatagrams, NetworkListener, NetworkStream};
use crate::objects::files::Files;
use crate::vfs::Caller;
use crate::wait::{Failure, Wait};

/// Bytes that are moved at once.
const CHUNK: usize = 1 << 16;

/// Datagrams that wait for one socket at most; the host keeps the rest, or loses it.
const DATAGRAMS_MAX: usize = 256;

/// The errno that fits a host's error.
fn errno(error: &io::Error) -> Errno {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Errno::ECONNREFUSED,
        io::ErrorKind::ConnectionReset => Errno::ECONNRESET,
        io::ErrorKind::ConnectionAborted => Errno::ECONNABORTED,
        io::ErrorKind::NotConnected => Errno::ENOTCONN,
        io::ErrorKind::AddrInUse => Errno::EADDRINUSE,
        io::ErrorKind::AddrNotAvailable => Errno::EADDRNOTAVAIL,
        io::ErrorKind::PermissionDenied => Errno::EACCES,
        io::ErrorKind::BrokenPipe => Errno::EPIPE,
        io::ErrorKind::TimedOut => Errno::ETIMEDOUT,
        io::ErrorKind::NetworkUnreachable => Errno::ENETUNREACH,
        io::ErrorKind::HostUnreachable => Errno::EHOSTUNREACH,
        io::ErrorKind::WouldBlock => Errno::EAGAIN,
        _ => Errno::EIO,
    }
}

/// What has become of a bridge.
enum Fate {
    Stays,
    /// Its connection has ended.
    Ends,
    /// Its connection could not be made, or broke.
    Fails(Errno),
}

impl Files {
    /// Lets the machine use the host's network.
    pub(crate) fn grant_network(&mut self, network: Option<Box<dyn Network>>) {
        self.sockets().outside.network = network;
    }

    /// Whether anything but the machine's own loopback can be reached.
    pub(crate) fn has_network(&self) -> bool {
        self.families.get::<Sockets>().is_some_and(|sockets| sockets.outside.network.is_some())
    }

    /// Whether the host may have something for the machine.
    pub(crate) fn has_bridges(&self) -> bool {
        self.families.get::<Sockets>().is_some_and(|sockets| !sockets.outside.bridges.is_empty())
    }

    /// Waits for the host's network, at most for `timeout`.
    pub(crate) fn wait_for_network(&mut self, timeout: Duration) {
        if let Some(network) = &mut self.sockets().outside.network {
            network.wait(timeout);
        }
    }

    /// What connect(2) says about a connection that was begun before; `None` if none was.
    pub(crate) fn continue_attempt(
        &mut self,
        id: Id<Socket>,
        immediate: bool,
    ) -> Option<Result<(), Failure>> {
        let socket = &mut self.states[id];
        match socket.attempt {
            Attempt::None if matches!(socket.role, Role::Idle) => {
                socket.error.take().map(|error| Err(error.into()))
            }
            Attempt::None => None,
            Attempt::Pending if immediate => Some(Err(Errno::EALREADY.into())),
            Attempt::Pending => Some(Err(Failure::Block(Wait::on(socket.channel)))),
            Attempt::Made => {
                socket.attempt = Attempt::None;
                Some(Ok(()))
            }
        }
    }

    /// Begins a connection to the host's network.
    pub(crate) fn connect_outside(
        &mut self,
        caller: &Caller<'_>,
        id: Id<Socket>,
        to: SocketAddr,
        immediate: bool,
    ) -> Result<(), Failure> {
        let Some(network) = &mut self.sockets().outside.network else {
            return Err(Errno::ENETUNREACH.into());
        };
        let stream = network.connect(to).map_err(|error| errno(&error))?;
        self.bind_for_sending(caller, id, to.ip())?;
        let own = self.add_own_end(id, stream, true);
        let socket = &mut self.states[id];
        socket.role = Role::Connected(Some(own));
        socket.remote = SocketAddress::Internet(to);
        socket.attempt = Attempt::Pending;
        let wait = Wait::on(socket.channel);
        Err(if immediate { Errno::EINPROGRESS.into() } else { Failure::Block(wait) })
    }

    /// The bridge's end of a connection whose other end is `id`.
    fn add_own_end(
        &mut self,
        id: Id<Socket>,
        stream: Box<dyn NetworkStream>,
        connecting: bool,
    ) -> Id<Socket> {
        let own = self.new_socket(self.states[id].family, SocketKind::Stream, Peer::default());
        self.states[own].role = Role::Connected(Some(id));
        self.sockets().outside.add(Bridge::Stream { own, stream, connecting, finished: false });
        own
    }

    /// Has the host take connections for a listening socket.
    pub(crate) fn listen_outside(&mut self, id: Id<Socket>, backlog: u32) -> Result<(), Errno> {
        let SocketAddress::Internet(at) = self.states[id].local else { return Ok(()) };
        let Some(network) = &mut self.sockets().outside.network else { return Ok(()) };
        let listener = network.listen(at, backlog).map_err(|error| errno(&error))?;
        self.sockets().outside.add(Bridge::Listener { socket: id, listener });
        Ok(())
    }

    /// Gives a UDP socket one of the host's beside it.
    pub(crate) fn bind_outside(&mut self, id: Id<Socket>, at: SocketAddr) -> Result<(), Errno> {
        let Some(network) = &mut self.sockets().outside.network else { return Ok(()) };
        let datagrams = network.datagrams(at).map_err(|error| errno(&error))?;
        self.sockets().outside.add(Bridge::Datagrams { socket: id, datagrams });
        Ok(())
    }

    /// Sends a datagram to the host's network.
    pub(crate) fn send_outside(
        &mut self,
        id: Id<Socket>,
        bytes: &[u8],
        to: Option<&SocketAddress>,
    ) -> Result<usize, Errno> {
        let SocketAddress::Internet(to) = to.unwrap_or(&self.states[id].remote).clone() else {
            return Err(Errno::EDESTADDRREQ);
        };
        for (_, bridge) in &mut self.sockets().outside.bridges {
            if let Bridge::Datagrams { socket, datagrams } = bridge
                && *socket == id
            {
                return match datagrams.send(bytes, to) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(bytes.len()),
                    result => result.map_err(|error| errno(&error)),
                };
            }
        }
        Err(Errno::ENETUNREACH)
    }

    /// Drops what stands for a socket that has been closed.
    pub(crate) fn forget_outside(&mut self, id: Id<Socket>) {
        self.sockets().outside.bridges.retain(|(_, bridge)| match bridge {
            Bridge::Stream { .. } => true,
            Bridge::Listener { socket, .. } | Bridge::Datagrams { socket, .. } => *socket != id,
        });
    }

    /// Moves what can be moved between the machine and the host.
    pub(crate) fn pump_network(&mut self) {
        // Connections that are taken on the way join the others; none is removed by another.
        let bridges = std::mem::take(&mut self.sockets().outside.bridges);
        let mut kept = Vec::with_capacity(bridges.len());
        for (number, mut bridge) in bridges {
            let fate = match &mut bridge {
                Bridge::Stream { own, stream, connecting, finished } => {
                    self.pump_stream(*own, stream.as_mut(), connecting, finished)
                }
                Bridge::Listener { socket, listener } => self.pump_listener(*socket, listener.as_mut()),
                Bridge::Datagrams { socket, datagrams } => self.pump_datagrams(*socket, datagrams.as_mut()),
            };
            match (fate, &bridge) {
                (Fate::Stays, _) => kept.push((number, bridge)),
                (Fate::Fails(error), Bridge::Stream { own, connecting, .. }) => {
                    self.break_stream(*own, error, *connecting);
                }
                (_, Bridge::Stream { own, .. }) => drop(self.close_socket(*own)),
                _ => {}
            }
        }
        self.sockets().outside.bridges.append(&mut kept);
        self.close_doomed();
    }

    /// Ends the machine's side of connections that a restored snapshot had and that the host has not.
    pub(crate) fn break_lost_connections(&mut self) {
        if self.families.get::<Sockets>().is_none_or(|sockets| sockets.outside.broken.is_empty()) {
            return;
        }
        for own in std::mem::take(&mut self.sockets().outside.broken) {
            self.break_stream(own, Errno::ECONNRESET, false);
        }
        self.close_doomed();
    }

    /// Tells the machine's end of a connection that it has failed.
    fn break_stream(&mut self, own: Id<Socket>, error: Errno, connecting: bool) {
        if let Role::Connected(Some(peer)) = self.states[own].role {
            self.states[own].incoming.clear();
            self.close_socket(own);
            let socket = &mut self.states[peer];
            socket.error = Some(error);
            socket.attempt = Attempt::None;
            if connecting {
                socket.role = Role::Idle;
                socket.receive_closed = false;
            }
            let channel = socket.channel;
            self.wake(channel);
        } else {
            self.close_socket(own);
        }
    }

    fn pump_stream(
        &mut self,
        own: Id<Socket>,
        stream: &mut dyn NetworkStream,
        connecting: &mut bool,
        finished: &mut bool,
    ) -> Fate {
        let Role::Connected(peer) = self.states[own].role else { return Fate::Ends };
        if *connecting {
            match stream.is_connected() {
                Ok(true) => *connecting = false,
                Ok(false) if peer.is_none() => return Fate::Ends,
                Ok(false) => return Fate::Stays,
                Err(error) => return Fate::Fails(errno(&error)),
            }
            if let Some(peer) = peer {
                let socket = &mut self.states[peer];
                socket.attempt = Attempt::Made;
                if let Some(local) = stream.local_address() {
                    socket.local = SocketAddress::Internet(local);
                }
                let channel = socket.channel;
                self.wake(channel);
            }
        }
        if let Err(error) = self.pump_out(own, stream) {
            return Fate::Fails(errno(&error));
        }
        let drained = self.states[own].incoming.is_empty();
        if drained && self.states[own].receive_closed && !*finished {
            stream.finish();
            *finished = true;
        }
        match (peer, drained) {
            (None, true) => Fate::Ends,
            (None, false) => Fate::Stays,
            (Some(peer), _) => self.pump_in(own, peer, stream),
        }
    }

    /// What the machine has sent goes to the host, as far as that takes it.
    fn pump_out(&mut self, own: Id<Socket>, stream: &mut dyn NetworkStream) -> io::Result<()> {
        let channel = self.states[own].channel;
        loop {
            let Some(message) = self.states[own].incoming.front_mut() else { return Ok(()) };
            let (bytes, _) = message.bytes.as_slices();
            let written = match stream.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                result => result?.min(bytes.len()),
            };
            message.bytes.drain(..written);
            if message.bytes.is_empty() {
                self.states[own].incoming.pop_front();
            }
            self.states[own].held = self.states[own].held.saturating_sub(written);
            self.in_flight = self.in_flight.saturating_sub(written as u64);
            self.wake(channel);
            if written == 0 {
                return Ok(());
            }
        }
    }

    /// What the host has received goes to the machine's end, as far as that has room.
    fn pump_in(&mut self, own: Id<Socket>, peer: Id<Socket>, stream: &mut dyn NetworkStream) -> Fate {
        let mut buffer = vec![0; CHUNK];
        while !self.states[own].send_closed {
            let room = BUFFER_MAX.saturating_sub(self.states[peer].held).min(CHUNK);
            if room == 0 {
                break;
            }
            let read = match stream.read(&mut buffer[..room]) {
                Ok(0) => {
                    // Shutting down can only fail without a connection.
                    let _ = self.shut_down(own, false, true);
                    break;
                }
                Ok(read) => read.min(room),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Fate::Fails(errno(&error)),
            };
            self.deliver_from_outside(peer, &buffer[..read], SocketAddress::Unnamed);
        }
        Fate::Stays
    }

    fn deliver_from_outside(&mut self, to: Id<Socket>, bytes: &[u8], from: SocketAddress) {
        let bytes: std::collections::VecDeque<u8> = bytes.iter().copied().collect();
        let socket = &mut self.states[to];
        socket.held += bytes.len();
        self.in_flight += bytes.len() as u64;
        self.vfs.account.note(bytes.len() as u64);
        socket.incoming.push_back(Message { bytes, from, rights: Vec::new(), sender: Peer::default() });
        let channel = socket.channel;
        self.wake(channel);
    }

    fn pump_listener(&mut self, id: Id<Socket>, listener: &mut dyn NetworkListener) -> Fate {
        loop {
            let socket = &self.states[id];
            let Role::Listening { backlog, queue } = &socket.role else { return Fate::Ends };
            if queue.len() > *backlog as usize {
                return Fate::Stays;
            }
            let (family, creator, channel) = (socket.family, socket.creator, socket.channel);
            let Ok((stream, from)) = listener.accept() else { return Fate::Stays };
            let local = stream.local_address().map_or(socket.local.clone(), SocketAddress::Internet);
            let server = self.new_socket(family, SocketKind::Stream, creator);
            let own = self.add_own_end(server, stream, false);
            let accepted = &mut self.states[server];
            accepted.role = Role::Connected(Some(own));
            accepted.local = local;
            accepted.remote = SocketAddress::Internet(from);
            if let Role::Listening { queue, .. } = &mut self.states[id].role {
                queue.push_back(server);
            }
            self.wake(channel);
        }
    }

    fn pump_datagrams(&mut self, id: Id<Socket>, datagrams: &mut dyn NetworkDatagrams) -> Fate {
        let mut buffer = vec![0; UDP_MAX];
        while self.states[id].incoming.len() < DATAGRAMS_MAX && self.states[id].held < BUFFER_MAX {
            let Ok((length, from)) = datagrams.receive(&mut buffer) else { break };
            let wanted = match &self.states[id].remote {
                SocketAddress::Internet(remote) => *remote == from,
                _ => true,
            };
            if wanted {
                let bytes = &buffer[..length.min(UDP_MAX)];
                self.deliver_from_outside(id, bytes, SocketAddress::Internet(from));
            }
        }
        Fate::Stays
    }
}
