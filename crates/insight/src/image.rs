//! A program's or library's file: where it is loaded, its functions, its tables.

use std::sync::OnceLock;

use goblin::elf::program_header::PT_LOAD;
use goblin::elf::{Elf, Sym, Symtab};
use goblin::strtab::Strtab;

use crate::frames::Frames;
use crate::lines::Lines;
use crate::sections::Sections;

/// Part of a file that is loaded.
#[derive(Clone, Copy, Debug)]
struct Segment {
    address: u32,
    offset: u64,
    size: u64,
}

/// A function's range of addresses, and where its name is.
#[derive(Clone, Debug)]
struct Function {
    start: u32,
    end: u32,
    name: String,
}

/// A file with code. Addresses are those in the file; what is loaded lies elsewhere by its bias.
#[derive(Debug)]
pub(crate) struct Image {
    segments: Vec<Segment>,
    /// By start address.
    functions: Vec<Function>,
    sections: Sections,
    frames: OnceLock<Frames>,
    lines: OnceLock<Lines>,
}

impl Image {
    /// `None` where it is no 32-bit ELF file.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let elf = Elf::parse(bytes).ok().filter(|elf| !elf.is_64)?;
        let loaded = elf.program_headers.iter().filter(|header| header.p_type == PT_LOAD);
        let segment = |header: &goblin::elf::ProgramHeader| Segment {
            address: header.p_vaddr as u32,
            offset: header.p_offset,
            size: header.p_filesz,
        };
        let segments = loaded.map(segment).collect();
        let mut functions = Vec::new();
        collect(&elf.dynsyms, &elf.dynstrtab, &mut functions);
        collect(&elf.syms, &elf.strtab, &mut functions);
        functions.sort_by(|a, b| (a.start, &a.name).cmp(&(b.start, &b.name)));
        functions.dedup_by_key(|function| function.start);
        let sections = Sections::of(&elf, bytes);
        let (frames, lines) = (OnceLock::new(), OnceLock::new());
        Some(Self { segments, functions, sections, frames, lines })
    }

    /// Its sections.
    pub(crate) const fn sections(&self) -> &Sections {
        &self.sections
    }

    /// By how much the file's addresses differ from those in memory, where its byte at `offset` is at
    /// `start`; `None` if no segment has that byte.
    pub(crate) fn bias(&self, offset: u64, start: u32) -> Option<u32> {
        const PAGE: u64 = 0xfff;
        let holds = |segment: &&Segment| {
            (segment.offset & !PAGE..segment.offset.saturating_add(segment.size)).contains(&offset)
        };
        // Where two segments share a page of the file, the later one has it executable or writable.
        let segment = self.segments.iter().rfind(holds)?;
        let address = segment.address.wrapping_add(offset.wrapping_sub(segment.offset) as u32);
        Some(start.wrapping_sub(address))
    }

    /// The name and start of the function at an address.
    pub(crate) fn function(&self, address: u32) -> Option<(&str, u32)> {
        let behind = self.functions.partition_point(|function| function.start <= address);
        let function = self.functions.get(behind.checked_sub(1)?)?;
        (address < function.end).then_some((&function.name, function.start))
    }

    /// The functions, by address: name and start.
    pub(crate) fn functions(&self) -> impl Iterator<Item = (&str, u32)> {
        self.functions.iter().map(|function| (&*function.name, function.start))
    }

    /// Its call frame information.
    pub(crate) fn frames(&self) -> &Frames {
        self.frames.get_or_init(|| Frames::of(&self.sections))
    }

    /// Its line tables.
    pub(crate) fn lines(&self) -> &Lines {
        self.lines.get_or_init(|| Lines::of(&self.sections))
    }
}

/// Adds the functions of a table.
fn collect(symbols: &Symtab<'_>, names: &Strtab<'_>, functions: &mut Vec<Function>) {
    /// A symbol without a size, as assembly has them, ends at the next one or here.
    const UNSIZED: u32 = 1 << 16;
    let is_code = |symbol: &Sym| symbol.is_function() || symbol.st_type() == goblin::elf::sym::STT_NOTYPE;
    for symbol in symbols.iter().filter(|symbol| symbol.st_shndx != 0 && is_code(symbol)) {
        let Some(name) = names.get_at(symbol.st_name).filter(|name| !name.is_empty()) else { continue };
        let start = symbol.st_value as u32;
        let size = if symbol.st_size == 0 { UNSIZED } else { symbol.st_size as u32 };
        functions.push(Function { start, end: start.saturating_add(size), name: name.to_owned() });
    }
}
