//! A guest's 4 GiB address space.
//!
//! [`AddressSpace`] maps 4 KiB pages with separate read, write and execute permissions. Every
//! access is checked, and one that crosses a page is checked on both sides before a byte moves.
//! What the memory holds is up to others: this crate knows neither instructions nor Linux.
#![no_std]

extern crate alloc;

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use bitflags::bitflags;

/// Bytes a page.
pub const PAGE_SIZE: u32 = 4096;

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

/// Why an access failed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FaultKind {
    /// No page is mapped there.
    NotMapped,
    /// The page's permissions forbid the access.
    Protected,
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

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self.kind {
            FaultKind::NotMapped => "not mapped",
            FaultKind::Protected => "protected",
            FaultKind::OutOfMemory => "no memory for the page",
            FaultKind::BeyondEnd => "beyond the end of the shared object",
            FaultKind::Busy => "the shared object is held by another address space",
            FaultKind::Device => "memory-mapped I/O cannot serve this",
        };
        write!(f, "{:?} at {:#010x}: {reason}", self.access, self.address)
    }
}

impl core::error::Error for Fault {}

/// Why a mapping could not be made or changed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
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
            Self::OutOfMemory => f.write_str("out of memory"),
        }
    }
}

impl core::error::Error for MapError {}

struct Page {
    permissions: Permissions,
    bytes: Box<[u8; PAGE_SIZE as usize]>,
}

/// 4 GiB of guest memory.
pub struct AddressSpace {
    pages: Vec<Option<Page>>,
}

impl Default for AddressSpace {
    fn default() -> Self {
        Self::new()
    }
}

impl AddressSpace {
    /// An empty address space.
    #[must_use]
    pub fn new() -> Self {
        let mut pages = vec![];
        pages.resize_with(1 << 20, || None);
        Self { pages }
    }

    fn page_numbers(start: u32, length: u32) -> Result<core::ops::Range<usize>, MapError> {
        let end = u64::from(start) + u64::from(length);
        if end > 1 << 32 {
            return Err(MapError::OutOfRange { start, length });
        }
        let first = (start >> 12) as usize;
        Ok(if length == 0 { first..first } else { first..end.div_ceil(4096) as usize })
    }

    /// Maps zero-filled pages over `[start, start + length)`, replacing what was there.
    ///
    /// `start` is rounded down and the end up to whole pages; a length of zero does nothing.
    ///
    /// # Errors
    /// [`MapError`]; nothing is changed where the range is bad.
    pub fn map(&mut self, start: u32, length: u32, permissions: Permissions) -> Result<(), MapError> {
        for page in &mut self.pages[Self::page_numbers(start, length)?] {
            *page = Some(Page { permissions, bytes: Box::new([0; 4096]) });
        }
        Ok(())
    }

    /// Unmaps the pages of `[start, start + length)`; holes in it are no error.
    ///
    /// `start` is rounded down and the end up to whole pages; a length of zero does nothing.
    ///
    /// # Errors
    /// [`MapError`]; nothing is changed where the range is bad.
    pub fn unmap(&mut self, start: u32, length: u32) -> Result<(), MapError> {
        for page in &mut self.pages[Self::page_numbers(start, length)?] {
            *page = None;
        }
        Ok(())
    }

    /// Changes the permissions of the pages of `[start, start + length)`, all of which must be mapped.
    ///
    /// `start` is rounded down and the end up to whole pages; a length of zero does nothing.
    ///
    /// # Errors
    /// [`MapError`]; nothing is changed where the range is bad.
    pub fn protect(&mut self, start: u32, length: u32, permissions: Permissions) -> Result<(), MapError> {
        let range = Self::page_numbers(start, length)?;
        if let Some(hole) = range.clone().find(|&page| self.pages[page].is_none()) {
            return Err(MapError::NotMapped { address: (hole as u32) << 12 });
        }
        for page in self.pages[range].iter_mut().flatten() {
            page.permissions = permissions;
        }
        Ok(())
    }

    /// The permissions of the page that holds `address`, or `None` where nothing is mapped.
    #[must_use]
    pub fn permissions(&self, address: u32) -> Option<Permissions> {
        self.pages[(address >> 12) as usize].as_ref().map(|page| page.permissions)
    }

    /// Whether all of `length` bytes at `address` (wrapping at 4 GiB) allow `access`.
    ///
    /// # Errors
    /// The first byte that does not.
    pub fn check(&self, address: u32, length: u32, access: Access) -> Result<(), Fault> {
        let needed = match access {
            Access::Read => Permissions::READ,
            Access::Write => Permissions::WRITE,
            Access::Execute => Permissions::EXECUTE,
        };
        let mut offset = 0;
        while offset < length {
            let at = address.wrapping_add(offset);
            match self.permissions(at) {
                None => return Err(Fault { address: at, access, kind: FaultKind::NotMapped }),
                Some(held) if !held.contains(needed) => {
                    return Err(Fault { address: at, access, kind: FaultKind::Protected });
                }
                Some(_) => offset = offset.saturating_add(PAGE_SIZE - at % PAGE_SIZE),
            }
        }
        Ok(())
    }

    /// Reads `buffer.len()` bytes at `address`, wrapping at 4 GiB.
    ///
    /// # Errors
    /// The first byte that cannot be read; `buffer` is then unspecified.
    pub fn read_bytes(&self, address: u32, buffer: &mut [u8]) -> Result<(), Fault> {
        self.check(address, buffer.len() as u32, Access::Read)?;
        for (offset, byte) in buffer.iter_mut().enumerate() {
            let at = address.wrapping_add(offset as u32);
            if let Some(page) = &self.pages[(at >> 12) as usize] {
                *byte = page.bytes[(at & 0xfff) as usize];
            }
        }
        Ok(())
    }

    /// Writes `bytes` at `address`, wrapping at 4 GiB.
    ///
    /// # Errors
    /// The first byte that cannot be written; then nothing is written.
    pub fn write_bytes(&mut self, address: u32, bytes: &[u8]) -> Result<(), Fault> {
        self.check(address, bytes.len() as u32, Access::Write)?;
        self.poke_bytes(address, bytes)
    }

    /// Writes `bytes` to mapped pages whatever their permissions: for loaders and debuggers.
    ///
    /// # Errors
    /// The first byte that is not mapped; bytes before it have been written.
    pub fn poke_bytes(&mut self, address: u32, bytes: &[u8]) -> Result<(), Fault> {
        for (offset, byte) in bytes.iter().enumerate() {
            let at = address.wrapping_add(offset as u32);
            match &mut self.pages[(at >> 12) as usize] {
                Some(page) => page.bytes[(at & 0xfff) as usize] = *byte,
                None => return Err(Fault { address: at, access: Access::Write, kind: FaultKind::NotMapped }),
            }
        }
        Ok(())
    }

    /// Copies executable bytes at `address` into `buffer` and says how many there were before the
    /// first that cannot be fetched.
    pub fn fetch(&self, address: u32, buffer: &mut [u8; 15]) -> usize {
        for (offset, byte) in buffer.iter_mut().enumerate() {
            let at = address.wrapping_add(offset as u32);
            match &self.pages[(at >> 12) as usize] {
                Some(page) if page.permissions.contains(Permissions::EXECUTE) => {
                    *byte = page.bytes[(at & 0xfff) as usize];
                }
                _ => return offset,
            }
        }
        buffer.len()
    }

    /// Loads a little-endian value.
    ///
    /// # Errors
    /// The first byte that cannot be read.
    #[inline]
    pub fn read<T: Value>(&self, address: u32) -> Result<T, Fault> {
        let mut bytes = [0; 16];
        self.read_bytes(address, &mut bytes[..size_of::<T>()])?;
        Ok(T::from_u128(u128::from_le_bytes(bytes)))
    }

    /// Stores a little-endian value; nothing is written unless all of it can be.
    ///
    /// # Errors
    /// The first byte that cannot be written.
    #[inline]
    pub fn write<T: Value>(&mut self, address: u32, value: T) -> Result<(), Fault> {
        self.write_bytes(address, &value.into_u128().to_le_bytes()[..size_of::<T>()])
    }
}

mod sealed {
    pub trait Sealed {}
}

/// An unsigned integer that guest memory can hold: `u8`, `u16`, `u32`, `u64` or `u128`.
pub trait Value: Copy + sealed::Sealed {
    /// Takes the low bits of `value`.
    fn from_u128(value: u128) -> Self;
    /// Zero-extends.
    fn into_u128(self) -> u128;
}

macro_rules! values {
    ($($type:ty)*) => {$(
        impl sealed::Sealed for $type {}
        impl Value for $type {
            #[inline(always)]
            fn from_u128(value: u128) -> Self {
                value as $type
            }
            #[inline(always)]
            fn into_u128(self) -> u128 {
                self as u128
            }
        }
    )*};
}

values!(u8 u16 u32 u64 u128);
