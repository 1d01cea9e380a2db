//! Moving bytes between open files and guest memory: read(2), write(2) and their kin.

use pentimento_memory::Access;

use crate::errno::Errno;
use crate::ids::TaskId;
use crate::kernel::Kernel;
use crate::objects::OpenFlags;
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
pub(super) fn segments(
    kernel: &mut Kernel,
    task: TaskId,
    vector: u32,
    count: u32,
) -> Result<Segments, Errno> {
    if count > SEGMENTS_MAX {
        return Err(Errno::EINVAL);
    }
    let bytes = kernel.user(task).bytes(vector, count * 8)?;
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
    kernel: &mut Kernel,
    task: TaskId,
    segments: &[(u32, u32)],
    (from, length): (u32, u32),
    access: Access,
) -> Result<Segments, Errno> {
    let mut usable = Segments::new();
    for (address, length) in window(segments, from, length) {
        let held = kernel.user(task).accessible(address, length, access);
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
pub(super) fn gather(kernel: &mut Kernel, task: TaskId, segments: &[(u32, u32)]) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::new();
    for (address, part) in segments.iter().copied() {
        bytes.extend(kernel.user(task).bytes(address, part)?);
    }
    Ok(bytes)
}

/// Copies bytes to guest memory.
pub(super) fn scatter(
    kernel: &mut Kernel,
    task: TaskId,
    segments: &[(u32, u32)],
    from: u32,
    bytes: &[u8],
) -> Result<(), Errno> {
    let mut done = 0;
    for (address, part) in window(segments, from, bytes.len() as u32) {
        kernel.user(task).copy_out(address, &bytes[done..done + part as usize])?;
        done += part as usize;
    }
    Ok(())
}

/// Reads from a descriptor into guest memory.
pub(super) fn read_segments(
    kernel: &mut Kernel,
    task: TaskId,
    fd: u32,
    wanted: &[(u32, u32)],
    position: Option<u64>,
) -> CallResult {
    let id = kernel.open_file(task, fd)?;
    let (signals, whole) = {
        let object = &kernel.fs.description(id).object;
        (object.signals(), object.reads_whole())
    };
    let total = total(wanted);
    if let Some(mask) = signals {
        let segments = accessible(kernel, task, wanted, (0, total.min(CHUNK)), Access::Write)?;
        let waits = !kernel.fs.description(id).flags.contains(OpenFlags::O_NONBLOCK);
        let room = segments.iter().map(|(_, length)| length).sum();
        let bytes = super::event::read_signals(kernel, task, mask, room, waits)?;
        scatter(kernel, task, &segments, 0, &bytes)?;
        return Ok(bytes.len() as u32);
    }
    let mut done = kernel.pending(task)?.progress;
    loop {
        let part = CHUNK.min(total - done);
        kernel.spend_bytes(task, part, done)?;
        let segments = accessible(kernel, task, wanted, (done, part), Access::Write)?;
        let room: u32 = segments.iter().map(|(_, length)| length).sum();
        if room == 0 && done > 0 {
            return Ok(done);
        }
        let mut buffer = vec![0; room as usize];
        let at = position.map(|position| position + u64::from(done));
        let result = kernel.with_files(task, |files, caller| files.read(caller, id, at, &mut buffer));
        let read = match result {
            Ok(read) => read,
            Err(_) if done > 0 => return Ok(done),
            Err(failure) => return Err(failure),
        };
        scatter(kernel, task, &segments, 0, &buffer[..read])?;
        done += read as u32;
        if read < buffer.len() || done >= total || !whole {
            return Ok(done);
        }
    }
}

/// Writes guest memory to a descriptor: all of it, however often it has to wait.
pub(super) fn write_segments(
    kernel: &mut Kernel,
    task: TaskId,
    fd: u32,
    wanted: &[(u32, u32)],
    position: Option<u64>,
) -> CallResult {
    let id = kernel.open_file(task, fd)?;
    let total = total(wanted);
    let mut done = kernel.pending(task)?.progress;
    loop {
        let part = CHUNK.min(total - done);
        kernel.spend_bytes(task, part, done)?;
        let segments = accessible(kernel, task, wanted, (done, part), Access::Read)?;
        let bytes = gather(kernel, task, &segments)?;
        if bytes.is_empty() && done > 0 {
            return Ok(done);
        }
        let at = position.map(|position| position + u64::from(done));
        let result = kernel.with_files(task, |files, caller| files.write(caller, id, at, &bytes));
        match result {
            Ok(written) => {
                done += written as u32;
                if done >= total || written == 0 || written < bytes.len() && position.is_some() {
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
                match failure {
                    Failure::Errno(Errno::EPIPE) => kernel.broken_pipe(task),
                    Failure::Errno(Errno::EFBIG) => kernel.signal_task(task, Info::kernel(Signal::XFSZ)),
                    _ => {}
                }
                return Err(failure);
            }
        }
    }
}
