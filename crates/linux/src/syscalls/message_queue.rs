//! System V message queues (msgget(2), msgop(2), msgctl(2)).

use std::collections::VecDeque;

use super::ipc::{
    IPC_INFO, IPC_NOWAIT, IPC_RMID, IPC_SET, IPC_STAT, permissions_record, set_permissions, time,
};
use crate::errno::Errno;
use crate::ipc::{IpcPermissions, MAY_READ, MAY_WRITE, Message, MessageQueue, Wanted};
use crate::kernel::{Arguments, Call};
use crate::record::Record;
use crate::wait::{CallResult, Failure, Wait};

/// Queues of a machine, bytes of a message, and of the messages in a queue (MSGMNI, MSGMAX, MSGMNB).
const MOST: usize = 32000;
const MESSAGE_MAX: u32 = 8192;
const QUEUE_MAX: u32 = 16384;

/// msgget(2).
pub(super) fn msgget(call: &mut Call<'_>, [key, flags, ..]: Arguments) -> CallResult {
    let caller = call.ipc_caller();
    if let Some(id) = call.kernel.ipc.queues.find(&caller, key, flags)? {
        return Ok(id);
    }
    call.charge(size_of::<MessageQueue>() as u64)?;
    let queue = MessageQueue {
        permissions: IpcPermissions::new(&caller, key, flags),
        messages: VecDeque::new(),
        held: 0,
        most: QUEUE_MAX,
        sent: 0,
        received: 0,
        changed: caller.now,
        last_sender: 0,
        last_receiver: 0,
        channel: call.kernel.fs.new_channel(),
    };
    Ok(call.kernel.ipc.queues.insert(queue, MOST)?)
}

/// The queue that a call is about: EINVAL where there is none, EIDRM where it went while the call waited.
fn queue<'a>(call: &'a mut Call<'_>, id: u32) -> Result<&'a mut MessageQueue, Errno> {
    let gone = if call.pending()?.progress != 0 { Errno::EIDRM } else { Errno::EINVAL };
    call.kernel.ipc.queues.get_mut(id).ok_or(gone)
}

/// Has a call wait for something to happen to a queue.
fn wait_for(call: &mut Call<'_>, id: u32) -> CallResult {
    let channel = queue(call, id)?.channel;
    call.pending()?.progress = 1;
    Err(Failure::Block(Wait::on(channel).never_restarts()))
}

/// msgsnd(2).
pub(super) fn msgsnd(call: &mut Call<'_>, [id, address, length, flags, ..]: Arguments) -> CallResult {
    let kind: u32 = call.user().read(address)?;
    if length > MESSAGE_MAX || (id as i32) < 0 || (kind as i32) < 1 {
        return Err(Errno::EINVAL.into());
    }
    let bytes = call.user().bytes(address.wrapping_add(4), length)?;
    let caller = call.ipc_caller();
    let target = queue(call, id)?;
    target.permissions.check(&caller, MAY_WRITE)?;
    if !target.has_room(length) {
        return if flags & IPC_NOWAIT != 0 { Err(Errno::EAGAIN.into()) } else { wait_for(call, id) };
    }
    call.charge(u64::from(length) + size_of::<Message>() as u64)?;
    let target = queue(call, id)?;
    target.push(Message { kind: kind as i32, bytes });
    (target.sent, target.last_sender) = (caller.now, caller.process);
    let channel = target.channel;
    call.kernel.fs.wake(channel);
    Ok(0)
}

/// msgrcv(2).
pub(super) fn msgrcv(call: &mut Call<'_>, [id, address, room, kind, flags, _]: Arguments) -> CallResult {
    const NOERROR: u32 = 0o10000;
    const EXCEPT: u32 = 0o20000;
    const COPY: u32 = 0o40000;
    if (id as i32) < 0 || (room as i32) < 0 {
        return Err(Errno::EINVAL.into());
    }
    let copies = flags & COPY != 0;
    if copies && (flags & EXCEPT != 0 || flags & IPC_NOWAIT == 0) {
        return Err(Errno::EINVAL.into());
    }
    let caller = call.ipc_caller();
    let source = queue(call, id)?;
    source.permissions.check(&caller, MAY_READ)?;
    let found = match kind as i32 {
        // The kind is a place.
        place if copies => usize::try_from(place).ok().filter(|place| *place < source.messages.len()),
        0 => source.find(Wanted::Any),
        kind if kind < 0 => source.find(Wanted::UpTo(kind.saturating_neg())),
        kind if flags & EXCEPT != 0 => source.find(Wanted::Other(kind)),
        kind => source.find(Wanted::Kind(kind)),
    };
    let Some(place) = found else {
        return if flags & IPC_NOWAIT != 0 { Err(Errno::ENOMSG.into()) } else { wait_for(call, id) };
    };
    let message = source.messages.get(place).cloned().ok_or(Errno::ENOMSG)?;
    if message.bytes.len() > room as usize && flags & NOERROR == 0 {
        return Err(Errno::E2BIG.into());
    }
    let given = &message.bytes[..message.bytes.len().min(room as usize)];
    let record = Record::new().u32(message.kind as u32).bytes(given);
    let copied = call.user().copy_out(address, record.as_bytes());
    if !copies {
        let source = queue(call, id)?;
        source.take(place);
        (source.received, source.last_receiver) = (caller.now, caller.process);
        let channel = source.channel;
        call.kernel.fs.wake(channel);
    }
    copied?;
    Ok(given.len() as u32)
}

/// msgctl(2).
pub(super) fn msgctl(call: &mut Call<'_>, [id, command, address, ..]: Arguments) -> CallResult {
    control(call, [id, command, address])
}

/// What msgctl(2) does, and ipc(2) in its name.
pub(super) fn control(call: &mut Call<'_>, [id, command, address]: [u32; 3]) -> CallResult {
    const MSG_STAT: u32 = 11;
    const MSG_INFO: u32 = 12;
    const MSG_STAT_ANY: u32 = 13;
    if (id as i32) < 0 || (command as i32) < 0 {
        return Err(Errno::EINVAL.into());
    }
    if matches!(command, IPC_INFO | MSG_INFO) {
        return limits(call, command == MSG_INFO, address);
    }
    let caller = call.ipc_caller();
    let by_index = matches!(command, MSG_STAT | MSG_STAT_ANY);
    let queues = &call.kernel.ipc.queues;
    let id = if by_index { queues.at(id) } else { Some(id) }.ok_or(Errno::EINVAL)?;
    let held = queues.get(id).ok_or(Errno::EINVAL)?;
    match command {
        IPC_STAT | MSG_STAT | MSG_STAT_ANY => {
            if command != MSG_STAT_ANY {
                held.permissions.check(&caller, MAY_READ)?;
            }
            let mut record = permissions_record(&held.permissions, id);
            for moment in [held.sent, held.received, held.changed] {
                record = time(record, moment);
            }
            let record = record
                .u32(held.held)
                .u32(held.messages.len() as u32)
                .u32(held.most)
                .u32(held.last_sender)
                .u32(held.last_receiver)
                .u32(0)
                .u32(0);
            call.user().copy_out(address, record.as_bytes())?;
            Ok(if by_index { id } else { 0 })
        }
        IPC_SET => {
            /// Where `struct msqid64_ds` has what the queue may hold.
            const MOST_BYTES: u32 = 68;
            let mut changed = held.clone();
            let most: u32 = call.user().read(address.wrapping_add(MOST_BYTES))?;
            set_permissions(call, &mut changed, &caller, address)?;
            if most > QUEUE_MAX && !caller.is_superuser() {
                return Err(Errno::EPERM.into());
            }
            (changed.most, changed.changed) = (most.min(1 << 20), caller.now);
            let channel = changed.channel;
            if let Some(queue) = call.kernel.ipc.queues.get_mut(id) {
                *queue = changed;
            }
            call.kernel.fs.wake(channel);
            Ok(0)
        }
        IPC_RMID => {
            held.permissions.check_owner(&caller)?;
            if let Some(queue) = call.kernel.ipc.queues.remove(id) {
                call.kernel.fs.wake(queue.channel);
            }
            Ok(0)
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

/// IPC_INFO and MSG_INFO: `struct msginfo`. Gives the highest index in use.
fn limits(call: &mut Call<'_>, in_use: bool, address: u32) -> CallResult {
    /// Figures of kernels long ago, which are still told: pool, map, segment size, segments.
    const POOL: u32 = MOST as u32 * QUEUE_MAX / 1024;
    const SEGMENT: u32 = 16;
    let queues = &call.kernel.ipc.queues;
    let messages: usize = queues.iter().map(|(_, queue)| queue.messages.len()).sum();
    let bytes: u32 = queues.iter().map(|(_, queue)| queue.held).sum();
    let (pool, map, total) = match in_use {
        true => (queues.len() as u32, messages as u32, bytes),
        false => (POOL, QUEUE_MAX, QUEUE_MAX),
    };
    let highest = queues.highest();
    let record = Record::new()
        .u32(pool)
        .u32(map)
        .u32(MESSAGE_MAX)
        .u32(QUEUE_MAX)
        .u32(MOST as u32)
        .u32(SEGMENT)
        .u32(total)
        .u16(u16::MAX)
        .u16(0);
    call.user().copy_out(address, record.as_bytes())?;
    Ok(highest)
}
