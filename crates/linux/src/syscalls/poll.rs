//! Waiting for several files: poll, select, epoll.

use super::signal::read_set;
use super::time::{Layout, read_timeout};
use crate::arena::Id;
use crate::errno::Errno;
use crate::kernel::{Arguments, Call};
use crate::objects::{Control, Description, Events, Files, OpenFlags, Readiness};
use crate::record::Record;
use crate::vfs::Caller;
use crate::wait::{CallResult, Failure, Wait};

/// Nanoseconds a millisecond.
const MILLISECOND: u64 = 1_000_000;

/// Descriptors in a set of select(2).
const FD_SETSIZE: u32 = 1024;

/// Replaces the signal mask while the call waits, if a set is given.
fn set_mask(call: &mut Call<'_>, set: u32, size: u32) -> Result<(), Errno> {
    if set != 0 {
        let mask = read_set(call, set, size)?;
        call.kernel.set_temporary_mask(call.task_id, mask);
    }
    Ok(())
}

/// Waits for what `readiness` names; 0 once the deadline has passed.
fn wait(call: &mut Call<'_>, readiness: Readiness, timeout: Option<u64>) -> CallResult {
    let deadline = call.deadline(timeout);
    if timeout == Some(0) || call.kernel.has_passed(deadline) {
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
fn poll_files(call: &mut Call<'_>, array: u32, count: u32, timeout: Option<u64>) -> CallResult {
    if count > call.descriptor_limit() {
        return Err(Errno::EINVAL.into());
    }
    let mut entries = call.user().bytes(array, count * 8)?;
    let mut asked = Vec::with_capacity(count as usize);
    for entry in entries.chunks_exact(8) {
        let fd = u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]);
        asked.push(if (fd as i32) < 0 { None } else { Some(call.open_file(fd)) });
    }
    let (mut all, mut ready) = (Readiness::default(), 0);
    call.with_files(|files, caller| {
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
    let result = if ready > 0 { Ok(ready) } else { wait(call, all, timeout) };
    if result.is_ok() {
        call.user().copy_out(array, &entries)?;
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
pub(super) fn poll(call: &mut Call<'_>, [array, count, timeout, ..]: Arguments) -> CallResult {
    poll_files(call, array, count, milliseconds(timeout))
}

fn ppoll_with(call: &mut Call<'_>, arguments: Arguments, layout: Layout) -> CallResult {
    let [array, count, timeout, set, size, _] = arguments;
    let timeout = read_timeout(call, timeout, layout)?;
    set_mask(call, set, size)?;
    poll_files(call, array, count, timeout)
}

/// ppoll(2).
pub(super) fn ppoll(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    ppoll_with(call, arguments, Layout::Short)
}

/// ppoll(2) with a 64-bit time.
pub(super) fn ppoll_time64(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    ppoll_with(call, arguments, Layout::Long)
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

fn select_files(call: &mut Call<'_>, count: u32, addresses: [u32; 3], timeout: Option<u64>) -> CallResult {
    if count as i32 <= -1 {
        return Err(Errno::EINVAL.into());
    }
    let count = count.min(FD_SETSIZE.max(call.descriptors().end()));
    let bytes = count.div_ceil(32) * 4;
    let mut sets = [const { Vec::new() }; 3];
    for (set, address) in sets.iter_mut().zip(addresses) {
        *set = match address {
            0 => vec![0; bytes as usize],
            address => call.user().bytes(address, bytes)?,
        };
    }
    let mut found = [const { Vec::new() }; 3];
    found.fill(vec![0; bytes as usize]);
    let (mut all, mut ready) = (Readiness::default(), 0);
    let wanted = (0..count).filter(|fd| sets.iter().any(|set| holds(set, *fd)));
    let asked: Result<Vec<_>, Errno> = wanted.map(|fd| Ok((fd, call.open_file(fd)?))).collect();
    let asked = asked?;
    call.with_files(|files, caller| {
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
    let result = if ready > 0 { Ok(ready) } else { wait(call, all, timeout) };
    if result.is_ok() {
        for (set, address) in found.iter().zip(addresses).filter(|(_, address)| *address != 0) {
            call.user().copy_out(address, set)?;
        }
    }
    result
}

/// _newselect(2): the timeout is a timeval, in which Linux leaves what remains.
pub(super) fn newselect(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    let [count, reads, writes, exceptions, address, _] = arguments;
    let timeout = match address {
        0 => None,
        address => {
            let [seconds, microseconds] = call.user().words(address)?;
            if (seconds as i32) < 0 || (microseconds as i32) < 0 {
                return Err(Errno::EINVAL.into());
            }
            Some(u64::from(seconds) * 1000 * MILLISECOND + u64::from(microseconds) * 1000)
        }
    };
    let result = select_files(call, count, [reads, writes, exceptions], timeout);
    if address != 0 && !matches!(result, Err(Failure::Block(_) | Failure::Pause)) {
        let deadline = call.deadline(timeout).unwrap_or_default();
        let left = deadline.saturating_sub(call.kernel.time.monotonic());
        let record =
            Record::new().u32((left / 1_000_000_000) as u32).u32((left % 1_000_000_000 / 1000) as u32);
        call.user().copy_out(address, record.as_bytes())?;
    }
    result
}

/// select(2) of old: the five arguments in memory.
pub(super) fn select(call: &mut Call<'_>, [block, ..]: Arguments) -> CallResult {
    let [count, reads, writes, exceptions, timeout] = call.user().words(block)?;
    newselect(call, [count, reads, writes, exceptions, timeout, 0])
}

fn pselect_with(call: &mut Call<'_>, arguments: Arguments, layout: Layout) -> CallResult {
    let [count, reads, writes, exceptions, timeout, mask] = arguments;
    let timeout = read_timeout(call, timeout, layout)?;
    if mask != 0 {
        let [set, size] = call.user().words(mask)?;
        set_mask(call, set, size)?;
    }
    select_files(call, count, [reads, writes, exceptions], timeout)
}

/// pselect6(2).
pub(super) fn pselect6(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    pselect_with(call, arguments, Layout::Short)
}

/// pselect6(2) with a 64-bit time.
pub(super) fn pselect6_time64(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    pselect_with(call, arguments, Layout::Long)
}

/// epoll_create(2); the size says nothing but must not be zero.
pub(super) fn epoll_create(call: &mut Call<'_>, [size, ..]: Arguments) -> CallResult {
    if size as i32 <= 0 {
        return Err(Errno::EINVAL.into());
    }
    epoll_create1(call, [0; 6])
}

/// epoll_create1(2).
pub(super) fn epoll_create1(call: &mut Call<'_>, [flags, ..]: Arguments) -> CallResult {
    let flags = OpenFlags::from_bits_retain(flags);
    if flags & !OpenFlags::O_CLOEXEC != OpenFlags::empty() {
        return Err(Errno::EINVAL.into());
    }
    let set = call.with_files(|files, caller| files.epoll(caller));
    Ok(call.add_descriptor(set, 0, flags.contains(OpenFlags::O_CLOEXEC))?)
}

/// epoll_ctl(2).
pub(super) fn epoll_ctl(call: &mut Call<'_>, [set, operation, fd, event, ..]: Arguments) -> CallResult {
    /// EPOLL_CTL_DEL.
    const DELETE: u32 = 2;
    let [wanted, low, high] = match operation {
        DELETE => [0; 3],
        // `struct epoll_event` is 12 bytes on i386.
        _ => call.user().words(event)?,
    };
    let (set, target) = (call.open_file(set)?, call.open_file(fd)?);
    call.kernel.fs.description(target).object.check_watchable()?;
    let control = match operation {
        1 => Control::Add,
        DELETE => Control::Delete,
        3 => Control::Modify,
        _ => return Err(Errno::EINVAL.into()),
    };
    call.kernel.fs.epoll_control(set, control, (fd, target), wanted, super::file::wide(low, high))?;
    Ok(0)
}

fn epoll_reports(
    call: &mut Call<'_>,
    [set, events, room, ..]: Arguments,
    timeout: Option<u64>,
) -> CallResult {
    const ROOM_MAX: u32 = i32::MAX as u32 / 12;
    let set = call.open_file(set)?;
    if room == 0 || room > ROOM_MAX {
        return Err(Errno::EINVAL.into());
    }
    let (reports, waits) =
        call.with_files(|files, caller| files.epoll_reports(caller, set, room as usize))?;
    if reports.is_empty() {
        return wait(call, waits, timeout);
    }
    let record = reports.iter().fold(Record::new(), |record, (bits, data)| record.u32(*bits).u64(*data));
    call.user().copy_out(events, record.as_bytes())?;
    Ok(reports.len() as u32)
}

/// epoll_wait(2).
pub(super) fn epoll_wait(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    epoll_reports(call, arguments, milliseconds(arguments[3]))
}

/// epoll_pwait(2).
pub(super) fn epoll_pwait(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    set_mask(call, arguments[4], arguments[5])?;
    epoll_reports(call, arguments, milliseconds(arguments[3]))
}

/// epoll_pwait2(2).
pub(super) fn epoll_pwait2(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    let timeout = read_timeout(call, arguments[3], Layout::Long)?;
    set_mask(call, arguments[4], arguments[5])?;
    epoll_reports(call, arguments, timeout)
}
