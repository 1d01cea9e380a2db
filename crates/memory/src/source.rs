//! What the address spaces of one machine have in common: where their page frames come from.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::PAGE_SIZE;
use crate::memory_file::{LazyFile, MemoryFile};
use crate::reserved::Reservations;

/// Frames of chunks that a machine takes before it opens a memory file. Most machines in a test suite or
/// a fuzzer never do: opening and closing one costs several microseconds, and memory of the heap that
/// the last machine used needs no host page faults.
const MOST_OF_CHUNKS: usize = 64;

/// Where the address spaces of one machine take their memory from. Clones are handles to the same source,
/// which lives as long as the last handle or address space.
///
/// A space of its own source behaves in the same way. What spaces gain that share one is time: memory
/// that one of them gives up is ready for the next, and on 64-bit Linux hosts all of it lies in one file,
/// so that none of it has to be copied when a space [goes over](crate::AddressSpace::reserve) to
/// [`Backing::Reserved`](crate::Backing::Reserved), however it came to its pages.
///
/// ```
/// use pentimento_memory::{AddressSpace, Backing, FrameSource, Permissions};
///
/// let frames = FrameSource::new();
/// for _process in 0..3 {
///     let mut space = AddressSpace::try_new_from(&frames, Backing::Paged)?;
///     space.map(0x1000, 1 << 20, Permissions::READ | Permissions::WRITE)?;
///     space.fill(0x1000, 1u32, 1 << 18)?;
/// }
/// assert_eq!(frames.used_bytes(), 0);
/// frames.trim();
/// assert_eq!(frames.idle_bytes(), 0);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct FrameSource {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Frames of all chunks that were ever allocated, before there was a memory file.
    of_chunks: AtomicUsize,
    /// Pages of all chunks that are allocated now.
    chunk_pages: AtomicUsize,
    /// Flat copies of page tables.
    flats: AtomicUsize,
    /// Pages that chunks and the memory file may have together; 0 for as many as the host has.
    limit: AtomicUsize,
    file: LazyFile,
    reservations: Reservations,
}

impl core::fmt::Debug for FrameSource {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let bytes = (self.used_bytes(), self.idle_bytes());
        f.debug_struct("FrameSource").field("used", &bytes.0).field("idle", &bytes.1).finish_non_exhaustive()
    }
}

impl FrameSource {
    /// A source of nobody's yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes of the memory file that are in use: by spaces, their snapshots, and shared objects. The first
    /// pages of a machine, some 256 KiB, are not in the file.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.bytes(|(used, _)| used)
    }

    /// Bytes of host memory that nobody uses, kept for who needs some next: at most half of what is in use
    /// and 32 MiB.
    #[must_use]
    pub fn idle_bytes(&self) -> u64 {
        self.bytes(|(_, idle)| idle)
    }

    fn bytes(&self, which: fn((usize, usize)) -> usize) -> u64 {
        self.shared.file.get().map_or(0, |file| which(file.usage()) as u64 * u64::from(PAGE_SIZE))
    }

    /// Bytes of the host's memory that the source has taken: what is in use, the first pages of the machine
    /// included, and what is idle.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.held_pages() as u64 * u64::from(PAGE_SIZE)
    }

    fn held_pages(&self) -> usize {
        let (used, idle) = self.shared.file.get().map_or((0, 0), |file| file.usage());
        used + idle + self.shared.chunk_pages.load(Ordering::Relaxed)
    }

    /// Limits [`held_bytes`](Self::held_bytes) from now on, in whole pages; `None` lifts the limit. What would
    /// need more fails as if the host had no memory: [`FaultKind::OutOfMemory`](crate::FaultKind::OutOfMemory)
    /// and its kin. Idle memory goes back to the host first.
    pub fn set_limit(&self, bytes: Option<u64>) {
        let pages = bytes.map_or(0, |bytes| (bytes / u64::from(PAGE_SIZE)).max(1));
        self.shared.limit.store(usize::try_from(pages).unwrap_or(0), Ordering::Relaxed);
    }

    /// Whether `more` pages can be taken from the host or from what is idle.
    #[inline]
    pub(crate) fn has_room(&self, more: usize) -> bool {
        let limit = self.shared.limit.load(Ordering::Relaxed);
        limit == 0 || self.held_pages() + more <= limit || self.make_room(more, limit)
    }

    /// [`Self::has_room`] where the limit is near: gives idle memory back where that is worth the search.
    #[cold]
    fn make_room(&self, more: usize, limit: usize) -> bool {
        /// Idle pages that may stay while the limit is reached.
        const FEW: usize = 256;
        let Some(file) = self.shared.file.get() else { return false };
        let (used, idle) = file.usage();
        let used = used + self.shared.chunk_pages.load(Ordering::Relaxed) + more;
        if used <= limit && used + idle > limit + FEW {
            file.trim(0);
        }
        used <= limit
    }

    /// Whether one more page table may have a flat copy of `bytes`: such copies take addresses, if hardly any
    /// memory, and those of one machine at most half of what it may have of memory.
    pub(crate) fn take_flat(&self, bytes: usize) -> bool {
        let limit = self.shared.limit.load(Ordering::Relaxed).saturating_mul(PAGE_SIZE as usize);
        let most = if limit == 0 { usize::MAX } else { limit / 2 / bytes };
        let taken = self.shared.flats.fetch_add(1, Ordering::Relaxed) < most;
        if !taken {
            self.give_flat();
        }
        taken
    }

    /// A page table has no flat copy any more.
    pub(crate) fn give_flat(&self) {
        self.shared.flats.fetch_sub(1, Ordering::Relaxed);
    }

    /// A chunk of `pages` pages is allocated, or given back to the host.
    pub(crate) fn count_chunk(&self, pages: usize, allocated: bool) {
        // The allocator keeps its own words in the page before an aligned block.
        let pages = pages + 1;
        if allocated {
            self.shared.chunk_pages.fetch_add(pages, Ordering::Relaxed);
        } else {
            self.shared.chunk_pages.fetch_sub(pages, Ordering::Relaxed);
        }
    }

    /// Gives what nobody uses back to the host: for a machine that is going to wait for long.
    pub fn trim(&self) {
        if let Some(file) = self.shared.file.get() {
            file.trim(0);
        }
    }

    /// Limits the host mappings that the reservations of this source's spaces may have together, from now
    /// on; `None` is as many as all reservations of the host process may have, 32,000. A space that needs
    /// more is [paged](crate::Backing::Paged) again, unless one can be taken back that was idle.
    pub fn set_mapping_limit(&self, mappings: Option<usize>) {
        self.shared.reservations.set_limit(mappings.unwrap_or(usize::MAX));
    }

    /// The reservations of this source's spaces.
    pub(crate) fn reservations(&self) -> &Reservations {
        &self.shared.reservations
    }

    /// Whether the memory file is open.
    #[inline]
    pub(crate) fn has_file(&self) -> bool {
        self.shared.file.get().is_some()
    }

    /// The memory file, opened now if it is not; `None` where the host refuses it.
    pub(crate) fn open_file(&self) -> Option<&Arc<MemoryFile>> {
        self.shared.file.open()
    }

    /// Whether there may be another chunk of `frames` frames before there is a memory file.
    pub(crate) fn take_chunk(&self, frames: usize) -> bool {
        self.shared.of_chunks.fetch_add(frames, Ordering::Relaxed) + frames <= MOST_OF_CHUNKS
    }
}
