//! The machine's standard streams, which the host provides.

use std::io;

use crate::errno::Errno;
use crate::host::{Input, Output, TerminalSize};
use crate::wait::{Channel, Failure, Wait};

/// Which of the three.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standard {
    /// Descriptor 0 of the first process.
    Input,
    /// Descriptor 1.
    Output,
    /// Descriptor 2.
    Error,
}

/// The host's ends.
pub(crate) struct Streams {
    pub(crate) input: Box<dyn Input>,
    pub(crate) output: Box<dyn Output>,
    pub(crate) error: Box<dyn Output>,
    /// Bytes that the guest may still write to output and error together; beyond it ENOSPC.
    pub(crate) output_room: u64,
}

impl Streams {
    /// The three streams, with a limit on what the guest writes.
    pub(crate) fn new(
        input: Box<dyn Input>,
        output: Box<dyn Output>,
        error: Box<dyn Output>,
        output_room: u64,
    ) -> Self {
        Self { input, output, error, output_room }
    }

    /// The terminal behind a stream, if it is one.
    pub(crate) fn terminal_size(&self, which: Standard) -> Option<TerminalSize> {
        match which {
            Standard::Input => self.input.terminal_size(),
            Standard::Output => self.output.terminal_size(),
            Standard::Error => self.error.terminal_size(),
        }
    }

    /// Waits until the input has something to say, at most for `timeout` (`None`: for ever).
    ///
    /// # Errors
    /// Whatever keeps the host from waiting.
    pub(crate) fn wait(&mut self, timeout: Option<std::time::Duration>) -> io::Result<bool> {
        self.input.wait(timeout)
    }

    /// Asks the host to hand typed bytes over as they come, without echo and line editing.
    pub(crate) fn take_control(&mut self) -> bool {
        self.input.take_control()
    }

    /// Whether a read would give something without waiting.
    pub(crate) fn input_is_ready(&mut self) -> bool {
        self.input.wait(Some(std::time::Duration::ZERO)).unwrap_or(true)
    }

    /// Reads what is there, or waits for the host.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        match self.input.read(buffer) {
            Ok(read) => Ok(read.min(buffer.len())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(Failure::Block(Wait::on(Channel::Console)))
            }
            Err(_) => Err(Errno::EIO.into()),
        }
    }

    /// Writes all of `bytes`, as far as the limit and the host let it.
    pub(crate) fn write(&mut self, which: Standard, bytes: &[u8]) -> Result<usize, Errno> {
        let length = self.output_room.min(bytes.len() as u64) as usize;
        if length == 0 && !bytes.is_empty() {
            return Err(Errno::ENOSPC);
        }
        let sink = if which == Standard::Error { &mut self.error } else { &mut self.output };
        let mut done = 0;
        while done < length {
            match sink.write(&bytes[done..length]) {
                Ok(0) => break,
                Ok(written) => done += written.min(length - done),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) if done > 0 => break,
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Err(Errno::EPIPE),
                Err(_) => return Err(Errno::EIO),
            }
        }
        self.output_room -= done as u64;
        if done == 0 && length > 0 { Err(Errno::EIO) } else { Ok(done) }
    }
}

impl std::fmt::Debug for Streams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streams").field("output_room", &self.output_room).finish_non_exhaustive()
    }
}
