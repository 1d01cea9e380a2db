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
const MAP_LOCKED: u32 = 0x2000;
const MAP_POPULATE: u32 = 0x8000;
const MAP_NONBLOCK: u32 = 0x1_0000;
const MAP_FIXED_NOREPLACE: u32 = 0x10_0000;

/// Bytes of a mapping that MAP_POPULATE brings in; the rest comes when it is accessed. It is a hint, and the
/// kernel's part of a turn is bounded.
const POPULATED_AT_ONCE: u32 = 4 << 20;

/// Fails unless `address` is a multiple of a page.
pub(super) fn aligned(address: u32) -> Result<u32, Errno> {
    if address.is_multiple_of(PAGE_SIZE) { Ok(address) } else { Err(Errno::EINVAL) }
}

/// `length` in whole pages; 0 and what does not fit are errors.
pub(super) fn whole_pages(length: u32, too_long: Errno) -> Result<u32, Errno> {
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
    let charged = charge_mapping(call, more, false).and_then(|()| call.check_new_locks(more, false));
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
        let mut area = Area::private(Permissions::READ | Permissions::WRITE, AreaSource::Heap);
        area.locked = space.locks_new;
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
    let anonymous = flags & MAP_ANONYMOUS != 0;
    if !anonymous {
        // Whether there is a file is asked before anything else.
        let id = call.open_file(fd)?;
        if call.kernel.fs.description(id).is_path() {
            return Err(Errno::EBADF.into());
        }
    }
    let length = whole_pages(length, Errno::ENOMEM)?;
    let shared = match flags & MAP_TYPE {
        MAP_PRIVATE => false,
        MAP_SHARED => true,
        MAP_SHARED_VALIDATE if !anonymous => true,
        _ => return Err(Errno::EINVAL.into()),
    };
    let offset = u64::from(page) * u64::from(PAGE_SIZE);
    charge_mapping(call, length, shared)?;
    let lowest = lowest_address(call);
    let start = choose_address(call.space(), address, length, flags, lowest)?;
    call.check_new_locks(length, flags & MAP_LOCKED != 0)?;
    let mut area = Area::private(protection(bits), AreaSource::Anonymous);
    area.shared = shared;
    area.grows_down = flags & MAP_GROWSDOWN != 0;
    area.locked = flags & MAP_LOCKED != 0 || call.space().locks_new;
    if flags & (MAP_FIXED | MAP_ANONYMOUS) == MAP_FIXED | MAP_ANONYMOUS {
        // What was there goes first, because that may take long.
        call.space().check_limits(start, start + length, area.is_data())?;
        call.unmap_range(start, start + length)?;
    }
    if flags & MAP_ANONYMOUS == 0 {
        map_file(call, start, length, area, fd, offset)?;
    } else if shared {
        let object = call.kernel.new_object();
        let memory = SharedMemory::new_from(&call.kernel.frames, length.into()).map_err(|_| Errno::ENOMEM)?;
        call.space().map_shared(start, length, area, (object, memory))?;
    } else {
        call.space().map(start, length, area)?;
    }
    if flags & (MAP_POPULATE | MAP_NONBLOCK) == MAP_POPULATE {
        call.populate(start, length.min(POPULATED_AT_ONCE));
    }
    Ok(start)
}

/// Charges what a mapping takes before any page of it is there: areas, tables, an object.
pub(super) fn charge_mapping(call: &mut Call<'_>, length: u32, shared: bool) -> Result<(), Errno> {
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
pub(super) fn lowest_address(call: &mut Call<'_>) -> u32 {
    if call.process().credentials.euid == 0 { 0 } else { MMAP_MIN }
}

/// A free range of `length` bytes, which may not start below `lowest`.
pub(super) fn find_gap(space: &mut Space, length: u32, lowest: u32) -> Result<u32, Errno> {
    let start = space.find_gap(length).ok_or(Errno::ENOMEM)?;
    if start < lowest { Err(Errno::EPERM) } else { Ok(start) }
}

/// Where a mapping goes; `lowest` is what the caller may have.
pub(super) fn choose_address(
    space: &mut Space,
    hint: u32,
    length: u32,
    flags: u32,
    lowest: u32,
) -> Result<u32, Errno> {
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
    call.map_private(start, length, area)?;
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
    if length == 0 && bits & (GROWS_DOWN | GROWS_UP) != GROWS_DOWN | GROWS_UP {
        return Ok(0);
    }
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
        _ if arguments[1] == 0 => mprotect(call, arguments),
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

impl Call<'_> {
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

    /// Maps a private file area, with what the file has now; its file is among those of the space.
    pub(super) fn map_private(&mut self, start: u32, length: u32, mut area: Area) -> Result<(), Errno> {
        let AreaSource::File { node, offset } = area.backing else { return Err(Errno::EINVAL) };
        area.source = self.kernel.fs.vfs.page_source(node);
        if area.source.is_some() {
            return self.space().map(start, length, area);
        }
        let content = self.with_files(|files, caller| {
            let size = files.vfs.attributes(caller, node)?.size;
            let mut content = vec![0; size.saturating_sub(offset).min(u64::from(length)) as usize];
            let read = files.vfs.read(&caller.view, node, offset, &mut content)?;
            content.truncate(read);
            Ok::<_, Errno>(content)
        })?;
        self.space().map_private_file(start, length, area, &content)
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
        for attachment in space.attachments.values() {
            self.ipc.detach(attachment.segment);
        }
        self.end_space(space.id, space.memory);
    }
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
    if flags & INVALIDATE != 0 && call.space().areas.locked_within(address, end) > 0 {
        return Err(Errno::EBUSY.into());
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
