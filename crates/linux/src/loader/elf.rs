//! Reading ELF headers (System V ABI, chapters 4 and 5, and its Intel386 supplement) from files
//! that may be anything: every size is checked before it is believed.

use goblin::container::{Container, Ctx, Endian};
use goblin::elf::ProgramHeader;
use goblin::elf::program_header::{PF_R, PF_W, PF_X, PT_GNU_STACK, PT_INTERP, PT_LOAD};
use goblin::elf32::header::{
    EI_CLASS, EI_DATA, ELFCLASS32, ELFDATA2LSB, EM_386, ET_DYN, ET_EXEC, Header, SIZEOF_EHDR,
};
use goblin::elf32::program_header::SIZEOF_PHDR;
use pentimento_memory::{PAGE_SIZE, Permissions};

use crate::errno::Errno;
use crate::space::{MMAP_MIN, TASK_SIZE};

use super::file::File;

/// Why a file cannot be loaded as a program.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// Neither ELF nor a script.
    #[error("not an ELF file or script")]
    Format,
    /// An ELF file for something else.
    #[error("a program for {}; only those for 32-bit x86 (i386) run here", machine_name(*class, *machine))]
    Machine {
        /// EI_CLASS.
        class: u8,
        /// EI_DATA.
        data: u8,
        /// e_machine.
        machine: u16,
    },
    /// Neither an executable nor a shared object.
    #[error("ELF type {0} is not executable")]
    Kind(u16),
    /// A header points outside the file, or is not what it must be.
    #[error("malformed ELF file: {0}")]
    Malformed(&'static str),
    /// Segments that cannot be placed in memory.
    #[error("segments do not fit into memory")]
    Memory,
    /// A segment lies where only the superuser may map memory.
    #[error(
        "a segment at {0:#x}, below {MMAP_MIN:#x}, where only the machine's superuser (user 0) may map memory"
    )]
    Privilege(u32),
    /// The interpreter that the program names cannot be read.
    #[error("interpreter {path} of the program: {errno}")]
    Interpreter {
        /// The interpreter's path, as the program names it.
        path: String,
        /// What opening it gave.
        errno: Errno,
    },
    /// Scripts whose interpreters are scripts, too deep.
    #[error("too many levels of #! scripts")]
    TooDeep,
    /// Arguments and environment do not fit on the stack.
    #[error("argument list too long")]
    Arguments,
}

/// What an ELF file was built for.
fn machine_name(class: u8, machine: u16) -> String {
    let name = match machine {
        3 | 6 => "the Intel 386, but of another class or byte order",
        8 => "MIPS",
        20 | 21 => "PowerPC",
        22 => "S/390",
        40 => "ARM",
        62 if class == ELFCLASS32 => "the x32 ABI of x86-64",
        62 => "64-bit x86 (x86-64)",
        183 => "64-bit ARM (AArch64)",
        243 => "RISC-V",
        _ => return format!("another machine (ELF machine {machine})"),
    };
    name.to_owned()
}

impl LoadError {
    /// What execve(2) returns for it.
    pub(crate) const fn errno(&self) -> Errno {
        match self {
            Self::Memory => Errno::ENOMEM,
            Self::Privilege(_) => Errno::EPERM,
            Self::Interpreter { errno, .. } => *errno,
            Self::TooDeep => Errno::ELOOP,
            Self::Arguments => Errno::E2BIG,
            _ => Errno::ENOEXEC,
        }
    }

    /// Whether execve(2) finds it only when the old program is gone already: then it does not
    /// return, and the process dies of SIGSEGV.
    pub(crate) const fn is_fatal(&self) -> bool {
        matches!(self, Self::Memory | Self::Privilege(_))
    }
}

/// Whether addresses in the file are final.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ImageKind {
    /// ET_EXEC.
    Fixed,
    /// ET_DYN: can be placed anywhere.
    Relocatable,
}

/// A PT_LOAD segment, checked: its file range lies in the file and its memory range below 4 GiB.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LoadSegment {
    pub(crate) address: u32,
    pub(crate) memory_size: u32,
    pub(crate) offset: u32,
    pub(crate) file_size: u32,
    pub(crate) permissions: Permissions,
}

/// What loading needs of an ELF file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Elf {
    pub(crate) kind: ImageKind,
    pub(crate) entry: u32,
    pub(crate) segments: Vec<LoadSegment>,
    /// PT_INTERP's path.
    pub(crate) interpreter: Option<Vec<u8>>,
    /// Address of the program headers in memory (AT_PHDR), before relocation; 0 if they are not loaded.
    pub(crate) headers: u32,
    /// Their number (AT_PHNUM).
    pub(crate) header_count: u32,
    /// PT_GNU_STACK's flags: whether the stack is executable; `None` without the header.
    pub(crate) executable_stack: Option<bool>,
}

/// A machine number of old that the kernel takes for the same.
const EM_486: u16 = 6;

/// The most bytes that program headers may have (the kernel's limit).
const MAX_HEADERS: usize = 65536;

impl Elf {
    /// Parses `file`.
    pub(crate) fn parse(file: &File) -> Result<Self, LoadError> {
        if u32::try_from(file.size()).is_err() {
            return Err(LoadError::Malformed("larger than 4 GiB"));
        }
        let header = Self::header(file.head())?;
        let table = Self::program_headers(file, &header)?;
        let mut elf = Self {
            kind: if header.e_type == ET_DYN { ImageKind::Relocatable } else { ImageKind::Fixed },
            entry: header.e_entry,
            segments: Vec::new(),
            interpreter: None,
            headers: 0,
            header_count: table.len() as u32,
            executable_stack: None,
        };
        for program_header in &table {
            match program_header.p_type {
                PT_LOAD => elf.segments.push(Self::segment(file, program_header)?),
                PT_INTERP if elf.interpreter.is_none() => {
                    elf.interpreter = Some(Self::interpreter(file, program_header)?);
                }
                PT_GNU_STACK => elf.executable_stack = Some(program_header.p_flags & PF_X != 0),
                _ => {}
            }
        }
        elf.segments.retain(|segment| segment.memory_size > 0);
        if elf.segments.is_empty() {
            return Err(LoadError::Malformed("no loadable segment"));
        }
        elf.headers = elf
            .segments
            .iter()
            .find(|s| s.offset <= header.e_phoff && header.e_phoff - s.offset < s.file_size)
            .map_or(0, |s| s.address.wrapping_add(header.e_phoff - s.offset));
        Ok(elf)
    }

    fn header(file: &[u8]) -> Result<Header, LoadError> {
        let bytes: &[u8; SIZEOF_EHDR] =
            file.first_chunk().filter(|bytes| bytes.starts_with(b"\x7fELF")).ok_or(LoadError::Format)?;
        let (class, data) = (bytes[EI_CLASS], bytes[EI_DATA]);
        let machine = u16::from_le_bytes([bytes[18], bytes[19]]);
        if class != ELFCLASS32 || data != ELFDATA2LSB || !matches!(machine, EM_386 | EM_486) {
            return Err(LoadError::Machine { class, data, machine });
        }
        let header = Header::parse(bytes).map_err(|_| LoadError::Format)?;
        if header.e_type != ET_EXEC && header.e_type != ET_DYN {
            return Err(LoadError::Kind(header.e_type));
        }
        Ok(header)
    }

    fn program_headers(file: &File, header: &Header) -> Result<Vec<ProgramHeader>, LoadError> {
        let length = usize::from(header.e_phnum) * SIZEOF_PHDR;
        if usize::from(header.e_phentsize) != SIZEOF_PHDR || length == 0 || length > MAX_HEADERS {
            return Err(LoadError::Malformed("size or number of program headers"));
        }
        let start = header.e_phoff as usize;
        let outside = LoadError::Malformed("program headers lie outside the file");
        let Some(table) = start.checked_add(length).and_then(|end| file.get(start..end)) else {
            return Err(outside);
        };
        let context = Ctx::new(Container::Little, Endian::Little);
        ProgramHeader::parse(&table, 0, usize::from(header.e_phnum), context).map_err(|_| outside)
    }

    fn segment(file: &File, header: &ProgramHeader) -> Result<LoadSegment, LoadError> {
        // 32-bit fields in 64-bit places: the sums cannot overflow.
        let file_end = header.p_offset + header.p_filesz;
        let memory_end = header.p_vaddr + header.p_memsz;
        if header.p_filesz > header.p_memsz {
            return Err(LoadError::Malformed("a segment is larger in the file than in memory"));
        }
        if file_end > file.size() {
            return Err(LoadError::Malformed("a segment lies outside the file"));
        }
        if memory_end > u64::from(TASK_SIZE) {
            return Err(LoadError::Malformed("a segment lies outside user memory"));
        }
        // One without memory is never mapped: linkers leave them where there is no data.
        let misplaced = !(header.p_vaddr ^ header.p_offset).is_multiple_of(u64::from(PAGE_SIZE));
        if misplaced && header.p_memsz > 0 {
            return Err(LoadError::Malformed("a segment's address and offset differ within their pages"));
        }
        let flag =
            |bit, permission| if header.p_flags & bit != 0 { permission } else { Permissions::empty() };
        Ok(LoadSegment {
            address: header.p_vaddr as u32,
            memory_size: header.p_memsz as u32,
            offset: header.p_offset as u32,
            file_size: header.p_filesz as u32,
            permissions: flag(PF_R, Permissions::READ)
                | flag(PF_W, Permissions::WRITE)
                | flag(PF_X, Permissions::EXECUTE),
        })
    }

    fn interpreter(file: &File, header: &ProgramHeader) -> Result<Vec<u8>, LoadError> {
        let start = header.p_offset as usize;
        let path = start
            .checked_add(header.p_filesz as usize)
            .filter(|_| (2..=4096).contains(&header.p_filesz))
            .and_then(|end| file.get(start..end))
            .ok_or(LoadError::Malformed("the interpreter's path lies outside the file"))?;
        match path.split_last() {
            Some((0, path)) => Ok(path.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()),
            _ => Err(LoadError::Malformed("the interpreter's path does not end")),
        }
    }

    /// First and last page boundaries of all segments, before relocation.
    pub(crate) fn extent(&self) -> (u32, u32) {
        let low = self.segments.iter().map(|s| s.address).min().unwrap_or(0) & !(PAGE_SIZE - 1);
        let high = self.segments.iter().map(|s| s.address + s.memory_size).max().unwrap_or(0);
        (low, high.saturating_add(PAGE_SIZE - 1) & !(PAGE_SIZE - 1))
    }
}
