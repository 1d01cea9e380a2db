//! How sockets find each other: names, ports, listening and connecting.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::address::{AF_INET6, SocketAddress, is_local};
use super::state::{Role, Socket, SocketKind, SocketName, Sockets};
use crate::arena::Id;
use crate::errno::Errno;
use crate::objects::description::{Description, OpenFlags};
use crate::objects::files::Files;
use crate::vfs::{Caller, DeviceNumber, FileType, Last};
use crate::wait::{Failure, Wait};

/// First port that is given to a socket that wants none in particular.
const FIRST_EPHEMERAL: u16 = 32_768;

/// Connections that wait to be accepted at most (`net.core.somaxconn`).
const BACKLOG_MAX: u32 = 4096;

impl Files {
    /// bind(2).
    pub(crate) fn bind(
        &mut self,
        caller: &Caller<'_>,
        id: Id<Socket>,
        address: Option<SocketAddress>,
    ) -> Result<(), Errno> {
        if self.states[id].local != SocketAddress::Unnamed {
            return Err(Errno::EINVAL);
        }
        let (address, name) = match address.ok_or(Errno::EAFNOSUPPORT)?.canonical() {
            SocketAddress::Unnamed => {
                // Autobind: five hexadecimal digits in the abstract name space.
                let name = format!("{:05x}", self.vfs.new_number() & 0xf_ffff).into_bytes();
                (SocketAddress::Abstract(name.clone()), SocketName::Abstract(name))
            }
            SocketAddress::Abstract(name) => {
                (SocketAddress::Abstract(name.clone()), SocketName::Abstract(name))
            }
            SocketAddress::Path(path) => {
                let start = caller.location.working_directory;
                let made =
                    self.vfs.make(caller, start, &path, FileType::Socket, 0o777, DeviceNumber::default());
                let file =
                    made.map_err(|errno| if errno == Errno::EEXIST { Errno::EADDRINUSE } else { errno })?;
                (SocketAddress::Path(path), SocketName::File(file))
            }
            SocketAddress::Internet(address) => self.choose_port(id, address)?,
        };
        if self.sockets().names.contains_key(&name) {
            return Err(Errno::EADDRINUSE);
        }
        if let (SocketKind::Datagram, SocketAddress::Internet(at)) = (self.states[id].kind, &address) {
            self.bind_outside(id, *at)?;
        }
        self.sockets().names.insert(name, id);
        self.states[id].local = address;
        Ok(())
    }

    /// A socket has the port at this address, or at one that includes or is included in this.
    fn port_is_taken(&self, id: Id<Socket>, ip: IpAddr, port: u16) -> bool {
        let Socket { kind, .. } = self.states[id];
        let first = SocketName::Port(kind, IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        let Some(sockets) = self.families.get::<Sockets>() else { return false };
        sockets.names.range(first..).any(|(name, owner)| match name {
            SocketName::Port(other, bound, number) => {
                *other == kind
                    && *number == port
                    && (self.covers(id, ip, *bound) || self.covers(*owner, *bound, ip))
            }
            _ => false,
        })
    }

    /// A socket bound to `bound` also hears what is sent to `ip`: 0.0.0.0 stands for all of IPv4, and
    /// `::` for IPv6 and, without IPV6_V6ONLY, for IPv4 (ipv6(7)).
    fn covers(&self, id: Id<Socket>, bound: IpAddr, ip: IpAddr) -> bool {
        bound == ip
            || bound.is_unspecified()
                && (bound.is_ipv4() == ip.is_ipv4() || bound.is_ipv6() && !self.states[id].is_ipv6_only())
    }

    fn choose_port(&self, id: Id<Socket>, address: SocketAddr) -> Result<(SocketAddress, SocketName), Errno> {
        let (ip, kind) = (address.ip(), self.states[id].kind);
        if !is_local(ip) && !self.has_network() {
            return Err(Errno::EADDRNOTAVAIL);
        }
        let port = match address.port() {
            0 => (FIRST_EPHEMERAL..=u16::MAX)
                .find(|port| !self.port_is_taken(id, ip, *port))
                .ok_or(Errno::EADDRINUSE)?,
            port if self.port_is_taken(id, ip, port) => return Err(Errno::EADDRINUSE),
            port => port,
        };
        Ok((SocketAddress::Internet(SocketAddr::new(ip, port)), SocketName::Port(kind, ip, port)))
    }

    /// Gives an Internet socket a local address before it sends.
    pub(crate) fn bind_for_sending(
        &mut self,
        caller: &Caller<'_>,
        id: Id<Socket>,
        to: IpAddr,
    ) -> Result<(), Errno> {
        if self.states[id].local != SocketAddress::Unnamed || !self.states[id].is_internet() {
            return Ok(());
        }
        let own = match (to.is_ipv6(), is_local(to)) {
            (true, true) => IpAddr::V6(Ipv6Addr::LOCALHOST),
            (true, false) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            (false, true) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            (false, false) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        };
        self.bind(caller, id, Some(SocketAddress::Internet(SocketAddr::new(own, 0))))
    }

    /// The socket that is bound to a name.
    fn socket_named(&self, name: &SocketName) -> Option<Id<Socket>> {
        self.families.get::<Sockets>()?.names.get(name).copied()
    }

    /// The socket that an address leads to.
    pub(crate) fn socket_at(
        &mut self,
        caller: &Caller<'_>,
        kind: SocketKind,
        address: &SocketAddress,
    ) -> Result<Id<Socket>, Errno> {
        let found = match address {
            SocketAddress::Unnamed => return Err(Errno::EINVAL),
            SocketAddress::Path(path) => {
                let start = caller.location.working_directory;
                let file = self.vfs.find(caller, start, path, Last::Follow)?;
                self.vfs.check_access(caller, file, 2)?;
                self.socket_named(&SocketName::File(file))
            }
            SocketAddress::Abstract(name) => self.socket_named(&SocketName::Abstract(name.clone())),
            SocketAddress::Internet(address) => {
                let ip = match address.ip() {
                    IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
                    IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
                    ip => ip,
                };
                if !is_local(ip) {
                    return Err(Errno::ENETUNREACH);
                }
                let any4 = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
                let any6 = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
                [ip, any4, any6].iter().find_map(|bound| {
                    let owner = self.socket_named(&SocketName::Port(kind, *bound, address.port()))?;
                    self.covers(owner, *bound, ip).then_some(owner)
                })
            }
        };
        let id = found.ok_or(Errno::ECONNREFUSED)?;
        let right_kind = self.states[id].kind == kind;
        if right_kind { Ok(id) } else { Err(Errno::EPROTOTYPE) }
    }

    /// listen(2).
    pub(crate) fn listen(&mut self, caller: &Caller<'_>, id: Id<Socket>, backlog: u32) -> Result<(), Errno> {
        let socket = &self.states[id];
        if socket.kind == SocketKind::Datagram {
            return Err(Errno::EOPNOTSUPP);
        }
        if socket.local == SocketAddress::Unnamed {
            if !socket.is_internet() {
                return Err(Errno::EINVAL);
            }
            let any = if socket.family == AF_INET6 {
                IpAddr::V6(Ipv6Addr::UNSPECIFIED)
            } else {
                IpAddr::V4(Ipv4Addr::UNSPECIFIED)
            };
            self.bind(caller, id, Some(SocketAddress::Internet(SocketAddr::new(any, 0))))?;
        }
        let wanted = backlog.min(BACKLOG_MAX);
        match &mut self.states[id].role {
            Role::Connected(_) => Err(Errno::EINVAL),
            Role::Listening { backlog, .. } => {
                *backlog = wanted;
                Ok(())
            }
            role @ Role::Idle => {
                *role = Role::Listening { backlog: wanted, queue: VecDeque::new() };
                let opened = self.listen_outside(id, wanted);
                if opened.is_err() {
                    self.states[id].role = Role::Idle;
                }
                opened
            }
        }
    }

    /// connect(2).
    pub(crate) fn connect(
        &mut self,
        caller: &Caller<'_>,
        id: Id<Socket>,
        address: Option<SocketAddress>,
        immediate: bool,
    ) -> Result<(), Failure> {
        let kind = self.states[id].kind;
        let Some(address) = address.map(SocketAddress::canonical) else {
            self.states[id].remote = SocketAddress::Unnamed;
            return Ok(());
        };
        if kind == SocketKind::Datagram {
            if let SocketAddress::Internet(to) = &address {
                if !is_local(to.ip()) && !self.has_network() {
                    return Err(Errno::ENETUNREACH.into());
                }
                self.bind_for_sending(caller, id, to.ip())?;
            } else {
                self.socket_at(caller, kind, &address)?;
            }
            self.states[id].remote = address;
            return Ok(());
        }
        if let Some(result) = self.continue_attempt(id, immediate) {
            return result;
        }
        match self.states[id].role {
            Role::Idle => {}
            Role::Listening { .. } => return Err(Errno::EINVAL.into()),
            Role::Connected(_) => return Err(Errno::EISCONN.into()),
        }
        let listener = match (self.socket_at(caller, kind, &address), &address) {
            (Err(Errno::ECONNREFUSED | Errno::ENETUNREACH), SocketAddress::Internet(to))
                if self.has_network() =>
            {
                return self.connect_outside(caller, id, *to, immediate);
            }
            (listener, _) => listener?,
        };
        let Role::Listening { backlog, queue } = &self.states[listener].role else {
            return Err(Errno::ECONNREFUSED.into());
        };
        if queue.len() > *backlog as usize {
            let channel = self.states[listener].channel;
            let wait = Wait::on(channel);
            return Err(if immediate { Errno::EAGAIN.into() } else { Failure::Block(wait) });
        }
        if let SocketAddress::Internet(to) = &address {
            self.bind_for_sending(caller, id, to.ip())?;
        }
        self.join(id, listener, address);
        Ok(())
    }

    /// Makes the other end of a connection, and leaves it with the listener.
    fn join(&mut self, client: Id<Socket>, listener: Id<Socket>, address: SocketAddress) {
        let (family, kind, creator) = {
            let listening = &self.states[listener];
            (listening.family, listening.kind, listening.creator)
        };
        let local = match &address {
            SocketAddress::Internet(_) => address.clone(),
            _ => self.states[listener].local.clone(),
        };
        let server = self.new_socket(family, kind, creator);
        let (client_name, client_maker) = (self.states[client].local.clone(), self.states[client].creator);
        let socket = &mut self.states[server];
        socket.role = Role::Connected(Some(client));
        socket.local = local;
        socket.remote = client_name;
        socket.peer = client_maker;
        let socket = &mut self.states[client];
        socket.role = Role::Connected(Some(server));
        socket.remote = address;
        socket.peer = creator;
        let channels = [socket.channel, self.states[listener].channel];
        if let Role::Listening { queue, .. } = &mut self.states[listener].role {
            queue.push_back(server);
        }
        for channel in channels {
            self.wake(channel);
        }
    }

    /// accept(2): the open file, and who connected.
    pub(crate) fn accept(
        &mut self,
        caller: &Caller<'_>,
        id: Id<Socket>,
        immediate: bool,
        flags: OpenFlags,
    ) -> Result<(Id<Description>, SocketAddress), Failure> {
        let channel = self.states[id].channel;
        if self.states[id].kind == SocketKind::Datagram {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let Role::Listening { queue, .. } = &mut self.states[id].role else {
            return Err(Errno::EINVAL.into());
        };
        let Some(socket) = queue.pop_front() else {
            return Err(if immediate { Errno::EAGAIN.into() } else { Failure::Block(Wait::on(channel)) });
        };
        self.wake(channel);
        let from = self.states[socket].remote.clone();
        Ok((self.describe_socket(caller, socket, flags), from))
    }
}
