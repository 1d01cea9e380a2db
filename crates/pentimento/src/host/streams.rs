//! The process's own standard streams, lent to a guest.

use std::fmt;
use std::io::{self, IsTerminal};
use std::time::Duration;

use pentimento_linux::host::{Input, Output, TerminalSize};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

/// The process's standard input, read without a buffer: what the guest does not read stays there. A
/// terminal that the machine has taken over is put back when this is dropped.
#[derive(Default)]
pub struct HostInput {
    /// The terminal's modes before the machine took it over.
    before: Option<Termios>,
}

impl fmt::Debug for HostInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostInput").field("taken_over", &self.before.is_some()).finish()
    }
}

impl Input for HostInput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.wait(Some(Duration::ZERO))? {
            // Unbuffered: what the guest does not read stays for whoever comes after it.
            rustix::io::read(io::stdin(), buffer).map_err(Into::into)
        } else {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<bool> {
        let stdin = io::stdin();
        let mut descriptors = [PollFd::new(&stdin, PollFlags::IN)];
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        match poll(&mut descriptors, timeout.as_ref()) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn terminal_size(&self) -> Option<TerminalSize> {
        terminal_size(io::stdin())
    }

    fn take_control(&mut self) -> bool {
        let stdin = io::stdin();
        let Ok(before) = tcgetattr(&stdin) else { return false };
        let mut raw = before.clone();
        raw.make_raw();
        let taken = tcsetattr(&stdin, OptionalActions::Now, &raw).is_ok();
        self.before = taken.then_some(before);
        taken
    }
}

impl Drop for HostInput {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // There is nobody to tell.
            let _ = tcsetattr(io::stdin(), OptionalActions::Drain, before);
        }
    }
}

/// One of the process's outputs, written without a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HostOutput {
    /// Standard output.
    Standard,
    /// Standard error.
    Error,
}

impl Output for HostOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Standard => rustix::io::write(io::stdout(), bytes),
            Self::Error => rustix::io::write(io::stderr(), bytes),
        }
        .map_err(Into::into)
    }

    fn terminal_size(&self) -> Option<TerminalSize> {
        match self {
            Self::Standard => terminal_size(io::stdout()),
            Self::Error => terminal_size(io::stderr()),
        }
    }
}

fn terminal_size(stream: impl IsTerminal + rustix::fd::AsFd) -> Option<TerminalSize> {
    if !stream.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    Some(TerminalSize { rows: size.ws_row, columns: size.ws_col })
}
