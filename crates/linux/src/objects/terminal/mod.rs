//! Terminals: the line discipline, pseudo-terminals, and the console that the host provides.

mod discipline;
mod pty;
mod requests;

pub(crate) use pty::{PTS_MAJOR, TTY_MAJOR, TerminalDevices, TerminalFile, Terminals};
