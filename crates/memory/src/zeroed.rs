//! Large arrays of zeros, of which only a little is ever touched.
//!
//! They come from the operating system itself. An allocator that is asked a second time may have the
//! first array's memory back and clear all of it: for the page table of a short-lived process that
//! is thousands of times what it touches, in time and in memory.

use core::alloc::Layout;
use core::ptr::NonNull;

#[cfg(all(feature = "std", unix, target_pointer_width = "64"))]
pub(crate) fn allocate(layout: Layout) -> Option<NonNull<u8>> {
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
    let access = ProtFlags::READ | ProtFlags::WRITE;
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: a new private mapping at an address of the kernel's choice touches no memory that Rust
    // knows of.
    let start = unsafe { mmap_anonymous(core::ptr::null_mut(), layout.size(), access, flags) };
    NonNull::new(start.ok()?.cast())
}

/// Gives an array back.
///
/// # Safety
/// It came from [`allocate`] with this layout, and nothing uses it any more.
#[cfg(all(feature = "std", unix, target_pointer_width = "64"))]
pub(crate) unsafe fn free(start: NonNull<u8>, layout: Layout) {
    // SAFETY: `allocate` mapped exactly this. A failure leaves the mapping in place, which is harmless.
    let _ = unsafe { rustix::mm::munmap(start.as_ptr().cast(), layout.size()) };
}

#[cfg(not(all(feature = "std", unix, target_pointer_width = "64")))]
pub(crate) fn allocate(layout: Layout) -> Option<NonNull<u8>> {
    // SAFETY: nobody asks for an array of no bytes.
    NonNull::new(unsafe { alloc::alloc::alloc_zeroed(layout) })
}

/// Gives an array back.
///
/// # Safety
/// It came from [`allocate`] with this layout, and nothing uses it any more.
#[cfg(not(all(feature = "std", unix, target_pointer_width = "64")))]
pub(crate) unsafe fn free(start: NonNull<u8>, layout: Layout) {
    // SAFETY: the caller's promise.
    unsafe { alloc::alloc::dealloc(start.as_ptr(), layout) };
}
