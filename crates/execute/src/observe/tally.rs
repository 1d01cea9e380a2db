//! Counters of blocks that engines add to by themselves.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Debug;
use core::sync::atomic::AtomicU64;

use super::Span;

/// Who counts how often blocks begin. What an engine runs asks for a counter once a block, where it compiles
/// the block, and then only adds to it.
pub trait Tally: Debug + Send + Sync {
    /// The counter of the block at `eip`: the same at every call. An engine keeps it for as long as the block,
    /// and adds to it on the thread that runs the guest, by a load and a store.
    fn counter(&self, eip: u32) -> Arc<AtomicU64>;
}

/// Tallies, and of which blocks each is.
#[derive(Clone, Debug, Default)]
pub struct Tallies(Vec<(Span, Arc<dyn Tally>)>);

impl Tallies {
    /// Adds a tally of the blocks that begin in `span`; an empty one adds nothing.
    pub fn add(&mut self, span: Span, tally: Arc<dyn Tally>) {
        if !span.is_empty() {
            self.0.push((span, tally));
        }
    }

    /// How many tallies there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no block is counted.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the block at `eip` is counted.
    #[inline]
    #[must_use]
    pub fn contains(&self, eip: u32) -> bool {
        self.0.iter().any(|(span, _)| span.contains(eip))
    }

    /// The counters of the block at `eip`.
    pub fn counters(&self, eip: u32) -> impl Iterator<Item = Arc<AtomicU64>> {
        self.0.iter().filter(move |(span, _)| span.contains(eip)).map(move |(_, tally)| tally.counter(eip))
    }
}
