//! Scheduling: all tasks are equal, so most of it is answered rather than done.

use super::time::Layout;
use crate::errno::Errno;
use crate::ids::TaskId;
use crate::kernel::{Arguments, Call, Kernel};
use crate::record::Record;
use crate::wait::CallResult;

/// Fails with ESRCH unless `number` is 0 or a task's.
fn check_task(kernel: &Kernel, number: u32) -> Result<(), Errno> {
    match number {
        0 => Ok(()),
        number if (number as i32) < 0 => Err(Errno::EINVAL),
        number if kernel.tasks.contains_key(&TaskId(number)) => Ok(()),
        _ => Err(Errno::ESRCH),
    }
}

/// sched_yield(2).
pub(super) fn sched_yield(call: &mut Call<'_>, _: Arguments) -> CallResult {
    call.kernel.scheduler.end_quantum();
    Ok(0)
}

/// sched_setscheduler(2): SCHED_OTHER, SCHED_BATCH and SCHED_IDLE are the same here.
pub(super) fn sched_setscheduler(call: &mut Call<'_>, [target, policy, param, ..]: Arguments) -> CallResult {
    check_task(call.kernel, target)?;
    let priority: u32 = call.user().read(param)?;
    match policy & !0x4000_0000 {
        0 | 3 | 5 if priority == 0 => Ok(0),
        1 | 2 if (1..=99).contains(&priority) => Err(Errno::EPERM.into()),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// sched_getscheduler(2).
pub(super) fn sched_getscheduler(call: &mut Call<'_>, [target, ..]: Arguments) -> CallResult {
    check_task(call.kernel, target)?;
    Ok(0)
}

/// sched_setparam(2).
pub(super) fn sched_setparam(call: &mut Call<'_>, [target, param, ..]: Arguments) -> CallResult {
    let priority: u32 = call.user().read(param)?;
    check_task(call.kernel, target)?;
    if priority == 0 { Ok(0) } else { Err(Errno::EINVAL.into()) }
}

/// sched_getparam(2).
pub(super) fn sched_getparam(call: &mut Call<'_>, [target, param, ..]: Arguments) -> CallResult {
    check_task(call.kernel, target)?;
    call.user().write(param, 0_u32)?;
    Ok(0)
}

/// sched_get_priority_max(2).
pub(super) fn sched_get_priority_max(_: &mut Call<'_>, [policy, ..]: Arguments) -> CallResult {
    match policy {
        1 | 2 => Ok(99),
        0 | 3 | 5..=7 => Ok(0),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// sched_get_priority_min(2).
pub(super) fn sched_get_priority_min(_: &mut Call<'_>, [policy, ..]: Arguments) -> CallResult {
    match policy {
        1 | 2 => Ok(1),
        0 | 3 | 5..=7 => Ok(0),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// sched_rr_get_interval(2).
pub(super) fn sched_rr_get_interval(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    interval(call, arguments, Layout::Short)
}

/// sched_rr_get_interval(2) with a 64-bit timespec.
pub(super) fn sched_rr_get_interval_time64(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    interval(call, arguments, Layout::Long)
}

fn interval(call: &mut Call<'_>, [target, address, ..]: Arguments, layout: Layout) -> CallResult {
    check_task(call.kernel, target)?;
    let record = match layout {
        Layout::Short => Record::new().u32(0).u32(4_000_000),
        Layout::Long => Record::new().u64(0).u64(4_000_000),
    };
    call.user().copy_out(address, record.as_bytes())?;
    Ok(0)
}

/// sched_getaffinity(2): there is one processor. Returns the bytes of the mask.
pub(super) fn sched_getaffinity(call: &mut Call<'_>, [target, size, mask, ..]: Arguments) -> CallResult {
    check_task(call.kernel, target)?;
    if size < 4 || !size.is_multiple_of(4) {
        return Err(Errno::EINVAL.into());
    }
    call.user().write(mask, 1_u32)?;
    Ok(4)
}

/// sched_setaffinity(2): the one processor has to be among those wanted.
pub(super) fn sched_setaffinity(call: &mut Call<'_>, [target, size, mask, ..]: Arguments) -> CallResult {
    check_task(call.kernel, target)?;
    let first = if size == 0 { 0 } else { call.user().read::<u8>(mask)? };
    if first & 1 != 0 { Ok(0) } else { Err(Errno::EINVAL.into()) }
}

/// getcpu(2).
pub(super) fn getcpu(call: &mut Call<'_>, [processor, node, ..]: Arguments) -> CallResult {
    for address in [processor, node] {
        if address != 0 {
            call.user().write(address, 0_u32)?;
        }
    }
    Ok(0)
}

/// membarrier(2): one processor sees all memory in order.
pub(super) fn membarrier(call: &mut Call<'_>, [command, flags, ..]: Arguments) -> CallResult {
    const QUERY: u32 = 0;
    const SUPPORTED: u32 = 0x1f;
    const PRIVATE_EXPEDITED: u32 = 8;
    const REGISTER_PRIVATE_EXPEDITED: u32 = 16;
    match (command, flags) {
        (QUERY, 0) => Ok(SUPPORTED),
        (PRIVATE_EXPEDITED, 0) if !call.process().attributes.has_barriers => Err(Errno::EPERM.into()),
        (REGISTER_PRIVATE_EXPEDITED, 0) => {
            call.process().attributes.has_barriers = true;
            Ok(0)
        }
        (command, 0) if command.is_power_of_two() && command & SUPPORTED != 0 => Ok(0),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// sched_getattr(2).
pub(super) fn sched_getattr(
    call: &mut Call<'_>,
    [target, address, size, flags, ..]: Arguments,
) -> CallResult {
    const SIZE: u32 = 48;
    check_task(call.kernel, target)?;
    if flags != 0 || !(SIZE..=4096).contains(&size) {
        return Err(Errno::EINVAL.into());
    }
    let subject = if target == 0 { call.task_id } else { TaskId(target) };
    let nice = call.kernel.task(subject).nice;
    // SCHED_OTHER, no flags, and no deadlines.
    let record = Record::new().u32(SIZE).u32(0).u64(0).u32(nice as u32).pad_to(SIZE as usize);
    call.user().copy_out(address, record.as_bytes())?;
    Ok(0)
}

/// sched_setattr(2): nice values are kept, and every policy without privilege is the same.
pub(super) fn sched_setattr(call: &mut Call<'_>, [target, address, flags, ..]: Arguments) -> CallResult {
    const SIZE: u32 = 48;
    const SMALLEST: u32 = 48;
    check_task(call.kernel, target)?;
    if address == 0 || flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let size: u32 = call.user().read(address)?;
    if size != 0 && !(SMALLEST..=4096).contains(&size) {
        call.user().write(address, SIZE)?;
        return Err(Errno::E2BIG.into());
    }
    // size, policy, flags (64 bits), nice, priority, then what deadlines need.
    let [_, policy, _, _, nice, priority] = call.user().words(address)?;
    match policy {
        0 | 3 | 5 if priority == 0 => {
            let subject = if target == 0 { call.task_id.number() } else { target };
            let nice = if policy == 5 { call.kernel.task(TaskId(subject)).nice as u32 } else { nice };
            super::priority::setpriority(call, [0, subject, nice, 0, 0, 0])
        }
        1 | 2 if (1..=99).contains(&priority) => Err(Errno::EPERM.into()),
        6 => Err(Errno::EPERM.into()),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// ioprio_get(2) and ioprio_set(2): every task has the default priority, "none".
pub(super) fn ioprio(_: &mut Call<'_>, [which, ..]: Arguments) -> CallResult {
    if (1..=3).contains(&which) { Ok(0) } else { Err(Errno::EINVAL.into()) }
}
