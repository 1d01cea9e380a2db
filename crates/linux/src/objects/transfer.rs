//! Moving bytes in and out of open files, and moving their offsets.

use std::sync::Arc;

use super::description::{Description, Object, OpenFlags};
use super::files::{FileSystem, IN_FLIGHT_MAX};
use super::stream::Standard;
use crate::arena::Id;
use crate::errno::Errno;
use crate::objects::socket::state::Sending;
use crate::vfs::{Caller, Entry, Vnode};
use crate::wait::{Failure, Wait};

/// From where lseek(2) counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Whence {
    /// The start.
    Set,
    /// The offset.
    Current,
    /// The end.
    End,
    /// The next byte that is not in a hole.
    Data,
    /// The next hole.
    Hole,
}

impl FileSystem {
    /// Reads from an open file, at `position` or where it stands.
    pub(crate) fn read(
        &mut self,
        caller: &Caller<'_>,
        id: Id<Description>,
        position: Option<u64>,
        buffer: &mut [u8],
    ) -> Result<usize, Failure> {
        let description = &self.descriptions[id];
        if !description.flags.reads() {
            return Err(Errno::EBADF.into());
        }
        let (object, vnode) = (description.object, description.vnode);
        let waits = !description.flags.contains(OpenFlags::O_NONBLOCK);
        if position.is_some() && !matches!(object, Object::File | Object::Device(_)) {
            return Err(not_seekable(object).into());
        }
        match object {
            Object::File => {
                let offset = position.unwrap_or(description.offset);
                let read = self.read_file(caller, id, vnode, offset, buffer)?;
                if position.is_none() {
                    self.descriptions[id].offset = offset + read as u64;
                }
                Ok(read)
            }
            Object::Directory => Err(Errno::EISDIR.into()),
            Object::Path => Err(Errno::EBADF.into()),
            Object::Device(device) => Ok(self.read_device(device, buffer)?),
            Object::Pipe(pipe) => {
                let pipe = &mut self.pipes[pipe];
                let channel = pipe.channel;
                match pipe.read(buffer) {
                    Some(read) => {
                        self.in_flight = self.in_flight.saturating_sub(read as u64);
                        if read > 0 {
                            self.wake(channel);
                        }
                        Ok(read)
                    }
                    None if waits => Err(Failure::Block(Wait::on(channel))),
                    None => Err(Errno::EAGAIN.into()),
                }
            }
            Object::Stream(Standard::Input) => match self.streams.read(buffer) {
                Err(Failure::Block(_)) if !waits => Err(Errno::EAGAIN.into()),
                other => other,
            },
            Object::Stream(_) => Err(Errno::EBADF.into()),
            Object::Counter(_) | Object::Timer(_) => {
                let target = buffer.first_chunk_mut().ok_or(Errno::EINVAL)?;
                let count = self.read_count(caller, object, waits)?;
                *target = count.to_le_bytes();
                Ok(target.len())
            }
            Object::Terminal(terminal) => {
                self.adopt_console(caller, terminal);
                self.read_terminal(caller, terminal, buffer, waits)
            }
            Object::Master(terminal) => self.read_master(terminal, buffer, waits),
            Object::Socket(socket) => {
                let received = self.receive(socket, buffer, false, !waits)?;
                self.doomed.extend(received.rights);
                self.close_doomed();
                Ok(received.length)
            }
            Object::Signals(_) | Object::Epoll(_) | Object::Process(..) => Err(Errno::EINVAL.into()),
        }
    }

    /// Takes the count of an event counter or timer.
    fn read_count(&mut self, caller: &Caller<'_>, object: Object, waits: bool) -> Result<u64, Failure> {
        let (count, wait) = match object {
            Object::Counter(counter) => {
                let counter = &mut self.counters[counter];
                (counter.read(), Wait::on(counter.channel))
            }
            Object::Timer(timer) => {
                let timer = &mut self.timers[timer];
                let count = timer.read(caller.view.monotonic);
                (count, Wait::on(timer.channel).until(timer.deadline()))
            }
            _ => return Err(Errno::EINVAL.into()),
        };
        match count {
            Some(count) => {
                for channel in wait.channels {
                    self.wake(channel);
                }
                Ok(count)
            }
            None if waits => Err(Failure::Block(wait)),
            None => Err(Errno::EAGAIN.into()),
        }
    }

    fn read_file(
        &mut self,
        caller: &Caller<'_>,
        id: Id<Description>,
        vnode: Vnode,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize, Errno> {
        if vnode.volume != self.system {
            return self.read_content(&caller.view, vnode, offset, buffer);
        }
        // A file of /proc keeps what it said until it is read from its start again.
        let text = match &self.descriptions[id].text {
            Some(text) if offset > 0 => text.clone(),
            _ => {
                let text: Arc<[u8]> = self.system_text(caller, vnode)?.into();
                self.descriptions[id].text = Some(text.clone());
                text
            }
        };
        let rest = usize::try_from(offset).ok().and_then(|offset| text.get(offset..)).unwrap_or(&[]);
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    /// Reads a file that need not be open: programs, mapped pages.
    pub(crate) fn read_vnode(
        &mut self,
        caller: &Caller<'_>,
        vnode: Vnode,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize, Errno> {
        self.read_content(&caller.view, vnode, offset, buffer)
    }

    /// Writes to an open file, at `position` or where it stands. EPIPE goes with SIGPIPE.
    pub(crate) fn write(
        &mut self,
        caller: &Caller<'_>,
        id: Id<Description>,
        position: Option<u64>,
        bytes: &[u8],
    ) -> Result<usize, Failure> {
        let description = &self.descriptions[id];
        if !description.flags.writes() {
            return Err(Errno::EBADF.into());
        }
        let (object, vnode, flags) = (description.object, description.vnode, description.flags);
        let waits = !flags.contains(OpenFlags::O_NONBLOCK);
        if position.is_some() && !matches!(object, Object::File | Object::Device(_)) {
            return Err(not_seekable(object).into());
        }
        match object {
            Object::File => {
                let offset = if flags.contains(OpenFlags::O_APPEND) {
                    self.attributes(caller, vnode)?.size
                } else {
                    position.unwrap_or(description.offset)
                };
                let room = caller.view.file_size.saturating_sub(offset);
                if room == 0 && !bytes.is_empty() {
                    return Err(Errno::EFBIG.into());
                }
                let bytes = &bytes[..bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX))];
                let written = self.write_content(&caller.view, vnode, offset, bytes)?;
                if position.is_none() {
                    self.descriptions[id].offset = offset + written as u64;
                }
                Ok(written)
            }
            Object::Directory | Object::Path => Err(Errno::EBADF.into()),
            Object::Device(device) => Ok(self.write_device(device, bytes)?),
            Object::Pipe(pipe) => {
                let pipe = &mut self.pipes[pipe];
                let channel = pipe.channel;
                let spent = self.in_flight >= IN_FLIGHT_MAX && pipe.readers > 0;
                match if spent { None } else { pipe.write(bytes)? } {
                    Some(written) => {
                        self.in_flight += written as u64;
                        self.wake(channel);
                        Ok(written)
                    }
                    None if waits => Err(Failure::Block(Wait::on(channel))),
                    None => Err(Errno::EAGAIN.into()),
                }
            }
            Object::Stream(Standard::Input) => Err(Errno::EBADF.into()),
            Object::Stream(which) => Ok(self.streams.write(which, bytes)?),
            Object::Counter(counter) => {
                let more = u64::from_le_bytes(*bytes.first_chunk().ok_or(Errno::EINVAL)?);
                let counter = &mut self.counters[counter];
                let channel = counter.channel;
                match counter.write(more)? {
                    Some(()) => {
                        self.wake(channel);
                        Ok(8)
                    }
                    None if waits => Err(Failure::Block(Wait::on(channel))),
                    None => Err(Errno::EAGAIN.into()),
                }
            }
            Object::Terminal(terminal) => {
                self.adopt_console(caller, terminal);
                self.write_terminal(caller, terminal, bytes, waits)
            }
            Object::Master(terminal) => {
                self.type_bytes(terminal, bytes);
                Ok(bytes.len())
            }
            Object::Socket(socket) => {
                let sender = caller.own_peer();
                let sending = Sending { immediate: !waits, sender, ..Sending::default() };
                self.send(caller, socket, bytes, &sending)
            }
            Object::Timer(_) | Object::Signals(_) | Object::Epoll(_) | Object::Process(..) => {
                Err(Errno::EINVAL.into())
            }
        }
    }

    /// Moves the offset (lseek(2)).
    pub(crate) fn seek(
        &mut self,
        caller: &Caller<'_>,
        id: Id<Description>,
        offset: i64,
        whence: Whence,
    ) -> Result<u64, Errno> {
        let description = &self.descriptions[id];
        let (object, vnode, held) = (description.object, description.vnode, description.offset);
        match object {
            Object::File | Object::Directory => {}
            Object::Device(_) => return Ok(0),
            Object::Path => return Err(Errno::EBADF),
            _ => return Err(Errno::ESPIPE),
        }
        let base = match whence {
            Whence::Set => 0,
            Whence::Current => held,
            Whence::End => self.attributes(caller, vnode)?.size,
            Whence::Data | Whence::Hole => {
                return self.seek_data(caller, id, offset, whence == Whence::Data);
            }
        };
        let target = i64::try_from(base).ok().and_then(|base| base.checked_add(offset));
        let target = target.ok_or(Errno::EOVERFLOW)?;
        let target = u64::try_from(target).map_err(|_| Errno::EINVAL)?;
        self.descriptions[id].offset = target;
        if object == Object::Directory && target == 0 {
            self.forget_listing(id);
        }
        Ok(target)
    }

    fn seek_data(
        &mut self,
        caller: &Caller<'_>,
        id: Id<Description>,
        offset: i64,
        data: bool,
    ) -> Result<u64, Errno> {
        let vnode = self.descriptions[id].vnode;
        let offset = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
        let size = self.attributes(caller, vnode)?.size;
        if offset >= size {
            return Err(Errno::ENXIO);
        }
        let volume = &mut self.mounts.get_mut(vnode.volume)?.volume;
        let found = volume.seek(vnode.node, offset, data).unwrap_or(if data { offset } else { size });
        let found = if data && found >= size { return Err(Errno::ENXIO) } else { found };
        self.descriptions[id].offset = found;
        Ok(found)
    }

    /// The entries of an open directory from its offset on, `.` and `..` first. The list is taken
    /// once, so that cookies stay valid whatever happens to the directory.
    pub(crate) fn entries(
        &mut self,
        caller: &Caller<'_>,
        id: Id<Description>,
    ) -> Result<(Arc<[Entry]>, usize), Errno> {
        let description = &self.descriptions[id];
        if description.object != Object::Directory {
            return Err(if description.object == Object::Path { Errno::EBADF } else { Errno::ENOTDIR });
        }
        let (vnode, offset) = (description.vnode, description.offset);
        let listing = match &description.listing {
            Some(listing) => listing.clone(),
            None => {
                let listing: Arc<[Entry]> = self.list(caller, vnode)?.into();
                if self.in_flight.saturating_add(listing_size(&listing)) > IN_FLIGHT_MAX {
                    return Err(Errno::ENOMEM);
                }
                self.in_flight += listing_size(&listing);
                self.descriptions[id].listing = Some(listing.clone());
                listing
            }
        };
        let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(listing.len());
        Ok((listing, offset))
    }

    fn list(&mut self, caller: &Caller<'_>, directory: Vnode) -> Result<Vec<Entry>, Errno> {
        let parent = self.parent_of(caller.location.root, directory).unwrap_or(directory);
        let volume = &mut self.mounts.get_mut(directory.volume)?.volume;
        let own = volume.list(&caller.view, directory.node)?;
        let dot = |name: &[u8], vnode: Vnode| Entry {
            name: name.into(),
            node: vnode.node,
            file_type: crate::vfs::FileType::Directory,
        };
        let mut entries = vec![dot(b".", directory), dot(b"..", parent)];
        entries.extend(own);
        Ok(entries)
    }

    /// Drops the entries of an open directory, so that they are read again.
    fn forget_listing(&mut self, id: Id<Description>) {
        if let Some(listing) = self.descriptions[id].listing.take() {
            self.in_flight = self.in_flight.saturating_sub(listing_size(&listing));
        }
    }

    /// Notes how many entries have been handed out.
    pub(crate) fn set_offset(&mut self, id: Id<Description>, offset: u64) {
        self.descriptions[id].offset = offset;
    }
}

/// Bytes that a listing takes, roughly.
pub(crate) fn listing_size(listing: &[Entry]) -> u64 {
    listing.iter().map(|entry| (size_of::<Entry>() + entry.name.len()) as u64).sum()
}

fn not_seekable(object: Object) -> Errno {
    match object {
        Object::Directory => Errno::EISDIR,
        Object::Path => Errno::EBADF,
        _ => Errno::ESPIPE,
    }
}
