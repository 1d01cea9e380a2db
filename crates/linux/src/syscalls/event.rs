//! Descriptors for counters, timers and signals: eventfd, timerfd, signalfd.

use super::signal::read_set;
use super::time::{Layout, read_timespec, timespec};
use crate::errno::Errno;
use crate::kernel::{Arguments, Call};
use crate::objects::OpenFlags;
use crate::record::Record;
use crate::signal::SignalSet;
use crate::wait::{CallResult, Channel, Failure, Wait};

/// The flags that the three share; EINVAL for others.
fn common_flags(flags: u32, extra: u32) -> Result<OpenFlags, Errno> {
    let known = OpenFlags::O_CLOEXEC | OpenFlags::O_NONBLOCK;
    let flags = OpenFlags::from_bits_retain(flags & !extra);
    if flags & !known == OpenFlags::empty() { Ok(flags) } else { Err(Errno::EINVAL) }
}

/// eventfd(2) of old, without flags.
pub(super) fn eventfd(call: &mut Call<'_>, [value, ..]: Arguments) -> CallResult {
    eventfd2(call, [value, 0, 0, 0, 0, 0])
}

/// eventfd(2).
pub(super) fn eventfd2(call: &mut Call<'_>, [value, bits, ..]: Arguments) -> CallResult {
    const EFD_SEMAPHORE: u32 = 1;
    let flags = common_flags(bits, EFD_SEMAPHORE)?;
    let semaphore = bits & EFD_SEMAPHORE != 0;
    let counter =
        call.with_files(|files, caller| files.event_counter(caller, value.into(), semaphore, flags));
    Ok(call.add_descriptor(counter, 0, flags.contains(OpenFlags::O_CLOEXEC))?)
}

/// timerfd_create(2).
pub(super) fn timerfd_create(call: &mut Call<'_>, [clock, bits, ..]: Arguments) -> CallResult {
    let flags = common_flags(bits, 0)?;
    let realtime = match clock {
        // CLOCK_REALTIME and its alarm; CLOCK_MONOTONIC, CLOCK_BOOTTIME and its alarm.
        0 | 8 => true,
        1 | 7 | 9 => false,
        _ => return Err(Errno::EINVAL.into()),
    };
    let timer = call.with_files(|files, caller| files.timer(caller, realtime, flags));
    Ok(call.add_descriptor(timer, 0, flags.contains(OpenFlags::O_CLOEXEC))?)
}

/// `struct itimerspec` of what a timer has left.
fn left(call: &mut Call<'_>, fd: u32, layout: Layout) -> Result<Record, Errno> {
    let id = call.open_file(fd)?;
    let now = call.kernel.time.monotonic();
    let (left, interval) = call.kernel.fs.timer_mut(id)?.remaining(now);
    Ok(timespec(interval, layout).bytes(timespec(left, layout).as_bytes()))
}

fn set_timer(call: &mut Call<'_>, arguments: Arguments, layout: Layout) -> CallResult {
    const TFD_TIMER_ABSTIME: u32 = 1;
    const TFD_TIMER_CANCEL_ON_SET: u32 = 2;
    let [fd, flags, new, old, ..] = arguments;
    call.user().bytes(new, 2 * layout.size())?;
    if flags & !(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let interval = read_timespec(call, new, layout)?;
    let value = read_timespec(call, new.wrapping_add(layout.size()), layout)?;
    if old != 0 {
        let record = left(call, fd, layout)?;
        call.user().copy_out(old, record.as_bytes())?;
    }
    let id = call.open_file(fd)?;
    let (now, wall) = (call.kernel.time.monotonic(), call.kernel.time.realtime());
    let timer = call.kernel.fs.timer_mut(id)?;
    let next = match (value, flags & TFD_TIMER_ABSTIME != 0, timer.realtime) {
        (0, ..) => None,
        (value, false, _) => Some(now.saturating_add(value)),
        (value, true, false) => Some(value),
        (value, true, true) => Some(now.saturating_add(value.saturating_sub(wall))),
    };
    timer.set(next, interval);
    Ok(0)
}

/// timerfd_settime(2).
pub(super) fn timerfd_settime(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    set_timer(call, arguments, Layout::Short)
}

/// timerfd_settime(2) with 64-bit times.
pub(super) fn timerfd_settime64(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    set_timer(call, arguments, Layout::Long)
}

/// timerfd_gettime(2).
pub(super) fn timerfd_gettime(call: &mut Call<'_>, [fd, out, ..]: Arguments) -> CallResult {
    let record = left(call, fd, Layout::Short)?;
    call.user().copy_out(out, record.as_bytes())?;
    Ok(0)
}

/// timerfd_gettime(2) with 64-bit times.
pub(super) fn timerfd_gettime64(call: &mut Call<'_>, [fd, out, ..]: Arguments) -> CallResult {
    let record = left(call, fd, Layout::Long)?;
    call.user().copy_out(out, record.as_bytes())?;
    Ok(0)
}

/// signalfd(2) of old, without flags.
pub(super) fn signalfd(call: &mut Call<'_>, [fd, set, size, ..]: Arguments) -> CallResult {
    signalfd4(call, [fd, set, size, 0, 0, 0])
}

/// signalfd(2).
pub(super) fn signalfd4(call: &mut Call<'_>, [fd, set, size, bits, ..]: Arguments) -> CallResult {
    let mask = read_set(call, set, size)?.as_mask().0;
    let flags = common_flags(bits, 0)?;
    if fd != u32::MAX {
        let id = call.open_file(fd)?;
        call.kernel.fs.set_signals(id, mask)?;
        return Ok(fd);
    }
    let file = call.with_files(|files, caller| files.signal_file(caller, mask, flags));
    Ok(call.add_descriptor(file, 0, flags.contains(OpenFlags::O_CLOEXEC))?)
}

/// Reads signals from a signalfd, as `struct signalfd_siginfo`.
pub(super) fn read_signals(
    call: &mut Call<'_>,
    mask: u64,
    room: u32,
    waits: bool,
) -> Result<Vec<u8>, Failure> {
    const SIZE: usize = 128;
    if (room as usize) < SIZE {
        return Err(Errno::EINVAL.into());
    }
    let mut bytes = Vec::new();
    while bytes.len() + SIZE <= room as usize {
        let Some(info) = call.kernel.take_signal(call.task_id, SignalSet(mask)) else { break };
        // ssi_signo, ssi_errno, ssi_code, then pid and uid, or for others what fits best.
        let [pid, uid, value, ..] = info.fields;
        let record = Record::new()
            .u32(info.signal.number().into())
            .u32(0)
            .u32(info.code as u32)
            .u32(pid)
            .u32(uid)
            .pad_to(40)
            .u32(value)
            .u32(value)
            .pad_to(SIZE);
        bytes.extend_from_slice(record.as_bytes());
    }
    match (bytes.is_empty(), waits) {
        (false, _) => Ok(bytes),
        (true, true) => Err(Failure::Block(Wait::on(Channel::Signal))),
        (true, false) => Err(Errno::EAGAIN.into()),
    }
}
