//! Where bytes come from: files of the host, parts of them, and memory.

use std::io;
use std::sync::Arc;

use pentimento_linux::{DeviceNumber, Errno, FileType, HostFile, HostMetadata, Timestamp};

use crate::error::ImageError;

/// Bytes of memory that are taken at once.
const CHUNK: usize = 1 << 18;

/// What an image may take from the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ImageLimits {
    /// Bytes of decompressed data, of all layers together.
    pub memory: u64,
    /// Entries of all archives, and directories that they imply.
    pub entries: u64,
}

impl Default for ImageLimits {
    /// 2 GiB and a million files (1,048,576).
    fn default() -> Self {
        Self { memory: 2 << 30, entries: 1 << 20 }
    }
}

/// What is left of the limits.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    limits: ImageLimits,
    memory: u64,
    entries: u64,
}

impl Budget {
    pub(crate) fn new(limits: ImageLimits) -> Self {
        Self { limits, memory: limits.memory, entries: limits.entries }
    }

    /// Takes `bytes` of decompressed data.
    pub(crate) fn take_memory(&mut self, bytes: usize) -> Result<(), ImageError> {
        let left = self.memory.checked_sub(bytes as u64);
        self.memory = left.ok_or(ImageError::TooLarge { limit: self.limits.memory })?;
        Ok(())
    }

    /// Takes one more file.
    pub(crate) fn take_entry(&mut self) -> Result<(), ImageError> {
        let left = self.entries.checked_sub(1);
        self.entries = left.ok_or(ImageError::TooMany { limit: self.limits.entries })?;
        Ok(())
    }
}

/// The metadata of a file that is only bytes.
pub(crate) fn plain_metadata(size: u64) -> HostMetadata {
    HostMetadata {
        file_type: FileType::Regular,
        mode: 0o644,
        links: 1,
        size,
        blocks: size.div_ceil(512),
        accessed: Timestamp::default(),
        modified: Timestamp::default(),
        changed: Timestamp::default(),
        identity: (0, 0),
        owner: None,
        device: DeviceNumber::default(),
    }
}

/// Decompressed data. Chunks of zeroes take no memory.
#[derive(Debug, Default)]
pub(crate) struct MemoryFile {
    chunks: Vec<Option<Box<[u8]>>>,
    size: u64,
}

impl MemoryFile {
    /// Reads a stream to its end.
    ///
    /// # Errors
    /// Whatever the stream says, through `explain`, or that the budget is used up.
    pub(crate) fn fill(
        stream: &mut impl io::Read,
        budget: &mut Budget,
        explain: impl Fn(&io::Error) -> ImageError,
    ) -> Result<Self, ImageError> {
        let mut file = Self::default();
        let mut chunk = vec![0; CHUNK];
        loop {
            let mut filled = 0;
            while filled < CHUNK {
                match stream.read(&mut chunk[filled..]) {
                    Ok(0) => break,
                    Ok(read) => filled += read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(explain(&error)),
                }
            }
            budget.take_memory(filled)?;
            file.size += filled as u64;
            if filled > 0 {
                let empty = chunk[..filled].iter().all(|byte| *byte == 0);
                file.chunks.push((!empty).then(|| chunk[..filled].into()));
            }
            if filled < CHUNK {
                return Ok(file);
            }
        }
    }
}

impl HostFile for MemoryFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let length = self.size.saturating_sub(offset).min(buffer.len() as u64) as usize;
        let mut done = 0;
        while done < length {
            let at = offset + done as u64;
            let (index, within) = ((at / CHUNK as u64) as usize, (at % CHUNK as u64) as usize);
            let part = (CHUNK - within).min(length - done);
            let target = &mut buffer[done..done + part];
            match self.chunks.get(index) {
                Some(Some(chunk)) => target.copy_from_slice(&chunk[within..within + part]),
                _ => target.fill(0),
            }
            done += part;
        }
        Ok(length)
    }

    fn write_at(&self, _: u64, _: &[u8]) -> Result<usize, Errno> {
        Err(Errno::EROFS)
    }

    fn resize(&self, _: u64) -> Result<(), Errno> {
        Err(Errno::EROFS)
    }

    fn metadata(&self) -> Result<HostMetadata, Errno> {
        Ok(plain_metadata(self.size))
    }
}

/// A file from its start to its end.
pub(crate) struct Reader {
    file: Arc<dyn HostFile>,
    offset: u64,
}

impl Reader {
    pub(crate) fn new(file: &Arc<dyn HostFile>) -> Self {
        Self { file: file.clone(), offset: 0 }
    }
}

impl io::Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(self.offset, buffer);
        let read = read.map_err(|errno| io::Error::other(errno.to_string()))?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// Reads as many bytes as there are, up to the buffer's length.
pub(crate) fn read_fully(file: &dyn HostFile, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(offset + done as u64, &mut buffer[done..])? {
            0 => break,
            read => done += read,
        }
    }
    Ok(done)
}

/// Some of the bytes of another file, where a sparse file has data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Piece {
    /// Where the piece begins in this file.
    pub(crate) offset: u64,
    /// Where its bytes are in the other one.
    pub(crate) source: u64,
    /// Bytes of the piece, in both.
    pub(crate) length: u64,
}

/// A file whose bytes lie in another one, with zeroes between its pieces.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) file: Arc<dyn HostFile>,
    /// Sorted by offset, not overlapping, within `size`.
    pub(crate) pieces: Arc<[Piece]>,
    pub(crate) size: u64,
}

impl Part {
    /// Bytes that are really stored.
    pub(crate) fn stored(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.length).sum()
    }
}

impl HostFile for Part {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let length = self.size.saturating_sub(offset).min(buffer.len() as u64);
        let (buffer, end) = (&mut buffer[..length as usize], offset + length);
        buffer.fill(0);
        let first = self.pieces.partition_point(|piece| piece.offset + piece.length <= offset);
        for piece in self.pieces[first..].iter().take_while(|piece| piece.offset < end) {
            let start = piece.offset.max(offset);
            let stop = (piece.offset + piece.length).min(end);
            let target = &mut buffer[(start - offset) as usize..(stop - offset) as usize];
            let source = piece.source + (start - piece.offset);
            if read_fully(&*self.file, source, target)? < target.len() {
                // The archive has become shorter since it was indexed.
                return Err(Errno::EIO);
            }
        }
        Ok(length as usize)
    }

    fn write_at(&self, _: u64, _: &[u8]) -> Result<usize, Errno> {
        Err(Errno::EROFS)
    }

    fn resize(&self, _: u64) -> Result<(), Errno> {
        Err(Errno::EROFS)
    }

    fn metadata(&self) -> Result<HostMetadata, Errno> {
        Ok(plain_metadata(self.size))
    }
}
