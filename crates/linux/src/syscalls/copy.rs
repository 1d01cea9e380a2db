//! Moving bytes between descriptors without passing through the program: sendfile, splice, tee,
//! copy_file_range.

use crate::arena::Id;
use crate::errno::Errno;
use crate::kernel::{Arguments, Call};
use crate::objects::{Description, OpenFlags};
use crate::wait::{CallResult, Failure};

/// Bytes that one call moves at most: a program that wants more calls again.
const MOVE_MAX: u32 = 1 << 20;

/// `SPLICE_F_NONBLOCK`.
const SPLICE_NONBLOCK: u32 = 2;

/// One end of a transfer: an open file, and an offset where its own does not count.
#[derive(Clone, Copy)]
struct End {
    id: Id<Description>,
    position: Option<u64>,
}

/// Moves up to `length` bytes. What cannot be written must not have been read, so from files and
/// pipes only as much is taken as has gone.
fn move_bytes(call: &mut Call<'_>, from: End, to: End, length: u32) -> CallResult {
    call.spend_bytes(length.min(MOVE_MAX), 0)?;
    let mut buffer = vec![0; length.min(MOVE_MAX) as usize];
    let from_pipe = call.kernel.fs.is_pipe(from.id);
    let from_content = call.kernel.fs.description(from.id).object.check_content().is_ok();
    let read = if from_pipe {
        call.kernel.fs.peek_pipe(from.id, &mut buffer)?
    } else {
        let start = from.position.unwrap_or(call.kernel.fs.description(from.id).offset);
        let position = from_content.then_some(start);
        call.with_files(|files, caller| files.read(caller, from.id, position, &mut buffer))?
    };
    if read == 0 {
        return Ok(0);
    }
    let written = call.with_files(|files, caller| files.write(caller, to.id, to.position, &buffer[..read]));
    if written == Err(Failure::Errno(Errno::EPIPE)) {
        call.broken_pipe();
    }
    let written = written?;
    if from_pipe {
        let taken = &mut buffer[..written];
        call.with_files(|files, caller| files.read(caller, from.id, None, taken))?;
    } else if from.position.is_none() && from_content {
        let offset = call.kernel.fs.description(from.id).offset + written as u64;
        call.kernel.fs.set_offset(from.id, offset);
    }
    Ok(written as u32)
}

/// An offset in guest memory, if there is one.
fn position(call: &mut Call<'_>, address: u32) -> Result<Option<u64>, Errno> {
    if address == 0 {
        return Ok(None);
    }
    let offset = call.user().read::<u64>(address)?;
    if offset > i64::MAX as u64 { Err(Errno::EINVAL) } else { Ok(Some(offset)) }
}

/// Stores an offset after a transfer.
fn advance(call: &mut Call<'_>, address: u32, position: Option<u64>, moved: u32) -> Result<(), Errno> {
    match position {
        Some(position) => call.user().write(address, position + u64::from(moved)),
        None => Ok(()),
    }
}

fn send(call: &mut Call<'_>, [to, from, _, length, ..]: Arguments, position: Option<i64>) -> CallResult {
    let from = call.open_file(from)?;
    let source = call.kernel.fs.description(from);
    if !source.flags.reads() {
        return Err(Errno::EBADF.into());
    }
    if position.is_some() {
        source.object.check_positions()?;
    }
    let position = position.map(|position| u64::try_from(position).map_err(|_| Errno::EINVAL)).transpose()?;
    let to = call.open_file(to)?;
    if !call.kernel.fs.description(to).flags.writes() {
        return Err(Errno::EBADF.into());
    }
    if !call.kernel.fs.description(from).object.reads_whole() {
        return Err(Errno::EINVAL.into());
    }
    if call.kernel.fs.description(to).flags.contains(OpenFlags::O_APPEND) {
        return Err(Errno::EINVAL.into());
    }
    move_bytes(call, End { id: from, position }, End { id: to, position: None }, length)
}

/// sendfile(2) with a 32-bit offset.
pub(super) fn sendfile(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    let address = arguments[2];
    if address == 0 {
        return send(call, arguments, None);
    }
    let offset = call.user().read::<u32>(address)?;
    let moved = send(call, arguments, Some(i64::from(offset as i32)));
    // The offset goes back whatever came of it.
    let more = *moved.as_ref().unwrap_or(&0);
    call.user().write(address, offset.wrapping_add(more))?;
    moved
}

/// sendfile64(2).
pub(super) fn sendfile64(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    let address = arguments[2];
    if address == 0 {
        return send(call, arguments, None);
    }
    let offset = call.user().read::<u64>(address)?;
    let moved = send(call, arguments, Some(offset as i64));
    let more = u64::from(*moved.as_ref().unwrap_or(&0));
    call.user().write(address, offset.wrapping_add(more))?;
    moved
}

/// Both ends of splice(2) and copy_file_range(2), with their offsets from memory.
fn ends(call: &mut Call<'_>, arguments: Arguments) -> Result<(End, End), Errno> {
    let [from, from_at, to, to_at, ..] = arguments;
    let (from, to) = (call.open_file(from)?, call.open_file(to)?);
    let from = End { id: from, position: position(call, from_at)? };
    let to = End { id: to, position: position(call, to_at)? };
    if !call.kernel.fs.description(from.id).flags.reads() || !call.kernel.fs.description(to.id).flags.writes()
    {
        return Err(Errno::EBADF);
    }
    Ok((from, to))
}

/// Fails for flags of splice(2), tee(2) and vmsplice(2) that there are not.
fn check_flags(flags: u32) -> Result<(), Errno> {
    const KNOWN: u32 = 0xf;
    if flags & !KNOWN == 0 { Ok(()) } else { Err(Errno::EINVAL) }
}

/// splice(2).
pub(super) fn splice(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    let [_, from_at, _, to_at, length, flags] = arguments;
    if length == 0 {
        return Ok(0);
    }
    check_flags(flags)?;
    for (fd, at) in [(arguments[0], from_at), (arguments[2], to_at)] {
        let id = call.open_file(fd)?;
        if at != 0 && call.kernel.fs.is_pipe(id) {
            return Err(Errno::ESPIPE.into());
        }
    }
    let (from, to) = ends(call, arguments)?;
    let is_pipe = |end: &End| call.kernel.fs.is_pipe(end.id);
    if !is_pipe(&from) && !is_pipe(&to) {
        return Err(Errno::EINVAL.into());
    }
    let moved = match move_bytes(call, from, to, length) {
        Err(Failure::Block(_)) if flags & SPLICE_NONBLOCK != 0 => return Err(Errno::EAGAIN.into()),
        other => other?,
    };
    advance(call, from_at, from.position, moved)?;
    advance(call, to_at, to.position, moved)?;
    Ok(moved)
}

/// vmsplice(2): between memory and a pipe, by copying.
pub(super) fn vmsplice(call: &mut Call<'_>, [fd, vector, count, flags, ..]: Arguments) -> CallResult {
    check_flags(flags)?;
    let id = call.open_file(fd)?;
    let writes = call.kernel.fs.description(id).flags.writes();
    let segments = super::transfer::segments(call, vector, count)?;
    if super::transfer::total(&segments) == 0 {
        return Ok(0);
    }
    if !call.kernel.fs.is_pipe(id) {
        return Err(Errno::EBADF.into());
    }
    let arguments = [fd, vector, count, 0, 0, 0];
    let result =
        if writes { super::file::writev(call, arguments) } else { super::file::readv(call, arguments) };
    match result {
        Err(Failure::Block(_)) if flags & SPLICE_NONBLOCK != 0 => match call.pending()?.progress {
            0 => Err(Errno::EAGAIN.into()),
            moved => Ok(moved),
        },
        other => other,
    }
}

/// tee(2): copies from pipe to pipe and leaves the bytes in the first.
pub(super) fn tee(call: &mut Call<'_>, [from, to, length, flags, ..]: Arguments) -> CallResult {
    check_flags(flags)?;
    if length == 0 {
        return Ok(0);
    }
    let (from, to) = (call.open_file(from)?, call.open_file(to)?);
    call.spend_bytes(length.min(MOVE_MAX), 0)?;
    let mut buffer = vec![0; length.min(MOVE_MAX) as usize];
    let result = call.kernel.fs.peek_pipe(from, &mut buffer).and_then(|read| {
        if read == 0 || !call.kernel.fs.is_pipe(to) {
            return if read == 0 { Ok(0) } else { Err(Errno::EINVAL.into()) };
        }
        call.with_files(|files, caller| files.write(caller, to, None, &buffer[..read]))
    });
    match result {
        Err(Failure::Block(_)) if flags & SPLICE_NONBLOCK != 0 => Err(Errno::EAGAIN.into()),
        other => Ok(other? as u32),
    }
}

/// copy_file_range(2).
pub(super) fn copy_file_range(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    let [_, from_at, _, to_at, length, flags] = arguments;
    for (fd, at) in [(arguments[0], from_at), (arguments[2], to_at)] {
        call.open_file(fd)?;
        call.open_file(arguments[2])?;
        position(call, at)?;
    }
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (from, to) = ends(call, arguments)?;
    for end in [from, to] {
        call.kernel.fs.description(end.id).object.check_content()?;
    }
    if call.kernel.fs.description(to.id).flags.contains(OpenFlags::O_APPEND) {
        return Err(Errno::EBADF.into());
    }
    let moved = move_bytes(call, from, to, length)?;
    advance(call, from_at, from.position, moved)?;
    advance(call, to_at, to.position, moved)?;
    Ok(moved)
}
