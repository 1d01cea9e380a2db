//! System V IPC: what its three kinds have in common, and ipc(2), by which i386 reaches all of them.

use super::time::Layout;
use super::{message_queue, semaphore, shared_memory};
use crate::errno::Errno;
use crate::ipc::{Caller, IpcObject, IpcPermissions};
use crate::kernel::{Arguments, Call};
use crate::record::Record;
use crate::wait::CallResult;

/// Commands of shmctl(2), semctl(2) and msgctl(2).
pub(super) const IPC_RMID: u32 = 0;
pub(super) const IPC_SET: u32 = 1;
pub(super) const IPC_STAT: u32 = 2;
pub(super) const IPC_INFO: u32 = 3;
/// Said to ipc(2): structures are those of today.
pub(super) const IPC_64: u32 = 0x100;
/// Fail rather than wait.
pub(super) const IPC_NOWAIT: u32 = 0o4000;

/// ipc(2).
pub(super) fn ipc(
    call: &mut Call<'_>,
    [number, first, second, third, pointer, fifth]: Arguments,
) -> CallResult {
    let version = number >> 16;
    match number & 0xffff {
        1 => semaphore::operate(call, [first, pointer, second], None),
        2 => semaphore::semget(call, [first, second, third, 0, 0, 0]),
        3 if pointer == 0 => Err(Errno::EINVAL.into()),
        3 => {
            let argument = call.user().read(pointer)?;
            semaphore::control(call, [first, second, command(third)?, argument])
        }
        4 => semaphore::operate(call, [first, pointer, second], Some((fifth, Layout::Short))),
        11 => message_queue::msgsnd(call, [first, pointer, second, third, 0, 0]),
        12 if version == 0 && pointer == 0 => Err(Errno::EINVAL.into()),
        12 if version == 0 => {
            // The pointer is to another one and the kind of message.
            let [buffer, kind] = call.user().words(pointer)?;
            message_queue::msgrcv(call, [first, buffer, second, kind, third, 0])
        }
        12 => message_queue::msgrcv(call, [first, pointer, second, fifth, third, 0]),
        13 => message_queue::msgget(call, [first, second, 0, 0, 0, 0]),
        14 => message_queue::control(call, [first, command(second)?, pointer]),
        21 if version == 1 => Err(Errno::EINVAL.into()),
        21 => {
            let address = shared_memory::shmat(call, [first, pointer, second, 0, 0, 0])?;
            call.user().write(third, address)?;
            Ok(0)
        }
        22 => shared_memory::shmdt(call, [pointer, 0, 0, 0, 0, 0]),
        23 => shared_memory::shmget(call, [first, second, third, 0, 0, 0]),
        24 => shared_memory::control(call, [first, command(second)?, pointer]),
        _ => Err(Errno::ENOSYS.into()),
    }
}

/// A command that was given to ipc(2). The structures of kernels before 2.2 are not known.
fn command(number: u32) -> Result<u32, Errno> {
    if number & IPC_64 != 0 || number == IPC_RMID || number >= 11 {
        Ok(number & !IPC_64)
    } else {
        Err(Errno::EINVAL)
    }
}

impl Call<'_> {
    /// The caller as objects of System V IPC see it.
    pub(super) fn ipc_caller(&mut self) -> Caller {
        let now = self.kernel.time.realtime() / 1_000_000_000;
        let process = self.process_id.number();
        Caller { credentials: self.process().credentials.clone(), process, now }
    }
}

/// `struct ipc64_perm`; the key's object has this number.
pub(super) fn permissions_record(permissions: &IpcPermissions, id: u32) -> Record {
    Record::new()
        .u32(permissions.key)
        .u32(permissions.uid)
        .u32(permissions.gid)
        .u32(permissions.creator_uid)
        .u32(permissions.creator_gid)
        .u16(permissions.mode as u16)
        .u16(0)
        .u16((id >> 15) as u16)
        .pad_to(36)
}

/// A time as the structures have it: its low and high halves.
pub(super) fn time(record: Record, seconds: u64) -> Record {
    record.u32(seconds as u32).u32((seconds >> 32) as u32)
}

/// IPC_SET: owner and mode from the `struct ipc64_perm` at `address`.
pub(super) fn set_permissions(
    call: &mut Call<'_>,
    object: &mut impl IpcObject,
    caller: &Caller,
    address: u32,
) -> Result<(), Errno> {
    let [_, uid, gid, _, _, mode] = call.user().words(address)?;
    object.permissions().check_owner(caller)?;
    let permissions = object.permissions_mut();
    (permissions.uid, permissions.gid) = (uid, gid);
    permissions.mode = permissions.mode & !0o777 | mode & 0o777;
    Ok(())
}
