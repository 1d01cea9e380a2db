//! Clocks, sleeping, and timers.

use super::call::Arguments;
use crate::errno::Errno;
use crate::ids::{ProcessId, TaskId};
use crate::kernel::Kernel;
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
pub(super) fn read_timespec(
    kernel: &mut Kernel,
    task: TaskId,
    address: u32,
    layout: Layout,
) -> Result<u64, Errno> {
    let mut user = kernel.user(task);
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
pub(super) fn read_timeout(
    kernel: &mut Kernel,
    task: TaskId,
    address: u32,
    layout: Layout,
) -> Result<Option<u64>, Errno> {
    if address == 0 { Ok(None) } else { read_timespec(kernel, task, address, layout).map(Some) }
}

/// Writes nanoseconds as seconds and nanoseconds.
fn write_timespec(
    kernel: &mut Kernel,
    task: TaskId,
    address: u32,
    time: u64,
    layout: Layout,
) -> Result<(), Errno> {
    kernel.user(task).copy_out(address, timespec(time, layout).as_bytes())
}

/// Nanoseconds as seconds and nanoseconds.
pub(super) fn timespec(time: u64, layout: Layout) -> Record {
    let (seconds, nanoseconds) = (time / SECOND, time % SECOND);
    match layout {
        Layout::Short => Record::new().u32(seconds as u32).u32(nanoseconds as u32),
        Layout::Long => Record::new().u64(seconds).u64(nanoseconds),
    }
}

impl Kernel {
    /// The deadline of `task`'s call: what its first run made of `timeout`, nanoseconds from then.
    pub(crate) fn deadline(&mut self, id: TaskId, timeout: Option<u64>) -> Option<u64> {
        let now = self.time.monotonic();
        let deadline = timeout.map(|timeout| now.saturating_add(timeout));
        match self.tasks.get_mut(&id).and_then(|task| task.call.as_mut()) {
            Some(call) => *call.deadline.get_or_insert(deadline),
            None => deadline,
        }
    }

    /// Whether a deadline has passed.
    pub(crate) fn has_passed(&mut self, deadline: Option<u64>) -> bool {
        deadline.is_some_and(|deadline| self.time.monotonic() >= deadline)
    }

    /// Whether a signal handler is about to run instead of `task`'s call.
    pub(crate) fn is_interrupted(&self, id: TaskId) -> bool {
        self.tasks.get(&id).and_then(|task| task.call.as_ref()).is_some_and(|call| call.interrupted)
    }

    /// What a clock shows, nanoseconds.
    fn read_clock(&mut self, task: TaskId, clock: u32) -> Result<u64, Errno> {
        let own = self.task(task).process;
        match clock {
            // REALTIME, REALTIME_COARSE, REALTIME_ALARM, TAI
            0 | 5 | 8 | 11 => Ok(self.time.realtime()),
            // MONOTONIC, MONOTONIC_RAW, MONOTONIC_COARSE, BOOTTIME, BOOTTIME_ALARM
            1 | 4 | 6 | 7 | 9 => Ok(self.time.monotonic()),
            2 => Ok(self.processor_time(own)),
            3 => {
                let instructions = self.task(task).instructions;
                Ok(self.time.processor_time(instructions))
            }
            // A process's or thread's processor clock: its number inverted, above three bits of kind.
            clock if clock as i32 <= -1 => {
                let number = !((clock as i32) >> 3) as u32;
                if clock & 4 != 0 {
                    let target = if number == 0 { task } else { TaskId(number) };
                    let target = self.tasks.get(&target).ok_or(Errno::EINVAL)?;
                    return Ok(self.time.processor_time(target.instructions));
                }
                let target = if number == 0 { own } else { ProcessId(number) };
                if !self.processes.contains_key(&target) {
                    return Err(Errno::EINVAL);
                }
                Ok(self.processor_time(target))
            }
            _ => Err(Errno::EINVAL),
        }
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
pub(super) fn time(kernel: &mut Kernel, task: TaskId, [address, ..]: Arguments) -> CallResult {
    let seconds = (kernel.time.realtime() / SECOND) as u32;
    if address != 0 {
        kernel.user(task).write(address, seconds)?;
    }
    Ok(seconds)
}

/// gettimeofday(2).
pub(super) fn gettimeofday(kernel: &mut Kernel, task: TaskId, [time, zone, ..]: Arguments) -> CallResult {
    let now = kernel.time.realtime();
    if time != 0 {
        let record = Record::new().u32((now / SECOND) as u32).u32((now % SECOND / 1000) as u32);
        kernel.user(task).copy_out(time, record.as_bytes())?;
    }
    if zone != 0 {
        kernel.user(task).copy_out(zone, &[0; 8])?;
    }
    Ok(0)
}

/// Sets the machine's wall clock, which only the superuser may.
fn set_wall_clock(kernel: &mut Kernel, task: TaskId, time: u64) -> CallResult {
    if kernel.process(task).credentials.euid != 0 {
        return Err(Errno::EPERM.into());
    }
    kernel.time.set_realtime(time);
    Ok(0)
}

/// settimeofday(2).
pub(super) fn settimeofday(kernel: &mut Kernel, task: TaskId, [time, ..]: Arguments) -> CallResult {
    if time == 0 {
        return Ok(0);
    }
    let [seconds, microseconds] = kernel.user(task).words(time)?;
    if microseconds >= 1_000_000 || seconds as i32 <= -1 {
        return Err(Errno::EINVAL.into());
    }
    set_wall_clock(kernel, task, u64::from(seconds) * SECOND + u64::from(microseconds) * 1000)
}

/// stime(2).
pub(super) fn stime(kernel: &mut Kernel, task: TaskId, [time, ..]: Arguments) -> CallResult {
    let seconds: u32 = kernel.user(task).read(time)?;
    set_wall_clock(kernel, task, u64::from(seconds) * SECOND)
}

/// The calls that come with both layouts of a timespec.
macro_rules! both_layouts {
    ($($(#[$doc:meta])* $short:ident, $long:ident => $common:ident;)*) => {$(
        $(#[$doc])*
        pub(super) fn $short(kernel: &mut Kernel, task: TaskId, arguments: Arguments) -> CallResult {
            $common(kernel, task, arguments, Layout::Short)
        }
        $(#[$doc])*
        pub(super) fn $long(kernel: &mut Kernel, task: TaskId, arguments: Arguments) -> CallResult {
            $common(kernel, task, arguments, Layout::Long)
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

fn get_clock(
    kernel: &mut Kernel,
    task: TaskId,
    [clock, address, ..]: Arguments,
    layout: Layout,
) -> CallResult {
    let time = kernel.read_clock(task, clock)?;
    write_timespec(kernel, task, address, time, layout)?;
    Ok(0)
}

fn set_clock(
    kernel: &mut Kernel,
    task: TaskId,
    [clock, address, ..]: Arguments,
    layout: Layout,
) -> CallResult {
    let time = read_timespec(kernel, task, address, layout)?;
    if clock != 0 {
        return Err(Errno::EINVAL.into());
    }
    set_wall_clock(kernel, task, time)
}

fn get_resolution(
    kernel: &mut Kernel,
    task: TaskId,
    [clock, address, ..]: Arguments,
    layout: Layout,
) -> CallResult {
    kernel.read_clock(task, clock)?;
    // Coarse clocks tick 250 times a second.
    let resolution = if matches!(clock, 5 | 6) { 4_000_000 } else { 1 };
    if address != 0 {
        write_timespec(kernel, task, address, resolution, layout)?;
    }
    Ok(0)
}

/// nanosleep(2).
pub(super) fn nanosleep(
    kernel: &mut Kernel,
    task: TaskId,
    [request, remaining, ..]: Arguments,
) -> CallResult {
    sleep_on_clock(kernel, task, [1, 0, request, remaining, 0, 0], Layout::Short)
}

fn sleep_on_clock(
    kernel: &mut Kernel,
    task: TaskId,
    [clock, flags, request, remaining, ..]: Arguments,
    layout: Layout,
) -> CallResult {
    const ABSOLUTE: u32 = 1;
    match clock {
        0 | 1 | 2 | 7 | 8 | 9 | 11 => {}
        _ if (clock as i32) < 0 && clock & 4 == 0 => {}
        // The thread's own clock stands still while it sleeps; coarse clocks have no timers.
        3..=6 => return Err(if clock == 3 { Errno::EINVAL } else { Errno::EOPNOTSUPP }.into()),
        _ => return Err(Errno::EINVAL.into()),
    }
    let time = read_timespec(kernel, task, request, layout)?;
    let absolute = flags & ABSOLUTE != 0;
    let deadline =
        if absolute { Some(kernel.monotonic_for(clock, time)) } else { kernel.deadline(task, Some(time)) };
    if kernel.has_passed(deadline) {
        return Ok(0);
    }
    if kernel.is_interrupted(task) && !absolute && remaining != 0 {
        let left = deadline.unwrap_or(0).saturating_sub(kernel.time.monotonic());
        write_timespec(kernel, task, remaining, left, layout)?;
    }
    Err(Failure::Block(Wait::default().until(deadline).never_restarts()))
}

/// times(2): clock ticks of a hundredth of a second.
pub(super) fn times(kernel: &mut Kernel, task: TaskId, [address, ..]: Arguments) -> CallResult {
    const TICK: u64 = SECOND / 100;
    let own = kernel.task(task).process;
    if address != 0 {
        let children = kernel.process(task).child_instructions;
        let user = (kernel.processor_time(own) / TICK) as u32;
        let children = (kernel.time.processor_time(children) / TICK) as u32;
        let record = Record::new().u32(user).u32(0).u32(children).u32(0);
        kernel.user(task).copy_out(address, record.as_bytes())?;
    }
    Ok((kernel.time.monotonic() / TICK) as u32)
}

/// getrusage(2).
pub(super) fn getrusage(kernel: &mut Kernel, task: TaskId, [who, address, ..]: Arguments) -> CallResult {
    let time = match who as i32 {
        0 => {
            let own = kernel.task(task).process;
            kernel.processor_time(own)
        }
        -1 => {
            let children = kernel.process(task).child_instructions;
            kernel.time.processor_time(children)
        }
        1 => {
            let instructions = kernel.task(task).instructions;
            kernel.time.processor_time(instructions)
        }
        _ => return Err(Errno::EINVAL.into()),
    };
    let usage = resource_usage(time);
    kernel.user(task).copy_out(address, usage.as_bytes())?;
    Ok(0)
}

/// `struct rusage` of that much processor time.
pub(super) fn resource_usage(time: u64) -> Record {
    Record::new().u32((time / SECOND) as u32).u32((time % SECOND / 1000) as u32).pad_to(72)
}

/// alarm(2).
pub(super) fn alarm(kernel: &mut Kernel, task: TaskId, [seconds, ..]: Arguments) -> CallResult {
    let now = kernel.time.monotonic();
    let own = kernel.task(task).process;
    let left = kernel.process(task).timers.real.left(now);
    let next = if seconds == 0 { 0 } else { now.saturating_add(u64::from(seconds) * SECOND) };
    kernel.arm_real_timer(own, Interval { next, period: 0 });
    // Whole seconds, never 0 while an alarm was pending.
    Ok(if left == 0 { 0 } else { ((left + SECOND / 2) / SECOND).max(1) as u32 })
}

/// What `struct itimerval` holds: (interval, value), in nanoseconds.
fn read_interval_timer(kernel: &mut Kernel, task: TaskId, address: u32) -> Result<(u64, u64), Errno> {
    let words: [u32; 4] = kernel.user(task).words(address)?;
    let time = |seconds: u32, microseconds: u32| {
        if (seconds as i32) < 0 || microseconds >= 1_000_000 {
            return Err(Errno::EINVAL);
        }
        Ok(u64::from(seconds) * SECOND + u64::from(microseconds) * 1000)
    };
    Ok((time(words[0], words[1])?, time(words[2], words[3])?))
}

/// The interval timer of kind `which`, and the time on its clock.
fn interval_timer(kernel: &mut Kernel, task: TaskId, which: u32) -> Result<(Interval, u64), Errno> {
    let own = kernel.task(task).process;
    let timers = &kernel.process(task).timers;
    let interval = match which {
        0 => timers.real,
        1 => timers.virtual_time,
        2 => timers.profile,
        _ => return Err(Errno::EINVAL),
    };
    let now = if which == 0 { kernel.time.monotonic() } else { kernel.processor_time(own) };
    Ok((interval, now))
}

fn write_interval_timer(
    kernel: &mut Kernel,
    task: TaskId,
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
    kernel.user(task).copy_out(address, record.as_bytes())
}

/// getitimer(2).
pub(super) fn getitimer(kernel: &mut Kernel, task: TaskId, [which, address, ..]: Arguments) -> CallResult {
    let (interval, now) = interval_timer(kernel, task, which)?;
    write_interval_timer(kernel, task, address, interval, now)?;
    Ok(0)
}

/// setitimer(2).
pub(super) fn setitimer(kernel: &mut Kernel, task: TaskId, [which, new, old, ..]: Arguments) -> CallResult {
    let (before, now) = interval_timer(kernel, task, which)?;
    let (period, value) = if new == 0 { (0, 0) } else { read_interval_timer(kernel, task, new)? };
    let next = if value == 0 { 0 } else { now.saturating_add(value) };
    let interval = Interval { next, period };
    let own = kernel.task(task).process;
    match which {
        0 => kernel.arm_real_timer(own, interval),
        1 => kernel.process(task).timers.virtual_time = interval,
        _ => kernel.process(task).timers.profile = interval,
    }
    if old != 0 {
        write_interval_timer(kernel, task, old, before, now)?;
    }
    Ok(0)
}

/// timer_create(2).
pub(super) fn timer_create(
    kernel: &mut Kernel,
    task: TaskId,
    [clock, event, out, ..]: Arguments,
) -> CallResult {
    const SIGNAL: u32 = 0;
    const NONE: u32 = 1;
    const THREAD: u32 = 2;
    const THREAD_ID: u32 = 4;
    /// Timers of one process.
    const MOST: usize = 1 << 17;
    kernel.read_clock(task, clock)?;
    let own = kernel.task(task).process;
    let [value, number, kind, thread] = match event {
        0 => [0, u32::from(Signal::ALRM.number()), SIGNAL, 0],
        event => kernel.user(task).words(event)?,
    };
    let signal = || Signal::new(number).ok_or(Errno::EINVAL);
    let notify = match kind {
        NONE => Notify::Nobody,
        SIGNAL | THREAD => Notify::Process(signal()?),
        THREAD_ID => {
            let target = TaskId(thread);
            let member = kernel.tasks.get(&target).is_some_and(|task| task.process == own);
            Notify::Task(signal()?, if member { target } else { return Err(Errno::EINVAL.into()) })
        }
        _ => return Err(Errno::EINVAL.into()),
    };
    let timers = &mut kernel.process(task).timers;
    if timers.posix.len() >= MOST {
        return Err(Errno::EAGAIN.into());
    }
    let id = timers.created;
    kernel.user(task).write(out, id)?;
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
    let timers = &mut kernel.process(task).timers;
    timers.created = timers.created.wrapping_add(1) & (i32::MAX as u32);
    timers.signals = timers.signals.union(timer.signal().map_or(SignalSet::default(), SignalSet::of));
    timers.posix.insert(id, timer);
    Ok(0)
}

fn posix_timer(kernel: &mut Kernel, task: TaskId, id: u32) -> Result<PosixTimer, Errno> {
    kernel.process(task).timers.posix.get(&id).copied().ok_or(Errno::EINVAL)
}

fn timer_record(timer: &PosixTimer, now: u64, layout: Layout) -> Record {
    let left = timespec(timer.interval.left(now), layout);
    timespec(timer.interval.period, layout).bytes(left.as_bytes())
}

fn get_timer(kernel: &mut Kernel, task: TaskId, [id, out, ..]: Arguments, layout: Layout) -> CallResult {
    let timer = posix_timer(kernel, task, id)?;
    let record = timer_record(&timer, kernel.time.monotonic(), layout);
    kernel.user(task).copy_out(out, record.as_bytes())?;
    Ok(0)
}

fn set_timer(
    kernel: &mut Kernel,
    task: TaskId,
    [id, flags, new, old, ..]: Arguments,
    layout: Layout,
) -> CallResult {
    const ABSOLUTE: u32 = 1;
    let timer = posix_timer(kernel, task, id)?;
    let period = read_timespec(kernel, task, new, layout)?;
    let value = read_timespec(kernel, task, new.wrapping_add(layout.size()), layout)?;
    let now = kernel.time.monotonic();
    let next = match value {
        0 => 0,
        value if flags & ABSOLUTE != 0 => kernel.monotonic_for(timer.clock, value).max(1),
        value => now.saturating_add(value),
    };
    if old != 0 {
        let record = timer_record(&timer, now, layout);
        kernel.user(task).copy_out(old, record.as_bytes())?;
    }
    let own = kernel.task(task).process;
    kernel.arm_posix_timer(own, id, Interval { next, period });
    Ok(0)
}

/// timer_getoverrun(2).
pub(super) fn timer_getoverrun(kernel: &mut Kernel, task: TaskId, [id, ..]: Arguments) -> CallResult {
    Ok(posix_timer(kernel, task, id)?.overrun)
}

/// timer_delete(2).
pub(super) fn timer_delete(kernel: &mut Kernel, task: TaskId, [id, ..]: Arguments) -> CallResult {
    let own = kernel.task(task).process;
    kernel.arm_posix_timer(own, id, Interval::default());
    kernel.process(task).timers.posix.remove(&id).map(|_| 0).ok_or(Errno::EINVAL.into())
}
