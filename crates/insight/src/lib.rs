//! What a host wants to see of a guest's programs: where they are, where they have been, and what takes
//! their time, with the names of functions and lines of source where the programs' files have them.
//!
//! - [`Backtrace`]: who called whom, by call frame information where there is any, else by frame pointers.
//! - [`Coverage`]: which blocks have run, as a drcov file or, where there are line tables, as an lcov file.
//! - [`Profile`]: what the instructions are spent on, as folded stacks or as a flame graph.
//!
//! ```
//! use pentimento::Machine;
//! use pentimento_insight::{Profile, Symbols};
//!
//! # let sorting = include_bytes!("../../../fixtures/programs/sorting");
//! let mut machine = Machine::builder().program("/bin/sorting", sorting).build()?;
//! machine.start(&["sorting"])?;
//! let mut profile = Profile::every(10_000); // instructions
//! profile.run(&mut machine, u64::MAX);
//! assert!(profile.samples() > 10);
//! assert!(profile.folded().lines().all(|line| line.starts_with("sorting;")));
//! # Ok::<(), pentimento::Error>(())
//! ```
//!
//! Files are read from the guest's own file system; [`Symbols::provide`] has others, with the symbols that a
//! stripped program lacks. What is in them may be hostile: damaged tables give fewer names, and no errors.
#![forbid(unsafe_code)]

mod backtrace;
mod coverage;
mod flame;
mod frames;
mod image;
mod lcov;
mod lines;
mod modules;
mod profile;
mod registers;
mod sections;
mod unwind;

pub use backtrace::{Backtrace, Frame};
pub use coverage::{Block, CodeCoverage, Coverage, Covered};
pub use modules::{Place, Symbols};
pub use profile::Profile;
