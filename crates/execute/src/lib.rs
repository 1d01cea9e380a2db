//! What each IA-32 instruction does, and the engines that run them.
#![no_std]

mod event;
mod model;

pub use event::{Event, Exception, Exit};
pub use model::CpuModel;
