//! What an engine that compiles blocks has to know of instructions before it runs them: where they
//! are, what is behind them, which of their flags anybody sees, and in which state of the CPU blocks run;
//! and how it finds which of what it made of them a write has made stale.

mod discovery;
mod fitness;
mod kept;
mod liveness;

pub use discovery::{CodeWindow, Flow, Found, find};
pub use fitness::{UNFIT, fits};
pub use kept::{CodeKey, KeptCode};
pub use liveness::{FlagEffect, Liveness};
