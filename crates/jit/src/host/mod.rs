//! All that is unsafe: memory for code and its stack, the jump table, signals, and the call into translated code.

mod code_memory;
mod jump_table;
mod run;
mod signals;
mod stack;

pub(crate) use code_memory::CodeMemory;
pub(crate) use jump_table::JumpTable;
pub(crate) use run::{Entry, has_gs_base};
pub(crate) use stack::stack_top;
