//! System V shared memory (shmget(2), shmop(2), shmctl(2)).

use pentimento_memory::{PAGE_SIZE, Permissions, SharedMemory};

use super::ipc::{IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, permissions_record, set_permissions, time};
use super::memory::choose_address;
use crate::errno::Errno;
use crate::ipc::{IpcPermissions, MAY_READ, MAY_WRITE, Segment};
use crate::kernel::{Arguments, Call};
use crate::record::Record;
use crate::space::{Area, AreaSource, Attachment, OBJECT_SHARE, page_align};
use crate::wait::CallResult;

/// Segments of a machine (SHMMNI).
const MOST: usize = 4096;

/// shmget(2).
pub(super) fn shmget(call: &mut Call<'_>, [key, size, flags, ..]: Arguments) -> CallResult {
    let caller = call.ipc_caller();
    if let Some(id) = call.kernel.ipc.segments.find(&caller, key, flags)? {
        let held = call.kernel.ipc.segments.get(id).map_or(0, |segment| segment.size);
        return if size > held { Err(Errno::EINVAL.into()) } else { Ok(id) };
    }
    let length = page_align(size).filter(|length| *length > 0).ok_or(Errno::EINVAL)?;
    call.charge(size_of::<Segment>() as u64 + u64::from(length) / OBJECT_SHARE)?;
    let memory = SharedMemory::new_from(&call.kernel.frames, length.into()).map_err(|_| Errno::ENOMEM)?;
    let segment = Segment {
        permissions: IpcPermissions::new(&caller, key, flags),
        size,
        object: call.kernel.new_object(),
        memory,
        attached: 0,
        detached: 0,
        changed: caller.now,
        attachments: 0,
        creator: caller.process,
        last: 0,
    };
    Ok(call.kernel.ipc.segments.insert(segment, MOST)?)
}

/// shmat(2).
pub(super) fn shmat(call: &mut Call<'_>, [id, address, flags, ..]: Arguments) -> CallResult {
    const RDONLY: u32 = 0o10000;
    const RND: u32 = 0o20000;
    const REMAP: u32 = 0o40000;
    const EXEC: u32 = 0o100_000;
    const MAP_FIXED: u32 = 0x10;
    let start = match address % PAGE_SIZE {
        0 => address,
        _ if flags & RND == 0 => return Err(Errno::EINVAL.into()),
        odd => address - odd,
    };
    if start == 0 && flags & REMAP != 0 {
        return Err(Errno::EINVAL.into());
    }
    let caller = call.ipc_caller();
    let segment = call.kernel.ipc.segments.get(id).ok_or(Errno::EINVAL)?;
    let writes = flags & RDONLY == 0;
    let wanted = MAY_READ | if writes { MAY_WRITE } else { 0 } | u32::from(flags & EXEC != 0);
    segment.permissions.check(&caller, wanted)?;
    let (object, memory, key) = (segment.object, segment.memory.clone(), segment.permissions.key);
    let length = page_align(segment.size).ok_or(Errno::EINVAL)?;
    let fixed = if start == 0 { 0 } else { MAP_FIXED };
    if start != 0 && flags & REMAP == 0 {
        let end = start.checked_add(length).ok_or(Errno::EINVAL)?;
        if call.space().areas.overlapping(start, end).next().is_some() {
            return Err(Errno::EINVAL.into());
        }
    }
    let start = choose_address(call.space(), start, length, fixed, PAGE_SIZE)?;
    let mut protection = Permissions::READ;
    protection.set(Permissions::WRITE, writes);
    protection.set(Permissions::EXECUTE, flags & EXEC != 0);
    let mut area = Area::private(protection, AreaSource::Anonymous);
    (area.shared, area.may_write) = (true, writes);
    call.charge(512)?;
    call.space().map_shared(start, length, area, (object, memory))?;
    let attachment = Attachment { object, length, key, segment: id };
    if let Some(replaced) = call.space().attachments.insert(start, attachment) {
        call.kernel.ipc.detach(replaced.segment);
    }
    call.kernel.ipc.attach(id);
    if let Some(segment) = call.kernel.ipc.segments.get_mut(id) {
        (segment.attached, segment.last) = (caller.now, caller.process);
    }
    Ok(start)
}

/// shmdt(2).
pub(super) fn shmdt(call: &mut Call<'_>, [address, ..]: Arguments) -> CallResult {
    let caller = call.ipc_caller();
    let space = call.space();
    let Attachment { object, length, segment, .. } =
        space.attachments.remove(&address).ok_or(Errno::EINVAL)?;
    let end = address.saturating_add(length);
    let own =
        |area: &Area| matches!(area.backing, AreaSource::Shared { object: other, .. } if other == object);
    let parts: Vec<(u32, u32)> = space
        .areas
        .overlapping(address, end)
        .filter(|(_, area)| own(area))
        .map(|(start, area)| (start.max(address), area.end.min(end)))
        .collect();
    for (start, end) in &parts {
        space.unmap(*start, end - start)?;
    }
    if let Some(segment) = call.kernel.ipc.segments.get_mut(segment) {
        (segment.detached, segment.last) = (caller.now, caller.process);
    }
    call.kernel.ipc.detach(segment);
    if parts.is_empty() { Err(Errno::EINVAL.into()) } else { Ok(0) }
}

/// shmctl(2).
pub(super) fn shmctl(call: &mut Call<'_>, [id, command, address, ..]: Arguments) -> CallResult {
    control(call, [id, command, address])
}

/// What shmctl(2) does, and ipc(2) in its name.
pub(super) fn control(call: &mut Call<'_>, [id, command, address]: [u32; 3]) -> CallResult {
    const SHM_LOCK: u32 = 11;
    const SHM_UNLOCK: u32 = 12;
    const SHM_STAT: u32 = 13;
    const SHM_INFO: u32 = 14;
    const SHM_STAT_ANY: u32 = 15;
    if (id as i32) < 0 || (command as i32) < 0 {
        return Err(Errno::EINVAL.into());
    }
    let caller = call.ipc_caller();
    match command {
        IPC_INFO => {
            // No segment is larger than the address space, nor are all together.
            let record = [u32::MAX, 1, MOST as u32, MOST as u32, u32::MAX, 0, 0, 0, 0];
            let record = record.iter().fold(Record::new(), |record, word| record.u32(*word));
            call.user().copy_out(address, record.as_bytes())?;
            return Ok(call.kernel.ipc.segments.highest());
        }
        SHM_INFO => {
            let segments = &call.kernel.ipc.segments;
            let pages = |segment: &Segment| segment.size.div_ceil(PAGE_SIZE);
            let total: u32 = segments.iter().map(|(_, segment)| pages(segment)).sum();
            let (count, highest) = (segments.len() as u32, segments.highest());
            let record = Record::new().u32(count).u32(total).u32(total).u32(0).u32(0).u32(0);
            call.user().copy_out(address, record.as_bytes())?;
            return Ok(highest);
        }
        _ => {}
    }
    let by_index = matches!(command, SHM_STAT | SHM_STAT_ANY);
    let segments = &call.kernel.ipc.segments;
    let number = if by_index { segments.at(id) } else { Some(id) }.ok_or(Errno::EINVAL)?;
    let segment = segments.get(number).ok_or(Errno::EINVAL)?.clone();
    match command {
        IPC_STAT | SHM_STAT | SHM_STAT_ANY => {
            if command != SHM_STAT_ANY {
                segment.permissions.check(&caller, MAY_READ)?;
            }
            let mut record = permissions_record(&segment.permissions, number).u32(segment.size);
            for moment in [segment.attached, segment.detached, segment.changed] {
                record = time(record, moment);
            }
            let record = record.u32(segment.creator).u32(segment.last).u32(segment.attachments).u32(0).u32(0);
            call.user().copy_out(address, record.as_bytes())?;
            return Ok(if by_index { number } else { 0 });
        }
        IPC_SET => {
            let mut changed = segment;
            set_permissions(call, &mut changed, &caller, address)?;
            changed.changed = caller.now;
            if let Some(segment) = call.kernel.ipc.segments.get_mut(number) {
                *segment = changed;
            }
        }
        IPC_RMID | SHM_LOCK | SHM_UNLOCK => {
            segment.permissions.check_owner(&caller)?;
            if let Some(segment) = call.kernel.ipc.segments.get_mut(number) {
                let mode = &mut segment.permissions.mode;
                match command {
                    IPC_RMID => {
                        *mode |= Segment::DOOMED;
                        // Nobody finds it any more.
                        segment.permissions.key = 0;
                    }
                    SHM_LOCK => *mode |= Segment::LOCKED,
                    _ => *mode &= !Segment::LOCKED,
                }
            }
            call.kernel.ipc.drop_if_unused(number);
        }
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}
