//! Memory objects that several address spaces map: Linux's `MAP_SHARED`.
//!
//! Address spaces may be moved to different threads, and their fast paths take no lock. So an
//! object is held by one space at a time: the first access takes it, and
//! [`AddressSpace::release_shared`](crate::AddressSpace::release_shared) gives it back. A scheduler
//! calls that whenever it turns from one space to another; who forgets gets
//! [`FaultKind::Busy`], never a data race.

mod image;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

pub use image::SharedImage;

use crate::frame::FramePool;
use crate::marks::{Log, Marks};
use crate::memory_file::MemoryFile;
use crate::sharing::Holder;
pub(crate) use crate::sharing::Taken;
use crate::source::FrameSource;
use crate::{FaultKind, PAGE_SIZE};

const _: () = assert!(Holder::HANDLE < crate::identity::FIRST);

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
    holder: Holder,
    /// The number of the newest write in the state's log, for those who do not hold the object.
    code_writes: AtomicU64,
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
    /// The marks of pages of which engines, of whatever address space, have translated code.
    marks: BTreeMap<u32, Box<Marks>>,
    code_writes: Log<ObjectWrite>,
}

/// A write to translated code of an object: the page, the first byte in it, and how many.
pub(crate) type ObjectWrite = (u32, u32, u32);

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
#[non_exhaustive]
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

/// A handle that does not keep its object alive.
pub(crate) struct WeakShared(Weak<Object>);

impl WeakShared {
    pub(crate) fn upgrade(&self) -> Option<SharedMemory> {
        self.0.upgrade().map(|object| SharedMemory { object })
    }
}

/// Gives the object back when it goes away.
struct Held<'a>(&'a Object);

impl Held<'_> {
    fn state(&mut self) -> &mut State {
        // SAFETY: this value exists while `holder` is this call's, so nobody else reaches the state;
        // the result borrows this value mutably, so there is one reference at a time.
        unsafe { &mut *self.0.state.get() }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.publish();
        self.0.holder.end_call();
    }
}

impl Object {
    /// Lets everybody see how many writes there are in the log. Only for who holds the object.
    fn publish(&self) {
        // SAFETY: the caller holds the object, so nobody else reaches the state.
        let newest = unsafe { &*self.state.get() }.code_writes.newest();
        self.code_writes.store(newest, Ordering::Release);
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
        Self::with(FramePool::of_chunks(), length)
    }

    /// As [`new`](Self::new), with pages from a machine's source: they count towards its
    /// [limit](FrameSource::set_limit).
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn new_from(frames: &FrameSource, length: u64) -> Result<Self, SharedError> {
        Self::with(FramePool::new(frames), length)
    }

    fn with(pool: FramePool, length: u64) -> Result<Self, SharedError> {
        let state = State {
            pool,
            frames: Vec::new(),
            length: 0,
            marks: BTreeMap::new(),
            code_writes: Log::default(),
        };
        let object = Object {
            holder: Holder::nobody(),
            code_writes: AtomicU64::new(0),
            state: UnsafeCell::new(state),
        };
        let memory = Self { object: Arc::new(object) };
        memory.resize(length)?;
        Ok(memory)
    }

    /// The size in bytes, or `None` while an address space holds the object.
    #[must_use]
    pub fn len(&self) -> Option<u64> {
        Some(self.hold().ok()?.state().length)
    }

    /// The offset of the first page at or behind `offset` that somebody has written to, or read as one that
    /// may be written; all others are zeros. `None` where there is none, or an address space holds the object.
    #[must_use]
    pub fn next_page(&self, offset: u64) -> Option<u64> {
        let mut held = self.hold().ok()?;
        let page = u64::from(PAGE_SIZE);
        let first = usize::try_from(offset / page).ok()?;
        let ahead = held.state().frames.get(first..)?.iter().position(Option::is_some)?;
        Some((first + ahead) as u64 * page)
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
        self.object.holder.forget_last();
        let state = held.state();
        let pages = length.div_ceil(u64::from(PAGE_SIZE)) as usize;
        let more = pages.saturating_sub(state.frames.len());
        state.frames.try_reserve(more).map_err(|_| SharedError::OutOfMemory)?;
        state.note_cut(length);
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
        self.runs(offset, buffer.len(), |_, _, page, count| {
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
        self.runs(offset, bytes.len(), |state, at, page, count| {
            let run = &bytes[done..done + count];
            // SAFETY: `page` has `count` writable bytes of the object, which this call holds.
            unsafe { page.copy_from_nonoverlapping(NonNull::from(run).cast(), count) };
            let first = (at % u64::from(PAGE_SIZE)) as u32;
            state.note_store((at / u64::from(PAGE_SIZE)) as u32, first, first + count as u32);
            done += count;
        })
    }

    /// Calls `each` with every run of bytes of `[offset, offset + length)` within one page: its offset,
    /// where it lies, and its length.
    fn runs(
        &self,
        offset: u64,
        length: usize,
        mut each: impl FnMut(&mut State, u64, NonNull<u8>, usize),
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
            each(state, at, unsafe { page.add(within) }, count);
            at += count as u64;
        }
        Ok(())
    }

    fn hold(&self) -> Result<Held<'_>, SharedError> {
        if self.object.holder.take_for_call() { Ok(Held(&self.object)) } else { Err(SharedError::Busy) }
    }

    /// Makes the object that of the address space `id`, or `None` where another holds it.
    pub(crate) fn hold_for(&self, id: u64) -> Option<Taken> {
        self.object.holder.take_for(id)
    }

    /// Moves the object's frames into `file`, if they are in none: for address space `space`, which has
    /// just taken the object and has no page of it at hand.
    pub(crate) fn move_into(&self, file: &Arc<MemoryFile>, space: u64) {
        self.with_state(space, |state| state.move_into(file));
    }

    pub(crate) fn downgrade(&self) -> WeakShared {
        WeakShared(Arc::downgrade(&self.object))
    }

    /// Ends what [`Self::hold_for`] began.
    pub(crate) fn release_from(&self, id: u64) {
        self.object.holder.release_from(id);
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

/// Translated code in the object. Each call takes the object for address space `space` if it does not
/// hold it, and then gives it back.
impl SharedMemory {
    /// A number that no other living object has.
    pub(crate) fn key(&self) -> usize {
        Arc::as_ptr(&self.object).addr()
    }

    /// The number of the newest write to translated code.
    pub(crate) fn code_writes(&self) -> u64 {
        self.object.code_writes.load(Ordering::Acquire)
    }

    /// Writes behind number `seen`, `None` if some of them are lost, and the number of the newest;
    /// nothing where another holds the object.
    pub(crate) fn code_writes_since(&self, space: u64, seen: u64) -> Option<(Option<Vec<ObjectWrite>>, u64)> {
        self.with_state(space, |state| (state.code_writes.since(seen), state.code_writes.newest()))
    }

    /// Marks bytes `first..end` of page `index` as translated by `reader`. Says whether the page had
    /// no marks, and the number of the newest write; nothing where another holds the object.
    pub(crate) fn mark(
        &self,
        space: u64,
        index: u32,
        first: u32,
        end: u32,
        reader: u64,
    ) -> Option<(bool, u64)> {
        self.with_state(space, |state| {
            let new = !state.marks.contains_key(&index);
            let marks = state.marks.entry(index).or_insert_with(|| Box::new(Marks::new(reader)));
            marks.set(first, end, reader);
            (new, state.code_writes.newest())
        })
    }

    /// Takes the marks of page `index` away if all of them are of `reader`, and says whether it did.
    pub(crate) fn unmark(&self, space: u64, index: u32, reader: u64) -> bool {
        let remove = |state: &mut State| {
            let own = state.marks.get(&index).is_none_or(|marks| marks.is_all_of(reader));
            if own {
                state.marks.remove(&index);
            }
            own
        };
        self.with_state(space, remove).unwrap_or(false)
    }

    /// Whether page `index` has marks, or may have.
    pub(crate) fn is_marked(&self, space: u64, index: u32) -> bool {
        self.with_state(space, |state| state.marks.contains_key(&index)).unwrap_or(true)
    }

    /// Records a store to bytes `first..end` of page `index`, and says whether that hit marks.
    pub(crate) fn note_store(&self, space: u64, index: u32, first: u32, end: u32) -> bool {
        self.with_state(space, |state| state.note_store(index, first, end)).unwrap_or(false)
    }

    /// Calls `act` with the state, as `space`.
    fn with_state<R>(&self, space: u64, act: impl FnOnce(&mut State) -> R) -> Option<R> {
        if self.object.holder.take_briefly(space)? {
            return Some(act(Held(&self.object).state()));
        }
        // SAFETY: `space` holds the object, and it is its one thread that is here. What `act` does to
        // the state leads to no other call on the object, so this is the only reference.
        let result = act(unsafe { &mut *self.object.state.get() });
        self.object.publish();
        Some(result)
    }
}

impl State {
    /// Records a store to bytes `first..end` of page `index`, and says whether that hit marks.
    fn note_store(&mut self, index: u32, first: u32, end: u32) -> bool {
        let Some(marks) = self.marks.get_mut(&index) else { return false };
        let hit = first < end && marks.clear(first, end);
        if marks.is_empty() {
            self.marks.remove(&index);
        }
        if hit {
            self.code_writes.push((index, first, end - first), |last, next| last == next);
        }
        hit
    }

    /// Records that everything from `length` on is about to be cut off.
    fn note_cut(&mut self, length: u64) {
        let page = (length / u64::from(PAGE_SIZE)) as u32;
        let cut: Vec<u32> = self.marks.range(page..).map(|(index, _)| *index).collect();
        for index in cut {
            let first = if index == page { (length % u64::from(PAGE_SIZE)) as u32 } else { 0 };
            self.note_store(index, first, PAGE_SIZE);
        }
    }

    fn move_into(&mut self, file: &Arc<MemoryFile>) {
        if self.pool.file().is_some() {
            return;
        }
        self.pool.share_file(file);
        for (index, slot) in self.frames.iter_mut().enumerate() {
            let Some(frame) = *slot else { continue };
            // SAFETY: the object holds the frame, and nobody writes to it meanwhile: only the holder
            // could, and it is here.
            if let Some(copy) = unsafe { self.pool.allocate_copy(frame.as_ptr(), Some(index as u32)) } {
                *slot = Some(copy);
                // SAFETY: the object's reference is given up, and no page table has the frame.
                unsafe { self.pool.release(frame) };
            }
        }
    }

    fn page(&mut self, index: usize) -> Result<NonNull<u8>, FaultKind> {
        let slot = self.frames.get_mut(index).ok_or(FaultKind::BeyondEnd)?;
        match *slot {
            Some(frame) => Ok(frame),
            None => {
                let frame = self.pool.allocate(Some(index as u32)).ok_or(FaultKind::OutOfMemory)?;
                *slot = Some(frame);
                Ok(frame)
            }
        }
    }
}
