//! What programs say of their memory: madvise(2), mincore(2), the mlock(2) family.

use pentimento_memory::{Access, PAGE_SIZE, Permissions};

use super::memory::{aligned, charge_mapping};
use super::range::PageWork;
use crate::errno::Errno;
use crate::kernel::{Arguments, Call};
use crate::resource::Resource;
use crate::space::{Area, AreaSource, Inheritance, TASK_SIZE, page_align};
use crate::vfs::Allocation;
use crate::wait::CallResult;

const DONTNEED: u32 = 4;
const FREE: u32 = 8;
const REMOVE: u32 = 9;
const DONTFORK: u32 = 10;
const DOFORK: u32 = 11;
const WIPEONFORK: u32 = 18;
const KEEPONFORK: u32 = 19;
const POPULATE_READ: u32 = 22;
const POPULATE_WRITE: u32 = 23;
const DONTNEED_LOCKED: u32 = 24;

/// Advice that changes nothing that a program could see: access patterns, huge pages, merging, dumps.
const UNSEEN: [u32; 13] = [0, 1, 2, 3, 12, 13, 14, 15, 16, 17, 20, 21, 25];

/// madvise(2): the advice that changes what programs read is followed.
pub(super) fn madvise(call: &mut Call<'_>, [address, length, advice, ..]: Arguments) -> CallResult {
    aligned(address)?;
    let known = UNSEEN.contains(&advice)
        || (FREE..=DOFORK).contains(&advice)
        || [DONTNEED, WIPEONFORK, KEEPONFORK].contains(&advice)
        || (POPULATE_READ..=DONTNEED_LOCKED).contains(&advice);
    let length = page_align(length).ok_or(Errno::EINVAL)?;
    let end = address.checked_add(length).ok_or(Errno::EINVAL)?;
    if !known {
        return Err(Errno::EINVAL.into());
    }
    if matches!(advice, POPULATE_READ | POPULATE_WRITE) {
        return populate(call, address, end, advice == POPULATE_WRITE);
    }
    charge_mapping(call, 0, false)?;
    if !UNSEEN.contains(&advice) {
        call.for_areas((address, end), |call, start, end, area| advise(call, start, end, area, advice))?;
    }
    if call.is_mapped(address, end)? { Ok(0) } else { Err(Errno::ENOMEM.into()) }
}

/// Follows advice about `[start, end)`, which is of `area`.
fn advise(call: &mut Call<'_>, start: u32, end: u32, area: &Area, advice: u32) -> Result<(), Errno> {
    let is_anonymous = area.is_anonymous();
    let inherits = |call: &mut Call<'_>, inheritance| {
        call.space().areas.change(start, end, |area| area.inheritance = inheritance);
        Ok(())
    };
    match advice {
        DONTNEED | FREE if area.locked => Err(Errno::EINVAL),
        FREE if !is_anonymous => Err(Errno::EINVAL),
        DONTNEED | DONTNEED_LOCKED => call.discard_pages(start, end, area),
        // To keep the pages is one of the choices that the advice leaves.
        FREE => Ok(()),
        REMOVE => remove(call, start, end, area),
        WIPEONFORK if !is_anonymous => Err(Errno::EINVAL),
        WIPEONFORK => inherits(call, Inheritance::Wiped),
        DONTFORK => inherits(call, Inheritance::Nothing),
        KEEPONFORK if area.inheritance == Inheritance::Nothing => Ok(()),
        DOFORK if area.inheritance == Inheritance::Wiped => Ok(()),
        KEEPONFORK | DOFORK => inherits(call, Inheritance::Kept),
        _ => Err(Errno::EINVAL),
    }
}

/// MADV_REMOVE: the range of the object or file behind a shared mapping becomes a hole.
fn remove(call: &mut Call<'_>, start: u32, end: u32, area: &Area) -> Result<(), Errno> {
    if area.locked || area.is_anonymous() {
        return Err(Errno::EINVAL);
    }
    if !area.shared || !area.may_write {
        return Err(Errno::EACCES);
    }
    let length = u64::from(end - start);
    match area.backing {
        AreaSource::Shared { object, offset } => {
            call.kernel.release_shared();
            call.space().clear_object(object, offset, length)
        }
        AreaSource::File { node, offset } => call.with_files(|files, caller| {
            files.vfs.allocate(caller, node, offset, length, Allocation::PunchHole)
        }),
        _ => Err(Errno::EINVAL),
    }
}

/// MADV_POPULATE_READ and MADV_POPULATE_WRITE: the pages are there from now on.
fn populate(call: &mut Call<'_>, start: u32, end: u32, writes: bool) -> CallResult {
    if !call.is_mapped(start, end)? {
        return Err(Errno::ENOMEM.into());
    }
    let wanted = if writes { Permissions::WRITE } else { Permissions::READ };
    let space = call.space();
    let allowed = |(_, area): (u32, &Area)| space.page_permissions(area.protection).contains(wanted);
    if !space.areas.overlapping(start, end).all(allowed) {
        return Err(Errno::EINVAL.into());
    }
    for page in (start..end).step_by(PAGE_SIZE as usize) {
        call.spend_bytes(PAGE_SIZE, 0)?;
        call.touch(page, writes)?;
    }
    Ok(0)
}

impl Call<'_> {
    /// Brings in the pages of a new mapping, as far as that can be done.
    pub(super) fn populate(&mut self, start: u32, length: u32) {
        let Some((_, area)) = self.space().areas.at(start) else { return };
        let writes = area.protection.contains(Permissions::WRITE) && !area.shared;
        let mut pages = (start..start.saturating_add(length)).step_by(PAGE_SIZE as usize);
        let _ = pages.try_for_each(|page| self.touch(page, writes));
    }

    /// Brings in a page as an access to it would.
    fn touch(&mut self, page: u32, writes: bool) -> Result<(), Errno> {
        let byte: u8 = self.user().read(page)?;
        if writes { self.user().write(page, byte) } else { Ok(()) }
    }

    /// Forgets what was written to private pages (MADV_DONTNEED): what was behind them shows again. `area` is
    /// that of `[start, end)` alone.
    pub(super) fn discard_pages(&mut self, start: u32, end: u32, area: &Area) -> Result<(), Errno> {
        match area.backing {
            _ if area.shared => Ok(()),
            AreaSource::File { .. } => self.map_private(start, end - start, area.clone()),
            AreaSource::Program { .. } | AreaSource::Vdso if area.source.is_none() => Ok(()),
            _ => self.space().discard_pages(start, end - start, area),
        }
    }

    /// Fails if `length` bytes that are to be mapped would be locked, because their mapping `asks` for it or
    /// because all new ones are, and may not be.
    ///
    /// # Errors
    /// EPERM without a limit above zero, EAGAIN beyond it.
    pub(super) fn check_new_locks(&mut self, length: u32, asks: bool) -> Result<(), Errno> {
        if !asks && !self.space().locks_new {
            return Ok(());
        }
        match self.lock_room() {
            Some(0) if asks && !self.space().locks_new => Err(Errno::EPERM),
            Some(limit) if self.space().areas.locked() + u64::from(length) > limit => Err(Errno::EAGAIN),
            _ => Ok(()),
        }
    }

    /// Bytes that the caller may lock (RLIMIT_MEMLOCK); `None` for who may lock any (CAP_IPC_LOCK).
    fn lock_room(&mut self) -> Option<u64> {
        let process = self.process();
        let limit = process.limits[Resource::Memlock].soft;
        (process.credentials.euid != 0 && limit != u64::MAX)
            .then_some(limit / u64::from(PAGE_SIZE) * u64::from(PAGE_SIZE))
    }
}

/// mincore(2): of private memory what was written to or read, of everything else all.
pub(super) fn mincore(call: &mut Call<'_>, [address, length, vector, ..]: Arguments) -> CallResult {
    aligned(address)?;
    let pages = page_align(length).ok_or(Errno::ENOMEM)? / PAGE_SIZE;
    let end = address.checked_add(pages * PAGE_SIZE).ok_or(Errno::ENOMEM)?;
    call.user().check(vector, pages, Access::Write)?;
    if !call.is_mapped(address, end)? {
        return Err(Errno::ENOMEM.into());
    }
    call.for_areas((address, end), |call, start, end, area| {
        let shows = area.locked || area.shared || !area.is_anonymous();
        let space = call.space();
        let is_there = |page| shows || space.memory.resident_within(page, PAGE_SIZE) > 0;
        let pages = (start..end).step_by(PAGE_SIZE as usize);
        let resident: Vec<u8> = pages.map(|page| is_there(page).into()).collect();
        call.user().copy_out(vector + (start - address) / PAGE_SIZE, &resident)
    })?;
    Ok(0)
}

/// mlock(2).
pub(super) fn mlock(call: &mut Call<'_>, [address, length, ..]: Arguments) -> CallResult {
    lock(call, address, length, true)
}

/// mlock2(2). Nothing is ever paged out, so pages that are locked when they come in are locked as the others.
pub(super) fn mlock2(call: &mut Call<'_>, [address, length, flags, ..]: Arguments) -> CallResult {
    const ONFAULT: u32 = 1;
    if flags & !ONFAULT != 0 {
        return Err(Errno::EINVAL.into());
    }
    lock(call, address, length, true)
}

/// munlock(2).
pub(super) fn munlock(call: &mut Call<'_>, [address, length, ..]: Arguments) -> CallResult {
    lock(call, address, length, false)
}

fn lock(call: &mut Call<'_>, address: u32, length: u32, locked: bool) -> CallResult {
    let room = call.lock_room();
    if locked && room == Some(0) {
        return Err(Errno::EPERM.into());
    }
    let start = address & !(PAGE_SIZE - 1);
    let bytes = page_align(length.checked_add(address - start).ok_or(Errno::EINVAL)?).ok_or(Errno::EINVAL)?;
    let end = start.checked_add(bytes).ok_or(Errno::EINVAL)?;
    charge_mapping(call, 0, false)?;
    let areas = &mut call.space().areas;
    let more = u64::from(bytes) - areas.locked_within(start, end).min(bytes.into());
    if locked && room.is_some_and(|room| areas.locked() + more > room) {
        return Err(Errno::ENOMEM.into());
    }
    if !call.is_mapped(start, end)? {
        return Err(Errno::ENOMEM.into());
    }
    set_locks(call, start, end, locked)
}

fn set_locks(call: &mut Call<'_>, start: u32, end: u32, locked: bool) -> CallResult {
    call.in_pieces((start, end), 0, PageWork::Entry, |call, start, end| {
        call.space().areas.change(start, end, |area| area.locked = locked);
        Ok(())
    })?;
    Ok(0)
}

/// mlockall(2).
pub(super) fn mlockall(call: &mut Call<'_>, [flags, ..]: Arguments) -> CallResult {
    const CURRENT: u32 = 1;
    const FUTURE: u32 = 2;
    const ONFAULT: u32 = 4;
    if flags & !(CURRENT | FUTURE | ONFAULT) != 0 || flags & (CURRENT | FUTURE) == 0 {
        return Err(Errno::EINVAL.into());
    }
    let room = call.lock_room();
    if room == Some(0) {
        return Err(Errno::EPERM.into());
    }
    let space = call.space();
    if flags & CURRENT != 0 && room.is_some_and(|room| space.areas.mapped() > room) {
        return Err(Errno::ENOMEM.into());
    }
    space.locks_new = flags & FUTURE != 0;
    if flags & CURRENT != 0 { set_locks(call, 0, TASK_SIZE, true) } else { Ok(0) }
}

/// munlockall(2).
pub(super) fn munlockall(call: &mut Call<'_>, _: Arguments) -> CallResult {
    call.space().locks_new = false;
    set_locks(call, 0, TASK_SIZE, false)
}
