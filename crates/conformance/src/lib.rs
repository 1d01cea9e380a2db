//! One corpus, every engine.
//!
//! A [`Case`] is one instruction with everything that it can see, an [`Outcome`] is everything
//! that it did. Cases come from a generator that covers every row of the decoder's tables, from
//! recorded samples and from hand-written vectors; outcomes come from the host's own CPU
//! ([`oracle`]), from a recording, and from each of the [`engines`]. All must agree, except where
//! the architecture leaves a result open.
#![forbid(unsafe_code)]

mod case;
mod compare;
pub mod decode_diff;
mod engine;
mod exclusion;
pub mod generate;
pub mod layout;
pub mod lockstep;
mod machine;
#[cfg(target_os = "linux")]
pub mod oracle;
pub mod recording;
#[cfg(unix)]
pub mod system_calls;
pub mod text;
pub mod vectors;

pub use case::{Case, Chunk, Outcome, Patch};
pub use compare::{Difference, Mask, compare};
pub use engine::{Bench, Engine, engines};
pub use exclusion::exclusion;
