//! Requests of terminals (tty_ioctl(4), ioctl_tty(2)).

use crate::arena::Id;
use crate::errno::Errno;
use crate::host::TerminalSize;
use crate::kernel::Call;
use crate::objects::{Description, Modes, OpenFlags, Opened, Standard, StreamFile, Terminal};
use crate::record::Record;
use crate::signal::Signal;
use crate::wait::CallResult;

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

/// A request that is none of files in general.
pub(super) fn request(call: &mut Call<'_>, id: Id<Description>, request: u32, argument: u32) -> CallResult {
    if let Some(StreamFile(which)) = call.kernel.fs.description(id).as_kind() {
        let which = *which;
        return stream_request(call, which, request, argument);
    }
    let (terminal, slave) = call.kernel.fs.terminal_of(id)?;
    call.with_files(|files, caller| files.adopt_console(caller, terminal));
    match request {
        TCGETS | TCSETS..=TCSETSF | TCGETS2 | TCSETS2..=TCSETSF2 => modes(call, terminal, request, argument),
        TIOCGPGRP | TIOCSPGRP | TIOCGSID | TIOCSCTTY | TIOCNOTTY => {
            job(call, terminal, slave, request, argument)
        }
        TIOCGPTN | TIOCSPTLCK | TIOCGPTLCK | TIOCGPTPEER | TIOCPKT if !slave => {
            master(call, terminal, request, argument)
        }
        _ => size_and_flow(call, terminal, request, argument),
    }
}

/// A standard stream that is a terminal whose modes the host keeps to itself: they can be asked
/// for, and setting them does nothing.
fn stream_request(call: &mut Call<'_>, which: Standard, request: u32, argument: u32) -> CallResult {
    let size = call.kernel.fs.terminal_size(which).ok_or(Errno::ENOTTY)?;
    let record = match request {
        TCGETS => Modes::default().record(),
        TCGETS2 => Modes::default().record().u32(BAUD).u32(BAUD),
        TIOCGWINSZ => size_record(size),
        TIOCGPGRP => {
            let group = call.with_files(|_, caller| caller.view.processes.job().0);
            Record::new().u32(group)
        }
        TCSETS..=TCSETSF | TCSETS2..=TCSETSF2 | TIOCSPGRP | TIOCSWINSZ | TCSBRK..=TCFLSH | TCSBRKP => {
            return Ok(0);
        }
        _ => return Err(Errno::ENOTTY.into()),
    };
    call.user().copy_out(argument, record.as_bytes())?;
    Ok(0)
}

fn size_record(size: TerminalSize) -> Record {
    Record::new().u16(size.rows).u16(size.columns).u32(0)
}

fn modes(call: &mut Call<'_>, id: Id<Terminal>, request: u32, argument: u32) -> CallResult {
    if matches!(request, TCGETS | TCGETS2) {
        let record = call.kernel.fs.terminal(id).modes.record();
        let record = if request == TCGETS2 { record.u32(BAUD).u32(BAUD) } else { record };
        call.user().copy_out(argument, record.as_bytes())?;
        return Ok(0);
    }
    let bytes = call.user().array(argument)?;
    call.with_files(|files, caller| files.check_foreground(caller, id, Signal::TTOU))?;
    let discard = matches!(request, TCSETSF | TCSETSF2);
    call.kernel.fs.terminal_mut(id).set_modes(Modes::from_bytes(&bytes), discard);
    Ok(0)
}

fn job(call: &mut Call<'_>, id: Id<Terminal>, slave: bool, request: u32, argument: u32) -> CallResult {
    let (process, (group, session), controlling) = call.with_files(|files, caller| {
        let processes = caller.view.processes;
        (processes.current(), processes.job(), files.controlling_terminal(caller))
    });
    let own = controlling == Some(id);
    match request {
        TIOCGPGRP | TIOCGSID => {
            if slave && !own {
                return Err(Errno::ENOTTY.into());
            }
            let terminal = call.kernel.fs.terminal(id);
            let number = if request == TIOCGSID { terminal.session } else { terminal.foreground };
            call.user().write(argument, number)?;
        }
        TIOCSPGRP => {
            if !own {
                return Err(Errno::ENOTTY.into());
            }
            let wanted = call.user().read::<u32>(argument)?;
            let member = call.kernel.processes.values().find(|process| process.group.number() == wanted);
            match member {
                None => return Err(Errno::ESRCH.into()),
                Some(member) if member.session.number() != session => return Err(Errno::EPERM.into()),
                Some(_) => {}
            }
            call.with_files(|files, caller| files.check_foreground(caller, id, Signal::TTOU))?;
            call.kernel.fs.terminal_mut(id).foreground = wanted;
        }
        TIOCSCTTY => {
            if own {
                return Ok(0);
            }
            let held = call.kernel.fs.terminal(id).session;
            if process != session || controlling.is_some() || held != 0 && argument != 1 {
                return Err(Errno::EPERM.into());
            }
            let terminal = call.kernel.fs.terminal_mut(id);
            terminal.session = session;
            terminal.foreground = group;
        }
        _ => {
            if !own {
                return Err(Errno::ENOTTY.into());
            }
            if process == session {
                let terminal = call.kernel.fs.terminal_mut(id);
                terminal.session = 0;
                terminal.foreground = 0;
            }
        }
    }
    Ok(0)
}

fn master(call: &mut Call<'_>, id: Id<Terminal>, request: u32, argument: u32) -> CallResult {
    match request {
        TIOCGPTN => {
            let number = call.kernel.fs.terminal(id).number.ok_or(Errno::ENOTTY)?;
            call.user().write(argument, number)?;
        }
        TIOCSPTLCK => {
            let locked = call.user().read::<u32>(argument)? != 0;
            call.kernel.fs.terminal_mut(id).locked = locked;
        }
        TIOCGPTLCK => {
            let locked = u32::from(call.kernel.fs.terminal(id).locked);
            call.user().write(argument, locked)?;
        }
        TIOCGPTPEER => {
            let number = call.kernel.fs.terminal(id).number.ok_or(Errno::ENOTTY)?;
            let path = format!("/dev/pts/{number}");
            let flags = OpenFlags::from_bits_retain(argument);
            let opened = call.with_files(|files, caller| {
                files.open(caller, caller.location.root, path.as_bytes(), flags, 0)
            })?;
            let (Opened::Ready(description) | Opened::Waits(description)) = opened;
            let close_on_exec = flags.contains(OpenFlags::O_CLOEXEC);
            return Ok(call.add_descriptor(description, 0, close_on_exec)?);
        }
        // TIOCPKT: packet mode can only be switched off.
        _ => {
            if call.user().read::<u32>(argument)? != 0 {
                return Err(Errno::EINVAL.into());
            }
        }
    }
    Ok(0)
}

fn size_and_flow(call: &mut Call<'_>, id: Id<Terminal>, request: u32, argument: u32) -> CallResult {
    match request {
        TIOCGWINSZ => {
            let record = size_record(call.kernel.fs.terminal(id).size);
            call.user().copy_out(argument, record.as_bytes())?;
        }
        TIOCSWINSZ => {
            let [rows_columns, _] = call.user().words(argument)?;
            let size = TerminalSize { rows: rows_columns as u16, columns: (rows_columns >> 16) as u16 };
            call.kernel.fs.resize_terminal(id, size);
        }
        TIOCOUTQ => {
            let printed = call.kernel.fs.terminal(id).printed() as u32;
            call.user().write(argument, printed)?;
        }
        TCSBRK | TCSBRKP => {}
        TCXONC => match argument {
            0 => call.kernel.fs.terminal_mut(id).stopped = true,
            1 => call.kernel.fs.terminal_mut(id).stopped = false,
            2 | 3 => {}
            _ => return Err(Errno::EINVAL.into()),
        },
        TCFLSH => {
            let terminal = call.kernel.fs.terminal_mut(id);
            if argument > 2 {
                return Err(Errno::EINVAL.into());
            }
            if argument != 1 {
                terminal.discard_input();
            }
            if argument != 0 {
                terminal.discard_output();
            }
        }
        _ => return Err(Errno::ENOTTY.into()),
    }
    Ok(0)
}
