//! The bytes of a file in memory: sparse pages, shared between snapshots until written.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes a chunk: a page, so that a mapping can take one as it is.
pub(crate) const CHUNK: u64 = 4096;

/// Largest size of a file in memory: what `loff_t` can address.
pub(crate) const MAX_SIZE: u64 = i64::MAX as u64;

/// Sparse bytes: what was never written reads as zero and takes no room.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    size: u64,
    chunks: Arc<BTreeMap<u64, Arc<[u8; CHUNK as usize]>>>,
}

impl Content {
    /// Bytes from the start to the end.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes that take room.
    pub(crate) fn used(&self) -> u64 {
        self.chunks.len() as u64 * CHUNK
    }

    /// A number that this content has in common with copies of it that have not been changed, and with no
    /// other content alive.
    pub(crate) fn address(&self) -> u64 {
        Arc::as_ptr(&self.chunks).addr() as u64
    }

    /// Copies bytes from `offset` on and says how many there were before the end.
    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let length = self.size.saturating_sub(offset).min(buffer.len() as u64) as usize;
        for (index, within, range) in pieces(offset, length) {
            let part = &mut buffer[range];
            match self.chunks.get(&index) {
                Some(chunk) => part.copy_from_slice(&chunk[within..within + part.len()]),
                None => part.fill(0),
            }
        }
        length
    }

    /// Writes at `offset`, taking at most `room` further bytes of memory; says how many bytes were
    /// written.
    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8], room: u64) -> usize {
        let length = MAX_SIZE.saturating_sub(offset).min(bytes.len() as u64) as usize;
        let chunks = Arc::make_mut(&mut self.chunks);
        let mut new_chunks = room / CHUNK;
        let mut written = 0;
        for (index, within, range) in pieces(offset, length) {
            let part = &bytes[range];
            let chunk = match chunks.entry(index) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    if new_chunks == 0 {
                        break;
                    }
                    new_chunks -= 1;
                    entry.insert(Arc::new([0; CHUNK as usize]))
                }
            };
            Arc::make_mut(chunk)[within..within + part.len()].copy_from_slice(part);
            written += part.len();
        }
        if written > 0 {
            self.size = self.size.max(offset + written as u64);
        }
        written
    }

    /// Cuts or grows to `size`; new bytes are zero.
    pub(crate) fn resize(&mut self, size: u64) {
        if size < self.size {
            self.zero(size, self.size - size);
            Arc::make_mut(&mut self.chunks).split_off(&size.div_ceil(CHUNK));
        }
        self.size = size;
    }

    /// Zeroes a range inside the file, giving whole chunks back.
    pub(crate) fn zero(&mut self, offset: u64, length: u64) {
        let end = offset.saturating_add(length);
        let first_whole = offset.div_ceil(CHUNK);
        let after_whole = end / CHUNK;
        if first_whole < after_whole {
            let chunks = Arc::make_mut(&mut self.chunks);
            let mut tail = chunks.split_off(&first_whole);
            chunks.append(&mut tail.split_off(&after_whole));
        }
        for (index, start, stop) in [
            (offset / CHUNK, offset % CHUNK, if offset / CHUNK == end / CHUNK { end % CHUNK } else { CHUNK }),
            (end / CHUNK, if offset / CHUNK == end / CHUNK { offset % CHUNK } else { 0 }, end % CHUNK),
        ] {
            if start < stop
                && let Some(chunk) = Arc::make_mut(&mut self.chunks).get_mut(&index)
            {
                Arc::make_mut(chunk)[start as usize..stop as usize].fill(0);
            }
        }
    }

    /// The first offset at or after `offset` whose chunk has data, if `data`, or has none: for
    /// `SEEK_DATA` and `SEEK_HOLE`. The file's end counts as a hole.
    pub(crate) fn seek(&self, offset: u64, data: bool) -> Option<u64> {
        if offset >= self.size {
            return None;
        }
        if data {
            let (index, _) = self.chunks.range(offset / CHUNK..).next()?;
            let found = offset.max(index * CHUNK);
            return (found < self.size).then_some(found);
        }
        let mut index = offset / CHUNK;
        while self.chunks.contains_key(&index) {
            index += 1;
        }
        Some(offset.max(index * CHUNK).min(self.size))
    }
}

/// Splits `length` bytes at `offset` at chunk borders: chunk number, offset in the chunk, and the
/// range of the caller's buffer.
fn pieces(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done >= length {
            return None;
        }
        let at = offset + done as u64;
        let within = (at % CHUNK) as usize;
        let part = (CHUNK as usize - within).min(length - done);
        let range = done..done + part;
        done += part;
        Some((at / CHUNK, within, range))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_read_as_zero_and_take_no_room() {
        let mut content = Content::default();
        assert_eq!(content.write(1 << 40, b"end", u64::MAX), 3);
        assert_eq!((content.size(), content.used()), ((1 << 40) + 3, CHUNK));
        let mut buffer = [7; 8];
        assert_eq!(content.read(100, &mut buffer), 8);
        assert_eq!(buffer, [0; 8]);
        assert_eq!(content.read((1 << 40) + 1, &mut buffer), 2);
        assert_eq!(&buffer[..2], b"nd");
    }

    #[test]
    fn a_cut_and_regrown_file_shows_zeroes() {
        let mut content = Content::default();
        content.write(0, &[0xff; 10_000], u64::MAX);
        content.resize(5000);
        content.resize(10_000);
        let mut buffer = [1; 10_000];
        assert_eq!(content.read(0, &mut buffer), 10_000);
        assert!(buffer[..5000].iter().all(|byte| *byte == 0xff));
        assert!(buffer[5000..].iter().all(|byte| *byte == 0));
        assert_eq!(content.used(), 2 * CHUNK);
    }

    #[test]
    fn writing_stops_where_room_ends() {
        let mut content = Content::default();
        assert_eq!(content.write(10, &[1; 10_000], CHUNK), CHUNK as usize - 10);
        assert_eq!(content.write(0, &[1; 10_000], 0), CHUNK as usize);
    }

    #[test]
    fn seeks_tell_data_from_holes() {
        let mut content = Content::default();
        content.write(2 * CHUNK, b"x", u64::MAX);
        content.resize(5 * CHUNK);
        assert_eq!(content.seek(0, true), Some(2 * CHUNK));
        assert_eq!(content.seek(0, false), Some(0));
        assert_eq!(content.seek(2 * CHUNK + 5, false), Some(3 * CHUNK));
        assert_eq!(content.seek(3 * CHUNK, true), None);
        assert_eq!(content.seek(5 * CHUNK, false), None);
    }

    proptest::proptest! {
        #[test]
        fn behaves_like_a_vector(
            steps in proptest::collection::vec((0u8..3, 0u64..20_000, 0usize..9000, 0u8..255), 1..20)
        ) {
            let (mut content, mut model) = (Content::default(), Vec::<u8>::new());
            for (what, offset, length, byte) in steps {
                match what {
                    0 if length > 0 => {
                        content.write(offset, &vec![byte; length], u64::MAX);
                        let end = offset as usize + length;
                        model.resize(model.len().max(end), 0);
                        model[offset as usize..end].fill(byte);
                    }
                    1 => {
                        content.resize(offset);
                        model.resize(offset as usize, 0);
                    }
                    _ => {
                        content.zero(offset.min(content.size()), length as u64);
                        let start = (offset as usize).min(model.len());
                        let end = (start + length).min(model.len());
                        model[start..end].fill(0);
                    }
                }
                let mut seen = vec![1; model.len() + 10];
                let read = content.read(0, &mut seen);
                proptest::prop_assert_eq!(&seen[..read], &model[..]);
            }
        }
    }
}
