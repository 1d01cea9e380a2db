//! The parts of a file by name.

use std::ops::Range;

use goblin::elf::Elf;

/// A file's bytes and the sections in them.
#[derive(Debug)]
pub(crate) struct Sections {
    bytes: Vec<u8>,
    /// By name: the range in the file, and the address.
    list: Vec<(String, Range<usize>, u32)>,
}

impl Sections {
    /// The sections of `elf`, whose bytes are `bytes`.
    pub(crate) fn of(elf: &Elf<'_>, bytes: &[u8]) -> Self {
        let section = |header: &goblin::elf::SectionHeader| {
            let name = elf.shdr_strtab.get_at(header.sh_name)?;
            let range = header.file_range()?;
            bytes.get(range.clone())?;
            Some((name.to_owned(), range, header.sh_addr as u32))
        };
        Self { list: elf.section_headers.iter().filter_map(section).collect(), bytes: bytes.to_vec() }
    }

    /// A section's bytes and address; none where there is no such section.
    pub(crate) fn section(&self, name: &str) -> (&[u8], u32) {
        let found = self.list.iter().find(|(section, ..)| section == name);
        found.map_or((&[], 0), |(_, range, address)| (&self.bytes[range.clone()], *address))
    }
}
