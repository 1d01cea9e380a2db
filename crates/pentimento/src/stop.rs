//! Stopping a run from another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Instructions between two looks at the stop request: some ten microseconds of ordinary code. A
/// repeated string instruction counts once for each page or less that it moves, so code that does
/// nothing but fill and copy memory takes some ten milliseconds over a slice.
pub(crate) const SLICE: u64 = 20_000;

/// Asks a running machine to stop; any thread may hold one.
///
/// The request is kept until a run has honoured it, so one that comes just before `run` is called
/// is not lost.
#[derive(Clone, Default, Debug)]
pub struct StopHandle(Arc<AtomicBool>);

impl StopHandle {
    /// Makes the current run, or the next one, return soon.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Takes a request, if there is one.
    pub(crate) fn take(&self) -> bool {
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::AcqRel)
    }
}
