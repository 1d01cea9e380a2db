//! Blocks of bytes: for loaders, debuggers, system calls and instruction fetch.

use alloc::vec::Vec;

use crate::entry::{EXECUTE, MAPPED, READ_FAST, SPECIAL};
use crate::load_store::run_length;
use crate::special::{Special, SpecialMapping};
use crate::{Access, AddressSpace, Fault, FaultKind, PAGE_SIZE};

impl AddressSpace {
    /// Reads `buffer.len()` bytes at `address`, wrapping at 4 GiB.
    ///
    /// # Errors
    /// The first byte that cannot be read; `buffer` is then unspecified.
    pub fn read_bytes(&self, address: u32, buffer: &mut [u8]) -> Result<(), Fault> {
        self.each_run(address, buffer, |space, at, run| {
            match space.device(at, Access::Read)? {
                Some((device, offset)) => read_device(device, offset, run),
                None => {
                    Self::allow(space.table.of(at), at, Access::Read)?;
                    space.load_run(at, run)?;
                }
            }
            space.note_access(at, run.len(), Access::Read);
            Ok(())
        })
    }

    /// Reads bytes of mapped pages whatever their permissions: for loaders and debuggers.
    ///
    /// # Errors
    /// The first byte that is not mapped, or that a device serves; `buffer` is then unspecified.
    pub fn peek_bytes(&self, address: u32, buffer: &mut [u8]) -> Result<(), Fault> {
        self.each_run(address, buffer, |space, at, run| space.load_run(at, run))
    }

    /// Writes `bytes` at `address`, wrapping at 4 GiB.
    ///
    /// # Errors
    /// The first byte that cannot be written; then nothing is written.
    pub fn write_bytes(&mut self, address: u32, bytes: &[u8]) -> Result<(), Fault> {
        // Two passes, so that nothing is written unless everything can be.
        let mut done = 0;
        while done < bytes.len() {
            let at = address.wrapping_add(done as u32);
            Self::allow(self.table.of(at), at, Access::Write)?;
            done += run_length(at, bytes.len() - done);
        }
        let mut done = 0;
        while done < bytes.len() {
            let at = address.wrapping_add(done as u32);
            if self.device(at, Access::Write)?.is_none() {
                self.prepare_write(at / PAGE_SIZE).map_err(|kind| Fault {
                    address: at,
                    access: Access::Write,
                    kind,
                })?;
            }
            done += run_length(at, bytes.len() - done);
        }
        let mut done = 0;
        while done < bytes.len() {
            let at = address.wrapping_add(done as u32);
            let run = &bytes[done..done + run_length(at, bytes.len() - done)];
            self.note_access(at, run.len(), Access::Write);
            match self.device(at, Access::Write)? {
                Some((device, offset)) => write_device(device, offset, run),
                None => self.store_run(at, run)?,
            }
            done += run.len();
        }
        Ok(())
    }

    /// Writes `bytes` to mapped pages whatever their permissions: for loaders and debuggers.
    ///
    /// # Errors
    /// The first byte that is not mapped, or that a device serves; bytes on pages before it have
    /// been written.
    pub fn poke_bytes(&mut self, address: u32, bytes: &[u8]) -> Result<(), Fault> {
        let mut done = 0;
        while done < bytes.len() {
            let at = address.wrapping_add(done as u32);
            let run = &bytes[done..done + run_length(at, bytes.len() - done)];
            self.store_run(at, run)?;
            done += run.len();
        }
        Ok(())
    }

    /// Copies executable bytes at `address` into `buffer` and says how many there were before the
    /// first that cannot be fetched.
    pub fn fetch(&self, address: u32, buffer: &mut [u8]) -> usize {
        let mut done = 0;
        while done < buffer.len() {
            let at = address.wrapping_add(done as u32);
            let run = run_length(at, buffer.len() - done);
            if !self.table.of(at).has(EXECUTE) || self.load_run(at, &mut buffer[done..done + run]).is_err() {
                break;
            }
            done += run;
        }
        done
    }

    /// Why [`Self::fetch`] gets no byte at `address`: `Ok` if it does get one.
    ///
    /// # Errors
    /// What stands in the way.
    pub fn check_fetch(&self, address: u32) -> Result<(), Fault> {
        Self::allow(self.table.of(address), address, Access::Execute)?;
        let missing = |fault| Fault { access: Access::Execute, ..fault };
        self.prepare_read(address).map(|_| ()).map_err(missing)
    }

    /// Reads bytes at `address` up to a NUL, which is left out: `None` if there is none within
    /// `limit` bytes.
    ///
    /// # Errors
    /// The first byte that cannot be read, if no NUL comes before it.
    pub fn read_c_string(&self, address: u32, limit: u32) -> Result<Option<Vec<u8>>, Fault> {
        let mut string = Vec::new();
        let mut page = [0; PAGE_SIZE as usize];
        let mut done = 0;
        while done < limit {
            let at = address.wrapping_add(done);
            let run = &mut page[..run_length(at, (limit - done) as usize)];
            self.read_bytes(at, run)?;
            if let Some(end) = run.iter().position(|&byte| byte == 0) {
                string.extend_from_slice(&run[..end]);
                return Ok(Some(string));
            }
            string.extend_from_slice(run);
            done += run.len() as u32;
        }
        Ok(None)
    }

    /// Calls `each` with the part of `buffer` that belongs to each page.
    fn each_run(
        &self,
        address: u32,
        buffer: &mut [u8],
        each: impl Fn(&Self, u32, &mut [u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut at = address;
        let mut rest = buffer;
        while !rest.is_empty() {
            let (run, tail) = rest.split_at_mut(run_length(at, rest.len()));
            each(self, at, run)?;
            at = at.wrapping_add(run.len() as u32);
            rest = tail;
        }
        Ok(())
    }

    /// Where the bytes of the page that holds `address` are on the host, whatever its permissions.
    pub(crate) fn prepare_read(&self, address: u32) -> Result<*const u8, Fault> {
        let entry = self.table.of(address);
        if entry.has(READ_FAST) {
            return Ok(entry.frame());
        }
        let fault = |kind| Fault { address, access: Access::Read, kind };
        if !entry.has(MAPPED) {
            return Err(fault(FaultKind::NotMapped));
        }
        if entry.has(SPECIAL) {
            return self.hold_shared(address / PAGE_SIZE, entry).map(<*mut u8>::cast_const).map_err(fault);
        }
        Ok(entry.frame())
    }

    /// Copies bytes that lie on one page out of it, whatever its permissions.
    fn load_run(&self, address: u32, run: &mut [u8]) -> Result<(), Fault> {
        let page = self.prepare_read(address)?;
        let count = run_length(address, run.len());
        // SAFETY: `page` is a whole readable page, `count` bytes from the offset lie on it, and
        // `run`, a host buffer, cannot overlap guest memory, to which no reference is ever made.
        unsafe { page.add((address % PAGE_SIZE) as usize).copy_to_nonoverlapping(run.as_mut_ptr(), count) };
        Ok(())
    }

    /// Copies bytes that lie on one page into it, whatever its permissions.
    fn store_run(&mut self, address: u32, run: &[u8]) -> Result<(), Fault> {
        let fault = |kind| Fault { address, access: Access::Write, kind };
        if !self.table.of(address).has(MAPPED) {
            return Err(fault(FaultKind::NotMapped));
        }
        let page = self.prepare_write(address / PAGE_SIZE).map_err(fault)?;
        let count = run_length(address, run.len());
        // SAFETY: `page` is a whole page that only this space holds, `count` bytes from the offset
        // lie on it, and `run`, a host buffer, cannot overlap guest memory.
        unsafe { page.add((address % PAGE_SIZE) as usize).copy_from_nonoverlapping(run.as_ptr(), count) };
        self.note_store(address, count as u32);
        Ok(())
    }
}

fn read_device(device: &SpecialMapping, offset: u32, run: &mut [u8]) {
    if let Special::Device(handler) = &device.what {
        let mut handler = handler.borrow_mut();
        for (byte, at) in run.iter_mut().zip(offset..=u32::MAX) {
            *byte = handler.read(at, 1) as u8;
        }
    }
}

fn write_device(device: &SpecialMapping, offset: u32, run: &[u8]) {
    if let Special::Device(handler) = &device.what {
        let mut handler = handler.borrow_mut();
        for (byte, at) in run.iter().zip(offset..=u32::MAX) {
            handler.write(at, 1, u64::from(*byte));
        }
    }
}
