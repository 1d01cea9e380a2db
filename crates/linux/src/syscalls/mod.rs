//! System calls: the table, and how one is run.

mod attributes;
mod descriptor;
mod directory;
mod file;
mod process;
pub(crate) mod table;

use core::fmt;

use crate::Errno;
use crate::task::TaskId;

/// A system call as a trace sink sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Invocation {
    /// Who called.
    pub task: TaskId,
    /// The number.
    pub number: u32,
    /// The name.
    pub name: &'static str,
    /// The arguments as strace(1) prints them.
    pub arguments: Vec<String>,
    /// The value returned; `None` for a call that does not return, such as exit(2).
    pub result: Option<Result<u32, Errno>>,
}

impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name, self.arguments.join(", "))?;
        match self.result {
            None => f.write_str(" = ?"),
            Some(Err(errno)) => write!(f, " = -1 {} ({errno})", errno.name()),
            Some(Ok(value)) if value < 0x1_0000 || value > 0xffff_f000 => write!(f, " = {}", value as i32),
            Some(Ok(value)) => write!(f, " = {value:#x}"),
        }
    }
}
