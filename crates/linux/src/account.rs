//! What a machine makes its host hold, in one account.
//!
//! Two parts share the limit. The pages of processes and of what they share are counted where they are handed
//! out, by the [`FrameSource`], and refused there. All else (files in memory, names, open files, tables, bytes on
//! their way, tasks) the kernel adds up now and then in an *audit*; between two of them whatever makes
//! something reports its size, and nobody reports what goes. So the account never says too little, and an
//! audit after each thirty-second part of the limit keeps it from saying too much.

use pentimento_memory::FrameSource;

use crate::errno::Errno;

/// A machine's account.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    /// Bytes that all may take together.
    limit: u64,
    /// What the kernel's own things took at the last audit.
    audited: u64,
    /// What has been made since.
    since: u64,
    frames: FrameSource,
}

impl Account {
    /// An empty account of a machine that takes its pages from `frames`.
    pub(crate) fn new(limit: u64, frames: &FrameSource) -> Self {
        frames.set_limit(Some(limit));
        Self { limit, audited: 0, since: 0, frames: frames.clone() }
    }

    /// Bytes that all may take together.
    pub(crate) const fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes that may be made between two audits.
    fn slack(&self) -> u64 {
        (self.limit / 32).max(1 << 20)
    }

    /// Whether it is time for an audit.
    pub(crate) fn is_due(&self) -> bool {
        self.since > self.slack()
    }

    /// Bytes that everything takes, as far as the account knows.
    pub(crate) fn taken(&self) -> u64 {
        self.audited.saturating_add(self.since).saturating_add(self.frames.held_bytes())
    }

    /// Whether `bytes` more would be too much.
    pub(crate) fn exceeds(&self, bytes: u64) -> bool {
        self.taken().saturating_add(bytes) > self.limit
    }

    /// Notes that something of `bytes` is made, which nobody can refuse.
    pub(crate) fn note(&mut self, bytes: u64) {
        self.since = self.since.saturating_add(bytes);
    }

    /// Notes that something of `bytes` is going to be made.
    ///
    /// # Errors
    /// ENOMEM where that is too much.
    pub(crate) fn charge(&mut self, bytes: u64) -> Result<(), Errno> {
        if self.exceeds(bytes) {
            return Err(Errno::ENOMEM);
        }
        self.note(bytes);
        Ok(())
    }

    /// Where the machine's pages come from.
    pub(crate) const fn frames(&self) -> &FrameSource {
        &self.frames
    }

    /// Whether an audit may find more room than the account knows of.
    pub(crate) fn is_vague(&self) -> bool {
        self.since > self.slack() / 8
    }

    /// The share of the limit that bytes between writers and readers may have.
    pub(crate) fn share_in_flight(&self) -> u64 {
        self.limit / 4
    }

    /// The kernel's own things take `bytes` now. Says whether pages may have more room than before.
    pub(crate) fn audited(&mut self, bytes: u64) -> bool {
        let more = bytes < self.audited;
        (self.audited, self.since) = (bytes, 0);
        self.frames.set_limit(Some(self.limit.saturating_sub(bytes)));
        more
    }
}
