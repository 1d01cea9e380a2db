//! Sockets, by their own calls and through socketcall(2).

use pentimento_memory::Access;

use super::descriptor::add_pair;
use super::file::{accessible, gather, scatter, segments};
use super::table::Arguments;
use crate::Errno;
use crate::arena::Id;
use crate::fs::{AF_INET, AF_INET6, AF_UNIX, Address, Description, Kind, OpenFlags, Peer, Sending, Socket};
use crate::kernel::Kernel;
use crate::task::TaskId;
use crate::user_memory::Record;
use crate::wait::{Failure, Outcome};

/// Bytes that one call moves at most.
const MOVE_MAX: u32 = 1 << 20;

/// Most bytes of control messages that are looked at (`net.core.optmem_max`).
const CONTROL_MAX: u32 = 20_480;

/// Most open files that one message carries (SCM_MAX_FD).
const RIGHTS_MAX: usize = 253;

/// Most bytes of an address.
const ADDRESS_MAX: u32 = 128;

const MSG_PEEK: u32 = 0x2;
const MSG_CTRUNC: u32 = 0x8;
const MSG_TRUNC: u32 = 0x20;
const MSG_DONTWAIT: u32 = 0x40;
const MSG_WAITALL: u32 = 0x100;
const MSG_OOB: u32 = 0x1;
const MSG_NOSIGNAL: u32 = 0x4000;
const MSG_WAITFORONE: u32 = 0x1_0000;
const MSG_CMSG_CLOEXEC: u32 = 0x4000_0000;

const SOL_SOCKET: u32 = 1;
const SCM_RIGHTS: u32 = 1;
const SCM_CREDENTIALS: u32 = 2;

const SO_TYPE: u32 = 3;
const SO_ERROR: u32 = 4;
const SO_SNDBUF: u32 = 7;
const SO_RCVBUF: u32 = 8;
const SO_LINGER: u32 = 13;
const SO_PASSCRED: u32 = 16;
const SO_PEERCRED: u32 = 17;
const SO_RCVTIMEO: [u32; 2] = [20, 66];
const SO_SNDTIMEO: [u32; 2] = [21, 67];
const SO_ACCEPTCONN: u32 = 30;
const SO_PROTOCOL: u32 = 38;
const SO_DOMAIN: u32 = 39;

/// The socket behind a descriptor.
fn socket_of(kernel: &mut Kernel, task: TaskId, fd: u32) -> Result<(Id<Socket>, OpenFlags), Errno> {
    let id = kernel.open_file(task, fd)?;
    Ok((kernel.fs.socket_of(id)?, kernel.fs.description(id).flags))
}

fn is_immediate(open: OpenFlags, flags: u32) -> bool {
    open.contains(OpenFlags::O_NONBLOCK) || flags & MSG_DONTWAIT != 0
}

/// Who the task is to its peers.
fn own_peer(kernel: &mut Kernel, task: TaskId) -> Result<Peer, Errno> {
    kernel.with_files(task, |_, caller| Ok(caller.own_peer()))
}

/// `SOCK_*` with its flags.
fn kind(bits: u32) -> Result<(Kind, OpenFlags), Errno> {
    let flags = OpenFlags::from_bits_retain(bits & !0xf);
    if flags & !(OpenFlags::O_CLOEXEC | OpenFlags::O_NONBLOCK) != OpenFlags::empty() {
        return Err(Errno::EINVAL);
    }
    match bits & 0xf {
        1 => Ok((Kind::Stream, flags)),
        2 => Ok((Kind::Datagram, flags)),
        5 => Ok((Kind::Packets, flags)),
        _ => Err(Errno::ESOCKTNOSUPPORT),
    }
}

/// socket(2).
pub(super) fn socket(kernel: &mut Kernel, task: TaskId, [family, bits, protocol, ..]: Arguments) -> Outcome {
    let (kind, flags) = kind(bits)?;
    let family = u16::try_from(family).map_err(|_| Errno::EAFNOSUPPORT)?;
    let fits = match (family, kind) {
        (AF_UNIX, _) => protocol <= 1,
        (AF_INET | AF_INET6, Kind::Stream) => matches!(protocol, 0 | 6),
        (AF_INET | AF_INET6, Kind::Datagram) => matches!(protocol, 0 | 17),
        (AF_INET | AF_INET6, Kind::Packets) => return Err(Errno::ESOCKTNOSUPPORT.into()),
        _ => return Err(Errno::EAFNOSUPPORT.into()),
    };
    if !fits {
        return Err(Errno::EPROTONOSUPPORT.into());
    }
    let creator = own_peer(kernel, task)?;
    let socket = kernel.with_files(task, |files, caller| {
        Ok::<_, Errno>(files.make_socket(caller, family, kind, creator, flags))
    })?;
    Ok(kernel.add_descriptor(task, socket, 0, flags.contains(OpenFlags::O_CLOEXEC))?)
}

/// socketpair(2).
pub(super) fn socketpair(
    kernel: &mut Kernel,
    task: TaskId,
    [family, bits, protocol, pair, ..]: Arguments,
) -> Outcome {
    let (kind, flags) = kind(bits)?;
    match u16::try_from(family) {
        Ok(AF_UNIX) if protocol <= 1 => {}
        Ok(AF_UNIX) => return Err(Errno::EPROTONOSUPPORT.into()),
        Ok(AF_INET | AF_INET6) => return Err(Errno::EOPNOTSUPP.into()),
        _ => return Err(Errno::EAFNOSUPPORT.into()),
    }
    let creator = own_peer(kernel, task)?;
    let ends = kernel
        .with_files(task, |files, caller| Ok::<_, Errno>(files.socket_pair(caller, kind, creator, flags)))?;
    add_pair(kernel, task, ends, pair, flags.contains(OpenFlags::O_CLOEXEC))
}

/// An address in guest memory.
fn read_address(
    kernel: &mut Kernel,
    task: TaskId,
    socket: Id<Socket>,
    address: u32,
    length: u32,
) -> Result<Option<Address>, Errno> {
    if length > ADDRESS_MAX {
        return Err(Errno::EINVAL);
    }
    let bytes = kernel.user(task).bytes(address, length)?;
    Address::decode(&bytes, kernel.fs.socket(socket).family)
}

/// Stores an address, cut to the room there is, and its whole length.
fn write_address(
    kernel: &mut Kernel,
    task: TaskId,
    socket: Id<Socket>,
    from: &Address,
    [address, length]: [u32; 2],
) -> Result<(), Errno> {
    if address == 0 {
        return Ok(());
    }
    let room = kernel.user(task).read::<u32>(length)?;
    if room as i32 <= -1 {
        return Err(Errno::EINVAL);
    }
    let record = from.encode(kernel.fs.socket(socket).family);
    let bytes = record.as_bytes();
    kernel.user(task).copy_out(address, &bytes[..bytes.len().min(room as usize)])?;
    kernel.user(task).write(length, bytes.len() as u32)
}

/// bind(2).
pub(super) fn bind(kernel: &mut Kernel, task: TaskId, [fd, address, length, ..]: Arguments) -> Outcome {
    let (socket, _) = socket_of(kernel, task, fd)?;
    let address = read_address(kernel, task, socket, address, length)?;
    kernel.with_files(task, |files, caller| files.bind(caller, socket, address))?;
    Ok(0)
}

/// connect(2).
pub(super) fn connect(kernel: &mut Kernel, task: TaskId, [fd, address, length, ..]: Arguments) -> Outcome {
    let (socket, flags) = socket_of(kernel, task, fd)?;
    let address = read_address(kernel, task, socket, address, length)?;
    let immediate = is_immediate(flags, 0);
    kernel.with_files(task, |files, caller| files.connect(caller, socket, address, immediate))?;
    Ok(0)
}

/// listen(2).
pub(super) fn listen(kernel: &mut Kernel, task: TaskId, [fd, backlog, ..]: Arguments) -> Outcome {
    let (socket, _) = socket_of(kernel, task, fd)?;
    kernel.with_files(task, |files, caller| files.listen(caller, socket, backlog))?;
    Ok(0)
}

/// accept(2).
pub(super) fn accept(kernel: &mut Kernel, task: TaskId, [fd, address, length, ..]: Arguments) -> Outcome {
    accept4(kernel, task, [fd, address, length, 0, 0, 0])
}

/// accept4(2).
pub(super) fn accept4(
    kernel: &mut Kernel,
    task: TaskId,
    [fd, address, length, bits, ..]: Arguments,
) -> Outcome {
    let flags = OpenFlags::from_bits_retain(bits);
    if flags & !(OpenFlags::O_CLOEXEC | OpenFlags::O_NONBLOCK) != OpenFlags::empty() {
        return Err(Errno::EINVAL.into());
    }
    let (socket, open) = socket_of(kernel, task, fd)?;
    let immediate = is_immediate(open, 0);
    let result = kernel.with_files(task, |files, caller| files.accept(caller, socket, immediate, flags));
    let (description, from) = with_timeout(kernel, task, socket, &SO_RCVTIMEO, result)?;
    if let Err(errno) = write_address(kernel, task, socket, &from, [address, length]) {
        kernel.fs.close(description);
        return Err(errno.into());
    }
    Ok(kernel.add_descriptor(task, description, 0, flags.contains(OpenFlags::O_CLOEXEC))?)
}

/// getsockname(2).
pub(super) fn getsockname(
    kernel: &mut Kernel,
    task: TaskId,
    [fd, address, length, ..]: Arguments,
) -> Outcome {
    let (socket, _) = socket_of(kernel, task, fd)?;
    let local = kernel.fs.socket(socket).local.clone();
    write_address(kernel, task, socket, &local, [address, length])?;
    Ok(0)
}

/// getpeername(2).
pub(super) fn getpeername(
    kernel: &mut Kernel,
    task: TaskId,
    [fd, address, length, ..]: Arguments,
) -> Outcome {
    let (socket, _) = socket_of(kernel, task, fd)?;
    let held = kernel.fs.socket(socket);
    if !held.is_connected() && held.remote == Address::Unnamed {
        return Err(Errno::ENOTCONN.into());
    }
    let remote = held.remote.clone();
    write_address(kernel, task, socket, &remote, [address, length])?;
    Ok(0)
}

/// shutdown(2).
pub(super) fn shutdown(kernel: &mut Kernel, task: TaskId, [fd, how, ..]: Arguments) -> Outcome {
    let (socket, _) = socket_of(kernel, task, fd)?;
    let (receive, send) = match how {
        0 => (true, false),
        1 => (false, true),
        2 => (true, true),
        _ => return Err(Errno::EINVAL.into()),
    };
    kernel.fs.shut_down(socket, receive, send)?;
    Ok(0)
}

/// Ends a wait with EAGAIN where a timeout that was set on the socket has passed.
fn with_timeout<T>(
    kernel: &mut Kernel,
    task: TaskId,
    socket: Id<Socket>,
    names: &[u32; 2],
    result: Result<T, Failure>,
) -> Result<T, Failure> {
    let Err(Failure::Block(wait)) = result else { return result };
    let options = &kernel.fs.socket(socket).options;
    let timeout = names.iter().find_map(|name| Some(timeout_of(options.get(&(SOL_SOCKET, *name))?)));
    let Some(timeout) = timeout.filter(|timeout| *timeout > 0) else { return Err(Failure::Block(wait)) };
    let deadline = kernel.deadline(task, Some(timeout));
    if kernel.has_passed(deadline) {
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
pub(super) fn getsockopt(
    kernel: &mut Kernel,
    task: TaskId,
    [fd, level, name, value, length, _]: Arguments,
) -> Outcome {
    let (id, _) = socket_of(kernel, task, fd)?;
    let room = kernel.user(task).read::<u32>(length)?;
    if (room as i32) < 0 {
        return Err(Errno::EINVAL.into());
    }
    let socket = kernel.fs.socket_mut(id);
    let number = |number: u32| number.to_le_bytes().to_vec();
    let bytes = match (level, name) {
        (SOL_SOCKET, SO_TYPE) => number(match socket.kind {
            Kind::Stream => 1,
            Kind::Datagram => 2,
            Kind::Packets => 5,
        }),
        (SOL_SOCKET, SO_ERROR) => number(socket.take_error().map_or(0, |errno| errno.number().into())),
        (SOL_SOCKET, SO_ACCEPTCONN) => number(socket.is_listening().into()),
        (SOL_SOCKET, SO_DOMAIN) => number(socket.family.into()),
        (SOL_SOCKET, SO_PROTOCOL) => number(match (socket.family, socket.kind) {
            (AF_UNIX, _) => 0,
            (_, Kind::Datagram) => 17,
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
            None if socket.family == AF_UNIX && level != SOL_SOCKET => return Err(Errno::EOPNOTSUPP.into()),
            None => number(0),
        },
    };
    let bytes = &bytes[..bytes.len().min(room as usize)];
    kernel.user(task).copy_out(value, bytes)?;
    kernel.user(task).write(length, bytes.len() as u32)?;
    Ok(0)
}

/// setsockopt(2): what has no meaning inside one machine is kept and given back.
pub(super) fn setsockopt(
    kernel: &mut Kernel,
    task: TaskId,
    [fd, level, name, value, length, _]: Arguments,
) -> Outcome {
    const VALUE_MAX: u32 = 64;
    /// Options that a guest may set on one socket: far more than there are.
    const OPTIONS_MAX: usize = 128;
    let (id, _) = socket_of(kernel, task, fd)?;
    if length as i32 <= -1 {
        return Err(Errno::EINVAL.into());
    }
    let mut bytes = kernel.user(task).bytes(value, length.min(VALUE_MAX))?;
    let socket = kernel.fs.socket_mut(id);
    if level == SOL_SOCKET && matches!(name, SO_TYPE | SO_ERROR | SO_ACCEPTCONN | SO_PROTOCOL | SO_DOMAIN) {
        return Err(Errno::ENOPROTOOPT.into());
    }
    if level != SOL_SOCKET && socket.family == AF_UNIX {
        return Err(Errno::EOPNOTSUPP.into());
    }
    if level == SOL_SOCKET
        && matches!(name, SO_SNDBUF | SO_RCVBUF)
        && let Some(size) = bytes.first_chunk()
    {
        // The kernel doubles what is asked for, to have room for its own bookkeeping (socket(7)).
        let size = u32::from_le_bytes(*size).clamp(1152, 212_992) * 2;
        bytes = size.to_le_bytes().to_vec();
    }
    if socket.options.len() < OPTIONS_MAX {
        socket.options.insert((level, name), bytes);
    }
    Ok(0)
}

/// Sends, however often a stream has to wait for it.
fn send(
    kernel: &mut Kernel,
    task: TaskId,
    fd: u32,
    wanted: &[(u32, u32)],
    flags: u32,
    mut sending: Sending,
) -> Outcome {
    let (socket, open) = socket_of(kernel, task, fd)?;
    if flags & MSG_OOB != 0 {
        return Err(Errno::EOPNOTSUPP.into());
    }
    sending.immediate = is_immediate(open, flags);
    sending.sender = own_peer(kernel, task)?;
    let stream = kernel.fs.socket(socket).kind == Kind::Stream;
    let segments = accessible(kernel, task, wanted, Access::Read)?;
    let total: u32 = segments.iter().map(|(_, length)| length).sum();
    if !stream && total > MOVE_MAX {
        return Err(Errno::EMSGSIZE.into());
    }
    let mut done = kernel.pending(task)?.progress;
    loop {
        let bytes = gather(kernel, task, &segments, done, (total - done).min(MOVE_MAX))?;
        for right in &sending.rights {
            kernel.fs.hold(*right);
        }
        let result = kernel.with_files(task, |files, caller| files.send(caller, socket, &bytes, &sending));
        if result.is_err() {
            for right in &sending.rights {
                kernel.fs.close(*right);
            }
        }
        match with_timeout(kernel, task, socket, &SO_SNDTIMEO, result) {
            Ok(sent) => {
                done += sent as u32;
                // Rights go with the first byte.
                sending.rights.clear();
                if done >= total || !stream {
                    return Ok(done);
                }
            }
            Err(Failure::Block(wait)) => {
                if kernel.pending(task)?.interrupted && done > 0 {
                    return Ok(done);
                }
                kernel.pending(task)?.progress = done;
                return Err(Failure::Block(wait));
            }
            Err(_) if done > 0 => return Ok(done),
            Err(failure) => {
                let broken = failure == Failure::Errno(Errno::EPIPE);
                if broken && stream && flags & MSG_NOSIGNAL == 0 {
                    kernel.broken_pipe(task);
                }
                return Err(failure);
            }
        }
    }
}

/// sendto(2).
pub(super) fn sendto(kernel: &mut Kernel, task: TaskId, arguments: Arguments) -> Outcome {
    let [fd, buffer, length, flags, address, address_length] = arguments;
    let (socket, _) = socket_of(kernel, task, fd)?;
    let to = match address {
        0 => None,
        address => read_address(kernel, task, socket, address, address_length)?,
    };
    let to = to.map(Address::canonical);
    send(kernel, task, fd, &[(buffer, length)], flags, Sending { to, ..Sending::default() })
}

/// `struct msghdr`.
struct Header {
    name: u32,
    name_length: u32,
    segments: Vec<(u32, u32)>,
    control: u32,
    control_length: u32,
}

fn read_header(kernel: &mut Kernel, task: TaskId, address: u32) -> Result<Header, Errno> {
    let [name, name_length, vector, count, control, control_length, _] = kernel.user(task).words(address)?;
    let segments = segments(kernel, task, vector, count)
        .map_err(|errno| if errno == Errno::EINVAL { Errno::EMSGSIZE } else { errno })?;
    Ok(Header { name, name_length, segments, control, control_length })
}

/// The open files that control messages hand over.
fn read_rights(
    kernel: &mut Kernel,
    task: TaskId,
    control: u32,
    length: u32,
) -> Result<Vec<Id<Description>>, Errno> {
    if control == 0 || length == 0 {
        return Ok(Vec::new());
    }
    if length > CONTROL_MAX {
        return Err(Errno::ENOBUFS);
    }
    let bytes = kernel.user(task).bytes(control, length)?;
    let word = |at: usize| {
        bytes.get(at..at + 4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
    };
    let (mut rights, mut at) = (Vec::new(), 0);
    while let (Some(size), Some(level), Some(kind)) = (word(at), word(at + 4), word(at + 8)) {
        let size = size as usize;
        if size < 12 || size > bytes.len() - at {
            return Err(Errno::EINVAL);
        }
        match (level, kind) {
            (SOL_SOCKET, SCM_RIGHTS) => {
                for place in (at + 12..at + size - 3).step_by(4) {
                    rights.push(kernel.open_file(task, word(place).ok_or(Errno::EINVAL)?)?);
                }
            }
            (SOL_SOCKET, SCM_CREDENTIALS) => {}
            (SOL_SOCKET, _) => return Err(Errno::EINVAL),
            _ => {}
        }
        at += size.next_multiple_of(4);
    }
    if rights.len() > RIGHTS_MAX { Err(Errno::EINVAL) } else { Ok(rights) }
}

/// sendmsg(2).
pub(super) fn sendmsg(kernel: &mut Kernel, task: TaskId, [fd, header, flags, ..]: Arguments) -> Outcome {
    let (socket, _) = socket_of(kernel, task, fd)?;
    let header = read_header(kernel, task, header)?;
    let to = match header.name {
        0 => None,
        name => read_address(kernel, task, socket, name, header.name_length)?,
    };
    let rights = read_rights(kernel, task, header.control, header.control_length)?;
    let to = to.map(Address::canonical);
    send(kernel, task, fd, &header.segments, flags, Sending { to, rights, ..Sending::default() })
}

/// Receives into guest memory: the bytes moved, and what came with them.
fn receive(
    kernel: &mut Kernel,
    task: TaskId,
    fd: u32,
    wanted: &[(u32, u32)],
    flags: u32,
) -> Result<(u32, crate::fs::Received), Failure> {
    let (socket, open) = socket_of(kernel, task, fd)?;
    if flags & MSG_OOB != 0 {
        return Err(Errno::EINVAL.into());
    }
    let segments = accessible(kernel, task, wanted, Access::Write)?;
    let total: u32 = segments.iter().map(|(_, length)| length).sum();
    let (immediate, peek) = (is_immediate(open, flags), flags & MSG_PEEK != 0);
    let all = flags & MSG_WAITALL != 0 && !peek && kernel.fs.socket(socket).kind == Kind::Stream;
    let mut done = kernel.pending(task)?.progress;
    loop {
        let mut buffer = vec![0; (total - done).min(MOVE_MAX) as usize];
        let result = kernel.fs.receive(socket, &mut buffer, peek, immediate);
        let received = match with_timeout(kernel, task, socket, &SO_RCVTIMEO, result) {
            Ok(received) => received,
            Err(Failure::Block(wait)) => {
                if kernel.pending(task)?.interrupted && done > 0 {
                    return Ok((done, crate::fs::Received::default()));
                }
                kernel.pending(task)?.progress = done;
                return Err(Failure::Block(wait));
            }
            Err(_) if done > 0 => return Ok((done, crate::fs::Received::default())),
            Err(failure) => return Err(failure),
        };
        scatter(kernel, task, &segments, done, &buffer[..received.length])?;
        done += received.length as u32;
        if !all || received.length == 0 || done == total || !received.rights.is_empty() {
            return Ok((done, received));
        }
    }
}

/// recvfrom(2).
pub(super) fn recvfrom(kernel: &mut Kernel, task: TaskId, arguments: Arguments) -> Outcome {
    let [fd, buffer, length, flags, address, address_length] = arguments;
    let (done, received) = receive(kernel, task, fd, &[(buffer, length)], flags)?;
    for right in received.rights {
        kernel.fs.close(right);
    }
    let (socket, _) = socket_of(kernel, task, fd)?;
    if kernel.fs.socket(socket).kind == Kind::Datagram {
        write_address(kernel, task, socket, &received.from, [address, address_length])?;
    } else if address != 0 {
        kernel.user(task).write(address_length, 0u32)?;
    }
    let datagram = kernel.fs.socket(socket).kind != Kind::Stream;
    Ok(if flags & MSG_TRUNC != 0 && datagram { received.full_length as u32 } else { done })
}

/// Hands the open files of a message over as descriptors, as far as there is room for their numbers.
fn write_control(
    kernel: &mut Kernel,
    task: TaskId,
    socket: Id<Socket>,
    received: crate::fs::Received,
    room: u32,
    close_on_exec: bool,
) -> (Record, bool) {
    let (mut record, mut cut) = (Record::new(), false);
    let passes = kernel.fs.socket(socket).options.get(&(SOL_SOCKET, SO_PASSCRED));
    if passes.is_some_and(|value| value.first().is_some_and(|byte| *byte != 0)) {
        let Peer { process, uid, gid } = received.sender;
        if room >= 24 {
            record = record.u32(24).u32(SOL_SOCKET).u32(SCM_CREDENTIALS).u32(process).u32(uid).u32(gid);
        } else {
            cut = true;
        }
    }
    let left = room as usize - record.as_bytes().len();
    let mut numbers = Vec::new();
    for right in received.rights {
        if 12 + 4 * (numbers.len() + 1) > left {
            kernel.fs.close(right);
            cut = true;
            continue;
        }
        match kernel.add_descriptor(task, right, 0, close_on_exec) {
            Ok(fd) => numbers.push(fd),
            Err(_) => cut = true,
        }
    }
    if !numbers.is_empty() {
        record = record.u32(12 + 4 * numbers.len() as u32).u32(SOL_SOCKET).u32(SCM_RIGHTS);
        record = numbers.into_iter().fold(record, Record::u32);
    }
    (record, cut)
}

/// recvmsg(2).
pub(super) fn recvmsg(kernel: &mut Kernel, task: TaskId, [fd, address, flags, ..]: Arguments) -> Outcome {
    let header = read_header(kernel, task, address)?;
    let (done, received) = receive(kernel, task, fd, &header.segments, flags)?;
    let (socket, _) = socket_of(kernel, task, fd)?;
    let mut told = 0;
    if received.full_length > received.length {
        told |= MSG_TRUNC;
    }
    let full_length = received.full_length as u32;
    if header.name != 0 {
        if kernel.fs.socket(socket).kind == Kind::Datagram {
            let place = [header.name, address.wrapping_add(4)];
            write_address(kernel, task, socket, &received.from, place)?;
        } else {
            kernel.user(task).write(address.wrapping_add(4), 0u32)?;
        }
    }
    let room = if header.control == 0 { 0 } else { header.control_length.min(CONTROL_MAX) };
    let close_on_exec = flags & MSG_CMSG_CLOEXEC != 0;
    let (control, cut) = write_control(kernel, task, socket, received, room, close_on_exec);
    told |= if cut { MSG_CTRUNC } else { 0 };
    kernel.user(task).copy_out(header.control, control.as_bytes())?;
    let tail = Record::new().u32(control.as_bytes().len() as u32).u32(told);
    kernel.user(task).copy_out(address.wrapping_add(20), tail.as_bytes())?;
    let datagram = kernel.fs.socket(socket).kind != Kind::Stream;
    Ok(if flags & MSG_TRUNC != 0 && datagram { full_length } else { done })
}

/// Runs `one` on each `struct mmsghdr` until one would wait or fails.
fn many(
    kernel: &mut Kernel,
    task: TaskId,
    [fd, vector, count, flags, ..]: Arguments,
    one: fn(&mut Kernel, TaskId, Arguments) -> Outcome,
) -> Outcome {
    let mut done = 0;
    for index in 0..count.min(1024) {
        let header = vector.wrapping_add(32 * index);
        let later = if done > 0 && flags & MSG_WAITFORONE != 0 { MSG_DONTWAIT } else { 0 };
        match one(kernel, task, [fd, header, flags & !MSG_WAITFORONE | later, 0, 0, 0]) {
            Ok(length) => kernel.user(task).write(header.wrapping_add(28), length)?,
            Err(_) if done > 0 => break,
            Err(failure) => return Err(failure),
        }
        kernel.pending(task)?.progress = 0;
        done += 1;
    }
    Ok(done)
}

/// sendmmsg(2).
pub(super) fn sendmmsg(kernel: &mut Kernel, task: TaskId, arguments: Arguments) -> Outcome {
    many(kernel, task, arguments, sendmsg)
}

/// recvmmsg(2); its timeout, which Linux looks at only between messages, is not needed.
pub(super) fn recvmmsg(kernel: &mut Kernel, task: TaskId, arguments: Arguments) -> Outcome {
    many(kernel, task, arguments, recvmsg)
}

/// socketcall(2): the number of a call, and its arguments in memory.
pub(super) fn socketcall(kernel: &mut Kernel, task: TaskId, [call, block, ..]: Arguments) -> Outcome {
    type Call = fn(&mut Kernel, TaskId, Arguments) -> Outcome;
    /// Handlers and how many arguments they have, from 1 on (net.h, SYS_SOCKET).
    #[rustfmt::skip]
    const CALLS: [(Call, usize); 20] = [
        (socket, 3), (bind, 3), (connect, 3), (listen, 2), (accept, 3), (getsockname, 3), (getpeername, 3),
        (socketpair, 4), (sendto, 4), (recvfrom, 4), (sendto, 6), (recvfrom, 6), (shutdown, 2), (setsockopt, 5),
        (getsockopt, 5), (sendmsg, 3), (recvmsg, 3), (accept4, 4), (recvmmsg, 5), (sendmmsg, 4),
    ];
    let index = (call as usize).checked_sub(1).ok_or(Errno::EINVAL)?;
    let (handler, count) = CALLS.get(index).ok_or(Errno::EINVAL)?;
    let mut arguments = [0; 6];
    for (index, argument) in arguments.iter_mut().take(*count).enumerate() {
        *argument = kernel.user(task).read(block.wrapping_add(4 * index as u32))?;
    }
    handler(kernel, task, arguments)
}
