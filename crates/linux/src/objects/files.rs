//! All of a machine's files: what is mounted, what is open, and what waits to be told.

use std::collections::BTreeMap;

use super::description::{Description, Object, OpenFlags};
use super::descriptor::Descriptors;
use super::epoll::Epoll;
use super::event::{Counter, Timer};
use super::pipe::Pipe;
use super::socket::bridge;
use super::socket::state::{Socket, SocketName};
use super::stream::{Standard, Streams};
use super::terminal::Terminal;
use super::transfer;
use crate::arena::{Arena, Id};
use crate::errno::Errno;
use crate::random::Random;
use crate::signal::Signal;
use crate::vfs::{
    Attributes, Caller, Capacity, FileType, LinkTarget, LockOwner, Locks, MappedFile, Mounts, NodeId, Owner,
    ROOT, Vnode, VolumeId,
};
use crate::wait::{Channel, Failure, Wait};

/// What a file system says to a change that it does not know at all.
pub(crate) const MAY_NOT: Errno = Errno::EPERM;

/// Bytes that all pipes, sockets and directory listings of a machine hold together: far more than
/// programs need, and what a hostile one can take from the host at most. Beyond it writers wait.
pub(crate) const IN_FLIGHT_MAX: u64 = 256 << 20;

/// Root, working directory and umask (shared by CLONE_FS).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Location {
    /// Where `/` leads.
    pub(crate) root: Vnode,
    /// Where relative paths start.
    pub(crate) working_directory: Vnode,
    /// Permission bits that new files do not get.
    pub(crate) umask: u32,
}

impl Default for Location {
    /// The root of the machine, and the umask that login(1) leaves.
    fn default() -> Self {
        let root = Vnode { volume: VolumeId(0), node: ROOT };
        Self { root, working_directory: root, umask: 0o022 }
    }
}

/// A file without a name: a pipe, a socket, an event counter...
#[derive(Clone, Debug)]
pub(crate) struct Anonymous {
    pub(crate) attributes: Attributes,
    pub(crate) object: Object,
    /// What `/proc/PID/fd` shows, before the number in brackets if that is part of it.
    pub(crate) label: &'static str,
    /// Open descriptions.
    pub(crate) holders: u32,
}

/// All mounts and open files of a machine.
pub(crate) struct FileSystem {
    pub(crate) mounts: Mounts,
    /// `/proc`.
    pub(crate) system: VolumeId,
    /// A volume that is mounted nowhere, for memfd_create(2).
    pub(crate) nameless: VolumeId,
    pub(crate) descriptions: Arena<Description>,
    pub(crate) pipes: Arena<Pipe>,
    pub(crate) counters: Arena<Counter>,
    pub(crate) timers: Arena<Timer>,
    pub(crate) epolls: Arena<Epoll>,
    pub(crate) terminals: Arena<Terminal>,
    /// The terminal that the standard streams are.
    pub(crate) console: Option<Id<Terminal>>,
    /// The host's user has ended the console's input.
    pub(crate) console_ended: bool,
    /// Signals for process groups.
    pub(crate) signals: Vec<(u32, Signal)>,
    /// `/dev/pts`.
    pub(crate) pseudo_terminals: VolumeId,
    pub(crate) sockets: Arena<Socket>,
    /// Bound sockets.
    pub(crate) names: BTreeMap<SocketName, Id<Socket>>,
    /// Descriptions that are to be closed: one that closes may hold others, which may hold others.
    pub(crate) doomed: Vec<Id<Description>>,
    pub(crate) locks: Locks,
    /// How often each channel has been woken while there are epoll sets, which report edges by it.
    pub(crate) activity: BTreeMap<Channel, u64>,
    /// The pipe behind each fifo that is open.
    pub(crate) fifos: BTreeMap<Vnode, Id<Pipe>>,
    pub(crate) anonymous: BTreeMap<NodeId, Anonymous>,
    /// The next number of an anonymous file or a channel.
    pub(crate) next_number: u64,
    pub(crate) streams: Streams,
    pub(crate) random: Random,
    /// Bytes in pipes, sockets and listings; see [`IN_FLIGHT_MAX`].
    pub(crate) in_flight: u64,
    /// Open files that messages hold.
    pub(crate) rights_in_flight: usize,
    /// The host's network, and the sockets of it that stand for some of the machine's.
    pub(crate) outside: bridge::Outside,
    /// Sockets closed since such messages were last looked through.
    pub(crate) closed_sockets: usize,
    pub(crate) woken: Vec<Channel>,
    /// The files that are mapped shared.
    pub(crate) mapped: BTreeMap<Vnode, MappedFile>,
    pub(crate) capacity: Capacity,
    /// Whom files of host folders belong to.
    pub(crate) owner: Owner,
}

impl FileSystem {
    /// The channels on which something has happened since the last call, in order.
    pub(crate) fn take_woken(&mut self) -> Vec<Channel> {
        std::mem::take(&mut self.woken)
    }

    pub(crate) fn wake(&mut self, channel: Channel) {
        if self.woken.last() != Some(&channel) {
            self.woken.push(channel);
        }
        if self.epolls.iter().next().is_some() {
            let count = self.activity.entry(channel).or_default();
            *count = count.wrapping_add(1);
        }
    }

    pub(crate) fn new_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    pub(crate) fn new_channel(&mut self) -> Channel {
        Channel::File(self.new_number())
    }

    /// An open description.
    pub(crate) fn description(&self, id: Id<Description>) -> &Description {
        &self.descriptions[id]
    }

    /// An open description, to change its flags.
    pub(crate) fn description_mut(&mut self, id: Id<Description>) -> &mut Description {
        &mut self.descriptions[id]
    }

    /// Adds a holder to a description (dup, fork, SCM_RIGHTS).
    pub(crate) fn hold(&mut self, id: Id<Description>) -> Id<Description> {
        self.descriptions.hold(id)
    }

    /// Whether the machine has as many open files as it may (`/proc/sys/fs/file-max`).
    pub(crate) fn has_too_many_files(&self) -> bool {
        const FILE_MAX: usize = 1 << 20;
        self.descriptions.len() > FILE_MAX
    }

    /// Takes a holder from a description, which the last one closes.
    pub(crate) fn close(&mut self, id: Id<Description>) {
        self.doomed.push(id);
        self.close_doomed();
    }

    /// Closes what has lost its last reason to stay open.
    pub(crate) fn close_doomed(&mut self) {
        while let Some(id) = self.doomed.pop() {
            self.close_one(id);
        }
    }

    pub(crate) fn close_one(&mut self, id: Id<Description>) {
        let Some(description) = self.descriptions.release(id) else { return };
        let sets: Vec<Id<Epoll>> = self.epolls.iter().map(|(set, _)| set).collect();
        for set in sets {
            self.epolls[set].forget(id);
        }
        self.unlock_all(LockOwner::Description(id.number()), Some(description.vnode));
        if let Some(listing) = &description.listing {
            self.in_flight = self.in_flight.saturating_sub(transfer::listing_size(listing));
        }
        self.close_object(&description);
        self.release_vnode(description.vnode);
        if matches!(description.object, Object::Socket(_)) {
            self.collect_rights_sometimes();
        }
    }

    /// A copy of the table whose entries hold the same open files (fork).
    pub(crate) fn copy(&mut self, descriptors: &Descriptors) -> Descriptors {
        for (_, descriptor) in descriptors.iter() {
            self.descriptions.hold(descriptor.description);
        }
        descriptors.clone()
    }

    /// Drops a table and the open files that it holds (exit).
    pub(crate) fn release(&mut self, descriptors: Descriptors) {
        for (_, descriptor) in descriptors.iter() {
            self.close(descriptor.description);
        }
    }

    /// Closes the entries with FD_CLOEXEC (execve).
    pub(crate) fn close_on_exec(&mut self, descriptors: &mut Descriptors) {
        for fd in 0..descriptors.end() {
            if descriptors.get(fd).is_ok_and(|descriptor| descriptor.close_on_exec)
                && let Ok(descriptor) = descriptors.take(fd)
            {
                self.close(descriptor.description);
            }
        }
    }

    /// Keeps a file while somebody uses it without a descriptor: a mapping.
    pub(crate) fn retain_vnode(&mut self, vnode: Vnode) {
        if let Ok(mounted) = self.mounts.get_mut(vnode.volume) {
            mounted.volume.retain(vnode.node);
        } else if let Some(anonymous) = self.anonymous.get_mut(&vnode.node) {
            anonymous.holders += 1;
        }
    }

    /// Lets a file go that was retained.
    pub(crate) fn release_vnode(&mut self, vnode: Vnode) {
        if let Ok(mounted) = self.mounts.get_mut(vnode.volume) {
            mounted.volume.release(vnode.node);
        } else if let Some(anonymous) = self.anonymous.get_mut(&vnode.node) {
            anonymous.holders = anonymous.holders.saturating_sub(1);
            if anonymous.holders == 0 {
                self.anonymous.remove(&vnode.node);
            }
        }
    }

    /// A new file without a name, held by nobody yet.
    pub(crate) fn new_anonymous(
        &mut self,
        attributes: Attributes,
        object: Object,
        label: &'static str,
    ) -> Vnode {
        let node = NodeId(self.new_number());
        self.anonymous.insert(node, Anonymous { attributes, object, label, holders: 0 });
        Vnode { volume: VolumeId::ANONYMOUS, node }
    }

    pub(crate) fn anonymous_attributes(&self, caller: &Caller<'_>, file: Vnode) -> Result<Attributes, Errno> {
        let mut attributes = self.anonymous.get(&file.node).ok_or(Errno::ENOENT)?.attributes;
        attributes.accessed = caller.view.now;
        Ok(attributes)
    }

    /// The text of `/proc/PID/fd/N` for a file.
    pub(crate) fn name_of(&self, root: Vnode, file: Vnode) -> Vec<u8> {
        if let Some(anonymous) = self.anonymous.get(&file.node).filter(|_| file.volume == VolumeId::ANONYMOUS)
        {
            return match anonymous.label {
                label @ ("pipe" | "socket") => format!("{label}:[{}]", file.node.0).into_bytes(),
                label => label.as_bytes().to_vec(),
            };
        }
        self.path_of(root, file).unwrap_or_else(|| b"/ (deleted)".to_vec())
    }

    /// Registers a description of a file that is ready to be used.
    pub(crate) fn add_description(
        &mut self,
        object: Object,
        vnode: Vnode,
        flags: OpenFlags,
    ) -> Id<Description> {
        self.retain_vnode(vnode);
        self.open_object(object, flags);
        self.descriptions.insert(Description {
            object,
            vnode,
            flags: flags & OpenFlags::KEPT,
            offset: 0,
            listing: None,
            text: None,
            owner: 0,
        })
    }

    /// Accounts for one more description of an object.
    pub(crate) fn open_object(&mut self, object: Object, flags: OpenFlags) {
        match object {
            Object::Pipe(id) => {
                self.pipes.hold(id);
                let pipe = &mut self.pipes[id];
                if flags.reads() {
                    pipe.readers += 1;
                    pipe.reader_openings += 1;
                }
                if flags.writes() {
                    pipe.writers += 1;
                    pipe.writer_openings += 1;
                }
                let channel = pipe.channel;
                self.wake(channel);
            }
            Object::Counter(id) => drop(self.counters.hold(id)),
            Object::Timer(id) => drop(self.timers.hold(id)),
            Object::Epoll(id) => drop(self.epolls.hold(id)),
            Object::Socket(id) => drop(self.sockets.hold(id)),
            Object::Terminal(id) => self.open_side(id, true),
            Object::Master(id) => self.open_side(id, false),
            _ => {}
        }
    }

    /// Accounts for a description that is no more.
    pub(crate) fn close_object(&mut self, description: &Description) {
        let gone = match description.object {
            Object::Pipe(id) => {
                let pipe = &mut self.pipes[id];
                pipe.readers -= u32::from(description.flags.reads());
                pipe.writers -= u32::from(description.flags.writes());
                let channel = pipe.channel;
                self.wake(channel);
                let left = self.pipes.release(id).map(|pipe| pipe.held() as u64);
                let gone = left.is_some();
                self.in_flight = self.in_flight.saturating_sub(left.unwrap_or(0));
                if gone {
                    self.fifos.retain(|_, fifo| *fifo != id);
                }
                gone.then_some(channel)
            }
            Object::Counter(id) => self.counters.release(id).map(|counter| counter.channel),
            Object::Timer(id) => self.timers.release(id).map(|timer| timer.channel),
            Object::Epoll(id) => self.epolls.release(id).map(|epoll| epoll.channel),
            Object::Socket(id) => self.close_socket(id),
            Object::Terminal(id) => self.close_side(id, true),
            Object::Master(id) => self.close_side(id, false),
            _ => None,
        };
        if let Some(channel) = gone {
            self.activity.remove(&channel);
        }
    }

    /// A new anonymous file for an object that its creator holds once, which passes to the
    /// description.
    pub(crate) fn add_anonymous(
        &mut self,
        caller: &Caller<'_>,
        object: Object,
        label: &'static str,
        flags: OpenFlags,
    ) -> Id<Description> {
        let owner = caller.credentials.owner();
        let attributes = Attributes::new(FileType::Regular, 0o600, owner, caller.view.now);
        let vnode = self.new_anonymous(attributes, object, label);
        self.add_description(object, vnode, flags)
    }

    /// Makes an event counter (eventfd(2)).
    pub(crate) fn event_counter(
        &mut self,
        caller: &Caller<'_>,
        value: u64,
        semaphore: bool,
        flags: OpenFlags,
    ) -> Id<Description> {
        let channel = self.new_channel();
        let id = self.counters.insert(Counter::new(value, semaphore, channel));
        let flags = flags | OpenFlags::O_RDWR;
        let description = self.add_anonymous(caller, Object::Counter(id), "anon_inode:[eventfd]", flags);
        self.counters.release(id);
        description
    }

    /// Makes a timer (timerfd_create(2)).
    pub(crate) fn timer(&mut self, caller: &Caller<'_>, realtime: bool, flags: OpenFlags) -> Id<Description> {
        let channel = self.new_channel();
        let id = self.timers.insert(Timer::new(realtime, channel));
        let flags = flags | OpenFlags::O_RDWR;
        let description = self.add_anonymous(caller, Object::Timer(id), "anon_inode:[timerfd]", flags);
        self.timers.release(id);
        description
    }

    /// The timer behind a description; its waiters look again.
    pub(crate) fn timer_mut(&mut self, id: Id<Description>) -> Result<&mut Timer, Errno> {
        let Object::Timer(timer) = self.descriptions[id].object else { return Err(Errno::EINVAL) };
        let channel = self.timers[timer].channel;
        self.wake(channel);
        Ok(&mut self.timers[timer])
    }

    /// Makes a descriptor for signals (signalfd(2)).
    pub(crate) fn signal_file(
        &mut self,
        caller: &Caller<'_>,
        mask: u64,
        flags: OpenFlags,
    ) -> Id<Description> {
        let flags = flags | OpenFlags::O_RDWR;
        self.add_anonymous(caller, Object::Signals(mask), "anon_inode:[signalfd]", flags)
    }

    /// Makes a descriptor for a process (pidfd_open(2)).
    pub(crate) fn process_file(
        &mut self,
        caller: &Caller<'_>,
        number: u32,
        serial: u64,
        flags: OpenFlags,
    ) -> Id<Description> {
        let object = Object::Process(number, serial);
        self.add_anonymous(caller, object, "anon_inode:[pidfd]", flags | OpenFlags::O_RDWR)
    }

    /// Makes an epoll set (epoll_create(2)).
    pub(crate) fn epoll(&mut self, caller: &Caller<'_>) -> Id<Description> {
        let channel = self.new_channel();
        let id = self.epolls.insert(Epoll::new(channel));
        let flags = OpenFlags::O_RDWR;
        let description = self.add_anonymous(caller, Object::Epoll(id), "anon_inode:[eventpoll]", flags);
        self.epolls.release(id);
        description
    }

    /// Makes a pipe; its reading and its writing end.
    pub(crate) fn pipe(&mut self, caller: &Caller<'_>, flags: OpenFlags) -> [Id<Description>; 2] {
        let channel = self.new_channel();
        let id = self.pipes.insert(Pipe::new(channel));
        let owner = caller.credentials.owner();
        let attributes = Attributes::new(FileType::Fifo, 0o600, owner, caller.view.now);
        let vnode = self.new_anonymous(attributes, Object::Pipe(id), "pipe");
        let reader = self.add_description(Object::Pipe(id), vnode, flags);
        let writer = self.add_description(Object::Pipe(id), vnode, flags | OpenFlags::O_WRONLY);
        // The descriptions hold the pipe now.
        self.pipes.release(id);
        [reader, writer]
    }

    /// The capacity of the pipe behind a description (F_GETPIPE_SZ).
    pub(crate) fn pipe_capacity(&self, id: Id<Description>) -> Result<u32, Errno> {
        let Object::Pipe(pipe) = self.descriptions[id].object else { return Err(Errno::EBADF) };
        Ok(self.pipes[pipe].capacity() as u32)
    }

    /// Sets it (F_SETPIPE_SZ).
    pub(crate) fn set_pipe_capacity(&mut self, id: Id<Description>, wanted: u32) -> Result<u32, Errno> {
        let Object::Pipe(pipe) = self.descriptions[id].object else { return Err(Errno::EBADF) };
        let pipe = &mut self.pipes[pipe];
        let capacity = pipe.set_capacity(wanted)?;
        let channel = pipe.channel;
        self.wake(channel);
        Ok(capacity as u32)
    }

    /// Bytes that can be read without waiting (FIONREAD).
    pub(crate) fn readable_bytes(&mut self, caller: &Caller<'_>, id: Id<Description>) -> Result<u32, Errno> {
        let description = &self.descriptions[id];
        let (vnode, offset) = (description.vnode, description.offset);
        match description.object {
            Object::Pipe(pipe) => Ok(self.pipes[pipe].held() as u32),
            Object::File => {
                let left = self.attributes(caller, vnode)?.size.saturating_sub(offset);
                Ok(u32::try_from(left).unwrap_or(i32::MAX as u32))
            }
            Object::Stream(_) => Ok(0),
            Object::Socket(socket) => Ok(self.sockets[socket].readable() as u32),
            Object::Terminal(terminal) => Ok(self.terminals[terminal].readable() as u32),
            Object::Master(terminal) => Ok(self.terminals[terminal].printed() as u32),
            _ => Err(Errno::ENOTTY),
        }
    }

    /// The size of the terminal behind a standard stream, if it is one.
    pub(crate) fn terminal_size(&self, which: Standard) -> Option<crate::host::TerminalSize> {
        self.streams.terminal_size(which)
    }

    /// Waits until standard input has something to say, at most for `timeout` (`None`: for ever).
    ///
    /// # Errors
    /// Whatever keeps the host from waiting.
    pub(crate) fn wait_for_input(&mut self, timeout: Option<std::time::Duration>) -> std::io::Result<bool> {
        self.streams.wait(timeout)
    }

    /// A file in memory without a name (memfd_create(2)).
    pub(crate) fn memory_file(&mut self, caller: &Caller<'_>) -> Result<Id<Description>, Errno> {
        let directory = Vnode { volume: self.nameless, node: ROOT };
        self.open_nameless(caller, directory, OpenFlags::O_RDWR, 0o777)
    }

    /// The text of a symbolic link (readlink(2)).
    pub(crate) fn read_link(&mut self, caller: &Caller<'_>, file: Vnode) -> Result<Vec<u8>, Errno> {
        match self.link_target(caller, file)? {
            LinkTarget::Text(text) | LinkTarget::Jump(_, text) => Ok(text),
        }
    }

    /// Whether a file is the top directory of a mount.
    pub(crate) fn is_mount_root(&self, file: Vnode) -> bool {
        self.mounts.get(file.volume).is_ok_and(|mounted| mounted.volume.root() == file.node)
    }

    /// Whether a file has a path, but none below `root`.
    pub(crate) fn is_outside(&self, root: Vnode, file: Vnode) -> bool {
        let top = Location::default().root;
        self.path_of(root, file).is_none() && self.path_of(top, file).is_some()
    }

    /// Copies what a pipe holds without taking it; 0 once it is empty and has no writer.
    pub(crate) fn peek_pipe(&self, id: Id<Description>, buffer: &mut [u8]) -> Result<usize, Failure> {
        let description = &self.descriptions[id];
        let Object::Pipe(pipe) = description.object else { return Err(Errno::EINVAL.into()) };
        if !description.flags.reads() {
            return Err(Errno::EBADF.into());
        }
        let pipe = &self.pipes[pipe];
        let bytes = pipe.peek(buffer.len());
        if bytes.is_empty() && pipe.writers > 0 && !buffer.is_empty() {
            return Err(if description.flags.contains(OpenFlags::O_NONBLOCK) {
                Errno::EAGAIN.into()
            } else {
                Failure::Block(Wait::on(pipe.channel))
            });
        }
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }
}
