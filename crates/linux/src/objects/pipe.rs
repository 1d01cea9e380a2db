//! Pipes and fifos (pipe(7)).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::description::{Description, OpenFlags};
use super::files::Files;
use super::object::{Object, Transfer};
use super::readiness::{Events, Readiness};
use super::states::{Family, Kept, State};
use crate::arena::Id;
use crate::errno::Errno;
use crate::vfs::{Attributes, Caller, FileType, Vnode};
use crate::wait::{Channel, Failure, Wait};

/// Writes up to this many bytes are never torn apart.
const PIPE_BUF: usize = 4096;

/// Capacity of a new pipe.
const DEFAULT_CAPACITY: usize = 65_536;

/// Largest capacity that F_SETPIPE_SZ gives (`/proc/sys/fs/pipe-max-size`).
const MAX_CAPACITY: usize = 1 << 20;

/// Bytes on their way from writers to readers.
#[derive(Clone, Debug)]
pub(crate) struct Pipe {
    bytes: VecDeque<u8>,
    capacity: usize,
    /// Descriptions that can read.
    readers: u32,
    /// Descriptions that can write.
    writers: u32,
    /// What those wait for that wait for this pipe.
    channel: Channel,
    /// Times that the other end was opened: a fifo's `open` waits for a change.
    reader_openings: u64,
    /// The same for writers.
    writer_openings: u64,
}

impl Pipe {
    /// An empty pipe without ends.
    fn new(channel: Channel) -> Self {
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
    fn held(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes that can be written now.
    fn room(&self) -> usize {
        self.capacity.saturating_sub(self.bytes.len())
    }

    /// The capacity in bytes.
    fn capacity(&self) -> usize {
        self.capacity
    }

    /// F_SETPIPE_SZ: rounded up to a power of two of pages; EBUSY below what the pipe holds.
    fn set_capacity(&mut self, wanted: u32) -> Result<usize, Errno> {
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
    fn read(&mut self, buffer: &mut [u8]) -> Option<usize> {
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
    fn peek(&self, length: usize) -> Vec<u8> {
        self.bytes.iter().take(length).copied().collect()
    }

    /// Puts in as many bytes as go: all or none up to [`PIPE_BUF`]. `Ok(None)` where a writer has
    /// to wait; EPIPE where nobody will read.
    fn write(&mut self, bytes: &[u8]) -> Result<Option<usize>, Errno> {
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

impl State for Pipe {
    fn held_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }
}

/// What opening a fifo gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Opened {
    /// An open file.
    Ready(Id<Description>),
    /// An end of a fifo that waits for the other: [`Files::fifo_is_ready`] tells when it has come.
    Waits(Id<Description>),
}

/// The pipe behind each fifo that is open.
#[derive(Clone, Default)]
struct Fifos(BTreeMap<Vnode, Id<Pipe>>);

impl Family for Fifos {
    fn keep(&self) -> Kept {
        Box::new(self.clone())
    }

    fn put_back(&mut self, kept: &Kept) {
        if let Some(kept) = kept.downcast_ref() {
            Self::clone_from(self, kept);
        }
    }
}

/// An end of a pipe, or both for a fifo opened for reading and writing: the flags of the
/// description tell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PipeEnd(Id<Pipe>);

impl Object for PipeEnd {
    fn opened(&self, files: &mut Files, flags: OpenFlags) {
        files.states.hold(self.0);
        let pipe = &mut files.states[self.0];
        if flags.reads() {
            pipe.readers += 1;
            pipe.reader_openings += 1;
        }
        if flags.writes() {
            pipe.writers += 1;
            pipe.writer_openings += 1;
        }
        let channel = pipe.channel;
        files.wake(channel);
    }

    fn closed(&self, files: &mut Files, _: Id<Description>, flags: OpenFlags) {
        let pipe = &mut files.states[self.0];
        pipe.readers -= u32::from(flags.reads());
        pipe.writers -= u32::from(flags.writes());
        let channel = pipe.channel;
        files.wake(channel);
        if let Some(pipe) = files.states.release(self.0) {
            files.in_flight = files.in_flight.saturating_sub(pipe.held_bytes());
            files.families.get_mut::<Fifos>().0.retain(|_, fifo| *fifo != self.0);
            files.forget_channel(channel);
        }
    }

    fn read(&self, files: &mut Files, access: &Transfer<'_>, buffer: &mut [u8]) -> Result<usize, Failure> {
        let pipe = &mut files.states[self.0];
        let channel = pipe.channel;
        let Some(read) = pipe.read(buffer) else { return access.block(Wait::on(channel)) };
        files.in_flight = files.in_flight.saturating_sub(read as u64);
        if read > 0 {
            files.wake(channel);
        }
        Ok(read)
    }

    fn write(&self, files: &mut Files, access: &Transfer<'_>, bytes: &[u8]) -> Result<usize, Failure> {
        let spent = files.in_flight >= files.most_in_flight();
        let pipe = &mut files.states[self.0];
        let channel = pipe.channel;
        let written = if spent && pipe.readers > 0 { None } else { pipe.write(bytes)? };
        let Some(written) = written else { return access.block(Wait::on(channel)) };
        files.in_flight += written as u64;
        files.vfs.account.note(written as u64);
        files.wake(channel);
        Ok(written)
    }

    fn readiness(&self, files: &mut Files, _: &Caller<'_>, flags: OpenFlags) -> Readiness {
        let pipe = &files.states[self.0];
        let mut readiness = Readiness::on(pipe.channel);
        if flags.reads() {
            readiness = readiness
                .with(Events::READABLE, pipe.held() > 0)
                .with(Events::HUP, pipe.writers == 0 && pipe.writer_openings > 0);
        }
        if flags.writes() {
            readiness = readiness
                .with(Events::WRITABLE, pipe.room() >= PIPE_BUF.min(pipe.capacity()))
                .with(Events::ERR, pipe.readers == 0);
        }
        readiness
    }

    fn readable_bytes(&self, files: &mut Files, _: &Transfer<'_>) -> Result<u32, Errno> {
        Ok(files.states[self.0].held() as u32)
    }

    fn check_reopening(&self) -> Result<(), Errno> {
        Ok(())
    }

    fn check_allocation(&self) -> Result<(), Errno> {
        Err(Errno::ESPIPE)
    }

    fn check_advice(&self) -> Result<(), Errno> {
        Err(Errno::ESPIPE)
    }
}

impl Files {
    /// Makes a pipe; its reading and its writing end.
    pub(crate) fn pipe(&mut self, caller: &Caller<'_>, flags: OpenFlags) -> [Id<Description>; 2] {
        let channel = self.new_channel();
        let id = self.states.insert(Pipe::new(channel));
        let owner = caller.credentials.owner();
        let attributes = Attributes::new(FileType::Fifo, 0o600, owner, caller.view.now);
        let vnode = self.vfs.make_anonymous(attributes, "pipe");
        let object = Arc::new(PipeEnd(id));
        let reader = self.add_description(object.clone(), vnode, flags);
        let writer = self.add_description(object, vnode, flags | OpenFlags::O_WRONLY);
        // The descriptions hold the pipe now.
        self.states.release(id);
        [reader, writer]
    }

    /// Opens an end of a fifo.
    pub(crate) fn open_fifo(&mut self, file: Vnode, flags: OpenFlags) -> Result<Opened, Errno> {
        if !flags.reads() && !flags.writes() {
            return Err(Errno::EINVAL);
        }
        let known = self.families.get::<Fifos>().and_then(|fifos| fifos.0.get(&file).copied());
        let waits_for_reader = !flags.reads() && known.is_none_or(|id| self.states[id].readers == 0);
        let waits_for_writer = !flags.writes() && known.is_none_or(|id| self.states[id].writers == 0);
        if flags.contains(OpenFlags::O_NONBLOCK) && waits_for_reader {
            return Err(Errno::ENXIO);
        }
        let id = known.unwrap_or_else(|| {
            let channel = self.new_channel();
            self.states.insert(Pipe::new(channel))
        });
        self.families.get_mut::<Fifos>().0.insert(file, id);
        let description = self.add_description(Arc::new(PipeEnd(id)), file, flags);
        if known.is_none() {
            self.states.release(id);
        }
        let waits = waits_for_reader || waits_for_writer;
        if waits && !flags.contains(OpenFlags::O_NONBLOCK) {
            // What a later opening of the other end has to exceed.
            let pipe = &self.states[id];
            let openings = if flags.reads() { pipe.writer_openings } else { pipe.reader_openings };
            self.set_offset(description, openings);
            return Ok(Opened::Waits(description));
        }
        Ok(Opened::Ready(description))
    }

    /// Whether the other end of a fifo has been opened since this one began to wait; if not, the
    /// channel to wait for.
    pub(crate) fn fifo_is_ready(&mut self, id: Id<Description>) -> Result<(), Channel> {
        let description = self.description(id);
        let Some(PipeEnd(pipe)) = description.as_kind() else { return Ok(()) };
        let pipe = &self.states[*pipe];
        let reads = description.flags.reads();
        let openings = if reads { pipe.writer_openings } else { pipe.reader_openings };
        if openings == description.offset {
            return Err(pipe.channel);
        }
        self.set_offset(id, 0);
        Ok(())
    }

    fn pipe_of(&self, id: Id<Description>) -> Option<Id<Pipe>> {
        self.description(id).as_kind().map(|PipeEnd(pipe)| *pipe)
    }

    /// Whether a description is an end of a pipe or fifo.
    pub(crate) fn is_pipe(&self, id: Id<Description>) -> bool {
        self.pipe_of(id).is_some()
    }

    /// The capacity of the pipe behind a description (F_GETPIPE_SZ).
    pub(crate) fn pipe_capacity(&self, id: Id<Description>) -> Result<u32, Errno> {
        let pipe = self.pipe_of(id).ok_or(Errno::EBADF)?;
        Ok(self.states[pipe].capacity() as u32)
    }

    /// Sets the capacity of the pipe behind a description (F_SETPIPE_SZ).
    pub(crate) fn set_pipe_capacity(&mut self, id: Id<Description>, wanted: u32) -> Result<u32, Errno> {
        let pipe = self.pipe_of(id).ok_or(Errno::EBADF)?;
        let pipe = &mut self.states[pipe];
        let capacity = pipe.set_capacity(wanted)?;
        let channel = pipe.channel;
        self.wake(channel);
        Ok(capacity as u32)
    }

    /// Copies what a pipe holds without taking it; 0 once it is empty and has no writer.
    pub(crate) fn peek_pipe(&self, id: Id<Description>, buffer: &mut [u8]) -> Result<usize, Failure> {
        let pipe = self.pipe_of(id).ok_or(Errno::EINVAL)?;
        let flags = self.description(id).flags;
        if !flags.reads() {
            return Err(Errno::EBADF.into());
        }
        let pipe = &self.states[pipe];
        let bytes = pipe.peek(buffer.len());
        if bytes.is_empty() && pipe.writers > 0 && !buffer.is_empty() {
            return Err(if flags.contains(OpenFlags::O_NONBLOCK) {
                Errno::EAGAIN.into()
            } else {
                Failure::Block(Wait::on(pipe.channel))
            });
        }
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }
}
