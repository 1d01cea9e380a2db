//! Page frames: reference-counted 4 KiB blocks, cut from chunks.
//!
//! A chunk is aligned to 16 pages and at most as large; its first page holds the counters of the
//! others, so a frame's counter is found from its address alone. A pool's first chunk is small,
//! because most machines in a test suite or a fuzzer write to very few pages. Frames may be referenced by several pools, and
//! the pools may be in different threads: counters are atomic, and whoever wants to write to a
//! frame must be its only holder.
//!
//! Chunks are for the first pages of a machine, and for hosts without memory files. A machine that has
//! more opens a [memory file](crate::memory_file), from which all of its spaces take their frames from then
//! on, so that they can be mapped in place without being copied. Whether a frame is of the file or of a
//! chunk says its address.

use alloc::alloc::{alloc, dealloc};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::alloc::Layout;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering, fence};

use crate::memory_file::{EXTENT, MemoryFile};
use crate::source::FrameSource;
use crate::{PAGE_SIZE, sharing};

const PAGE: usize = PAGE_SIZE as usize;
/// Pages of a large chunk, its header's among them.
const FRAMES: usize = 16;
/// Pages of a pool's first chunk.
const FIRST_FRAMES: usize = 4;
/// The alignment of all chunks.
const CHUNK: usize = FRAMES * PAGE;

/// The first page of a chunk.
struct Header {
    /// Frames not yet given back for good: held by entries, in free lists, or never handed out.
    live: AtomicU32,
    /// Pages in this chunk.
    pages: usize,
    /// The machine's source, which counts them; taken when the chunk goes.
    source: Option<FrameSource>,
    /// References to each frame; the first is unused.
    references: [AtomicU32; FRAMES],
}

const _: () = assert!(size_of::<Header>() <= PAGE && CHUNK.is_power_of_two());

/// The layout of a chunk of `pages` pages; `None` never happens for the sizes in use.
fn layout(pages: usize) -> Option<Layout> {
    Layout::from_size_align(pages * PAGE, CHUNK).ok()
}

/// A page of zeros that stands in for every page that nobody wrote to.
#[repr(C, align(4096))]
struct ZeroPage([u8; PAGE]);

static ZERO_PAGE: ZeroPage = ZeroPage([0; PAGE]);

/// The page of zeros. It is never written: entries that point to it never have a write bit.
pub(crate) fn zero_page() -> *mut u8 {
    (&raw const ZERO_PAGE).cast::<u8>().cast_mut()
}

/// Where the frames of one space, or of one shared object, come from and go back to.
pub(crate) struct FramePool {
    /// The machine's; `None` for frames of chunks alone.
    source: Option<FrameSource>,
    /// Frames of chunks that nobody references: a pool keeps those of its peak.
    free: Vec<NonNull<u8>>,
    /// The newest chunk.
    newest: Option<Newest>,
    file: Option<FileFrames>,
}

/// A pool's part of a memory file.
struct FileFrames {
    file: Arc<MemoryFile>,
    /// Extents for runs of pages, by the first page's number divided by their length.
    extents: BTreeMap<u32, u32>,
    /// The group of pages that was asked for last, and its extent.
    last: Option<(u32, u32)>,
    /// An extent for pages without a place, and for those whose own frame is in use, and its next frame.
    spare: Option<(u32, u32)>,
    /// Frames that were given back since extents without any in use were last looked for.
    released: u32,
}

/// Frames that a pool gives back before it looks for extents that it does not need any more.
const RELEASES: u32 = 1024;

/// A chunk that has frames which were never handed out.
#[derive(Clone, Copy)]
struct Newest {
    chunk: NonNull<Header>,
    pages: usize,
    /// Pages handed out, and the header's.
    used: usize,
}

// SAFETY: the pointers are to heap blocks that have no tie to a thread; frames that pools in other
// threads hold too are counted atomically and are not written while shared.
unsafe impl Send for FramePool {}

impl FramePool {
    /// A pool of a machine's.
    pub(crate) fn new(source: &FrameSource) -> Self {
        Self { source: Some(source.clone()), free: Vec::new(), newest: None, file: None }
    }

    /// A pool that takes frames of chunks alone, until it [shares a file](Self::share_file).
    pub(crate) const fn of_chunks() -> Self {
        Self { source: None, free: Vec::new(), newest: None, file: None }
    }

    /// A pool for those who share frames with this one.
    pub(crate) fn sibling(&self) -> Self {
        let mut pool = Self { source: self.source.clone(), free: Vec::new(), newest: None, file: None };
        if let Some(frames) = &self.file {
            pool.share_file(&frames.file);
        }
        pool
    }

    /// The machine's source.
    pub(crate) fn source(&self) -> Option<&FrameSource> {
        self.source.as_ref()
    }

    /// Takes frames out of `file` from now on, unless there is a file already.
    pub(crate) fn share_file(&mut self, file: &Arc<MemoryFile>) {
        if self.file.is_none() {
            let (file, extents) = (file.clone(), BTreeMap::new());
            self.file = Some(FileFrames { file, extents, last: None, spare: None, released: 0 });
        }
    }

    /// Sees to it that there is a memory file, and says whether there is.
    pub(crate) fn open_file(&mut self) -> bool {
        if self.file.is_none()
            && let Some(file) = self.source.as_ref().and_then(FrameSource::open_file).cloned()
        {
            self.share_file(&file);
        }
        self.file.is_some()
    }

    /// The memory file.
    pub(crate) fn file(&self) -> Option<&Arc<MemoryFile>> {
        self.file.as_ref().map(|frames| &frames.file)
    }

    /// Whether a frame is of the memory file.
    pub(crate) fn is_in_file(&self, frame: NonNull<u8>) -> bool {
        self.number(frame).is_some()
    }

    fn number(&self, frame: NonNull<u8>) -> Option<u32> {
        self.file.as_ref()?.file.number(frame)
    }

    /// A zero-filled frame with one reference, or `None` where the host has no memory: one of the memory
    /// file if it is for page `place`.
    pub(crate) fn allocate(&mut self, place: Option<u32>) -> Option<NonNull<u8>> {
        let frame = self.take(place)?;
        // SAFETY: the frame is `PAGE` bytes that only the caller will have a pointer to.
        unsafe { frame.write_bytes(0, PAGE) };
        Some(frame)
    }

    /// A frame with one reference and the bytes of `source`.
    ///
    /// # Safety
    /// `source` is a readable page that nobody writes to meanwhile.
    pub(crate) unsafe fn allocate_copy(
        &mut self,
        source: *const u8,
        place: Option<u32>,
    ) -> Option<NonNull<u8>> {
        let frame = self.take(place)?;
        // SAFETY: both are whole pages, and a fresh frame overlaps nothing.
        unsafe { frame.copy_from_nonoverlapping(NonNull::new_unchecked(source.cast_mut()), PAGE) };
        Some(frame)
    }

    /// A frame with one reference and unspecified, possibly uninitialised, bytes.
    fn take(&mut self, place: Option<u32>) -> Option<NonNull<u8>> {
        if let Some(source) = &self.source
            && !source.has_room(1)
            && self.free.is_empty()
        {
            return None;
        }
        if self.file.is_none()
            && let Some(source) = &self.source
            && source.has_file()
        {
            self.open_file();
        }
        if let Some(frame) = self.file.as_mut().and_then(|frames| frames.take(place)) {
            return Some(frame);
        }
        if let Some(frame) = self.free.pop() {
            // SAFETY: frames in the list keep their chunk alive, and their counters are zero.
            unsafe { counter(frame) }.store(1, Ordering::Relaxed);
            return Some(frame);
        }
        let newest = match self.newest {
            Some(newest) if newest.used < newest.pages => newest,
            previous => {
                let pages = if previous.is_some() { FRAMES } else { FIRST_FRAMES };
                let for_chunks = self.source.as_ref().is_none_or(|source| source.take_chunk(pages));
                if !for_chunks
                    && self.file.is_none()
                    && self.open_file()
                    && let Some(frame) = self.file.as_mut().and_then(|frames| frames.take(place))
                {
                    return Some(frame);
                }
                Newest::new(pages, self.source.as_ref())?
            }
        };
        self.newest = Some(Newest { used: newest.used + 1, ..newest });
        // SAFETY: `used` is below the chunk's number of pages, so the frame lies in the chunk.
        let frame = unsafe { newest.chunk.cast::<u8>().add(newest.used * PAGE) };
        // SAFETY: the chunk is alive while it has frames that were not given back.
        unsafe { counter(frame) }.store(1, Ordering::Relaxed);
        Some(frame)
    }

    /// Drops a reference to `frame`, and keeps the frame if it was the last.
    ///
    /// # Safety
    /// `frame` came from a pool, and the caller gives up a reference that it holds.
    pub(crate) unsafe fn release(&mut self, frame: NonNull<u8>) {
        if let Some(number) = self.number(frame) {
            if let Some(frames) = &mut self.file {
                frames.release(number);
            }
            return;
        }
        // SAFETY: the caller's reference keeps the chunk alive.
        if sharing::release(unsafe { counter(frame) }) {
            self.free.push(frame);
        }
    }
}

impl FramePool {
    /// Adds a reference to `frame`.
    ///
    /// # Safety
    /// `frame` came from this pool or one that shares frames with it, and the caller holds a reference.
    pub(crate) unsafe fn retain(&self, frame: NonNull<u8>) {
        match (self.number(frame), &self.file) {
            (Some(number), Some(frames)) => frames.file.retain(number),
            // SAFETY: what is not of the file is of a chunk; the rest is the caller's promise.
            _ => unsafe { retain(frame) },
        }
    }

    /// Whether the caller's reference is the only one; then the frame may be written.
    ///
    /// # Safety
    /// As for [`Self::retain`].
    pub(crate) unsafe fn is_unique(&self, frame: NonNull<u8>) -> bool {
        match (self.number(frame), &self.file) {
            (Some(number), Some(frames)) => frames.file.is_unique(number),
            // SAFETY: what is not of the file is of a chunk; the rest is the caller's promise.
            _ => unsafe { is_unique(frame) },
        }
    }
}

impl FileFrames {
    /// A frame: for a page the one beside those of the page's neighbours if nobody uses it.
    fn take(&mut self, place: Option<u32>) -> Option<NonNull<u8>> {
        if let Some(page) = place
            && let Some(extent) = self.extent(page)
            && let Some(frame) = self.file.take(extent, page % EXTENT)
        {
            return Some(frame);
        }
        if self.spare.is_none() {
            self.spare = Some((self.file.take_extent(None)?, 0));
        }
        let (extent, next) = self.spare?;
        self.spare = Some((extent, next + 1)).filter(|_| next + 1 < EXTENT);
        let frame = self.file.take(extent, next);
        if self.spare.is_none() {
            self.file.give_extent(extent);
        }
        frame
    }

    /// The extent that `page` has its frame in.
    fn extent(&mut self, page: u32) -> Option<u32> {
        let group = page / EXTENT;
        if let Some((last, extent)) = self.last
            && last == group
        {
            return Some(extent);
        }
        let extent = match self.extents.get(&group) {
            Some(extent) => *extent,
            None => {
                let extent = self.file.take_extent(Some(page % EXTENT))?;
                self.extents.insert(group, extent);
                extent
            }
        };
        self.last = Some((group, extent));
        Some(extent)
    }

    /// Gives up a reference to a frame.
    fn release(&mut self, number: u32) {
        if self.file.release(number) {
            self.released += 1;
        }
        if self.released > RELEASES {
            (self.released, self.last) = (0, None);
            let file = &self.file;
            self.extents.retain(|_, extent| {
                let used = !file.is_unused(*extent);
                if !used {
                    file.give_extent(*extent);
                }
                used
            });
        }
    }

    fn close(&mut self) {
        self.last = None;
        for (_, extent) in core::mem::take(&mut self.extents) {
            self.file.give_extent(extent);
        }
        if let Some((extent, _)) = self.spare.take() {
            self.file.give_extent(extent);
        }
    }
}

impl Drop for FileFrames {
    fn drop(&mut self) {
        self.close();
    }
}

impl Drop for FramePool {
    fn drop(&mut self) {
        for frame in self.free.drain(..) {
            // SAFETY: the frame belongs to nobody else, and it leaves the list for good.
            unsafe { retire(chunk_of(frame), 1) };
        }
        if let Some(Newest { chunk, pages, used }) = self.newest
            && used < pages
        {
            // SAFETY: the frames that were never handed out are only this pool's to give back, and
            // while there are some the chunk is alive. (A chunk without may be gone already.)
            unsafe { retire(chunk, (pages - used) as u32) };
        }
    }
}

/// Adds a reference to `frame` of a chunk.
///
/// # Safety
/// `frame` came from a chunk, and the caller holds a reference to it.
unsafe fn retain(frame: NonNull<u8>) {
    // SAFETY: the caller's reference keeps the chunk alive.
    sharing::retain(unsafe { counter(frame) });
}

/// Whether the caller's reference to `frame` of a chunk is the only one; then it may be written.
///
/// # Safety
/// `frame` came from a chunk, and the caller holds a reference to it.
unsafe fn is_unique(frame: NonNull<u8>) -> bool {
    // SAFETY: the caller's reference keeps the chunk alive.
    sharing::is_unique(unsafe { counter(frame) })
}

impl Newest {
    /// A new chunk, or `None` where the host has no memory for one, or `source` none left.
    fn new(pages: usize, source: Option<&FrameSource>) -> Option<Self> {
        if source.is_some_and(|source| !source.has_room(pages)) {
            return None;
        }
        // SAFETY: the layout's size is not zero.
        let chunk = NonNull::new(unsafe { alloc(layout(pages)?) }.cast::<Header>())?;
        let references = [const { AtomicU32::new(0) }; FRAMES];
        if let Some(source) = source {
            source.count_chunk(pages, true);
        }
        let source = source.cloned();
        let header = Header { live: AtomicU32::new(pages as u32 - 1), pages, source, references };
        // SAFETY: the block is new, large enough (asserted above) and aligned.
        unsafe { chunk.write(header) };
        Some(Self { chunk, pages, used: 1 })
    }
}

fn chunk_of(frame: NonNull<u8>) -> NonNull<Header> {
    let header = frame.as_ptr().map_addr(|address| address & !(CHUNK - 1));
    // SAFETY: a frame lies above its chunk's first page, so the chunk is not at address zero.
    unsafe { NonNull::new_unchecked(header.cast()) }
}

/// The counter of `frame`.
///
/// # Safety
/// `frame` came from a pool and its chunk stays alive for `'a`.
unsafe fn counter<'a>(frame: NonNull<u8>) -> &'a AtomicU32 {
    let index = frame.addr().get() % CHUNK / PAGE;
    // SAFETY: the chunk is alive; its header is only ever accessed through shared references to
    // atomics, and `index` is below `FRAMES`.
    unsafe { &(*chunk_of(frame).as_ptr()).references[index % FRAMES] }
}

/// Gives back `count` frames of `chunk` for good; the last ones take the chunk with them.
///
/// # Safety
/// `count` is not zero. The frames are the caller's, nobody references them, and it forgets them.
unsafe fn retire(chunk: NonNull<Header>, count: u32) {
    // SAFETY: the caller's frames keep the chunk alive until they are subtracted here.
    let header = unsafe { chunk.as_ref() };
    let pages = header.pages;
    let layout = layout(pages);
    if header.live.fetch_sub(count, Ordering::Release) == count {
        fence(Ordering::Acquire);
        // SAFETY: nobody else looks at the header any more, and what is read from it is not used there again.
        let source = unsafe { (&raw const (*chunk.as_ptr()).source).read() };
        if let Some(source) = source {
            source.count_chunk(pages, false);
        }
        if let Some(layout) = layout {
            // SAFETY: no frame of the chunk is live, so nothing refers to it any more; the layout
            // is the one that it was allocated with.
            unsafe { dealloc(chunk.as_ptr().cast(), layout) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chunk whose frames were all handed out goes with the last of them, not after it: run under
    /// a checking allocator, or with chunks that the host unmaps, a second look at it would show.
    #[test]
    fn pools_end_with_every_number_of_frames() {
        for count in 0..3 * FRAMES {
            for kept in [0, 1, count / 2, count] {
                let (mut pool, mut other) = (FramePool::of_chunks(), FramePool::of_chunks());
                let frames: Vec<_> = (0..count).map_while(|_| pool.allocate(None)).collect();
                assert_eq!(frames.len(), count);
                for (index, frame) in frames.iter().enumerate() {
                    if index < kept {
                        // SAFETY: the frame has one reference, which this test holds.
                        unsafe { retain(*frame) };
                    }
                    // SAFETY: the reference that `allocate` gave is given up.
                    unsafe { pool.release(*frame) };
                }
                drop(pool);
                for frame in frames.into_iter().take(kept) {
                    // SAFETY: the reference that was added above is given up.
                    unsafe { other.release(frame) };
                }
            }
        }
    }
}
