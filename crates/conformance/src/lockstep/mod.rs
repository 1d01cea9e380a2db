//! The interpreter beside the reference, compared at each end of a block.
//!
//! The interpreter runs a block or a few, the reference as many instructions, each on memory of its
//! own, and then registers, flags, counts and all memory written must be the same. [`programs`] are
//! whole machines, each with a kernel of its own; [`snippets`] are random code on a bare CPU.

pub mod programs;
mod sequence;
pub mod snippets;

use std::fmt;

use pentimento_memory::{AddressSpace, PAGE_SIZE};
use pentimento_registers::CpuState;

use crate::machine;

/// Where two engines parted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Divergence {
    /// Instructions that both had executed when they last agreed.
    pub executed: u64,
    /// Instructions from there to where they did not.
    pub instructions: u64,
    /// EIP where they last agreed.
    pub from: u32,
    /// What differs: the reference's, then the interpreter's.
    pub differences: Vec<String>,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { executed, instructions, from, differences } = self;
        writeln!(
            f,
            "{instructions} instructions from {from:#010x}, behind {executed}: reference, interpreter"
        )?;
        differences.iter().try_for_each(|difference| writeln!(f, "  {difference}"))
    }
}

/// Describes a field if it differs.
fn differs<T: PartialEq + fmt::Debug>(field: &str, reference: &T, interpreter: &T) -> Option<String> {
    (reference != interpreter).then(|| format!("{field}: {reference:x?}, {interpreter:x?}"))
}

/// Describes each difference of two register files.
fn state_differences(reference: &CpuState, interpreter: &CpuState) -> Vec<String> {
    if reference == interpreter {
        return Vec::new();
    }
    let mut found: Vec<Option<String>> = pentimento_registers::Gpr::ALL
        .into_iter()
        .map(|register| differs(register.name(), &reference.gpr(register), &interpreter.gpr(register)))
        .collect();
    found.extend([
        differs("eip", &reference.eip, &interpreter.eip),
        differs("eflags", &reference.eflags, &interpreter.eflags),
        differs("segments", &reference.segments, &interpreter.segments),
        differs("x87", &reference.x87, &interpreter.x87),
        differs("xmm", &reference.xmm, &interpreter.xmm),
        differs("mxcsr", &reference.mxcsr, &interpreter.mxcsr),
        differs("ymm high", &reference.ymm_high, &interpreter.ymm_high),
        differs("xcr0", &reference.xcr0, &interpreter.xcr0),
    ]);
    let found: Vec<String> = found.into_iter().flatten().collect();
    if found.is_empty() { vec!["registers that have no name here".to_owned()] } else { found }
}

/// Compares two memories: what was written since the record was last cleared.
struct MemoryComparison {
    pages: [[u8; PAGE_SIZE as usize]; 2],
    comparisons: u32,
}

/// Comparisons between two clearings of the record of written pages. Right after one, stores take a
/// slow way; between them the same few pages are compared again and again.
const CLEAR_EVERY: u32 = 64;

impl MemoryComparison {
    const fn new() -> Self {
        Self { pages: [[0; PAGE_SIZE as usize]; 2], comparisons: 0 }
    }

    fn differences(&mut self, reference: &mut AddressSpace, interpreter: &mut AddressSpace) -> Vec<String> {
        let mut found = Vec::new();
        let written = |memory: &AddressSpace| {
            let mut pages = memory.dirty_pages().to_vec();
            pages.sort_unstable();
            pages
        };
        let pages = [written(reference), written(interpreter)];
        found.extend(differs("written pages", &pages[0], &pages[1]));
        for page in &pages[0] {
            let address = page * PAGE_SIZE;
            let [first, second] = &mut self.pages;
            let read = [
                reference.peek_bytes(address, first).is_ok(),
                interpreter.peek_bytes(address, second).is_ok(),
            ];
            found.extend(differs("a page that can be read", &read[0], &read[1]));
            if read == [true; 2] && first != second {
                found.extend(first_difference(address, first, second));
            }
        }
        self.comparisons += 1;
        if self.comparisons.is_multiple_of(CLEAR_EVERY) {
            reference.clear_dirty();
            interpreter.clear_dirty();
        }
        found
    }
}

fn first_difference(address: u32, reference: &[u8], interpreter: &[u8]) -> Option<String> {
    let offset = reference.iter().zip(interpreter).position(|(a, b)| a != b)?;
    let end = (offset + 16).min(reference.len());
    let at = address + offset as u32;
    Some(format!("memory {at:#010x}: {:02x?}, {:02x?}", &reference[offset..end], &interpreter[offset..end]))
}

/// The registers as bytes, for reports that are to be repeated elsewhere.
fn encoded(state: &CpuState) -> String {
    let mut bytes = Vec::new();
    machine::encode(state, &mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
