//! A server for GDB: breakpoints, watchpoints, single steps, registers, memory and threads of a machine.
//!
//! ```no_run
//! use std::net::TcpListener;
//! use pentimento::gdb::{Ending, serve};
//! use pentimento::{Error, Machine};
//!
//! let mut machine = Machine::builder().build()?;
//! machine.load_file("program", &["program"], &[])?;
//! let (connection, _) = TcpListener::bind("127.0.0.1:1234").and_then(|listener| listener.accept()).expect("GDB calls");
//! // gdb program -ex 'target remote 127.0.0.1:1234'
//! match serve(&mut machine, connection).expect("GDB keeps to the protocol") {
//!     Ending::Halted(halt) => println!("{halt}"),
//!     Ending::Detached => println!("{}", machine.run_and_wait(u64::MAX)),
//!     _ => {}
//! }
//! # Ok::<(), Error>(())
//! ```
//!
//! GDB's threads are the machine's tasks, of all its processes; memory is that of the task that GDB
//! looks at. Breakpoints are [`Machine::breakpoints`](crate::Machine::breakpoints), so no byte of the
//! guest changes. While there are any, or watchpoints, code runs one instruction at a time. Who runs
//! next stays the machine's business: a step of one thread ends when it has made it, and others may
//! have run in between. An exception stops the machine before its signal is taken.
//!
//! GDB needs no copy of the program: it asks for its path, and reads it and its libraries from the guest's
//! own file system (`target remote` alone will do). It can read those files, and change none.
//!
//! A session keeps a [`History`](crate::History), so GDB goes back, too: `reverse-stepi`, `reverse-step`, and
//! `reverse-continue` to the last breakpoint or write to what is watched. What GDB changes in registers and
//! memory holds from that moment on, and not for those before.

mod files;
mod registers;
mod signals;
mod target;

use std::io;
use std::marker::PhantomData;
use std::net::TcpStream;

use gdbstub::common::{Signal, Tid};
use gdbstub::conn::ConnectionExt;
use gdbstub::stub::run_blocking::{BlockingEventLoop, Event, WaitForStopReasonError};
use gdbstub::stub::{DisconnectReason, GdbStub, MultiThreadStopReason};

use crate::{Halt, Machine};
use target::Debugged;

/// How a session ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Ending {
    /// The machine came to its end.
    Halted(Halt),
    /// GDB let the machine go, or went away: it can run on.
    Detached,
    /// GDB killed the machine.
    Killed,
}

/// Why a session broke off.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GdbError {
    /// The connection failed.
    #[error("the connection to GDB failed: {0}")]
    Connection(#[from] io::Error),
    /// What came over the connection was not GDB's protocol.
    #[error("GDB's protocol: {0}")]
    Protocol(String),
}

/// Serves GDB until it goes away or the machine ends. The machine stands still whenever GDB shows its
/// prompt, and sleeps where it waits for its host.
///
/// # Errors
/// The connection breaks, or the other side is not GDB.
pub fn serve(machine: &mut Machine, connection: TcpStream) -> Result<Ending, GdbError> {
    connection.set_nodelay(true)?;
    let stops = std::mem::replace(&mut machine.stop_at_exceptions, true);
    let breakpoints = machine.breakpoints.clone();
    let mut target = Debugged::new(machine);
    let outcome = GdbStub::new(connection).run_blocking::<Events<'_>>(&mut target);
    let halt = target.end();
    machine.stop_at_exceptions = stops;
    machine.breakpoints = breakpoints;
    match outcome {
        Ok(DisconnectReason::Kill) => Ok(Ending::Killed),
        Ok(DisconnectReason::TargetExited(_) | DisconnectReason::TargetTerminated(_)) => {
            Ok(halt.map_or(Ending::Detached, Ending::Halted))
        }
        Ok(DisconnectReason::Disconnect) => Ok(Ending::Detached),
        Err(error) if error.is_connection_error() => match error.into_connection_error() {
            // A GDB that is gone has let go.
            Some((error, _)) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Ending::Detached),
            Some((error, _)) => Err(error.into()),
            None => Ok(Ending::Detached),
        },
        Err(error) => Err(GdbError::Protocol(error.to_string())),
    }
}

/// What happens while the machine runs: it stops, or GDB says something.
struct Events<'a>(PhantomData<&'a mut Machine>);

impl<'a> BlockingEventLoop for Events<'a> {
    type Target = Debugged<'a>;
    type Connection = TcpStream;
    type StopReason = MultiThreadStopReason<u32>;

    fn wait_for_stop_reason(
        target: &mut Self::Target,
        connection: &mut TcpStream,
    ) -> Result<Event<Self::StopReason>, WaitForStopReasonError<&'static str, io::Error>> {
        loop {
            if ConnectionExt::peek(connection).map_err(WaitForStopReasonError::Connection)?.is_some() {
                let byte = ConnectionExt::read(connection).map_err(WaitForStopReasonError::Connection)?;
                return Ok(Event::IncomingData(byte));
            }
            if let Some(reason) = target.run_a_while() {
                return Ok(Event::TargetStopped(reason));
            }
        }
    }

    fn on_interrupt(target: &mut Self::Target) -> Result<Option<Self::StopReason>, &'static str> {
        let signal = Signal::SIGINT;
        Ok(Some(match target.current() {
            Some(tid) => MultiThreadStopReason::SignalWithThread { tid, signal },
            None => MultiThreadStopReason::Signal(signal),
        }))
    }
}

/// A task as GDB numbers threads.
fn tid(task: crate::TaskId) -> Option<Tid> {
    Tid::new(task.number() as usize)
}
