//! Memory: brk(2), mmap(2) and what goes with it.

use std::collections::BTreeSet;

use pentimento_memory::{PAGE_SIZE, Permissions, SharedMemory};

use crate::errno::Errno;
use crate::kernel::{Arguments, Call, Kernel};
use crate::objects::Mappable;
use crate::space::{Area, AreaSource, OBJECT_SHARE};
use crate::space::{FileMapping, MMAP_MIN, Space, TASK_SIZE, page_align};
use crate::vfs::{NoProcesses, View, Vnode};
use crate::wait::CallResult;
use crate::work::BETWEEN_LOOKS;

use super::range::PageWork;

const MAP_SHARED: u32 = 1;
const MAP_PRIVATE: u32 = 2;
const MAP_SHARED_VALIDATE: u32 = 3;
const MAP_TYPE: u32 = 0xf;
const MAP_FIXED: u32 = 0x10;
const MAP_ANONYMOUS: u32 = 0x20;
const MAP_GROWSDOWN: u32 = 0x100;
const MAP_FIXED_NOREPLACE: u32 = 0x10_0000;

/// Fails unless `address` is a multiple of a page.
fn aligned(address: u32) -> Result<u32, Errno> {
    if address.is_multiple_of(PAGE_SIZE) { Ok(address) } else { Err(Errno::EINVAL) }
}

/// `length` in whole pages; 0 and what does not fit are errors.
fn whole_pages(length: u32, too_long: Errno) -> Result<u32, Errno> {
    match page_align(length) {
        Some(0) => Err(Errno::EINVAL),
        Some(length) if length <= TASK_SIZE => Ok(length),
        _ => Err(too_long),
    }
}

/// PROT_* flags as permissions; flags that mean nothing here (PROT_SEM, PROT_GROWSDOWN) are left out.
fn protection(bits: u32) -> Permissions {
    Permissions::from_bits_truncate((bits & 7) as u8)
}

/// brk(2): the system call returns the break, changed or not.
pub(super) fn brk(call: &mut Call<'_>, [wanted, ..]: Arguments) -> CallResult {
    let lowest = lowest_address(call);
    let more = wanted.saturating_sub(call.space().heap_end);
    let charged = charge_mapping(call, more, false);
    let space = call.space();
    if wanted < space.heap_start || charged.is_err() {
        return Ok(space.heap_end);
    }
    let (Some(old), Some(new)) = (page_align(space.heap_end), page_align(wanted)) else {
        return Ok(space.heap_end);
    };
    if new < old {
        call.unmap_range(new, old)?;
        call.space().heap_end = wanted;
        return Ok(wanted);
    }
    let moved = if new > old {
        // A program at low addresses may have stopped being the superuser's.
        let free = old >= lowest && space.areas.overlapping(old, new).next().is_none();
        let area = Area::private(Permissions::READ | Permissions::WRITE, AreaSource::Heap);
        if free { space.map(old, new - old, area) } else { Err(Errno::ENOMEM) }
    } else {
        Ok(())
    };
    if moved.is_ok() {
        space.heap_end = wanted;
    }
    Ok(space.heap_end)
}

/// mmap(2) as number 90: its arguments are in memory, and the offset is in bytes.
pub(super) fn old_mmap(call: &mut Call<'_>, [block, ..]: Arguments) -> CallResult {
    let [address, length, protection, flags, fd, offset] = call.user().words(block)?;
    aligned(offset)?;
    mmap2(call, [address, length, protection, flags, fd, offset / PAGE_SIZE])
}

/// mmap2(2): the offset is in pages.
pub(super) fn mmap2(call: &mut Call<'_>, [address, length, bits, flags, fd, page]: Arguments) -> CallResult {
    let length = whole_pages(length, Errno::ENOMEM)?;
    let shared = match flags & MAP_TYPE {
        MAP_PRIVATE => false,
        MAP_SHARED | MAP_SHARED_VALIDATE => true,
        _ => return Err(Errno::EINVAL.into()),
    };
    let offset = u64::from(page) * u64::from(PAGE_SIZE);
    charge_mapping(call, length, shared)?;
    let lowest = lowest_address(call);
    let start = choose_address(call.space(), address, length, flags, lowest)?;
    let mut area = Area::private(protection(bits), AreaSource::Anonymous);
    area.shared = shared;
    area.grows_down = flags & MAP_GROWSDOWN != 0;
    if flags & (MAP_FIXED | MAP_ANONYMOUS) == MAP_FIXED | MAP_ANONYMOUS {
        // What was there goes first, because that may take long.
        call.space().check_limits(start, start + length, area.is_data())?;
        call.unmap_range(start, start + length)?;
    }
    if flags & MAP_ANONYMOUS == 0 {
        return map_file(call, start, length, area, fd, offset);
    }
    if shared {
        let object = call.kernel.new_object();
        let memory = SharedMemory::new_from(&call.kernel.frames, length.into()).map_err(|_| Errno::ENOMEM)?;
        call.space().map_shared(start, length, area, (object, memory))?;
    } else {
        call.space().map(start, length, area)?;
    }
    Ok(start)
}

/// Charges what a mapping takes before any page of it is there: areas, tables, an object.
fn charge_mapping(call: &mut Call<'_>, length: u32, shared: bool) -> Result<(), Errno> {
    /// Three areas: the new one, and what it leaves on both sides of another.
    const AREAS: u64 = 512;
    /// A leaf of the page table, and the bytes that it is for.
    const LEAF: u64 = 16 << 10;
    const LEAF_BYTES: u64 = 4 << 20;
    let length = u64::from(length);
    // Small mappings share their leaves.
    let tables = length / LEAF_BYTES * LEAF;
    call.charge(AREAS + tables + if shared { length / OBJECT_SHARE } else { 0 })
}

/// The lowest address at which `task` may map: 0 for the superuser (CAP_SYS_RAWIO).
fn lowest_address(call: &mut Call<'_>) -> u32 {
    if call.process().credentials.euid == 0 { 0 } else { MMAP_MIN }
}

/// A free range of `length` bytes, which may not start below `lowest`.
fn find_gap(space: &mut Space, length: u32, lowest: u32) -> Result<u32, Errno> {
    let start = space.find_gap(length).ok_or(Errno::ENOMEM)?;
    if start < lowest { Err(Errno::EPERM) } else { Ok(start) }
}

/// Where a mapping goes; `lowest` is what the caller may have.
fn choose_address(space: &mut Space, hint: u32, length: u32, flags: u32, lowest: u32) -> Result<u32, Errno> {
    let is_free = |start: u32| -> Result<bool, Errno> {
        let end = start.checked_add(length).filter(|end| *end <= TASK_SIZE).ok_or(Errno::ENOMEM)?;
        Ok(space.areas.overlapping(start, end).next().is_none())
    };
    if flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) != 0 {
        let free = is_free(hint)?;
        aligned(hint)?;
        if hint < lowest {
            return Err(Errno::EPERM);
        }
        if flags & MAP_FIXED_NOREPLACE != 0 && !free {
            return Err(Errno::EEXIST);
        }
        return Ok(hint);
    }
    // A wish for a low address is one for the lowest, the superuser's too; page 0 is no wish.
    let hint = match hint & !(PAGE_SIZE - 1) {
        0 => return find_gap(space, length, lowest),
        hint => hint.max(MMAP_MIN),
    };
    if is_free(hint) == Ok(true) { Ok(hint) } else { find_gap(space, length, lowest) }
}

/// Maps a file.
fn map_file(
    call: &mut Call<'_>,
    start: u32,
    length: u32,
    mut area: Area,
    fd: u32,
    offset: u64,
) -> CallResult {
    let description = call.open_file(fd)?;
    let description = call.kernel.fs.description(description);
    let (mappable, node, flags) = (description.object.mappable(), description.vnode, description.flags);
    if !flags.reads() || area.shared && area.protection.contains(Permissions::WRITE) && !flags.writes() {
        return Err(Errno::EACCES.into());
    }
    if mappable? == Mappable::Zeros {
        call.space().map(start, length, area)?;
        return Ok(start);
    }
    area.backing = AreaSource::File { node, offset };
    if area.shared {
        area.may_write = flags.writes();
        call.map_file_shared(node, area.may_write)?;
        call.space().map(start, length, area)?;
        return Ok(start);
    }
    if !call.space().files.contains_key(&node) {
        call.add_file_mapping(node, None)?;
    }
    area.source = call.kernel.fs.vfs.page_source(node);
    if area.source.is_some() {
        call.space().map(start, length, area)?;
        return Ok(start);
    }
    let content = call.with_files(|files, caller| {
        let size = files.vfs.attributes(caller, node)?.size;
        let mut content = vec![0; size.saturating_sub(offset).min(u64::from(length)) as usize];
        let read = files.vfs.read(&caller.view, node, offset, &mut content)?;
        content.truncate(read);
        Ok::<_, Errno>(content)
    })?;
    call.space().map_private_file(start, length, area, &content)?;
    Ok(start)
}

/// munmap(2).
pub(super) fn munmap(call: &mut Call<'_>, [address, length, ..]: Arguments) -> CallResult {
    let length = whole_pages(length, Errno::EINVAL)?;
    aligned(address)?;
    let end = address.checked_add(length).filter(|end| *end <= TASK_SIZE).ok_or(Errno::EINVAL)?;
    call.unmap_range(address, end)?;
    Ok(0)
}

/// mprotect(2), and pkey_mprotect(2) with the default key.
pub(super) fn mprotect(call: &mut Call<'_>, [address, length, bits, ..]: Arguments) -> CallResult {
    const GROWS_DOWN: u32 = 0x0100_0000;
    const GROWS_UP: u32 = 0x0200_0000;
    aligned(address)?;
    if bits & !(15 | GROWS_DOWN | GROWS_UP) != 0 || bits & GROWS_UP != 0 {
        return Err(Errno::EINVAL.into());
    }
    let length = page_align(length).ok_or(Errno::ENOMEM)?;
    charge_mapping(call, 0, false)?;
    let protection = protection(bits);
    if bits & GROWS_DOWN != 0 {
        let space = call.space();
        let (start, area) = space.areas.at(address).ok_or(Errno::ENOMEM)?;
        if !area.grows_down {
            return Err(Errno::EINVAL.into());
        }
        if length > 0 {
            space.protect(start, length + (address - start), protection)?;
        }
        return Ok(0);
    }
    let end = address.checked_add(length).ok_or(Errno::ENOMEM)?;
    call.in_pieces((address, end), 0, PageWork::Entry, |call, start, end| {
        call.space().protect(start, end - start, protection)
    })?;
    Ok(0)
}

/// pkey_mprotect(2): there are no keys but the default one.
pub(super) fn pkey_mprotect(call: &mut Call<'_>, arguments: Arguments) -> CallResult {
    match arguments[3] as i32 {
        -1 => mprotect(call, arguments),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// pkey_alloc(2): the processor has no keys to give.
pub(super) fn pkey_alloc(_: &mut Call<'_>, [flags, rights, ..]: Arguments) -> CallResult {
    Err(if flags != 0 || rights & !3 != 0 { Errno::EINVAL } else { Errno::ENOSPC }.into())
}

/// pkey_free(2): no key is in use.
pub(super) fn pkey_free(_: &mut Call<'_>, _: Arguments) -> CallResult {
    Err(Errno::EINVAL.into())
}

const MREMAP_MAYMOVE: u32 = 1;
const MREMAP_FIXED: u32 = 2;
const MREMAP_DONTUNMAP: u32 = 4;

/// mremap(2).
pub(super) fn mremap(
    call: &mut Call<'_>,
    [old, old_length, new_length, flags, new, ..]: Arguments,
) -> CallResult {
    let fixed = flags & MREMAP_FIXED != 0;
    let stays = flags & !(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP) == 0;
    if !stays || fixed && flags & MREMAP_MAYMOVE == 0 || flags & MREMAP_DONTUNMAP != 0 {
        return Err(Errno::EINVAL.into());
    }
    aligned(old)?;
    let new_length = whole_pages(new_length, Errno::EINVAL)?;
    charge_mapping(call, new_length, false)?;
    let old_length = page_align(old_length).ok_or(Errno::EINVAL)?;
    if let Some(target) = call.pending()?.place {
        return finish_move(call, (old, old_length), (target, new_length), fixed);
    }
    let lowest = lowest_address(call);
    let space = call.space();
    let (first, area) = space.areas.at(old).ok_or(Errno::EFAULT)?;
    let area = area.starting_at(first, old);
    if old_length == 0 {
        // The old way of mapping shared memory a second time.
        return Err(Errno::EINVAL.into());
    }
    let old_end = old.checked_add(old_length).filter(|end| *end <= area.end).ok_or(Errno::EFAULT)?;
    if fixed {
        aligned(new)?;
        let new_end = new.checked_add(new_length).filter(|end| *end <= TASK_SIZE).ok_or(Errno::EINVAL)?;
        if new < old_end && old < new_end {
            return Err(Errno::EINVAL.into());
        }
        if new < lowest {
            return Err(Errno::EPERM.into());
        }
    } else if new_length <= old_length {
        call.unmap_range(old + new_length, old_end)?;
        return Ok(old);
    } else if old_end == area.end && grow_in_place(space, old_end, new_length - old_length, &area)? {
        return Ok(old);
    } else if flags & MREMAP_MAYMOVE == 0 {
        return Err(Errno::ENOMEM.into());
    }
    if fixed {
        call.unmap_range(new, new + new_length)?;
    }
    let target = if fixed { new } else { find_gap(call.space(), new_length, lowest)? };
    call.space().map(target, new_length, area)?;
    call.pending()?.place = Some(target);
    finish_move(call, (old, old_length), (target, new_length), fixed)
}

/// Moves pages to `target`, which is mapped for them.
fn finish_move(
    call: &mut Call<'_>,
    (old, old_length): (u32, u32),
    (target, new_length): (u32, u32),
    fixed: bool,
) -> CallResult {
    let first = if fixed { new_length } else { 0 };
    let end = old.saturating_add(old_length);
    call.in_pieces((old, end), first, PageWork::Content, |call, start, stop| {
        let moved = start - old..(stop - old).min(new_length);
        let space = call.space();
        if !moved.is_empty() {
            space.move_pages(start, target + moved.start, moved.end - moved.start)?;
        }
        space.unmap(start, stop - start)
    })?;
    Ok(target)
}

/// Extends an area at its end if there is room; says whether.
fn grow_in_place(space: &mut Space, end: u32, more: u32, area: &Area) -> Result<bool, Errno> {
    let room = end.checked_add(more).filter(|new_end| *new_end <= TASK_SIZE);
    let Some(new_end) = room else { return Ok(false) };
    let anonymous = matches!(area.backing, AreaSource::Anonymous | AreaSource::Heap) && !area.shared;
    if !anonymous || space.areas.overlapping(end, new_end).next().is_some() {
        return Ok(false);
    }
    space.map(end, more, area.clone())?;
    Ok(true)
}

impl Call<'_> {
    /// Forgets what was written to private pages (MADV_DONTNEED).
    fn discard_pages(&mut self, start: u32, end: u32, area: &Area) -> Result<(), Errno> {
        let kept =
            matches!(area.backing, AreaSource::File { .. } | AreaSource::Program { .. } | AreaSource::Vdso);
        if area.shared || kept && area.source.is_none() {
            return Ok(());
        }
        self.space().discard_pages(start, end - start, area)
    }

    /// Has the caller's memory hold the content of a file that it maps shared; what is stored there
    /// goes back into the file if `writes`.
    fn map_file_shared(&mut self, node: Vnode, writes: bool) -> Result<(), Errno> {
        if writes {
            self.kernel.fs.vfs.expect_writes(node);
        }
        if matches!(self.space().files.get(&node), Some(FileMapping { memory: Some(_), .. })) {
            return Ok(());
        }
        let memory = self.with_files(|files, caller| files.vfs.map_shared(caller, node, writes))?;
        self.add_file_mapping(node, Some(memory))
    }

    /// Notes that the caller's memory maps a file, and holds it.
    fn add_file_mapping(&mut self, node: Vnode, memory: Option<SharedMemory>) -> Result<(), Errno> {
        let root = self.location().root;
        let name = self.kernel.fs.vfs.name_of(root, node);
        if self.space().files.insert(node, FileMapping { name, memory }).is_none() {
            self.kernel.fs.vfs.retain(node);
        }
        Ok(())
    }
}

impl Kernel {
    /// Adds holders to the files that a copied space maps.
    pub(crate) fn hold_mappings(&mut self, space: &Space) {
        for (node, mapping) in &space.files {
            self.fs.vfs.retain(*node);
            if mapping.memory.is_some() {
                self.fs.vfs.hold_shared(*node);
            }
        }
    }

    /// Drops a hold on a space; with the last one goes what it maps.
    pub(crate) fn drop_space(&mut self, id: crate::arena::Id<Space>) {
        if self.spaces.holders(id) == 1 {
            self.release_shared();
        }
        let Some(space) = self.spaces.release(id) else { return };
        let view = View {
            now: self.file_time(),
            monotonic: self.time.monotonic(),
            file_size: u64::MAX,
            processes: &NoProcesses,
        };
        for (node, mapping) in &space.files {
            if mapping.memory.is_some() {
                self.fs.vfs.unmap_shared(&view, *node);
            }
            self.fs.vfs.release(*node);
        }
        self.end_space(space.id, space.memory);
    }
}

/// madvise(2): the advice that changes what programs read is followed.
pub(super) fn madvise(call: &mut Call<'_>, [address, length, advice, ..]: Arguments) -> CallResult {
    const DONTNEED: u32 = 4;
    const REMOVE: u32 = 9;
    const KNOWN: [u32; 22] =
        [0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 25];
    aligned(address)?;
    if !KNOWN.contains(&advice) || advice == REMOVE {
        return Err(Errno::EINVAL.into());
    }
    let length = page_align(length).ok_or(Errno::EINVAL)?;
    let end = address.checked_add(length).ok_or(Errno::EINVAL)?;
    if advice == DONTNEED {
        call.for_areas((address, end), Call::discard_pages)?;
    }
    if call.is_mapped(address, end)? { Ok(0) } else { Err(Errno::ENOMEM.into()) }
}

/// mincore(2): everything that is mapped is there.
pub(super) fn mincore(call: &mut Call<'_>, [address, length, vector, ..]: Arguments) -> CallResult {
    aligned(address)?;
    let pages = page_align(length).ok_or(Errno::ENOMEM)? / PAGE_SIZE;
    let end = address.checked_add(pages * PAGE_SIZE).ok_or(Errno::ENOMEM)?;
    call.user().check(vector, pages, pentimento_memory::Access::Write)?;
    if !call.is_mapped(address, end)? {
        return Err(Errno::ENOMEM.into());
    }
    call.user().copy_out(vector, &vec![1; pages as usize])?;
    Ok(0)
}

/// msync(2): writes shared file mappings back.
pub(super) fn msync(call: &mut Call<'_>, [address, length, flags, ..]: Arguments) -> CallResult {
    const ASYNC: u32 = 1;
    const INVALIDATE: u32 = 2;
    const SYNC: u32 = 4;
    aligned(address)?;
    if flags & !(ASYNC | INVALIDATE | SYNC) != 0 || flags & (ASYNC | SYNC) == ASYNC | SYNC {
        return Err(Errno::EINVAL.into());
    }
    let length = page_align(length).ok_or(Errno::ENOMEM)?;
    let end = address.checked_add(length).ok_or(Errno::ENOMEM)?;
    if !call.is_mapped(address, end)? {
        return Err(Errno::ENOMEM.into());
    }
    let mut shared = BTreeSet::new();
    for (_, area) in call.space().areas.overlapping(address, end) {
        match area.backing {
            AreaSource::File { node, .. } if area.shared => shared.insert(node),
            _ => false,
        };
    }
    let (files_done, page) = (call.pending()?.messages, call.pending()?.progress);
    let mut offset = u64::from(page) * u64::from(PAGE_SIZE);
    for (number, node) in (0..).zip(shared).skip(files_done as usize) {
        while let Some(next) =
            call.with_files(|files, caller| files.vfs.write_back_some(&caller.view, node, offset))?
        {
            offset = next;
            if let Err(pause) = call.kernel.fs.work.spend(BETWEEN_LOOKS) {
                let pending = call.pending()?;
                (pending.messages, pending.progress) = (number, (offset / u64::from(PAGE_SIZE)) as u32);
                return Err(pause);
            }
        }
        offset = 0;
    }
    Ok(0)
}

/// mlock(2), munlock(2) and mlock2(2): nothing is ever paged out, so only the range is checked.
pub(super) fn mlock(call: &mut Call<'_>, [address, length, ..]: Arguments) -> CallResult {
    let start = address & !(PAGE_SIZE - 1);
    let end = page_align(address.checked_add(length).ok_or(Errno::EINVAL)?).ok_or(Errno::EINVAL)?;
    if call.is_mapped(start, end)? { Ok(0) } else { Err(Errno::ENOMEM.into()) }
}

/// mlockall(2) and munlockall(2).
pub(super) fn mlockall(_: &mut Call<'_>, _: Arguments) -> CallResult {
    Ok(0)
}
