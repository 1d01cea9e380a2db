//! Nice values: kept and told, though all tasks get the same share of the processor (setpriority(2)).

use crate::errno::Errno;
use crate::ids::{ProcessId, TaskId};
use crate::kernel::{Arguments, Call};
use crate::resource::Resource;
use crate::wait::CallResult;

/// The least and the greatest nice value.
const RANGE: (i32, i32) = (-20, 19);

/// The tasks that getpriority(2) and setpriority(2) mean by `which` and `who`; never none.
fn subjects(call: &mut Call<'_>, which: u32, who: u32) -> Result<Vec<TaskId>, Errno> {
    const PRIO_PROCESS: u32 = 0;
    const PRIO_PGRP: u32 = 1;
    const PRIO_USER: u32 = 2;
    let own = call.process();
    let (group, user) = match who {
        0 => (own.group, own.credentials.uid),
        who => (ProcessId(who), who),
    };
    let thread = if who == 0 { call.task_id } else { TaskId(who) };
    let kernel = &*call.kernel;
    let living = kernel.tasks.iter();
    let found: Vec<TaskId> = match which {
        PRIO_PROCESS => kernel.tasks.contains_key(&thread).then_some(thread).into_iter().collect(),
        PRIO_PGRP => living
            .filter(|(_, task)| kernel.processes[&task.process].group == group)
            .map(|(id, _)| id)
            .collect(),
        PRIO_USER => living
            .filter(|(_, task)| kernel.processes[&task.process].credentials.uid == user)
            .map(|(id, _)| id)
            .collect(),
        _ => return Err(Errno::EINVAL),
    };
    if found.is_empty() { Err(Errno::ESRCH) } else { Ok(found) }
}

/// Whether the caller may give the nice value `wanted` in place of `present`.
fn may_choose(call: &mut Call<'_>, present: i32, wanted: i32) -> bool {
    let process = call.process();
    let allowed = process.limits[Resource::Nice].soft;
    wanted >= present || process.credentials.euid == 0 || u64::from((20 - wanted) as u32) <= allowed
}

/// getpriority(2): the raw call returns 20 minus the least nice value.
pub(super) fn getpriority(call: &mut Call<'_>, [which, who, ..]: Arguments) -> CallResult {
    let subjects = subjects(call, which, who)?;
    let least = subjects.iter().map(|id| call.kernel.tasks[id].nice).min().unwrap_or_default();
    Ok((20 - least) as u32)
}

/// setpriority(2).
pub(super) fn setpriority(call: &mut Call<'_>, [which, who, nice, ..]: Arguments) -> CallResult {
    let wanted = (nice as i32).clamp(RANGE.0, RANGE.1);
    for subject in subjects(call, which, who)? {
        let own = call.process().credentials.euid;
        let task = &call.kernel.tasks[&subject];
        let (other, present) = (&call.kernel.processes[&task.process].credentials, task.nice);
        if own != 0 && own != other.uid && own != other.euid {
            return Err(Errno::EPERM.into());
        }
        if !may_choose(call, present, wanted) {
            return Err(Errno::EACCES.into());
        }
        call.kernel.task(subject).nice = wanted;
    }
    Ok(0)
}

/// nice(2).
pub(super) fn nice(call: &mut Call<'_>, [increment, ..]: Arguments) -> CallResult {
    let present = call.task().nice;
    let wanted = present.saturating_add(increment as i32).clamp(RANGE.0, RANGE.1);
    if !may_choose(call, present, wanted) {
        return Err(Errno::EPERM.into());
    }
    call.task().nice = wanted;
    Ok(0)
}
