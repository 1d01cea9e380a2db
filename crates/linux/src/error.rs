//! What can go wrong for the host.

use crate::errno::Errno;
use crate::loader::LoadError;

/// Why a machine could not do what its host asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The program cannot be found or read.
    #[error("cannot open {path}: {errno}")]
    Open {
        /// The program's path in the guest.
        path: String,
        /// What the guest would get.
        errno: Errno,
    },
    /// Something cannot be put into the guest's file system.
    #[error("cannot provide {path}: {errno}")]
    Mount {
        /// The path in the guest.
        path: String,
        /// What the kernel would say of it.
        errno: Errno,
    },
    /// The program was read but cannot be loaded.
    #[error("cannot run {path}: {source}")]
    Load {
        /// The program's path in the guest.
        path: String,
        /// What is wrong with it.
        source: LoadError,
    },
    /// Raw code cannot be placed as asked.
    #[error("cannot place {length} bytes of memory at {base:#x}: {errno}")]
    Place {
        /// Its first address.
        base: u32,
        /// Bytes of memory, code included.
        length: u32,
        /// EINVAL: the base is no multiple of 4096, or the code does not fit; ENOMEM: there is not that much.
        errno: Errno,
    },
}

impl Error {
    /// What stands in the way of opening the guest's `path`.
    pub(crate) fn opening(path: &[u8], errno: Errno) -> Self {
        Self::Open { path: String::from_utf8_lossy(path).into_owned(), errno }
    }

    /// What stands in the way of providing something at the guest's `path`.
    pub(crate) fn providing(path: &[u8], errno: Errno) -> Self {
        Self::Mount { path: String::from_utf8_lossy(path).into_owned(), errno }
    }
}
