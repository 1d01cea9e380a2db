//! Sending and receiving on sockets.

use pentimento_memory::Access;

use super::socket::{
    SO_RCVTIMEO, SO_SNDTIMEO, SOL_SOCKET, is_immediate, own_peer, read_address, socket_of, with_timeout,
    write_address,
};
use super::transfer::{accessible, gather, scatter, segments, total};
use crate::arena::Id;
use crate::errno::Errno;
use crate::kernel::{Arguments, Call};
use crate::objects::{Description, Peer, Received, Sending, Socket, SocketAddress, SocketKind};
use crate::record::Record;
use crate::wait::{CallResult, Failure};

/// Bytes that one call moves at most.
const MOVE_MAX: u32 = 1 << 20;

/// Most bytes of control messages that are looked at (`net.core.optmem_max`).
const CONTROL_MAX: u32 = 20_480;

/// Most open files that one message carries (SCM_MAX_FD).
const RIGHTS_MAX: usize = 253;

const MSG_PEEK: u32 = 0x2;
const MSG_CTRUNC: u32 = 0x8;
const MSG_TRUNC: u32 = 0x20;
pub(super) const MSG_DONTWAIT: u32 = 0x40;
const MSG_WAITALL: u32 = 0x100;
const MSG_OOB: u32 = 0x1;
const MSG_NOSIGNAL: u32 = 0x4000;
const MSG_WAITFORONE: u32 = 0x1_0000;
const MSG_CMSG_CLOEXEC: u32 = 0x4000_0000;

const SCM_RIGHTS: u32 = 1;
const SCM_CREDENTIALS: u32 = 2;
const SO_PASSCRED: u32 = 16;

/// Sends, however often a stream has to wait for it.
fn send(call: &mut Call<'_>, fd: u32, wanted: &[(u32, u32)], flags: u32, mut sending: Sending) -> CallResult {
    let (socket, open) = socket_of(call, fd)?;
    if flags & MSG_OOB != 0 {
        return Err(Errno::EOPNOTSUPP.into());
    }
    sending.immediate = is_immediate(open, flags);
    sending.sender = own_peer(call)?;
    let stream = call.kernel.fs.socket(socket).kind == SocketKind::Stream;
    let total = total(wanted);
    if !stream && total > MOVE_MAX {
        return Err(Errno::EMSGSIZE.into());
    }
    let mut done = call.pending()?.progress;
    if done > 0 {
        sending.rights.clear();
    }
    loop {
        let part = MOVE_MAX.min(total - done);
        call.spend_bytes(part, done)?;
        let segments = accessible(call, wanted, (done, part), Access::Read)?;
        let bytes = gather(call, &segments)?;
        if bytes.is_empty() && done > 0 {
            return Ok(done);
        }
        for right in &sending.rights {
            call.kernel.fs.hold(*right);
        }
        let result = call.with_files(|files, caller| files.send(caller, socket, &bytes, &sending));
        if result.is_err() {
            for right in &sending.rights {
                call.kernel.fs.close(*right);
            }
        }
        match with_timeout(call, socket, &SO_SNDTIMEO, result) {
            Ok(sent) => {
                done += sent as u32;
                // Rights go with the first byte.
                sending.rights.clear();
                if done >= total || !stream {
                    return Ok(done);
                }
            }
            Err(Failure::Block(wait)) => return call.stop_at(done, wait),
            Err(_) if done > 0 => return Ok(done),
            Err(failure) => {
                let broken = failure == Failure::Errno(Errno::EPIPE);
                if broken && stream && flags & MSG_NOSIGNAL == 0 {
                    call.broken_pipe();
                }
                return Err(failure);
            }
        }
    }
}

/// sendto(2).
pub(super) fn sendto(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    let [fd, buffer, length, flags, address, address_length] = arguments;
    let (socket, _) = socket_of(call, fd)?;
    let to = match address {
        0 => None,
        address => read_address(call, socket, address, address_length)?,
    };
    let to = to.map(SocketAddress::canonical);
    send(call, fd, &[(buffer, length)], flags, Sending { to, ..Sending::default() })
}

/// `struct msghdr`.
struct Header {
    name: u32,
    name_length: u32,
    segments: Vec<(u32, u32)>,
    control: u32,
    control_length: u32,
}

fn read_header(call: &mut Call<'_>, address: u32) -> Result<Header, Errno> {
    let [name, name_length, vector, count, control, control_length, _] = call.user().words(address)?;
    let segments = segments(call, vector, count)
        .map_err(|errno| if errno == Errno::EINVAL { Errno::EMSGSIZE } else { errno })?;
    Ok(Header { name, name_length, segments, control, control_length })
}

/// The open files that control messages hand over.
fn read_rights(call: &mut Call<'_>, control: u32, length: u32) -> Result<Vec<Id<Description>>, Errno> {
    if control == 0 || length == 0 {
        return Ok(Vec::new());
    }
    if length > CONTROL_MAX {
        return Err(Errno::ENOBUFS);
    }
    let bytes = call.user().bytes(control, length)?;
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
                    rights.push(call.open_file(word(place).ok_or(Errno::EINVAL)?)?);
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
pub(super) fn sendmsg(call: &mut Call<'_>, [fd, header, flags, ..]: Arguments) -> CallResult {
    let (socket, _) = socket_of(call, fd)?;
    let header = read_header(call, header)?;
    let to = match header.name {
        0 => None,
        name => read_address(call, socket, name, header.name_length)?,
    };
    let rights = read_rights(call, header.control, header.control_length)?;
    let to = to.map(SocketAddress::canonical);
    send(call, fd, &header.segments, flags, Sending { to, rights, ..Sending::default() })
}

/// Receives into guest memory: the bytes moved, and what came with them.
fn receive(
    call: &mut Call<'_>,
    fd: u32,
    wanted: &[(u32, u32)],
    flags: u32,
) -> Result<(u32, Received), Failure> {
    let (socket, open) = socket_of(call, fd)?;
    if flags & MSG_OOB != 0 {
        return Err(Errno::EINVAL.into());
    }
    let total = total(wanted);
    let (immediate, peek) = (is_immediate(open, flags), flags & MSG_PEEK != 0);
    let all = flags & MSG_WAITALL != 0 && !peek && call.kernel.fs.socket(socket).kind == SocketKind::Stream;
    let mut done = call.pending()?.progress;
    loop {
        let part = MOVE_MAX.min(total - done);
        call.spend_bytes(part, done)?;
        let segments = accessible(call, wanted, (done, part), Access::Write)?;
        let room: u32 = segments.iter().map(|(_, length)| length).sum();
        if room == 0 && done > 0 {
            return Ok((done, Received::default()));
        }
        let mut buffer = vec![0; room as usize];
        let result = call.kernel.fs.receive(socket, &mut buffer, peek, immediate);
        let received = match with_timeout(call, socket, &SO_RCVTIMEO, result) {
            Ok(received) => received,
            Err(Failure::Block(wait)) => return Ok((call.stop_at(done, wait)?, Received::default())),
            Err(_) if done > 0 => return Ok((done, Received::default())),
            Err(failure) => return Err(failure),
        };
        scatter(call, &segments, 0, &buffer[..received.length])?;
        done += received.length as u32;
        if !all || received.length == 0 || done == total || !received.rights.is_empty() {
            return Ok((done, received));
        }
    }
}

/// recvfrom(2).
pub(super) fn recvfrom(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    let [fd, buffer, length, flags, address, address_length] = arguments;
    let (done, received) = receive(call, fd, &[(buffer, length)], flags)?;
    for right in received.rights {
        call.kernel.fs.close(right);
    }
    let (socket, _) = socket_of(call, fd)?;
    if call.kernel.fs.socket(socket).kind == SocketKind::Datagram {
        write_address(call, socket, &received.from, [address, address_length])?;
    } else if address != 0 {
        call.user().write(address_length, 0u32)?;
    }
    let datagram = call.kernel.fs.socket(socket).kind != SocketKind::Stream;
    Ok(if flags & MSG_TRUNC != 0 && datagram { received.full_length as u32 } else { done })
}

/// Hands the open files of a message over as descriptors, as far as there is room for their numbers.
fn write_control(
    call: &mut Call<'_>,
    socket: Id<Socket>,
    received: Received,
    room: u32,
    close_on_exec: bool,
) -> (Record, bool) {
    let (mut record, mut cut) = (Record::new(), false);
    let passes = call.kernel.fs.socket(socket).options.get(&(SOL_SOCKET, SO_PASSCRED));
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
            call.kernel.fs.close(right);
            cut = true;
            continue;
        }
        match call.add_descriptor(right, 0, close_on_exec) {
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
pub(super) fn recvmsg(call: &mut Call<'_>, [fd, address, flags, ..]: Arguments) -> CallResult {
    let header = read_header(call, address)?;
    let (done, received) = receive(call, fd, &header.segments, flags)?;
    let (socket, _) = socket_of(call, fd)?;
    let mut told = 0;
    if received.full_length > received.length {
        told |= MSG_TRUNC;
    }
    let full_length = received.full_length as u32;
    if header.name != 0 {
        if call.kernel.fs.socket(socket).kind == SocketKind::Datagram {
            let place = [header.name, address.wrapping_add(4)];
            write_address(call, socket, &received.from, place)?;
        } else {
            call.user().write(address.wrapping_add(4), 0u32)?;
        }
    }
    let room = if header.control == 0 { 0 } else { header.control_length.min(CONTROL_MAX) };
    let close_on_exec = flags & MSG_CMSG_CLOEXEC != 0;
    let (control, cut) = write_control(call, socket, received, room, close_on_exec);
    told |= if cut { MSG_CTRUNC } else { 0 };
    call.user().copy_out(header.control, control.as_bytes())?;
    let tail = Record::new().u32(control.as_bytes().len() as u32).u32(told);
    call.user().copy_out(address.wrapping_add(20), tail.as_bytes())?;
    let datagram = call.kernel.fs.socket(socket).kind != SocketKind::Stream;
    Ok(if flags & MSG_TRUNC != 0 && datagram { full_length } else { done })
}

/// Runs `one` on each `struct mmsghdr` until one would wait or fails.
fn many(
    call: &mut Call<'_>,
    [fd, vector, count, flags, ..]: Arguments,
    one: fn(&mut Call<'_>, Arguments) -> CallResult,
) -> CallResult {
    let before = core::mem::take(&mut call.pending()?.messages);
    let mut done = before;
    for index in before..count.min(1024) {
        let header = vector.wrapping_add(32 * index);
        let later = if done > 0 && flags & MSG_WAITFORONE != 0 { MSG_DONTWAIT } else { 0 };
        match one(call, [fd, header, flags & !MSG_WAITFORONE | later, 0, 0, 0]) {
            Ok(length) => call.user().write(header.wrapping_add(28), length)?,
            Err(Failure::Pause) => {
                call.pending()?.messages = done;
                return Err(Failure::Pause);
            }
            Err(_) if done > 0 => break,
            Err(failure) => return Err(failure),
        }
        call.pending()?.progress = 0;
        done += 1;
    }
    Ok(done)
}

/// sendmmsg(2).
pub(super) fn sendmmsg(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    many(call, arguments, sendmsg)
}

/// recvmmsg(2); its timeout, which Linux looks at only between messages, is not needed.
pub(super) fn recvmmsg(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    many(call, arguments, recvmsg)
}
