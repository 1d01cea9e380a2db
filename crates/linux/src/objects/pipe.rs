//! Pipes and fifos (pipe(7)).

use std::collections::VecDeque;

use crate::errno::Errno;
use crate::wait::Channel;

/// Writes up to this many bytes are never torn apart.
pub(crate) const PIPE_BUF: usize = 4096;

/// Capacity of a new pipe.
pub(crate) const DEFAULT_CAPACITY: usize = 65_536;

/// Largest capacity that F_SETPIPE_SZ gives (`/proc/sys/fs/pipe-max-size`).
pub(crate) const MAX_CAPACITY: usize = 1 << 20;

/// Bytes on their way from writers to readers.
#[derive(Clone, Debug)]
pub(crate) struct Pipe {
    bytes: VecDeque<u8>,
    capacity: usize,
    /// Descriptions that can read.
    pub(crate) readers: u32,
    /// Descriptions that can write.
    pub(crate) writers: u32,
    /// What those wait for that wait for this pipe.
    pub(crate) channel: Channel,
    /// Times that the other end was opened: a fifo's `open` waits for a change.
    pub(crate) reader_openings: u64,
    /// The same for writers.
    pub(crate) writer_openings: u64,
}

impl Pipe {
    /// An empty pipe without ends.
    pub(crate) fn new(channel: Channel) -> Self {
        Self {
            bytes: VecDeque::new(),
            capacity: DEFAULT_CAPACITY,
            readers: 0,
            writers: 0,
            channel,
            reader_openings: 0,
            writer_openings: 0,
        }
    }

    /// Bytes that wait to be read.
    pub(crate) fn held(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes that can be written now.
    pub(crate) fn room(&self) -> usize {
        self.capacity.saturating_sub(self.bytes.len())
    }

    /// The capacity in bytes.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// F_SETPIPE_SZ: rounded up to a power of two of pages; EBUSY below what the pipe holds.
    pub(crate) fn set_capacity(&mut self, wanted: u32) -> Result<usize, Errno> {
        let capacity = (wanted as usize).max(4096).checked_next_power_of_two().ok_or(Errno::EINVAL)?;
        if capacity > MAX_CAPACITY {
            return Err(Errno::EPERM);
        }
        if capacity < self.bytes.len() {
            return Err(Errno::EBUSY);
        }
        self.capacity = capacity;
        Ok(capacity)
    }

    /// Takes bytes out. `Ok(None)` where a reader has to wait; 0 bytes once there is no writer.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Option<usize> {
        if self.bytes.is_empty() && self.writers > 0 && !buffer.is_empty() {
            return None;
        }
        let length = buffer.len().min(self.bytes.len());
        for (target, byte) in buffer.iter_mut().zip(self.bytes.drain(..length)) {
            *target = byte;
        }
        Some(length)
    }

    /// Copies bytes out and leaves them (tee(2)).
    pub(crate) fn peek(&self, length: usize) -> Vec<u8> {
        self.bytes.iter().take(length).copied().collect()
    }

    /// Puts in as many bytes as go: all or none up to [`PIPE_BUF`]. `Ok(None)` where a writer has
    /// to wait; EPIPE where nobody will read.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<Option<usize>, Errno> {
        if self.readers == 0 {
            return Err(Errno::EPIPE);
        }
        let room = self.room();
        if bytes.len() <= PIPE_BUF && room < bytes.len() || room == 0 && !bytes.is_empty() {
            return Ok(None);
        }
        let length = bytes.len().min(room);
        self.bytes.extend(&bytes[..length]);
        Ok(Some(length))
    }
}
