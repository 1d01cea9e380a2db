//! What an engine that compiles blocks has to know of instructions before it runs them: where they
//! are, what is behind them, and which of their flags anybody sees.

mod discovery;
mod liveness;

pub use discovery::{Flow, Found, find};
pub use liveness::{FlagEffect, Liveness};
