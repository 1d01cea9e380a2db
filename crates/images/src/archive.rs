//! The entries of a tar file: ustar, GNU (long names, sparse files) and PAX records.
//!
//! Headers and records are read by `pentimento-linux`, which has the same entries in the archives of what a
//! guest has changed; here are positions in the file, long names and the maps of sparse files.

use std::sync::Arc;

use pentimento_linux::{DeviceNumber, HostFile, TAR_BLOCK, TarAmendments, TarEntry, Timestamp};
use tar::{GnuExtSparseHeader, GnuSparseHeader, Header};

use crate::error::ImageError;
use crate::source::{Part, Piece, read_fully};

/// Bytes of a header, and what everything is padded to.
const BLOCK: u64 = TAR_BLOCK as u64;

/// Bytes that a long name or the PAX records of one entry may have.
const RECORDS_MAX: u64 = 1 << 20;

/// Pieces that a sparse file may have.
const PIECES_MAX: usize = 1 << 16;

/// What an entry makes.
#[derive(Clone, Debug)]
pub(crate) enum MemberContent {
    File(Part),
    Directory,
    /// The text of a symbolic link.
    Symlink(Vec<u8>),
    /// A further name of the file at this path.
    HardLink(Vec<u8>),
    CharacterDevice(DeviceNumber),
    BlockDevice(DeviceNumber),
    Fifo,
}

/// An entry of a tar file.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) path: Vec<u8>,
    pub(crate) content: MemberContent,
    /// The twelve permission bits.
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) modified: Timestamp,
}

/// What stands before an entry about it.
#[derive(Clone, Default, Debug)]
struct Amendments {
    fields: TarAmendments,
    sparse: Sparse,
}

/// PAX records of GNU's sparse files, in the three forms that there have been.
#[derive(Clone, Default, Debug)]
struct Sparse {
    name: Option<Vec<u8>>,
    /// The size with the holes.
    size: Option<u64>,
    /// Form 1.0: the map stands before the data.
    map_in_data: bool,
    /// Forms 0.0 and 0.1: offsets and lengths, one after the other.
    map: Vec<u64>,
}

/// Reads the entries of a tar file one after the other.
pub(crate) struct Entries {
    file: Arc<dyn HostFile>,
    /// Bytes of the file.
    length: u64,
    offset: u64,
    global: Amendments,
    /// Whether the zero blocks at the end must be there.
    strict: bool,
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}

impl Amendments {
    /// Takes PAX records. Names of users, comments, and extended attributes, of which the machine has none,
    /// are read over.
    fn read(&mut self, records: &[u8]) -> Option<()> {
        self.fields.take(records, |key, value| self.sparse.take(key, value))
    }
}

impl Sparse {
    fn take(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        match key {
            b"GNU.sparse.name" => self.name = Some(value.to_vec()),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.size = Some(number(value)?),
            b"GNU.sparse.major" => self.map_in_data = number(value)? == 1,
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => self.map.push(number(value)?),
            b"GNU.sparse.map" => {
                self.map = value.split(|byte| *byte == b',').map(number).collect::<Option<_>>()?;
            }
            _ => {}
        }
        Some(())
    }
}

impl Entries {
    /// The entries of `file`; without `strict` it may end without the two blocks of zeroes.
    pub(crate) fn new(file: Arc<dyn HostFile>, strict: bool) -> Result<Self, ImageError> {
        let size = file.metadata().map_err(|errno| ImageError::read("the tar file", errno))?.size;
        Ok(Self { file, length: size, offset: 0, global: Amendments::default(), strict })
    }

    /// Whether a tar file begins here: its first header is one, or it is empty and ends at once.
    pub(crate) fn is_tar(file: &dyn HostFile) -> bool {
        let mut block = [0; BLOCK as usize];
        read_fully(file, 0, &mut block) == Ok(block.len())
            && (TarEntry::read(&block).is_ok() || block == [0; BLOCK as usize])
    }

    fn damaged<T>(&self, what: &'static str) -> Result<T, ImageError> {
        Err(ImageError::Header { offset: self.offset, what })
    }

    fn bytes(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ImageError> {
        let read = read_fully(&*self.file, offset, buffer);
        match read.map_err(|errno| ImageError::read("the tar file", errno))? {
            read if read == buffer.len() => Ok(()),
            _ => self.damaged("it is cut off"),
        }
    }

    /// The content of an entry that describes another one.
    fn records(&self, size: u64) -> Result<Vec<u8>, ImageError> {
        if size > RECORDS_MAX {
            return self.damaged("records of more than a megabyte");
        }
        let mut bytes = vec![0; size as usize];
        self.bytes(self.offset + BLOCK, &mut bytes)?;
        Ok(bytes)
    }

    /// The next entry; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Member>, ImageError> {
        let mut amendments = self.global.clone();
        loop {
            if self.offset == self.length && !self.strict {
                return Ok(None);
            }
            let mut block = [0; BLOCK as usize];
            self.bytes(self.offset, &mut block)?;
            if block == [0; BLOCK as usize] {
                return Ok(None);
            }
            let header = match TarEntry::read(&block) {
                Ok(header) => header,
                Err(what) => return self.damaged(what),
            };
            let (kind, size) = (header.kind, header.size);
            let record = matches!(kind, b'x' | b'g' | b'L' | b'K' | b'V');
            if !record {
                return self.entry(&block, header, amendments).map(Some);
            }
            let bytes = self.records(size)?;
            let name = || bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
            match kind {
                b'L' => amendments.fields.path = Some(name()),
                b'K' => amendments.fields.target = Some(name()),
                b'x' if amendments.read(&bytes).is_some() => {}
                b'g' if self.global.read(&bytes).is_some() => amendments = self.global.clone(),
                // The name of the volume.
                b'V' => {}
                _ => return self.damaged("PAX records that cannot be read"),
            }
            self.advance(BLOCK, size)?;
        }
    }

    /// Goes on behind `header` bytes of headers and `size` bytes of content.
    fn advance(&mut self, header: u64, size: u64) -> Result<(), ImageError> {
        let end = self.offset.checked_add(header).and_then(|start| start.checked_add(size));
        let Some(end) = end.filter(|end| *end <= self.length) else {
            return self.damaged("the content of this entry is cut off");
        };
        // The padding of the last entry may be missing.
        self.offset = end.next_multiple_of(BLOCK).min(self.length);
        Ok(())
    }

    /// What an entry makes, of its header as bytes and as it was read.
    fn entry(
        &mut self,
        block: &[u8; TAR_BLOCK],
        mut header: TarEntry,
        more: Amendments,
    ) -> Result<Member, ImageError> {
        let start = self.offset;
        header.amend(more.fields);
        let TarEntry { kind, mode, uid, gid, size, modified, target, device, .. } = header;
        let path = more.sparse.name.clone().unwrap_or(header.path);
        let mut headers = BLOCK;
        let content = match kind {
            b'1' => MemberContent::HardLink(target),
            b'2' => MemberContent::Symlink(target),
            b'3' => MemberContent::CharacterDevice(device),
            b'4' => MemberContent::BlockDevice(device),
            b'5' | b'D' => MemberContent::Directory,
            b'6' => MemberContent::Fifo,
            // Before ustar there were no directories, only names that end like one.
            0 | b'0' | b'7' if path.ends_with(b"/") => MemberContent::Directory,
            0 | b'0' | b'7' if more.sparse.map_in_data => {
                MemberContent::File(self.mapped_in_data(size, &more.sparse)?)
            }
            0 | b'0' | b'7' if !more.sparse.map.is_empty() => {
                let pairs =
                    more.sparse.map.chunks(2).map(|pair| (pair[0], pair.get(1).copied().unwrap_or(0)));
                MemberContent::File(self.part(
                    start + BLOCK,
                    size,
                    more.sparse.size.unwrap_or(size),
                    pairs,
                )?)
            }
            0 | b'0' | b'7' => {
                MemberContent::File(self.part(start + BLOCK, size, size, [(0, size)].into_iter())?)
            }
            b'S' => {
                let gnu = Header::from_byte_slice(block);
                let (map, blocks) = self.gnu_map(gnu)?;
                headers += blocks * BLOCK;
                let whole = gnu.as_gnu().and_then(|gnu| gnu.real_size().ok()).unwrap_or(size);
                MemberContent::File(self.part(start + headers, size, whole, map.into_iter())?)
            }
            _ => {
                return Err(ImageError::entry(&path, "it is of a type that tar files of roots do not have"));
            }
        };
        let has_content = matches!(kind, 0 | b'0' | b'7' | b'S' | b'D');
        self.advance(headers, if has_content { size } else { 0 })?;
        Ok(Member { path, content, mode, owner: (uid, gid), modified })
    }

    /// A file whose stored bytes are `stored` from `source` on, in pieces of (offset, length).
    fn part(
        &self,
        source: u64,
        stored: u64,
        size: u64,
        map: impl Iterator<Item = (u64, u64)>,
    ) -> Result<Part, ImageError> {
        let (mut pieces, mut used, mut last) = (Vec::new(), 0_u64, 0);
        for (offset, length) in map {
            let end = offset.checked_add(length);
            if offset < last || end.is_none_or(|end| end > size) || pieces.len() > PIECES_MAX {
                return self.damaged("a map of holes that does not fit its file");
            }
            if length > 0 {
                pieces.push(Piece { offset, source: source.saturating_add(used), length });
            }
            last = offset + length;
            used = used.saturating_add(length);
        }
        if used > stored {
            return self.damaged("a map of holes that does not fit its file");
        }
        if source.saturating_add(stored) > self.length {
            return self.damaged("the content of this entry is cut off");
        }
        if size > i64::MAX as u64 {
            return self.damaged("a file of an impossible size");
        }
        Ok(Part { file: self.file.clone(), pieces: pieces.into(), size })
    }

    /// The map of GNU's old sparse files, and how many blocks of it follow the header.
    fn gnu_map(&self, header: &Header) -> Result<(Vec<(u64, u64)>, u64), ImageError> {
        let Some(gnu) = header.as_gnu() else { return self.damaged("a sparse file without a map") };
        let (mut map, mut blocks) = (Vec::new(), 0);
        let mut take = |headers: &[GnuSparseHeader]| {
            for piece in headers.iter().filter(|piece| !piece.is_empty()) {
                map.push((piece.offset().ok()?, piece.length().ok()?));
            }
            (map.len() <= PIECES_MAX).then_some(())
        };
        let mut read = take(&gnu.sparse);
        let mut extended = gnu.is_extended();
        while extended && read.is_some() {
            let mut more = GnuExtSparseHeader::new();
            blocks += 1;
            self.bytes(self.offset + blocks * BLOCK, more.as_mut_bytes())?;
            read = take(more.sparse());
            extended = more.is_extended() && blocks <= PIECES_MAX as u64;
        }
        if read.is_none() {
            return self.damaged("a map of holes that cannot be read");
        }
        Ok((map, blocks))
    }

    /// A sparse file of form 1.0: lines of decimal numbers before the data (how many pieces, and for
    /// each its offset and length), padded to whole blocks.
    fn mapped_in_data(&self, size: u64, sparse: &Sparse) -> Result<Part, ImageError> {
        let start = self.offset + BLOCK;
        let (mut numbers, mut text, mut at) = (Vec::new(), Vec::new(), 0);
        let mut wanted = 1;
        while numbers.len() < wanted {
            if at >= size || numbers.len() > 2 * PIECES_MAX {
                return self.damaged("a map of holes that cannot be read");
            }
            let mut block = [0; BLOCK as usize];
            self.bytes(start + at, &mut block)?;
            at += BLOCK;
            text.extend_from_slice(&block);
            while let Some(end) =
                text.iter().position(|byte| *byte == b'\n').filter(|_| numbers.len() < wanted)
            {
                match number(&text[..end]) {
                    Some(number) => numbers.push(number),
                    None => return self.damaged("a map of holes that cannot be read"),
                }
                text.drain(..=end);
                wanted = (numbers[0].min(2 * PIECES_MAX as u64) as usize) * 2 + 1;
            }
            if numbers.len() < wanted && text.len() > BLOCK as usize {
                return self.damaged("a map of holes that cannot be read");
            }
        }
        let pairs = numbers[1..].chunks(2).map(|pair| (pair[0], pair.get(1).copied().unwrap_or(0)));
        let whole = sparse.size.unwrap_or(size);
        self.part(start + at, size.saturating_sub(at), whole, pairs)
    }
}
