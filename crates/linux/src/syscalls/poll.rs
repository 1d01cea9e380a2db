//! Waiting for several files: poll, select, epoll.

use super::call::Arguments;
use super::signal::read_set;
use super::time::{Layout, read_timeout};
use crate::arena::Id;
use crate::errno::Errno;
use crate::ids::TaskId;
use crate::kernel::Kernel;
use crate::objects::{Control, Description, Events, Files, OpenFlags, Readiness};
use crate::record::Record;
use crate::vfs::Caller;
use crate::wait::{CallResult, Failure, Wait};

/// Nanoseconds a millisecond.
const MILLISECOND: u64 = 1_000_000;

/// Descriptors in a set of select(2).
const FD_SETSIZE: u32 = 1024;

/// Replaces the signal mask while the call waits, if a set is given.
fn set_mask(kernel: &mut Kernel, task: TaskId, set: u32, size: u32) -> Result<(), Errno> {
    if set != 0 {
        let mask = read_set(kernel, task, set, size)?;
        kernel.set_temporary_mask(task, mask);
    }
    Ok(())
}

/// Waits for what `readiness` names; 0 once the deadline has passed.
fn wait(kernel: &mut Kernel, task: TaskId, readiness: Readiness, timeout: Option<u64>) -> CallResult {
    let deadline = kernel.deadline(task, timeout);
    if timeout == Some(0) || kernel.has_passed(deadline) {
        return Ok(0);
    }
    let wakes = [deadline, readiness.deadline].into_iter().flatten().min();
    let wait = Wait { channels: readiness.channels, ..Wait::default() };
    Err(Failure::Block(wait.until(wakes).never_restarts()))
}

/// A timeout in milliseconds, negative for none.
fn milliseconds(timeout: u32) -> Option<u64> {
    u64::try_from(timeout as i32).ok().map(|timeout| timeout * MILLISECOND)
}

/// `struct pollfd`: descriptor, wanted events, events.
fn poll_files(kernel: &mut Kernel, task: TaskId, array: u32, count: u32, timeout: Option<u64>) -> CallResult {
    if count > kernel.descriptor_limit(task) {
        return Err(Errno::EINVAL.into());
    }
    let mut entries = kernel.user(task).bytes(array, count * 8)?;
    let mut asked = Vec::with_capacity(count as usize);
    for entry in entries.chunks_exact(8) {
        let fd = u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]);
        asked.push(if (fd as i32) < 0 { None } else { Some(kernel.open_file(task, fd)) });
    }
    let (mut all, mut ready) = (Readiness::default(), 0);
    kernel.with_files(task, |files, caller| {
        for (entry, file) in entries.chunks_exact_mut(8).zip(asked) {
            let wanted = Events::from_bits_retain(u16::from_le_bytes([entry[4], entry[5]]).into());
            let told = match file {
                None => Events::empty(),
                Some(Ok(id)) => state(files, caller, id, &mut all)? & (wanted | Events::ALWAYS),
                Some(Err(_)) => Events::NVAL,
            };
            ready += u32::from(!told.is_empty());
            entry[6..].copy_from_slice(&(told.bits() as u16).to_le_bytes());
        }
        Ok::<_, Failure>(())
    })?;
    let result = if ready > 0 { Ok(ready) } else { wait(kernel, task, all, timeout) };
    if result.is_ok() {
        kernel.user(task).copy_out(array, &entries)?;
    }
    result
}

/// What an open file tells; `all` collects what to wait for.
fn state(
    files: &mut Files,
    caller: &Caller<'_>,
    id: Id<Description>,
    all: &mut Readiness,
) -> Result<Events, Failure> {
    files.work.spend(1)?;
    let readiness = files.readiness(caller, id)?;
    all.also(&readiness);
    Ok(readiness.events)
}

/// poll(2).
pub(super) fn poll(kernel: &mut Kernel, task: TaskId, [array, count, timeout, ..]: Arguments) -> CallResult {
    poll_files(kernel, task, array, count, milliseconds(timeout))
}

fn ppoll_with(kernel: &mut Kernel, task: TaskId, arguments: Arguments, layout: Layout) -> CallResult {
    let [array, count, timeout, set, size, _] = arguments;
    let timeout = read_timeout(kernel, task, timeout, layout)?;
    set_mask(kernel, task, set, size)?;
    poll_files(kernel, task, array, count, timeout)
}

/// ppoll(2).
pub(super) fn ppoll(kernel: &mut Kernel, task: TaskId, arguments: Arguments) -> CallResult {
    ppoll_with(kernel, task, arguments, Layout::Short)
}

/// ppoll(2) with a 64-bit time.
pub(super) fn ppoll_time64(kernel: &mut Kernel, task: TaskId, arguments: Arguments) -> CallResult {
    ppoll_with(kernel, task, arguments, Layout::Long)
}

/// What the three sets of select(2) ask for, and which events of poll(2) that is.
const SELECT_EVENTS: [Events; 3] = [
    Events::IN.union(Events::RDNORM).union(Events::RDBAND).union(Events::HUP).union(Events::ERR),
    Events::OUT.union(Events::WRNORM).union(Events::WRBAND).union(Events::ERR),
    Events::PRI,
];

/// Whether a set of select(2) holds a descriptor.
fn holds(set: &[u8], fd: u32) -> bool {
    set[fd as usize / 8] & 1 << (fd % 8) != 0
}

fn select_files(
    kernel: &mut Kernel,
    task: TaskId,
    count: u32,
    addresses: [u32; 3],
    timeout: Option<u64>,
) -> CallResult {
    if count as i32 <= -1 {
        return Err(Errno::EINVAL.into());
    }
    let count = count.min(FD_SETSIZE.max(kernel.descriptors(task)?.end()));
    let bytes = count.div_ceil(32) * 4;
    let mut sets = [const { Vec::new() }; 3];
    for (set, address) in sets.iter_mut().zip(addresses) {
        *set = match address {
            0 => vec![0; bytes as usize],
            address => kernel.user(task).bytes(address, bytes)?,
        };
    }
    let mut found = [const { Vec::new() }; 3];
    found.fill(vec![0; bytes as usize]);
    let (mut all, mut ready) = (Readiness::default(), 0);
    let wanted = (0..count).filter(|fd| sets.iter().any(|set| holds(set, *fd)));
    let asked: Result<Vec<_>, Errno> = wanted.map(|fd| Ok((fd, kernel.open_file(task, fd)?))).collect();
    let asked = asked?;
    kernel.with_files(task, |files, caller| {
        for (fd, id) in asked {
            let events = state(files, caller, id, &mut all)?;
            for (which, set) in sets.iter().enumerate() {
                if holds(set, fd) && events.intersects(SELECT_EVENTS[which]) {
                    found[which][fd as usize / 8] |= 1 << (fd % 8);
                    ready += 1;
                }
            }
        }
        Ok::<_, Failure>(())
    })?;
    let result = if ready > 0 { Ok(ready) } else { wait(kernel, task, all, timeout) };
    if result.is_ok() {
        for (set, address) in found.iter().zip(addresses).filter(|(_, address)| *address != 0) {
            kernel.user(task).copy_out(address, set)?;
        }
    }
    result
}

/// _newselect(2): the timeout is a timeval, in which Linux leaves what remains.
pub(super) fn newselect(kernel: &mut Kernel, task: TaskId, arguments: Arguments) -> CallResult {
    let [count, reads, writes, exceptions, address, _] = arguments;
    let timeout = match address {
        0 => None,
        address => {
            let [seconds, microseconds] = kernel.user(task).words(address)?;
            if (seconds as i32) < 0 || (microseconds as i32) < 0 {
                return Err(Errno::EINVAL.into());
            }
            Some(u64::from(seconds) * 1000 * MILLISECOND + u64::from(microseconds) * 1000)
        }
    };
    let result = select_files(kernel, task, count, [reads, writes, exceptions], timeout);
    if address != 0 && !matches!(result, Err(Failure::Block(_) | Failure::Pause)) {
        let deadline = kernel.deadline(task, timeout).unwrap_or_default();
        let left = deadline.saturating_sub(kernel.time.monotonic());
        let record =
            Record::new().u32((left / 1_000_000_000) as u32).u32((left % 1_000_000_000 / 1000) as u32);
        kernel.user(task).copy_out(address, record.as_bytes())?;
    }
    result
}

/// select(2) of old: the five arguments in memory.
pub(super) fn select(kernel: &mut Kernel, task: TaskId, [block, ..]: Arguments) -> CallResult {
    let [count, reads, writes, exceptions, timeout] = kernel.user(task).words(block)?;
    newselect(kernel, task, [count, reads, writes, exceptions, timeout, 0])
}

fn pselect_with(kernel: &mut Kernel, task: TaskId, arguments: Arguments, layout: Layout) -> CallResult {
    let [count, reads, writes, exceptions, timeout, mask] = arguments;
    let timeout = read_timeout(kernel, task, timeout, layout)?;
    if mask != 0 {
        let [set, size] = kernel.user(task).words(mask)?;
        set_mask(kernel, task, set, size)?;
    }
    select_files(kernel, task, count, [reads, writes, exceptions], timeout)
}

/// pselect6(2).
pub(super) fn pselect6(kernel: &mut Kernel, task: TaskId, arguments: Arguments) -> CallResult {
    pselect_with(kernel, task, arguments, Layout::Short)
}

/// pselect6(2) with a 64-bit time.
pub(super) fn pselect6_time64(kernel: &mut Kernel, task: TaskId, arguments: Arguments) -> CallResult {
    pselect_with(kernel, task, arguments, Layout::Long)
}

/// epoll_create(2); the size says nothing but must not be zero.
pub(super) fn epoll_create(kernel: &mut Kernel, task: TaskId, [size, ..]: Arguments) -> CallResult {
    if size as i32 <= 0 {
        return Err(Errno::EINVAL.into());
    }
    epoll_create1(kernel, task, [0; 6])
}

/// epoll_create1(2).
pub(super) fn epoll_create1(kernel: &mut Kernel, task: TaskId, [flags, ..]: Arguments) -> CallResult {
    let flags = OpenFlags::from_bits_retain(flags);
    if flags & !OpenFlags::O_CLOEXEC != OpenFlags::empty() {
        return Err(Errno::EINVAL.into());
    }
    let set = kernel.with_files(task, |files, caller| Ok::<_, Errno>(files.epoll(caller)))?;
    Ok(kernel.add_descriptor(task, set, 0, flags.contains(OpenFlags::O_CLOEXEC))?)
}

/// epoll_ctl(2).
pub(super) fn epoll_ctl(
    kernel: &mut Kernel,
    task: TaskId,
    [set, operation, fd, event, ..]: Arguments,
) -> CallResult {
    let control = match operation {
        1 => Control::Add,
        2 => Control::Delete,
        3 => Control::Modify,
        _ => return Err(Errno::EINVAL.into()),
    };
    let [wanted, low, high] = match control {
        Control::Delete => [0; 3],
        // `struct epoll_event` is 12 bytes on i386.
        _ => kernel.user(task).words(event)?,
    };
    let (set, target) = (kernel.open_file(task, set)?, kernel.open_file(task, fd)?);
    kernel.fs.epoll_control(set, control, (fd, target), wanted, super::file::wide(low, high))?;
    Ok(0)
}

fn epoll_reports(
    kernel: &mut Kernel,
    task: TaskId,
    [set, events, room, ..]: Arguments,
    timeout: Option<u64>,
) -> CallResult {
    const ROOM_MAX: u32 = i32::MAX as u32 / 12;
    if room == 0 || room > ROOM_MAX {
        return Err(Errno::EINVAL.into());
    }
    let set = kernel.open_file(task, set)?;
    let (reports, waits) =
        kernel.with_files(task, |files, caller| files.epoll_reports(caller, set, room as usize))?;
    if reports.is_empty() {
        return wait(kernel, task, waits, timeout);
    }
    let record = reports.iter().fold(Record::new(), |record, (bits, data)| record.u32(*bits).u64(*data));
    kernel.user(task).copy_out(events, record.as_bytes())?;
    Ok(reports.len() as u32)
}

/// epoll_wait(2).
pub(super) fn epoll_wait(kernel: &mut Kernel, task: TaskId, arguments: Arguments) -> CallResult {
    epoll_reports(kernel, task, arguments, milliseconds(arguments[3]))
}

/// epoll_pwait(2).
pub(super) fn epoll_pwait(kernel: &mut Kernel, task: TaskId, arguments: Arguments) -> CallResult {
    set_mask(kernel, task, arguments[4], arguments[5])?;
    epoll_reports(kernel, task, arguments, milliseconds(arguments[3]))
}

/// epoll_pwait2(2).
pub(super) fn epoll_pwait2(kernel: &mut Kernel, task: TaskId, arguments: Arguments) -> CallResult {
    let timeout = read_timeout(kernel, task, arguments[3], Layout::Long)?;
    set_mask(kernel, task, arguments[4], arguments[5])?;
    epoll_reports(kernel, task, arguments, timeout)
}
