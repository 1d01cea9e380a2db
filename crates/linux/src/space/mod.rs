//! One process's memory: the pages, and the areas that say what each range is.

mod areas;
mod gaps;
mod kept;
mod names;

pub(crate) use areas::{Area, AreaSource, Areas, Inheritance};
pub(crate) use kept::KeptSpace;
use std::collections::BTreeMap;

use pentimento_memory::{AddressSpace, Fault, FaultKind, FrameSource, PAGE_SIZE, Permissions, SharedMemory};
use pentimento_registers::LocalDescriptors;

use crate::errno::Errno;
use crate::vfs::Vnode;

/// One past the highest user address of an i386 process under a 64-bit kernel.
pub(crate) const TASK_SIZE: u32 = 0xffff_e000;

/// The same for programs that were written for 32-bit kernels (personality(2), ADDR_LIMIT_3GB).
pub(crate) const TASK_SIZE_3GB: u32 = 0xc000_0000;

/// The lowest address that mappings get (vm.mmap_min_addr), but where the superuser (CAP_SYS_RAWIO)
/// asks for a lower one.
pub(crate) const MMAP_MIN: u32 = 0x1_0000;

/// Bytes that come in from a file at once, around the page that is accessed (as Linux's fault-around).
const LOADED_AT_ONCE: u32 = 16 * PAGE_SIZE;

/// An object takes a byte for each so many of its size before any page of it is there.
pub(crate) const OBJECT_SHARE: u64 = 512;

/// How close to a growing stack another area may come (stack_guard_gap: 256 pages).
const STACK_GUARD: u32 = 256 * PAGE_SIZE;

/// The number of an address space: never used twice in a machine, so that engines can key
/// translated code by it. execve(2) gives a process a new one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SpaceId(pub(crate) u32);

impl SpaceId {
    /// The number, which no other space of the machine ever has.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// A fault that stays one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BadAccess {
    /// No area there: SEGV_MAPERR.
    NoArea,
    /// The area forbids it: SEGV_ACCERR.
    Forbidden,
    /// Beyond the end of the mapped file: SIGBUS, BUS_ADRERR.
    BeyondFile,
    /// The page needs memory that the machine does not grant: the process is killed.
    OutOfMemory,
}

/// A file that a space maps.
#[derive(Clone, Debug)]
pub(crate) struct FileMapping {
    /// Its path when it was mapped first.
    pub(crate) name: Vec<u8>,
    /// Its content, if any area shares it.
    pub(crate) memory: Option<SharedMemory>,
}

/// A segment of System V shared memory in a space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Attachment {
    /// The number of the object behind it.
    pub(crate) object: u64,
    /// Bytes that were mapped.
    pub(crate) length: u32,
    /// The segment's key and number.
    pub(crate) key: u32,
    pub(crate) segment: u32,
}

/// An address space with its areas; `M` is its memory, or what stands for it.
pub(crate) struct Space<M = AddressSpace> {
    /// What engines know it by.
    pub(crate) id: SpaceId,
    /// The pages.
    pub(crate) memory: M,
    /// What each mapped range is.
    pub(crate) areas: Areas,
    /// One past the highest address that may be mapped.
    pub(crate) end: u32,
    /// Where the heap starts.
    pub(crate) heap_start: u32,
    /// The current break (brk(2)).
    pub(crate) heap_end: u32,
    /// Mappings without a wish are placed below this.
    pub(crate) mmap_base: u32,
    /// Bytes that may be mapped (RLIMIT_AS and the machine's limit).
    pub(crate) limit: u64,
    /// Bytes of private writable memory beside stacks (RLIMIT_DATA).
    pub(crate) data_limit: u64,
    /// Bytes that a stack may grow to (RLIMIT_STACK).
    pub(crate) stack_limit: u32,
    /// What is mapped from now on is locked (mlockall(2), MCL_FUTURE).
    pub(crate) locks_new: bool,
    /// Readable mappings are executable too (READ_IMPLIES_EXEC of personality(2)).
    pub(crate) read_implies_exec: bool,
    /// Address of the vDSO's image; 0 without one.
    pub(crate) vdso: u32,
    /// The objects behind anonymous shared areas, by number.
    objects: BTreeMap<u64, SharedMemory>,
    /// Where segments of System V shared memory were attached, by address.
    pub(crate) attachments: BTreeMap<u32, Attachment>,
    /// The files that areas map, each held once, with the object behind shared mappings of it.
    pub(crate) files: BTreeMap<Vnode, FileMapping>,
    /// The path of the program, and of its ELF interpreter.
    pub(crate) program: Vec<u8>,
    pub(crate) interpreter: Vec<u8>,
    /// First and one past the last byte of the argument strings, and of the environment's.
    pub(crate) arguments: (u32, u32),
    pub(crate) environment: (u32, u32),
    /// The auxiliary vector's bytes.
    pub(crate) auxiliary: Vec<u8>,
    /// The local descriptor table (modify_ldt(2)).
    pub(crate) local_descriptors: LocalDescriptors,
}

/// Rounds up to whole pages; `None` beyond 4 GiB.
pub(crate) fn page_align(length: u32) -> Option<u32> {
    Some(length.checked_add(PAGE_SIZE - 1)? & !(PAGE_SIZE - 1))
}

impl Space {
    /// An empty space that takes its pages from `frames`.
    ///
    /// # Errors
    /// ENOMEM where the machine's memory is used up.
    pub(crate) fn new(
        id: SpaceId,
        frames: &FrameSource,
        (limit, stack_limit): (u64, u32),
        end: u32,
    ) -> Result<Self, Errno> {
        Ok(Self {
            id,
            memory: AddressSpace::try_new_from(frames, Default::default()).map_err(|_| Errno::ENOMEM)?,
            areas: Areas::default(),
            end,
            heap_start: 0,
            heap_end: 0,
            mmap_base: end - PAGE_SIZE - stack_limit.clamp(128 << 20, 0xa000_0000),
            limit,
            data_limit: u64::MAX,
            stack_limit,
            locks_new: false,
            read_implies_exec: false,
            vdso: 0,
            objects: BTreeMap::new(),
            attachments: BTreeMap::new(),
            files: BTreeMap::new(),
            program: Vec::new(),
            interpreter: Vec::new(),
            arguments: (0, 0),
            environment: (0, 0),
            auxiliary: Vec::new(),
            local_descriptors: LocalDescriptors::new(),
        })
    }

    /// Maps zero-filled pages over `[start, start + length)`, replacing what was there. Both are
    /// multiples of a page.
    ///
    /// # Errors
    /// ENOMEM beyond the limit or the user's part of the address space.
    pub(crate) fn map(&mut self, start: u32, length: u32, area: Area) -> Result<(), Errno> {
        let end = start.checked_add(length).filter(|end| *end <= self.end).ok_or(Errno::ENOMEM)?;
        self.check_limits(start, end, area.is_data())?;
        self.map_pages(start, length, &area)?;
        self.areas.insert(start, end, area);
        Ok(())
    }

    /// Whether `[start, end)` may be mapped, in place of what is there.
    ///
    /// # Errors
    /// ENOMEM beyond the limits.
    pub(crate) fn check_limits(&self, start: u32, end: u32, is_data: bool) -> Result<(), Errno> {
        let length = u64::from(end - start);
        let exceeds = |all: u64, limit: u64, outside: &dyn Fn() -> u64| {
            all.saturating_add(length) > limit && outside().saturating_add(length) > limit
        };
        let outside = || self.areas.mapped() - self.areas.mapped_within(start, end);
        let data = || self.areas.data_outside(start, end);
        if exceeds(self.areas.mapped(), self.limit, &outside)
            || is_data && self.data_limit != u64::MAX && exceeds(u64::MAX, self.data_limit, &data)
        {
            return Err(Errno::ENOMEM);
        }
        Ok(())
    }

    /// Gives private pages of `area` up: what is read there next comes from behind the area, or is zero.
    ///
    /// # Errors
    /// ENOMEM where the machine's memory is used up.
    pub(crate) fn discard_pages(&mut self, start: u32, length: u32, area: &Area) -> Result<(), Errno> {
        self.map_pages(start, length, area)
    }

    /// Maps a new anonymous object of `length` bytes that forks share: its number, and its memory.
    ///
    /// # Errors
    /// As for [`map`](Self::map).
    pub(crate) fn map_shared(
        &mut self,
        start: u32,
        length: u32,
        area: Area,
        (object, memory): (u64, SharedMemory),
    ) -> Result<(), Errno> {
        self.objects.insert(object, memory);
        self.map(start, length, Area { backing: AreaSource::Shared { object, offset: 0 }, ..area })
    }

    /// The attachment that an area of an object belongs to.
    pub(crate) fn attachment_of(&self, object: u64) -> Option<&Attachment> {
        self.attachments.values().find(|attachment| attachment.object == object)
    }

    /// Maps a private copy of a file: `content` is what the file has there, and the pages beyond
    /// its end, from `end` (a multiple of a page) on, raise SIGBUS.
    ///
    /// # Errors
    /// As for [`map`](Self::map).
    pub(crate) fn map_private_file(
        &mut self,
        start: u32,
        length: u32,
        area: Area,
        content: &[u8],
    ) -> Result<(), Errno> {
        self.map(start, length, area.clone())?;
        self.memory.poke_bytes(start, content).map_err(|_| Errno::ENOMEM)?;
        let end = page_align(content.len() as u32).unwrap_or(length);
        if end < length {
            let nothing = SharedMemory::new(0).map_err(|_| Errno::ENOMEM)?;
            let permissions = self.page_permissions(area.protection);
            self.memory
                .map_shared(start + end, length - end, permissions, &nothing, 0)
                .map_err(|_| Errno::ENOMEM)?;
        }
        Ok(())
    }

    /// Makes pages for `[start, start + length)` of `area`.
    fn map_pages(&mut self, start: u32, length: u32, area: &Area) -> Result<(), Errno> {
        let permissions = self.page_permissions(area.protection);
        let mapped = match area.backing {
            AreaSource::Shared { object, offset } if let Some(memory) = self.objects.get(&object) => {
                self.memory.map_shared(start, length, permissions, memory, offset)
            }
            AreaSource::File { node, offset } if area.shared => match self.files.get(&node) {
                Some(FileMapping { memory: Some(memory), .. }) => {
                    self.memory.map_shared(start, length, permissions, memory, offset)
                }
                _ => return Err(Errno::ENODEV),
            },
            // Pages of an object without any: each access is a fault, which loads them.
            _ if area.source.is_some() => {
                let nothing = SharedMemory::new(0).map_err(|_| Errno::ENOMEM)?;
                self.memory.map_shared(start, length, permissions, &nothing, 0)
            }
            _ => self.memory.map(start, length, permissions),
        };
        mapped.map_err(|_| Errno::ENOMEM)
    }

    /// Bytes of the host's memory that page table and areas take.
    pub(crate) fn own_bytes(&self) -> u64 {
        /// What an area takes.
        const AREA: u64 = 160;
        self.memory.table_bytes() + self.areas.len() as u64 * AREA
    }

    /// What stands behind areas, by a number of its own: what each takes beside its pages.
    pub(crate) fn object_bytes(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let sources = self.areas.iter().filter_map(|(_, area)| area.source.as_ref()?.held());
        let object = |(number, memory): (&u64, &SharedMemory)| {
            // Apart from addresses, which are never so high.
            (number | 1 << 63, memory.len().unwrap_or(0) / OBJECT_SHARE)
        };
        self.objects.iter().map(object).chain(sources)
    }

    /// A child's copy with number `id`, which shares no future writes but those to shared areas. Locks are not
    /// inherited (fork(2)).
    ///
    /// # Errors
    /// ENOMEM where the machine's memory is used up.
    pub(crate) fn fork(&mut self, id: SpaceId) -> Result<Self, Errno> {
        let mut copy = Self {
            id,
            memory: self.memory.fork().map_err(|_| Errno::ENOMEM)?,
            areas: self.areas.clone(),
            objects: self.objects.clone(),
            attachments: self.attachments.clone(),
            files: self.files.clone(),
            program: self.program.clone(),
            interpreter: self.interpreter.clone(),
            auxiliary: self.auxiliary.clone(),
            local_descriptors: self.local_descriptors.clone(),
            locks_new: false,
            ..*self
        };
        if copy.areas.locked() > 0 {
            copy.areas.change(0, TASK_SIZE, |area| area.locked = false);
        }
        for (start, area) in copy.areas.not_inherited() {
            let length = area.end - start;
            match area.inheritance {
                Inheritance::Nothing => copy.unmap(start, length)?,
                _ => copy.map(start, length, area)?,
            }
        }
        Ok(copy)
    }

    /// Moves `length` bytes of pages at `old` to `new`, where an area like theirs is mapped.
    ///
    /// # Errors
    /// ENOMEM where the machine's memory is used up.
    pub(crate) fn move_pages(&mut self, old: u32, new: u32, length: u32) -> Result<(), Errno> {
        let Some((_, area)) = self.areas.at(new) else { return Ok(()) };
        if matches!(area.backing, AreaSource::Shared { .. }) || area.shared {
            return Ok(());
        }
        let (lazy, protection) = (area.source.is_some(), area.protection);
        let zeros = [0; PAGE_SIZE as usize];
        let mut page = zeros;
        for offset in (0..length).step_by(PAGE_SIZE as usize) {
            if self.memory.peek_bytes(old + offset, &mut page).is_err() {
                continue;
            }
            if lazy {
                self.map_loaded(new + offset, protection, &page)?;
            } else if page != zeros {
                self.memory.poke_bytes(new + offset, &page).map_err(|_| Errno::ENOMEM)?;
            }
        }
        Ok(())
    }

    /// Makes `length` bytes of an anonymous object zero.
    ///
    /// # Errors
    /// ENOMEM where another space holds the object.
    pub(crate) fn clear_object(&mut self, object: u64, offset: u64, length: u64) -> Result<(), Errno> {
        let memory = self.objects.get(&object).ok_or(Errno::EINVAL)?;
        let zeros = [0; PAGE_SIZE as usize];
        let end = memory.len().unwrap_or(0).min(offset + length);
        let mut at = offset;
        // Pages that nobody has are zero already.
        while let Some(page) = memory.next_page(at).filter(|page| *page < end) {
            memory.write(page, &zeros)?;
            at = page + u64::from(PAGE_SIZE);
        }
        Ok(())
    }

    /// Unmaps `[start, start + length)`, whatever is there.
    ///
    /// # Errors
    /// EINVAL if the range is none.
    pub(crate) fn unmap(&mut self, start: u32, length: u32) -> Result<(), Errno> {
        self.memory.unmap(start, length).map_err(|_| Errno::EINVAL)?;
        self.areas.remove(start, start.saturating_add(length));
        Ok(())
    }

    /// Changes the protection of `[start, start + length)`.
    ///
    /// # Errors
    /// ENOMEM where a part is not mapped, EACCES where it may not have the protection; the parts before
    /// it have changed.
    pub(crate) fn protect(&mut self, start: u32, length: u32, protection: Permissions) -> Result<(), Errno> {
        let end = start.checked_add(length).ok_or(Errno::ENOMEM)?;
        let (done, result) = self.areas.protect(start, end, protection);
        let permissions = self.page_permissions(protection);
        self.memory.protect(start, done - start, permissions).map_err(|_| Errno::ENOMEM)?;
        result
    }

    /// What pages of an area with `protection` allow: x86 has no page that can be written or
    /// executed but not read.
    pub(crate) fn page_permissions(&self, protection: Permissions) -> Permissions {
        let mut pages = protection;
        if !pages.is_empty() {
            pages |= Permissions::READ;
        }
        if self.read_implies_exec && pages.contains(Permissions::READ) {
            pages |= Permissions::EXECUTE;
        }
        pages
    }

    /// The highest free range of `length` bytes below the mapping base, else the highest above it.
    /// Where memory is nearly full it may lie below [`MMAP_MIN`]; page 0 is never chosen.
    pub(crate) fn find_gap(&mut self, length: u32) -> Option<u32> {
        self.areas
            .highest_gap(PAGE_SIZE, self.mmap_base, length)
            .or_else(|| self.areas.highest_gap(self.mmap_base, self.end, length))
    }

    /// Tries to make the access that failed with `fault` possible: grows the stack.
    pub(crate) fn resolve(&mut self, fault: Fault) -> Result<(), BadAccess> {
        match (fault.kind, self.areas.at(fault.address)) {
            (FaultKind::OutOfMemory, _) => Err(BadAccess::OutOfMemory),
            (FaultKind::Busy, _) => Err(BadAccess::OutOfMemory),
            (_, None) => self.grow_stack(fault.address),
            (FaultKind::BeyondEnd, Some((start, area))) => {
                let area = area.clone();
                self.load(fault.address, start, &area)
            }
            (FaultKind::NotMapped, Some(_)) => Err(BadAccess::BeyondFile),
            (_, Some(_)) => Err(BadAccess::Forbidden),
        }
    }

    /// Brings in the page at `address`, and what is not there yet of those around it.
    fn load(&mut self, address: u32, start: u32, area: &Area) -> Result<(), BadAccess> {
        let (Some(source), Some(offset)) = (&area.source, area.file_offset()) else {
            return Err(BadAccess::BeyondFile);
        };
        let first = (address & !(LOADED_AT_ONCE - 1)).max(start);
        let last = (address | (LOADED_AT_ONCE - 1)).min(area.end - 1);
        let mut content = vec![0; (last - first) as usize + 1];
        let read = source.read(offset + u64::from(first - start), &mut content);
        let read = read.map_err(|_| BadAccess::BeyondFile)?;
        if (address - first) as usize >= read.next_multiple_of(PAGE_SIZE as usize) {
            return Err(BadAccess::BeyondFile);
        }
        let end = first + (read as u32).next_multiple_of(PAGE_SIZE);
        let mut page = first;
        while page < end {
            let loaded = self.is_loaded(page);
            let run = (page..end).step_by(PAGE_SIZE as usize).find(|other| self.is_loaded(*other) != loaded);
            let run = run.unwrap_or(end);
            if !loaded {
                let content = &content[(page - first) as usize..(run - first) as usize];
                self.map_loaded(page, area.protection, content).map_err(|_| BadAccess::OutOfMemory)?;
            }
            page = run;
        }
        Ok(())
    }

    /// Brings in the pages of an area with a source that `content` fills, the last one up with zeros.
    ///
    /// # Errors
    /// ENOMEM where the machine's memory is used up.
    pub(crate) fn map_loaded(
        &mut self,
        start: u32,
        protection: Permissions,
        content: &[u8],
    ) -> Result<(), Errno> {
        let permissions = self.page_permissions(protection);
        let length = (content.len() as u32).next_multiple_of(PAGE_SIZE);
        self.memory.map(start, length, permissions).map_err(|_| Errno::ENOMEM)?;
        self.memory.poke_bytes(start, content).map_err(|_| Errno::ENOMEM)
    }

    /// Whether a page of an area with a source has been brought in.
    fn is_loaded(&self, page: u32) -> bool {
        self.memory.peek_bytes(page, &mut [0]).is_ok()
    }

    /// Extends the stack area above `address` down to it (mmap(2), MAP_GROWSDOWN).
    fn grow_stack(&mut self, address: u32) -> Result<(), BadAccess> {
        let page = address & !(PAGE_SIZE - 1);
        let (start, area) = self.areas.above(address).ok_or(BadAccess::NoArea)?;
        let (end, area) = (area.end, area.clone());
        let below = self.areas.below(page).map_or(0, |area| area.end);
        let room = below == 0 || page - below >= STACK_GUARD;
        if !area.grows_down || end - page > self.stack_limit || !room || page < MMAP_MIN {
            return Err(BadAccess::NoArea);
        }
        self.map(page, start - page, area).map_err(|_| BadAccess::NoArea)
    }
}
