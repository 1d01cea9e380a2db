//! What one snapshot remembers: a log of the page-table entries that changed since.

use alloc::vec::Vec;

use crate::entry::Entry;

/// One snapshot: what pages that changed since were before.
pub(crate) struct Level {
    pub(crate) id: u64,
    /// How often it was restored.
    pub(crate) restores: u32,
    pub(crate) log: Vec<Saved>,
}

/// What a page was when the snapshot was taken. The log holds a reference to the entry's frame.
///
/// Where the page has a frame of its own since, and the snapshot was restored more than once, the log may
/// keep the page although its content is that of the snapshot again: then stores to it cost nothing, and
/// the next time it is copied back whether it was stored to or not.
#[derive(Clone, Copy)]
pub(crate) struct Saved {
    pub(crate) page: u32,
    pub(crate) entry: Entry,
}
