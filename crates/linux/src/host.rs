//! What a machine may know of its host, each behind a trait that the host can replace.
//!
//! ```
//! use std::io;
//! use pentimento_linux::host::Output;
//!
//! /// Counts what a guest writes.
//! struct Counter(usize);
//!
//! impl Output for Counter {
//!     fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
//!         self.0 += bytes.len();
//!         Ok(bytes.len())
//!     }
//! }
//!
//! let config = pentimento_linux::Config { output: Box::new(Counter(0)), ..Default::default() };
//! # let _ = config;
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::errno::Errno;
use crate::ids::TaskId;

/// Where the guest's standard input comes from.
pub trait Input: Send {
    /// Reads what is there, at most `buffer.len()` bytes; 0 is the end of input.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when nothing is there yet; others reach the guest as EIO.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Waits until [`read`](Self::read) has something to say, at most for `timeout` (`None`: for
    /// ever), and tells whether it has.
    ///
    /// # Errors
    /// Whatever keeps the host from waiting.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<bool>;

    /// The terminal behind the stream, if it is one.
    fn terminal_size(&self) -> Option<TerminalSize> {
        None
    }

    /// Hands a terminal over to the machine: from now on [`read`](Self::read) gives what is typed
    /// byte by byte, and the host neither echoes nor edits nor makes signals of it, because the
    /// machine's own terminal does. `false` where the host keeps these to itself; then the guest
    /// has a terminal whose modes it cannot change.
    fn take_control(&mut self) -> bool {
        false
    }

    /// Whether a machine that goes back to a snapshot finds here again what it read since. For all others
    /// the machine remembers it.
    fn rewinds(&self) -> bool {
        false
    }
}

/// Where the guest's standard output and error go.
pub trait Output: Send {
    /// Writes some of `bytes` and says how many.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] where nobody takes anything now: the guest waits, and the machine can
    /// be stopped meanwhile. [`io::ErrorKind::BrokenPipe`] becomes SIGPIPE and EPIPE, others EIO.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Waits until [`write`](Self::write) may take something, at most for `timeout`, and tells whether it
    /// may: for outputs that say [`io::ErrorKind::WouldBlock`].
    ///
    /// # Errors
    /// Whatever keeps the host from waiting.
    fn wait(&mut self, timeout: Duration) -> io::Result<bool> {
        let _ = timeout;
        Ok(true)
    }

    /// The terminal behind the stream, if it is one.
    fn terminal_size(&self) -> Option<TerminalSize> {
        None
    }
}

/// A terminal's size in character cells.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Characters a line.
    pub columns: u16,
}

/// Time outside the machine, for [`TimeMode::Real`](crate::TimeMode::Real).
pub trait Clock: Send {
    /// Time since an arbitrary point; never goes back.
    fn monotonic(&mut self) -> Duration;
    /// Time since 1970-01-01 00:00 UTC.
    fn realtime(&mut self) -> Duration;
    /// Sleeps.
    fn sleep(&mut self, duration: Duration);
}

/// Whether the host wants the machine to stop. System calls that take long ask now and then, so this must
/// be as cheap as reading a flag.
pub trait StopRequest: Send {
    /// Whether there is a request that no run has honoured. Asking does not take it.
    fn is_requested(&self) -> bool;
}

/// Random bytes from outside the machine; without one they come from the seed.
pub trait Entropy: Send {
    /// Fills `buffer`.
    fn fill(&mut self, buffer: &mut [u8]);
}

/// The host's network, as far as a machine may use it. Without one a machine has only its own
/// loopback. What a host refuses here, or answers with, is what the guest gets; nothing may wait.
///
/// Addresses that nobody in the machine has, loopback addresses among them, go to the host, and
/// what the guest listens at can be reached from the host.
pub trait Network: Send {
    /// Begins a TCP connection; [`NetworkStream::is_connected`] tells when it is there.
    ///
    /// # Errors
    /// The host's; the guest gets the errno that fits the kind.
    fn connect(&mut self, to: SocketAddr) -> io::Result<Box<dyn NetworkStream>>;

    /// Listens for TCP connections.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect).
    fn listen(&mut self, at: SocketAddr, backlog: u32) -> io::Result<Box<dyn NetworkListener>>;

    /// A UDP socket at an address, port 0 for any.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect).
    fn datagrams(&mut self, at: SocketAddr) -> io::Result<Box<dyn NetworkDatagrams>>;

    /// Waits until something may have happened to any of these, at most for `timeout`.
    fn wait(&mut self, timeout: Duration);
}

/// A TCP connection of the host. Dropping it closes it.
pub trait NetworkStream: Send {
    /// Whether the connection is there by now.
    ///
    /// # Errors
    /// Why it will never be.
    fn is_connected(&mut self) -> io::Result<bool>;

    /// Reads what is there; 0 at the end.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] where nothing is there yet.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes some of `bytes`.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] where nothing can be written yet.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Ends the direction from the guest to the other side.
    fn finish(&mut self);

    /// The address at this end.
    fn local_address(&self) -> Option<SocketAddr>;
}

/// A TCP socket of the host that takes connections.
pub trait NetworkListener: Send {
    /// The next connection and where it comes from.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] where there is none.
    fn accept(&mut self) -> io::Result<(Box<dyn NetworkStream>, SocketAddr)>;
}

/// A UDP socket of the host.
pub trait NetworkDatagrams: Send {
    /// Sends a datagram.
    ///
    /// # Errors
    /// The host's; one that would wait is lost.
    fn send(&mut self, bytes: &[u8], to: SocketAddr) -> io::Result<usize>;

    /// Receives a datagram and where it comes from.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] where there is none.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)>;
}

/// Who wants to know about system calls.
pub trait TraceSink: Send {
    /// A system call finished, or (with no result) never returns or waits.
    fn system_call(&mut self, invocation: &Invocation);
    /// The guest called a number without a handler, for the first time.
    fn unimplemented(&mut self, number: u32, name: &str);
    /// A signal is delivered: `name` as in signal(7), with the task it is for.
    fn signal(&mut self, task: crate::TaskId, name: &str) {
        let _ = (task, name);
    }
}

/// An input of given bytes, then the end.
#[derive(Clone, Default, Debug)]
pub struct Bytes(VecDeque<u8>);

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.iter().copied().collect())
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<&str> for Bytes {
    fn from(text: &str) -> Self {
        Self::from(text.as_bytes())
    }
}

impl Input for Bytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut self.0, buffer)
    }

    fn wait(&mut self, _: Option<Duration>) -> io::Result<bool> {
        Ok(true)
    }
}

/// An output that forgets everything.
#[derive(Clone, Copy, Default, Debug)]
pub struct Discard;

impl Output for Discard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }
}

/// The host's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[must_use]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn monotonic(&mut self) -> Duration {
        self.start.elapsed()
    }

    fn realtime(&mut self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    fn sleep(&mut self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// A system call as a trace sink sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Invocation {
    /// Who called.
    pub task: TaskId,
    /// The number on i386, as in EAX.
    pub number: u32,
    /// The man page's name.
    pub name: &'static str,
    /// The arguments as strace(1) prints them.
    pub arguments: Vec<String>,
    /// The value returned; `None` for a call that does not return, such as exit(2).
    pub result: Option<Result<u32, Errno>>,
}

impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Results stand in one column, where the call leaves room for it.
        write!(f, "{:<39}", format!("{}({})", self.name, self.arguments.join(", ")))?;
        match self.result {
            None => f.write_str(" = ?"),
            Some(Err(errno)) => write!(f, " = -1 {} ({errno})", errno.name()),
            Some(Ok(value)) if value < 0x100_0000 => write!(f, " = {value}"),
            Some(Ok(value)) => write!(f, " = {value:#x}"),
        }
    }
}
