//! The reserved backing: 4 GiB of host addresses in which the pages of a guest are mapped in place, so
//! that guest address plus base is the host's.
//!
//! A reservation shows what the page table says, and never more: [`shown`] is the one function that
//! derives the host's mapping of a page from its entry. It follows with a delay. Entries that changed are
//! noted, and [`Reservation::follow`] brings the host up to date, run by run, before anybody relies on it.
//!
//! The host grants a process a limited number of mappings, so those of all reservations are counted, for
//! the process and for each machine. A reservation that was not asked for lately is taken back when another
//! space of its machine is short of mappings: then it shows nothing, which is at most slow, and its space
//! finds out when it asks.

use crate::PAGE_SIZE;
use crate::entry::{Entry, READ_FAST, WRITE_FAST};
use crate::frame::zero_page;

pub(crate) use host::{Reservation, Reservations};

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

/// Whether a page with word `next` can be part of one mapping with the page with word `first` that
/// lies `distance` pages before it.
pub(crate) fn continues(first: usize, distance: usize, next: usize) -> bool {
    next == if is_file(first) { first + distance * PAGE_SIZE as usize } else { first }
}

/// Whether a word shows a frame of a file.
fn is_file(word: usize) -> bool {
    word != 0 && word & !(PAGE_SIZE as usize - 1) != zero_page().addr()
}

#[cfg(all(feature = "std", target_os = "linux", target_pointer_width = "64"))]
mod host {
    extern crate std;

    use alloc::sync::Arc;
    use alloc::vec::Vec;
    use core::alloc::Layout;
    use core::cell::{Cell, RefCell};
    use core::ffi::c_void;
    use core::ops::Range;
    use core::ptr::{self, NonNull};
    use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap, mmap_anonymous, mprotect, munmap};

    use super::{continues, is_file};
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
    /// Host mappings of a reservation that shows nothing, its guards among them.
    const EMPTY: usize = 2;
    /// A reservation is idle when others of its machine were asked for this often since it was.
    const IDLE: u64 = 32;

    /// Host mappings that all reservations have.
    static MAPPINGS: AtomicUsize = AtomicUsize::new(0);

    /// The host refuses a mapping, or there are too many: the space has to do without a reservation.
    #[derive(Debug)]
    pub(crate) struct Refused;

    type Shown = [Cell<usize>; PAGES as usize];

    /// The reservations of one machine.
    #[derive(Clone)]
    pub(crate) struct Reservations {
        machine: Arc<Machine>,
    }

    struct Machine {
        /// Host mappings of its reservations, and how many they may have.
        mappings: AtomicUsize,
        most: AtomicUsize,
        /// Advances when a reservation is asked for.
        clock: AtomicU64,
        places: Mutex<Vec<Arc<Place>>>,
    }

    /// A reservation as others of its machine see it.
    struct Place {
        base: NonNull<u8>,
        /// Its host mappings.
        mappings: AtomicUsize,
        /// When it was last asked for.
        asked: AtomicU64,
        /// Somebody else needed its mappings, and it shows nothing any more.
        taken: AtomicBool,
        /// Held by who changes what it shows.
        showing: Mutex<()>,
    }

    // SAFETY: the pointer is to a mapping without a tie to a thread; what is behind it is mapped anew by
    // who holds the lock, and never read or written through it.
    unsafe impl Send for Place {}
    // SAFETY: as above; the rest is atomics.
    unsafe impl Sync for Place {}

    impl Default for Reservations {
        fn default() -> Self {
            let machine = Machine {
                mappings: AtomicUsize::new(0),
                most: AtomicUsize::new(MOST_MAPPINGS),
                clock: AtomicU64::new(0),
                places: Mutex::default(),
            };
            Self { machine: Arc::new(machine) }
        }
    }

    impl Reservations {
        /// Limits the host mappings of the machine's reservations from now on.
        pub(crate) fn set_limit(&self, most: usize) {
            self.machine.most.store(most.min(MOST_MAPPINGS), Ordering::Relaxed);
        }

        /// Host mappings that its reservations may have in addition.
        pub(crate) fn left(&self) -> usize {
            let machine = &self.machine;
            let own =
                machine.most.load(Ordering::Relaxed).saturating_sub(machine.mappings.load(Ordering::Relaxed));
            own.min(MOST_MAPPINGS.saturating_sub(MAPPINGS.load(Ordering::Relaxed)))
        }

        fn places(&self) -> MutexGuard<'_, Vec<Arc<Place>>> {
            self.machine.places.lock().unwrap_or_else(PoisonError::into_inner)
        }

        /// The time, which advances.
        fn now(&self) -> u64 {
            self.machine.clock.fetch_add(1, Ordering::Relaxed)
        }

        /// Sees to it that there are `wanted` mappings more, and says whether there are: takes idle
        /// reservations back, the one first that was not asked for the longest.
        fn make_room(&self, wanted: usize) -> bool {
            if self.left() >= wanted {
                return true;
            }
            let now = self.now();
            let places = self.places();
            let age = |place: &Place| now.saturating_sub(place.asked.load(Ordering::Relaxed));
            let idle = |place: &&Arc<Place>| !place.taken.load(Ordering::Relaxed) && age(place) >= IDLE;
            while self.left() < wanted {
                let oldest = places.iter().filter(idle).max_by_key(|place| age(place));
                if !oldest.is_some_and(|place| self.take_back(place)) {
                    return false;
                }
            }
            true
        }

        /// Has a reservation show nothing, and says whether it could be done.
        fn take_back(&self, place: &Place) -> bool {
            let Ok(_showing) = place.showing.try_lock() else { return false };
            let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED;
            // SAFETY: the place is in the list, so its reservation is there; nobody holds a reference into
            // it, and translated code that runs in it gets faults, as it does for any page not shown.
            let done =
                unsafe { mmap_anonymous(place.base.as_ptr().cast(), SPACE, ProtFlags::empty(), flags) };
            if done.is_err() {
                return false;
            }
            place.taken.store(true, Ordering::Release);
            self.count(place, place.mappings.load(Ordering::Relaxed), EMPTY);
            true
        }

        /// Counts that a reservation has `after` mappings where it had `before`.
        fn count(&self, place: &Place, before: usize, after: usize) {
            for count in [&place.mappings, &self.machine.mappings, &MAPPINGS] {
                count.fetch_add(after, Ordering::Relaxed);
                count.fetch_sub(before, Ordering::Relaxed);
            }
        }
    }

    /// The host addresses of one guest.
    pub(crate) struct Reservation {
        place: Arc<Place>,
        machine: Reservations,
        /// What each page shows.
        shown: NonNull<Shown>,
        stale: RefCell<Vec<u32>>,
    }

    impl Reservation {
        /// Reserves, for a space that is going to want `mappings` host mappings; `None` where the host
        /// refuses (address-space limits, larger pages), or so many are not left.
        pub(crate) fn new(machine: &Reservations, mappings: usize) -> Option<Self> {
            if !machine.make_room(mappings + EMPTY) {
                return None;
            }
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
            let place = Arc::new(Place {
                base,
                mappings: AtomicUsize::new(0),
                asked: AtomicU64::new(machine.now()),
                taken: AtomicBool::new(false),
                showing: Mutex::new(()),
            });
            machine.count(&place, 0, EMPTY);
            machine.places().push(place.clone());
            let reservation =
                Self { place, machine: machine.clone(), shown: shown.cast(), stale: RefCell::default() };
            // A host whose pages are larger than the guest's has no way to map one of them.
            // SAFETY: the page is the reservation's own, and shows nothing yet.
            unsafe { mprotect(reservation.address(1), PAGE, MprotectFlags::empty()) }.ok()?;
            Some(reservation)
        }

        /// Host mappings that it has.
        pub(crate) fn mappings(&self) -> usize {
            self.place.mappings.load(Ordering::Relaxed)
        }

        /// Somebody else needed the mappings: the reservation shows nothing, for good.
        #[inline]
        pub(crate) fn is_taken(&self) -> bool {
            self.place.taken.load(Ordering::Acquire)
        }

        /// Notes that somebody asks for it.
        #[inline]
        pub(crate) fn note_asked(&self) {
            self.place.asked.store(self.machine.now(), Ordering::Relaxed);
        }

        /// The first byte of the guest.
        pub(crate) fn base(&self) -> NonNull<u8> {
            self.place.base
        }

        fn address(&self, page: u32) -> *mut c_void {
            self.place.base.as_ptr().wrapping_add((page % PAGES) as usize * PAGE).cast()
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
            let place = self.place.clone();
            let _showing = place.showing.lock().unwrap_or_else(PoisonError::into_inner);
            if self.is_taken() {
                return Err(Refused);
            }
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
            if !self.machine.make_room(2) {
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
            self.machine.count(&self.place, before, self.breaks_in(&run));
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

    impl Drop for Reservation {
        fn drop(&mut self) {
            self.machine.places().retain(|place| !Arc::ptr_eq(place, &self.place));
            self.machine.count(&self.place, self.mappings(), 0);
            // SAFETY: `new` mapped exactly this, its only owner is being dropped, and nobody finds it in
            // the list any more. A failure leaves the mapping in place, which is harmless.
            let _ = unsafe { munmap(self.place.base.sub(GUARD).as_ptr().cast(), SPACE + 2 * GUARD) };
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

    /// The reservations of one machine: none.
    #[derive(Clone, Default)]
    pub(crate) struct Reservations;

    impl Reservations {
        pub(crate) fn set_limit(&self, _most: usize) {}

        pub(crate) fn left(&self) -> usize {
            0
        }
    }

    /// Hosts without reservations have no value of this type.
    pub(crate) struct Reservation(Infallible);

    impl Reservation {
        pub(crate) fn new(_machine: &Reservations, _mappings: usize) -> Option<Self> {
            None
        }

        pub(crate) fn mappings(&self) -> usize {
            match self.0 {}
        }

        pub(crate) fn is_taken(&self) -> bool {
            match self.0 {}
        }

        pub(crate) fn note_asked(&self) {
            match self.0 {}
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
