//! The decoder against `iced-x86`: encodings enumerated systematically, then at random, and
//! everything that both sides tell about each one compared.

mod compare;
mod deviations;
mod effect_deviations;
mod effects;
mod encodings;
mod naming;

pub use compare::{Comparison, Difference, Texts, compare};
pub use deviations::{Deviation, deviations, explain};
pub use encodings::{random, systematic};

use std::collections::BTreeMap;

/// What a run found.
pub struct Report {
    /// Encodings compared.
    pub compared: u64,
    /// Of these, encodings that no earlier one of the run was equal to; a lower bound, since it counts by hash.
    pub distinct: u64,
    /// Encodings that both sides take for instructions.
    pub valid: u64,
    /// Differences that a [`Deviation`] explains, by its name.
    pub explained: BTreeMap<&'static str, u64>,
    /// Differences that nothing explains, by what differs, with a count and the first example.
    pub unexplained: BTreeMap<String, (u64, String)>,
    seen: Vec<u64>,
    texts: Texts,
}

/// Bits of the set of hashes that tells distinct encodings: 128 MiB.
const SEEN_BITS: u64 = 1 << 30;

impl Report {
    /// An empty report.
    #[must_use]
    pub fn new() -> Self {
        Self {
            compared: 0,
            distinct: 0,
            valid: 0,
            explained: BTreeMap::new(),
            unexplained: BTreeMap::new(),
            seen: vec![0; (SEEN_BITS / 64) as usize],
            texts: Texts::new(),
        }
    }

    /// Compares what both decoders make of `bytes`.
    pub fn check(&mut self, bytes: &[u8; 16]) {
        let comparison = compare(bytes, &mut self.texts);
        self.compared += 1;
        self.valid += u64::from(comparison.valid);
        if self.first_sight(&bytes[..comparison.length]) {
            self.distinct += 1;
        }
        for difference in comparison.differences {
            match explain(&difference) {
                Some(deviation) => *self.explained.entry(deviation.name).or_default() += 1,
                None => {
                    let entry = self
                        .unexplained
                        .entry(difference.key())
                        .or_insert_with(|| (0, difference.to_string()));
                    entry.0 += 1;
                }
            }
        }
    }

    /// Whether these bytes' hash is new (FNV-1a, folded).
    fn first_sight(&mut self, bytes: &[u8]) -> bool {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        let bit = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd) >> 34;
        let (word, mask) = ((bit / 64) as usize, 1 << (bit % 64));
        let new = self.seen[word] & mask == 0;
        self.seen[word] |= mask;
        new
    }
}

impl Default for Report {
    fn default() -> Self {
        Self::new()
    }
}
