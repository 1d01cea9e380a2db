//! Page frames in a file of the host's memory, which the host can map at any number of places.
//!
//! The whole file is mapped once, in a window where every frame can be read and written: there page
//! tables point to, as they do to frames of the heap. A reservation maps the same frames a second
//! time, where translated code finds them. The file is sparse: what no frame was ever written to
//! takes up no memory.
//!
//! Frames are handed out by extents of 64 neighbours, each to an owner that uses them for neighbouring
//! pages of a guest, so that few mappings show many pages. A frame has a counter as those of the heap
//! have; an extent goes back when its owner has given it up and no frame of it is in use.
//!
//! A frame that nobody uses keeps its memory for the next one, because the host takes fifty times as
//! long to provide a page as it takes to copy one. How many do is known exactly (a bit for each frame says
//! whether it has memory), and bounded: see [`MemoryFile::most_idle`].

pub(crate) use host::{LazyFile, MemoryFile};

/// Frames an extent.
pub(crate) const EXTENT: u32 = 64;

#[cfg(all(feature = "std", target_os = "linux", target_pointer_width = "64"))]
mod host {
    extern crate std;

    use alloc::sync::Arc;
    use alloc::vec::Vec;
    use core::ptr::{self, NonNull};
    use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
    use std::sync::{Mutex, OnceLock, PoisonError, TryLockError};

    use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, ftruncate, memfd_create};
    use rustix::io::Errno;
    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};
    use rustix::process::{Resource, getrlimit};

    use super::EXTENT;
    use crate::{PAGE_SIZE, sharing};

    const PAGE: usize = PAGE_SIZE as usize;
    /// Frames of a file: sixteen guests of 4 GiB.
    const FRAMES: u32 = 1 << 24;
    const WINDOW: usize = FRAMES as usize * PAGE;
    /// The window and the counters behind it, which are part of the file as well: 69 MB that are never
    /// touched would count towards the limit of the host's data otherwise.
    const LENGTH: usize = WINDOW + size_of::<Counters>();
    const EXTENTS: u32 = FRAMES / EXTENT;
    /// Extents that are left for owners who put any page in any frame.
    const DENSE: u32 = EXTENTS / 4;
    /// Frames that may keep their memory unused, however few are in use: 32 MiB.
    const KEPT: usize = 8192;
    /// Frames for which the host is asked for memory at once, at most.
    const AHEAD: u32 = 32;

    struct Counters {
        /// References to each frame.
        frames: [AtomicU32; FRAMES as usize],
        /// Frames of each extent that are in use, and one more while it has an owner.
        extents: [AtomicU32; EXTENTS as usize],
        /// Which frames of each extent have memory, a bit for each. Only who has counted itself as the
        /// one reference to a frame changes its bit, or for frames without, the owner sets it.
        filled: [AtomicU64; EXTENTS as usize],
    }

    struct Extents {
        /// The first that was never handed out.
        fresh: u32,
        /// Those that nobody owns.
        free: Vec<u32>,
    }

    /// A memory file and its window.
    pub(crate) struct MemoryFile {
        file: OwnedFd,
        window: NonNull<u8>,
        counters: NonNull<Counters>,
        extents: Mutex<Extents>,
        /// Frames in use.
        used: AtomicUsize,
        /// Frames that are not in use and have memory.
        idle: AtomicUsize,
    }

    // SAFETY: the pointers are to mappings of this value's own that have no tie to a thread. The
    // counters are only reached as atomics; a frame's bytes are written by its only holder.
    unsafe impl Send for MemoryFile {}
    // SAFETY: as above; the list of extents has a lock.
    unsafe impl Sync for MemoryFile {}

    /// A memory file that is opened when it is first wanted.
    #[derive(Default)]
    pub(crate) struct LazyFile(OnceLock<Option<Arc<MemoryFile>>>);

    impl LazyFile {
        /// The file if it is open.
        #[inline]
        pub(crate) fn get(&self) -> Option<&Arc<MemoryFile>> {
            self.0.get()?.as_ref()
        }

        /// The file, opened now if it is not; `None` where the host refuses it, once and for all.
        pub(crate) fn open(&self) -> Option<&Arc<MemoryFile>> {
            self.0.get_or_init(MemoryFile::new).as_ref()
        }
    }

    impl MemoryFile {
        /// A new file; `None` where the host refuses it, or limits the size of files.
        fn new() -> Option<Arc<Self>> {
            // A file that grows past the limit would end the process by a signal.
            if getrlimit(Resource::Fsize).current.is_some_and(|limit| limit < LENGTH as u64) {
                return None;
            }
            let file = memfd_create("pentimento", MemfdFlags::CLOEXEC).ok()?;
            ftruncate(&file, LENGTH as u64).ok()?;
            let access = ProtFlags::READ | ProtFlags::WRITE;
            let flags = MapFlags::SHARED | MapFlags::NORESERVE;
            // SAFETY: a new mapping at an address of the kernel's choice touches no memory that Rust
            // knows of.
            let window = unsafe { mmap(ptr::null_mut(), LENGTH, access, flags, &file, 0) };
            let window = NonNull::new(window.ok()?.cast::<u8>())?;
            // SAFETY: the mapping goes on behind the window.
            let counters = unsafe { window.add(WINDOW) };
            let extents = Mutex::new(Extents { fresh: 0, free: Vec::new() });
            let (used, idle) = (AtomicUsize::new(0), AtomicUsize::new(0));
            Some(Arc::new(Self { file, window, counters: counters.cast(), extents, used, idle }))
        }

        fn counters(&self) -> &Counters {
            // SAFETY: a new file is zeros, which is what atomics of zero are; the mapping is aligned to a
            // page, lives as long as this value, and is only reached as atomics here.
            unsafe { self.counters.as_ref() }
        }

        fn lock(&self) -> std::sync::MutexGuard<'_, Extents> {
            self.extents.lock().unwrap_or_else(PoisonError::into_inner)
        }

        /// The number of `frame` in the file, if it is of this file.
        pub(crate) fn number(&self, frame: NonNull<u8>) -> Option<u32> {
            let distance = frame.addr().get().wrapping_sub(self.window.addr().get());
            (distance < WINDOW).then_some((distance / PAGE) as u32)
        }

        /// Gives the caller an extent of which it is going to use frame `index` first, or `None` where
        /// the file has no more. One for which any index is as good gets the last ones.
        pub(crate) fn take_extent(&self, index: Option<u32>) -> Option<u32> {
            /// Extents that were given back last, among which one is looked for that has the frame.
            const NEWEST: usize = 8;
            let mut extents = self.lock();
            let left = extents.free.len() as u32 + (EXTENTS - extents.fresh);
            if index.is_some() && left <= DENSE {
                return None;
            }
            let filled = |extent: u32| self.counters().filled[extent as usize].load(Ordering::Relaxed);
            let wanted = 1 << (index.unwrap_or(0) % EXTENT);
            let newest = extents.free.len().saturating_sub(NEWEST)..extents.free.len();
            let found = newest.rev().find(|&at| filled(extents.free[at]) & wanted != 0);
            let extent = match found {
                Some(at) => extents.free.swap_remove(at),
                None if let Some(extent) = extents.free.pop() => extent,
                None if extents.fresh < EXTENTS => {
                    extents.fresh += 1;
                    extents.fresh - 1
                }
                None => return None,
            };
            self.counters().extents[extent as usize].store(1, Ordering::Relaxed);
            Some(extent)
        }

        /// Ends what [`Self::take_extent`] began.
        pub(crate) fn give_extent(&self, extent: u32) {
            self.leave_extent(extent);
        }

        /// Takes one from an extent's frames in use and owners; the last one gives it back.
        fn leave_extent(&self, extent: u32) {
            if sharing::release(&self.counters().extents[extent as usize]) {
                self.lock().free.push(extent);
            }
        }

        /// Whether no frame of an extent of the caller's is in use.
        pub(crate) fn is_unused(&self, extent: u32) -> bool {
            self.counters().extents[extent as usize].load(Ordering::Acquire) == 1
        }

        /// Frame `index` of an extent of the caller's, with one reference; `None` if it is in use, or if
        /// the host has no memory for it.
        pub(crate) fn take(&self, extent: u32, index: u32) -> Option<NonNull<u8>> {
            let index = index % EXTENT;
            let number = (extent * EXTENT + index) % FRAMES;
            let count = &self.counters().frames[number as usize];
            count.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).ok()?;
            let filled = self.counters().filled[extent as usize].load(Ordering::Relaxed);
            if filled & 1 << index != 0 {
                self.idle.fetch_sub(1, Ordering::Relaxed);
            } else if !self.provide(extent, index, filled) {
                count.store(0, Ordering::Release);
                return None;
            }
            self.used.fetch_add(1, Ordering::Relaxed);
            self.counters().extents[extent as usize].fetch_add(1, Ordering::Relaxed);
            // SAFETY: the number is below the file's frames, so the frame lies in the window.
            Some(unsafe { self.window.add(number as usize * PAGE) })
        }

        /// Has the host provide memory for frame `index` of an extent of the caller's, and for as many
        /// behind it as lie filled before it. A host without memory says so here, where it would end the
        /// process when the frame is written to.
        fn provide(&self, extent: u32, index: u32, filled: u64) -> bool {
            let before = if index == 0 { 0 } else { (filled << (64 - index)).leading_ones() };
            let room = (filled >> index).trailing_zeros().min(EXTENT - index);
            let count = before.clamp(1, AHEAD).min(room);
            let first = (extent * EXTENT + index) as usize;
            // SAFETY: the range lies in the window. The frames are nobody's but the caller's, and
            // their content stays.
            let start = unsafe { self.window.add(first * PAGE) };
            // SAFETY: as above.
            let done =
                unsafe { madvise(start.as_ptr().cast(), count as usize * PAGE, Advice::LinuxPopulateWrite) };
            let provided = match done {
                Ok(()) => count,
                // Kernels before 5.14 do not know the call, and provide one page when it is written to.
                Err(Errno::INVAL) => 1,
                Err(_) => return false,
            };
            let bits = (u64::MAX >> (64 - provided)) << index;
            self.counters().filled[extent as usize].fetch_or(bits, Ordering::Relaxed);
            self.idle.fetch_add(provided as usize - 1, Ordering::Relaxed);
            true
        }

        /// Adds a reference to frame `number`, to which the caller holds one.
        pub(crate) fn retain(&self, number: u32) {
            sharing::retain(&self.counters().frames[number as usize]);
        }

        /// Whether the caller's reference to frame `number` is the only one.
        pub(crate) fn is_unique(&self, number: u32) -> bool {
            sharing::is_unique(&self.counters().frames[number as usize])
        }

        /// Gives up a reference to frame `number`, and says whether it was the last.
        pub(crate) fn release(&self, number: u32) -> bool {
            let last = sharing::release(&self.counters().frames[number as usize]);
            if last {
                let used = self.used.fetch_sub(1, Ordering::Relaxed) - 1;
                let idle = self.idle.fetch_add(1, Ordering::Relaxed) + 1;
                self.leave_extent(number / EXTENT);
                if idle > Self::most_idle(used) {
                    self.trim(Self::most_idle(used) / 2);
                }
            }
            last
        }

        /// Frames that may keep memory unused where `used` are in use.
        pub(crate) const fn most_idle(used: usize) -> usize {
            KEPT + used / 2
        }

        /// Frames in use, and frames that are not and have memory.
        pub(crate) fn usage(&self) -> (usize, usize) {
            (self.used.load(Ordering::Relaxed), self.idle.load(Ordering::Relaxed))
        }

        /// Gives memory of unused frames back to the host until at most `kept` have some: first that of
        /// extents that nobody owns. What is taken meanwhile, or given back by another thread, may stay.
        pub(crate) fn trim(&self, kept: usize) {
            let extents = match self.extents.try_lock() {
                Ok(extents) => extents,
                Err(TryLockError::Poisoned(extents)) => extents.into_inner(),
                // Another thread is at it, or at something short.
                Err(TryLockError::WouldBlock) => return,
            };
            for &extent in &extents.free {
                if self.idle.load(Ordering::Relaxed) <= kept {
                    return;
                }
                self.trim_extent(extent);
            }
            let fresh = extents.fresh;
            drop(extents);
            for extent in 0..fresh {
                if self.idle.load(Ordering::Relaxed) <= kept {
                    return;
                }
                self.trim_extent(extent);
            }
        }

        /// Gives the memory of an extent's unused frames back to the host, in runs.
        fn trim_extent(&self, extent: u32) {
            let filled = &self.counters().filled[extent as usize];
            let frame = |index: u32| &self.counters().frames[(extent * EXTENT + index) as usize];
            let has_memory = |index: u32| filled.load(Ordering::Relaxed) & 1 << index != 0;
            let claim = |index: u32| {
                let count = frame(index);
                if !has_memory(index)
                    || count.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err()
                {
                    return false;
                }
                // Another thread may have been here in between.
                let still = has_memory(index);
                if !still {
                    count.store(0, Ordering::Release);
                }
                still
            };
            let mut index = 0;
            while index < EXTENT {
                let count = (index..EXTENT).take_while(|&at| claim(at)).count() as u32;
                if count > 0 && self.punch(extent * EXTENT + index, count).is_ok() {
                    filled.fetch_and(!((u64::MAX >> (64 - count)) << index), Ordering::Relaxed);
                    self.idle.fetch_sub(count as usize, Ordering::Relaxed);
                }
                for claimed in index..index + count {
                    frame(claimed).store(0, Ordering::Release);
                }
                index += count + 1;
            }
        }

        /// Gives the memory of frames that nobody uses back to the host.
        fn punch(&self, first: u32, count: u32) -> rustix::io::Result<()> {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            fallocate(&self.file, flags, u64::from(first) * PAGE as u64, u64::from(count) * PAGE as u64)
        }

        /// The host's file.
        pub(crate) fn file(&self) -> BorrowedFd<'_> {
            self.file.as_fd()
        }
    }

    impl Drop for MemoryFile {
        fn drop(&mut self) {
            // SAFETY: `new` mapped exactly this, and nobody has a frame of it any more: whoever has
            // one keeps the file. A failure leaves the mapping in place, which is harmless.
            let _ = unsafe { munmap(self.window.as_ptr().cast(), LENGTH) };
        }
    }
}

#[cfg(not(all(feature = "std", target_os = "linux", target_pointer_width = "64")))]
mod host {
    use alloc::sync::Arc;
    use core::convert::Infallible;
    use core::ptr::NonNull;

    /// Hosts without memory files have no value of this type.
    pub(crate) struct MemoryFile(Infallible);

    /// Never opens.
    #[derive(Default)]
    pub(crate) struct LazyFile;

    impl LazyFile {
        pub(crate) fn get(&self) -> Option<&Arc<MemoryFile>> {
            None
        }

        pub(crate) fn open(&self) -> Option<&Arc<MemoryFile>> {
            None
        }
    }

    impl MemoryFile {
        pub(crate) fn number(&self, _frame: NonNull<u8>) -> Option<u32> {
            match self.0 {}
        }

        pub(crate) fn take_extent(&self, _index: Option<u32>) -> Option<u32> {
            match self.0 {}
        }

        pub(crate) fn give_extent(&self, _extent: u32) {
            match self.0 {}
        }

        pub(crate) fn is_unused(&self, _extent: u32) -> bool {
            match self.0 {}
        }

        pub(crate) fn take(&self, _extent: u32, _index: u32) -> Option<NonNull<u8>> {
            match self.0 {}
        }

        pub(crate) fn retain(&self, _number: u32) {
            match self.0 {}
        }

        pub(crate) fn is_unique(&self, _number: u32) -> bool {
            match self.0 {}
        }

        pub(crate) fn release(&self, _number: u32) -> bool {
            match self.0 {}
        }

        pub(crate) fn usage(&self) -> (usize, usize) {
            match self.0 {}
        }

        pub(crate) fn trim(&self, _kept: usize) {
            match self.0 {}
        }
    }
}
