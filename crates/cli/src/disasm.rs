//! `pentimento disasm`: Intel-syntax text with addresses and bytes.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use goblin::elf::Elf;
use goblin::elf::header::{EM_386, ET_REL};
use goblin::elf::section_header::{SHF_EXECINSTR, SHT_PROGBITS};
use pentimento::decoder::{FormatOptions, Formatter, HexStyle, Symbol, listing};

use crate::arguments::DisasmOptions;
use crate::failure::Failure;
use crate::output;

/// Most bytes that the column of machine code has room for.
const BYTES_SHOWN: usize = 10;

/// Prints what was given, disassembled.
pub(crate) fn disasm(options: &DisasmOptions) -> Result<u8, Failure> {
    let bytes = options.source.read()?;
    output::print(|out| match &options.source.file {
        Some(file) if bytes.starts_with(b"\x7fELF") => elf(&bytes, file, out),
        _ => code(&bytes, options.source.base, &BTreeMap::new(), out).map_err(Failure::from),
    })?;
    Ok(0)
}

/// Prints the executable sections of an ELF file, with its symbols.
fn elf(bytes: &[u8], file: &Path, out: &mut impl Write) -> Result<(), Failure> {
    let refuse = |reason: String| Failure::new(format!("{}: {reason}", file.display()));
    let elf = Elf::parse(bytes).map_err(|error| refuse(format!("no valid ELF file: {error}")))?;
    if elf.is_64 || elf.header.e_machine != EM_386 {
        return Err(refuse("not a 32-bit x86 file".into()));
    }
    let mut symbols = BTreeMap::new();
    let tables = [(&elf.syms, &elf.strtab), (&elf.dynsyms, &elf.dynstrtab)];
    for (table, names) in tables {
        for symbol in table.iter().filter(|symbol| symbol.is_function() && symbol.st_value != 0) {
            if let (Ok(address), Some(name)) = (u32::try_from(symbol.st_value), names.get_at(symbol.st_name))
            {
                symbols.entry(address).or_insert_with(|| name.to_owned());
            }
        }
    }
    let mut printed = false;
    for section in &elf.section_headers {
        let is_code = section.sh_type == SHT_PROGBITS && section.sh_flags & u64::from(SHF_EXECINSTR) != 0;
        let Some(range) = section.file_range().filter(|_| is_code) else { continue };
        let Some(content) = bytes.get(range) else {
            return Err(refuse(format!(
                "a section lies outside the file, at offset {:#x}",
                section.sh_offset
            )));
        };
        let name = elf.shdr_strtab.get_at(section.sh_name).unwrap_or("?");
        writeln!(out, "{}section {name}", if printed { "\n" } else { "" })?;
        let base = if elf.header.e_type == ET_REL { 0 } else { section.sh_addr as u32 };
        code(content, base, &symbols, out)?;
        printed = true;
    }
    // A stripped-down file may have no sections at all: its segments tell what is code.
    if !printed {
        for segment in elf.program_headers.iter().filter(|segment| segment.is_executable()) {
            let Some(content) = bytes.get(segment.file_range()) else {
                return Err(refuse(format!(
                    "a segment lies outside the file, at offset {:#x}",
                    segment.p_offset
                )));
            };
            writeln!(out, "segment at {:#010x}", segment.p_vaddr)?;
            code(content, segment.p_vaddr as u32, &symbols, out)?;
        }
    }
    Ok(())
}

/// Prints machine code, one line an instruction; bytes that are none become `db` lines.
fn code(bytes: &[u8], base: u32, symbols: &BTreeMap<u32, String>, out: &mut impl Write) -> io::Result<()> {
    let lookup = |address: u32| {
        let (start, name) = symbols.range(..=address).next_back()?;
        let offset = address - start;
        (offset < 0x1_0000).then_some(Symbol { name, offset })
    };
    let mut options = FormatOptions::default();
    options.hex = HexStyle::Prefix;
    options.spaced = true;
    let formatter = Formatter::new(options).with_symbols(&lookup);
    let mut text = String::new();
    for line in listing(bytes, base) {
        let address = line.address;
        if let Some(name) = symbols.get(&address) {
            writeln!(out, "\n{address:08x} <{name}>:")?;
        }
        let shown: String = line.bytes.iter().take(BYTES_SHOWN).map(|byte| format!("{byte:02x} ")).collect();
        let more = if line.bytes.len() > BYTES_SHOWN { "..." } else { "" };
        text.clear();
        line.write(&formatter, &mut text).map_err(io::Error::other)?;
        writeln!(out, "{address:08x}  {:<32} {text}", shown + more)?;
    }
    Ok(())
}
