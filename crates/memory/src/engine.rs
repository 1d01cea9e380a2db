//! For engines: which translated code was written to, and fast access to memory.
//!
//! An engine that keeps what it made of a guest's code (decoded, translated) has a [`CodeReader`] for
//! the address space that the code is in. It says what bytes it keeps something of, and learns when
//! they change: through this mapping of them or another one, by this space, another one or a call on a
//! [`SharedMemory`](crate::SharedMemory), by a restored snapshot or a new mapping. A store to other
//! bytes of the same page is none of its business.
//!
//! Any number of readers can watch one space, each with a place of its own in the record of writes:
//! nothing that one does, and nothing that a host does to the address space, makes another one miss a
//! write. An engine that meets another space than it knew gets to know that, too, because a space's
//! [identity](AddressSpace::identity) is never used twice.
//!
//! ```
//! use pentimento_memory::engine::{CodeChanges, CodeReader, CodeWrite};
//! use pentimento_memory::{AddressSpace, Permissions, SharedMemory};
//!
//! let object = SharedMemory::new(4096)?;
//! let mut space = AddressSpace::new();
//! space.map_shared(0x1000, 4096, Permissions::READ | Permissions::WRITE, &object, 0)?;
//! space.map_shared(0x8000, 4096, Permissions::READ | Permissions::EXECUTE, &object, 0)?;
//! let mut reader = CodeReader::new();
//! assert_eq!(reader.catch_up(&mut space), CodeChanges::Everything); // it knew no space before
//! assert!(reader.watch(&mut space, 0x8010, 5));
//!
//! space.write(0x1020, 1u32)?;
//! assert!(reader.is_current(&space));
//! space.write(0x1010, 1u32)?;
//! assert!(!reader.is_current(&space));
//! let write = CodeWrite { address: 0x8010, length: 4 };
//! assert_eq!(reader.catch_up(&mut space), CodeChanges::Writes(vec![write]));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

use alloc::vec::Vec;

use crate::identity::unique;
pub use crate::marks::CodeWrite;
use crate::{AddressSpace, PAGE_SIZE};

/// What happened to translated code since a reader looked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CodeChanges {
    /// Anything: it is another address space, or the reader is further behind than the record goes.
    Everything,
    /// These writes, oldest first, and no others. Adjacent ones may be one.
    Writes(Vec<CodeWrite>),
}

/// An engine's place in an address space's record of writes to translated code.
#[derive(Debug)]
pub struct CodeReader {
    id: u64,
    /// The identity of the space; zero before the first.
    space: u64,
    generation: u64,
    /// The number of the newest write that it knows.
    seen: u64,
}

impl Default for CodeReader {
    fn default() -> Self {
        Self::new()
    }
}

impl CodeReader {
    /// A reader that knows no space yet.
    #[must_use]
    pub fn new() -> Self {
        Self { id: unique(), space: 0, generation: 0, seen: 0 }
    }

    /// Whether `space` is the one that the reader knows, and no translated code was written to since
    /// it last [caught up](Self::catch_up). An engine asks before it begins to run, and where it goes on
    /// without a break compares [`generation`] behind everything that may have stored slowly.
    #[inline]
    #[must_use]
    pub fn is_current(&self, space: &AddressSpace) -> bool {
        self.space == space.identity && self.generation == generation(space) && !space.code.is_behind()
    }

    /// Whether `space` is the one that the reader knows.
    #[must_use]
    pub fn knows(&self, space: &AddressSpace) -> bool {
        self.space == space.identity
    }

    /// The [`generation`] that the reader knows.
    #[inline(always)]
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What was written since the last call: the engine has to drop what it made of any byte of it.
    pub fn catch_up(&mut self, space: &mut AddressSpace) -> CodeChanges {
        space.pull_code_writes();
        self.generation = generation(space);
        let same = core::mem::replace(&mut self.space, space.identity) == space.identity;
        let seen = core::mem::replace(&mut self.seen, space.code.log.newest());
        match space.code.log.since(seen) {
            Some(writes) if same => CodeChanges::Writes(writes),
            _ => CodeChanges::Everything,
        }
    }

    /// Watches `length` bytes from `start` on (wrapping at 4 GiB), of which the engine is about to keep
    /// something. A write to any of them ends that for the bytes written.
    ///
    /// Returns whether they are watched. They are not, and the engine must keep nothing, if the reader
    /// does not know `space`, if nothing is mapped there, if its shared object is held by another space or
    /// ends before, or if a reader [left the page unwatched](Self::leave_unwatched).
    #[must_use]
    pub fn watch(&self, space: &mut AddressSpace, start: u32, length: u32) -> bool {
        let mut done = 0;
        while self.space == space.identity && done < length {
            let at = start.wrapping_add(done);
            let first = at % PAGE_SIZE;
            let end = PAGE_SIZE.min(first.saturating_add(length - done));
            if !space.mark_code(at / PAGE_SIZE, first, end, self.id) {
                return false;
            }
            done += end - first;
        }
        self.space == space.identity
    }

    /// Leaves the page that holds `address` unwatched: the engine checks, each time before it runs what it
    /// made of any byte of it, that the bytes are still those. For pages that mix code and data which
    /// is stored to over and over; those stores are now as fast as any, also in a
    /// [`reservation`], and not recorded.
    ///
    /// Returns whether the page is unwatched: a page of a shared object, or of another space than the
    /// reader knows, cannot be. Until the engine [releases](Self::release) the page, [`watch`](Self::watch)
    /// refuses it to every reader, so that engines that do not check keep nothing of it; what they had made
    /// of it counts as written. Unmapping the page, mapping something else there and making it not
    /// executable is still recorded, as a write to all of it, and ends this.
    #[must_use]
    pub fn leave_unwatched(&self, space: &mut AddressSpace, address: u32) -> bool {
        self.space == space.identity && space.leave_unwatched(address / PAGE_SIZE, self.id)
    }

    /// The engine keeps nothing of the page that holds `address` any more: if it was the only one,
    /// stores to the page become fast again, and a page that it left unwatched can be watched again.
    pub fn release(&self, space: &mut AddressSpace, address: u32) {
        if self.space == space.identity {
            space.release_code(address / PAGE_SIZE, self.id);
        }
    }
}

/// A number that changes with every write to translated code that `space` itself makes, and when it
/// takes a shared object whose code was written to: what an engine polls between two instructions.
#[inline(always)]
#[must_use]
pub fn generation(space: &AddressSpace) -> u64 {
    space.code.generation()
}

/// The host address of guest address zero in a space with the [`Reserved`](crate::Backing::Reserved)
/// backing, or `None` in others. It is the same until the backing changes.
///
/// The host has mapped there, and protected, what an engine may do without asking: it can load what
/// [`AddressSpace::read_fast`] loads, and store what [`AddressSpace::write_fast`] stores. Anything else
/// there is a fault of the host's, upon which the engine goes the slow way. That holds until the next
/// call with a mutable reference to the space, behind which an engine has to ask again: that costs
/// nothing if nothing has changed. Where the host has no mappings left, or another space of the machine
/// needed them while this one was idle, the space is paged from now on.
pub fn reservation(space: &mut AddressSpace) -> Option<core::ptr::NonNull<u8>> {
    space.follow_in_place()
}

/// Host mappings that the reservation of `space` has; zero without one.
///
/// All reservations of the host process may have 32,000 together, those of one machine
/// [as many as its host says](crate::FrameSource::set_mapping_limit). When [`AddressSpace::reserve`] or
/// [`reservation`] needs more, reservations of the same machine that were not asked for lately are
/// taken back: their spaces are paged from then on. An engine that runs in one of them meanwhile, in
/// another thread, gets faults for every access, as for pages that are not shown.
#[must_use]
pub fn mappings(space: &AddressSpace) -> usize {
    space.table.reservation.as_ref().map_or(0, |reservation| reservation.mappings())
}

/// Host mappings that a reservation of `space` would have now: [`AddressSpace::reserve`] refuses where
/// fewer are [left](mappings_left). It looks at each page in use.
#[must_use]
pub fn mappings_wanted(space: &AddressSpace) -> usize {
    space.mappings_wanted()
}

/// Host mappings that the reservations of the machine of `space` may have in addition to those that they
/// have, before idle ones have to be taken back.
#[must_use]
pub fn mappings_left(space: &AddressSpace) -> usize {
    space.pool.source().map_or(0, |source| source.reservations().left())
}

/// Prepares `space` for a long run: from now on [`AddressSpace::read_fast`] and its kin find what they
/// look for. It costs tens of microseconds, once.
pub fn prepare_fast(space: &mut AddressSpace) {
    let source = space.pool.source().cloned();
    space.table.flatten(source.as_ref());
}

/// Whether [`prepare_fast`] has done its work.
#[inline(always)]
#[must_use]
pub fn is_prepared_fast(space: &AddressSpace) -> bool {
    space.table.is_flat()
}
