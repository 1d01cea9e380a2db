//! `/proc` and `/sys` (proc(5), sysfs(5)): volumes, their open files, and what they say.
//!
//! `table` and `sys` list the entries. Their texts are written from what `processes` knows of the kernel:
//! `system`, `network` and `objects` those about the machine, `process`, `status` and `areas` those about a process;
//! `setting` judges what is written to them;
//! `memory` is a process's own. `node` numbers the files, and `volume` and `file` make files
//! of them.

mod areas;
mod file;
mod memory;
mod network;
mod node;
mod objects;
mod process;
mod processes;
mod setting;
mod status;
mod sys;
mod system;
mod table;
mod view;
mod volume;

pub(crate) use file::ProcFiles;
pub(crate) use processes::Processes;
pub(crate) use volume::ProcVolume;
