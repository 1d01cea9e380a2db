//! Stopping a run from another thread.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

/// Asks whoever runs a guest to stop; any thread may hold one, and all clones are the same request.
///
/// The request is kept until a run has honoured it, so one that comes just before a run begins is
/// not lost.
#[derive(Clone, Default, Debug)]
pub struct StopHandle(Arc<AtomicBool>);

impl StopHandle {
    /// Makes the current run, or the next one, end soon: within some 16,000 instructions, and within
    /// one where instructions take long.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether there is a request that no run has honoured.
    #[inline]
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The request itself, for code that an engine generates: true while there is one.
    #[must_use]
    pub fn flag(&self) -> &AtomicBool {
        &self.0
    }

    /// How many handles there are to the same request, this one included.
    #[must_use]
    pub fn holders(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    /// Takes the request, if there is one: for whoever honours it.
    #[inline]
    #[must_use]
    pub fn take(&self) -> bool {
        self.is_requested() && self.0.swap(false, Ordering::AcqRel)
    }
}
