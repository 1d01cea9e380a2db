//! Sockets, by their own calls and through socketcall(2).

use super::descriptor::add_pair;
use super::message::{recvfrom, recvmmsg, recvmsg, sendmmsg, sendmsg, sendto};
use super::table::CallHandler;
use crate::arena::Id;
use crate::errno::Errno;
use crate::kernel::{Arguments, Call};
use crate::objects::{AF_INET, AF_INET6, AF_UNIX, OpenFlags, Peer, Socket, SocketAddress, SocketKind};
use crate::record::Record;
use crate::wait::{CallResult, Failure};

/// Most bytes of an address.
const ADDRESS_MAX: u32 = 128;

pub(super) const SOL_SOCKET: u32 = 1;

const SO_TYPE: u32 = 3;
const SO_ERROR: u32 = 4;
const SO_SNDBUF: u32 = 7;
const SO_RCVBUF: u32 = 8;
const SO_LINGER: u32 = 13;
const SO_PEERCRED: u32 = 17;
pub(super) const SO_RCVTIMEO: [u32; 2] = [20, 66];
pub(super) const SO_SNDTIMEO: [u32; 2] = [21, 67];
const SO_ACCEPTCONN: u32 = 30;
const SO_PROTOCOL: u32 = 38;
const SO_DOMAIN: u32 = 39;

/// The socket behind a descriptor.
pub(super) fn socket_of(call: &mut Call<'_>, fd: u32) -> Result<(Id<Socket>, OpenFlags), Errno> {
    let id = call.open_file(fd)?;
    Ok((call.kernel.fs.socket_of(id)?, call.kernel.fs.description(id).flags))
}

pub(super) fn is_immediate(open: OpenFlags, flags: u32) -> bool {
    open.contains(OpenFlags::O_NONBLOCK) || flags & super::message::MSG_DONTWAIT != 0
}

/// Who the task is to its peers.
pub(super) fn own_peer(call: &mut Call<'_>) -> Result<Peer, Errno> {
    call.with_files(|_, caller| Ok(Peer::of(caller)))
}

/// `SOCK_*` with its flags.
fn kind(bits: u32) -> Result<(SocketKind, OpenFlags), Errno> {
    /// One past the highest kind of socket.
    const SOCK_MAX: u32 = 11;
    let flags = OpenFlags::from_bits_retain(bits & !0xf);
    if bits & 0xf >= SOCK_MAX {
        return Err(Errno::EINVAL);
    }
    if flags & !(OpenFlags::O_CLOEXEC | OpenFlags::O_NONBLOCK) != OpenFlags::empty() {
        return Err(Errno::EINVAL);
    }
    match bits & 0xf {
        1 => Ok((SocketKind::Stream, flags)),
        2 => Ok((SocketKind::Datagram, flags)),
        5 => Ok((SocketKind::Packets, flags)),
        _ => Err(Errno::ESOCKTNOSUPPORT),
    }
}

/// The kind and the flags of a new socket of that family and protocol, if there are such.
fn kind_of(family: u32, bits: u32, protocol: u32) -> Result<(u16, SocketKind, OpenFlags), Errno> {
    /// SOCK_RAW.
    const RAW: u32 = 3;
    check_flags(bits)?;
    check_family(family)?;
    let is_raw = bits & 0xf == RAW;
    // Among unix sockets raw ones are datagrams, which BSD has had once.
    let read = if is_raw { kind(bits & !0xf | 2) } else { kind(bits) };
    let family = u16::try_from(family).map_err(|_| Errno::EAFNOSUPPORT)?;
    if family == AF_UNIX && protocol > 1 && read != Err(Errno::EINVAL) {
        return Err(Errno::EPROTONOSUPPORT);
    }
    let (kind, flags) = match read {
        Err(Errno::ESOCKTNOSUPPORT) if !matches!(family, AF_UNIX | AF_INET | AF_INET6) => {
            return Err(Errno::EAFNOSUPPORT);
        }
        read => read?,
    };
    let fits = match (family, kind) {
        (AF_UNIX, _) => true,
        (AF_INET | AF_INET6, _) if is_raw && protocol == 0 => false,
        (AF_INET | AF_INET6, _) if is_raw => return Err(Errno::EPERM),
        (AF_INET | AF_INET6, SocketKind::Stream) => matches!(protocol, 0 | 6),
        (AF_INET | AF_INET6, SocketKind::Datagram) => matches!(protocol, 0 | 17),
        (AF_INET | AF_INET6, SocketKind::Packets) => return Err(Errno::ESOCKTNOSUPPORT),
        _ => return Err(Errno::EAFNOSUPPORT),
    };
    if fits { Ok((family, kind, flags)) } else { Err(Errno::EPROTONOSUPPORT) }
}

/// Fails for flags beside a socket's kind that there are not.
fn check_flags(bits: u32) -> Result<(), Errno> {
    const FLAGS: u32 = OpenFlags::O_CLOEXEC.bits() | OpenFlags::O_NONBLOCK.bits();
    if bits & !0xf & !FLAGS == 0 { Ok(()) } else { Err(Errno::EINVAL) }
}

/// Fails for a family that no kernel has, whatever the kind.
fn check_family(family: u32) -> Result<(), Errno> {
    /// One past the highest family.
    const AF_MAX: u32 = 46;
    if family < AF_MAX { Ok(()) } else { Err(Errno::EAFNOSUPPORT) }
}

/// socket(2).
pub(super) fn socket(call: &mut Call<'_>, [family, bits, protocol, ..]: Arguments) -> CallResult {
    let (family, kind, flags) = kind_of(family, bits, protocol)?;
    let creator = own_peer(call)?;
    let socket = call.with_files(|files, caller| files.make_socket(caller, family, kind, creator, flags));
    Ok(call.add_descriptor(socket, 0, flags.contains(OpenFlags::O_CLOEXEC))?)
}

/// socketpair(2).
pub(super) fn socketpair(call: &mut Call<'_>, [family, bits, protocol, pair, ..]: Arguments) -> CallResult {
    check_flags(bits)?;
    // The numbers of both ends are there before the ends are.
    let (first, second) = call.next_descriptors()?;
    call.user().copy_out(pair, Record::new().u32(first).u32(second).as_bytes())?;
    let (family, kind, flags) = kind_of(family, bits, protocol)?;
    if family != AF_UNIX {
        return Err(Errno::EOPNOTSUPP.into());
    }
    let creator = own_peer(call)?;
    let ends = call.with_files(|files, caller| files.socket_pair(caller, kind, creator, flags));
    add_pair(call, ends, pair, flags.contains(OpenFlags::O_CLOEXEC))
}

/// An address in guest memory.
pub(super) fn read_address(
    call: &mut Call<'_>,
    socket: Id<Socket>,
    address: u32,
    length: u32,
) -> Result<Option<SocketAddress>, Errno> {
    if length > ADDRESS_MAX {
        return Err(Errno::EINVAL);
    }
    let bytes = call.user().bytes(address, length)?;
    SocketAddress::decode(&bytes, call.kernel.fs.socket(socket).family)
}

/// Stores an address, cut to the room there is, and its whole length.
pub(super) fn write_address(
    call: &mut Call<'_>,
    socket: Id<Socket>,
    from: &SocketAddress,
    [address, length]: [u32; 2],
) -> Result<(), Errno> {
    if address == 0 {
        return Ok(());
    }
    let room = call.user().read::<u32>(length)?;
    if room as i32 <= -1 {
        return Err(Errno::EINVAL);
    }
    let record = from.encode(call.kernel.fs.socket(socket).family);
    let bytes = record.as_bytes();
    call.user().copy_out(address, &bytes[..bytes.len().min(room as usize)])?;
    call.user().write(length, bytes.len() as u32)
}

/// bind(2).
pub(super) fn bind(call: &mut Call<'_>, [fd, address, length, ..]: Arguments) -> CallResult {
    let (socket, _) = socket_of(call, fd)?;
    let address = read_address(call, socket, address, length)?;
    if address.is_none() && call.kernel.fs.socket(socket).family == AF_UNIX {
        return Err(Errno::EINVAL.into());
    }
    call.with_files(|files, caller| files.bind(caller, socket, address))?;
    Ok(0)
}

/// connect(2).
pub(super) fn connect(call: &mut Call<'_>, [fd, address, length, ..]: Arguments) -> CallResult {
    call.open_file(fd)?;
    if length <= ADDRESS_MAX {
        // The address is fetched before anybody asks what the descriptor is of.
        call.user().bytes(address, length)?;
    }
    let (socket, flags) = socket_of(call, fd)?;
    let address = read_address(call, socket, address, length)?;
    let own = call.kernel.fs.socket(socket);
    if address.is_none() && own.family == AF_UNIX && !matches!(own.kind, SocketKind::Datagram) {
        return Err(Errno::EINVAL.into());
    }
    let immediate = is_immediate(flags, 0);
    call.with_files(|files, caller| files.connect(caller, socket, address, immediate))?;
    Ok(0)
}

/// listen(2).
pub(super) fn listen(call: &mut Call<'_>, [fd, backlog, ..]: Arguments) -> CallResult {
    let (socket, _) = socket_of(call, fd)?;
    call.with_files(|files, caller| files.listen(caller, socket, backlog))?;
    Ok(0)
}

/// accept(2).
pub(super) fn accept(call: &mut Call<'_>, [fd, address, length, ..]: Arguments) -> CallResult {
    accept4(call, [fd, address, length, 0, 0, 0])
}

/// accept4(2).
pub(super) fn accept4(call: &mut Call<'_>, [fd, address, length, bits, ..]: Arguments) -> CallResult {
    let flags = OpenFlags::from_bits_retain(bits);
    let id = call.open_file(fd)?;
    if call.kernel.fs.description(id).is_path() {
        return Err(Errno::EBADF.into());
    }
    if flags & !(OpenFlags::O_CLOEXEC | OpenFlags::O_NONBLOCK) != OpenFlags::empty() {
        return Err(Errno::EINVAL.into());
    }
    let (socket, open) = socket_of(call, fd)?;
    let immediate = is_immediate(open, 0);
    let result = call.with_files(|files, caller| files.accept(caller, socket, immediate, flags));
    let (description, from) = with_timeout(call, socket, &SO_RCVTIMEO, result)?;
    if let Err(errno) = write_address(call, socket, &from, [address, length]) {
        call.kernel.fs.close(description);
        return Err(errno.into());
    }
    Ok(call.add_descriptor(description, 0, flags.contains(OpenFlags::O_CLOEXEC))?)
}

/// getsockname(2).
pub(super) fn getsockname(call: &mut Call<'_>, [fd, address, length, ..]: Arguments) -> CallResult {
    let (socket, _) = socket_of(call, fd)?;
    let local = call.kernel.fs.socket(socket).local.clone();
    write_address(call, socket, &local, [address, length])?;
    Ok(0)
}

/// getpeername(2).
pub(super) fn getpeername(call: &mut Call<'_>, [fd, address, length, ..]: Arguments) -> CallResult {
    let (socket, _) = socket_of(call, fd)?;
    let held = call.kernel.fs.socket(socket);
    if !held.is_connected() && held.remote == SocketAddress::Unnamed {
        return Err(Errno::ENOTCONN.into());
    }
    let remote = held.remote.clone();
    write_address(call, socket, &remote, [address, length])?;
    Ok(0)
}

/// shutdown(2).
pub(super) fn shutdown(call: &mut Call<'_>, [fd, how, ..]: Arguments) -> CallResult {
    let (socket, _) = socket_of(call, fd)?;
    let (receive, send) = match how {
        0 => (true, false),
        1 => (false, true),
        2 => (true, true),
        _ => return Err(Errno::EINVAL.into()),
    };
    call.kernel.fs.shut_down(socket, receive, send)?;
    Ok(0)
}

/// Ends a wait with EAGAIN where a timeout that was set on the socket has passed.
pub(super) fn with_timeout<T>(
    call: &mut Call<'_>,
    socket: Id<Socket>,
    names: &[u32; 2],
    result: Result<T, Failure>,
) -> Result<T, Failure> {
    let Err(Failure::Block(wait)) = result else { return result };
    let options = &call.kernel.fs.socket(socket).options;
    let timeout = names.iter().find_map(|name| Some(timeout_of(options.get(&(SOL_SOCKET, *name))?)));
    let Some(timeout) = timeout.filter(|timeout| *timeout > 0) else { return Err(Failure::Block(wait)) };
    let deadline = call.deadline(Some(timeout));
    if call.kernel.has_passed(deadline) {
        return Err(Errno::EAGAIN.into());
    }
    Err(Failure::Block(wait.until(deadline).never_restarts()))
}

/// Nanoseconds of a `struct timeval`, of 32- or 64-bit words.
fn timeout_of(value: &[u8]) -> u64 {
    let word = |from: usize, size: usize| {
        value.iter().skip(from).take(size).rev().fold(0u64, |word, byte| word << 8 | u64::from(*byte))
    };
    let (seconds, microseconds) =
        if value.len() >= 16 { (word(0, 8), word(8, 8)) } else { (word(0, 4), word(4, 4)) };
    seconds.saturating_mul(1_000_000_000).saturating_add(microseconds.saturating_mul(1000))
}

/// getsockopt(2).
pub(super) fn getsockopt(call: &mut Call<'_>, [fd, level, name, value, length, _]: Arguments) -> CallResult {
    let (id, _) = socket_of(call, fd)?;
    if call.kernel.fs.socket(id).family == AF_UNIX && level != SOL_SOCKET {
        return Err(Errno::EOPNOTSUPP.into());
    }
    let room = call.user().read::<u32>(length)?;
    if (room as i32) < 0 {
        return Err(Errno::EINVAL.into());
    }
    let socket = call.kernel.fs.socket_mut(id);
    let number = |number: u32| number.to_le_bytes().to_vec();
    let bytes = match (level, name) {
        (SOL_SOCKET, SO_TYPE) => number(match socket.kind {
            SocketKind::Stream => 1,
            SocketKind::Datagram => 2,
            SocketKind::Packets => 5,
        }),
        (SOL_SOCKET, SO_ERROR) => number(socket.take_error().map_or(0, |errno| errno.number().into())),
        (SOL_SOCKET, SO_ACCEPTCONN) => number(socket.is_listening().into()),
        (SOL_SOCKET, SO_DOMAIN) => number(socket.family.into()),
        (SOL_SOCKET, SO_PROTOCOL) => number(match (socket.family, socket.kind) {
            (AF_UNIX, _) => 0,
            (_, SocketKind::Datagram) => 17,
            _ => 6,
        }),
        (SOL_SOCKET, SO_PEERCRED) => {
            let peer = socket.peer;
            let record = Record::new().u32(peer.process).u32(peer.uid).u32(peer.gid);
            record.as_bytes().to_vec()
        }
        _ => match socket.options.get(&(level, name)) {
            Some(value) => value.clone(),
            None if level == SOL_SOCKET && matches!(name, SO_SNDBUF | SO_RCVBUF) => number(212_992),
            None if level == SOL_SOCKET && name == SO_LINGER => vec![0; 8],
            None if level == SOL_SOCKET && (SO_RCVTIMEO.contains(&name) || SO_SNDTIMEO.contains(&name)) => {
                vec![0; if name < 30 { 8 } else { 16 }]
            }
            None => number(0),
        },
    };
    let bytes = &bytes[..bytes.len().min(room as usize)];
    call.user().copy_out(value, bytes)?;
    call.user().write(length, bytes.len() as u32)?;
    Ok(0)
}

/// setsockopt(2): what has no meaning inside one machine is kept and given back.
pub(super) fn setsockopt(call: &mut Call<'_>, [fd, level, name, value, length, _]: Arguments) -> CallResult {
    const VALUE_MAX: u32 = 64;
    /// Options that a guest may set on one socket: far more than there are.
    const OPTIONS_MAX: usize = 128;
    let (id, _) = socket_of(call, fd)?;
    /// The highest option of any socket.
    const LAST: u32 = 83;
    if length as i32 <= -1 {
        return Err(Errno::EINVAL.into());
    }
    if level != SOL_SOCKET && call.kernel.fs.socket(id).family == AF_UNIX {
        return Err(Errno::EOPNOTSUPP.into());
    }
    let mut bytes = call.user().bytes(value, length.min(VALUE_MAX))?;
    if level == SOL_SOCKET && bytes.len() < 4 {
        return Err(Errno::EINVAL.into());
    }
    let socket = call.kernel.fs.socket_mut(id);
    if level == SOL_SOCKET && name > LAST {
        return Err(Errno::ENOPROTOOPT.into());
    }
    if level == SOL_SOCKET && matches!(name, SO_TYPE | SO_ERROR | SO_ACCEPTCONN | SO_PROTOCOL | SO_DOMAIN) {
        return Err(Errno::ENOPROTOOPT.into());
    }
    if level == SOL_SOCKET
        && matches!(name, SO_SNDBUF | SO_RCVBUF)
        && let Some(size) = bytes.first_chunk()
    {
        // The call.kernel doubles what is asked for, to have room for its own bookkeeping (socket(7)).
        let size = u32::from_le_bytes(*size).clamp(1152, 212_992) * 2;
        bytes = size.to_le_bytes().to_vec();
    }
    if socket.options.len() < OPTIONS_MAX {
        socket.options.insert((level, name), bytes);
    }
    Ok(0)
}

/// socketcall(2): the number of a call, and its arguments in memory.
pub(super) fn socketcall(call: &mut Call<'_>, [number, block, ..]: Arguments) -> CallResult {
    /// Handlers and how many arguments they have, from 1 on (net.h, SYS_SOCKET).
    #[rustfmt::skip]
    const CALLS: [(CallHandler, usize); 20] = [
        (socket, 3), (bind, 3), (connect, 3), (listen, 2), (accept, 3), (getsockname, 3), (getpeername, 3),
        (socketpair, 4), (sendto, 4), (recvfrom, 4), (sendto, 6), (recvfrom, 6), (shutdown, 2), (setsockopt, 5),
        (getsockopt, 5), (sendmsg, 3), (recvmsg, 3), (accept4, 4), (recvmmsg, 5), (sendmmsg, 4),
    ];
    let index = (number as usize).checked_sub(1).ok_or(Errno::EINVAL)?;
    let (handler, count) = CALLS.get(index).ok_or(Errno::EINVAL)?;
    let mut arguments = [0; 6];
    for (index, argument) in arguments.iter_mut().take(*count).enumerate() {
        *argument = call.user().read(block.wrapping_add(4 * index as u32))?;
    }
    handler(call, arguments)
}
