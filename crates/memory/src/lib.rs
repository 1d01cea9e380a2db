//! A guest's 4 GiB address space.
//!
//! [`AddressSpace`] maps 4 KiB pages with separate read, write and execute permissions. Every
//! access is checked, and one that crosses a page is checked on both sides before a byte moves.
//! What the memory holds is up to others: this crate knows neither instructions nor Linux.
//!
//! ```
//! use pentimento_memory::{AddressSpace, FaultKind, Permissions};
//!
//! let mut memory = AddressSpace::new();
//! memory.map(0x1000, 0x2000, Permissions::READ | Permissions::WRITE)?;
//! memory.write(0x1ffe, 0x1234_5678u32)?; // across two pages
//! assert_eq!(memory.read::<u16>(0x2000)?, 0x1234);
//!
//! let before = memory.snapshot();
//! memory.protect(0x2000, 0x1000, Permissions::READ)?;
//! let fault = memory.write(0x1ffe, 0u32).unwrap_err();
//! assert_eq!((fault.address, fault.kind), (0x2000, FaultKind::Protected));
//! memory.restore(before)?;
//! memory.write(0x1ffe, 0u32)?;
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! # How an access works
//!
//! A two-level page table has one word a page: a host pointer, and in its twelve low bits what the page
//! is. Two of the bits say that loads and stores need no more than the pointer, so an engine's
//! access is two table loads, two compares and the access itself. Whatever is out of the ordinary
//! clears those bits, so that only the slow path knows of it: devices, pages without a frame, pages
//! shared with a fork or a snapshot, the first store since [`AddressSpace::clear_dirty`], and pages
//! of which an engine has translated code (see [`engine`]).
//!
//! # Two backings
//!
//! [`Backing::Paged`] is for every host: page frames lie anywhere, and the page table says where.
//! [`Backing::Reserved`] (64-bit Linux hosts, feature `std`) maps them a second time in a reservation of
//! 4 GiB of host addresses, where what is at guest address *a* is at host address base + *a*: see
//! [`engine::reservation`]. A space goes from one to the other at any time ([`AddressSpace::reserve`]),
//! and they behave alike. Frames of either are taken as pages are first written, from the heap or from a
//! file of the host's memory; spaces of one machine share a [`FrameSource`].
//!
//! # Features
//!
//! `std` (default): the reserved backing. Without it the crate is `no_std` with `alloc`.
#![no_std]

extern crate alloc;

/// What `sharing` is made of: the host's atomics, and loom's in the test of its interleavings.
mod atomic {
    pub(crate) use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
}

mod block;
mod bytes;
mod code;
mod device;
pub mod engine;
mod entry;
mod fork;
mod forks;
mod frame;
mod identity;
mod in_place;
mod load_store;
mod marks;
mod memory_file;
mod ownership;
mod permissions;
mod region;
mod reserved;
mod shared;
mod sharing;
mod snapshot;
mod source;
mod space;
mod special;
mod table;
mod tracking;
mod undo;
mod value;
mod watch;
mod zeroed;

pub use block::BlockFault;
pub use device::MmioHandler;
pub use permissions::{Access, Fault, FaultKind, MapError, Permissions};
pub use region::{Region, RegionKind};
pub use shared::{SharedError, SharedImage, SharedMemory};
pub use snapshot::{NoSuchSnapshot, SnapshotId};
pub use source::FrameSource;
pub use space::{AddressSpace, Backing};
pub use value::Value;
pub use watch::WatchHit;

/// Bytes a page.
pub const PAGE_SIZE: u32 = 4096;
