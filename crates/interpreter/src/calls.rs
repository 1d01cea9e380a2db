//! Where the latest CALLs return to.

use crate::arena::{Cursor, Spent};

/// CALLs that a machine remembers, a power of two.
const DEPTH: usize = 16;

/// The cases behind the latest CALLs: a ring, in which the oldest are forgotten.
pub(crate) struct Calls<'a> {
    ring: [Cursor<'a, Spent>; DEPTH],
    top: usize,
}

impl<'a> Calls<'a> {
    /// None yet.
    pub(crate) const NONE: Self = Self { ring: [Cursor::STOPPED; DEPTH], top: 0 };

    /// Remembers a CALL.
    #[inline(always)]
    pub(crate) fn push(&mut self, behind: Cursor<'a, Spent>) {
        self.top = self.top.wrapping_add(1) % DEPTH;
        self.ring[self.top] = behind;
    }

    /// The case behind the latest CALL that is left.
    #[inline(always)]
    pub(crate) fn pop(&mut self) -> Cursor<'a, Spent> {
        let behind = self.ring[self.top];
        self.top = self.top.wrapping_sub(1) % DEPTH;
        behind
    }
}
