//! Requests of terminals (tty_ioctl(4), ioctl_tty(2)).

use super::discipline::{Modes, Terminal};
use crate::arena::Id;
use crate::errno::Errno;
use crate::host::TerminalSize;
use crate::objects::description::OpenFlags;
use crate::objects::files::Files;
use crate::objects::object::{Reply, Request};
use crate::objects::pipe::Opened;
use crate::objects::stream::Standard;
use crate::record::Record;
use crate::signal::Signal;
use crate::vfs::Caller;
use crate::wait::Failure;

const TCGETS: u32 = 0x5401;
const TCSETS: u32 = 0x5402;
const TCSETSF: u32 = 0x5404;
const TCSBRK: u32 = 0x5409;
const TCXONC: u32 = 0x540a;
const TCFLSH: u32 = 0x540b;
const TIOCSCTTY: u32 = 0x540e;
const TIOCGPGRP: u32 = 0x540f;
const TIOCSPGRP: u32 = 0x5410;
const TIOCOUTQ: u32 = 0x5411;
const TIOCGWINSZ: u32 = 0x5413;
const TIOCSWINSZ: u32 = 0x5414;
const TIOCPKT: u32 = 0x5420;
const TIOCNOTTY: u32 = 0x5422;
const TCSBRKP: u32 = 0x5425;
const TIOCGSID: u32 = 0x5429;
const TIOCGPTPEER: u32 = 0x5441;
const TCGETS2: u32 = 0x802c_542a;
const TCSETS2: u32 = 0x402c_542b;
const TCSETSF2: u32 = 0x402c_542d;
const TIOCGPTN: u32 = 0x8004_5430;
const TIOCSPTLCK: u32 = 0x4004_5431;
const TIOCGPTLCK: u32 = 0x8004_5439;

/// 38400 baud, as `struct termios2` spells it out.
const BAUD: u32 = 38_400;

/// Bytes of `struct winsize`.
const WINDOW_SIZE: usize = 8;

/// Which side of a terminal a request comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    /// The side of programs.
    Slave,
    /// The side that shows what programs print.
    Master,
}

impl Files {
    /// Bytes that a request to a terminal reads where its argument points.
    ///
    /// # Errors
    /// ENOTTY where the caller may not make the request, which Linux finds before it reads.
    pub(super) fn terminal_request_size(
        &mut self,
        caller: &Caller<'_>,
        (id, side): (Id<Terminal>, Side),
        number: u32,
    ) -> Result<usize, Errno> {
        self.adopt_console(caller, id);
        Ok(match number {
            TCSETS..=TCSETSF => Modes::SIZE,
            TCSETS2..=TCSETSF2 => Modes::SIZE + 8,
            TIOCSPGRP if self.controlling_terminal(caller) != Some(id) => return Err(Errno::ENOTTY),
            TIOCSPGRP => 4,
            TIOCSWINSZ => WINDOW_SIZE,
            TIOCSPTLCK | TIOCPKT if side == Side::Master => 4,
            _ => 0,
        })
    }

    /// A request to a terminal.
    pub(super) fn terminal_request(
        &mut self,
        caller: &Caller<'_>,
        (id, side): (Id<Terminal>, Side),
        request: &Request<'_>,
    ) -> Result<Reply, Failure> {
        self.adopt_console(caller, id);
        match request.number {
            TCGETS | TCSETS..=TCSETSF | TCGETS2 | TCSETS2..=TCSETSF2 => self.modes(caller, id, request),
            TIOCGPGRP | TIOCSPGRP | TIOCGSID | TIOCSCTTY | TIOCNOTTY => {
                self.job_control(caller, (id, side), request)
            }
            TIOCGPTN | TIOCSPTLCK | TIOCGPTLCK | TIOCGPTPEER | TIOCPKT if side == Side::Master => {
                Ok(self.pair(caller, id, request)?)
            }
            _ => Ok(self.size_and_flow(id, request)?),
        }
    }

    fn modes(
        &mut self,
        caller: &Caller<'_>,
        id: Id<Terminal>,
        request: &Request<'_>,
    ) -> Result<Reply, Failure> {
        match request.number {
            TCGETS => return Ok(Reply::Structure(self.terminal(id).modes.record())),
            TCGETS2 => return Ok(Reply::Structure(with_speeds(&self.terminal(id).modes))),
            _ => {}
        }
        let bytes = request.bytes.first_chunk().ok_or(Errno::EFAULT)?;
        self.check_foreground(caller, id, Signal::TTOU)?;
        let discard = matches!(request.number, TCSETSF | TCSETSF2);
        self.terminal_mut(id).set_modes(Modes::from_bytes(bytes), discard);
        Ok(Reply::Done)
    }

    fn job_control(
        &mut self,
        caller: &Caller<'_>,
        (id, side): (Id<Terminal>, Side),
        request: &Request<'_>,
    ) -> Result<Reply, Failure> {
        let processes = caller.view.processes;
        let (process, (group, session)) = (processes.current(), processes.job());
        let controlling = self.controlling_terminal(caller);
        let own = controlling == Some(id);
        let terminal = self.terminal_mut(id);
        match request.number {
            TIOCGPGRP | TIOCGSID if own || side == Side::Master => {
                let asks_session = request.number == TIOCGSID;
                let number = if asks_session { terminal.session } else { terminal.foreground };
                return Ok(Reply::Structure(Record::new().u32(number)));
            }
            TIOCSPGRP if own => {
                let wanted = request.word(0);
                match processes.session_of(wanted) {
                    None => return Err(Errno::ESRCH.into()),
                    Some(other) if other != session => return Err(Errno::EPERM.into()),
                    Some(_) => {}
                }
                self.check_foreground(caller, id, Signal::TTOU)?;
                self.terminal_mut(id).foreground = wanted;
            }
            TIOCSCTTY if own => {}
            TIOCSCTTY => {
                let held = terminal.session != 0 && request.argument != 1;
                if process != session || controlling.is_some() || held {
                    return Err(Errno::EPERM.into());
                }
                (terminal.session, terminal.foreground) = (session, group);
            }
            TIOCNOTTY if own => {
                if process == session {
                    (terminal.session, terminal.foreground) = (0, 0);
                }
            }
            _ => return Err(Errno::ENOTTY.into()),
        }
        Ok(Reply::Done)
    }

    /// What only the master side of a pseudo-terminal takes.
    fn pair(&mut self, caller: &Caller<'_>, id: Id<Terminal>, request: &Request<'_>) -> Result<Reply, Errno> {
        let terminal = self.terminal_mut(id);
        let number = terminal.number.ok_or(Errno::ENOTTY)?;
        match request.number {
            TIOCGPTN => return Ok(Reply::Structure(Record::new().u32(number))),
            TIOCSPTLCK => terminal.locked = request.word(0) != 0,
            TIOCGPTLCK => return Ok(Reply::Structure(Record::new().u32(terminal.locked.into()))),
            TIOCGPTPEER => {
                let path = format!("/dev/pts/{number}");
                let flags = OpenFlags::from_bits_retain(request.argument);
                let opened = self.open(caller, caller.location.root, path.as_bytes(), flags, 0)?;
                let (Opened::Ready(description) | Opened::Waits(description)) = opened;
                return Ok(Reply::Opened(description, flags.contains(OpenFlags::O_CLOEXEC)));
            }
            // TIOCPKT: packet mode can only be switched off.
            _ if request.word(0) != 0 => return Err(Errno::EINVAL),
            _ => {}
        }
        Ok(Reply::Done)
    }

    fn size_and_flow(&mut self, id: Id<Terminal>, request: &Request<'_>) -> Result<Reply, Errno> {
        let terminal = self.terminal_mut(id);
        match request.number {
            TIOCGWINSZ => return Ok(Reply::Structure(size_record(terminal.size))),
            TIOCSWINSZ => {
                let sizes = request.word(0);
                let size = TerminalSize { rows: sizes as u16, columns: (sizes >> 16) as u16 };
                self.resize_terminal(id, size);
            }
            TIOCOUTQ => return Ok(Reply::Structure(Record::new().u32(terminal.printed() as u32))),
            TCSBRK | TCSBRKP => {}
            TCXONC => match request.argument {
                0 => terminal.stopped = true,
                1 => terminal.stopped = false,
                2 | 3 => {}
                _ => return Err(Errno::EINVAL),
            },
            TCFLSH => {
                if request.argument > 2 {
                    return Err(Errno::EINVAL);
                }
                if request.argument != 1 {
                    terminal.discard_input();
                }
                if request.argument != 0 {
                    terminal.discard_output();
                }
            }
            _ => return Err(Errno::ENOTTY),
        }
        Ok(Reply::Done)
    }

    /// A request to a standard stream. Where that is a terminal, its modes are the host's business: they
    /// can be asked for, and setting them does nothing.
    pub(in crate::objects) fn stream_request(
        &mut self,
        caller: &Caller<'_>,
        which: Standard,
        number: u32,
    ) -> Result<Reply, Errno> {
        let size = self.terminal_size(which).ok_or(Errno::ENOTTY)?;
        Ok(match number {
            TCGETS => Reply::Structure(Modes::default().record()),
            TCGETS2 => Reply::Structure(with_speeds(&Modes::default())),
            TIOCGWINSZ => Reply::Structure(size_record(size)),
            TIOCGPGRP => Reply::Structure(Record::new().u32(caller.view.processes.job().0)),
            TCSETS..=TCSETSF | TCSETS2..=TCSETSF2 | TIOCSPGRP | TIOCSWINSZ | TCSBRK..=TCFLSH | TCSBRKP => {
                Reply::Done
            }
            _ => return Err(Errno::ENOTTY),
        })
    }
}

/// `struct termios2`.
fn with_speeds(modes: &Modes) -> Record {
    modes.record().u32(BAUD).u32(BAUD)
}

fn size_record(size: TerminalSize) -> Record {
    Record::new().u16(size.rows).u16(size.columns).u32(0)
}
