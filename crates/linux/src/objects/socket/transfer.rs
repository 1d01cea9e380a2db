//! Making sockets, and moving messages between them.

use std::sync::Arc;

use super::address::{AF_UNIX, SocketAddress};
use super::state::{
    Attempt, BUFFER_MAX, Message, Peer, Received, Role, Sending, Socket, SocketKind, Sockets, UDP_MAX,
};
use crate::arena::Id;
use crate::errno::Errno;
use crate::objects::description::{Description, OpenFlags};
use crate::objects::files::Files;
use crate::objects::object::{Object, Transfer};
use crate::objects::readiness::{Events, Readiness};
use crate::vfs::{Caller, FileType};
use crate::wait::{Channel, Failure, Wait};

/// An open socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct SocketFile(pub(super) Id<Socket>);

impl Object for SocketFile {
    fn opened(&self, files: &mut Files, _: OpenFlags) {
        files.states.hold(self.0);
    }

    fn closed(&self, files: &mut Files, _: Id<Description>, _: OpenFlags) {
        if let Some(channel) = files.close_socket(self.0) {
            files.forget_channel(channel);
        }
        files.collect_rights_sometimes();
    }

    fn read(&self, files: &mut Files, access: &Transfer<'_>, buffer: &mut [u8]) -> Result<usize, Failure> {
        let received = files.receive(self.0, buffer, false, !access.waits)?;
        files.doomed.extend(received.rights);
        files.close_doomed();
        Ok(received.length)
    }

    fn write(&self, files: &mut Files, access: &Transfer<'_>, bytes: &[u8]) -> Result<usize, Failure> {
        let sender = Peer::of(access.caller);
        let sending = Sending { immediate: !access.waits, sender, ..Sending::default() };
        files.send(access.caller, self.0, bytes, &sending)
    }

    fn readiness(&self, files: &mut Files, _: &Caller<'_>, _: OpenFlags) -> Readiness {
        let socket = &files.states[self.0];
        let readiness = Readiness::on(socket.channel).with(Events::ERR, socket.error.is_some());
        match &socket.role {
            Role::Listening { queue, .. } => readiness.with(Events::READABLE, !queue.is_empty()),
            Role::Idle if socket.kind == SocketKind::Datagram => {
                readiness.with(Events::READABLE, !socket.incoming.is_empty()).with(Events::WRITABLE, true)
            }
            _ if socket.attempt == Attempt::Pending => readiness,
            Role::Idle => readiness.with(Events::WRITABLE, true).with(Events::HUP, true),
            Role::Connected(peer) => {
                let room = peer.is_none_or(|peer| files.states[peer].held < BUFFER_MAX);
                let mut readiness = readiness
                    .with(Events::READABLE, !socket.incoming.is_empty() || socket.receive_closed)
                    .with(Events::WRITABLE, room)
                    .with(Events::RDHUP, socket.receive_closed)
                    .with(Events::HUP, peer.is_none() || socket.receive_closed && socket.send_closed);
                if let Some(peer) = peer {
                    readiness.channels.push(files.states[*peer].channel);
                }
                readiness
            }
        }
    }

    fn readable_bytes(&self, files: &mut Files, _: &Transfer<'_>) -> Result<u32, Errno> {
        Ok(files.states[self.0].readable() as u32)
    }
}

impl Files {
    /// The socket behind a description.
    pub(crate) fn socket_of(&self, id: Id<Description>) -> Result<Id<Socket>, Errno> {
        let description = self.description(id);
        match description.as_kind() {
            Some(SocketFile(socket)) => Ok(*socket),
            None if description.is_path() => Err(Errno::EBADF),
            None => Err(Errno::ENOTSOCK),
        }
    }

    /// What the sockets of the machine share.
    pub(super) fn sockets(&mut self) -> &mut Sockets {
        self.families.get_mut()
    }

    /// Messages hold so many open files less.
    pub(super) fn drop_rights(&mut self, count: usize) {
        let held = &mut self.sockets().rights_in_flight;
        *held = held.saturating_sub(count);
    }

    /// A socket by number.
    pub(crate) fn socket(&self, id: Id<Socket>) -> &Socket {
        &self.states[id]
    }

    /// A socket by number, to set its options.
    pub(crate) fn socket_mut(&mut self, id: Id<Socket>) -> &mut Socket {
        &mut self.states[id]
    }

    pub(crate) fn new_socket(&mut self, family: u16, kind: SocketKind, creator: Peer) -> Id<Socket> {
        let channel = self.new_channel();
        self.sockets().count += 1;
        self.states.insert(Socket::new(family, kind, creator, channel))
    }

    /// A description of a socket that its creator holds once, which passes to the description.
    pub(crate) fn describe_socket(
        &mut self,
        caller: &Caller<'_>,
        socket: Id<Socket>,
        flags: OpenFlags,
    ) -> Id<Description> {
        let (object, kind) = (Arc::new(SocketFile(socket)), (FileType::Socket, 0o777));
        let description = self.add_anonymous(caller, object, kind, "socket", flags | OpenFlags::O_RDWR);
        self.states.release(socket);
        description
    }

    /// socket(2).
    pub(crate) fn make_socket(
        &mut self,
        caller: &Caller<'_>,
        family: u16,
        kind: SocketKind,
        creator: Peer,
        flags: OpenFlags,
    ) -> Id<Description> {
        let socket = self.new_socket(family, kind, creator);
        self.describe_socket(caller, socket, flags)
    }

    /// socketpair(2).
    pub(crate) fn socket_pair(
        &mut self,
        caller: &Caller<'_>,
        kind: SocketKind,
        creator: Peer,
        flags: OpenFlags,
    ) -> [Id<Description>; 2] {
        let pair = [(); 2].map(|()| self.new_socket(AF_UNIX, kind, creator));
        for (own, other) in [(pair[0], pair[1]), (pair[1], pair[0])] {
            let socket = &mut self.states[own];
            socket.role = Role::Connected(Some(other));
            socket.peer = creator;
        }
        pair.map(|socket| self.describe_socket(caller, socket, flags))
    }

    /// Who gets what `id` sends.
    fn receiver(
        &mut self,
        caller: &Caller<'_>,
        id: Id<Socket>,
        to: Option<&SocketAddress>,
    ) -> Result<Id<Socket>, Errno> {
        let socket = &mut self.states[id];
        if let Some(error) = socket.error.take() {
            return Err(error);
        }
        if socket.send_closed {
            return Err(Errno::EPIPE);
        }
        if let Role::Connected(peer) = socket.role {
            let gone = if socket.kind == SocketKind::Datagram { Errno::ECONNREFUSED } else { Errno::EPIPE };
            return peer.ok_or(gone);
        }
        if socket.kind != SocketKind::Datagram {
            return Err(if socket.is_internet() { Errno::EPIPE } else { Errno::ENOTCONN });
        }
        let to = match to {
            Some(to) => to.clone(),
            None if socket.remote == SocketAddress::Unnamed => {
                return Err(if socket.is_internet() { Errno::EDESTADDRREQ } else { Errno::ENOTCONN });
            }
            None => socket.remote.clone(),
        };
        if let SocketAddress::Internet(address) = &to {
            self.bind_for_sending(caller, id, address.ip())?;
        }
        self.socket_at(caller, SocketKind::Datagram, &to)
    }

    /// sendmsg(2): bytes sent. The message's rights are held by it, or still by the caller where
    /// this fails.
    pub(crate) fn send(
        &mut self,
        caller: &Caller<'_>,
        id: Id<Socket>,
        bytes: &[u8],
        sending: &Sending,
    ) -> Result<usize, Failure> {
        let (kind, internet) = (self.states[id].kind, self.states[id].is_internet());
        if !sending.rights.is_empty() {
            self.check_rights(sending.rights.len())?;
        }
        if kind != SocketKind::Stream && bytes.len() > if internet { UDP_MAX } else { BUFFER_MAX } {
            return Err(Errno::EMSGSIZE.into());
        }
        if internet
            && kind == SocketKind::Datagram
            && let Some(error) = self.states[id].take_error()
        {
            return Err(error.into());
        }
        let to = match self.receiver(caller, id, sending.to.as_ref()) {
            Ok(to) => to,
            Err(Errno::ECONNREFUSED | Errno::ENETUNREACH)
                if internet && kind == SocketKind::Datagram && self.has_network() =>
            {
                self.lose(0, sending);
                return Ok(self.send_outside(id, bytes, sending.to.as_ref())?);
            }
            // Nobody at a UDP port: the datagram is lost, and a connected socket is told so (udp(7)).
            Err(Errno::ECONNREFUSED) if internet && kind == SocketKind::Datagram => {
                if sending.to.is_none() {
                    let socket = &mut self.states[id];
                    socket.error = Some(Errno::ECONNREFUSED);
                    let channel = socket.channel;
                    self.wake(channel);
                }
                return Ok(self.lose(bytes.len(), sending));
            }
            Err(errno) => return Err(errno.into()),
        };
        let from = self.states[id].local.clone();
        let most = self.most_in_flight();
        let receiver = &mut self.states[to];
        let room = BUFFER_MAX.saturating_sub(receiver.held);
        let channel = receiver.channel;
        let length = if kind == SocketKind::Stream { bytes.len().min(room) } else { bytes.len() };
        let spent = self.in_flight >= most;
        let full = if kind == SocketKind::Stream { length == 0 && !bytes.is_empty() } else { length > room }
            || spent;
        if receiver.receive_closed && kind != SocketKind::Stream && !internet {
            return Err(Errno::EPIPE.into());
        }
        if full {
            if internet && kind == SocketKind::Datagram {
                return Ok(self.lose(bytes.len(), sending));
            }
            let wait = Wait::on(channel);
            return Err(if sending.immediate { Errno::EAGAIN.into() } else { Failure::Block(wait) });
        }
        if kind == SocketKind::Stream && length == 0 || internet && !sending.rights.is_empty() {
            // Open files go along with bytes, and stay in the family.
            self.lose(0, sending);
            if kind == SocketKind::Stream && length == 0 {
                return Ok(0);
            }
        }
        let rights = if internet { Vec::new() } else { sending.rights.clone() };
        self.sockets().rights_in_flight += rights.len();
        let receiver = &mut self.states[to];
        receiver.held += length;
        self.in_flight += length as u64;
        self.vfs.account.note(length as u64);
        let joins = kind == SocketKind::Stream
            && rights.is_empty()
            && receiver.incoming.back().is_some_and(|last| last.sender == sending.sender);
        match receiver.incoming.back_mut().filter(|_| joins) {
            Some(last) => last.bytes.extend(&bytes[..length]),
            None => receiver.incoming.push_back(Message {
                bytes: bytes[..length].iter().copied().collect(),
                from,
                rights,
                sender: sending.sender,
            }),
        }
        self.wake(channel);
        Ok(length)
    }

    /// What becomes of a message that nobody will receive: nothing, but for the open files in it.
    fn lose(&mut self, length: usize, sending: &Sending) -> usize {
        self.doomed.extend(&sending.rights);
        self.close_doomed();
        length
    }

    /// recvmsg(2).
    pub(crate) fn receive(
        &mut self,
        id: Id<Socket>,
        buffer: &mut [u8],
        peek: bool,
        immediate: bool,
    ) -> Result<Received, Failure> {
        let socket = &mut self.states[id];
        if socket.incoming.is_empty() {
            if let Some(error) = socket.error.take() {
                return Err(error.into());
            }
            let connected = socket.is_connected();
            if socket.kind != SocketKind::Datagram && !connected {
                return Err(Errno::ENOTCONN.into());
            }
            if socket.receive_closed {
                return Ok(Received::default());
            }
            let wait = Wait::on(socket.channel);
            return Err(if immediate { Errno::EAGAIN.into() } else { Failure::Block(wait) });
        }
        let before = socket.held;
        let received = if socket.kind == SocketKind::Stream {
            take_stream(socket, buffer, peek)
        } else {
            take_message(socket, buffer, peek)
        };
        self.in_flight = self.in_flight.saturating_sub((before - socket.held) as u64);
        let channel = socket.channel;
        if !peek {
            self.drop_rights(received.rights.len());
        }
        if peek {
            for right in &received.rights {
                self.descriptions.hold(*right);
            }
        } else {
            self.wake(channel);
        }
        Ok(received)
    }

    /// shutdown(2).
    pub(crate) fn shut_down(&mut self, id: Id<Socket>, receive: bool, send: bool) -> Result<(), Errno> {
        let socket = &mut self.states[id];
        let Role::Connected(peer) = socket.role else { return Err(Errno::ENOTCONN) };
        socket.receive_closed |= receive;
        socket.send_closed |= send;
        let channel = socket.channel;
        self.wake(channel);
        if let Some(peer) = peer {
            let other = &mut self.states[peer];
            other.receive_closed |= send;
            other.send_closed |= receive && other.kind != SocketKind::Datagram && !other.is_internet();
            let channel = other.channel;
            self.wake(channel);
        }
        Ok(())
    }

    /// What is left to do when the last holder of a socket has gone.
    pub(crate) fn close_socket(&mut self, id: Id<Socket>) -> Option<Channel> {
        let socket = self.states.release(id)?;
        self.in_flight = self.in_flight.saturating_sub(socket.held as u64);
        let sockets = self.sockets();
        sockets.count -= 1;
        sockets.names.retain(|_, named| *named != id);
        self.forget_outside(id);
        if let Role::Connected(Some(peer)) = socket.role {
            let other = &mut self.states[peer];
            other.role = Role::Connected(None);
            other.receive_closed = true;
            if !socket.incoming.is_empty() && socket.kind != SocketKind::Datagram {
                other.error = Some(Errno::ECONNRESET);
            }
            let channel = other.channel;
            self.wake(channel);
        }
        for message in socket.incoming {
            self.drop_rights(message.rights.len());
            self.doomed.extend(message.rights);
        }
        if let Role::Listening { queue, .. } = socket.role {
            for waiting in queue {
                if let Some(channel) = self.close_socket(waiting) {
                    self.forget_channel(channel);
                }
            }
        }
        self.wake(socket.channel);
        Some(socket.channel)
    }
}

/// Takes bytes of a stream, up to the next message with rights of its own.
fn take_stream(socket: &mut Socket, buffer: &mut [u8], peek: bool) -> Received {
    let mut received = Received::default();
    let mut taken = 0;
    for message in &mut socket.incoming {
        if taken > 0 && (!message.rights.is_empty() || message.sender != received.sender) {
            break;
        }
        received.sender = message.sender;
        received.from = message.from.clone();
        let length = message.bytes.len().min(buffer.len() - taken);
        let bytes = message.bytes.iter().copied();
        for (target, byte) in buffer[taken..taken + length].iter_mut().zip(bytes) {
            *target = byte;
        }
        if peek {
            received.rights.extend(&message.rights);
        } else {
            message.bytes.drain(..length);
            received.rights.append(&mut message.rights);
        }
        taken += length;
        if taken == buffer.len() || !received.rights.is_empty() {
            break;
        }
    }
    if !peek {
        while socket.incoming.front().is_some_and(|message| message.bytes.is_empty()) {
            socket.incoming.pop_front();
        }
        socket.held -= taken;
    }
    received.length = taken;
    received.full_length = taken;
    received
}

/// Takes one message; what does not fit is lost.
fn take_message(socket: &mut Socket, buffer: &mut [u8], peek: bool) -> Received {
    let Some(message) = socket.incoming.front() else { return Received::default() };
    let length = message.bytes.len().min(buffer.len());
    for (target, byte) in buffer.iter_mut().zip(&message.bytes) {
        *target = *byte;
    }
    let received = Received {
        length,
        full_length: message.bytes.len(),
        from: message.from.clone(),
        rights: message.rights.clone(),
        sender: message.sender,
    };
    if !peek {
        socket.held -= received.full_length;
        socket.incoming.pop_front();
    }
    received
}
