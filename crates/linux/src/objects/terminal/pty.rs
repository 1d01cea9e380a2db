//! Terminals of the machine: pairs of `/dev/ptmx` and `/dev/pts/N` (pty(7)), and the console that
//! the host provides.

use super::discipline::{Terminal, TerminalRead, Typed};
use crate::arena::Id;
use crate::errno::Errno;
use crate::host::TerminalSize;
use crate::objects::description::{Description, Object, OpenFlags};
use crate::objects::files::FileSystem;
use crate::objects::readiness::{Events, Readiness};
use crate::objects::stream::Standard;
use crate::signal::Signal;
use crate::vfs::{Caller, DeviceNumber, FileType, NodeId, ROOT, Vnode, Walked};
use crate::wait::{Channel, Failure, Wait};

/// Pairs of pseudo-terminals at most (`/proc/sys/kernel/pty/max`).
const PAIRS_MAX: u32 = 4096;

/// Major number of `/dev/pts/N`.
const PTS_MAJOR: u32 = 136;

impl FileSystem {
    /// Sends a signal to a process group when the call is over.
    fn signal_group(&mut self, group: u32, signal: Signal) {
        if group != 0 {
            self.signals.push((group, signal));
        }
    }

    /// The signals that terminals have sent to process groups since the last call.
    pub(crate) fn take_signals(&mut self) -> Vec<(u32, Signal)> {
        std::mem::take(&mut self.signals)
    }

    /// A terminal by number.
    pub(crate) fn terminal(&self, id: Id<Terminal>) -> &Terminal {
        &self.terminals[id]
    }

    /// A terminal by number, to change it.
    pub(crate) fn terminal_mut(&mut self, id: Id<Terminal>) -> &mut Terminal {
        &mut self.terminals[id]
    }

    /// The terminal of a description of either side, and whether that is the side of programs.
    pub(crate) fn terminal_of(&self, id: Id<Description>) -> Result<(Id<Terminal>, bool), Errno> {
        match self.descriptions[id].object {
            Object::Terminal(terminal) => Ok((terminal, true)),
            Object::Master(terminal) => Ok((terminal, false)),
            _ => Err(Errno::ENOTTY),
        }
    }

    /// The terminal with the device number 136:`number`.
    fn terminal_numbered(&self, number: u32) -> Option<Id<Terminal>> {
        self.terminals.iter().find(|(_, terminal)| terminal.number == Some(number)).map(|(id, _)| id)
    }

    /// The controlling terminal of the caller's session.
    pub(crate) fn controlling_terminal(&self, caller: &Caller<'_>) -> Option<Id<Terminal>> {
        let (_, session) = caller.view.processes.job();
        let mut terminals = self.terminals.iter();
        terminals.find(|(_, terminal)| terminal.session == session && session != 0).map(|(id, _)| id)
    }

    /// Opens a terminal's device.
    pub(crate) fn open_terminal(
        &mut self,
        caller: &Caller<'_>,
        file: Vnode,
        device: DeviceNumber,
        flags: OpenFlags,
    ) -> Result<Id<Description>, Errno> {
        let id = match (device.major, device.minor) {
            (5, 0) => self.controlling_terminal(caller).ok_or(Errno::ENXIO)?,
            (5, 1) => self.console.ok_or(Errno::ENXIO)?,
            (5, 2) => return self.open_pair(caller, file, flags),
            (PTS_MAJOR, number) => self.terminal_numbered(number).ok_or(Errno::ENXIO)?,
            _ => return Err(Errno::ENXIO),
        };
        if self.terminals[id].locked || self.terminals[id].number.is_some() && self.terminals[id].masters == 0
        {
            return Err(Errno::EIO);
        }
        let process = caller.view.processes.current();
        let (group, session) = caller.view.processes.job();
        let leads = process == session && self.controlling_terminal(caller).is_none();
        if leads && !flags.contains(OpenFlags::O_NOCTTY) && self.terminals[id].session == 0 {
            self.terminals[id].session = session;
            self.terminals[id].foreground = group;
        }
        Ok(self.add_description(Object::Terminal(id), file, flags))
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
        let id = self.terminals.insert(Terminal::new(Some(number), size, channel));
        let directory = Vnode { volume: self.pseudo_terminals, node: ROOT };
        let walked = Walked {
            directory,
            name: number.to_string().into_bytes().into(),
            found: None,
            wants_directory: false,
            ends_in_dot: false,
        };
        let device = DeviceNumber::new(PTS_MAJOR, number);
        let mode = 0o620;
        let made = self.as_owner(caller, |files, caller| {
            files.create_device(caller, &walked, FileType::CharacterDevice, mode, &[], device)
        });
        let description = made.map(|_| self.add_description(Object::Master(id), file, flags));
        self.terminals.release(id);
        description
    }

    /// Runs `action` with root's rights for places, but the caller's own ids for what it makes.
    fn as_owner<R>(
        &mut self,
        caller: &Caller<'_>,
        action: impl FnOnce(&mut Self, &Caller<'_>) -> Result<R, Errno>,
    ) -> Result<R, Errno> {
        let location = crate::objects::files::Location { umask: 0, ..*caller.location };
        let credentials = crate::vfs::FileCredentials { uid: 0, ..caller.credentials };
        action(self, &Caller { location: &location, credentials, ..*caller })
    }

    /// Accounts for a description of either side.
    pub(crate) fn open_side(&mut self, id: Id<Terminal>, slave: bool) {
        self.terminals.hold(id);
        let terminal = &mut self.terminals[id];
        if slave {
            terminal.slaves += 1;
            terminal.was_opened = true;
        } else {
            terminal.masters += 1;
        }
    }

    /// Accounts for a description of either side that is no more; the channel, if the terminal has
    /// gone with it.
    pub(crate) fn close_side(&mut self, id: Id<Terminal>, slave: bool) -> Option<Channel> {
        let terminal = &mut self.terminals[id];
        let channel = terminal.channel;
        if slave {
            terminal.slaves -= 1;
        } else {
            terminal.masters -= 1;
        }
        let hung_up = !slave && terminal.masters == 0;
        let (foreground, number) = (terminal.foreground, terminal.number);
        if hung_up {
            terminal.session = 0;
            self.signal_group(foreground, Signal::HUP);
            self.signal_group(foreground, Signal::CONT);
            if let Some(number) = number {
                let name = number.to_string();
                self.remove_pseudo_terminal(name.as_bytes());
            }
        }
        self.wake(channel);
        self.terminals.release(id).map(|_| channel)
    }

    fn remove_pseudo_terminal(&mut self, name: &[u8]) {
        let view = crate::vfs::View {
            now: crate::vfs::Timestamp::default(),
            monotonic: 0,
            file_size: u64::MAX,
            processes: &crate::objects::setup::NoProcesses,
        };
        if let Ok(mounted) = self.mounts.get_mut(self.pseudo_terminals) {
            let root: NodeId = mounted.volume.root();
            let _ = mounted.volume.remove(&view, root, name, false);
        }
    }

    /// What keeps a background process from using its terminal: SIGTTIN or SIGTTOU, and a wait for
    /// it; EIO where the signal would be lost (job control in termios(3)).
    pub(crate) fn check_foreground(
        &mut self,
        caller: &Caller<'_>,
        id: Id<Terminal>,
        signal: Signal,
    ) -> Result<(), Failure> {
        let (group, session) = caller.view.processes.job();
        let terminal = &self.terminals[id];
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
    pub(crate) fn type_bytes(&mut self, id: Id<Terminal>, bytes: &[u8]) {
        for byte in bytes {
            let signal = match self.terminals[id].type_byte(*byte) {
                None => continue,
                Some(Typed::Interrupt) => Signal::INT,
                Some(Typed::Quit) => Signal::QUIT,
                Some(Typed::Suspend) => Signal::TSTP,
            };
            self.signal_group(self.terminals[id].foreground, signal);
        }
        let channel = self.terminals[id].channel;
        self.wake(channel);
        self.flush_console(id);
    }

    /// Reads from the side of programs.
    pub(crate) fn read_terminal(
        &mut self,
        caller: &Caller<'_>,
        id: Id<Terminal>,
        buffer: &mut [u8],
        waits: bool,
    ) -> Result<usize, Failure> {
        self.check_foreground(caller, id, Signal::TTIN)?;
        self.pump_console();
        let terminal = &mut self.terminals[id];
        let channel = terminal.channel;
        match terminal.read(buffer, caller.view.monotonic) {
            TerminalRead::Bytes(length) => {
                self.wake(channel);
                Ok(length)
            }
            TerminalRead::Wait(_) if terminal.number.is_some() && terminal.masters == 0 => Ok(0),
            TerminalRead::Wait(_) if self.console == Some(id) && self.console_ended => Ok(0),
            TerminalRead::Wait(deadline) if waits => {
                let wait = Wait { channels: vec![channel], ..Wait::default() };
                let mut wait = wait.until(deadline);
                if self.console == Some(id) {
                    wait.channels.push(Channel::Console);
                }
                Err(Failure::Block(wait))
            }
            TerminalRead::Wait(_) => Err(Errno::EAGAIN.into()),
        }
    }

    /// Prints from the side of programs.
    pub(crate) fn write_terminal(
        &mut self,
        caller: &Caller<'_>,
        id: Id<Terminal>,
        bytes: &[u8],
        waits: bool,
    ) -> Result<usize, Failure> {
        if self.terminals[id].stops_background_output() {
            self.check_foreground(caller, id, Signal::TTOU)?;
        }
        let terminal = &mut self.terminals[id];
        if terminal.number.is_some() && terminal.masters == 0 {
            return Err(Errno::EIO.into());
        }
        let channel = terminal.channel;
        let printed = if terminal.stopped { 0 } else { terminal.print(bytes) };
        if printed == 0 && !bytes.is_empty() {
            return Err(if waits { Failure::Block(Wait::on(channel)) } else { Errno::EAGAIN.into() });
        }
        self.wake(channel);
        self.flush_console(id);
        Ok(printed)
    }

    /// Reads what programs printed: the master side.
    pub(crate) fn read_master(
        &mut self,
        id: Id<Terminal>,
        buffer: &mut [u8],
        waits: bool,
    ) -> Result<usize, Failure> {
        let terminal = &mut self.terminals[id];
        let channel = terminal.channel;
        match terminal.fetch(buffer) {
            0 if buffer.is_empty() => Ok(0),
            0 if terminal.slaves == 0 && terminal.was_opened => Err(Errno::EIO.into()),
            0 if waits => Err(Failure::Block(Wait::on(channel))),
            0 => Err(Errno::EAGAIN.into()),
            length => {
                self.wake(channel);
                Ok(length)
            }
        }
    }

    pub(crate) fn terminal_readiness(&mut self, id: Id<Terminal>, slave: bool) -> Readiness {
        self.pump_console();
        let terminal = &self.terminals[id];
        let mut readiness = Readiness::on(terminal.channel);
        if self.console == Some(id) {
            if !self.console_ended {
                readiness.channels.push(Channel::Console);
            }
            return readiness
                .with(Events::READABLE, terminal.is_readable() || self.console_ended)
                .with(Events::WRITABLE, !terminal.stopped);
        }
        if slave {
            readiness
                .with(Events::READABLE, terminal.is_readable() || terminal.masters == 0)
                .with(Events::WRITABLE, terminal.room() > 0)
                .with(Events::HUP, terminal.masters == 0)
        } else {
            readiness
                .with(Events::READABLE, terminal.printed() > 0)
                .with(Events::WRITABLE, true)
                .with(Events::HUP, terminal.slaves == 0 && terminal.was_opened)
        }
    }

    /// Makes the machine's own terminal of the standard streams, if they are one.
    pub(crate) fn make_console(&mut self) -> Option<Id<Terminal>> {
        let size = self.streams.terminal_size(Standard::Input)?;
        if !self.streams.take_control() {
            return None;
        }
        let channel = self.new_channel();
        let console = self.terminals.insert(Terminal::new(None, size, channel));
        self.console = Some(console);
        self.console
    }

    /// Whether the host's user types at a terminal of the machine, whoever reads.
    pub(crate) fn has_console(&self) -> bool {
        self.console.is_some() && !self.console_ended
    }

    /// Takes in what the host's user has typed since the last time.
    pub(crate) fn pump_console(&mut self) {
        let Some(console) = self.console.filter(|_| !self.console_ended) else { return };
        let mut bytes = [0; 256];
        while self.streams.input_is_ready() {
            match self.streams.read(&mut bytes) {
                Ok(0) => {
                    self.console_ended = true;
                    return;
                }
                Ok(length) => self.type_bytes(console, &bytes[..length]),
                Err(_) => return,
            }
        }
        if let Some(size) = self.streams.terminal_size(Standard::Input)
            && size != self.terminals[console].size
        {
            self.resize_terminal(console, size);
        }
    }

    /// Changes a terminal's size, of which its foreground group hears (SIGWINCH).
    pub(crate) fn resize_terminal(&mut self, id: Id<Terminal>, size: TerminalSize) {
        let terminal = &mut self.terminals[id];
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
        if self.console != Some(id) {
            return;
        }
        let mut bytes = [0; 4096];
        loop {
            match self.terminals[id].fetch(&mut bytes) {
                0 => return,
                length => {
                    let _ = self.streams.write(Standard::Output, &bytes[..length]);
                }
            }
        }
    }

    /// Gives the console to the session that uses it first.
    pub(crate) fn adopt_console(&mut self, caller: &Caller<'_>, id: Id<Terminal>) {
        let terminal = &mut self.terminals[id];
        if terminal.number.is_none() && terminal.session == 0 {
            let (group, session) = caller.view.processes.job();
            terminal.session = session;
            terminal.foreground = group;
        }
    }
}
