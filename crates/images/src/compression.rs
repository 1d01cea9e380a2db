//! Compressed files, told by their first bytes.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use pentimento_linux::HostFile;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use crate::error::ImageError;
use crate::source::{Budget, MemoryFile, Reader, read_fully};

/// Memory that a decoder may need beside what it decodes: what `xz -9` and `zstd --ultra -22` make
/// needs no more.
const WINDOW_MAX: u64 = 128 << 20;

/// Formats that look like an archive but are not read here, by what they begin with.
#[rustfmt::skip]
const REFUSED: &[(&[u8], &str)] = &[
    (b"BZh",            "it is compressed with bzip2: give what `bunzip2` makes of it"),
    (b"\x04\x22\x4d\x18", "it is compressed with lz4: give what `unlz4` makes of it"),
    (b"PK\x03\x04",     "it is a zip file: unpack it, and give the folder"),
    (b"hsqs",           "it is a squashfs image: unpack it with `unsquashfs`, and give the folder"),
    (b"QFI\xfb",        "it is the image of a disk: copy its files into a folder, and give that"),
    (b"\x7fELF",        "it is a program: give it as PROGRAM"),
];

/// The file, decompressed into memory if it is compressed.
///
/// # Errors
/// Damaged data, data that needs more than the budget, or a format that is not read here.
pub(crate) fn decompressed(
    file: Arc<dyn HostFile>,
    budget: &mut Budget,
) -> Result<Arc<dyn HostFile>, ImageError> {
    let mut magic = [0; 6];
    let length = read_fully(&*file, 0, &mut magic).map_err(|errno| ImageError::read("the file", errno))?;
    let magic = &magic[..length];
    if let Some((_, advice)) = REFUSED.iter().find(|(start, _)| magic.starts_with(start)) {
        return Err(ImageError::Format(advice));
    }
    let reader = BufReader::with_capacity(1 << 16, Reader::new(&file));
    let explain =
        |method| move |error: &io::Error| ImageError::Compression { method, reason: error.to_string() };
    let memory = match magic {
        [0x1f, 0x8b, ..] => MemoryFile::fill(&mut MultiGzDecoder::new(reader), budget, explain("gzip"))?,
        [0xfd, b'7', b'z', b'X', b'Z', 0] => {
            let limit = ((2 * WINDOW_MAX) >> 10) as u32;
            MemoryFile::fill(&mut XzReader::new_mem_limit(reader, true, limit), budget, explain("xz"))?
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            MemoryFile::fill(&mut Zstandard::new(reader), budget, explain("zstd"))?
        }
        _ => return Ok(file),
    };
    Ok(Arc::new(memory))
}

/// The frames of a zstd file, one after the other, each checked against its checksum.
struct Zstandard<R: Read> {
    source: BufReader<R>,
    decoder: FrameDecoder,
    /// Whether the decoder is in the middle of a frame.
    active: bool,
}

impl<R: Read> Zstandard<R> {
    fn new(source: BufReader<R>) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(WINDOW_MAX);
        Self { source, decoder, active: false }
    }

    /// Begins the next frame that holds data; `false` at the end.
    fn begin(&mut self) -> io::Result<bool> {
        loop {
            if self.source.fill_buf()?.is_empty() {
                return Ok(false);
            }
            match self.decoder.reset(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let mut skipped = (&mut self.source).take(length.into());
                    if io::copy(&mut skipped, &mut io::sink())? < u64::from(length) {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }
}

impl<R: Read> Read for Zstandard<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.active && !self.begin()? {
                return Ok(0);
            }
            self.active = true;
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let blocks = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut self.source, blocks).map_err(io::Error::other)?;
            }
            let read = self.decoder.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            self.active = false;
            let (expected, found) =
                (self.decoder.get_checksum_from_data(), self.decoder.get_calculated_checksum());
            if expected.is_some_and(|expected| found != Some(expected)) {
                return Err(io::Error::other("wrong checksum"));
            }
        }
    }
}
