//! What an observer wants to hear of.

use alloc::vec::Vec;

use pentimento_decoder::{Instruction, Operation};

use super::{Ranges, Tallies};

/// What an [`Observer`](super::Observer) wants to be told of.
#[derive(Clone, Debug, Default)]
pub struct Interests {
    /// A number that no other interests in this process have, unless they are the same: what an engine has
    /// compiled for some interests it may keep for them.
    pub version: u64,
    /// Instructions at these EIPs.
    pub instructions: Ranges,
    /// Instructions that do one of these, wherever they are.
    pub operations: Vec<Operation>,
    /// Blocks that begin at these EIPs.
    pub blocks: Ranges,
    /// Blocks that are counted: by adding to their counters, or by telling of it.
    pub counts: Tallies,
    /// Accesses to a byte of these; of others an engine may tell, too.
    pub memory: Ranges,
}

impl Interests {
    /// Whether there is nothing to tell of.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.instructions.is_empty()
            && self.operations.is_empty()
            && self.blocks.is_empty()
            && self.counts.is_empty()
            && self.memory.is_empty()
    }

    /// Whether blocks are counted, and nothing is told of.
    #[must_use]
    pub const fn only_counts(&self) -> bool {
        !self.counts.is_empty()
            && self.instructions.is_empty()
            && self.operations.is_empty()
            && self.blocks.is_empty()
            && self.memory.is_empty()
    }

    /// Whether an engine has to note where blocks end, so that each block is known where it begins. Where
    /// blocks are counted and nothing else is told of before instructions, there are cheaper ways.
    #[must_use]
    pub const fn notes_branches(&self) -> bool {
        let tells = !self.instructions.is_empty() || !self.operations.is_empty();
        !self.blocks.is_empty() || !self.counts.is_empty() && tells
    }

    /// Whether to tell of `instruction` at `eip`.
    #[inline]
    #[must_use]
    pub fn has_instruction(&self, eip: u32, instruction: &Instruction) -> bool {
        self.instructions.contains(eip) || self.operations.contains(&instruction.operation())
    }
}
