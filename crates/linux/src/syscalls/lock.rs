//! Advisory locks: flock, and the lock commands of fcntl.

use crate::errno::Errno;
use crate::kernel::{Arguments, Call};
use crate::record::Record;
use crate::vfs::{Lock, LockFamily, LockOwner};
use crate::wait::CallResult;

/// flock(2).
pub(super) fn flock(call: &mut Call<'_>, [fd, operation, ..]: Arguments) -> CallResult {
    const LOCK_SH: u32 = 1;
    const LOCK_EX: u32 = 2;
    const LOCK_NB: u32 = 4;
    const LOCK_UN: u32 = 8;
    /// Of a kind of lock that Linux no longer has: it says yes and does nothing.
    const LOCK_MAND: u32 = 32;
    if operation & LOCK_MAND != 0 {
        return Ok(0);
    }
    if !matches!(operation & !LOCK_NB, LOCK_SH | LOCK_EX | LOCK_UN) {
        return Err(Errno::EINVAL.into());
    }
    let id = call.open_file(fd)?;
    let description = call.kernel.fs.description(id);
    let file = description.vnode;
    if description.is_path() {
        return Err(Errno::EBADF.into());
    }
    let owner = LockOwner::Description(id.number());
    let lock = Lock { family: LockFamily::Whole, owner, exclusive: false, start: 0, end: u64::MAX };
    match operation & !LOCK_NB {
        LOCK_UN => call.kernel.fs.unlock(file, &lock),
        kind @ (LOCK_SH | LOCK_EX) => {
            let lock = Lock { exclusive: kind == LOCK_EX, ..lock };
            call.kernel.fs.lock(file, lock, operation & LOCK_NB == 0)?;
        }
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}

/// `struct flock` or `struct flock64`: type, whence, start, length, process.
struct Request {
    kind: u16,
    start: u64,
    end: u64,
}

const F_RDLCK: u16 = 0;
const F_WRLCK: u16 = 1;
const F_UNLCK: u16 = 2;

fn read_request(call: &mut Call<'_>, fd: u32, address: u32, wide: bool) -> Result<Request, Errno> {
    let (head, start, length) = if wide {
        let [head, low, high, length_low, length_high] = call.user().words(address)?;
        (head, super::file::wide(low, high) as i64, super::file::wide(length_low, length_high) as i64)
    } else {
        let [head, start, length] = call.user().words(address)?;
        (head, i64::from(start as i32), i64::from(length as i32))
    };
    let id = call.open_file(fd)?;
    let base = match head >> 16 {
        0 => 0,
        1 => call.kernel.fs.description(id).offset,
        2 => {
            let file = call.kernel.fs.description(id).vnode;
            call.with_files(|files, caller| files.vfs.attributes(caller, file))?.size
        }
        _ => return Err(Errno::EINVAL),
    };
    let base = i64::try_from(base).map_err(|_| Errno::EOVERFLOW)?;
    let first = base.checked_add(start).ok_or(Errno::EOVERFLOW)?;
    let (first, end) = match length {
        0 => (first, i64::MAX),
        length if length > 0 => (first, first.checked_add(length).ok_or(Errno::EOVERFLOW)?),
        length => (first.checked_add(length).ok_or(Errno::EINVAL)?, first),
    };
    let start = u64::try_from(first).map_err(|_| Errno::EINVAL)?;
    let end = if end == i64::MAX { u64::MAX } else { end as u64 };
    Ok(Request { kind: head as u16, start, end })
}

/// F_GETLK, F_SETLK, F_SETLKW and their 64-bit and open-file-description kin.
pub(super) fn fcntl_lock(call: &mut Call<'_>, [fd, command, address, ..]: Arguments) -> CallResult {
    let wide = command >= 12;
    let by_description = command >= 36;
    let request = read_request(call, fd, address, wide)?;
    let id = call.open_file(fd)?;
    let owner = if by_description {
        LockOwner::Description(id.number())
    } else {
        LockOwner::Process(call.process_id.number())
    };
    let description = call.kernel.fs.description(id);
    let (file, flags) = (description.vnode, description.flags);
    let lock = Lock {
        family: LockFamily::Range,
        owner,
        exclusive: request.kind == F_WRLCK,
        start: request.start,
        end: request.end,
    };
    if matches!(command, 5 | 12 | 36) {
        return tell_conflict(call, file, &lock, address, wide);
    }
    match request.kind {
        F_UNLCK => call.kernel.fs.unlock(file, &lock),
        F_RDLCK if !flags.reads() => return Err(Errno::EBADF.into()),
        F_WRLCK if !flags.writes() => return Err(Errno::EBADF.into()),
        F_RDLCK | F_WRLCK => call.kernel.fs.lock(file, lock, matches!(command, 7 | 14 | 38))?,
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}

fn tell_conflict(
    call: &mut Call<'_>,
    file: crate::vfs::Vnode,
    lock: &Lock,
    address: u32,
    wide: bool,
) -> CallResult {
    let Some(held) = call.kernel.fs.lock_conflict(file, lock) else {
        call.user().write(address, F_UNLCK)?;
        return Ok(0);
    };
    let kind = if held.exclusive { F_WRLCK } else { F_RDLCK };
    let length = if held.end == u64::MAX { 0 } else { held.end - held.start };
    let process = match held.owner {
        LockOwner::Process(process) => process,
        LockOwner::Description(_) => u32::MAX,
    };
    let record = Record::new().u16(kind).u16(0);
    let record = if wide {
        record.u64(held.start).u64(length).u32(process)
    } else {
        record.u32(held.start as u32).u32(length as u32).u32(process)
    };
    call.user().copy_out(address, record.as_bytes())?;
    Ok(0)
}
