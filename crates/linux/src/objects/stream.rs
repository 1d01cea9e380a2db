//! The machine's standard streams, which the host provides.

use std::io;
use std::time::Duration;

use super::description::OpenFlags;
use super::files::Files;
use super::object::{Object, Reply, Request, Transfer};
use super::readiness::{Events, Readiness};
use super::states::{Family, Kept};
use crate::errno::Errno;
use crate::host::{Bytes, Discard, Input, Output, TerminalSize};
use crate::vfs::Caller;
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
    input: Box<dyn Input>,
    output: Box<dyn Output>,
    error: Box<dyn Output>,
    /// Bytes that the guest may still write to output and error together; beyond it ENOSPC.
    output_room: u64,
    /// Whether output and error took nothing when they were written to last.
    blocked: [bool; 2],
    /// Bytes of input that the guest has read.
    position: u64,
    /// What the host said while there were snapshots, for who goes back to one.
    remembered: Option<Remembered>,
}

/// Input that can be read again.
struct Remembered {
    /// There are snapshots, so more is remembered.
    grows: bool,
    /// The position of the first byte.
    start: u64,
    bytes: Vec<u8>,
}

/// What a snapshot keeps of [`Streams`].
struct KeptStreams {
    output_room: u64,
    position: u64,
}

impl Streams {
    /// The three streams, with a limit on what the guest writes.
    pub(crate) fn new(
        input: Box<dyn Input>,
        output: Box<dyn Output>,
        error: Box<dyn Output>,
        output_room: u64,
    ) -> Self {
        Self { input, output, error, output_room, blocked: [false; 2], position: 0, remembered: None }
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
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<bool> {
        if !self.again().is_empty() { Ok(true) } else { self.input.wait(timeout) }
    }

    /// Input that has been read, before the guest went back to a snapshot.
    fn again(&self) -> &[u8] {
        let Some(remembered) = &self.remembered else { return &[] };
        let read = usize::try_from(self.position.saturating_sub(remembered.start)).unwrap_or(usize::MAX);
        remembered.bytes.get(read..).unwrap_or(&[])
    }

    /// Whether input is to be remembered from here on: while there are snapshots.
    pub(crate) fn remember(&mut self, snapshots: bool) {
        match &mut self.remembered {
            Some(remembered) => remembered.grows = snapshots,
            None if snapshots && !self.input.rewinds() => {
                self.remembered = Some(Remembered { grows: true, start: self.position, bytes: Vec::new() });
            }
            None => {}
        }
    }

    /// Asks the host to hand typed bytes over as they come, without echo and line editing.
    pub(crate) fn take_control(&mut self) -> bool {
        self.input.take_control()
    }

    /// Whether a read would give something without waiting.
    pub(crate) fn input_is_ready(&mut self) -> bool {
        self.wait(Some(Duration::ZERO)).unwrap_or(true)
    }

    /// Reads what is there, or waits for the host.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        let again = self.again();
        if !again.is_empty() {
            let length = again.len().min(buffer.len());
            buffer[..length].copy_from_slice(&again[..length]);
            self.position += length as u64;
            return Ok(length);
        }
        match self.input.read(buffer) {
            Ok(read) => {
                let read = read.min(buffer.len());
                self.position += read as u64;
                match &mut self.remembered {
                    Some(remembered) if remembered.grows => {
                        remembered.bytes.extend_from_slice(&buffer[..read]);
                    }
                    remembered => *remembered = None,
                }
                Ok(read)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(Failure::Block(Wait::on(Channel::Console)))
            }
            Err(_) => Err(Errno::EIO.into()),
        }
    }

    /// Waits until the outputs that took nothing may take something, at most for `timeout`; says whether one
    /// may.
    pub(crate) fn wait_for_output(&mut self, timeout: Duration) -> bool {
        let [output, error] = self.blocked;
        let longest = if output && error { timeout / 2 } else { timeout };
        output && self.output.wait(longest).unwrap_or(true)
            || error && self.error.wait(longest).unwrap_or(true)
    }

    /// Whether an output took nothing when it was written to last, and takes nothing now.
    fn is_blocked(&mut self, which: Standard) -> bool {
        let error = which == Standard::Error;
        let sink = if error { &mut self.error } else { &mut self.output };
        self.blocked[usize::from(error)] && !sink.wait(Duration::ZERO).unwrap_or(true)
    }

    /// Whether the standard output takes something now.
    pub(crate) fn takes_output(&mut self) -> bool {
        self.output.wait(Duration::ZERO).unwrap_or(true)
    }

    /// Writes all of `bytes`, as far as the limit and the host let it; waits where it takes nothing.
    pub(crate) fn write(&mut self, which: Standard, bytes: &[u8]) -> Result<usize, Failure> {
        let length = self.output_room.min(bytes.len() as u64) as usize;
        if length == 0 && !bytes.is_empty() {
            return Err(Errno::ENOSPC.into());
        }
        let sink = if which == Standard::Error { &mut self.error } else { &mut self.output };
        let mut done = 0;
        while done < length {
            match sink.write(&bytes[done..length]) {
                Ok(0) => break,
                Ok(written) => done += written.min(length - done),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) if done > 0 => break,
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Err(Errno::EPIPE.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked[usize::from(which == Standard::Error)] = true;
                    return Err(Failure::Block(Wait::on(Channel::Output)));
                }
                Err(_) => return Err(Errno::EIO.into()),
            }
        }
        self.blocked[usize::from(which == Standard::Error)] = false;
        self.output_room -= done as u64;
        if done == 0 && length > 0 { Err(Errno::EIO.into()) } else { Ok(done) }
    }
}

impl std::fmt::Debug for Streams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streams").field("output_room", &self.output_room).finish_non_exhaustive()
    }
}

/// Output that the host has stays there; input is read again.
impl Family for Streams {
    fn keep(&self) -> Kept {
        Box::new(KeptStreams { output_room: self.output_room, position: self.position })
    }

    fn put_back(&mut self, kept: &Kept) {
        if let Some(kept) = kept.downcast_ref::<KeptStreams>() {
            self.output_room = kept.output_room;
            self.position = kept.position;
        }
    }
}

impl Default for Streams {
    /// Nothing to read, and nobody who listens.
    fn default() -> Self {
        Self::new(Box::new(Bytes::default()), Box::new(Discard), Box::new(Discard), u64::MAX)
    }
}

/// An open standard stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamFile(pub(crate) Standard);

impl Object for StreamFile {
    fn read(&self, files: &mut Files, access: &Transfer<'_>, buffer: &mut [u8]) -> Result<usize, Failure> {
        if self.0 != Standard::Input {
            return Err(Errno::EBADF.into());
        }
        match files.streams().read(buffer) {
            Err(Failure::Block(wait)) => access.block(wait),
            other => other,
        }
    }

    fn write(&self, files: &mut Files, access: &Transfer<'_>, bytes: &[u8]) -> Result<usize, Failure> {
        if self.0 == Standard::Input {
            return Err(Errno::EBADF.into());
        }
        match files.streams().write(self.0, bytes) {
            Err(Failure::Block(wait)) => access.block(wait),
            other => other,
        }
    }

    fn readiness(&self, files: &mut Files, _: &Caller<'_>, _: OpenFlags) -> Readiness {
        if self.0 != Standard::Input {
            return match files.streams().is_blocked(self.0) {
                true => Readiness::on(Channel::Output),
                false => Readiness::default().with(Events::WRITABLE, true),
            };
        }
        // Who waits although there is input waits for something else, and must not be woken by
        // that input again and again.
        match files.streams().input_is_ready() {
            true => Readiness::default().with(Events::READABLE, true),
            false => Readiness::on(Channel::Console),
        }
    }

    fn readable_bytes(&self, _: &mut Files, _: &Transfer<'_>) -> Result<u32, Errno> {
        Ok(0)
    }

    fn request(
        &self,
        files: &mut Files,
        access: &Transfer<'_>,
        request: &Request<'_>,
    ) -> Result<Reply, Failure> {
        Ok(files.stream_request(access.caller, self.0, request.number)?)
    }

    fn check_reopening(&self) -> Result<(), Errno> {
        Ok(())
    }
}

impl Files {
    /// The host's ends of the standard streams.
    pub(crate) fn streams(&mut self) -> &mut Streams {
        self.families.get_mut()
    }

    /// The size of the terminal behind a standard stream, if it is one.
    pub(crate) fn terminal_size(&mut self, which: Standard) -> Option<TerminalSize> {
        self.streams().terminal_size(which)
    }

    /// Whether input is to be remembered from here on: while there are snapshots.
    pub(crate) fn remember_input(&mut self, snapshots: bool) {
        self.streams().remember(snapshots);
    }

    /// Waits until an output that took nothing may take something, at most for `timeout`; says whether one
    /// may.
    pub(crate) fn wait_for_output(&mut self, timeout: Duration) -> bool {
        self.streams().wait_for_output(timeout)
    }

    /// Waits until standard input has something to say, at most for `timeout` (`None`: for ever).
    ///
    /// # Errors
    /// Whatever keeps the host from waiting.
    pub(crate) fn wait_for_input(&mut self, timeout: Option<Duration>) -> io::Result<bool> {
        self.streams().wait(timeout)
    }
}
