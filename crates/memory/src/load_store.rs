//! Loads and stores: the fast paths that engines inline, and the slow path behind them.

use core::ptr::NonNull;

use crate::entry::{
    Bits, CODE, DIRTY, Entry, MAPPED, OWNED, READ_FAST, SAVED, SPECIAL, WATCHED, WRITE, WRITE_FAST,
};
use crate::special::{Special, SpecialMapping};
use crate::{Access, AddressSpace, Fault, FaultKind, PAGE_SIZE, Value};

const OFFSET: u32 = PAGE_SIZE - 1;

/// Whether `size` bytes at `address` lie on one page.
#[inline(always)]
fn within_page(address: u32, size: usize) -> bool {
    address & OFFSET <= PAGE_SIZE - size as u32
}

/// The bytes from `address` to the end of its page, at most `length`.
pub(crate) fn run_length(address: u32, length: usize) -> usize {
    length.min((PAGE_SIZE - address % PAGE_SIZE) as usize)
}

impl AddressSpace {
    /// Loads a little-endian value at `address`, wrapping at 4 GiB.
    ///
    /// # Errors
    /// The first byte that cannot be read.
    #[inline(always)]
    pub fn read<T: Value>(&self, address: u32) -> Result<T, Fault> {
        let entry = self.table.of(address);
        if entry.has(READ_FAST) && within_page(address, size_of::<T>()) {
            let byte = entry.frame().wrapping_add((address & OFFSET) as usize);
            // SAFETY: a fast entry's frame is a whole page that stays readable while the entry is
            // in the table, the value lies on it, and nobody writes meanwhile: this thread is
            // here, and pages that others share are not written.
            Ok(unsafe { byte.cast::<T>().read_unaligned() }.little_endian())
        } else {
            self.read_slow(address)
        }
    }

    /// Stores a little-endian value at `address`, wrapping at 4 GiB; nothing is written unless all
    /// of it can be.
    ///
    /// # Errors
    /// The first byte that cannot be written.
    #[inline(always)]
    pub fn write<T: Value>(&mut self, address: u32, value: T) -> Result<(), Fault> {
        let entry = self.table.of(address);
        if entry.has(WRITE_FAST) && within_page(address, size_of::<T>()) {
            let byte = entry.frame().wrapping_add((address & OFFSET) as usize);
            // SAFETY: as in `read`; a page with a fast write bit has no other holder.
            unsafe { byte.cast::<T>().write_unaligned(value.little_endian()) };
            Ok(())
        } else {
            self.write_slow(address, value)
        }
    }

    /// Loads as [`Self::read`] does if that takes nothing special, else `None`: for an engine that
    /// has its own way to everything rare. Until [`prepare_fast`](crate::engine::prepare_fast), that is always.
    #[inline(always)]
    #[must_use]
    pub fn read_fast<T: Value>(&self, address: u32) -> Option<T> {
        let entry = self.table.flat_of(address);
        // In this order, and with the value in the first branch, the compiler takes one TEST.
        if within_page(address, size_of::<T>()) && entry.has(READ_FAST) {
            let byte = entry.frame().wrapping_add((address & OFFSET) as usize);
            // SAFETY: as in `read`.
            return Some(unsafe { byte.cast::<T>().read_unaligned() }.little_endian());
        }
        None
    }

    /// Stores as [`Self::write`] does if that takes nothing special, else does nothing and returns
    /// `None`.
    #[inline(always)]
    #[must_use]
    pub fn write_fast<T: Value>(&mut self, address: u32, value: T) -> Option<()> {
        let entry = self.table.flat_of(address);
        if within_page(address, size_of::<T>()) && entry.has(WRITE_FAST) {
            let byte = entry.frame().wrapping_add((address & OFFSET) as usize);
            // SAFETY: as in `write`.
            unsafe { byte.cast::<T>().write_unaligned(value.little_endian()) };
            return Some(());
        }
        None
    }

    /// Replaces the value at `address` by what `change` makes of it, if neither load nor store takes
    /// anything special; else does nothing and returns `None`.
    #[inline(always)]
    #[must_use]
    pub fn modify_fast<T: Value>(&mut self, address: u32, change: impl FnOnce(T) -> T) -> Option<()> {
        let entry = self.table.flat_of(address);
        if within_page(address, size_of::<T>()) && entry.has(READ_FAST) && entry.has(WRITE_FAST) {
            let place = entry.frame().wrapping_add((address & OFFSET) as usize).cast::<T>();
            // SAFETY: as in `read` and in `write`.
            unsafe {
                let value = change(place.read_unaligned().little_endian());
                place.write_unaligned(value.little_endian());
            }
            return Some(());
        }
        None
    }

    #[cold]
    #[inline(never)]
    fn read_slow<T: Value>(&self, address: u32) -> Result<T, Fault> {
        let size = size_of::<T>();
        if within_page(address, size)
            && let Some((device, offset)) = self.device(address, Access::Read)?
        {
            let Special::Device(handler) = &device.what else { return Ok(T::from_u128(0)) };
            self.note_access(address, size, Access::Read);
            let mut handler = handler.borrow_mut();
            let low = u128::from(handler.read(offset, size.min(8) as u32));
            let high = if size > 8 { u128::from(handler.read(offset + 8, 8)) << 64 } else { 0 };
            return Ok(T::from_u128(low | high));
        }
        let mut bytes = [0; 16];
        self.check(address, size as u32, Access::Read)?;
        self.read_bytes(address, &mut bytes[..size])?;
        Ok(T::from_u128(u128::from_le_bytes(bytes)))
    }

    #[cold]
    #[inline(never)]
    fn write_slow<T: Value>(&mut self, address: u32, value: T) -> Result<(), Fault> {
        let size = size_of::<T>();
        if within_page(address, size) && self.is_slow_for_code_alone(self.table.of(address)) {
            let byte = self.table.of(address).frame().wrapping_add((address & OFFSET) as usize);
            // SAFETY: the page is a whole one that only this space holds, and the value lies on it.
            unsafe { byte.cast::<T>().write_unaligned(value.little_endian()) };
            self.note_store(address, size as u32);
            return Ok(());
        }
        let value = value.into_u128();
        if within_page(address, size)
            && let Some((device, offset)) = self.device(address, Access::Write)?
        {
            let Special::Device(handler) = &device.what else { return Ok(()) };
            self.note_access(address, size, Access::Write);
            let mut handler = handler.borrow_mut();
            handler.write(offset, size.min(8) as u32, value as u64);
            if size > 8 {
                handler.write(offset + 8, 8, (value >> 64) as u64);
            }
            return Ok(());
        }
        self.write_bytes(address, &value.to_le_bytes()[..size])
    }

    /// Whether nothing but its translated code keeps stores to the page with this entry from being fast.
    fn is_slow_for_code_alone(&self, entry: Entry) -> bool {
        const ALL: Bits = WRITE | OWNED | DIRTY | CODE;
        let plain = entry.bits() & (ALL | SPECIAL | WATCHED) == ALL;
        let Some(frame) = NonNull::new(entry.frame()).filter(|_| plain) else { return false };
        // SAFETY: an owning entry that is not special holds a reference to a frame of the pool.
        (self.snapshots.is_empty() || entry.has(SAVED)) && unsafe { self.pool.is_unique(frame) }
    }

    /// The device behind `address` and the offset in it, if there is one and it may be accessed.
    pub(crate) fn device(
        &self,
        address: u32,
        access: Access,
    ) -> Result<Option<(&SpecialMapping, u32)>, Fault> {
        let entry = self.table.of(address);
        if !entry.has(SPECIAL) || entry.has(READ_FAST | WRITE_FAST | crate::entry::OWNED) {
            return Ok(None);
        }
        match self.special(entry.slot()) {
            Some(mapping) if matches!(mapping.what, Special::Device(_)) => {
                Self::allow(entry, address, access)?;
                Ok(Some((mapping, address.wrapping_sub(mapping.first_page * PAGE_SIZE))))
            }
            _ => Ok(None),
        }
    }

    /// Whether `entry`, of the page that holds `address`, allows `access`.
    pub(crate) fn allow(entry: Entry, address: u32, access: Access) -> Result<(), Fault> {
        if !entry.has(MAPPED) {
            Err(Fault { address, access, kind: FaultKind::NotMapped })
        } else if entry.permissions().is_empty() {
            Err(Fault { address, access, kind: FaultKind::Hidden })
        } else if !entry.permissions().contains(access.needs()) {
            Err(Fault { address, access, kind: FaultKind::Protected })
        } else {
            Ok(())
        }
    }

    /// Whether all of `length` bytes at `address` (wrapping at 4 GiB) allow `access`, as far as
    /// mappings and permissions go.
    ///
    /// # Errors
    /// The first byte that does not.
    pub fn check(&self, address: u32, length: u32, access: Access) -> Result<(), Fault> {
        let mut offset = 0;
        while offset < length {
            let at = address.wrapping_add(offset);
            Self::allow(self.table.of(at), at, access)?;
            offset = offset.saturating_add(PAGE_SIZE - at % PAGE_SIZE);
        }
        Ok(())
    }
}
