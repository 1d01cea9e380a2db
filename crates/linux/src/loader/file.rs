//! A program's file, of which loading reads no more than it needs.

use std::borrow::Cow;
use std::ops::Range;

use crate::errno::Errno;
use crate::vfs::PageSource;

/// Bytes that are read at first: headers and the interpreter's path are nearly always there.
pub(crate) const HEAD: usize = 4096;

/// A file: all its bytes, or the first ones and where the others come from.
#[derive(Clone, Default, Debug)]
pub(crate) struct File {
    bytes: Vec<u8>,
    size: u64,
    source: Option<PageSource>,
}

impl From<Vec<u8>> for File {
    fn from(bytes: Vec<u8>) -> Self {
        Self { size: bytes.len() as u64, bytes, source: None }
    }
}

impl File {
    /// A file of `size` bytes that are read as they are needed.
    ///
    /// # Errors
    /// The host's.
    pub(crate) fn of(source: PageSource, size: u64) -> Result<Self, Errno> {
        let mut bytes = vec![0; HEAD.min(usize::try_from(size).unwrap_or(HEAD))];
        let read = source.read(0, &mut bytes)?;
        bytes.truncate(read);
        Ok(Self { bytes, size, source: Some(source) })
    }

    /// The first bytes: all that there are, or at least [`HEAD`].
    pub(crate) fn head(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes in all.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Where its pages come from, if they are not here.
    pub(crate) fn source(&self) -> Option<&PageSource> {
        self.source.as_ref()
    }

    /// Some of its bytes; `None` where they lie outside or cannot be read.
    pub(crate) fn get(&self, range: Range<usize>) -> Option<Cow<'_, [u8]>> {
        if let Some(bytes) = self.bytes.get(range.clone()) {
            return Some(Cow::Borrowed(bytes));
        }
        let source = self.source.as_ref()?;
        if range.end as u64 > self.size {
            return None;
        }
        let mut bytes = vec![0; range.len()];
        (source.read(range.start as u64, &mut bytes) == Ok(bytes.len())).then_some(Cow::Owned(bytes))
    }
}
