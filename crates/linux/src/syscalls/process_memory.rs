//! Other processes' memory and resources: process_vm_readv(2), process_vm_writev(2), `/proc/PID/mem`, kcmp(2).

use std::collections::VecDeque;

use super::ptrace::may_access;
use super::transfer::{gather, scatter, total};
use crate::arena::Id;
use crate::errno::Errno;
use crate::ids::{ProcessId, TaskId};
use crate::kernel::{Arguments, Call};
use crate::objects::Description;
use crate::wait::CallResult;

/// Segments of `struct iovec` as one list of (address, length).
fn segments(call: &mut Call<'_>, address: u32, count: u32) -> Result<VecDeque<(u32, u32)>, Errno> {
    const MOST: u32 = 1024;
    if count > MOST {
        return Err(Errno::EINVAL);
    }
    let mut segments = VecDeque::new();
    for index in 0..count {
        let [base, length] = call.user().words(address.wrapping_add(8 * index))?;
        segments.push_back((base, length));
    }
    Ok(segments)
}

/// process_vm_readv(2).
pub(super) fn process_vm_readv(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    transfer(call, arguments, false)
}

/// process_vm_writev(2).
pub(super) fn process_vm_writev(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    transfer(call, arguments, true)
}

/// Takes `bytes` off the start of a list, and what is empty there then: it would stop the transfer.
fn skip(segments: &mut VecDeque<(u32, u32)>, mut bytes: u32) {
    while let Some(first) = segments.front_mut() {
        let part = first.1.min(bytes);
        *first = (first.0.wrapping_add(part), first.1 - part);
        bytes -= part;
        if first.1 > 0 {
            break;
        }
        segments.pop_front();
    }
}

/// Moves bytes between the caller's memory and another process's.
fn transfer(
    call: &mut Call<'_>,
    [target, local, local_count, remote, remote_count, flags]: Arguments,
    writes: bool,
) -> CallResult {
    const CHUNK: u32 = 4096;
    /// Most bytes that one call moves (MAX_RW_COUNT).
    const MOST: u32 = 0x7fff_f000;
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let mut local = segments(call, local, local_count)?;
    if local.iter().all(|segment| segment.1 == 0) {
        return Ok(0);
    }
    let mut remote = segments(call, remote, remote_count)?;
    if local.iter().chain(&remote).any(|segment| segment.1 > i32::MAX as u32) {
        return Err(Errno::EINVAL.into());
    }
    let other =
        call.kernel.tasks.contains_key(&TaskId(target)).then_some(TaskId(target)).ok_or(Errno::ESRCH)?;
    let (own, others) = (call.process_id, call.kernel.tasks[&other].process);
    let processes = &call.kernel.processes;
    if own != others && !may_access(&processes[&own], &processes[&others]) {
        return Err(Errno::EPERM.into());
    }
    let (from, to) = if writes { (call.task_id, other) } else { (other, call.task_id) };
    let mut done = call.pending()?.progress;
    for segments in [&mut local, &mut remote] {
        skip(segments, done);
    }
    while let (Some(mine), Some(theirs)) = (local.front().copied(), remote.front().copied()) {
        let length = mine.1.min(theirs.1).min(CHUNK).min(MOST - done);
        if length == 0 {
            break;
        }
        call.spend_bytes(length, done)?;
        let (source, sink) = if writes { (mine.0, theirs.0) } else { (theirs.0, mine.0) };
        let moved = call
            .kernel
            .user(from)
            .bytes(source, length)
            .and_then(|bytes| call.kernel.user(to).copy_out(sink, &bytes));
        match moved {
            Ok(()) => done = done.saturating_add(length),
            Err(errno) if done == 0 => return Err(errno.into()),
            Err(_) => break,
        }
        for segments in [&mut local, &mut remote] {
            skip(segments, length);
        }
    }
    Ok(done)
}

/// An open `/proc/PID/mem`: the description, and the process with the number that it shares with none.
type MemoryFile = (Id<Description>, (u32, u64));

/// The thread by which the memory behind an open file is reached, and where; `None` where the process has
/// ended.
///
/// # Errors
/// EBADF for a file that is not open for this, EIO beyond the address space.
fn place(
    call: &mut Call<'_>,
    (id, (number, serial)): MemoryFile,
    position: Option<u64>,
    writes: bool,
) -> Result<Option<(TaskId, u32)>, Errno> {
    let description = call.kernel.fs.description(id);
    let fits = if writes { description.flags.writes() } else { description.flags.reads() };
    let at = position.unwrap_or(description.offset);
    if !fits {
        return Err(Errno::EBADF);
    }
    let process = call.kernel.processes.get(&ProcessId(number)).filter(|process| process.serial == serial);
    let Some(task) = process.and_then(|process| process.threads.first().copied()) else { return Ok(None) };
    Ok(Some((task, u32::try_from(at).map_err(|_| Errno::EIO)?)))
}

/// Bytes of another process's memory that one call moves at most.
const FILE_MAX: u32 = 1 << 18;

/// The first `most` bytes of segments.
fn front(segments: &[(u32, u32)], mut most: u32) -> Vec<(u32, u32)> {
    let mut parts = Vec::new();
    for (address, length) in segments {
        let part = (*length).min(most);
        most -= part;
        parts.push((*address, part));
    }
    parts
}

/// Reads from `/proc/PID/mem`, whatever the pages allow.
pub(super) fn read_file(
    call: &mut Call<'_>,
    file: MemoryFile,
    wanted: &[(u32, u32)],
    position: Option<u64>,
) -> CallResult {
    let Some((task, at)) = place(call, file, position, false)? else { return Ok(0) };
    let wanted = front(wanted, FILE_MAX);
    call.spend_bytes(FILE_MAX, 0)?;
    let mut bytes = vec![0; total(&wanted) as usize];
    let read = call.kernel.read_memory(task, at, &mut bytes);
    if read == 0 && !bytes.is_empty() {
        return Err(Errno::EIO.into());
    }
    scatter(call, &wanted, 0, &bytes[..read])?;
    if position.is_none() {
        call.kernel.fs.set_offset(file.0, u64::from(at) + read as u64);
    }
    Ok(read as u32)
}

/// Writes to `/proc/PID/mem`, whatever the pages allow.
pub(super) fn write_file(
    call: &mut Call<'_>,
    file: MemoryFile,
    wanted: &[(u32, u32)],
    position: Option<u64>,
) -> CallResult {
    let Some((task, at)) = place(call, file, position, true)? else { return Ok(0) };
    let wanted = front(wanted, FILE_MAX);
    call.spend_bytes(FILE_MAX, 0)?;
    let bytes = gather(call, &wanted)?;
    let written = call.kernel.write_memory(task, at, &bytes);
    if written == 0 && !bytes.is_empty() {
        return Err(Errno::EIO.into());
    }
    if position.is_none() {
        call.kernel.fs.set_offset(file.0, u64::from(at) + written as u64);
    }
    Ok(written as u32)
}

/// kcmp(2): whether two processes share a resource; which of the two comes first if they do not.
pub(super) fn kcmp(call: &mut Call<'_>, [first, second, kind, a, b, _]: Arguments) -> CallResult {
    let of = |number: u32| {
        call.kernel.tasks.contains_key(&TaskId(number)).then_some(TaskId(number)).ok_or(Errno::ESRCH)
    };
    let (first, second) = (of(first)?, of(second)?);
    let own = call.process().credentials.euid;
    for other in [first, second] {
        if own != 0 && own != call.kernel.process(other).credentials.uid {
            return Err(Errno::EPERM.into());
        }
    }
    let mut number = |task: TaskId, fd: u32| -> Result<u64, Errno> {
        let mut subject = Call::of(call.kernel, task).ok_or(Errno::ESRCH)?;
        Ok(match kind {
            0 => subject.open_file(fd)?.number().into(),
            1 => subject.space().id.number().into(),
            2 => subject.task().files.number().into(),
            3 => subject.task().location.number().into(),
            4 => subject.process().actions.number().into(),
            // No input contexts and no semaphore undo lists are shared.
            5 | 6 => task.number().into(),
            _ => return Err(Errno::EINVAL),
        })
    };
    Ok(match number(first, a)?.cmp(&number(second, b)?) {
        core::cmp::Ordering::Equal => 0,
        core::cmp::Ordering::Less => 1,
        core::cmp::Ordering::Greater => 2,
    })
}
