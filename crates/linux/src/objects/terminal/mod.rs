//! Terminals: the line discipline, pseudo-terminals, and the console that the host provides.

pub(crate) mod discipline;
mod pty;

pub(crate) use discipline::{Modes, Terminal};
