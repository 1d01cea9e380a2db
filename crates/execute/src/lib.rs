//! What each IA-32 instruction does, and the engines that run them.
//!
//! Three layers: the decoder's row says how an instruction is encoded, a [`Handler`] gets its
//! operands, computes and stores, and a pure function does the computing. Handlers work on a
//! [`Context`] and return a [`Trap`] where they cannot complete; an engine such as [`Reference`]
//! turns that into an [`Exit`].
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod context;
mod descriptors;
mod dispatch;
mod environment;
mod event;
pub mod float;
mod mmx;
mod model;
mod place;
mod reference;
mod sse;
mod trap;
pub mod vector;
mod width;
mod x87;

pub use context::Context;
pub use descriptors::DescriptorTables;
pub use dispatch::{Handler, handler};
pub use environment::Environment;
pub use event::{Event, Exception, Exit};
pub use model::CpuModel;
pub use place::Place;
pub use reference::{Reference, execute, fetch};
pub use trap::{Outcome, Trap};
pub use width::Width;
