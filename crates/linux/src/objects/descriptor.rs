//! Descriptor tables: small numbers for open file descriptions.

use super::description::Description;
use crate::arena::Id;
use crate::errno::Errno;
use crate::vfs::Vnode;

/// An entry of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FileDescriptor {
    pub(crate) description: Id<Description>,
    /// The description's file.
    pub(crate) file: Vnode,
    pub(crate) close_on_exec: bool,
}

/// A table of descriptors (shared by CLONE_FILES).
#[derive(Clone, Default, Debug)]
pub(crate) struct FileDescriptors {
    slots: Vec<Option<FileDescriptor>>,
    /// Which slots are taken, a bit each.
    taken: Vec<u64>,
    /// Which words of that have no bit left, a bit each: a search looks at 4096 slots a step.
    full: Vec<u64>,
}

/// The lowest bit at or above `from` that is clear; bits beyond the words are.
fn lowest_clear(words: &[u64], from: usize) -> usize {
    let mut index = from / 64;
    let mut below = (1 << (from % 64)) - 1;
    while let Some(word) = words.get(index) {
        let word = word | below;
        if word != u64::MAX {
            return index * 64 + word.trailing_ones() as usize;
        }
        (index, below) = (index + 1, 0);
    }
    from.max(index * 64)
}

impl FileDescriptors {
    /// The entry of `fd`; EBADF where there is none.
    pub(crate) fn get(&self, fd: u32) -> Result<FileDescriptor, Errno> {
        self.slots.get(fd as usize).copied().flatten().ok_or(Errno::EBADF)
    }

    /// The entry of `fd`, to change its flags.
    pub(crate) fn get_mut(&mut self, fd: u32) -> Result<&mut FileDescriptor, Errno> {
        self.slots.get_mut(fd as usize).and_then(Option::as_mut).ok_or(Errno::EBADF)
    }

    /// The lowest free number at or above `from` and below `limit`; EMFILE where all are taken.
    pub(crate) fn free(&self, from: u32, limit: u32) -> Result<u32, Errno> {
        let first = from as usize / 64;
        let own = self.taken.get(first).copied().unwrap_or(0) | ((1 << (from % 64)) - 1);
        let free = if own == u64::MAX {
            lowest_clear(&self.taken, lowest_clear(&self.full, first + 1) * 64)
        } else {
            first * 64 + own.trailing_ones() as usize
        };
        u32::try_from(free).ok().filter(|fd| *fd < limit).ok_or(Errno::EMFILE)
    }

    /// Puts an entry at `fd`, and gives back the one that was there.
    pub(crate) fn set(&mut self, fd: u32, descriptor: FileDescriptor) -> Option<FileDescriptor> {
        let index = fd as usize;
        if self.slots.len() <= index {
            self.slots.resize(index + 1, None);
            self.taken.resize(index / 64 + 1, 0);
            self.full.resize(index / 4096 + 1, 0);
        }
        self.mark(index, true);
        self.slots[index].replace(descriptor)
    }

    /// Notes whether a slot is taken.
    fn mark(&mut self, index: usize, taken: bool) {
        let set = |word: &mut u64, bit: usize, on: bool| {
            *word = *word & !(1 << (bit % 64)) | u64::from(on) << (bit % 64);
        };
        let word = &mut self.taken[index / 64];
        set(word, index, taken);
        let full = *word == u64::MAX;
        set(&mut self.full[index / 4096], index / 64, full);
    }

    /// Takes the entry of `fd` out; EBADF where there is none.
    pub(crate) fn take(&mut self, fd: u32) -> Result<FileDescriptor, Errno> {
        let descriptor = self.slots.get_mut(fd as usize).and_then(Option::take).ok_or(Errno::EBADF)?;
        self.mark(fd as usize, false);
        Ok(descriptor)
    }

    /// Bytes that the table takes.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.slots.capacity() as u64 * Self::SLOT
    }

    /// Bytes that a number takes, used or not.
    pub(crate) const SLOT: u64 = size_of::<Option<FileDescriptor>>() as u64 + 1;

    /// All entries by number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, FileDescriptor)> {
        self.slots.iter().enumerate().filter_map(|(fd, slot)| slot.map(|slot| (fd as u32, slot)))
    }

    /// One more than the highest number in use.
    pub(crate) fn end(&self) -> u32 {
        self.slots.len() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::{NodeId, VolumeId};

    #[test]
    fn the_lowest_free_number_is_that_of_a_plain_search() {
        let file = Vnode { volume: VolumeId(0), node: NodeId(1) };
        let entry = FileDescriptor { description: Id::from_number(0), file, close_on_exec: false };
        let (mut table, mut model, mut random) = (FileDescriptors::default(), vec![false; 20_000], 1_u32);
        for _ in 0..60_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (action, fd) = (random >> 29, random >> 8 & 0x3fff);
            if action < 6 {
                let plain = model.iter().skip(fd as usize / 8).position(|taken| !taken);
                let expected = plain.map(|ahead| fd / 8 + ahead as u32).filter(|free| *free < 19_000);
                assert_eq!(table.free(fd / 8, 19_000).ok(), expected);
                if let Some(free) = expected {
                    table.set(free, entry);
                    model[free as usize] = true;
                }
            } else {
                assert_eq!(table.take(fd).is_ok(), core::mem::take(&mut model[fd as usize]));
            }
        }
    }
}
