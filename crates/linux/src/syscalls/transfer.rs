//! Moving bytes between open files and guest memory: read(2), write(2) and their kin.

use pentimento_memory::Access;

use crate::arena::Id;
use crate::errno::Errno;
use crate::kernel::Call;
use crate::objects::{Description, Events, OpenFlags};
use crate::signal::{Info, Signal};
use crate::wait::{CallResult, Failure};

/// Most bytes that one call moves (MAX_RW_COUNT).
const TRANSFER_MAX: u32 = 0x7fff_f000;

/// Bytes that are moved at once between a file and guest memory.
const CHUNK: u32 = 1 << 18;

/// Most segments of readv(2) and writev(2) (UIO_MAXIOV).
const SEGMENTS_MAX: u32 = 1024;

/// Guest memory in pieces, as `struct iovec` lists it.
type Segments = Vec<(u32, u32)>;

/// Reads an array of `struct iovec`.
pub(super) fn segments(call: &mut Call<'_>, vector: u32, count: u32) -> Result<Segments, Errno> {
    if count > SEGMENTS_MAX {
        return Err(Errno::EINVAL);
    }
    let bytes = call.user().bytes(vector, count * 8)?;
    let word = |chunk: &[u8]| chunk.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
    let segments: Segments =
        bytes.chunks_exact(8).map(|entry| (word(&entry[..4]), word(&entry[4..]))).collect();
    if segments.iter().any(|(_, length)| *length > i32::MAX as u32) {
        return Err(Errno::EINVAL);
    }
    Ok(segments)
}

/// Of `length` bytes of `segments` from `from` on those before the first that does not allow `access`;
/// EFAULT where that is the very first of all.
pub(super) fn accessible(
    call: &mut Call<'_>,
    segments: &[(u32, u32)],
    (from, length): (u32, u32),
    access: Access,
) -> Result<Segments, Errno> {
    let mut usable = Segments::new();
    for (address, length) in window(segments, from, length) {
        let held = call.user().accessible(address, length, access);
        if held > 0 {
            usable.push((address, held));
        }
        if held < length {
            if from == 0 && usable.is_empty() {
                return Err(Errno::EFAULT);
            }
            break;
        }
    }
    Ok(usable)
}

/// Bytes in all segments, as far as one call moves them.
pub(super) fn total(segments: &[(u32, u32)]) -> u32 {
    segments.iter().fold(0, |sum: u32, (_, length)| sum.saturating_add(*length)).min(TRANSFER_MAX)
}

/// The parts of `segments` from byte `from` on, `length` bytes in all.
fn window(segments: &[(u32, u32)], from: u32, length: u32) -> Segments {
    let (mut skip, mut left, mut parts) = (from, length, Segments::new());
    for (address, size) in segments.iter().copied() {
        let skipped = skip.min(size);
        skip -= skipped;
        let part = (size - skipped).min(left);
        if part > 0 {
            parts.push((address.wrapping_add(skipped), part));
            left -= part;
        }
    }
    parts
}

/// Copies bytes from guest memory.
pub(super) fn gather(call: &mut Call<'_>, segments: &[(u32, u32)]) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::new();
    for (address, part) in segments.iter().copied() {
        bytes.extend(call.user().bytes(address, part)?);
    }
    Ok(bytes)
}

/// Copies bytes to guest memory.
pub(super) fn scatter(
    call: &mut Call<'_>,
    segments: &[(u32, u32)],
    from: u32,
    bytes: &[u8],
) -> Result<(), Errno> {
    let mut done = 0;
    for (address, part) in window(segments, from, bytes.len() as u32) {
        call.user().copy_out(address, &bytes[done..done + part as usize])?;
        done += part as usize;
    }
    Ok(())
}

/// Whether a transfer of no bytes is none: that of pipes and sockets.
fn moves_nothing(call: &Call<'_>, id: Id<Description>) -> bool {
    let files = &call.kernel.fs;
    files.is_pipe(id) || files.socket_of(id).is_ok()
}

/// Whether something can be read from a file now, or it is one that knows nothing of waiting.
fn is_readable(call: &mut Call<'_>, id: Id<Description>) -> Result<bool, Failure> {
    let readiness = call.with_files(|files, caller| files.readiness(caller, id))?;
    Ok(readiness.events.contains(Events::IN))
}

/// Reads from a descriptor into guest memory.
pub(super) fn read_segments(
    call: &mut Call<'_>,
    fd: u32,
    wanted: &[(u32, u32)],
    position: Option<u64>,
) -> CallResult {
    let id = call.open_file(fd)?;
    let (signals, memory, whole) = {
        let object = &call.kernel.fs.description(id).object;
        (object.signals(), object.process_memory(), object.reads_whole())
    };
    let total = total(wanted);
    if let Some(process) = memory {
        return super::process_memory::read_file(call, (id, process), wanted, position);
    }
    if total == 0 && call.kernel.fs.description(id).flags.reads() && moves_nothing(call, id) {
        return Ok(0);
    }
    if let Some(mask) = signals {
        let segments = accessible(call, wanted, (0, total.min(CHUNK)), Access::Write)?;
        let waits = !call.kernel.fs.description(id).flags.contains(OpenFlags::O_NONBLOCK);
        let room = segments.iter().map(|(_, length)| length).sum();
        let bytes = super::event::read_signals(call, mask, room, waits)?;
        scatter(call, &segments, 0, &bytes)?;
        return Ok(bytes.len() as u32);
    }
    let mut done = call.pending()?.progress;
    loop {
        let part = CHUNK.min(total - done);
        call.spend_bytes(part, done)?;
        let segments = match accessible(call, wanted, (done, part), Access::Write) {
            Err(_) if !is_readable(call, id)? => {
                // What there is not says so before the buffer does.
                let mut nowhere = vec![0; part as usize];
                let read = call.with_files(|files, caller| files.read(caller, id, None, &mut nowhere))?;
                return if read == 0 { Ok(0) } else { Err(Errno::EFAULT.into()) };
            }
            segments => segments?,
        };
        let room: u32 = segments.iter().map(|(_, length)| length).sum();
        if room == 0 && done > 0 {
            return Ok(done);
        }
        let mut buffer = vec![0; room as usize];
        let at = position.map(|position| position + u64::from(done));
        let result = call.with_files(|files, caller| files.read(caller, id, at, &mut buffer));
        let read = match result {
            Ok(read) => read,
            Err(_) if done > 0 => return Ok(done),
            Err(failure) => return Err(failure),
        };
        scatter(call, &segments, 0, &buffer[..read])?;
        done += read as u32;
        if read < buffer.len() || done >= total || !whole {
            return Ok(done);
        }
    }
}

/// Writes guest memory to a descriptor: all of it, however often it has to wait.
pub(super) fn write_segments(
    call: &mut Call<'_>,
    fd: u32,
    wanted: &[(u32, u32)],
    position: Option<u64>,
) -> CallResult {
    let id = call.open_file(fd)?;
    if let Some(process) = call.kernel.fs.description(id).object.process_memory() {
        return super::process_memory::write_file(call, (id, process), wanted, position);
    }
    let total = total(wanted);
    let flags = call.kernel.fs.description(id).flags;
    if !flags.writes() {
        return Err(Errno::EBADF.into());
    }
    if total == 0 && moves_nothing(call, id) {
        return Ok(0);
    }
    let mut done = call.pending()?.progress;
    loop {
        let part = CHUNK.min(total - done);
        call.spend_bytes(part, done)?;
        let segments = accessible(call, wanted, (done, part), Access::Read)?;
        let bytes = gather(call, &segments)?;
        if bytes.is_empty() && done > 0 {
            return Ok(done);
        }
        let at = position.map(|position| position + u64::from(done));
        let result = call.with_files(|files, caller| files.write(caller, id, at, &bytes));
        match result {
            Ok(written) => {
                done += written as u32;
                if done >= total || written == 0 || written < bytes.len() && position.is_some() {
                    return Ok(done);
                }
            }
            Err(Failure::Block(wait)) => return call.stop_at(done, wait),
            Err(_) if done > 0 => return Ok(done),
            Err(failure) => {
                match failure {
                    Failure::Errno(Errno::EPIPE) => call.broken_pipe(),
                    Failure::Errno(Errno::EFBIG) => {
                        call.kernel.signal_task(call.task_id, Info::kernel(Signal::XFSZ))
                    }
                    _ => {}
                }
                return Err(failure);
            }
        }
    }
}
