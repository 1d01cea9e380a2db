//! What an engine keeps of a guest's code, and which of it a write has made stale.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use pentimento_memory::engine::{CodeChanges, CodeReader, CodeWrite};
use pentimento_memory::{AddressSpace, PAGE_SIZE};

/// What an engine finds what it keeps by: an address, and what else there may be of the code there.
/// Keys are in the order of their addresses.
pub trait CodeKey: Copy + Ord {
    /// The linear address of the first byte of code.
    fn address(self) -> u32;

    /// All keys at these addresses.
    fn all(addresses: RangeInclusive<u32>) -> RangeInclusive<Self>;
}

impl CodeKey for u32 {
    fn address(self) -> u32 {
        self
    }

    fn all(addresses: RangeInclusive<u32>) -> RangeInclusive<Self> {
        addresses
    }
}

/// One address with two variants.
impl CodeKey for (u32, bool) {
    fn address(self) -> u32 {
        self.0
    }

    fn all(addresses: RangeInclusive<u32>) -> RangeInclusive<Self> {
        (*addresses.start(), false)..=(*addresses.end(), true)
    }
}

/// What an engine keeps of the code of one address space: by key, with the bytes that it was made of.
///
/// It says what a write makes stale and which pages nothing is kept of any more; the engine drops what it
/// has elsewhere, and [removes](Self::remove) it here.
///
/// ```
/// use pentimento_execute::blocks::KeptCode;
/// use pentimento_memory::engine::CodeWrite;
///
/// let mut kept = KeptCode::new();
/// kept.insert(0x1000_u32, 5, "a jump");
/// kept.insert(0x1005, 2, "a loop");
/// assert_eq!(kept.overlapping(CodeWrite { address: 0x1004, length: 1 }), [0x1000]);
/// assert_eq!(kept.overlapping(CodeWrite { address: 0x1004, length: 4 }), [0x1000, 0x1005]);
/// ```
#[derive(Debug)]
pub struct KeptCode<K, V> {
    /// Knows the address space, and what was written to its code.
    pub reader: CodeReader,
    /// By key: how many bytes, at least one, and what is made of them.
    kept: BTreeMap<K, (u32, V)>,
    /// Bytes of the longest since everything was dropped.
    longest: u32,
}

impl<K: CodeKey, V> Default for KeptCode<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: CodeKey, V> KeptCode<K, V> {
    /// Nothing yet, of no address space.
    #[must_use]
    pub fn new() -> Self {
        Self { reader: CodeReader::new(), kept: BTreeMap::new(), longest: 0 }
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// How much is kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Keeps nothing any more.
    pub fn clear(&mut self) {
        self.kept.clear();
        self.longest = 0;
    }

    /// What is kept under a key.
    #[inline]
    #[must_use]
    pub fn get(&self, key: K) -> Option<&V> {
        self.kept.get(&key).map(|(_, value)| value)
    }

    /// All keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = K> {
        self.kept.keys().copied()
    }

    /// Keeps `value`, made of `length` bytes, in place of what was kept under the key. The bytes are
    /// [watched](CodeReader::watch).
    pub fn insert(&mut self, key: K, length: u32, value: V) {
        self.longest = self.longest.max(length);
        self.kept.insert(key, (length, value));
    }

    /// Ends keeping something, and hands it out.
    pub fn remove(&mut self, key: K) -> Option<V> {
        self.kept.remove(&key).map(|(_, value)| value)
    }

    /// The keys of what has bytes in the range, in order.
    #[must_use]
    pub fn overlapping(&self, range: CodeWrite) -> Vec<K> {
        let end = range.address.saturating_add(range.length.saturating_sub(1));
        self.reaching(range.address, end).collect()
    }

    /// The keys of what begins before `address` and has the byte there, the nearest first.
    pub fn around(&self, address: u32) -> impl Iterator<Item = K> {
        self.reaching(address, address).rev().filter(move |key| key.address() < address)
    }

    /// The keys of what begins at `last` or before and has a byte from `first` on, in order. Nothing goes on at
    /// zero: to fetch over the end of the segment is #GP.
    fn reaching(&self, first: u32, last: u32) -> impl DoubleEndedIterator<Item = K> {
        let candidates = self.kept.range(K::all(first.saturating_sub(self.longest)..=last));
        let reaches = move |key: K, length: u32| key.address().saturating_add(length - 1) >= first;
        candidates.filter(move |(key, (length, _))| reaches(**key, *length)).map(|(key, _)| *key)
    }

    /// What was written since the last call, as [`CodeReader::catch_up`] says; of each write the engine
    /// drops what [overlaps](Self::overlapping) it.
    pub fn catch_up(&mut self, memory: &mut AddressSpace) -> CodeChanges {
        self.reader.catch_up(memory)
    }

    /// Lets stores to the pages of a write be fast again where nothing is kept of them any more, but for
    /// pages, by number, that the engine wants left as they are.
    pub fn release_unused(&self, memory: &mut AddressSpace, write: CodeWrite, leaves: impl Fn(u32) -> bool) {
        let end = write.address.saturating_add(write.length.saturating_sub(1));
        for page in write.address / PAGE_SIZE..=end / PAGE_SIZE {
            let address = page * PAGE_SIZE;
            let is_used = self.reaching(address, address + (PAGE_SIZE - 1)).next().is_some();
            if !is_used && !leaves(page) {
                self.reader.release(memory, address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(address: u32, length: u32) -> CodeWrite {
        CodeWrite { address, length }
    }

    #[test]
    fn what_overlaps_is_found_to_the_byte() {
        let mut kept = KeptCode::new();
        for (key, length) in [((0x1000, false), 16), ((0x1000, true), 4), ((0x1ffe, false), 300)] {
            kept.insert(key, length, ());
        }
        kept.insert((u32::MAX, false), 1, ());
        let all = [(0x1000, false), (0x1000, true)];
        for (range, expected) in [
            (write(0xfff, 1), &[][..]),
            (write(0xfff, 2), &all),
            (write(0x1003, 1), &all),
            (write(0x1004, 1), &all[..1]),
            (write(0x100f, 1), &all[..1]),
            (write(0x1010, 0xfee), &[]),
            (write(0x2000, 0x1000), &[(0x1ffe, false)]),
            (write(0x2129, 1), &[(0x1ffe, false)]),
            (write(0x212a, 1), &[]),
            (write(u32::MAX, 1), &[(u32::MAX, false)]),
            (write(u32::MAX, 9), &[(u32::MAX, false)]),
        ] {
            assert_eq!(kept.overlapping(range), expected, "{range:x?}");
        }
        assert_eq!(kept.around(0x1003).collect::<Vec<_>>(), [(0x1000, true), (0x1000, false)]);
        assert_eq!(kept.around(0x1000).count(), 0);
        kept.remove((0x1000, false));
        assert_eq!(kept.overlapping(write(0x1000, 1)), [(0x1000, true)]);
    }
}
