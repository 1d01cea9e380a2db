//! How threads share frames and objects: counted references, and one holder at a time.
//!
//! Spaces in different threads have frames in common after a fork or a snapshot, and map one shared
//! object. All that keeps them apart is here, without `unsafe`, so that `tests/interleavings.rs` can run
//! every order of events with loom's atomics in place of the real ones.

use crate::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// Adds a reference; the caller has one.
#[inline]
pub(crate) fn retain(references: &AtomicU32) {
    references.fetch_add(1, Ordering::Relaxed);
}

/// Gives up a reference. Says whether it was the last: then whatever other holders read happens before
/// what the caller does with the frame.
#[inline]
pub(crate) fn release(references: &AtomicU32) -> bool {
    let last = references.fetch_sub(1, Ordering::Release) == 1;
    if last {
        fence(Ordering::Acquire);
    }
    last
}

/// Whether the caller's reference is the only one; then it may write. Nobody can add a reference without
/// having one, so "only" stays true, and what earlier holders read happens before the write.
#[inline]
pub(crate) fn is_unique(references: &AtomicU32) -> bool {
    references.load(Ordering::Acquire) == 1
}

/// How an address space came to hold an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Taken {
    /// It did already.
    Before,
    /// It held it last, and nobody else since: its pages are where they were, and nobody else has marked
    /// code of it.
    Again,
    /// Others may have had it.
    Now,
}

/// Who holds an object. Only the holder reaches its state, so one is made with an acquiring exchange and
/// ends with a releasing store.
pub(crate) struct Holder {
    /// [`FREE`](Self::FREE), [`HANDLE`](Self::HANDLE), or the identity of an address space.
    now: AtomicU64,
    /// The identity of the space that held it last, or `HANDLE` if frames went away since.
    last: AtomicU64,
}

impl Holder {
    /// Nobody holds the object.
    const FREE: u64 = 0;
    /// A call on a handle holds it; no address space has this identity.
    pub(crate) const HANDLE: u64 = 1;

    pub(crate) fn nobody() -> Self {
        Self { now: AtomicU64::new(Self::FREE), last: AtomicU64::new(Self::HANDLE) }
    }

    /// Makes the object that of a call on a handle. Says whether it was free.
    pub(crate) fn take_for_call(&self) -> bool {
        self.take(Self::HANDLE).is_ok()
    }

    /// Ends what [`Self::take_for_call`] began.
    pub(crate) fn end_call(&self) {
        self.now.store(Self::FREE, Ordering::Release);
    }

    /// Makes the object that of address space `id`, until it is [given back](Self::release_from) by that
    /// space; `None` where another holds it.
    pub(crate) fn take_for(&self, id: u64) -> Option<Taken> {
        if !self.take_briefly(id)? {
            return Some(Taken::Before);
        }
        match self.last.swap(id, Ordering::Relaxed) == id {
            true => Some(Taken::Again),
            false => Some(Taken::Now),
        }
    }

    /// As [`Self::take_for`], without the space being the last holder afterwards. Says whether the object
    /// was not that of `id` before.
    pub(crate) fn take_briefly(&self, id: u64) -> Option<bool> {
        match self.take(id) {
            Ok(_) => Some(true),
            Err(holder) => (holder == id).then_some(false),
        }
    }

    /// Gives the object back, if `id` holds it: only the holder itself can find its own identity here.
    pub(crate) fn release_from(&self, id: u64) {
        let _ = self.now.compare_exchange(id, Self::FREE, Ordering::Release, Ordering::Relaxed);
    }

    /// Has every space find at its next access that others may have had the object. Only for the holder.
    pub(crate) fn forget_last(&self) {
        self.last.store(Self::HANDLE, Ordering::Relaxed);
    }

    fn take(&self, id: u64) -> Result<u64, u64> {
        self.now.compare_exchange(Self::FREE, id, Ordering::Acquire, Ordering::Relaxed)
    }
}
