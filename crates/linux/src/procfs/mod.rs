//! `/proc` (proc(5)): the volume, and what its files say of the machine and its processes.

mod process;
mod processes;
mod volume;

pub(crate) use volume::System;
