//! What each IA-32 instruction does, one at a time.
//!
//! Three layers: the decoder's row says how an instruction is encoded, a [`Handler`] gets its
//! operands, computes and stores, and a pure function does the computing. Handlers work on a
//! [`Context`] and return a [`Trap`] where they cannot complete; an engine such as [`Reference`]
//! turns that into an [`Exit`].
//!
//! Faster engines are crates of their own. They stand on what is here: the pure functions of
//! [`semantics`], [`float`] and [`vector`] for what they do themselves, and the handlers for all else.
//!
//! ```
//! use pentimento_execute::{Engine, Environment, Exit, Guest, Reference, Stop, Until};
//! use pentimento_memory::{AddressSpace, Permissions};
//! use pentimento_registers::{CpuState, DescriptorTables, Gpr, LocalDescriptors, TlsDescriptors};
//!
//! let (mut state, mut memory) = (CpuState::new(), AddressSpace::new());
//! let mut environment = Environment::default();
//! let (tls, local) = (TlsDescriptors::new(), LocalDescriptors::new());
//! memory.map(0, 4096, Permissions::all())?;
//! memory.poke_bytes(0, &[0x40, 0xcd, 0x80])?; // inc eax; int 80h
//! let descriptors = DescriptorTables { tls: &tls, local: &local };
//! let mut guest =
//!     Guest { state: &mut state, memory: &mut memory, environment: &mut environment, descriptors };
//! let stop = Reference.run(&mut guest, Until::budget(100));
//! assert_eq!(stop, Stop { executed: 2, exit: Exit::Interrupt(0x80) });
//! assert_eq!(state.gpr(Gpr::Eax), 1);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
#![no_std]
// `x87::host` alone may allow it, and is there unless x87 is portable.
#![cfg_attr(any(test, not(feature = "portable-x87")), deny(unsafe_code))]
#![cfg_attr(not(any(test, not(feature = "portable-x87"))), forbid(unsafe_code))]

extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

mod binary_arithmetic;
mod bit_byte;
pub mod blocks;
mod breakpoints;
mod context;
mod control_transfer;
mod cpuid;
mod data_transfer;
mod decimal_arithmetic;
mod dispatch;
mod environment;
mod exit;
mod fetch;
mod flag_control;
pub mod float;
mod guest;
mod logical;
mod misc;
mod mmx;
mod model;
pub mod observe;
mod place;
mod reference;
mod segment;
pub mod semantics;
mod shift_rotate;
#[cfg(feature = "count-slow")]
mod slow_counts;
mod sse;
mod stack;
mod stop;
mod string;
mod system;
mod trap;
pub mod vector;
mod width;
pub mod x87;

pub use breakpoints::Breakpoints;
pub use context::Context;
pub use dispatch::{Handler, handler, handler_on};
pub use environment::{Environment, Gates};
pub use exit::Exit;
pub use fetch::fetch;
pub use guest::{Engine, Guest, MOST_UNHEARD, Stop, Until};
pub use model::{CpuModel, FeatureSet};
pub use place::{Place, operand_bytes, operand_size_bytes};
pub use reference::{Reference, execute, exit};
#[cfg(feature = "count-slow")]
pub use slow_counts::SlowCounts;
pub use stop::StopHandle;
pub use string::{REPEAT_CHUNK, repeat_chunk};
pub use trap::{Outcome, Trap};
pub use width::Width;
