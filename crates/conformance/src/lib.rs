//! One corpus, every engine.
//!
//! A [`Case`] is one instruction with everything that it can see, an [`Ending`] is everything
//! that it did. Cases come from a generator that covers every row of the decoder's tables, from
//! recorded samples and from hand-written vectors; outcomes come from the host's own CPU
//! ([`oracle`]), from a recording, and from each of the [`engines`]. All must agree, except where
//! the architecture leaves a result open.
#![forbid(unsafe_code)]

#[cfg(target_os = "linux")]
pub mod call_oracle;
mod case;
mod compare;
pub mod decode_diff;
mod engine;
mod exclusion;
pub mod generate;
mod judge;
mod latitude;
pub mod layout;
pub mod lockstep;
mod machine;
mod make;
#[cfg(target_os = "linux")]
pub mod oracle;
pub mod recording;
mod skip;
#[cfg(unix)]
pub mod system_calls;
pub mod text;
pub mod vectors;

pub use case::{Case, Chunk, Ending, Patch};
pub use compare::{Difference, Mask, compare};
pub use engine::{Bench, engines};
pub use exclusion::exclusion;
pub use judge::{Judgement, judge};
pub use make::{Freedom, Make};
pub use skip::skip;

/// The examples of every README are tests, here, where all the crates are known.
#[cfg(doctest)]
mod readmes {
    #[doc = include_str!("../../../README.md")]
    struct Top;
    #[doc = include_str!("../../decoder/README.md")]
    struct Decoder;
    #[doc = include_str!("../../execute/README.md")]
    struct Execute;
    #[doc = include_str!("../../interpreter/README.md")]
    struct Interpreter;
    #[doc = include_str!("../../linux/README.md")]
    struct Linux;
    #[doc = include_str!("../../memory/README.md")]
    struct Memory;
    #[doc = include_str!("../../pentimento/README.md")]
    struct Pentimento;
    #[doc = include_str!("../../registers/README.md")]
    struct Registers;
}
