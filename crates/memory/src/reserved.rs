//! The reserved backing: 4 GiB of host addresses in which the pages of a guest are mapped in place, so
//! that guest address plus base is the host's.
//!
//! A reservation shows what the page table says, and never more: [`shown`] is the one function that
//! derives the host's mapping of a page from its entry. It follows with a delay. Entries that changed are
//! noted, and [`Reservation::follow`] brings the host up to date, run by run, before anybody relies on it.

use crate::entry::{Entry, READ_FAST, WRITE_FAST};

pub(crate) use host::Reservation;

/// What a host page of a reservation shows, as a word: the frame's address and, of the bits of an entry,
/// `READ_FAST` and `WRITE_FAST`; zero for nothing.
///
/// Loads and stores that need no more than the pointer are those that the host can do alone. So
/// whatever clears an entry's fast bits takes the host's permission, too: the guest's permissions,
/// translated code, snapshots, watches, the record of written pages, frames that forks share, shared
/// objects that are not held. The host knows no page that can be stored to and not loaded from.
pub(crate) fn shown(entry: Entry) -> usize {
    if entry.has(READ_FAST) { entry.frame().addr() | entry.bits() & (READ_FAST | WRITE_FAST) } else { 0 }
}

#[cfg(all(feature = "std", target_os = "linux", target_pointer_width = "64"))]
mod host {
    use alloc::vec::Vec;
    use core::alloc::Layout;
    use core::cell::{Cell, RefCell};
    use core::ffi::c_void;
    use core::ops::Range;
    use core::ptr::{self, NonNull};
    use core::sync::atomic::{AtomicUsize, Ordering};

    use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap, mmap_anonymous, mprotect, munmap};

    use crate::entry::{READ_FAST, WRITE_FAST};
    use crate::frame::zero_page;
    use crate::memory_file::MemoryFile;
    use crate::table::PAGES;
    use crate::{PAGE_SIZE, zeroed};

    const PAGE: usize = PAGE_SIZE as usize;
    const SPACE: usize = 1 << 32;
    /// Unreadable bytes on either side, enough for any host access that starts inside.
    const GUARD: usize = 64 * 1024;
    /// The entry of the page changed, and the page is in the list of those that did.
    const STALE: usize = 1 << 2;

    /// Host mappings that all reservations of this process may have. Linux grants a process 65,530 by
    /// default (`vm.max_map_count`), and half of them are left to the program that we are part of.
    const MOST_MAPPINGS: usize = 32_000;

    /// Host mappings that all reservations have.
    static MAPPINGS: AtomicUsize = AtomicUsize::new(0);

    /// The host refuses a mapping, or there are too many: the space has to do without a reservation.
    #[derive(Debug)]
    pub(crate) struct Refused;

    type Shown = [Cell<usize>; PAGES as usize];

    /// The host addresses of one guest.
    pub(crate) struct Reservation {
        base: NonNull<u8>,
        /// What each page shows.
        shown: NonNull<Shown>,
        stale: RefCell<Vec<u32>>,
        /// Places where one page shows something else than the one before.
        breaks: usize,
    }

    impl Reservation {
        /// Reserves; `None` where the host refuses (address-space limits, larger pages).
        pub(crate) fn new() -> Option<Self> {
            let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
            // SAFETY: a new private mapping at an address of the kernel's choice touches no memory
            // that Rust knows of.
            let start =
                unsafe { mmap_anonymous(ptr::null_mut(), SPACE + 2 * GUARD, ProtFlags::empty(), flags) };
            // SAFETY: the guard below the base is part of the mapping.
            let base = unsafe { NonNull::new(start.ok()?.cast::<u8>())?.add(GUARD) };
            let Some(shown) = zeroed::allocate(Layout::new::<Shown>()) else {
                // SAFETY: the mapping is new, and nobody else knows it.
                let _ = unsafe { munmap(base.sub(GUARD).as_ptr().cast(), SPACE + 2 * GUARD) };
                return None;
            };
            MAPPINGS.fetch_add(2, Ordering::Relaxed);
            let reservation = Self { base, shown: shown.cast(), stale: RefCell::default(), breaks: 0 };
            // A host whose pages are larger than the guest's has no way to map one of them.
            // SAFETY: the page is the reservation's own, and shows nothing yet.
            unsafe { mprotect(reservation.address(1), PAGE, MprotectFlags::empty()) }.ok()?;
            Some(reservation)
        }

        /// The first byte of the guest.
        pub(crate) fn base(&self) -> NonNull<u8> {
            self.base
        }

        fn address(&self, page: u32) -> *mut c_void {
            self.base.as_ptr().wrapping_add((page % PAGES) as usize * PAGE).cast()
        }

        fn word(&self, page: u32) -> &Cell<usize> {
            // SAFETY: the array lives as long as this value, and zeros are what it starts from.
            let shown = unsafe { self.shown.as_ref() };
            &shown[(page % PAGES) as usize]
        }

        /// Notes that the entry of `page` changed.
        pub(crate) fn note(&self, page: u32) {
            let word = self.word(page);
            if word.get() & STALE == 0 {
                word.set(word.get() | STALE);
                self.stale.borrow_mut().push(page);
            }
        }

        /// The pages noted since the last call, in ascending order.
        pub(crate) fn take_stale(&self) -> Vec<u32> {
            let mut stale = self.stale.take();
            for page in &stale {
                self.word(*page).set(self.word(*page).get() & !STALE);
            }
            stale.sort_unstable();
            stale
        }

        /// Makes each of `pages`, in ascending order, show what goes with it; frames outside `file`
        /// are not shown.
        pub(crate) fn follow(&mut self, pages: &[(u32, usize)], file: &MemoryFile) -> Result<(), Refused> {
            let visible = |word: usize| {
                let frame = NonNull::new(ptr::without_provenance_mut::<u8>(word & !(PAGE - 1)));
                let known = frame.is_some_and(|frame| {
                    file.number(frame).is_some() || frame.addr().get() == zero_page().addr()
                });
                if known { word } else { 0 }
            };
            let mut run: Range<u32> = 0..0;
            let mut word = 0;
            for &(page, wanted) in pages {
                let wanted = visible(wanted);
                let goes_on = page == run.end && continues(word, (run.end - run.start) as usize, wanted);
                if !goes_on {
                    self.show(run, word, file)?;
                    (run, word) = (page..page, wanted);
                }
                run.end = page + 1;
            }
            self.show(run, word, file)
        }

        /// Makes a run of pages show the frames from that of `word` on.
        fn show(&mut self, run: Range<u32>, word: usize, file: &MemoryFile) -> Result<(), Refused> {
            let bits = word & (READ_FAST | WRITE_FAST);
            let frame = move |index: u32| if is_file(word) { word + index as usize * PAGE } else { word };
            let old = |page: u32| self.word(page).get() & !STALE;
            if run.clone().all(|page| old(page) == frame(page - run.start)) {
                return Ok(());
            }
            let before = self.breaks_in(&run);
            // A run may split what is there in three.
            if MAPPINGS.load(Ordering::Relaxed) + 2 > MOST_MAPPINGS {
                return Err(Refused);
            }
            let same =
                run.clone().all(|page| old(page) & !(PAGE - 1) == frame(page - run.start) & !(PAGE - 1));
            let length = run.len() * PAGE;
            let at = self.address(run.start);
            let access = match bits {
                0 => ProtFlags::empty(),
                READ_FAST => ProtFlags::READ,
                _ => ProtFlags::READ | ProtFlags::WRITE,
            };
            // Frames have memory already: the host may as well enter them all now, at a tenth of the time
            // that it takes to enter them one after another when they are touched.
            let shared = MapFlags::SHARED | MapFlags::NORESERVE | MapFlags::FIXED | MapFlags::POPULATE;
            let private = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED;
            let number = NonNull::new(ptr::without_provenance_mut::<u8>(word & !(PAGE - 1)))
                .and_then(|frame| file.number(frame));
            // SAFETY: the run lies within the reservation, which this value owns, and nobody holds a
            // reference into it; the file has the frames of the run.
            let done = unsafe {
                match number {
                    Some(_) if same => mprotect(at, length, MprotectFlags::from_bits_retain(access.bits())),
                    Some(number) => {
                        let offset = u64::from(number) * PAGE as u64;
                        mmap(at, length, access, shared, file.file(), offset).map(|_| ())
                    }
                    // Nothing, or zeros, which are never stored to.
                    None => mmap_anonymous(at, length, access, private).map(|_| ()),
                }
            };
            done.map_err(|_| Refused)?;
            for page in run.clone() {
                let stale = self.word(page).get() & STALE;
                self.word(page).set(frame(page - run.start) | stale);
            }
            let after = self.breaks_in(&run);
            self.breaks = self.breaks + after - before;
            MAPPINGS.fetch_add(after, Ordering::Relaxed);
            MAPPINGS.fetch_sub(before, Ordering::Relaxed);
            Ok(())
        }

        /// Places in and at the ends of a run where the host needs another mapping.
        fn breaks_in(&self, run: &Range<u32>) -> usize {
            let word = |page: u32| self.word(page).get() & !STALE;
            (run.start.max(1)..(run.end + 1).min(PAGES))
                .filter(|page| !continues(word(page - 1), 1, word(*page)))
                .count()
        }
    }

    /// Whether a word shows a frame of a file.
    fn is_file(word: usize) -> bool {
        word != 0 && word & !(PAGE - 1) != zero_page().addr()
    }

    /// Whether a page with word `next` can be part of one mapping with the page with word `first` that
    /// lies `distance` pages before it.
    fn continues(first: usize, distance: usize, next: usize) -> bool {
        next == if is_file(first) { first + distance * PAGE } else { first }
    }

    impl Drop for Reservation {
        fn drop(&mut self) {
            MAPPINGS.fetch_sub(self.breaks + 2, Ordering::Relaxed);
            // SAFETY: `new` mapped exactly this, and its only owner is being dropped. A failure
            // leaves the mapping in place, which is harmless.
            let _ = unsafe { munmap(self.base.sub(GUARD).as_ptr().cast(), SPACE + 2 * GUARD) };
            // SAFETY: `new` got it from there with this layout.
            unsafe { zeroed::free(self.shown.cast(), Layout::new::<Shown>()) };
        }
    }
}

#[cfg(not(all(feature = "std", target_os = "linux", target_pointer_width = "64")))]
mod host {
    use alloc::vec::Vec;
    use core::convert::Infallible;
    use core::ptr::NonNull;

    use crate::memory_file::MemoryFile;

    /// The host refuses a mapping.
    #[derive(Debug)]
    pub(crate) struct Refused;

    /// Hosts without reservations have no value of this type.
    pub(crate) struct Reservation(Infallible);

    impl Reservation {
        pub(crate) fn new() -> Option<Self> {
            None
        }

        pub(crate) fn base(&self) -> NonNull<u8> {
            match self.0 {}
        }

        pub(crate) fn note(&self, _page: u32) {
            match self.0 {}
        }

        pub(crate) fn take_stale(&self) -> Vec<u32> {
            match self.0 {}
        }

        pub(crate) fn follow(&mut self, _pages: &[(u32, usize)], _file: &MemoryFile) -> Result<(), Refused> {
            match self.0 {}
        }
    }
}
