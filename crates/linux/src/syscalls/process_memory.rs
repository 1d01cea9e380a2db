//! Other processes' memory and resources: process_vm_readv(2), process_vm_writev(2), kcmp(2).

use std::collections::VecDeque;

use crate::errno::Errno;
use crate::ids::TaskId;
use crate::kernel::{Arguments, Call};
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
    let mut remote = segments(call, remote, remote_count)?;
    if local.iter().chain(&remote).any(|segment| segment.1 > i32::MAX as u32) {
        return Err(Errno::EINVAL.into());
    }
    let other =
        call.kernel.tasks.contains_key(&TaskId(target)).then_some(TaskId(target)).ok_or(Errno::ESRCH)?;
    let (own, others) = (call.process().credentials.euid, call.kernel.process(other).credentials.uid);
    if own != 0 && own != others {
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
