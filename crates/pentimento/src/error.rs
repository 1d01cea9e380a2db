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

impl Error {
    /// Whether a file that was asked for does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Read { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
            Self::Linux(pentimento_linux::Error::Open { errno, .. }) => {
                *errno == pentimento_linux::Errno::ENOENT
            }
            _ => false,
        }
    }
}
