//! Blocks of code that is not there now: an address space ends, and the next one has the same programs and
//! libraries at the same places, but nobody knows that before they are compared.
//!
//! Such blocks lie aside, by page, with nothing leading to them. Where code is executed that has no
//! block, those of its page are compared with what is there. What is the same is linked again, and what is
//! not is forgotten.

use std::collections::BTreeMap;

use pentimento_memory::{AddressSpace, PAGE_SIZE};

use super::{Block, Cache, Key, LONGEST};
use crate::emit::displacement;
use crate::translate::MOST;

/// Blocks by the number of the page in which they begin.
pub(super) type Aside = BTreeMap<u32, Vec<(Key, Block)>>;

/// What is where a block's code was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Code {
    Same,
    Other,
    /// Nothing that could be executed, or not yet: pages of files come when they are touched.
    Absent,
}

impl Cache {
    /// Goes over to another address space: of its blocks those stay whose code is there, too.
    pub(super) fn move_to(&mut self, memory: &mut AddressSpace) {
        self.statistics.promoted += 1;
        self.mixed.clear();
        let known: Vec<(Key, Block)> =
            self.kept.keys().filter_map(|key| Some((key, self.block(key)?))).collect();
        let mut page = Fetched::new();
        let is_same =
            |(key, block): &(Key, Block)| page.compare(memory, key.0, self.code_of(*block)) == Code::Same;
        let same: Vec<bool> = known.iter().map(is_same).collect();
        if !same.contains(&true) {
            return self.put_all_aside(known);
        }
        self.based.clear();
        for ((key, block), same) in known.into_iter().zip(same) {
            if same && self.kept.reader.watch(memory, key.0, block.length) {
                self.statistics.reused += 1;
                self.based.extend(block.based.map(|_| key));
            } else {
                self.put_aside(key);
            }
        }
    }

    /// Puts all blocks aside.
    fn put_all_aside(&mut self, known: Vec<(Key, Block)>) {
        for (exit, _) in &self.exits {
            self.code.write(exit.site.0, &displacement(exit.site, exit.stub).to_le_bytes());
        }
        for (key, node) in &mut self.nodes {
            node.block = None;
            if core::mem::take(&mut node.listed) {
                self.table.set(key.0, 0);
            }
        }
        self.kept.clear();
        self.based.clear();
        for (key, block) in known {
            self.aside.entry(key.0 / PAGE_SIZE).or_default().push((key, block));
        }
    }

    /// Puts the blocks aside that are what they are because of another FS or GS.
    pub(super) fn put_based_aside(&mut self) {
        let now = (self.surroundings.fs, self.surroundings.gs);
        // What was dropped has no block any more, and what was linked again is in the list twice.
        for key in core::mem::take(&mut self.based) {
            match self.block(key).and_then(|block| block.based) {
                Some(based) if based != now => self.put_aside(key),
                Some(_) => self.based.push(key),
                None => {}
            }
        }
    }

    /// Forgets the blocks that lie aside and have the byte at `address`.
    pub(super) fn forget_aside(&mut self, address: u32) {
        let page = address / PAGE_SIZE;
        for (_, waiting) in self.aside.range_mut(page.saturating_sub(1)..=page) {
            waiting.retain(|((eip, _), block)| address.wrapping_sub(*eip) >= block.length);
        }
    }

    fn put_aside(&mut self, key: Key) {
        if let Some(block) = self.unlink(key) {
            self.aside.entry(key.0 / PAGE_SIZE).or_default().push((key, block));
        }
    }

    /// The guest code that a block was made of.
    fn code_of(&self, block: Block) -> &[u8] {
        &self.codes[block.code as usize..][..block.length as usize]
    }

    /// Links the blocks again that lie aside for the page of `key` and whose code is there. Gives that of
    /// `key`, if it is among them.
    pub(super) fn revive(&mut self, memory: &mut AddressSpace, key: Key) -> Option<Block> {
        let page = key.0 / PAGE_SIZE;
        let now = (self.surroundings.fs, self.surroundings.gs);
        let mut waiting = self.aside.remove(&page)?;
        let mut fetched = Fetched::new();
        waiting.retain(|(key, block)| {
            if block.based.is_some_and(|based| based != now) {
                return true;
            }
            let code = fetched.compare(memory, key.0, self.code_of(*block));
            if code == Code::Absent {
                return true;
            }
            let revives = code == Code::Same
                && self.block(*key).is_none()
                && self.kept.reader.watch(memory, key.0, block.length);
            if revives {
                self.statistics.reused += 1;
                self.link(*key, *block);
            }
            false
        });
        if !waiting.is_empty() {
            self.aside.insert(page, waiting);
        }
        self.block(key)
    }
}

/// A page of code as it is now, for comparing many blocks with.
struct Fetched {
    /// Its number; `None` before the first.
    number: Option<u32>,
    bytes: [u8; PAGE_SIZE as usize],
    /// How many there are.
    length: usize,
}

impl Fetched {
    const fn new() -> Self {
        Self { number: None, bytes: [0; PAGE_SIZE as usize], length: 0 }
    }

    /// What is in memory where `code` was, at `eip`.
    fn compare(&mut self, memory: &AddressSpace, eip: u32, code: &[u8]) -> Code {
        let number = eip / PAGE_SIZE;
        if self.number != Some(number) {
            (self.number, self.length) = (Some(number), memory.fetch(number * PAGE_SIZE, &mut self.bytes));
        }
        let offset = (eip % PAGE_SIZE) as usize;
        let here = code.len().min(self.bytes.len() - offset);
        let Some(bytes) = self.bytes[..self.length].get(offset..offset + here) else { return Code::Absent };
        if bytes != &code[..here] {
            return Code::Other;
        }
        let rest = &code[here..];
        let mut behind = [0; MOST * LONGEST as usize];
        let behind = &mut behind[..rest.len()];
        match memory.fetch(eip.wrapping_add(here as u32), behind) == rest.len() {
            true if behind == rest => Code::Same,
            true => Code::Other,
            false => Code::Absent,
        }
    }
}
