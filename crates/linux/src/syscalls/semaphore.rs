//! System V semaphores (semget(2), semop(2), semctl(2)).

use std::collections::BTreeMap;

use super::ipc::{IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, permissions_record, set_permissions, time};
use super::time::Layout;
use crate::errno::Errno;
use crate::ids::ProcessId;
use crate::ipc::{Attempt, Caller, IpcPermissions, MAY_READ, MAY_WRITE, Operation, SemaphoreSet, VALUE_MAX};
use crate::kernel::{Arguments, Call, Kernel};
use crate::record::Record;
use crate::task::TaskState;
use crate::wait::{CallResult, Failure, Wait};

/// Sets of a machine, semaphores in one, and operations of one call (SEMMNI, SEMMSL, SEMOPM).
const MOST: usize = 32000;
const MOST_IN_SET: u32 = 32000;
const MOST_OPERATIONS: u32 = 500;

/// semget(2).
pub(super) fn semget(call: &mut Call<'_>, [key, count, flags, ..]: Arguments) -> CallResult {
    if count > MOST_IN_SET {
        return Err(Errno::EINVAL.into());
    }
    let caller = call.ipc_caller();
    if let Some(id) = call.kernel.ipc.semaphores.find(&caller, key, flags)? {
        let held = call.kernel.ipc.semaphores.get(id).map_or(0, |set| set.semaphores.len());
        return if count as usize > held { Err(Errno::EINVAL.into()) } else { Ok(id) };
    }
    if count == 0 {
        return Err(Errno::EINVAL.into());
    }
    call.charge(size_of::<SemaphoreSet>() as u64 + 8 * u64::from(count))?;
    let set = SemaphoreSet {
        permissions: IpcPermissions::new(&caller, key, flags),
        semaphores: vec![Default::default(); count as usize],
        undo: BTreeMap::new(),
        waiters: BTreeMap::new(),
        operated: 0,
        changed: caller.now,
        channel: call.kernel.fs.new_channel(),
    };
    Ok(call.kernel.ipc.semaphores.insert(set, MOST)?)
}

/// semtimedop(2) with a 64-bit timespec.
pub(super) fn semtimedop_time64(
    call: &mut Call<'_>,
    [id, operations, count, timeout, ..]: Arguments,
) -> CallResult {
    operate(call, [id, operations, count], Some((timeout, Layout::Long)))
}

/// semop(2), and semtimedop(2) with a pointer to a timeout.
pub(super) fn operate(
    call: &mut Call<'_>,
    [id, address, count]: [u32; 3],
    timeout: Option<(u32, Layout)>,
) -> CallResult {
    if count == 0 || (id as i32) < 0 {
        return Err(Errno::EINVAL.into());
    }
    if count > MOST_OPERATIONS {
        return Err(Errno::E2BIG.into());
    }
    let bytes = call.user().bytes(address, 6 * count)?;
    let operations: Vec<Operation> = bytes
        .as_chunks::<6>()
        .0
        .iter()
        .map(|[a, b, c, d, e, f]| Operation {
            number: u16::from_le_bytes([*a, *b]),
            change: i16::from_le_bytes([*c, *d]),
            flags: u16::from_le_bytes([*e, *f]),
        })
        .collect();
    let deadline = match timeout {
        Some((pointer, layout)) => {
            let timeout = super::time::read_timeout(call, pointer, layout)?;
            call.deadline(timeout)
        }
        None => None,
    };
    let caller = call.ipc_caller();
    let (task, process) = (call.task_id, call.process_id);
    let has_waited = call.pending()?.progress != 0;
    let gone = if has_waited { Errno::EIDRM } else { Errno::EINVAL };
    let set = call.kernel.ipc.semaphores.get_mut(id).ok_or(gone)?;
    set.waiters.remove(&task);
    let wanted = if operations.iter().any(|operation| operation.change != 0) { MAY_WRITE } else { MAY_READ };
    if operations.iter().any(|operation| usize::from(operation.number) >= set.semaphores.len()) {
        return Err(Errno::EFBIG.into());
    }
    set.permissions.check(&caller, wanted)?;
    let undoes = operations.iter().any(|operation| operation.flags & Operation::UNDO != 0);
    if undoes && !set.undo.contains_key(&process) {
        let bytes = 64 + 2 * set.semaphores.len() as u64;
        call.charge(bytes)?;
    }
    let set = call.kernel.ipc.semaphores.get_mut(id).ok_or(gone)?;
    match set.operate(process, &operations)? {
        Attempt::Done => {
            set.operated = caller.now;
            let channel = set.channel;
            call.kernel.fs.wake(channel);
            Ok(0)
        }
        Attempt::Waits(index) => {
            let waited_for = operations.get(index).map(|operation| (operation.number, operation.change == 0));
            wait_for(call, id, waited_for, deadline)
        }
    }
}

/// Has a call wait until a set changes.
fn wait_for(
    call: &mut Call<'_>,
    id: u32,
    waited_for: Option<(u16, bool)>,
    deadline: Option<u64>,
) -> CallResult {
    let task = call.task_id;
    if call.kernel.has_passed(deadline) {
        return Err(Errno::EAGAIN.into());
    }
    if call.is_interrupted() {
        return Err(Errno::EINTR.into());
    }
    let set = call.kernel.ipc.semaphores.get_mut(id).ok_or(Errno::EIDRM)?;
    if let Some(waited_for) = waited_for {
        set.waiters.insert(task, waited_for);
    }
    let channel = set.channel;
    call.pending()?.progress = 1;
    Err(Failure::Block(Wait::on(channel).until(deadline).never_restarts()))
}

/// semctl(2).
pub(super) fn semctl(call: &mut Call<'_>, [id, number, command, argument, ..]: Arguments) -> CallResult {
    control(call, [id, number, command, argument])
}

/// What semctl(2) does, and ipc(2) in its name.
pub(super) fn control(call: &mut Call<'_>, [id, number, command, argument]: [u32; 4]) -> CallResult {
    const SEM_STAT: u32 = 18;
    const SEM_INFO: u32 = 19;
    const SEM_STAT_ANY: u32 = 20;
    if (id as i32) < 0 {
        return Err(Errno::EINVAL.into());
    }
    let caller = call.ipc_caller();
    if matches!(command, IPC_INFO | SEM_INFO) {
        return limits(call, command == SEM_INFO, argument);
    }
    let by_index = matches!(command, SEM_STAT | SEM_STAT_ANY);
    let sets = &call.kernel.ipc.semaphores;
    let id = if by_index { sets.at(id) } else { Some(id) }.ok_or(Errno::EINVAL)?;
    let set = sets.get(id).ok_or(Errno::EINVAL)?;
    match command {
        IPC_STAT | SEM_STAT | SEM_STAT_ANY => {
            if command != SEM_STAT_ANY {
                set.permissions.check(&caller, MAY_READ)?;
            }
            let record = permissions_record(&set.permissions, id);
            let record = time(time(record, set.operated), set.changed);
            let record = record.u32(set.semaphores.len() as u32).u32(0).u32(0);
            call.user().copy_out(argument, record.as_bytes())?;
            Ok(if by_index { id } else { 0 })
        }
        IPC_SET => {
            let mut changed = set.clone();
            set_permissions(call, &mut changed, &caller, argument)?;
            changed.changed = caller.now;
            if let Some(set) = call.kernel.ipc.semaphores.get_mut(id) {
                *set = changed;
            }
            Ok(0)
        }
        IPC_RMID => {
            set.permissions.check_owner(&caller)?;
            if let Some(set) = call.kernel.ipc.semaphores.remove(id) {
                call.kernel.fs.wake(set.channel);
            }
            Ok(0)
        }
        _ => values(call, &caller, [id, number, command, argument]),
    }
}

/// IPC_INFO and SEM_INFO: `struct seminfo`. Gives the highest index in use.
fn limits(call: &mut Call<'_>, in_use: bool, address: u32) -> CallResult {
    let sets = &call.kernel.ipc.semaphores;
    let semaphores: usize = sets.iter().map(|(_, set)| set.semaphores.len()).sum();
    let (used, held) = if in_use { (sets.len() as u32, semaphores as u32) } else { (20, VALUE_MAX as u32) };
    let (most, all) = (MOST as u32, MOST as u32 * MOST_IN_SET);
    let words =
        [all, most, all, all, MOST_IN_SET, MOST_OPERATIONS, MOST_OPERATIONS, used, VALUE_MAX as u32, held];
    let highest = sets.highest();
    let record = words.iter().fold(Record::new(), |record, word| record.u32(*word));
    call.user().copy_out(address, record.as_bytes())?;
    Ok(highest)
}

/// The commands about values of semaphores.
fn values(call: &mut Call<'_>, caller: &Caller, [id, number, command, argument]: [u32; 4]) -> CallResult {
    const GETPID: u32 = 11;
    const GETVAL: u32 = 12;
    const GETALL: u32 = 13;
    const GETNCNT: u32 = 14;
    const GETZCNT: u32 = 15;
    const SETVAL: u32 = 16;
    const SETALL: u32 = 17;
    let set = call.kernel.ipc.semaphores.get(id).ok_or(Errno::EINVAL)?;
    let number = number as usize;
    match command {
        GETALL => {
            set.permissions.check(caller, MAY_READ)?;
            let bytes: Vec<u8> = set.semaphores.iter().flat_map(|one| one.value.to_le_bytes()).collect();
            call.user().copy_out(argument, &bytes)?;
            return Ok(0);
        }
        SETALL => {
            set.permissions.check(caller, MAY_WRITE)?;
            let count = set.semaphores.len();
            let bytes = call.user().bytes(argument, 2 * count as u32)?;
            let values: Vec<u16> = bytes.as_chunks().0.iter().copied().map(u16::from_le_bytes).collect();
            if values.iter().any(|value| i32::from(*value) > VALUE_MAX) {
                return Err(Errno::ERANGE.into());
            }
            return set_values(call, caller, id, values.into_iter().enumerate());
        }
        GETPID | GETVAL | GETNCNT | GETZCNT => set.permissions.check(caller, MAY_READ)?,
        SETVAL if argument > VALUE_MAX as u32 => return Err(Errno::ERANGE.into()),
        SETVAL => set.permissions.check(caller, MAY_WRITE)?,
        _ => return Err(Errno::EINVAL.into()),
    }
    let one = set.semaphores.get(number).ok_or(Errno::EINVAL)?;
    match command {
        GETPID => Ok(one.process),
        GETVAL => Ok(one.value.into()),
        GETNCNT | GETZCNT => {
            let waits = |(task, (at, zero)): (&crate::ids::TaskId, &(u16, bool))| {
                let task = call.kernel.tasks.get(task);
                let blocked = task.is_some_and(|task| matches!(task.state, TaskState::Blocked(_)));
                blocked && usize::from(*at) == number && *zero == (command == GETZCNT)
            };
            Ok(set.waiters.iter().filter(|waiter| waits(*waiter)).count() as u32)
        }
        _ => set_values(call, caller, id, [(number, argument as u16)].into_iter()),
    }
}

fn set_values(
    call: &mut Call<'_>,
    caller: &Caller,
    id: u32,
    values: impl Iterator<Item = (usize, u16)>,
) -> CallResult {
    let set = call.kernel.ipc.semaphores.get_mut(id).ok_or(Errno::EINVAL)?;
    for (number, value) in values {
        set.set(number, value, caller.process);
    }
    set.changed = caller.now;
    let channel = set.channel;
    call.kernel.fs.wake(channel);
    Ok(0)
}

impl Kernel {
    /// A process has ended: what it did to semaphores with SEM_UNDO is undone.
    pub(crate) fn undo_semaphores(&mut self, process: ProcessId) {
        for set in self.ipc.semaphores.values_mut() {
            if set.undo(process) {
                self.fs.wake(set.channel);
            }
        }
    }
}
