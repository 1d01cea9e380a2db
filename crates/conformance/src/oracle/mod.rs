//! The host's own CPU as the judge: runs cases natively through `fixtures/oracle/oracle`.

mod protocol;
mod silicon;

pub use silicon::{OracleError, Silicon, Verdict};
