//! What can go wrong for the host.

use crate::Errno;
use crate::loader::LoadError;

/// Why a machine could not do what its host asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The program cannot be found or read.
    #[error("cannot open {path}: {errno}")]
    Open {
        /// Which.
        path: String,
        /// What the guest would get.
        errno: Errno,
    },
    /// The program was read but cannot be loaded.
    #[error("cannot run {path}: {source}")]
    Load {
        /// Which.
        path: String,
        /// What is wrong with it.
        source: LoadError,
    },
}
