//! Accesses that the host refuses one soon after the other: a guest fills memory that is new to it, or a fork
//! stores to page after page that it shares. Each costs microseconds here, in the interpreter hardly
//! anything, and behind it the host is told of all pages at once.

/// What is known of such accesses.
#[derive(Default)]
pub(crate) struct Storm {
    /// When the last one was, in instructions.
    last: u64,
    /// How many there were, each soon after the one before.
    count: u32,
}

impl Storm {
    /// Instructions between two that belong together, at most.
    const NEAR: u64 = 4096;
    /// As many are none yet: a program that begins has forty or so, and its code is translated already.
    const FEW: u32 = 64;
    /// What the interpreter executes of one: first, and at most.
    const SPAN: u64 = 1 << 13;
    const LONGEST_SPAN: u64 = 1 << 17;

    /// There was one at `now`. Instructions that are better left to the interpreter.
    pub(crate) fn note(&mut self, now: u64) -> u64 {
        let near = now.wrapping_sub(self.last) <= Self::NEAR;
        self.count = if near { self.count.saturating_add(1) } else { 0 };
        let Some(turns) = self.count.checked_sub(Self::FEW) else {
            self.last = now;
            return 0;
        };
        let span = Self::LONGEST_SPAN.min(Self::SPAN << turns.min(16));
        self.last = now.wrapping_add(span);
        span
    }
}
