//! What can go wrong for the host.

use std::path::PathBuf;

/// Why a machine could not be set up. What a guest does is never an error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A host file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The host's error.
        source: std::io::Error,
    },
    /// A name without a slash that is in no folder of the guest's PATH.
    #[error("cannot find {program} in the guest's PATH ({path})")]
    NotInPath {
        /// The name that was looked for.
        program: String,
        /// The folders, with colons between them.
        path: String,
    },
    /// The working directory that programs were to start in is not there.
    #[error("cannot start in the directory {path}: {source}")]
    Directory {
        /// Its path in the guest.
        path: String,
        /// What entering it gave.
        source: pentimento_linux::Error,
    },
    /// An archive or image cannot be the guest's root.
    #[cfg(feature = "images")]
    #[error(transparent)]
    Image(#[from] pentimento_images::ImageError),
    /// The machine has the host's network, and what comes from there is not recorded.
    #[error("a machine with the host's network cannot be recorded")]
    NotRecordable,
    /// No program was named.
    #[error("no program to start")]
    NoProgram,
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
            Self::NotInPath { .. } => true,
            _ => false,
        }
    }
}
