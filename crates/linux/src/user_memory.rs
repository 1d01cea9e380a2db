//! Guest memory as system calls see it: every pointer is checked, and a bad one is EFAULT.

use pentimento_memory::{Access, Fault, PAGE_SIZE, Value};

use crate::errno::Errno;
use crate::space::Space;

/// Bytes of the longest path with its terminating zero (PATH_MAX).
pub(crate) const PATH_MAX: u32 = 4096;

/// One task's memory, for the duration of a system call. Pages that appear on demand (the stack's)
/// appear for these accesses too, as they do for the kernel's own.
pub(crate) struct UserMemory<'a> {
    space: &'a mut Space,
}

impl<'a> UserMemory<'a> {
    /// The memory of `space`.
    pub(crate) fn new(space: &'a mut Space) -> Self {
        Self { space }
    }

    /// Runs `access` until it succeeds or its fault cannot be resolved.
    fn retry<T>(&mut self, mut access: impl FnMut(&mut Space) -> Result<T, Fault>) -> Result<T, Errno> {
        loop {
            match access(self.space) {
                Ok(value) => return Ok(value),
                Err(fault) => self.space.resolve(fault).map_err(|_| Errno::EFAULT)?,
            }
        }
    }

    /// Fails with EFAULT unless all of `[address, address + length)` allows `access`; a range that
    /// wraps never does.
    pub(crate) fn check(&mut self, address: u32, length: u32, access: Access) -> Result<(), Errno> {
        if length == 0 {
            return Ok(());
        }
        address.checked_add(length - 1).ok_or(Errno::EFAULT)?;
        self.retry(|space| space.memory.check(address, length, access))
    }

    /// How many of `length` bytes at `address` allow `access` before the first that does not.
    /// Calls that move data report such short counts instead of EFAULT.
    pub(crate) fn accessible(&mut self, address: u32, length: u32, access: Access) -> u32 {
        let mut done = 0;
        while done < length {
            let Some(at) = address.checked_add(done) else { break };
            let step = (PAGE_SIZE - at % PAGE_SIZE).min(length - done);
            if self.check(at, step, access).is_err() {
                break;
            }
            done += step;
        }
        done
    }

    /// Fills `buffer` from guest memory.
    pub(crate) fn copy_in(&mut self, address: u32, buffer: &mut [u8]) -> Result<(), Errno> {
        self.check(address, buffer.len() as u32, Access::Read)?;
        self.retry(|space| space.memory.read_bytes(address, buffer))
    }

    /// Writes `bytes` to guest memory; all of them or none.
    pub(crate) fn copy_out(&mut self, address: u32, bytes: &[u8]) -> Result<(), Errno> {
        self.check(address, bytes.len() as u32, Access::Write)?;
        self.retry(|space| space.memory.write_bytes(address, bytes))
    }

    /// `length` bytes of guest memory; nothing is allocated before the range is checked.
    pub(crate) fn bytes(&mut self, address: u32, length: u32) -> Result<Vec<u8>, Errno> {
        self.check(address, length, Access::Read)?;
        let mut buffer = vec![0; length as usize];
        self.copy_in(address, &mut buffer)?;
        Ok(buffer)
    }

    /// A fixed number of bytes.
    pub(crate) fn array<const N: usize>(&mut self, address: u32) -> Result<[u8; N], Errno> {
        let mut buffer = [0; N];
        self.copy_in(address, &mut buffer)?;
        Ok(buffer)
    }

    /// `N` consecutive 32-bit words.
    pub(crate) fn words<const N: usize>(&mut self, address: u32) -> Result<[u32; N], Errno> {
        let mut words = [0; N];
        self.check(address, 4 * N as u32, Access::Read)?;
        for (index, word) in words.iter_mut().enumerate() {
            *word = self.read(address.wrapping_add(4 * index as u32))?;
        }
        Ok(words)
    }

    /// A little-endian integer.
    pub(crate) fn read<T: Value>(&mut self, address: u32) -> Result<T, Errno> {
        self.retry(|space| space.memory.read(address))
    }

    /// Stores a little-endian integer.
    pub(crate) fn write<T: Value>(&mut self, address: u32, value: T) -> Result<(), Errno> {
        self.retry(|space| space.memory.write(address, value))
    }

    /// A string without its terminating zero.
    ///
    /// # Errors
    /// EFAULT; ENAMETOOLONG if there is no zero within `limit` bytes.
    pub(crate) fn string(&mut self, address: u32, limit: u32) -> Result<Vec<u8>, Errno> {
        let mut text = Vec::new();
        while (text.len() as u32) < limit {
            let at = address.checked_add(text.len() as u32).ok_or(Errno::EFAULT)?;
            let step = (PAGE_SIZE - at % PAGE_SIZE).min(limit - text.len() as u32);
            let chunk = self.bytes(at, step)?;
            if let Some(end) = chunk.iter().position(|byte| *byte == 0) {
                text.extend_from_slice(&chunk[..end]);
                return Ok(text);
            }
            text.extend_from_slice(&chunk);
        }
        Err(Errno::ENAMETOOLONG)
    }

    /// At most `limit` bytes up to a zero, if there is one.
    pub(crate) fn bytes_until_zero(&mut self, address: u32, limit: u32) -> Result<Vec<u8>, Errno> {
        match self.string(address, limit) {
            Err(Errno::ENAMETOOLONG) => self.bytes(address, limit),
            result => result,
        }
    }

    /// A path of at most PATH_MAX bytes, its zero included. An empty one is returned as such: what
    /// that means is up to the call.
    pub(crate) fn path(&mut self, address: u32) -> Result<Vec<u8>, Errno> {
        self.string(address, PATH_MAX)
    }
}
