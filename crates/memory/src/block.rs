//! Block copies and fills as string instructions do them, with exact progress at a fault.

use core::fmt;

use crate::entry::{MAPPED, SPECIAL};
use crate::load_store::run_length;
use crate::{Access, AddressSpace, Fault, PAGE_SIZE, Value};

/// A block operation that a fault ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BlockFault {
    /// How many elements were done before the one that faulted; nothing of that one was written.
    pub done: u32,
    /// What stood in its way.
    pub fault: Fault,
}

impl fmt::Display for BlockFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} after {} elements", self.fault, self.done)
    }
}

impl core::error::Error for BlockFault {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.fault)
    }
}

impl AddressSpace {
    /// Copies `count` elements of type `T` from `source` to `destination`, upwards one after the
    /// other, as `REP MOVS` with DF clear does: ranges may overlap, and then later elements read
    /// what earlier ones wrote. Both addresses wrap at 4 GiB.
    ///
    /// # Errors
    /// The first element that cannot be read or written, and how many came before it.
    pub fn copy_forward<T: Value>(
        &mut self,
        destination: u32,
        source: u32,
        count: u32,
    ) -> Result<(), BlockFault> {
        let size = size_of::<T>() as u32;
        let mut done = 0;
        while done < count {
            let to = destination.wrapping_add(done.wrapping_mul(size));
            let from = source.wrapping_add(done.wrapping_mul(size));
            let bytes = (count - done) as usize * size_of::<T>();
            let run = run_length(to, run_length(from, bytes)) / size_of::<T>();
            let step = if run > 1 && self.is_plain(to) && self.is_plain(from) {
                self.copy_run::<T>(to, from, run).map(|()| run as u32)
            } else {
                self.read::<T>(from).and_then(|value| self.write(to, value)).map(|()| 1)
            };
            done += step.map_err(|fault| BlockFault { done, fault })?;
        }
        Ok(())
    }

    /// Stores `value` `count` times from `destination` upwards, as `REP STOS` with DF clear does.
    /// Addresses wrap at 4 GiB.
    ///
    /// # Errors
    /// The first element that cannot be written, and how many came before it.
    pub fn fill<T: Value>(&mut self, destination: u32, value: T, count: u32) -> Result<(), BlockFault> {
        let size = size_of::<T>() as u32;
        let mut done = 0;
        while done < count {
            let to = destination.wrapping_add(done.wrapping_mul(size));
            let run = run_length(to, (count - done) as usize * size_of::<T>()) / size_of::<T>();
            let step = if run > 1 && self.is_plain(to) {
                self.fill_run(to, value, run).map(|()| run as u32)
            } else {
                self.write(to, value).map(|()| 1)
            };
            done += step.map_err(|fault| BlockFault { done, fault })?;
        }
        Ok(())
    }

    /// Whether the page is memory of which whole runs can be accessed at once.
    fn is_plain(&self, address: u32) -> bool {
        let entry = self.table.of(address);
        entry.has(MAPPED) && (!entry.has(SPECIAL) || entry.has(crate::entry::OWNED))
    }

    /// Copies `run` elements that lie on one page on either side.
    fn copy_run<T: Value>(&mut self, to: u32, from: u32, run: usize) -> Result<(), Fault> {
        let bytes = run * size_of::<T>();
        Self::allow(self.table.of(from), from, Access::Read)?;
        let target = self.prepare_run(to)?;
        // After the target, because preparing it may move the page that both share.
        let origin = self.prepare_read(from)?.wrapping_add((from % PAGE_SIZE) as usize);
        // Compared on the host, where two mappings of one shared page show as the same.
        let distance = target.addr().wrapping_sub(origin.addr());
        if distance == 0 || distance >= bytes {
            // SAFETY: both runs lie on whole pages of this space, readable and writable. `copy`
            // allows overlap, and as the target is not ahead of the origin within the run, it
            // gives what copying element by element gives.
            unsafe { core::ptr::copy(origin, target, bytes) };
        } else {
            for element in 0..run {
                let offset = element * size_of::<T>();
                // SAFETY: the element lies within both runs; it is read whole, then written.
                unsafe {
                    let value = origin.add(offset).cast::<T>().read_unaligned();
                    target.add(offset).cast::<T>().write_unaligned(value);
                }
            }
        }
        self.note_store(to, bytes as u32);
        self.note_access(from, bytes, Access::Read);
        self.note_access(to, bytes, Access::Write);
        Ok(())
    }

    /// Fills `run` elements that lie on one page.
    fn fill_run<T: Value>(&mut self, to: u32, value: T, run: usize) -> Result<(), Fault> {
        let target = self.prepare_run(to)?.cast::<T>();
        let value = value.little_endian();
        for element in 0..run {
            // SAFETY: the element lies on a whole page that only this space holds.
            unsafe { target.add(element).write_unaligned(value) };
        }
        self.note_store(to, (run * size_of::<T>()) as u32);
        self.note_access(to, run * size_of::<T>(), Access::Write);
        Ok(())
    }

    /// The host address of `address`, ready for stores up to the end of its page.
    fn prepare_run(&mut self, address: u32) -> Result<*mut u8, Fault> {
        Self::allow(self.table.of(address), address, Access::Write)?;
        let page = self.prepare_write(address / PAGE_SIZE);
        let page = page.map_err(|kind| Fault { address, access: Access::Write, kind })?;
        Ok(page.wrapping_add((address % PAGE_SIZE) as usize))
    }
}
