//! The process's own standard streams, lent to a guest.

use std::fmt;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
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

/// Bytes that a pipe takes at once that takes anything (PIPE_BUF); so do terminals and sockets.
const AT_ONCE: usize = 4096;

impl HostOutput {
    fn write_to(fd: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
        if !Self::takes(&fd, Duration::ZERO)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // What is not read by somebody takes everything.
        let whole = bytes.len() <= AT_ONCE
            || rustix::fs::fstat(&fd).is_ok_and(|stat| {
                rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::RegularFile
            });
        let bytes = if whole { bytes } else { &bytes[..AT_ONCE] };
        Ok(rustix::io::write(fd, bytes)?)
    }

    /// Waits until a write does not; also where it would fail.
    fn takes(fd: impl AsFd, timeout: Duration) -> io::Result<bool> {
        let mut descriptors = [PollFd::new(&fd, PollFlags::OUT)];
        let timeout = Timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        match poll(&mut descriptors, Some(&timeout)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl Output for HostOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Standard => Self::write_to(io::stdout(), bytes),
            Self::Error => Self::write_to(io::stderr(), bytes),
        }
    }

    fn wait(&mut self, timeout: Duration) -> io::Result<bool> {
        match self {
            Self::Standard => Self::takes(io::stdout(), timeout),
            Self::Error => Self::takes(io::stderr(), timeout),
        }
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
