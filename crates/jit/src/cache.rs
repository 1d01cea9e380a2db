//! The translations for one address space: where they are, how they lead to each other, and how they go
//! when their code is written to.

use core::hash::{BuildHasherDefault, Hasher};
use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use pentimento_decoder::{DecodeError, Instruction, decode};
use pentimento_execute::blocks::KeptCode;
use pentimento_execute::{Breakpoints, CpuModel, Environment};
use pentimento_memory::AddressSpace;
use pentimento_memory::engine::{CodeChanges, CodeWrite};

use self::aside::Aside;
use self::mixed::MixedPages;
use crate::counting::Counting;
use crate::dump::Dump;
use crate::emit::{Emitter, displacement};
use crate::frame::Frame;
use crate::host::{CodeMemory, Entry, JumpTable};
use crate::stubs::{self, Stubs};
use crate::translate::{Draft, Exit, Fix, Point, Surroundings};

mod aside;
mod counted;
mod mixed;

/// Bytes of code memory, of which the host provides what is used.
const CODE_BYTES: usize = 64 << 20;
/// Where in it that begins which is rarely executed.
const RARE: u32 = 36 << 20;
/// Bytes that a block takes at most in either part: beyond what is left for one, everything is dropped.
const MOST_BLOCK_BYTES: u32 = 64 << 10;
/// Dropped blocks after which everything is dropped.
const MOST_DROPPED: u32 = 4096;
/// Bytes of an instruction.
const LONGEST: u32 = 15;

/// What a block is the translation of: the code at an address, for string instructions that go forwards
/// (false) or backwards.
type Key = (u32, bool);

/// The number of no exit.
const NONE: u32 = u32::MAX;

/// Mixes keys: they are addresses of code, and whoever chooses badly slows down nobody else.
#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32((*byte).into());
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u32(value.into());
    }

    fn write_u32(&mut self, value: u32) {
        self.0 = (self.0.rotate_left(5) ^ u64::from(value)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 32;
    }
}

/// A block, which may be one of code that is not there.
#[derive(Clone, Copy, Debug)]
struct Block {
    /// Where to enter it.
    entry: u32,
    /// Where to enter it with the x87 state loaded.
    loaded_entry: u32,
    /// The same two for who goes on inside of a block.
    inside: (u32, u32),
    /// The first of its bytes of guest code among all.
    code: u32,
    /// How many there are.
    length: u32,
    /// It is what it is because FS and GS were so.
    based: Option<Based>,
}

/// Whether FS and GS add their base and nothing else.
type Based = (bool, bool);

/// What is known of the block of a key.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// `None` while nobody has executed it.
    block: Option<Block>,
    /// The first of the exits that lead to it, by number; each names the next.
    incoming: u32,
    /// It is in the jump table, where indirect jumps find it.
    listed: bool,
}

impl Node {
    const UNKNOWN: Self = Self { block: None, incoming: NONE, listed: false };
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

/// Where a run begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Start {
    /// Offset in the code memory.
    offset: u32,
    /// Instructions that are counted there and not executed, if negative; else those that will be counted
    /// and were executed before.
    pub(crate) uncounted: i64,
    /// What the code adds to R15 to have ESP.
    pub(crate) stack_ahead: i32,
}

impl Start {
    /// The beginning of a block.
    const fn of_block(offset: u32) -> Self {
        Self { offset, uncounted: 0, stack_ahead: 0 }
    }
}

/// The translations for one address space.
pub(crate) struct Cache {
    code: CodeMemory,
    table: JumpTable,
    stubs: Stubs,
    entry: Entry,
    emit: Emitter,
    emit_rare: Emitter,
    draft: Draft,
    /// Which blocks there are, of what bytes of which address space.
    kept: KeptCode<Key, ()>,
    /// Each block, and each that an exit leads to.
    nodes: HashMap<Key, Node, BuildHasherDefault<KeyHasher>>,
    ranges: Vec<HostRange>,
    points: Vec<Point>,
    exits: Vec<(Exit, u32)>,
    /// The guest code of all blocks, one after the other.
    codes: Vec<u8>,
    aside: Aside,
    pub(crate) mixed: MixedPages,
    /// What the blocks were translated for.
    model: CpuModel,
    pub(crate) surroundings: Surroundings,
    /// There is a block that uses the x87 unit.
    pub(crate) uses_x87: bool,
    /// The linked blocks that were translated for what FS and GS are.
    based: Vec<Key>,
    /// Blocks dropped since everything was.
    dropped: u32,
    statistics: Statistics,
    /// Instructions handed to the reference, by mnemonic.
    handed: BTreeMap<&'static str, u64>,
    /// In no block is an instruction at one of these.
    breakpoints: Breakpoints,
    dump: Option<Dump>,
    /// What blocks count, if anything.
    counting: Option<Counting>,
}

/// What a translator has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Statistics {
    /// Blocks translated.
    pub(crate) blocks: u64,
    /// Bytes of guest code in them.
    pub(crate) guest_bytes: u64,
    /// Bytes of host code made of that.
    pub(crate) host_bytes: u64,
    /// Time that took, in nanoseconds.
    pub(crate) nanoseconds: u64,
    /// Blocks dropped because their code was written to.
    pub(crate) dropped: u64,
    /// Times that everything was dropped.
    pub(crate) flushes: u64,
    /// Times that translated code was entered.
    pub(crate) entries: u64,
    /// Instructions handed to the reference because there is no translation.
    pub(crate) reference: u64,
    /// Exceptions of the host's CPU.
    pub(crate) faults: u64,
    /// Address spaces that ran translated code.
    pub(crate) promoted: u64,
    /// Blocks that served again, in another address space or behind a change of segments.
    pub(crate) reused: u64,
}

impl Statistics {
    /// Each by its name.
    fn named(&self) -> [(&'static str, u64); 11] {
        [
            ("blocks translated", self.blocks),
            ("blocks reused", self.reused),
            ("bytes of guest code translated", self.guest_bytes),
            ("bytes of host code", self.host_bytes),
            ("microseconds translating", self.nanoseconds / 1000),
            ("blocks dropped", self.dropped),
            ("times all were dropped", self.flushes),
            ("times translated code was entered", self.entries),
            ("instructions handed to the reference", self.reference),
            ("exceptions of the host", self.faults),
            ("address spaces promoted", self.promoted),
        ]
    }
}

/// The instruction at `eip`, or why there is none.
pub(crate) fn instruction_at(memory: &AddressSpace, eip: u32) -> Result<Instruction, DecodeError> {
    let mut bytes = [0; LONGEST as usize];
    let available = memory.fetch(eip, &mut bytes);
    decode(&bytes[..available])
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
        let mut code = CodeMemory::new(CODE_BYTES, RARE as usize)?;
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
            emit_rare: Emitter::new(RARE),
            draft: Draft::new(),
            kept: KeptCode::new(),
            nodes: HashMap::default(),
            ranges: Vec::new(),
            points: Vec::new(),
            exits: Vec::new(),
            codes: Vec::new(),
            aside: Aside::default(),
            mixed: MixedPages::default(),
            model: CpuModel::Max,
            surroundings,
            uses_x87: false,
            based: Vec::new(),
            dropped: 0,
            statistics: Statistics::default(),
            handed: BTreeMap::new(),
            breakpoints: Breakpoints::default(),
            dump: Dump::requested(),
            counting: None,
        })
    }

    /// What has happened so far, by name.
    pub(crate) fn counts(&self) -> Vec<(String, u64)> {
        let named = self.statistics.named().into_iter().map(|(name, count)| (name.to_owned(), count));
        let handed = self.handed.iter().map(|(mnemonic, count)| (format!("handed over: {mnemonic}"), *count));
        named.chain(handed).collect()
    }

    /// Bytes of the host's memory that all blocks take, about: their code and what is known of it.
    pub(crate) fn footprint(&self) -> usize {
        self.emit.offset() as usize
            + (self.emit_rare.offset() - RARE) as usize
            + self.codes.capacity()
            + self.points.capacity() * size_of::<Point>()
            + self.exits.capacity() * size_of::<(Exit, u32)>()
            + self.nodes.capacity() * size_of::<(Key, Node)>()
    }

    /// Notes that the instruction at `eip` was handed to the reference because it has no translation.
    pub(crate) fn hand_over(&mut self, memory: &AddressSpace, eip: u32) {
        let mnemonic = instruction_at(memory, eip).map_or("(none)", |found| found.operation().mnemonic());
        self.statistics.reference += 1;
        *self.handed.entry(mnemonic).or_default() += 1;
    }

    /// What has happened so far, to add to.
    pub(crate) const fn statistics(&mut self) -> &mut Statistics {
        &mut self.statistics
    }

    /// Drops all blocks.
    pub(crate) fn clear(&mut self) {
        // There may be exits to count with also where every block was dropped or lies aside.
        if !self.nodes.is_empty() {
            self.statistics.flushes += 1;
            // A jump to where a block was must find none, also on a host that keeps the table's memory.
            for ((eip, _), _) in self.nodes.drain().filter(|(_, node)| node.listed) {
                self.table.set(eip, 0);
            }
            self.table.give_back();
            self.kept.clear();
        }
        self.ranges.clear();
        self.points.clear();
        self.exits.clear();
        self.codes.clear();
        self.aside.clear();
        self.dropped = 0;
        self.uses_x87 = false;
        self.based.clear();
        if let Some(counting) = &mut self.counting {
            counting.forget();
        }
        self.emit.restart(self.stubs.end);
        self.emit_rare.restart(RARE);
    }

    /// Brings the blocks up to date with what was written to their code, with the CPU model, and with
    /// the segments.
    pub(crate) fn refresh(
        &mut self,
        memory: &mut AddressSpace,
        environment: &Environment,
        surroundings: Surroundings,
    ) {
        let mut known = core::mem::take(&mut self.breakpoints);
        environment.breakpoints.bring_up_to_date(&mut known, |address| {
            for key in self.kept.overlapping(CodeWrite { address, length: 1 }) {
                self.drop_block(key);
            }
            self.forget_aside(address);
        });
        self.breakpoints = known;
        let model = environment.model;
        if model != self.model {
            self.clear();
        }
        let based = core::mem::replace(&mut self.surroundings, surroundings) != surroundings;
        self.model = model;
        if based {
            self.put_based_aside();
        }
        if self.kept.reader.is_current(memory) {
            return;
        }
        let is_another = !self.kept.reader.knows(memory);
        let writes = match self.kept.catch_up(memory) {
            CodeChanges::Writes(writes) if self.dropped < MOST_DROPPED => writes,
            CodeChanges::Everything if is_another => return self.move_to(memory),
            // What dropped blocks have left behind is no longer worth walking over.
            _ => return self.clear(),
        };
        for write in writes {
            for key in self.kept.overlapping(write) {
                self.drop_block(key);
            }
            self.kept.release_unused(memory, write, |page| self.mixed.is_unwatched(page));
        }
    }

    /// Drops a block: jumps to it find the way out that they had before. Its own exits stay among those
    /// that lead to their targets until everything is dropped: nobody executes them any more.
    fn drop_block(&mut self, key: Key) {
        if self.unlink(key).is_some() {
            self.statistics.dropped += 1;
            self.dropped += 1;
        }
    }

    /// Lets nothing lead to a block any more.
    fn unlink(&mut self, key: Key) -> Option<Block> {
        self.kept.remove(key)?;
        let node = self.nodes.get_mut(&key)?;
        let block = node.block.take();
        let mut number = node.incoming;
        if core::mem::take(&mut node.listed) {
            self.table.set(key.0, 0);
        }
        while let Some((exit, next)) = self.exits.get(number as usize) {
            self.code.write(exit.site.0, &displacement(exit.site, exit.stub).to_le_bytes());
            number = *next;
        }
        block
    }

    /// Where a run that was interrupted before the instruction at `eip` goes on in the middle of a block
    /// with instructions forwards; `None` if no block has a place for it.
    pub(crate) fn middle(&self, eip: u32) -> Option<Start> {
        self.kept.around(eip).filter(|(_, backwards)| !backwards).find_map(|key| {
            let points = self.points_around(self.block(key)?.entry)?;
            let point = points.iter().find(|point| point.enters && point.eip == eip)?;
            Some(Start {
                offset: point.host,
                uncounted: point.uncounted.into(),
                stack_ahead: point.stack_ahead.into(),
            })
        })
    }

    /// The block of a key, if there is one.
    fn block(&self, key: Key) -> Option<Block> {
        self.nodes.get(&key)?.block
    }

    /// Whether there is a translation of the code at `eip`.
    pub(crate) fn has(&self, eip: u32) -> bool {
        self.block((eip, false)).is_some()
    }

    /// Where the translation of the code at `eip` begins, made if it has to be; `None` if there is no code
    /// there that could be translated. From then on jumps by the jump table find it if `list` is set.
    pub(crate) fn entry(
        &mut self,
        memory: &mut AddressSpace,
        environment: &Environment,
        key: Key,
        list: bool,
    ) -> Option<Start> {
        let known = self.block(key).or_else(|| self.revive(memory, key)).map(|block| block.entry);
        let entry = known.or_else(|| {
            let started = Instant::now();
            let entry = self.translate(memory, environment, key);
            self.statistics.nanoseconds += started.elapsed().as_nanos() as u64;
            entry
        })?;
        if list
            && let (eip, false) = key
            && let Some(node) = self.nodes.get_mut(&key)
            && !core::mem::replace(&mut node.listed, true)
        {
            self.table.set(eip, entry);
        }
        Some(Start::of_block(entry))
    }

    fn translate(&mut self, memory: &mut AddressSpace, environment: &Environment, key: Key) -> Option<u32> {
        let (eip, _) = key;
        let is_full = |emit: &Emitter, end: u32| emit.offset() + MOST_BLOCK_BYTES > end;
        if is_full(&self.emit, RARE) || is_full(&self.emit_rare, self.code.length() as u32) {
            self.clear();
        }
        // Its entry, if it needs no x87 unit, begins a line of the host's decoder.
        let entry = (self.emit.offset() + Draft::BEFORE_ENTRY).next_multiple_of(16);
        let (start, rare) = (entry - Draft::BEFORE_ENTRY, self.emit_rare.offset());
        self.emit.restart(start);
        self.emit_rare.restart(rare);
        let (stubs, surroundings, draft) = (&self.stubs, &self.surroundings, &mut self.draft);
        let emit = (&mut self.emit, &mut self.emit_rare);
        let surroundings = (surroundings, self.counting.as_mut());
        if !draft.translate(emit, stubs, memory, environment, surroundings, key)
            || !self.kept.reader.watch(memory, eip, draft.length)
        {
            self.emit.restart(start);
            self.emit_rare.restart(rare);
            return None;
        }
        self.code.write(start, self.emit.bytes());
        self.code.write(rare, self.emit_rare.bytes());
        if let Some(dump) = &mut self.dump {
            dump.block(memory, eip, draft, self.code.address(), (self.emit.bytes(), self.emit_rare.bytes()));
        }
        self.emit.restart(draft.host.end);
        self.emit_rare.restart(draft.rare.end);
        let code = self.codes.len();
        self.codes.resize(code + self.draft.length as usize, 0);
        memory.fetch(eip, &mut self.codes[code..]);
        Some(self.install(key, code as u32))
    }

    /// Makes a block known, and jumps to it and from it lead where they should.
    fn install(&mut self, key: Key, code: u32) -> u32 {
        let draft = &self.draft;
        self.statistics.blocks += 1;
        self.statistics.guest_bytes += u64::from(draft.length);
        self.statistics.host_bytes += (draft.host.len() + draft.rare.len()) as u64;
        self.uses_x87 |= draft.uses_x87;
        let first_point = self.points.len() as u32;
        self.points.extend(&draft.points);
        self.ranges.push(HostRange {
            start: draft.host.start,
            end: draft.host.end,
            points: (first_point, self.points.len() as u32),
        });
        let first = self.exits.len() as u32;
        let block = Block {
            entry: draft.entry,
            loaded_entry: draft.loaded_entry,
            inside: draft.inside,
            code,
            length: draft.length,
            based: draft.based.then_some((self.surroundings.fs, self.surroundings.gs)),
        };
        self.link(key, block);
        for place in 0..self.draft.exits.len() {
            let exit = self.draft.exits[place];
            let node = self.nodes.entry(exit.key()).or_insert(Node::UNKNOWN);
            let next = core::mem::replace(&mut node.incoming, first + place as u32);
            let target = node.block;
            self.exits.push((exit, next));
            if let Some(target) = target {
                self.lead(exit, target);
            }
        }
        block.entry
    }

    /// Lets what leads to the code of a block lead to the block.
    fn link(&mut self, key: Key, block: Block) {
        self.kept.insert(key, block.length, ());
        self.based.extend(block.based.map(|_| key));
        let node = self.nodes.entry(key).or_insert(Node::UNKNOWN);
        node.block = Some(block);
        let mut number = node.incoming;
        while let Some((exit, next)) = self.exits.get(number as usize).copied() {
            self.lead(exit, block);
            number = next;
        }
    }

    /// Lets an exit lead to a block.
    fn lead(&mut self, exit: Exit, to: Block) {
        let (entry, loaded) = if exit.inside { to.inside } else { (to.entry, to.loaded_entry) };
        let entry = if exit.loaded { loaded } else { entry };
        self.code.write(exit.site.0, &displacement(exit.site, entry).to_le_bytes());
    }

    /// What the host executed at `offset` of the code memory, or `None` if that is in no block.
    pub(crate) fn place(&self, offset: u32) -> Option<Place> {
        let points = self.points_around(offset)?;
        let point = points[..points.partition_point(|point| point.host <= offset)].last()?;
        Some(Place {
            eip: point.eip,
            fix: point.fix,
            uncounted: point.uncounted.into(),
            stack_ahead: point.stack_ahead.into(),
        })
    }

    /// The points of the block at `offset` of the code memory.
    fn points_around(&self, offset: u32) -> Option<&[Point]> {
        let range = self.ranges[..self.ranges.partition_point(|range| range.start <= offset)].last()?;
        (offset < range.end).then(|| &self.points[range.points.0 as usize..range.points.1 as usize])
    }

    /// The offset in the code memory of an address of which the low half is `address`.
    pub(crate) fn offset(&self, address: u32) -> u32 {
        address.wrapping_sub(self.code.address() as u32)
    }

    /// Runs translated code from `start` on, with the rest as `frame` says.
    ///
    /// # Safety
    /// `start` is what [`Self::entry`], [`Self::inside`] or [`Self::middle`] gave, and no block was dropped since. The frame's state is the
    /// guest's, and its base the reservation of the memory that this cache was last
    /// [refreshed](Self::refresh) with; nobody else uses either meanwhile.
    #[allow(unsafe_code, reason = "the call into translated code")]
    pub(crate) unsafe fn run(&mut self, frame: &mut Frame, start: Start) {
        self.statistics.entries += 1;
        frame.table = self.table.address();
        frame.code = self.code.address();
        frame.target = frame.code + u64::from(start.offset);
        // SAFETY: the pieces are those that `new` wrote; blocks reach only what translations reach, and
        // counters, which are atomics that this cache holds for as long as the blocks; the rest is the
        // caller's word.
        unsafe { self.entry.run(&mut self.code, frame) };
    }
}
