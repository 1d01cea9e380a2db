//! Terminals of the machine: pairs of `/dev/ptmx` and `/dev/pts/N` (pty(7)), and the console that
//! the host provides.

use std::sync::Arc;

use super::discipline::{Terminal, TerminalRead, Typed};
use super::requests::Side;
use crate::arena::Id;
use crate::errno::Errno;
use crate::host::TerminalSize;
use crate::objects::description::{Description, OpenFlags};
use crate::objects::files::{Files, Opener};
use crate::objects::object::{Object, Reply, Request, Transfer};
use crate::objects::readiness::{Events, Readiness};
use crate::objects::states::{Family, Kept, State};
use crate::objects::stream::Standard;
use crate::signal::Signal;
use crate::vfs::{
    Caller, DeviceNumber, FileCredentials, FileType, Location, NoProcesses, ROOT, Timestamp, View, Vnode,
    VolumeId, Walked,
};
use crate::wait::{Channel, Failure, Wait};

/// Pairs of pseudo-terminals at most (`/proc/sys/kernel/pty/max`).
const PAIRS_MAX: u32 = 4096;

/// Major number of `/dev/tty`, `/dev/console` and `/dev/ptmx`.
pub(crate) const TTY_MAJOR: u32 = 5;

/// Major number of `/dev/pts/N`.
pub(crate) const PTS_MAJOR: u32 = 136;

/// What the terminals of a machine share.
#[derive(Clone, Default)]
pub(crate) struct Terminals {
    /// The terminal that the standard streams are.
    console: Option<Id<Terminal>>,
    /// The host's user has ended the console's input.
    console_ended: bool,
    /// `/dev/pts`.
    pub(crate) pairs: Option<VolumeId>,
}

impl Family for Terminals {
    fn keep(&self) -> Kept {
        Box::new(self.clone())
    }

    fn put_back(&mut self, kept: &Kept) {
        if let Some(kept) = kept.downcast_ref() {
            Self::clone_from(self, kept);
        }
    }
}

impl State for Terminal {
    fn held_bytes(&self) -> u64 {
        self.buffered() as u64
    }
}

/// The side of programs of a terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TerminalFile(pub(crate) Id<Terminal>);

impl Object for TerminalFile {
    fn opened(&self, files: &mut Files, _: OpenFlags) {
        files.states.hold(self.0);
        let terminal = &mut files.states[self.0];
        terminal.slaves += 1;
        terminal.was_opened = true;
    }

    fn closed(&self, files: &mut Files, _: Id<Description>, _: OpenFlags) {
        files.states[self.0].slaves -= 1;
        files.release_terminal(self.0);
    }

    fn read(&self, files: &mut Files, access: &Transfer<'_>, buffer: &mut [u8]) -> Result<usize, Failure> {
        files.adopt_console(access.caller, self.0);
        files.read_terminal(access, self.0, buffer)
    }

    fn write(&self, files: &mut Files, access: &Transfer<'_>, bytes: &[u8]) -> Result<usize, Failure> {
        files.adopt_console(access.caller, self.0);
        files.write_terminal(access, self.0, bytes)
    }

    fn readiness(&self, files: &mut Files, _: &Caller<'_>, _: OpenFlags) -> Readiness {
        files.pump_console();
        let terminal = &files.states[self.0];
        let mut readiness = Readiness::on(terminal.channel);
        if let Some(ended) = files.is_console(self.0) {
            if !ended {
                readiness.channels.push(Channel::Console);
            }
            return readiness
                .with(Events::READABLE, terminal.is_readable() || ended)
                .with(Events::WRITABLE, !terminal.stopped);
        }
        readiness
            .with(Events::READABLE, terminal.is_readable() || terminal.masters == 0)
            .with(Events::WRITABLE, terminal.room() > 0)
            .with(Events::HUP, terminal.masters == 0)
    }

    fn readable_bytes(&self, files: &mut Files, _: &Transfer<'_>) -> Result<u32, Errno> {
        Ok(files.states[self.0].readable() as u32)
    }

    fn request_size(&self, files: &mut Files, access: &Transfer<'_>, number: u32) -> Result<usize, Errno> {
        files.terminal_request_size(access.caller, (self.0, Side::Slave), number)
    }

    fn request(
        &self,
        files: &mut Files,
        access: &Transfer<'_>,
        request: &Request<'_>,
    ) -> Result<Reply, Failure> {
        files.terminal_request(access.caller, (self.0, Side::Slave), request)
    }

    fn check_reopening(&self) -> Result<(), Errno> {
        Ok(())
    }
}

/// The other side of a pseudo-terminal.
#[derive(Clone, Copy, Debug)]
struct MasterFile(Id<Terminal>);

impl Object for MasterFile {
    fn opened(&self, files: &mut Files, _: OpenFlags) {
        files.states.hold(self.0);
        files.states[self.0].masters += 1;
    }

    fn closed(&self, files: &mut Files, _: Id<Description>, _: OpenFlags) {
        let terminal = &mut files.states[self.0];
        terminal.masters -= 1;
        if terminal.masters == 0 {
            terminal.session = 0;
            let (foreground, number) = (terminal.foreground, terminal.number);
            files.signal_group(foreground, Signal::HUP);
            files.signal_group(foreground, Signal::CONT);
            if let Some(number) = number {
                files.remove_pseudo_terminal(number);
            }
        }
        files.release_terminal(self.0);
    }

    /// Reads what programs printed.
    fn read(&self, files: &mut Files, access: &Transfer<'_>, buffer: &mut [u8]) -> Result<usize, Failure> {
        let terminal = &mut files.states[self.0];
        let channel = terminal.channel;
        match terminal.fetch(buffer) {
            0 if buffer.is_empty() => Ok(0),
            0 if terminal.slaves == 0 && terminal.was_opened => Err(Errno::EIO.into()),
            0 => access.block(Wait::on(channel)),
            length => {
                files.wake(channel);
                Ok(length)
            }
        }
    }

    fn write(&self, files: &mut Files, _: &Transfer<'_>, bytes: &[u8]) -> Result<usize, Failure> {
        files.type_bytes(self.0, bytes);
        Ok(bytes.len())
    }

    fn readiness(&self, files: &mut Files, _: &Caller<'_>, _: OpenFlags) -> Readiness {
        files.pump_console();
        let terminal = &files.states[self.0];
        Readiness::on(terminal.channel)
            .with(Events::READABLE, terminal.printed() > 0)
            .with(Events::WRITABLE, true)
            .with(Events::HUP, terminal.slaves == 0 && terminal.was_opened)
    }

    fn readable_bytes(&self, files: &mut Files, _: &Transfer<'_>) -> Result<u32, Errno> {
        Ok(files.states[self.0].printed() as u32)
    }

    fn request_size(&self, files: &mut Files, access: &Transfer<'_>, number: u32) -> Result<usize, Errno> {
        files.terminal_request_size(access.caller, (self.0, Side::Master), number)
    }

    fn request(
        &self,
        files: &mut Files,
        access: &Transfer<'_>,
        request: &Request<'_>,
    ) -> Result<Reply, Failure> {
        files.terminal_request(access.caller, (self.0, Side::Master), request)
    }
}

/// Opens the devices of terminals.
pub(crate) struct TerminalDevices;

impl Opener for TerminalDevices {
    fn open(
        &self,
        files: &mut Files,
        caller: &Caller<'_>,
        file: Vnode,
        device: DeviceNumber,
        flags: OpenFlags,
    ) -> Result<Id<Description>, Errno> {
        files.open_terminal(caller, file, device, flags)
    }
}

impl Files {
    /// A terminal by number.
    pub(super) fn terminal(&self, id: Id<Terminal>) -> &Terminal {
        &self.states[id]
    }

    /// A terminal by number, to change it.
    pub(super) fn terminal_mut(&mut self, id: Id<Terminal>) -> &mut Terminal {
        &mut self.states[id]
    }

    /// The terminal with the device number 136:`number`.
    fn terminal_numbered(&self, number: u32) -> Option<Id<Terminal>> {
        self.states.iter::<Terminal>().find(|(_, terminal)| terminal.number == Some(number)).map(|(id, _)| id)
    }

    /// The controlling terminal of the caller's session.
    pub(super) fn controlling_terminal(&self, caller: &Caller<'_>) -> Option<Id<Terminal>> {
        let (_, session) = caller.view.processes.job();
        let mut terminals = self.states.iter::<Terminal>();
        terminals.find(|(_, terminal)| terminal.session == session && session != 0).map(|(id, _)| id)
    }

    /// Opens a terminal's device.
    fn open_terminal(
        &mut self,
        caller: &Caller<'_>,
        file: Vnode,
        device: DeviceNumber,
        flags: OpenFlags,
    ) -> Result<Id<Description>, Errno> {
        let id = match (device.major, device.minor) {
            (TTY_MAJOR, 0) => self.controlling_terminal(caller).ok_or(Errno::ENXIO)?,
            (TTY_MAJOR, 1) => self.console().ok_or(Errno::ENXIO)?,
            (TTY_MAJOR, 2) => return self.open_pair(caller, file, flags),
            (PTS_MAJOR, number) => self.terminal_numbered(number).ok_or(Errno::ENXIO)?,
            _ => return Err(Errno::ENXIO),
        };
        if self.states[id].locked || self.states[id].number.is_some() && self.states[id].masters == 0 {
            return Err(Errno::EIO);
        }
        let process = caller.view.processes.current();
        let (group, session) = caller.view.processes.job();
        let leads = process == session && self.controlling_terminal(caller).is_none();
        if leads && !flags.contains(OpenFlags::O_NOCTTY) && self.states[id].session == 0 {
            self.states[id].session = session;
            self.states[id].foreground = group;
        }
        Ok(self.add_description(Arc::new(TerminalFile(id)), file, flags))
    }

    /// A new pair: the description of its master side.
    fn open_pair(
        &mut self,
        caller: &Caller<'_>,
        file: Vnode,
        flags: OpenFlags,
    ) -> Result<Id<Description>, Errno> {
        let number =
            (0..PAIRS_MAX).find(|number| self.terminal_numbered(*number).is_none()).ok_or(Errno::ENOSPC)?;
        let channel = self.new_channel();
        let size = TerminalSize { rows: 0, columns: 0 };
        let id = self.states.insert(Terminal::new(Some(number), size, channel));
        let pairs = self.families.get_mut::<Terminals>().pairs.ok_or(Errno::ENXIO)?;
        let directory = Vnode { volume: pairs, node: ROOT };
        let walked = Walked::missing(directory, number.to_string().as_bytes());
        let device = DeviceNumber::new(PTS_MAJOR, number);
        let mode = 0o620;
        let made = self.as_owner(caller, |files, caller| {
            files.vfs.create_device(caller, &walked, FileType::CharacterDevice, mode, &[], device)
        });
        let description = made.map(|_| self.add_description(Arc::new(MasterFile(id)), file, flags));
        self.states.release(id);
        description
    }

    /// Runs `action` with root's rights for places, but the caller's own ids for what it makes.
    fn as_owner<R>(
        &mut self,
        caller: &Caller<'_>,
        action: impl FnOnce(&mut Self, &Caller<'_>) -> Result<R, Errno>,
    ) -> Result<R, Errno> {
        let location = Location { umask: 0, ..*caller.location };
        let credentials = FileCredentials { uid: 0, ..caller.credentials };
        action(self, &Caller { location: &location, credentials, ..*caller })
    }

    /// What keeps a background process from using its terminal: SIGTTIN or SIGTTOU, and a wait for
    /// it; EIO where the signal would be lost (job control in termios(3)).
    pub(super) fn check_foreground(
        &mut self,
        caller: &Caller<'_>,
        id: Id<Terminal>,
        signal: Signal,
    ) -> Result<(), Failure> {
        let (group, session) = caller.view.processes.job();
        let terminal = &self.states[id];
        if terminal.session != session || terminal.foreground == group || terminal.foreground == 0 {
            return Ok(());
        }
        if caller.view.processes.ignores(signal) {
            return if signal == Signal::TTIN { Err(Errno::EIO.into()) } else { Ok(()) };
        }
        self.signal_group(group, signal);
        Err(Failure::Block(Wait::on(Channel::Signal)))
    }

    /// Takes bytes that were typed, and sends the signals that some stand for.
    fn type_bytes(&mut self, id: Id<Terminal>, bytes: &[u8]) {
        for byte in bytes {
            let signal = match self.states[id].type_byte(*byte) {
                None => continue,
                Some(Typed::Interrupt) => Signal::INT,
                Some(Typed::Quit) => Signal::QUIT,
                Some(Typed::Suspend) => Signal::TSTP,
            };
            self.signal_group(self.states[id].foreground, signal);
        }
        let channel = self.states[id].channel;
        self.wake(channel);
        self.flush_console(id);
    }

    /// Reads from the side of programs.
    fn read_terminal(
        &mut self,
        access: &Transfer<'_>,
        id: Id<Terminal>,
        buffer: &mut [u8],
    ) -> Result<usize, Failure> {
        self.check_foreground(access.caller, id, Signal::TTIN)?;
        self.pump_console();
        let console = self.is_console(id);
        let terminal = &mut self.states[id];
        let channel = terminal.channel;
        match terminal.read(buffer, access.caller.view.monotonic) {
            TerminalRead::Bytes(length) => {
                self.wake(channel);
                Ok(length)
            }
            TerminalRead::Wait(_) if terminal.number.is_some() && terminal.masters == 0 => Ok(0),
            TerminalRead::Wait(_) if console == Some(true) => Ok(0),
            TerminalRead::Wait(deadline) => {
                let mut wait = Wait::on(channel).until(deadline);
                if console.is_some() {
                    wait.channels.push(Channel::Console);
                }
                access.block(wait)
            }
        }
    }

    /// Prints from the side of programs.
    fn write_terminal(
        &mut self,
        access: &Transfer<'_>,
        id: Id<Terminal>,
        bytes: &[u8],
    ) -> Result<usize, Failure> {
        if self.states[id].stops_background_output() {
            self.check_foreground(access.caller, id, Signal::TTOU)?;
        }
        let terminal = &mut self.states[id];
        if terminal.number.is_some() && terminal.masters == 0 {
            return Err(Errno::EIO.into());
        }
        let channel = terminal.channel;
        let printed = if terminal.stopped { 0 } else { terminal.print(bytes) };
        if printed == 0 && !bytes.is_empty() {
            return access.block(Wait::on(channel));
        }
        self.wake(channel);
        self.flush_console(id);
        Ok(printed)
    }

    /// Removes a side of a terminal that is no more from its channel's waiters, and the terminal with
    /// the last one.
    fn release_terminal(&mut self, id: Id<Terminal>) {
        let channel = self.states[id].channel;
        self.wake(channel);
        if self.states.release(id).is_some() {
            self.forget_channel(channel);
        }
    }

    /// Takes `/dev/pts/NUMBER` away.
    fn remove_pseudo_terminal(&mut self, number: u32) {
        let Some(volume) = self.families.get_mut::<Terminals>().pairs else { return };
        let view =
            View { now: Timestamp::default(), monotonic: 0, file_size: u64::MAX, processes: &NoProcesses };
        self.vfs.remove_from_top(&view, volume, number.to_string().as_bytes());
    }

    /// The terminal that the standard streams are.
    fn console(&self) -> Option<Id<Terminal>> {
        self.families.get::<Terminals>()?.console
    }

    /// Whether a terminal is the console; if so, whether its input has ended.
    fn is_console(&self, id: Id<Terminal>) -> Option<bool> {
        let all = self.families.get::<Terminals>()?;
        (all.console == Some(id)).then_some(all.console_ended)
    }

    /// Makes the machine's own terminal of the standard streams, if they are one.
    pub(crate) fn make_console(&mut self) -> Option<Id<Terminal>> {
        let size = self.streams().terminal_size(Standard::Input)?;
        if !self.streams().take_control() {
            return None;
        }
        let channel = self.new_channel();
        let console = self.states.insert(Terminal::new(None, size, channel));
        self.families.get_mut::<Terminals>().console = Some(console);
        Some(console)
    }

    /// Whether the host's user types at a terminal of the machine, whoever reads.
    pub(crate) fn has_console(&self) -> bool {
        self.families.get::<Terminals>().is_some_and(|all| all.console.is_some() && !all.console_ended)
    }

    /// Takes in what the host's user has typed since the last time.
    pub(crate) fn pump_console(&mut self) {
        if !self.has_console() {
            return;
        }
        let Some(console) = self.console() else { return };
        self.flush_console(console);
        let mut bytes = [0; 256];
        while self.streams().input_is_ready() {
            match self.streams().read(&mut bytes) {
                Ok(0) => {
                    self.families.get_mut::<Terminals>().console_ended = true;
                    return;
                }
                Ok(length) => self.type_bytes(console, &bytes[..length]),
                Err(_) => return,
            }
        }
        if let Some(size) = self.streams().terminal_size(Standard::Input)
            && size != self.states[console].size
        {
            self.resize_terminal(console, size);
        }
    }

    /// Changes a terminal's size, of which its foreground group hears (SIGWINCH).
    pub(super) fn resize_terminal(&mut self, id: Id<Terminal>, size: TerminalSize) {
        let terminal = &mut self.states[id];
        if terminal.size != size {
            terminal.size = size;
            let foreground = terminal.foreground;
            if let Some(signal) = Signal::new(28) {
                self.signal_group(foreground, signal);
            }
        }
    }

    /// Hands the console's output to the host.
    fn flush_console(&mut self, id: Id<Terminal>) {
        if self.is_console(id).is_none() {
            return;
        }
        let mut bytes = [0; 4096];
        // What the host does not take now stays in the terminal.
        while self.streams().takes_output() {
            match self.states[id].fetch(&mut bytes) {
                0 => return,
                length => {
                    let _ = self.streams().write(Standard::Output, &bytes[..length]);
                }
            }
        }
    }

    /// Gives the console to the session that uses it first.
    pub(super) fn adopt_console(&mut self, caller: &Caller<'_>, id: Id<Terminal>) {
        let terminal = &mut self.states[id];
        if terminal.number.is_none() && terminal.session == 0 {
            let (group, session) = caller.view.processes.job();
            terminal.session = session;
            terminal.foreground = group;
        }
    }
}
