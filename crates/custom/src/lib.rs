//! Instruction sets as data.
//!
//! People who learn how machines work, write capture-the-flag tasks or take apart protectors that
//! bring a virtual machine define small instruction sets of their own. Here such a set is a table: how
//! each instruction is written, how it is encoded, and what it does. From the table come an assembler, a
//! disassembler, an interpreter with budgets, a view for debuggers and tracing.
//!
//! - [`Description`] is the table, read from TOML or built in Rust; [`InstructionSet`] is what has
//!   passed all checks. [`SOFTMACHINE`] and [`LOWBYTE`] ship with the crate.
//! - [`InstructionSet::assemble`], [`InstructionSet::disassemble`] and [`InstructionSet::program`] make and
//!   read a [`Program`].
//! - [`Processor`] runs it and says by an [`End`] why it stopped.
//!
//! Descriptions, sources and programs may be hostile: none of them can panic, hang or exhaust the host.
//!
//! ```
//! use pentimento_custom::{End, InstructionSet, Processor};
//!
//! let set = InstructionSet::from_toml(r#"
//!     name = "counter"
//!     registers = ["x", "y"]
//!     flags = ["zero"]
//!
//!     [operands]
//!     r = { kind = "register", bits = 8 }
//!     n = { kind = "number", bits = 16 }
//!     to = { kind = "relative", bits = 8 }
//!
//!     [instructions]
//!     "set r, n" = { code = "01 r n", effect = "r = n" }
//!     "dec r"    = { code = "02 r",   effect = "r = r - 1; zero = r == 0" }
//!     "jnz to"   = { code = "03 to",  effect = "if !zero { ip = to }" }
//!     "stop r"   = { code = "04 r",   effect = "halt(r)" }
//! "#)?;
//! let program = set.assemble("set x, 1000\nagain: dec x\njnz again\nstop x")?;
//! let mut processor = Processor::new(&set)?;
//! processor.load(&program)?;
//! assert_eq!(processor.run(500), End::Budget);
//! assert_eq!(processor.run(5_000), End::Halted { status: 0 });
//! assert_eq!(processor.instructions(), 2002);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod assembler;
mod bounds;
mod cause;
mod check;
mod context;
mod description;
mod disassembler;
mod encoding;
mod error;
mod language;
mod operation;
mod processor;
mod program;
mod set;
mod shipped;
mod syntax;
mod tokens;
mod view;

pub use cause::Cause;
pub use context::Context;
pub use description::{AtEnd, Description, Effect, Endian, OperandForm, OperandKind, Row, Stack};
pub use disassembler::Line;
pub use error::{AssemblyError, SetError};
pub use processor::{End, Processor};
pub use program::Program;
pub use set::InstructionSet;
pub use shipped::{LOWBYTE, SHIPPED, SOFTMACHINE};
pub use view::{RegisterView, View};

/// The chapter's example in Rust is a test.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/custom.md")]
struct Chapter;
