//! Memory objects that several address spaces map: Linux's `MAP_SHARED`.
//!
//! Address spaces may be moved to different threads, and their fast paths take no lock. So an
//! object is held by one space at a time: the first access takes it, and
//! [`AddressSpace::release_shared`](crate::AddressSpace::release_shared) gives it back. A scheduler
//! calls that whenever it turns from one space to another; who forgets gets
//! [`FaultKind::Busy`], never a data race.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::frame::FramePool;
use crate::{FaultKind, PAGE_SIZE};

/// Nobody holds the object.
const FREE: usize = 0;
/// A call on a handle holds it; no table has this address.
const HANDLE: usize = 1;

/// A growable object of zero-filled pages that address spaces can share. Clones are handles to the
/// same object, which lives as long as the last handle or mapping.
///
/// ```
/// use pentimento_memory::{AddressSpace, Permissions, SharedMemory};
///
/// let object = SharedMemory::new(4096)?;
/// let mut first = AddressSpace::new();
/// let mut second = AddressSpace::new();
/// first.map_shared(0x1000, 4096, Permissions::READ | Permissions::WRITE, &object, 0)?;
/// second.map_shared(0x8000, 4096, Permissions::READ, &object, 0)?;
/// first.write(0x1000, 42u32)?;
/// first.release_shared();
/// assert_eq!(second.read::<u32>(0x8000)?, 42);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SharedMemory {
    object: Arc<Object>,
}

struct Object {
    /// `FREE`, `HANDLE` or the id of the address space that holds it.
    holder: AtomicUsize,
    state: UnsafeCell<State>,
}

// SAFETY: `state` is only reached by whoever made `holder` its own with an acquiring exchange, and
// it is given back with a releasing store; `State` itself is `Send`.
unsafe impl Sync for Object {}
// SAFETY: the frames are heap blocks without a tie to a thread.
unsafe impl Send for Object {}

struct State {
    pool: FramePool,
    frames: Vec<Option<NonNull<u8>>>,
    length: u64,
}

impl Drop for State {
    fn drop(&mut self) {
        for frame in self.frames.drain(..).flatten() {
            // SAFETY: the object held one reference to each of its frames.
            unsafe { self.pool.release(frame) };
        }
    }
}

/// Why a call on a [`SharedMemory`] failed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SharedError {
    /// An address space holds the object; its `release_shared` gives it back.
    Busy,
    /// `[offset, offset + length)` is not within the object, or the size is above 4 GiB.
    OutOfRange,
    /// The host has no more memory.
    OutOfMemory,
}

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "an address space holds the shared object",
            Self::OutOfRange => "the range is not within the shared object",
            Self::OutOfMemory => "out of memory",
        })
    }
}

impl core::error::Error for SharedError {}

impl fmt::Debug for SharedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedMemory").field("length", &self.len()).finish_non_exhaustive()
    }
}

/// Gives the object back at the end of a call on a handle.
struct Held<'a>(&'a Object);

impl Held<'_> {
    fn state(&mut self) -> &mut State {
        // SAFETY: this value exists while `holder` is `HANDLE`, so nobody else reaches the state;
        // the result borrows this value mutably, so there is one reference at a time.
        unsafe { &mut *self.0.state.get() }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.holder.store(FREE, Ordering::Release);
    }
}

impl SharedMemory {
    /// The largest size in bytes.
    pub const MAX_LENGTH: u64 = 1 << 32;

    /// An object of `length` zero bytes. Pages are allocated when they are first accessed.
    ///
    /// # Errors
    /// [`SharedError::OutOfRange`] above [`Self::MAX_LENGTH`], [`SharedError::OutOfMemory`].
    pub fn new(length: u64) -> Result<Self, SharedError> {
        let state = State { pool: FramePool::new(), frames: Vec::new(), length: 0 };
        let object = Object { holder: AtomicUsize::new(FREE), state: UnsafeCell::new(state) };
        let memory = Self { object: Arc::new(object) };
        memory.resize(length)?;
        Ok(memory)
    }

    /// The size in bytes, or `None` while an address space holds the object.
    #[must_use]
    pub fn len(&self) -> Option<u64> {
        Some(self.hold().ok()?.state().length)
    }

    /// Whether the object is known to have no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// Whether two handles are to the same object.
    #[must_use]
    pub fn same_object(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.object, &other.object)
    }

    /// Grows the object with zeros, or cuts it off.
    ///
    /// # Errors
    /// [`SharedError`]; the size is then unchanged.
    pub fn resize(&self, length: u64) -> Result<(), SharedError> {
        if length > Self::MAX_LENGTH {
            return Err(SharedError::OutOfRange);
        }
        let mut held = self.hold()?;
        let state = held.state();
        let pages = length.div_ceil(u64::from(PAGE_SIZE)) as usize;
        let more = pages.saturating_sub(state.frames.len());
        state.frames.try_reserve(more).map_err(|_| SharedError::OutOfMemory)?;
        while state.frames.len() > pages {
            if let Some(frame) = state.frames.pop().flatten() {
                // SAFETY: the object held this reference, and no space has the page at hand,
                // because none holds the object.
                unsafe { state.pool.release(frame) };
            }
        }
        state.frames.resize(pages, None);
        let tail = (length % u64::from(PAGE_SIZE)) as usize;
        if let Some(Some(last)) = state.frames.last()
            && tail != 0
        {
            // What is cut off must read as zero when the object grows again.
            // SAFETY: the frame is a whole page that only this object holds.
            unsafe { last.add(tail).write_bytes(0, PAGE_SIZE as usize - tail) };
        }
        state.length = length;
        Ok(())
    }

    /// Reads `buffer.len()` bytes at `offset`.
    ///
    /// # Errors
    /// [`SharedError`]; `buffer` is then unspecified.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SharedError> {
        let mut done = 0;
        self.runs(offset, buffer.len(), |page, count| {
            let run = &mut buffer[done..done + count];
            // SAFETY: `page` has `count` readable bytes of the object, which this call holds.
            unsafe { page.copy_to_nonoverlapping(NonNull::from(&mut *run).cast(), count) };
            done += count;
        })
    }

    /// Writes `bytes` at `offset`.
    ///
    /// # Errors
    /// [`SharedError`]; for want of memory a part may have been written.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), SharedError> {
        let mut done = 0;
        self.runs(offset, bytes.len(), |page, count| {
            let run = &bytes[done..done + count];
            // SAFETY: `page` has `count` writable bytes of the object, which this call holds.
            unsafe { page.copy_from_nonoverlapping(NonNull::from(run).cast(), count) };
            done += count;
        })
    }

    /// Calls `each` with every run of bytes of `[offset, offset + length)` within one page.
    fn runs(
        &self,
        offset: u64,
        length: usize,
        mut each: impl FnMut(NonNull<u8>, usize),
    ) -> Result<(), SharedError> {
        let mut held = self.hold()?;
        let state = held.state();
        let end = offset.checked_add(length as u64).filter(|&end| end <= state.length);
        let end = end.ok_or(SharedError::OutOfRange)?;
        let mut at = offset;
        while at < end {
            let page =
                state.page((at / u64::from(PAGE_SIZE)) as usize).map_err(|_| SharedError::OutOfMemory)?;
            let within = (at % u64::from(PAGE_SIZE)) as usize;
            let count = (PAGE_SIZE as usize - within).min((end - at) as usize);
            // SAFETY: `within` is below the page's size.
            each(unsafe { page.add(within) }, count);
            at += count as u64;
        }
        Ok(())
    }

    fn hold(&self) -> Result<Held<'_>, SharedError> {
        match self.object.holder.compare_exchange(FREE, HANDLE, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => Ok(Held(&self.object)),
            Err(_) => Err(SharedError::Busy),
        }
    }

    /// Makes the object that of the address space `id`: whether it was not before, or `None` where
    /// another holds it.
    pub(crate) fn hold_for(&self, id: usize) -> Option<bool> {
        match self.object.holder.compare_exchange(FREE, id, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => Some(true),
            Err(holder) => (holder == id).then_some(false),
        }
    }

    /// Ends what [`Self::hold_for`] began.
    pub(crate) fn release_from(&self, id: usize) {
        // Only the holder itself can find its own id here.
        let _ = self.object.holder.compare_exchange(id, FREE, Ordering::Release, Ordering::Relaxed);
    }

    /// The host page of the object's page `index`.
    ///
    /// # Safety
    /// The caller holds the object through `hold_for`, and uses the page only while it does.
    pub(crate) unsafe fn page(&self, index: u32) -> Result<NonNull<u8>, FaultKind> {
        // SAFETY: the holder is the only one to reach the state, and the reference ends here.
        unsafe { &mut *self.object.state.get() }.page(index as usize)
    }
}

impl State {
    fn page(&mut self, index: usize) -> Result<NonNull<u8>, FaultKind> {
        let slot = self.frames.get_mut(index).ok_or(FaultKind::BeyondEnd)?;
        match *slot {
            Some(frame) => Ok(frame),
            None => {
                let frame = self.pool.allocate().ok_or(FaultKind::OutOfMemory)?;
                *slot = Some(frame);
                Ok(frame)
            }
        }
    }
}
