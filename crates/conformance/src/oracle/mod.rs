//! The host's own CPU as the judge: runs cases natively through `fixtures/oracle/oracle`.

mod campaign;
mod protocol;
mod silicon;

pub use campaign::{Campaign, CampaignError, Failure, Report, Tally};
pub use silicon::{OracleError, Silicon, Verdict};
