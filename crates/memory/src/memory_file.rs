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

pub(crate) use host::MemoryFile;

/// Frames an extent.
pub(crate) const EXTENT: u32 = 64;

#[cfg(all(feature = "std", target_os = "linux", target_pointer_width = "64"))]
mod host {
    extern crate std;

    use alloc::sync::Arc;
    use alloc::vec::Vec;
    use core::alloc::Layout;
    use core::ptr::{self, NonNull};
    use core::sync::atomic::{AtomicU32, Ordering, fence};
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
    use std::sync::{Mutex, PoisonError};

    use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, ftruncate, memfd_create};
    use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
    use rustix::process::{Resource, getrlimit};

    use super::EXTENT;
    use crate::{PAGE_SIZE, zeroed};

    const PAGE: usize = PAGE_SIZE as usize;
    /// Frames of a file: sixteen guests of 4 GiB.
    const FRAMES: u32 = 1 << 24;
    const WINDOW: usize = FRAMES as usize * PAGE;
    const EXTENTS: u32 = FRAMES / EXTENT;
    /// Extents without an owner that keep their memory for the next one: 64 MiB.
    const KEPT: usize = 256;

    struct Counters {
        /// References to each frame.
        frames: [AtomicU32; FRAMES as usize],
        /// Frames of each extent that are in use, and one more while it has an owner.
        extents: [AtomicU32; EXTENTS as usize],
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
    }

    // SAFETY: the pointers are to mappings of this value's own that have no tie to a thread. The
    // counters are only reached as atomics; a frame's bytes are written by its only holder.
    unsafe impl Send for MemoryFile {}
    // SAFETY: as above; the list of extents has a lock.
    unsafe impl Sync for MemoryFile {}

    impl MemoryFile {
        /// A new file; `None` where the host refuses it, or limits the size of files.
        pub(crate) fn new() -> Option<Arc<Self>> {
            // A file that grows past the limit would end the process by a signal.
            if getrlimit(Resource::Fsize).current.is_some_and(|limit| limit < WINDOW as u64) {
                return None;
            }
            let file = memfd_create("pentimento", MemfdFlags::CLOEXEC).ok()?;
            ftruncate(&file, WINDOW as u64).ok()?;
            let access = ProtFlags::READ | ProtFlags::WRITE;
            let flags = MapFlags::SHARED | MapFlags::NORESERVE;
            // SAFETY: a new mapping at an address of the kernel's choice touches no memory that Rust
            // knows of.
            let window = unsafe { mmap(ptr::null_mut(), WINDOW, access, flags, &file, 0) };
            let window = NonNull::new(window.ok()?.cast::<u8>())?;
            let Some(counters) = zeroed::allocate(Layout::new::<Counters>()) else {
                // SAFETY: the window is new, and nobody else knows it.
                let _ = unsafe { munmap(window.as_ptr().cast(), WINDOW) };
                return None;
            };
            let extents = Mutex::new(Extents { fresh: 0, free: Vec::new() });
            Some(Arc::new(Self { file, window, counters: counters.cast(), extents }))
        }

        fn counters(&self) -> &Counters {
            // SAFETY: the block is zeroed, which is what atomics of zero are; it lives as long as this
            // value, and is only reached as atomics.
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

        /// Gives the caller an extent, or `None` where the file has no more.
        pub(crate) fn take_extent(&self) -> Option<u32> {
            let mut extents = self.lock();
            let extent = match extents.free.pop() {
                Some(extent) => extent,
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
            let count = &self.counters().extents[extent as usize];
            if count.fetch_sub(1, Ordering::Release) == 1 {
                fence(Ordering::Acquire);
                self.recycle(extent);
            }
        }

        /// Whether no frame of an extent of the caller's is in use.
        pub(crate) fn is_unused(&self, extent: u32) -> bool {
            self.counters().extents[extent as usize].load(Ordering::Acquire) == 1
        }

        fn recycle(&self, extent: u32) {
            let mut extents = self.lock();
            if extents.free.len() >= KEPT {
                // A refusal leaves the memory in place, which is harmless.
                let _ = self.punch(extent * EXTENT, EXTENT);
            }
            extents.free.push(extent);
        }

        /// Gives the memory of frames that nobody uses back to the host.
        fn punch(&self, first: u32, count: u32) -> rustix::io::Result<()> {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            fallocate(&self.file, flags, u64::from(first) * PAGE as u64, u64::from(count) * PAGE as u64)
        }

        /// Gives the memory of frames of an extent of the caller's that are not in use back.
        pub(crate) fn trim(&self, extent: u32) {
            let mut frame = extent * EXTENT;
            let end = frame + EXTENT;
            let unused = |at: u32| self.counters().frames[at as usize].load(Ordering::Acquire) == 0;
            while frame < end {
                let count = (frame..end).take_while(|at| unused(*at)).count() as u32;
                if count > 0 {
                    // A refusal leaves the memory in place, which is harmless.
                    let _ = self.punch(frame, count);
                }
                frame += count + 1;
            }
        }

        /// Frame `index` of an extent of the caller's, with one reference; `None` if it is in use.
        pub(crate) fn take(&self, extent: u32, index: u32) -> Option<NonNull<u8>> {
            let number = (extent * EXTENT + index % EXTENT) % FRAMES;
            let count = &self.counters().frames[number as usize];
            count.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).ok()?;
            self.counters().extents[extent as usize].fetch_add(1, Ordering::Relaxed);
            // SAFETY: the number is below the file's frames, so the frame lies in the window.
            Some(unsafe { self.window.add(number as usize * PAGE) })
        }

        /// Adds a reference to frame `number`, to which the caller holds one.
        pub(crate) fn retain(&self, number: u32) {
            self.counters().frames[number as usize].fetch_add(1, Ordering::Relaxed);
        }

        /// Whether the caller's reference to frame `number` is the only one.
        pub(crate) fn is_unique(&self, number: u32) -> bool {
            self.counters().frames[number as usize].load(Ordering::Acquire) == 1
        }

        /// Gives up a reference to frame `number`, and says whether it was the last.
        pub(crate) fn release(&self, number: u32) -> bool {
            let last = self.counters().frames[number as usize].fetch_sub(1, Ordering::Release) == 1;
            if last {
                fence(Ordering::Acquire);
                self.give_extent(number / EXTENT);
            }
            last
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
            let _ = unsafe { munmap(self.window.as_ptr().cast(), WINDOW) };
            // SAFETY: `new` got it from there with this layout.
            unsafe { zeroed::free(self.counters.cast(), Layout::new::<Counters>()) };
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

    impl MemoryFile {
        pub(crate) fn new() -> Option<Arc<Self>> {
            None
        }

        pub(crate) fn number(&self, _frame: NonNull<u8>) -> Option<u32> {
            match self.0 {}
        }

        pub(crate) fn take_extent(&self) -> Option<u32> {
            match self.0 {}
        }

        pub(crate) fn give_extent(&self, _extent: u32) {
            match self.0 {}
        }

        pub(crate) fn is_unused(&self, _extent: u32) -> bool {
            match self.0 {}
        }

        pub(crate) fn trim(&self, _extent: u32) {
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
    }
}
