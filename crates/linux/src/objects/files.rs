//! All of a machine's open files, and what waits to be told of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::description::{Description, OpenFlags};
use super::descriptor::FileDescriptors;
use super::object::{Entries, Object, Reply, Request, Transfer, Whence};
use super::readiness::{Events, Readiness};
use super::states::{Families, Kept, States};
use crate::arena::{Arena, Id};
use crate::errno::Errno;
use crate::random::Random;
use crate::signal::Signal;
use crate::vfs::{
    Attributes, Caller, DeviceNumber, FileType, LockOwner, Locks, Setting, Vfs, Vnode, VolumeId,
};
use crate::wait::{Channel, Failure};
use crate::work::Work;

/// Bytes that all pipes, sockets and directory listings of a machine hold together: far more than
/// programs need, and what a hostile one can take from the host at most. Beyond it writers wait.
pub(crate) const IN_FLIGHT_MAX: u64 = 256 << 20;

/// Opens files that are more than content: a device node of some major number, a file of some
/// volume.
pub(crate) trait Opener: Sync {
    /// A new description of `file`, which is the device `device` if it is one. Rights are checked.
    fn open(
        &self,
        files: &mut Files,
        caller: &Caller<'_>,
        file: Vnode,
        device: DeviceNumber,
        flags: OpenFlags,
    ) -> Result<Id<Description>, Errno>;
}

/// The file systems of a machine and what is open on them and beside them.
pub(crate) struct Files {
    pub(crate) vfs: Vfs,
    pub(crate) descriptions: Arena<Description>,
    pub(crate) states: States,
    pub(crate) families: Families,
    /// Who opens device nodes, by major number.
    pub(crate) drivers: BTreeMap<u32, &'static dyn Opener>,
    /// Who opens the regular files of volumes that make them up.
    pub(crate) openers: BTreeMap<VolumeId, &'static dyn Opener>,
    /// Advisory locks.
    pub(crate) locks: Locks,
    /// What `/dev/urandom` says.
    pub(crate) random: Random,
    /// Bytes in pipes, sockets and listings; see [`IN_FLIGHT_MAX`].
    pub(crate) in_flight: u64,
    /// How much the call that runs has done.
    pub(crate) work: Work,
    /// Descriptions that are to be closed: one that closes may hold others, which may hold others.
    pub(crate) doomed: Vec<Id<Description>>,
    /// Who watches whom: a watched description, the set that does, and the descriptor by which it knows
    /// it. The set hears when what it watches is closed.
    pub(super) watchers: BTreeSet<(Id<Description>, Id<Description>, u32)>,
    /// What a large table that is no more held: closed piece by piece before anybody runs.
    leftovers: Vec<Id<Description>>,
    /// How often each channel has been woken while there are such sets, which report edges by it.
    activity: BTreeMap<Channel, u64>,
    /// Signals for process groups.
    signals: Vec<(u32, Signal)>,
    woken: Vec<Channel>,
    /// What was written to files of `/proc`, for the kernel to do when the call is over.
    pub(crate) settings: Vec<Setting>,
}

/// What a snapshot keeps of [`Files`].
pub(crate) struct KeptFiles {
    vfs: Vfs,
    descriptions: Arena<Description>,
    states: States,
    families: Vec<Kept>,
    locks: Locks,
    random: Random,
    in_flight: u64,
    watchers: BTreeSet<(Id<Description>, Id<Description>, u32)>,
    leftovers: Vec<Id<Description>>,
    activity: BTreeMap<Channel, u64>,
    signals: Vec<(u32, Signal)>,
    woken: Vec<Channel>,
}

impl Files {
    /// What a snapshot keeps: everything but what is the host's, and what cannot change.
    pub(crate) fn keep(&self) -> KeptFiles {
        let Self {
            vfs,
            descriptions,
            states,
            families,
            drivers: _,
            openers: _,
            locks,
            random,
            in_flight,
            work: _,
            doomed,
            watchers,
            leftovers,
            activity,
            signals,
            woken,
            settings,
        } = self;
        debug_assert!(settings.is_empty(), "what is to be set is set when the call is over");
        debug_assert!(doomed.is_empty(), "what is doomed is closed before the kernel is left");
        KeptFiles {
            vfs: vfs.clone(),
            descriptions: descriptions.clone(),
            states: states.clone(),
            families: families.keep(),
            locks: locks.clone(),
            random: random.clone(),
            in_flight: *in_flight,
            watchers: watchers.clone(),
            leftovers: leftovers.clone(),
            activity: activity.clone(),
            signals: signals.clone(),
            woken: woken.clone(),
        }
    }

    /// Makes everything what it was when `kept` was kept.
    pub(crate) fn put_back(&mut self, kept: &KeptFiles) {
        self.vfs.clone_from(&kept.vfs);
        self.descriptions.clone_from(&kept.descriptions);
        self.states.clone_from(&kept.states);
        self.families.put_back(&kept.families);
        self.locks.clone_from(&kept.locks);
        self.random = kept.random.clone();
        self.in_flight = kept.in_flight;
        self.watchers.clone_from(&kept.watchers);
        self.leftovers.clone_from(&kept.leftovers);
        self.activity.clone_from(&kept.activity);
        self.signals.clone_from(&kept.signals);
        self.woken.clone_from(&kept.woken);
        self.break_lost_connections();
    }

    /// Nothing is open.
    pub(crate) fn new(vfs: Vfs, random: Random) -> Self {
        Self {
            vfs,
            descriptions: Arena::default(),
            states: States::default(),
            families: Families::default(),
            drivers: BTreeMap::new(),
            openers: BTreeMap::new(),
            locks: Locks::new(Channel::File(0)),
            random,
            in_flight: 0,
            work: Work::default(),
            doomed: Vec::new(),
            watchers: BTreeSet::new(),
            leftovers: Vec::new(),
            activity: BTreeMap::new(),
            signals: Vec::new(),
            woken: Vec::new(),
            settings: Vec::new(),
        }
    }

    /// Bytes of the host's memory that files and what is open on them take.
    pub(crate) fn held_bytes(&self) -> u64 {
        /// An open file, its object and its state.
        const OPEN: u64 = 400;
        /// An entry of a small map.
        const SMALL: u64 = 96;
        let entries = 2 * self.watchers.len() + self.activity.len() + self.locks.count();
        self.vfs.held_bytes()
            + self.states.held_bytes()
            + self.descriptions.len() as u64 * OPEN
            + (entries + self.leftovers.len()) as u64 * SMALL
    }

    /// Bytes that all pipes, sockets and directory listings of the machine may hold together.
    pub(super) fn most_in_flight(&self) -> u64 {
        IN_FLIGHT_MAX.min(self.vfs.account.share_in_flight())
    }

    /// The channels on which something has happened since the last call, in order.
    pub(crate) fn take_woken(&mut self) -> Vec<Channel> {
        std::mem::take(&mut self.woken)
    }

    /// Tells whoever waits for `channel` to look again.
    pub(crate) fn wake(&mut self, channel: Channel) {
        if self.woken.last() != Some(&channel) {
            self.woken.push(channel);
        }
        if !self.watchers.is_empty() {
            let count = self.activity.entry(channel).or_default();
            *count = count.wrapping_add(1);
        }
    }

    /// A channel that nothing else has had.
    pub(crate) fn new_channel(&mut self) -> Channel {
        Channel::File(self.vfs.new_number())
    }

    /// How much has happened on the channels of a file, for edges.
    pub(crate) fn activity_of(&self, readiness: &Readiness) -> u64 {
        let count = |channel| self.activity.get(channel).copied().unwrap_or_default();
        readiness.channels.iter().map(count).fold(0, u64::wrapping_add)
    }

    /// Nobody will wait for `channel` any more.
    pub(crate) fn forget_channel(&mut self, channel: Channel) {
        self.activity.remove(&channel);
    }

    /// Sends a signal to a process group when the call is over.
    pub(crate) fn signal_group(&mut self, group: u32, signal: Signal) {
        if group != 0 {
            self.signals.push((group, signal));
        }
    }

    /// The signals that terminals have sent to process groups since the last call.
    pub(crate) fn take_signals(&mut self) -> Vec<(u32, Signal)> {
        std::mem::take(&mut self.signals)
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

    /// Registers a description of a file that is ready to be used.
    pub(crate) fn add_description(
        &mut self,
        object: Arc<dyn Object>,
        vnode: Vnode,
        flags: OpenFlags,
    ) -> Id<Description> {
        self.vfs.retain(vnode);
        object.opened(self, flags);
        let flags = flags & OpenFlags::KEPT;
        self.descriptions.insert(Description { object, vnode, flags, offset: 0, owner: 0 })
    }

    /// A description of an object with an anonymous file of its own, whose type and permissions are
    /// `file_type` and `mode`, and whose name in `/proc/PID/fd` is `label`.
    pub(crate) fn add_anonymous(
        &mut self,
        caller: &Caller<'_>,
        object: Arc<dyn Object>,
        (file_type, mode): (FileType, u32),
        label: &'static str,
        flags: OpenFlags,
    ) -> Id<Description> {
        let owner = caller.credentials.owner();
        let attributes = Attributes::new(file_type, mode, owner, caller.view.now);
        let vnode = self.vfs.make_anonymous(attributes, label);
        self.add_description(object, vnode, flags)
    }

    /// The sets that watch a description, and by which descriptors.
    pub(super) fn watchers_of(
        &self,
        id: Id<Description>,
    ) -> impl Iterator<Item = (Id<Description>, u32)> + '_ {
        let (first, last) = (Id::from_number(0), Id::from_number(u32::MAX));
        self.watchers.range((id, first, 0)..=(id, last, u32::MAX)).map(|(_, set, fd)| (*set, *fd))
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

    fn close_one(&mut self, id: Id<Description>) {
        let Some(description) = self.descriptions.release(id) else { return };
        let watchers: Vec<(Id<Description>, u32)> = self.watchers_of(id).collect();
        for (set, fd) in watchers {
            self.watchers.remove(&(id, set, fd));
            let object = self.descriptions[set].object.clone();
            object.forget(self, (fd, id));
        }
        self.unlock_all(LockOwner::Description(id.number()), Some(description.vnode));
        self.vfs.release(description.vnode);
        description.object.closed(self, id, description.flags);
    }

    /// A copy of the table whose entries hold the same open files (fork).
    pub(crate) fn copy(&mut self, descriptors: &FileDescriptors) -> FileDescriptors {
        for (_, descriptor) in descriptors.iter() {
            self.descriptions.hold(descriptor.description);
        }
        descriptors.clone()
    }

    /// Drops a table and the open files that it holds (exit). Those of a large table are
    /// [left over](Self::close_leftovers).
    pub(crate) fn release(&mut self, descriptors: FileDescriptors) {
        const AT_ONCE: usize = 1024;
        let held: Vec<Id<Description>> = descriptors.iter().map(|(_, entry)| entry.description).collect();
        if held.len() > AT_ONCE {
            self.leftovers.extend(held.into_iter().rev());
            return;
        }
        for description in held {
            self.close(description);
        }
        debug_assert!(self.in_flight <= self.states.held_bytes(), "the account says what the states hold");
    }

    /// Closes what ended processes left open, until nothing of it is left or the machine is to stop; says
    /// whether nothing is left.
    pub(crate) fn close_leftovers(&mut self) -> bool {
        while let Some(description) = self.leftovers.pop() {
            self.close(description);
            if self.work.is_to_stop() {
                break;
            }
        }
        self.leftovers.is_empty()
    }

    /// Closes the entries with FD_CLOEXEC (execve).
    pub(crate) fn close_on_exec(&mut self, descriptors: &mut FileDescriptors) {
        for fd in 0..descriptors.end() {
            if descriptors.get(fd).is_ok_and(|descriptor| descriptor.close_on_exec)
                && let Ok(descriptor) = descriptors.take(fd)
            {
                self.close(descriptor.description);
            }
        }
    }

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
        let waits = !description.flags.contains(OpenFlags::O_NONBLOCK);
        let object = description.object.clone();
        if position.is_some() {
            object.check_positions()?;
        }
        object.read(self, &Transfer { caller, id, position, waits }, buffer)
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
        let waits = !description.flags.contains(OpenFlags::O_NONBLOCK);
        let object = description.object.clone();
        if position.is_some() {
            object.check_positions()?;
        }
        object.write(self, &Transfer { caller, id, position, waits }, bytes)
    }

    /// The object of a description, and an access to it that is neither a read nor a write; EBADF
    /// where it is only a place in the tree.
    fn operate<'a>(
        &self,
        caller: &'a Caller<'a>,
        id: Id<Description>,
    ) -> Result<(Arc<dyn Object>, Transfer<'a>), Errno> {
        let description = &self.descriptions[id];
        if description.is_path() {
            return Err(Errno::EBADF);
        }
        Ok((description.object.clone(), Transfer { caller, id, position: None, waits: false }))
    }

    /// Moves the offset (lseek(2)).
    pub(crate) fn seek(
        &mut self,
        caller: &Caller<'_>,
        id: Id<Description>,
        offset: i64,
        whence: Whence,
    ) -> Result<u64, Errno> {
        let (object, access) = self.operate(caller, id)?;
        object.seek(self, &access, offset, whence)
    }

    /// The entries of an open directory, `.` and `..` first, and the index of the next one. The list
    /// is taken once, so that cookies stay valid whatever happens to the directory.
    pub(crate) fn entries(&mut self, caller: &Caller<'_>, id: Id<Description>) -> Result<Entries, Errno> {
        let (object, access) = self.operate(caller, id)?;
        object.entries(self, &access)
    }

    /// Notes how many entries have been handed out, or bytes been read by other means.
    pub(crate) fn set_offset(&mut self, id: Id<Description>, offset: u64) {
        self.descriptions[id].offset = offset;
    }

    /// Bytes that can be read without waiting (FIONREAD).
    pub(crate) fn readable_bytes(&mut self, caller: &Caller<'_>, id: Id<Description>) -> Result<u32, Errno> {
        let (object, access) = self.operate(caller, id)?;
        object.readable_bytes(self, &access)
    }

    /// Bytes that a request of ioctl(2) reads where its argument points.
    ///
    /// # Errors
    /// What keeps the object from taking the request before it is read.
    pub(crate) fn request_size(
        &mut self,
        caller: &Caller<'_>,
        id: Id<Description>,
        number: u32,
    ) -> Result<usize, Errno> {
        let (object, access) = self.operate(caller, id)?;
        object.request_size(self, &access, number)
    }

    /// ioctl(2), with the bytes that [`Self::request_size`] asked for.
    pub(crate) fn request(
        &mut self,
        caller: &Caller<'_>,
        id: Id<Description>,
        request: &Request<'_>,
    ) -> Result<Reply, Failure> {
        let (object, access) = self.operate(caller, id)?;
        object.request(self, &access, request)
    }

    /// What poll(2) tells of an open file.
    ///
    /// # Errors
    /// [`Failure::Pause`], of sets that watch many files.
    pub(crate) fn readiness(
        &mut self,
        caller: &Caller<'_>,
        id: Id<Description>,
    ) -> Result<Readiness, Failure> {
        match self.epoll_readiness(caller, id)? {
            Some(readiness) => Ok(readiness),
            None => Ok(self.object_readiness(caller, id)),
        }
    }

    /// [`Self::readiness`] of what is no epoll set.
    pub(super) fn object_readiness(&mut self, caller: &Caller<'_>, id: Id<Description>) -> Readiness {
        let description = &self.descriptions[id];
        if description.is_path() {
            return Readiness::default().with(Events::NVAL, true);
        }
        let (object, flags) = (description.object.clone(), description.flags);
        object.readiness(self, caller, flags)
    }
}
