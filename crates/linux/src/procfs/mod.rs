//! `/proc` (proc(5)): a volume, its open files, and what they say.
//!
//! `table` lists the entries, `system` and `process` write their texts from what `processes` knows
//! of the kernel, and `volume` and `file` make files of them.

mod file;
mod process;
mod processes;
mod system;
mod table;
mod view;
mod volume;

pub(crate) use file::ProcFiles;
pub(crate) use processes::Processes;
pub(crate) use volume::ProcVolume;
