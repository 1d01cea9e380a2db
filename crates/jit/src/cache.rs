//! The translations for one address space: where they are, how they lead to each other, and how they go
//! when their code is written to.

use std::collections::{BTreeMap, HashMap};

use pentimento_execute::{CpuModel, Environment};
use pentimento_memory::engine::{CodeChanges, CodeReader, CodeWrite};
use pentimento_memory::{AddressSpace, PAGE_SIZE};

use crate::dump::Dump;
use crate::emit::{Emitter, displacement};
use crate::frame::Frame;
use crate::host::{CodeMemory, Entry, JumpTable};
use crate::stubs::{self, Stubs};
use crate::translate::{Draft, Exit, Fix, MOST, Point, Surroundings, translate};

/// Bytes of code memory, of which the host provides what is used.
const CODE_BYTES: usize = 64 << 20;
/// Bytes that a block takes at most: beyond what is left for one, everything is dropped.
const MOST_BLOCK_BYTES: usize = 64 << 10;
/// Bytes of an instruction.
const LONGEST: u32 = 15;

/// What a block is the translation of: the code at an address, for string instructions that go forwards
/// (false) or backwards.
type Key = (u32, bool);

/// A block in the cache.
#[derive(Clone, Copy, Debug)]
struct Block {
    /// Bytes of guest code.
    length: u32,
    entry: u32,
    loaded_entry: u32,
    /// Its exits among all.
    exits: (u32, u32),
}

/// What is needed to find out where a host address is.
#[derive(Clone, Copy, Debug)]
struct HostRange {
    start: u32,
    end: u32,
    /// Its points among all.
    points: (u32, u32),
}

/// Where an exception was raised.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) eip: u32,
    pub(crate) fix: Fix,
    /// Instructions executed beyond those counted; negative if more were counted.
    pub(crate) uncounted: i64,
    /// What is to be added to ESP.
    pub(crate) stack_ahead: i32,
}

/// The translations for one address space.
pub(crate) struct Cache {
    code: CodeMemory,
    table: JumpTable,
    stubs: Stubs,
    entry: Entry,
    emit: Emitter,
    blocks: BTreeMap<Key, Block>,
    ranges: Vec<HostRange>,
    points: Vec<Point>,
    exits: Vec<Exit>,
    /// The exits that lead to a block, by number.
    incoming: HashMap<Key, Vec<u32>>,
    reader: CodeReader,
    /// What the blocks were translated for.
    model: CpuModel,
    pub(crate) surroundings: Surroundings,
    /// There is a block that uses the x87 unit.
    pub(crate) uses_x87: bool,
    /// There is a block that was translated for what FS and GS are.
    based: bool,
    statistics: Statistics,
    dump: Option<Dump>,
}

/// What a translator has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Statistics {
    /// Blocks translated.
    pub blocks: u64,
    /// Bytes of guest code in them.
    pub guest_bytes: u64,
    /// Bytes of host code made of that.
    pub host_bytes: u64,
    /// Blocks dropped because their code was written to.
    pub dropped: u64,
    /// Times that everything was dropped.
    pub flushes: u64,
    /// Times that translated code was entered.
    pub entries: u64,
    /// Instructions handed to the reference because there is no translation.
    pub reference: u64,
    /// Exceptions of the host's CPU.
    pub faults: u64,
}

impl Exit {
    /// The block that it leads to.
    const fn key(&self) -> Key {
        (self.target, self.backwards)
    }
}

impl Cache {
    /// A cache without blocks; `None` where the host gives no memory for it.
    pub(crate) fn new(surroundings: Surroundings) -> Option<Self> {
        let mut code = CodeMemory::new(CODE_BYTES)?;
        let table = JumpTable::new()?;
        let mut emit = Emitter::new(0);
        let stubs = stubs::write(&mut emit);
        code.write(0, emit.bytes());
        let entry = Entry::new(stubs.enter, stubs.fault, stubs.end)?;
        emit.restart(stubs.end);
        Some(Self {
            code,
            table,
            stubs,
            entry,
            emit,
            blocks: BTreeMap::new(),
            ranges: Vec::new(),
            points: Vec::new(),
            exits: Vec::new(),
            incoming: HashMap::new(),
            reader: CodeReader::new(),
            model: CpuModel::Max,
            surroundings,
            uses_x87: false,
            based: false,
            statistics: Statistics::default(),
            dump: Dump::requested(),
        })
    }

    /// What has happened so far.
    pub(crate) const fn statistics(&mut self) -> &mut Statistics {
        &mut self.statistics
    }

    /// Drops all blocks.
    pub(crate) fn clear(&mut self) {
        if !self.blocks.is_empty() {
            self.statistics.flushes += 1;
            self.table.clear();
        }
        self.blocks.clear();
        self.ranges.clear();
        self.points.clear();
        self.exits.clear();
        self.incoming.clear();
        (self.uses_x87, self.based) = (false, false);
        self.emit.restart(self.stubs.end);
    }

    /// Brings the blocks up to date with what was written to their code, with the CPU model, and with
    /// the segments.
    pub(crate) fn refresh(&mut self, memory: &mut AddressSpace, model: CpuModel, surroundings: Surroundings) {
        if model != self.model || surroundings != self.surroundings && self.based {
            self.clear();
        }
        (self.model, self.surroundings) = (model, surroundings);
        if self.reader.is_current(memory) {
            return;
        }
        let writes = match self.reader.catch_up(memory) {
            CodeChanges::Everything => return self.clear(),
            CodeChanges::Writes(writes) => writes,
        };
        for write in writes {
            for key in self.overlapping(write) {
                self.drop_block(key);
            }
            let end = write.address.saturating_add(write.length - 1);
            for page in write.address / PAGE_SIZE..=end / PAGE_SIZE {
                let address = page * PAGE_SIZE;
                if self.overlapping(CodeWrite { address, length: PAGE_SIZE }).is_empty() {
                    self.reader.release(memory, address);
                }
            }
        }
    }

    /// The blocks with code in the range.
    fn overlapping(&self, range: CodeWrite) -> Vec<Key> {
        let reach = (MOST as u32 + 4) * LONGEST;
        let end = range.address.saturating_add(range.length - 1);
        let candidates = self.blocks.range((range.address.saturating_sub(reach), false)..=(end, true));
        candidates
            .filter(|((start, _), block)| *start + (block.length - 1) >= range.address)
            .map(|(key, _)| *key)
            .collect()
    }

    /// Drops a block: jumps to it find the way out that they had before.
    fn drop_block(&mut self, key: Key) {
        let Some(block) = self.blocks.remove(&key) else { return };
        self.statistics.dropped += 1;
        if let (eip, false) = key {
            self.table.set(eip, 0);
        }
        for number in block.exits.0..block.exits.1 {
            if let Some(incoming) = self.incoming.get_mut(&self.exits[number as usize].key()) {
                incoming.retain(|other| *other != number);
            }
        }
        let incoming = self.incoming.get(&key).map_or(&[][..], Vec::as_slice);
        for number in incoming {
            let exit = self.exits[*number as usize];
            self.code.write(exit.site.0, &displacement(exit.site, exit.stub).to_le_bytes());
        }
    }

    /// Where the translation of the code at `eip` begins, made if it has to be; `None` if there is no code
    /// there that could be translated.
    pub(crate) fn entry(
        &mut self,
        memory: &mut AddressSpace,
        environment: &Environment,
        eip: u32,
        backwards: bool,
    ) -> Option<u32> {
        let known = match self.table.get(eip) {
            _ if backwards => self.blocks.get(&(eip, true)).map(|block| block.entry),
            0 => None,
            entry => Some(entry),
        };
        known.or_else(|| self.translate(memory, environment, (eip, backwards)))
    }

    fn translate(&mut self, memory: &mut AddressSpace, environment: &Environment, key: Key) -> Option<u32> {
        let (eip, backwards) = key;
        let at = self.emit.offset().next_multiple_of(16);
        if at as usize + MOST_BLOCK_BYTES > self.code.length() {
            self.clear();
        }
        self.emit.restart(self.emit.offset().next_multiple_of(16));
        let (emit, stubs, surroundings) = (&mut self.emit, &self.stubs, &self.surroundings);
        let draft = translate(emit, stubs, memory, environment, surroundings, eip, backwards)?;
        if !self.reader.watch(memory, eip, draft.length) {
            self.emit.restart(draft.host.start);
            return None;
        }
        self.code.write(draft.host.start, self.emit.bytes());
        if let Some(dump) = &mut self.dump {
            let address = self.code.address() + u64::from(draft.host.start);
            dump.block(memory, eip, &draft, address, self.emit.bytes());
        }
        self.emit.restart(draft.host.end);
        Some(self.install(key, draft))
    }

    /// Makes a block known, and jumps to it and from it lead where they should.
    fn install(&mut self, key: Key, draft: Draft) -> u32 {
        self.statistics.blocks += 1;
        self.statistics.guest_bytes += u64::from(draft.length);
        self.statistics.host_bytes += u64::from(draft.host.end - draft.host.start);
        self.uses_x87 |= draft.uses_x87;
        self.based |= draft.based;
        let first_point = self.points.len() as u32;
        self.points.extend(&draft.points);
        self.ranges.push(HostRange {
            start: draft.host.start,
            end: draft.host.end,
            points: (first_point, self.points.len() as u32),
        });
        let first = self.exits.len() as u32;
        let exits = (first, first + draft.exits.len() as u32);
        let block =
            Block { length: draft.length, entry: draft.entry, loaded_entry: draft.loaded_entry, exits };
        self.blocks.insert(key, block);
        if let (eip, false) = key {
            self.table.set(eip, block.entry);
        }
        for (number, exit) in (first..).zip(draft.exits) {
            self.exits.push(exit);
            self.incoming.entry(exit.key()).or_default().push(number);
            if let Some(target) = self.blocks.get(&exit.key()).copied()
                && exit.key() != key
            {
                self.lead(exit, target);
            }
        }
        for number in self.incoming.get(&key).cloned().unwrap_or_default() {
            self.lead(self.exits[number as usize], block);
        }
        block.entry
    }

    /// Lets an exit lead to a block.
    fn lead(&mut self, exit: Exit, to: Block) {
        let entry = if exit.loaded { to.loaded_entry } else { to.entry };
        self.code.write(exit.site.0, &displacement(exit.site, entry).to_le_bytes());
    }

    /// What the host executed at `offset` of the code memory, or `None` if that is in no block.
    pub(crate) fn place(&self, offset: u32) -> Option<Place> {
        let range = self.ranges[..self.ranges.partition_point(|range| range.start <= offset)].last()?;
        if offset >= range.end {
            return None;
        }
        let points = &self.points[range.points.0 as usize..range.points.1 as usize];
        let point = points[..points.partition_point(|point| point.host <= offset)].last()?;
        Some(Place {
            eip: point.eip,
            fix: point.fix,
            uncounted: point.uncounted.into(),
            stack_ahead: point.stack_ahead.into(),
        })
    }

    /// The offset in the code memory of an address of which the low half is `address`.
    pub(crate) fn offset(&self, address: u32) -> u32 {
        address.wrapping_sub(self.code.address() as u32)
    }

    /// Runs translated code from `entry` on, with the rest as `frame` says.
    ///
    /// # Safety
    /// `entry` is what [`Self::entry`] gave, and no block was dropped since. The frame's state is the
    /// guest's, and its base the reservation of the memory that this cache was last
    /// [refreshed](Self::refresh) with; nobody else uses either meanwhile.
    #[allow(unsafe_code, reason = "the call into translated code")]
    pub(crate) unsafe fn run(&mut self, frame: &mut Frame, entry: u32) {
        self.statistics.entries += 1;
        frame.table = self.table.address();
        frame.code = self.code.address();
        frame.target = frame.code + u64::from(entry);
        // SAFETY: the pieces are those that `new` wrote; blocks reach only what translations reach;
        // the rest is the caller's word.
        unsafe { self.entry.run(&mut self.code, frame) };
    }
}
