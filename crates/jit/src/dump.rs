//! What was translated, written down on request: for whoever wants to read the code or to know where
//! time goes in it.
//!
//! - `PENTIMENTO_JIT_DUMP=DIR`: a file for each translator, `DIR/PID-NUMBER.txt`, with every block: the
//!   guest's instructions, and behind each the bytes that the host executes for it.
//! - `PENTIMENTO_JIT_PERF=1`: `/tmp/perf-PID.map`, where Linux's `perf` looks for names of code that no
//!   file has; each block is called by its guest address.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use pentimento_memory::AddressSpace;

use crate::cache::instruction_at;
use crate::translate::Draft;

/// Translators that write themselves down, so far.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// The files of one translator. What cannot be written is left out: nobody's guest stops for it.
pub(crate) struct Dump {
    listing: Option<File>,
    perf: Option<File>,
}

impl Dump {
    /// The files that the environment asks for; `None` if it asks for none.
    pub(crate) fn requested() -> Option<Self> {
        let directory = std::env::var_os("PENTIMENTO_JIT_DUMP").map(PathBuf::from);
        let perf = std::env::var_os("PENTIMENTO_JIT_PERF").is_some();
        if directory.is_none() && !perf {
            return None;
        }
        let process = std::process::id();
        let listing = directory.and_then(|directory| {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            File::create(directory.join(format!("{process}-{number}.txt"))).ok()
        });
        let perf = perf.then(|| {
            let path = format!("/tmp/perf-{process}.map");
            OpenOptions::new().create(true).append(true).open(path).ok()
        });
        Some(Self { listing, perf: perf.flatten() })
    }

    /// Writes a block down, whose code `bytes` is in the code memory at `code_address`: what is executed again
    /// and again, and what is rarely.
    pub(crate) fn block(
        &mut self,
        memory: &AddressSpace,
        eip: u32,
        draft: &Draft,
        code_address: u64,
        (bytes, rare): (&[u8], &[u8]),
    ) {
        let address = code_address + u64::from(draft.host.start);
        if let Some(perf) = &mut self.perf {
            let _ = writeln!(perf, "{address:x} {:x} guest_{eip:08x}", bytes.len());
        }
        let Some(listing) = &mut self.listing else { return };
        let mut text = format!("block {eip:08x}, {} instructions, at {address:x}\n", draft.items.len());
        let places = draft.points.iter().map(|point| (point.host, Some(point.eip)));
        let ends = places.clone().map(|(host, _)| host).skip(1).chain([draft.host.end]);
        let start = [(draft.host.start, None)];
        let begin = draft.points.first().map_or(draft.host.end, |point| point.host);
        for ((from, guest), to) in start.into_iter().chain(places).zip([begin].into_iter().chain(ends)) {
            let code = &bytes[(from - draft.host.start) as usize..(to - draft.host.start) as usize];
            let guest = guest.map_or_else(String::new, |eip| line(memory, eip));
            text.push_str(&format!("  {guest:50} |{}\n", listed(code)));
        }
        let apart = format!("rarely, at {:x}", code_address + u64::from(draft.rare.start));
        text.push_str(&format!("  {apart:50} |{}\n", listed(rare)));
        let _ = listing.write_all(text.as_bytes());
    }
}

/// Bytes in hexadecimal, a space before each.
fn listed(code: &[u8]) -> String {
    code.iter().map(|byte| format!(" {byte:02x}")).collect()
}

/// The guest's instruction at `eip`, with its address.
fn line(memory: &AddressSpace, eip: u32) -> String {
    match instruction_at(memory, eip) {
        Ok(instruction) => format!("{eip:08x} {}", instruction.display(eip)),
        Err(error) => format!("{eip:08x} {error}"),
    }
}
