//! Which bytes of a page engines have translated, and the record of writes to them.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::PAGE_SIZE;

/// A range of bytes that were written, translated code among them, or whose mapping changed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CodeWrite {
    /// The first byte.
    pub address: u32,
    /// The number of bytes, at least one; the range does not pass 4 GiB.
    pub length: u32,
}

impl CodeWrite {
    fn end(self) -> u64 {
        u64::from(self.address) + u64::from(self.length)
    }

    /// Makes `last` cover the write behind it, if that follows without a gap or is the same.
    pub(crate) fn join(last: &mut Self, next: &Self) -> bool {
        if last.end() == u64::from(next.address)
            && let Some(length) = last.length.checked_add(next.length)
        {
            last.length = length;
            return true;
        }
        last == next
    }
}

/// The bytes of one page that engines have translated, a bit for each.
///
/// A byte is watched for one write: that takes its bit away and goes into the log, from which every
/// reader learns that it has to drop what it made of the byte. Who translates it anew marks it anew.
pub(crate) struct Marks {
    bits: [u64; PAGE_SIZE as usize / 64],
    /// The reader that set all bits, or [`SEVERAL`].
    owner: u64,
}

/// The owner of marks that more than one reader set.
const SEVERAL: u64 = 0;

/// The words that bytes `first..end` of a page lie in, and the bits of each.
fn words(first: u32, end: u32) -> impl Iterator<Item = (usize, u64)> {
    (first / 64..end.div_ceil(64)).map(move |word| {
        let low = first.saturating_sub(word * 64);
        let high = (end - word * 64).min(64);
        (word as usize, (u64::MAX >> (64 - (high - low))) << low)
    })
}

impl Marks {
    pub(crate) fn new(owner: u64) -> Self {
        Self { bits: [0; PAGE_SIZE as usize / 64], owner }
    }

    /// Marks bytes `first..end`, some at least, for `reader`.
    pub(crate) fn set(&mut self, first: u32, end: u32, reader: u64) {
        for (word, bits) in words(first, end) {
            self.bits[word] |= bits;
        }
        if self.owner != reader {
            self.owner = SEVERAL;
        }
    }

    /// Takes the marks of bytes `first..end`, some at least, away, and says whether there were any.
    pub(crate) fn clear(&mut self, first: u32, end: u32) -> bool {
        let mut found = 0;
        for (word, bits) in words(first, end) {
            found |= self.bits[word] & bits;
            self.bits[word] &= !bits;
        }
        found != 0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bits.iter().all(|word| *word == 0)
    }

    /// Whether nobody but `reader` has set marks.
    pub(crate) fn is_all_of(&self, reader: u64) -> bool {
        self.owner == reader
    }
}

/// The newest writes, numbered, for any number of readers that each remember how far they are.
pub(crate) struct Log<T> {
    /// Writes and their numbers, which ascend.
    entries: VecDeque<(u64, T)>,
    /// The number of the newest write; zero before the first.
    newest: u64,
    /// The number of the newest write that is no longer there.
    lost: u64,
    /// The highest number that any reader has read.
    read: u64,
}

/// Writes that a log keeps. Who falls further behind has to take everything as written.
const CAPACITY: usize = 1024;

impl<T> Default for Log<T> {
    fn default() -> Self {
        Self { entries: VecDeque::new(), newest: 0, lost: 0, read: 0 }
    }
}

impl<T: Clone> Log<T> {
    /// The number of the newest write: where a new reader begins.
    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    /// Adds a write: to the newest one if nobody has read that yet and `join` says that it has made
    /// one of the two.
    pub(crate) fn push(&mut self, write: T, join: impl FnOnce(&mut T, &T) -> bool) {
        self.newest += 1;
        if let Some((number, last)) = self.entries.back_mut()
            && *number > self.read
            && join(last, &write)
        {
            *number = self.newest;
            return;
        }
        if self.entries.len() >= CAPACITY
            && let Some((number, _)) = self.entries.pop_front()
        {
            self.lost = number;
        }
        self.entries.push_back((self.newest, write));
    }

    /// The writes behind number `seen`, oldest first, or `None` if some of them are lost.
    pub(crate) fn since(&mut self, seen: u64) -> Option<Vec<T>> {
        self.read = self.newest;
        let first = self.entries.partition_point(|(number, _)| *number <= seen);
        (seen >= self.lost).then(|| self.entries.range(first..).map(|(_, write)| write.clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn marks_are_those_of_the_bytes() {
        for (first, end) in [(0, 1), (63, 65), (64, 128), (5, 200), (4095, 4096), (0, 4096)] {
            let mut marks = Marks::new(7);
            marks.set(first, end, 7);
            for byte in 0..PAGE_SIZE {
                let mut copy = Marks { bits: marks.bits, owner: 7 };
                assert_eq!(
                    copy.clear(byte, byte + 1),
                    (first..end).contains(&byte),
                    "{first}..{end}: {byte}"
                );
            }
            assert!(!marks.is_empty() && marks.clear(first, end) && marks.is_empty());
            assert!(!marks.clear(0, PAGE_SIZE));
        }
    }

    #[test]
    fn marks_know_whether_they_are_one_readers() {
        let mut marks = Marks::new(7);
        marks.set(0, 4, 7);
        assert!(marks.is_all_of(7) && !marks.is_all_of(8));
        marks.set(4, 8, 8);
        assert!(!marks.is_all_of(7) && !marks.is_all_of(8));
    }

    #[test]
    fn each_reader_of_a_log_gets_each_write_once() {
        let join = |last: &mut u32, new: &u32| core::mem::replace(last, *new) + 1 == *new;
        let mut log = Log::default();
        log.push(10, |_, _| false);
        log.push(11, join);
        assert_eq!((log.newest(), log.since(0)), (2, Some(vec![11])), "nobody had read 10");
        log.push(12, join);
        assert_eq!(log.since(2), Some(vec![12]), "somebody had read 11");
        assert_eq!(log.since(0), Some(vec![11, 12]), "the other reader gets what it has not read");
        assert_eq!(log.since(3), Some(vec![]));
        for write in 0..CAPACITY as u32 {
            log.push(write, |_, _| false);
        }
        assert_eq!(log.since(2), None, "12 is no longer there");
        assert_eq!(log.since(3).map(|writes| writes.len()), Some(CAPACITY));
    }
}
