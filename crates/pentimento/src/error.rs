//! What can go wrong for the host.

use std::path::PathBuf;

/// Why a machine could not be set up. What a guest does is never an error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A host file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The Linux layer refused.
    #[error(transparent)]
    Linux(#[from] pentimento_linux::Error),
    /// Guest memory cannot be mapped as asked.
    #[error("cannot map guest memory: {0}")]
    Map(#[from] pentimento_memory::MapError),
}
