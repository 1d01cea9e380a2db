//! Numbers that are given out once in the life of the host's process.

use core::sync::atomic::{AtomicU64, Ordering};

/// The first number; those below it mean something else to whoever compares them.
pub(crate) const FIRST: u64 = 16;

static NEXT: AtomicU64 = AtomicU64::new(FIRST);

/// A number that nobody got before and nobody will get again: at one a nanosecond they last for five
/// hundred years.
pub(crate) fn unique() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}
