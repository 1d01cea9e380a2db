//! Coverage by lines of source, in the form of lcov's `geninfo`.

use std::collections::BTreeMap;
use std::io::{self, Write};

use pentimento::Kernel;

use crate::coverage::Covered;
use crate::image::Image;
use crate::modules::Symbols;

/// What has run of a source file.
#[derive(Default)]
struct Source {
    /// How often each line has run.
    lines: BTreeMap<u32, u64>,
    /// Where each function begins, and how often it has run.
    functions: BTreeMap<String, (u32, u64)>,
}

/// Writes what has run of the modules that have line tables; says of how many source files.
pub(crate) fn write(
    modules: &[Covered],
    kernel: &mut Kernel,
    symbols: &mut Symbols,
    mut out: impl Write,
) -> io::Result<usize> {
    let mut sources: BTreeMap<String, Source> = BTreeMap::new();
    for covered in modules {
        let image = symbols.image(kernel, &covered.module.path);
        if let Some((image, bias)) =
            image.and_then(|image| covered.module.bias(&image).map(|bias| (image, bias)))
        {
            add(covered, &image, bias, &mut sources);
        }
    }
    for (path, Source { lines, functions }) in &sources {
        writeln!(out, "TN:\nSF:{path}")?;
        for (name, (line, _)) in functions {
            writeln!(out, "FN:{line},{name}")?;
        }
        for (name, (_, times)) in functions {
            writeln!(out, "FNDA:{times},{name}")?;
        }
        let hit = functions.values().filter(|(_, times)| *times > 0).count();
        writeln!(out, "FNF:{}\nFNH:{hit}", functions.len())?;
        for (line, times) in lines {
            writeln!(out, "DA:{line},{times}")?;
        }
        let hit = lines.values().filter(|times| **times > 0).count();
        writeln!(out, "LF:{}\nLH:{hit}\nend_of_record", lines.len())?;
    }
    out.flush()?;
    Ok(sources.len())
}

/// Adds what has run of a file to its sources.
fn add(covered: &Covered, image: &Image, bias: u32, sources: &mut BTreeMap<String, Source>) {
    let counts = Counts::of(covered, bias);
    let lines = image.lines();
    for row in lines.rows().iter().filter(|row| row.line > 0) {
        let times = counts.within(row.start, row.end);
        let source = sources.entry(lines.file(row.file).to_owned()).or_default();
        let line = source.lines.entry(row.line).or_default();
        *line = (*line).max(times);
    }
    for (name, start) in image.functions() {
        if let Some((file, line)) = lines.at(start) {
            let times = counts.at(start);
            sources.entry(file.to_owned()).or_default().functions.insert(name.to_owned(), (line, times));
        }
    }
}

/// How often each address was executed: blocks that begin within others are counted in both.
struct Counts {
    /// From each address on, this often.
    steps: Vec<(u32, u64)>,
    /// Where blocks begin.
    starts: Vec<u32>,
}

impl Counts {
    fn of(covered: &Covered, bias: u32) -> Self {
        let mut changes: BTreeMap<u32, i128> = BTreeMap::new();
        let mut starts = Vec::new();
        for block in &covered.blocks {
            let start = covered.start.wrapping_add(block.offset).wrapping_sub(bias);
            starts.push(start);
            *changes.entry(start).or_default() += i128::from(block.times);
            *changes.entry(start.wrapping_add(block.length.into())).or_default() -= i128::from(block.times);
        }
        starts.sort_unstable();
        let mut now = 0;
        let step = |(address, change): (u32, i128)| {
            now += change;
            (address, u64::try_from(now).unwrap_or(0))
        };
        Self { steps: changes.into_iter().map(step).collect(), starts }
    }

    /// How often the instruction at an address was executed.
    fn at(&self, address: u32) -> u64 {
        let behind = self.steps.partition_point(|(start, _)| *start <= address);
        behind.checked_sub(1).map_or(0, |index| self.steps[index].1)
    }

    /// How often any of the instructions in a range was, the most frequent one.
    fn within(&self, start: u32, end: u32) -> u64 {
        let first = self.starts.partition_point(|other| *other < start);
        let inside = self.starts[first..].iter().take_while(|other| **other < end);
        inside.map(|start| self.at(*start)).max().unwrap_or(0).max(self.at(start))
    }
}
