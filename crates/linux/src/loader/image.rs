//! Placing a program and its interpreter in a fresh address space.

use pentimento_memory::{PAGE_SIZE, Permissions};
use pentimento_registers::{CpuState, Gpr};

use super::elf::{Elf, ImageKind, LoadError, LoadSegment};
use super::file::File;
use super::stack;
use super::stack::{Arguments, Auxiliary};
use crate::random::Random;
use crate::space::{Area, AreaSource};
use crate::space::{MMAP_MIN, Space, page_align};
use crate::vdso;

/// Where Linux places a position-independent program: two thirds of the address space (ELF_ET_DYN_BASE).
const PROGRAM_BASE: u32 = 0x5655_5000;

/// A program that execve(2) was asked for, read from its file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program {
    /// AT_EXECFN.
    pub(crate) path: Vec<u8>,
    /// What /proc/self/exe names.
    pub(crate) executable: Vec<u8>,
    /// The file.
    pub(crate) file: File,
    /// The interpreter's file, if it names one.
    pub(crate) interpreter: Option<File>,
}

impl Program {
    /// The path of the interpreter that its file names.
    pub(crate) fn interpreter_path(&self) -> Result<Option<Vec<u8>>, LoadError> {
        Ok(Elf::parse(&self.file)?.interpreter)
    }

    /// The name that its first thread gets: the last part of its path, at most 15 bytes.
    pub(crate) fn name(&self) -> Vec<u8> {
        let name = self.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        name[..name.len().min(15)].to_vec()
    }
}

/// What the machine contributes to a program's start.
#[derive(Clone, Debug)]
pub(crate) struct MachineFacts {
    /// What the addresses of programs and mappings are drawn from; `None` for fixed ones.
    pub(crate) placement: Option<Random>,
    /// AT_HWCAP.
    pub(crate) hardware_capabilities: u32,
    /// AT_UID, AT_EUID, AT_GID and AT_EGID.
    pub(crate) ids: [u32; 4],
}

impl MachineFacts {
    /// The lowest address that segments may have: the superuser's may start at 0 (CAP_SYS_RAWIO).
    const fn lowest(&self) -> u32 {
        if self.ids[1] == 0 { 0 } else { MMAP_MIN }
    }
}

/// Loads `program` into the empty `space` and gives the registers to start with.
pub(crate) fn load(
    space: &mut Space,
    program: &Program,
    arguments: &Arguments,
    mut surroundings: MachineFacts,
    random: &mut Random,
) -> Result<CpuState, LoadError> {
    let elf = Elf::parse(&program.file)?;
    let is_random = surroundings.placement.is_some();
    let mut own = |count: u64| if is_random { random.below(count) as u32 * PAGE_SIZE } else { 0 };
    let mut common = |count: u64| {
        surroundings.placement.as_mut().map_or(0, |placement| placement.below(count) as u32 * PAGE_SIZE)
    };
    space.program.clone_from(&program.executable);
    space.interpreter = elf.interpreter.clone().unwrap_or_default();
    space.read_implies_exec |= elf.executable_stack.is_none();
    let stack_top = space.end - PAGE_SIZE - own(0x800);
    space.mmap_base = space.mmap_base.min(stack_top) - common(0x100) - (128 << 10);
    map_stack(space, stack_top, elf.executable_stack.unwrap_or(true))?;

    let base = match elf.kind {
        ImageKind::Fixed => 0,
        ImageKind::Relocatable => PROGRAM_BASE.wrapping_sub(elf.extent().0).wrapping_add(common(0x100)),
    };
    map_elf(space, &elf, &program.file, base, (surroundings.lowest(), false))?;
    let image_end = page_align(base.wrapping_add(elf.extent().1)).ok_or(LoadError::Memory)?;
    // A program may end where user memory does: then there is no room for a heap, and brk says so.
    space.heap_start = image_end.saturating_add(own(0x2000)).min(space.end);
    space.heap_end = space.heap_start;

    let mut entry = base.wrapping_add(elf.entry);
    let mut interpreter_base = 0;
    if let Some(file) = &program.interpreter {
        let interpreter = Elf::parse(file)?;
        let (low, high) = interpreter.extent();
        if interpreter.kind == ImageKind::Relocatable {
            interpreter_base = space.find_gap(high - low).ok_or(LoadError::Memory)?.wrapping_sub(low);
        }
        map_elf(space, &interpreter, file, interpreter_base, (surroundings.lowest(), true))?;
        entry = interpreter_base.wrapping_add(interpreter.entry);
    }
    vdso::map(space).map_err(|_| LoadError::Memory)?;
    let mut auxiliary = auxiliary_vector(&elf, base, interpreter_base, &surroundings);
    auxiliary.push((32, space.vdso + vdso::VSYSCALL)); // AT_SYSINFO
    auxiliary.push((33, space.vdso)); // AT_SYSINFO_EHDR
    let pointer = stack::build(space, stack_top, &program.path, arguments, &auxiliary, random)?;
    let mut cpu = CpuState::new();
    cpu.eip = entry;
    cpu.set_gpr(Gpr::Esp, pointer);
    Ok(cpu)
}

/// Maps the first 132 KiB of the stack, as execve(2) does; it grows from there.
fn map_stack(space: &mut Space, top: u32, executable: bool) -> Result<(), LoadError> {
    let mut protection = Permissions::READ | Permissions::WRITE;
    protection.set(Permissions::EXECUTE, executable);
    let area = Area::private(protection, AreaSource::Stack);
    space.map(top - 33 * PAGE_SIZE, 33 * PAGE_SIZE, area).map_err(|_| LoadError::Memory)
}

/// Maps the segments at `base`, from the address `lowest` on, and copies their bytes.
fn map_elf(
    space: &mut Space,
    elf: &Elf,
    file: &File,
    base: u32,
    (lowest, interpreter): (u32, bool),
) -> Result<(), LoadError> {
    let (low, high) = elf.extent();
    let start = base.wrapping_add(low);
    let end = start.checked_add(high - low).filter(|end| *end <= space.end).ok_or(LoadError::Memory)?;
    if start < lowest {
        return Err(LoadError::Privilege(start));
    }
    if space.areas.overlapping(start, end).next().is_some() {
        return Err(LoadError::Memory);
    }
    for segment in &elf.segments {
        map_segment(space, segment, file, base, interpreter)?;
    }
    Ok(())
}

/// Maps one segment: whole pages from the file, then zeros up to its size in memory.
fn map_segment(
    space: &mut Space,
    segment: &LoadSegment,
    file: &File,
    base: u32,
    interpreter: bool,
) -> Result<(), LoadError> {
    let address = base.wrapping_add(segment.address);
    let lead = address % PAGE_SIZE;
    let start = address - lead;
    // The first page comes whole from the file, bytes before the segment too, as mmap brings them.
    let first = segment.offset - lead.min(segment.offset);
    let mut map = |start: u32, length: u32, backing, source| {
        let area = Area { source, ..Area::private(segment.permissions, backing) };
        space.map(start, length, area).map_err(|_| LoadError::Memory)
    };
    let from_file = page_align(lead + segment.file_size).ok_or(LoadError::Memory)?;
    let length = page_align(lead + segment.memory_size).ok_or(LoadError::Memory)?;
    if segment.file_size > 0 {
        map(start, from_file, AreaSource::Program { offset: first, interpreter }, file.source().cloned())?;
    }
    let zeros = if segment.file_size > 0 { from_file } else { 0 };
    if length > zeros {
        map(start + zeros, length - zeros, AreaSource::Anonymous, None)?;
    }
    if segment.file_size == 0 {
        return Ok(());
    }
    let outside = LoadError::Malformed("a segment lies outside the file");
    let end = segment.offset + segment.file_size;
    let zeros_follow = segment.memory_size > segment.file_size;
    if file.source().is_none() {
        // So does the last one, unless zeros follow.
        let whole = page_align(end).unwrap_or(end).min(file.size() as u32);
        let end = if zeros_follow { end } else { whole.max(end) };
        let bytes = file.get(first as usize..end as usize).ok_or(outside)?;
        space.memory.poke_bytes(start, &bytes).map_err(|_| LoadError::Memory)
    } else if zeros_follow && !end.is_multiple_of(PAGE_SIZE) {
        // Pages that come in later are the file's: the one with zeros behind the segment is not.
        let offset = end - end % PAGE_SIZE;
        let bytes = file.get(offset as usize..end as usize).ok_or(outside)?;
        space.map_loaded(start + (offset - first), segment.permissions, &bytes).map_err(|_| LoadError::Memory)
    } else {
        Ok(())
    }
}

/// The auxiliary vector (getauxval(3)).
fn auxiliary_vector(elf: &Elf, base: u32, interpreter: u32, surroundings: &MachineFacts) -> Auxiliary {
    let [uid, euid, gid, egid] = surroundings.ids;
    vec![
        (16, surroundings.hardware_capabilities), // AT_HWCAP
        (6, PAGE_SIZE),                           // AT_PAGESZ
        (17, 100),                                // AT_CLKTCK
        (3, base.wrapping_add(elf.headers)),      // AT_PHDR
        (4, 32),                                  // AT_PHENT
        (5, elf.header_count),                    // AT_PHNUM
        (7, interpreter),                         // AT_BASE
        (8, 0),                                   // AT_FLAGS
        (9, base.wrapping_add(elf.entry)),        // AT_ENTRY
        (11, uid),                                // AT_UID
        (12, euid),                               // AT_EUID
        (13, gid),                                // AT_GID
        (14, egid),                               // AT_EGID
        (23, 0),                                  // AT_SECURE
        (26, 0),                                  // AT_HWCAP2
    ]
}
