//! Line tables: which line of which source file an address comes from.

use std::collections::HashMap;

use gimli::{AttributeValue, Dwarf, EndianSlice, LineProgramHeader, LittleEndian, SectionId, Unit};

use crate::sections::Sections;

type Bytes<'a> = EndianSlice<'a, LittleEndian>;

/// Code of one line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Row {
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// The number of its file.
    pub(crate) file: u32,
    /// From 1.
    pub(crate) line: u32,
}

/// All lines of a file with code.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// By address.
    rows: Vec<Row>,
    files: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Lines {
    /// Reads the tables of a file; there are none where it was built without them.
    pub(crate) fn of(sections: &Sections) -> Self {
        let mut lines = Self::default();
        let load = |id: SectionId| -> Result<Bytes<'_>, gimli::Error> {
            Ok(EndianSlice::new(sections.section(id.name()).0, LittleEndian))
        };
        let Ok(dwarf) = Dwarf::load(load) else { return lines };
        let mut units = dwarf.units();
        while let Ok(Some(header)) = units.next() {
            if let Ok(unit) = dwarf.unit(header) {
                // What a damaged table has until then counts.
                let _ = lines.read(&dwarf, &unit);
            }
        }
        lines.rows.sort_by_key(|row| row.start);
        lines
    }

    fn read(&mut self, dwarf: &Dwarf<Bytes<'_>>, unit: &Unit<Bytes<'_>>) -> Result<(), gimli::Error> {
        let Some(program) = unit.line_program.clone() else { return Ok(()) };
        let mut names: HashMap<u64, u32> = HashMap::new();
        let mut rows = program.rows();
        let mut open: Option<Row> = None;
        while let Some((header, row)) = rows.next_row()? {
            let address = row.address() as u32;
            if let Some(before) = open.take().filter(|before| before.start < address) {
                self.rows.push(Row { end: address, ..before });
            }
            let Some(line) = row.line().filter(|_| !row.end_sequence()) else { continue };
            let index = row.file_index();
            let file = match names.get(&index) {
                Some(file) => *file,
                None => {
                    let file = self.number(name(dwarf, unit, header, index));
                    names.insert(index, file);
                    file
                }
            };
            let line = u32::try_from(line.get()).unwrap_or(u32::MAX);
            open = Some(Row { start: address, end: address, file, line });
        }
        Ok(())
    }

    fn number(&mut self, name: String) -> u32 {
        let files = &mut self.files;
        *self.numbers.entry(name).or_insert_with_key(|name| {
            files.push(name.clone());
            files.len() as u32 - 1
        })
    }

    /// The rows, by address.
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The name of a row's file.
    pub(crate) fn file(&self, number: u32) -> &str {
        self.files.get(number as usize).map_or("?", |name| name)
    }

    /// The line at an address.
    pub(crate) fn at(&self, address: u32) -> Option<(&str, u32)> {
        let behind = self.rows.partition_point(|row| row.start <= address);
        let row = self.rows.get(behind.checked_sub(1)?).filter(|row| address < row.end)?;
        Some((self.file(row.file), row.line))
    }
}

/// The path of a file of a unit.
fn name(
    dwarf: &Dwarf<Bytes<'_>>,
    unit: &Unit<Bytes<'_>>,
    header: &LineProgramHeader<Bytes<'_>>,
    index: u64,
) -> String {
    let text = |value: AttributeValue<Bytes<'_>>| {
        let bytes = dwarf.attr_string(unit, value).ok();
        bytes.map(|bytes| String::from_utf8_lossy(bytes.slice()).into_owned()).unwrap_or_default()
    };
    let Some(file) = header.file(index) else { return "?".to_owned() };
    let mut path = text(file.path_name());
    if !path.starts_with('/')
        && let Some(directory) = file.directory(header).map(text).filter(|directory| !directory.is_empty())
    {
        path = format!("{directory}/{path}");
    }
    let folder = unit.comp_dir.map(|folder| String::from_utf8_lossy(folder.slice()).into_owned());
    match folder.filter(|folder| !path.starts_with('/') && !path.starts_with(&**folder)) {
        Some(folder) if !folder.is_empty() => format!("{folder}/{path}"),
        _ => path,
    }
}
