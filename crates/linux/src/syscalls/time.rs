//! Clocks, sleeping, and timers.

use crate::errno::Errno;
use crate::ids::{ProcessId, TaskId};
use crate::kernel::account::TIMER;
use crate::kernel::{Arguments, Call, Kernel};
use crate::record::Record;
use crate::signal::{Signal, SignalSet};
use crate::timer::{Interval, Notify, PosixTimer};
use crate::wait::{CallResult, Failure, Wait};

/// Nanoseconds a second.
const SECOND: u64 = 1_000_000_000;

/// The longest time there is, as in the kernel (KTIME_MAX): 292 years.
const FOREVER: u64 = i64::MAX as u64;

/// How a timespec lies in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Layout {
    /// Two 32-bit words.
    Short,
    /// Two 64-bit words, of whose second one only the low half counts (time64 calls).
    Long,
}

impl Layout {
    /// Bytes of a time in the program's memory.
    pub(super) const fn size(self) -> u32 {
        match self {
            Self::Short => 8,
            Self::Long => 16,
        }
    }
}

/// Seconds and nanoseconds at `address`, as nanoseconds.
pub(super) fn read_timespec(call: &mut Call<'_>, address: u32, layout: Layout) -> Result<u64, Errno> {
    let mut user = call.user();
    let (seconds, nanoseconds) = match layout {
        Layout::Short => {
            let [seconds, nanoseconds] = user.words(address)?;
            (i64::from(seconds as i32), nanoseconds)
        }
        Layout::Long => {
            let [low, high, nanoseconds, _] = user.words(address)?;
            ((u64::from(high) << 32 | u64::from(low)) as i64, nanoseconds)
        }
    };
    if seconds < 0 || u64::from(nanoseconds) >= SECOND {
        return Err(Errno::EINVAL);
    }
    let time = (seconds as u64).saturating_mul(SECOND).saturating_add(u64::from(nanoseconds));
    Ok(time.min(FOREVER))
}

/// A relative timeout in nanoseconds; `None` for a null pointer, which means for ever.
pub(super) fn read_timeout(call: &mut Call<'_>, address: u32, layout: Layout) -> Result<Option<u64>, Errno> {
    if address == 0 { Ok(None) } else { read_timespec(call, address, layout).map(Some) }
}

/// Writes nanoseconds as seconds and nanoseconds.
fn write_timespec(call: &mut Call<'_>, address: u32, time: u64, layout: Layout) -> Result<(), Errno> {
    call.user().copy_out(address, timespec(time, layout).as_bytes())
}

/// Nanoseconds as seconds and nanoseconds.
pub(super) fn timespec(time: u64, layout: Layout) -> Record {
    let (seconds, nanoseconds) = (time / SECOND, time % SECOND);
    match layout {
        Layout::Short => Record::new().u32(seconds as u32).u32(nanoseconds as u32),
        Layout::Long => Record::new().u64(seconds).u64(nanoseconds),
    }
}

impl Call<'_> {
    /// The deadline of the call: what its first run made of `timeout`, nanoseconds from then.
    pub(super) fn deadline(&mut self, timeout: Option<u64>) -> Option<u64> {
        let now = self.kernel.time.monotonic();
        let deadline = timeout.map(|timeout| now.saturating_add(timeout));
        match &mut self.task().call {
            Some(pending) => *pending.deadline.get_or_insert(deadline),
            None => deadline,
        }
    }

    /// Whether a signal handler is about to run instead of the call.
    pub(super) fn is_interrupted(&mut self) -> bool {
        self.task().call.as_ref().is_some_and(|pending| pending.interrupted)
    }

    /// What a clock shows, nanoseconds.
    fn read_clock(&mut self, clock: u32) -> Result<u64, Errno> {
        let kernel = &mut *self.kernel;
        match clock {
            // REALTIME, REALTIME_COARSE, REALTIME_ALARM, TAI
            0 | 5 | 8 | 11 => Ok(kernel.time.realtime()),
            // MONOTONIC, MONOTONIC_RAW, MONOTONIC_COARSE, BOOTTIME, BOOTTIME_ALARM
            1 | 4 | 6 | 7 | 9 => Ok(kernel.time.monotonic()),
            2 => Ok(kernel.processor_time(self.process_id)),
            3 => {
                let instructions = self.task().instructions;
                Ok(self.kernel.time.processor_time(instructions))
            }
            // The clock of a descriptor, of which there are none here.
            clock if clock as i32 <= -1 && clock & 3 == 3 => Err(Errno::EINVAL),
            // A process's or thread's processor clock: its number inverted, above three bits of kind.
            clock if clock as i32 <= -1 => {
                let number = !((clock as i32) >> 3) as u32;
                if clock & 4 != 0 {
                    let target = if number == 0 { self.task_id } else { TaskId(number) };
                    let target = kernel.tasks.get(&target).ok_or(Errno::EINVAL)?;
                    return Ok(kernel.time.processor_time(target.instructions));
                }
                let target = if number == 0 { self.process_id } else { ProcessId(number) };
                if !kernel.processes.contains_key(&target) {
                    return Err(Errno::EINVAL);
                }
                Ok(kernel.processor_time(target))
            }
            _ => Err(Errno::EINVAL),
        }
    }
}

impl Kernel {
    /// Whether a deadline has passed.
    pub(super) fn has_passed(&mut self, deadline: Option<u64>) -> bool {
        deadline.is_some_and(|deadline| self.time.monotonic() >= deadline)
    }

    /// The monotonic time at which `clock` shows `time`.
    fn monotonic_for(&mut self, clock: u32, time: u64) -> u64 {
        if matches!(clock, 0 | 5 | 8 | 11) {
            let now = self.time.realtime();
            self.time.monotonic().saturating_add(time.saturating_sub(now))
        } else {
            time
        }
    }
}

/// time(2).
pub(super) fn time(call: &mut Call<'_>, [address, ..]: Arguments) -> CallResult {
    let seconds = (call.kernel.time.realtime() / SECOND) as u32;
    if address != 0 {
        call.user().write(address, seconds)?;
    }
    Ok(seconds)
}

/// gettimeofday(2).
pub(super) fn gettimeofday(call: &mut Call<'_>, [time, zone, ..]: Arguments) -> CallResult {
    let now = call.kernel.time.realtime();
    if time != 0 {
        let record = Record::new().u32((now / SECOND) as u32).u32((now % SECOND / 1000) as u32);
        call.user().copy_out(time, record.as_bytes())?;
    }
    if zone != 0 {
        call.user().copy_out(zone, &[0; 8])?;
    }
    Ok(0)
}

/// Sets the machine's wall clock, which only the superuser may.
fn set_wall_clock(call: &mut Call<'_>, time: u64) -> CallResult {
    if call.process().credentials.euid != 0 {
        return Err(Errno::EPERM.into());
    }
    call.kernel.time.set_realtime(time);
    Ok(0)
}

/// settimeofday(2).
pub(super) fn settimeofday(call: &mut Call<'_>, [time, ..]: Arguments) -> CallResult {
    if time == 0 {
        return Ok(0);
    }
    let [seconds, microseconds] = call.user().words(time)?;
    if microseconds >= 1_000_000 || seconds as i32 <= -1 {
        return Err(Errno::EINVAL.into());
    }
    set_wall_clock(call, u64::from(seconds) * SECOND + u64::from(microseconds) * 1000)
}

/// stime(2).
pub(super) fn stime(call: &mut Call<'_>, [time, ..]: Arguments) -> CallResult {
    let seconds: u32 = call.user().read(time)?;
    set_wall_clock(call, u64::from(seconds) * SECOND)
}

/// The calls that come with both layouts of a timespec.
macro_rules! both_layouts {
    ($($(#[$doc:meta])* $short:ident, $long:ident => $common:ident;)*) => {$(
        $(#[$doc])*
        pub(super) fn $short(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
            $common(call, arguments, Layout::Short)
        }
        $(#[$doc])*
        pub(super) fn $long(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
            $common(call, arguments, Layout::Long)
        }
    )*};
}

both_layouts! {
    /// clock_gettime(2).
    clock_gettime, clock_gettime64 => get_clock;
    /// clock_settime(2).
    clock_settime, clock_settime64 => set_clock;
    /// clock_getres(2).
    clock_getres, clock_getres_time64 => get_resolution;
    /// clock_nanosleep(2).
    clock_nanosleep, clock_nanosleep_time64 => sleep_on_clock;
    /// timer_settime(2).
    timer_settime, timer_settime64 => set_timer;
    /// timer_gettime(2).
    timer_gettime, timer_gettime64 => get_timer;
}

fn get_clock(call: &mut Call<'_>, [clock, address, ..]: Arguments, layout: Layout) -> CallResult {
    let time = call.read_clock(clock)?;
    write_timespec(call, address, time, layout)?;
    Ok(0)
}

fn set_clock(call: &mut Call<'_>, [clock, address, ..]: Arguments, layout: Layout) -> CallResult {
    match clock {
        0 => {}
        // A process's or thread's processor clock, which nobody may set.
        clock if (clock as i32) < 0 && clock & 7 != 3 => {
            call.user().bytes(address, layout.size())?;
            call.read_clock(clock)?;
            return Err(Errno::EPERM.into());
        }
        _ => return Err(Errno::EINVAL.into()),
    }
    let time = read_timespec(call, address, layout)?;
    set_wall_clock(call, time)
}

fn get_resolution(call: &mut Call<'_>, [clock, address, ..]: Arguments, layout: Layout) -> CallResult {
    call.read_clock(clock)?;
    // Coarse clocks tick 250 times a second.
    let resolution = if matches!(clock, 5 | 6) { 4_000_000 } else { 1 };
    if address != 0 {
        write_timespec(call, address, resolution, layout)?;
    }
    Ok(0)
}

/// nanosleep(2).
pub(super) fn nanosleep(call: &mut Call<'_>, [request, remaining, ..]: Arguments) -> CallResult {
    sleep_on_clock(call, [1, 0, request, remaining, 0, 0], Layout::Short)
}

fn sleep_on_clock(
    call: &mut Call<'_>,
    [clock, flags, request, remaining, ..]: Arguments,
    layout: Layout,
) -> CallResult {
    const ABSOLUTE: u32 = 1;
    match clock {
        0 | 1 | 2 | 7 | 8 | 9 | 11 => {}
        // A descriptor's clock, on which nobody sleeps, if there were one.
        _ if (clock as i32) < 0 && clock & 7 == 3 => return Err(Errno::EOPNOTSUPP.into()),
        _ if (clock as i32) < 0 && clock & 4 == 0 => {}
        // The thread's own clock stands still while it sleeps; coarse clocks have no timers.
        3..=6 => return Err(Errno::EOPNOTSUPP.into()),
        _ => return Err(Errno::EINVAL.into()),
    }
    let time = read_timespec(call, request, layout)?;
    let absolute = flags & ABSOLUTE != 0;
    let deadline =
        if absolute { Some(call.kernel.monotonic_for(clock, time)) } else { call.deadline(Some(time)) };
    if call.kernel.has_passed(deadline) {
        return Ok(0);
    }
    if call.is_interrupted() && !absolute && remaining != 0 {
        let left = deadline.unwrap_or(0).saturating_sub(call.kernel.time.monotonic());
        write_timespec(call, remaining, left, layout)?;
    }
    Err(Failure::Block(Wait::default().until(deadline).never_restarts()))
}

/// times(2): clock ticks of a hundredth of a second.
pub(super) fn times(call: &mut Call<'_>, [address, ..]: Arguments) -> CallResult {
    const TICK: u64 = SECOND / 100;
    let own = call.process_id;
    if address != 0 {
        let children = call.process().child_instructions;
        let user = (call.kernel.processor_time(own) / TICK) as u32;
        let children = (call.kernel.time.processor_time(children) / TICK) as u32;
        let record = Record::new().u32(user).u32(0).u32(children).u32(0);
        call.user().copy_out(address, record.as_bytes())?;
    }
    Ok((call.kernel.time.monotonic() / TICK) as u32)
}

/// getrusage(2).
pub(super) fn getrusage(call: &mut Call<'_>, [who, address, ..]: Arguments) -> CallResult {
    let time = match who as i32 {
        0 => {
            let own = call.process_id;
            call.kernel.processor_time(own)
        }
        -1 => {
            let children = call.process().child_instructions;
            call.kernel.time.processor_time(children)
        }
        1 => {
            let instructions = call.task().instructions;
            call.kernel.time.processor_time(instructions)
        }
        _ => return Err(Errno::EINVAL.into()),
    };
    let usage = resource_usage(time);
    call.user().copy_out(address, usage.as_bytes())?;
    Ok(0)
}

/// `struct rusage` of that much processor time.
pub(super) fn resource_usage(time: u64) -> Record {
    Record::new().u32((time / SECOND) as u32).u32((time % SECOND / 1000) as u32).pad_to(72)
}

/// alarm(2).
pub(super) fn alarm(call: &mut Call<'_>, [seconds, ..]: Arguments) -> CallResult {
    let now = call.kernel.time.monotonic();
    let own = call.process_id;
    let left = call.process().timers.real.left(now);
    let next = if seconds == 0 { 0 } else { now.saturating_add(u64::from(seconds) * SECOND) };
    call.kernel.arm_real_timer(own, Interval { next, period: 0 });
    // Whole seconds, never 0 while an alarm was pending.
    Ok(if left == 0 { 0 } else { ((left + SECOND / 2) / SECOND).max(1) as u32 })
}

/// What `struct itimerval` holds: (interval, value), in nanoseconds.
fn read_interval_timer(call: &mut Call<'_>, address: u32) -> Result<(u64, u64), Errno> {
    let words: [u32; 4] = call.user().words(address)?;
    let time = |seconds: u32, microseconds: u32| {
        if (seconds as i32) < 0 || microseconds >= 1_000_000 {
            return Err(Errno::EINVAL);
        }
        Ok(u64::from(seconds) * SECOND + u64::from(microseconds) * 1000)
    };
    Ok((time(words[0], words[1])?, time(words[2], words[3])?))
}

/// The interval timer of kind `which`, and the time on its clock.
fn interval_timer(call: &mut Call<'_>, which: u32) -> Result<(Interval, u64), Errno> {
    let own = call.process_id;
    let timers = &call.process().timers;
    let interval = match which {
        0 => timers.real,
        1 => timers.virtual_time,
        2 => timers.profile,
        _ => return Err(Errno::EINVAL),
    };
    let now = if which == 0 { call.kernel.time.monotonic() } else { call.kernel.processor_time(own) };
    Ok((interval, now))
}

fn write_interval_timer(
    call: &mut Call<'_>,
    address: u32,
    interval: Interval,
    now: u64,
) -> Result<(), Errno> {
    let left = interval.left(now).div_ceil(1000);
    let period = interval.period / 1000;
    let record = Record::new()
        .u32((period / 1_000_000) as u32)
        .u32((period % 1_000_000) as u32)
        .u32((left / 1_000_000) as u32)
        .u32((left % 1_000_000) as u32);
    call.user().copy_out(address, record.as_bytes())
}

/// getitimer(2).
pub(super) fn getitimer(call: &mut Call<'_>, [which, address, ..]: Arguments) -> CallResult {
    let (interval, now) = interval_timer(call, which)?;
    write_interval_timer(call, address, interval, now)?;
    Ok(0)
}

/// setitimer(2).
pub(super) fn setitimer(call: &mut Call<'_>, [which, new, old, ..]: Arguments) -> CallResult {
    let (period, value) = if new == 0 { (0, 0) } else { read_interval_timer(call, new)? };
    let (before, now) = interval_timer(call, which)?;
    let next = if value == 0 { 0 } else { now.saturating_add(value) };
    let interval = Interval { next, period };
    let own = call.process_id;
    match which {
        0 => call.kernel.arm_real_timer(own, interval),
        1 => call.process().timers.virtual_time = interval,
        _ => call.process().timers.profile = interval,
    }
    if old != 0 {
        write_interval_timer(call, old, before, now)?;
    }
    Ok(0)
}

/// timer_create(2).
pub(super) fn timer_create(call: &mut Call<'_>, [clock, event, out, ..]: Arguments) -> CallResult {
    const SIGNAL: u32 = 0;
    const NONE: u32 = 1;
    const THREAD: u32 = 2;
    const THREAD_ID: u32 = 4;
    /// Timers of one process.
    const MOST: usize = 1 << 17;
    if event != 0 {
        call.user().words::<4>(event)?;
    }
    if matches!(clock, 4..=6) {
        return Err(Errno::EOPNOTSUPP.into());
    }
    call.read_clock(clock)?;
    let own = call.process_id;
    let [value, number, kind, thread] = match event {
        0 => [0, u32::from(Signal::ALRM.number()), SIGNAL, 0],
        event => call.user().words(event)?,
    };
    let signal = || Signal::new(number).ok_or(Errno::EINVAL);
    let notify = match kind {
        NONE => Notify::Nobody,
        SIGNAL | THREAD => Notify::Process(signal()?),
        THREAD_ID => {
            let target = TaskId(thread);
            let member = call.kernel.tasks.get(&target).is_some_and(|task| task.process == own);
            Notify::Task(signal()?, if member { target } else { return Err(Errno::EINVAL.into()) })
        }
        _ => return Err(Errno::EINVAL.into()),
    };
    let timers = &mut call.process().timers;
    if timers.posix.len() >= MOST {
        return Err(Errno::EAGAIN.into());
    }
    let id = timers.created;
    call.charge(TIMER).map_err(|_| Errno::EAGAIN)?;
    call.user().write(out, id)?;
    // Without an event the timer's own number is the value.
    let value = if event == 0 { id } else { value };
    let timer = PosixTimer {
        clock,
        notify,
        value,
        interval: Interval::default(),
        overrun: 0,
        queued: false,
        dormant: false,
    };
    let timers = &mut call.process().timers;
    timers.created = timers.created.wrapping_add(1) & (i32::MAX as u32);
    timers.signals = timers.signals.union(timer.signal().map_or(SignalSet::default(), SignalSet::of));
    timers.posix.insert(id, timer);
    Ok(0)
}

fn posix_timer(call: &mut Call<'_>, id: u32) -> Result<PosixTimer, Errno> {
    call.process().timers.posix.get(&id).copied().ok_or(Errno::EINVAL)
}

fn timer_record(timer: &PosixTimer, now: u64, layout: Layout) -> Record {
    let left = timespec(timer.interval.left(now), layout);
    timespec(timer.interval.period, layout).bytes(left.as_bytes())
}

fn get_timer(call: &mut Call<'_>, [id, out, ..]: Arguments, layout: Layout) -> CallResult {
    let timer = posix_timer(call, id)?;
    let record = timer_record(&timer, call.kernel.time.monotonic(), layout);
    call.user().copy_out(out, record.as_bytes())?;
    Ok(0)
}

fn set_timer(call: &mut Call<'_>, [id, flags, new, old, ..]: Arguments, layout: Layout) -> CallResult {
    const ABSOLUTE: u32 = 1;
    if new == 0 {
        return Err(Errno::EINVAL.into());
    }
    call.user().bytes(new, 2 * layout.size())?;
    let timer = posix_timer(call, id)?;
    let period = read_timespec(call, new, layout)?;
    let value = read_timespec(call, new.wrapping_add(layout.size()), layout)?;
    let now = call.kernel.time.monotonic();
    let next = match value {
        0 => 0,
        value if flags & ABSOLUTE != 0 => call.kernel.monotonic_for(timer.clock, value).max(1),
        value => now.saturating_add(value),
    };
    if old != 0 {
        let record = timer_record(&timer, now, layout);
        call.user().copy_out(old, record.as_bytes())?;
    }
    let own = call.process_id;
    call.kernel.arm_posix_timer(own, id, Interval { next, period });
    Ok(0)
}

/// timer_getoverrun(2).
pub(super) fn timer_getoverrun(call: &mut Call<'_>, [id, ..]: Arguments) -> CallResult {
    Ok(posix_timer(call, id)?.overrun)
}

/// timer_delete(2).
pub(super) fn timer_delete(call: &mut Call<'_>, [id, ..]: Arguments) -> CallResult {
    let own = call.process_id;
    call.kernel.arm_posix_timer(own, id, Interval::default());
    call.process().timers.posix.remove(&id).map(|_| 0).ok_or(Errno::EINVAL.into())
}
