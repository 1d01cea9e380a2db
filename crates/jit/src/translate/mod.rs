//! From a block of guest code to host code.
//!
//! - `traits`: what the decoder's rows say that matters here.
//! - `kind`: which instructions have a translation, and of what kind.
//! - `block`: where a block ends, and where it counts its instructions.
//! - `plain`: instructions that the host executes as they are, with other registers.
//! - `counts`: how often blocks begin, where somebody wants to know.
//! - `control`, `stack`, `string`: those that are several instructions to the host.

mod block;
mod control;
mod counts;
mod kind;
mod plain;
mod stack;
mod string;
mod traits;

pub(crate) use block::{Draft, Exit, Fix, MOST, MOST_UNCOUNTED, Point};
pub(crate) use kind::Surroundings;
pub(crate) use string::width;
