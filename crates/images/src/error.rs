//! What can be wrong with an archive or image.

use pentimento_linux::Errno;

/// Why an archive or image cannot be a guest's root.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The host does not let its file or a part of it be read.
    #[error("cannot read {name}: {reason}")]
    Read {
        /// The file, or its path in the image.
        name: String,
        /// The host's own words.
        reason: String,
    },
    /// Not one of the formats.
    #[error("neither a tar file (plain, gzip, xz or zstd) nor an OCI image: {0}")]
    Format(&'static str),
    /// Compressed data that is damaged, cut off, or asks for too much.
    #[error("cannot decompress {method} data: {reason}")]
    Compression {
        /// gzip, xz or zstd.
        method: &'static str,
        /// What the decoder found.
        reason: String,
    },
    /// It decompresses to more than [`ImageLimits::memory`](crate::ImageLimits::memory).
    #[error("decompresses to more than {limit} bytes; a higher limit can be given")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// It holds more entries than [`ImageLimits::entries`](crate::ImageLimits::entries).
    #[error("more than {limit} files; a higher limit can be given")]
    TooMany {
        /// The limit, in entries.
        limit: u64,
    },
    /// A tar header that is none.
    #[error("damaged tar file: {what} at offset {offset}")]
    Header {
        /// Bytes from the start of the tar file.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// An entry of a tar file that cannot be made.
    #[error("entry {path}: {what}")]
    Member {
        /// Its path in the tar file.
        path: String,
        /// What makes it impossible.
        what: &'static str,
    },
    /// A part of an image is not what its digest says.
    #[error("{name} does not have the digest {expected}: the image is damaged")]
    Digest {
        /// The part.
        name: String,
        /// The digest that it should have.
        expected: String,
    },
    /// Manifests and configurations that cannot be followed.
    #[error("cannot use the image: {0}")]
    Manifest(String),
}

impl ImageError {
    pub(crate) fn read(name: impl Into<String>, errno: Errno) -> Self {
        Self::Read { name: name.into(), reason: errno.to_string() }
    }

    pub(crate) fn entry(path: &[u8], what: &'static str) -> Self {
        // A path can be a megabyte long; its start tells enough.
        let shown = String::from_utf8_lossy(&path[..path.len().min(200)]);
        Self::Member { path: shown.escape_debug().collect(), what }
    }
}
