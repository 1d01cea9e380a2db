//! The reserved backing: 4 GiB of host addresses, so that guest address plus base is the host's.

pub(crate) use host::Reservation;

#[cfg(all(feature = "std", unix, target_pointer_width = "64"))]
mod host {
    use core::ptr::{self, NonNull};

    use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

    use crate::PAGE_SIZE;

    const PAGE: usize = PAGE_SIZE as usize;
    const SPACE: usize = 1 << 32;
    /// Unreadable bytes on either side, enough for any host access that starts inside.
    const GUARD: usize = 64 * 1024;

    /// The host addresses of one guest. All of them can be written: permissions are the page
    /// table's business, and untouched pages cost nothing.
    pub(crate) struct Reservation {
        base: NonNull<u8>,
    }

    impl Reservation {
        /// Reserves; `None` where the host refuses (address-space limits, strict overcommit).
        pub(crate) fn new() -> Option<Self> {
            let access = ProtFlags::READ | ProtFlags::WRITE;
            let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
            // SAFETY: a new private mapping at an address of the kernel's choice touches no memory
            // that Rust knows of.
            let start = unsafe { mmap_anonymous(ptr::null_mut(), SPACE + 2 * GUARD, access, flags) };
            // SAFETY: the guard below the base is part of the mapping.
            let base = unsafe { NonNull::new(start.ok()?.cast::<u8>())?.add(GUARD) };
            let reservation = Self { base };
            // Two short changes: a change of 4 GiB costs a walk over them.
            // SAFETY: the guards are part of the new mapping, which nobody else knows yet.
            unsafe {
                mprotect(base.sub(GUARD).as_ptr().cast(), GUARD, MprotectFlags::empty()).ok()?;
                mprotect(base.add(SPACE).as_ptr().cast(), GUARD, MprotectFlags::empty()).ok()?;
            }
            Some(reservation)
        }

        /// The first byte of the guest.
        pub(crate) fn base(&self) -> NonNull<u8> {
            self.base
        }

        /// The host page of guest page `page`.
        pub(crate) fn frame(&self, page: u32) -> NonNull<u8> {
            // SAFETY: the offset is below 4 GiB, the reservation's length.
            unsafe { self.base.add((page as usize * PAGE) % SPACE) }
        }

        /// Makes pages `first..end` read as zero and gives long runs of them back to the host.
        ///
        /// # Safety
        /// Nobody holds a reference into those pages.
        pub(crate) unsafe fn clear(&self, first: u32, end: u32) {
            const WORTH_A_SYSTEM_CALL: u32 = 8;
            let start = self.frame(first);
            let length = end.saturating_sub(first) as usize * PAGE;
            if end.saturating_sub(first) >= WORTH_A_SYSTEM_CALL {
                let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED;
                let access = ProtFlags::READ | ProtFlags::WRITE;
                // SAFETY: the range lies within the reservation, which this value owns.
                if unsafe { mmap_anonymous(start.as_ptr().cast(), length, access, flags) }.is_ok() {
                    return;
                }
            }
            // SAFETY: the range lies within the reservation and can be written.
            unsafe { start.write_bytes(0, length) };
        }
    }

    impl Drop for Reservation {
        fn drop(&mut self) {
            // SAFETY: `new` mapped exactly this, and its only owner is being dropped. A failure
            // leaves the mapping in place, which is harmless.
            let _ = unsafe { munmap(self.base.sub(GUARD).as_ptr().cast(), SPACE + 2 * GUARD) };
        }
    }
}

#[cfg(not(all(feature = "std", unix, target_pointer_width = "64")))]
mod host {
    use core::convert::Infallible;
    use core::ptr::NonNull;

    /// Hosts without reservations have no value of this type.
    pub(crate) struct Reservation(Infallible);

    impl Reservation {
        pub(crate) fn new() -> Option<Self> {
            None
        }

        pub(crate) fn base(&self) -> NonNull<u8> {
            match self.0 {}
        }

        pub(crate) fn frame(&self, _page: u32) -> NonNull<u8> {
            match self.0 {}
        }

        /// # Safety
        /// None: it cannot be called.
        pub(crate) unsafe fn clear(&self, _first: u32, _end: u32) {
            match self.0 {}
        }
    }
}
