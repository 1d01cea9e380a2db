//! What a page allows, what an access asks for, and how one fails.

use core::fmt;

use bitflags::bitflags;

bitflags! {
    /// What a page allows.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
    pub struct Permissions: u8 {
        /// Loads.
        const READ = 1;
        /// Stores.
        const WRITE = 2;
        /// Instruction fetches.
        const EXECUTE = 4;
    }
}

/// The kind of an access.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Access {
    /// A load.
    Read,
    /// A store.
    Write,
    /// An instruction fetch.
    Execute,
}

impl Access {
    /// The permission that the access needs.
    #[must_use]
    pub const fn needs(self) -> Permissions {
        match self {
            Self::Read => Permissions::READ,
            Self::Write => Permissions::WRITE,
            Self::Execute => Permissions::EXECUTE,
        }
    }
}

/// Why an access failed.
///
/// `#[non_exhaustive]`: what stands in the way of an access grows with what memory can do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum FaultKind {
    /// No page is mapped there.
    NotMapped,
    /// The page's permissions forbid the access, though not every one.
    Protected,
    /// The page is mapped and allows nothing (mmap(2), PROT_NONE).
    Hidden,
    /// The page needs memory that the resident limit or the host does not grant.
    OutOfMemory,
    /// The page lies beyond the end of the shared object behind it (Linux: SIGBUS).
    BeyondEnd,
    /// Another address space holds the shared object behind the page.
    Busy,
    /// Memory-mapped I/O cannot serve this: it holds no code and cannot be peeked or poked.
    Device,
}

/// An access that failed; nothing was written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fault {
    /// The first byte that could not be accessed.
    pub address: u32,
    /// What was tried.
    pub access: Access,
    /// What stood in the way.
    pub kind: FaultKind,
}

impl Fault {
    /// The error code of #PF for this access from user mode (SDM volume 3, section 4.7). To the
    /// guest only a page that allows some access is present: Linux clears the present bit for
    /// PROT_NONE, and a page that nobody could provide is not there.
    #[must_use]
    pub const fn error_code(&self) -> u32 {
        const PRESENT: u32 = 1;
        const WRITE: u32 = 2;
        const USER: u32 = 4;
        const FETCH: u32 = 16;
        let present = if matches!(self.kind, FaultKind::Protected) { PRESENT } else { 0 };
        let access = match self.access {
            Access::Read => 0,
            Access::Write => WRITE,
            Access::Execute => FETCH,
        };
        USER | present | access
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self.kind {
            FaultKind::NotMapped => "not mapped",
            FaultKind::Protected => "protected",
            FaultKind::Hidden => "mapped without any permission",
            FaultKind::OutOfMemory => "no memory for the page",
            FaultKind::BeyondEnd => "beyond the end of the shared object",
            FaultKind::Busy => "the shared object is held by another address space",
            FaultKind::Device => "memory-mapped I/O cannot serve this",
        };
        write!(f, "{:?} at {:#010x}: {reason}", self.access, self.address)
    }
}

impl core::error::Error for Fault {}

/// Why a mapping could not be made, changed or copied.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum MapError {
    /// `[start, start + length)` runs past 4 GiB; nothing was changed.
    OutOfRange {
        /// The first byte of the range.
        start: u32,
        /// Its length in bytes.
        length: u32,
    },
    /// A page of the range is not mapped; nothing was changed.
    NotMapped {
        /// The first byte that is not.
        address: u32,
    },
    /// A shared object can be mapped from whole pages only; nothing was changed.
    Unaligned {
        /// The offset into the object.
        offset: u64,
    },
    /// Memory-mapped I/O cannot be copied into a fork; nothing was changed.
    Device {
        /// Its first byte.
        address: u32,
    },
    /// The resident limit or the host grants no more memory.
    OutOfMemory,
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange { start, length } => {
                write!(f, "the range of {length:#x} bytes at {start:#010x} runs past 4 GiB")
            }
            Self::NotMapped { address } => write!(f, "no page is mapped at {address:#010x}"),
            Self::Unaligned { offset } => write!(f, "offset {offset:#x} is not a multiple of 4096"),
            Self::Device { address } => {
                write!(f, "memory-mapped I/O at {address:#010x} cannot be copied into a fork")
            }
            Self::OutOfMemory => f.write_str("out of memory"),
        }
    }
}

impl core::error::Error for MapError {}
