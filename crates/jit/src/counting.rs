//! What blocks count while they run, for a host that wants to know how often each begins and nothing else.
//!
//! A block begins behind every branch, and nowhere else (see [`observe`](pentimento_execute::observe)), which
//! is not where translations begin. So a translation has an entry at which its block is counted, and one
//! behind that for whoever goes on inside of a block: because what was translated at once ended, a run was
//! interrupted, or the reference has executed an instruction.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use pentimento_execute::observe::{Interests, Tallies};

/// The counters of a cache's blocks.
#[derive(Debug, Default)]
pub(crate) struct Counting {
    /// The interests that it is for.
    version: u64,
    tallies: Tallies,
    /// Those that translations add to, for as long as these are there.
    kept: Vec<Arc<AtomicU64>>,
}

impl Counting {
    /// What `interests` want counted.
    pub(crate) fn of(interests: &Interests) -> Self {
        Self { version: interests.version, tallies: interests.counts.clone(), kept: Vec::new() }
    }

    /// Whether it is for these interests.
    pub(crate) const fn is_for(&self, interests: &Interests) -> bool {
        self.version == interests.version
    }

    /// Whether anybody counts the block at `eip`.
    pub(crate) fn counts(&self, eip: u32) -> bool {
        self.tallies.contains(eip)
    }

    /// The host's addresses of the counters of the block at `eip`, from now on kept.
    pub(crate) fn addresses(&mut self, eip: u32) -> impl Iterator<Item = u64> {
        let first = self.kept.len();
        self.kept.extend(self.tallies.counters(eip));
        self.kept[first..].iter().map(|counter| counter.as_ptr().expose_provenance() as u64)
    }

    /// Lets the counters go: no translation is left that adds to them.
    pub(crate) fn forget(&mut self) {
        self.kept.clear();
    }
}
