//! The page-table entry: a host pointer whose twelve low bits say what the page is.

use crate::{PAGE_SIZE, Permissions};

/// A set of the low bits of an [`Entry`].
pub(crate) type Bits = usize;

/// Loads need no more than the pointer.
pub(crate) const READ_FAST: Bits = 1 << 0;
/// Stores need no more than the pointer.
pub(crate) const WRITE_FAST: Bits = 1 << 1;
/// The permissions, as [`Permissions`] numbers them.
pub(crate) const PERMISSIONS: Bits = 7 << PERMISSION_SHIFT;
const PERMISSION_SHIFT: u32 = 2;
/// The page can be loaded from.
pub(crate) const READ: Bits = 1 << 2;
/// The page can be stored to.
pub(crate) const WRITE: Bits = 1 << 3;
/// The page can be executed.
pub(crate) const EXECUTE: Bits = 1 << 4;
/// Something is mapped.
pub(crate) const MAPPED: Bits = 1 << 5;
/// The entry holds a reference to a frame, or the page is in use in the reservation.
pub(crate) const OWNED: Bits = 1 << 6;
/// A device or a shared object; the pointer's page number is its slot.
pub(crate) const SPECIAL: Bits = 1 << 7;
/// The page is in the dirty list.
pub(crate) const DIRTY: Bits = 1 << 8;
/// An engine has translated code of this page.
pub(crate) const CODE: Bits = 1 << 9;
/// The page is in the newest snapshot's log.
pub(crate) const SAVED: Bits = 1 << 10;
/// Accesses to the page are recorded.
pub(crate) const WATCHED: Bits = 1 << 11;
/// Bits that belong to the page number, whatever is mapped there.
pub(crate) const STICKY: Bits = DIRTY | CODE | SAVED | WATCHED;

/// One page's entry. The all-zero entry is an unmapped page.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Entry(*mut u8);

const _: () = assert!(STICKY < PAGE_SIZE as usize);

impl Entry {
    pub(crate) const EMPTY: Self = Self(core::ptr::null_mut());

    /// `frame` is aligned to a page.
    #[inline]
    pub(crate) fn new(frame: *mut u8, bits: Bits) -> Self {
        Self(frame.map_addr(|address| address | bits))
    }

    /// The entry of page `slot` in the table of devices and shared objects.
    pub(crate) fn special(slot: usize, bits: Bits) -> Self {
        Self(core::ptr::without_provenance_mut(slot << 12 | SPECIAL | bits))
    }

    /// Whether any of the bits is set.
    #[inline(always)]
    pub(crate) fn has(self, any: Bits) -> bool {
        // All bits that are asked for are in the low half-word; saying so gives one TEST.
        self.0.addr() as u16 & any as u16 != 0
    }

    #[inline]
    pub(crate) fn bits(self) -> Bits {
        self.0.addr() & (PAGE_SIZE as usize - 1)
    }

    #[inline]
    pub(crate) fn with(self, bits: Bits) -> Self {
        Self(self.0.map_addr(|address| address | bits))
    }

    #[inline]
    pub(crate) fn without(self, bits: Bits) -> Self {
        Self(self.0.map_addr(|address| address & !bits))
    }

    /// The first byte of the page on the host; the slot, shifted, for a special page.
    #[inline(always)]
    pub(crate) fn frame(self) -> *mut u8 {
        self.0.map_addr(|address| address & !(PAGE_SIZE as usize - 1))
    }

    /// The index of a special page's device or shared object.
    pub(crate) fn slot(self) -> usize {
        self.0.addr() >> 12
    }

    pub(crate) fn permissions(self) -> Permissions {
        Permissions::from_bits_truncate((self.bits() >> PERMISSION_SHIFT) as u8)
    }

    /// The same page with other permissions; fast bits are left for the slow path to set again.
    pub(crate) fn with_permissions(self, permissions: Permissions) -> Self {
        let bits = permission_bits(permissions);
        let fast = if bits & READ != 0 && !self.has(SPECIAL) { READ_FAST } else { 0 };
        self.without(PERMISSIONS | READ_FAST | WRITE_FAST).with(bits | fast)
    }
}

/// `permissions` where an entry keeps them.
pub(crate) fn permission_bits(permissions: Permissions) -> Bits {
    (permissions.bits() as usize) << PERMISSION_SHIFT
}
