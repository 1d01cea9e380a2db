//! The blocks of one address space: where they are, and how they go when their code is written to.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cell::Cell;

use pentimento_memory::engine::{CodeChanges, CodeReader, CodeWrite};
use pentimento_memory::{AddressSpace, PAGE_SIZE};

use crate::block::{Builder, connector};
use crate::cursor::{Link, Op};
use crate::frame::{End, MOST, Step};
use pentimento_execute::{Context, CpuModel};

/// An entry of the table of jumps: a block's EIP and its first operation.
#[derive(Default, Debug)]
#[repr(C, align(8))]
pub(crate) struct Jump {
    pub(crate) eip: Cell<u32>,
    pub(crate) first: Link,
}

const JUMPS: usize = 4096;

/// Where indirect branches look first; what is empty leads to operation 0, which stops.
pub(crate) type Jumps = [Jump; JUMPS];

/// The place of `eip` in the table of jumps.
#[inline(always)]
pub(crate) fn jump_slot(eip: u32) -> usize {
    (eip ^ eip >> 12) as usize % JUMPS
}

/// A block's place in memory and in the arena.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    pub(crate) first: u32,
    pub(crate) instructions: u16,
    /// Instructions before the first: not zero for what is left of a block.
    pub(crate) before: u16,
    /// Bytes of code.
    pub(crate) length: u32,
}

/// Operations in the arena above which everything is dropped and compiled again.
const MOST_OPS: usize = 1 << 20;

/// The longest instruction.
const LONGEST: u32 = 15;

/// Everything that was compiled for an address space.
pub(crate) struct Code {
    pub(crate) ops: Vec<Op>,
    pub(crate) steps: Vec<Step>,
    pub(crate) jumps: Box<Jumps>,
    blocks: BTreeMap<u32, Block>,
    /// The operation in the middle of a block before which the budget ended.
    paused: Option<usize>,
    /// The model that it was compiled for.
    model: CpuModel,
    /// Knows the address space that the blocks are of, and what was written to their code.
    pub(crate) reader: CodeReader,
    /// Changes when positions in the arena lose their meaning.
    pub(crate) epoch: u64,
}

impl Code {
    pub(crate) fn new() -> Self {
        Self {
            ops: Vec::new(),
            steps: Vec::new(),
            jumps: Box::new([const { Jump { eip: Cell::new(0), first: Link::open() } }; JUMPS]),
            blocks: BTreeMap::new(),
            paused: None,
            model: CpuModel::Max,
            reader: CodeReader::new(),
            epoch: 0,
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.ops.clear();
        self.steps.clear();
        self.blocks.clear();
        self.paused = None;
        for jump in self.jumps.iter_mut() {
            *jump = Jump::default();
        }
        self.epoch += 1;
    }

    /// Brings the blocks up to date with what was written to their code and with the CPU model.
    #[inline]
    pub(crate) fn refresh(&mut self, memory: &mut AddressSpace, model: CpuModel) {
        if !self.reader.is_current(memory) {
            self.invalidate(memory);
        }
        if model != self.model {
            self.model = model;
            self.clear();
        }
    }

    #[cold]
    fn invalidate(&mut self, memory: &mut AddressSpace) {
        let writes = match self.reader.catch_up(memory) {
            CodeChanges::Everything => return self.clear(),
            CodeChanges::Writes(writes) => writes,
        };
        for write in writes {
            self.drop_blocks(write);
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
    fn overlapping(&self, range: CodeWrite) -> Vec<u32> {
        let reach = u32::from(MOST) * LONGEST;
        let end = range.address.saturating_add(range.length - 1);
        let candidates = self.blocks.range(range.address.saturating_sub(reach)..=end);
        candidates
            .filter(|(start, block)| *start + (block.length - 1) >= range.address)
            .map(|(start, _)| *start)
            .collect()
    }

    /// Drops the blocks with code in the range; branches linked to them find a branch to whatever
    /// comes in their place.
    fn drop_blocks(&mut self, range: CodeWrite) {
        self.paused = None;
        for eip in self.overlapping(range) {
            let Some(block) = self.blocks.remove(&eip) else { continue };
            let first = block.first as usize;
            if let (Some(op), Some(step)) = (self.ops.get_mut(first), self.steps.get_mut(first)) {
                (*op, *step) = connector(eip, 0);
            }
        }
    }

    /// The block at the context's EIP, compiled if it has to be; `None` if there is no code that could be.
    pub(crate) fn enter(&mut self, context: &mut Context<'_>) -> Option<Block> {
        let eip = context.start;
        let block = match (self.blocks.get(&eip), self.paused.take()) {
            (Some(block), _) => *block,
            (None, Some(at)) if self.is_at(at, eip) => return Some(self.rest(at)),
            _ => self.compile(context)?,
        };
        let jump = &self.jumps[jump_slot(eip)];
        jump.eip.set(eip);
        jump.first.set(&self.ops, block.first);
        Some(block)
    }

    fn compile(&mut self, context: &mut Context<'_>) -> Option<Block> {
        if self.ops.len() > MOST_OPS {
            self.clear();
        }
        if self.ops.is_empty() {
            self.push(connector(0, 0));
            self.ops[0].handler = crate::frame::stop;
        } else {
            // The last operation only marks the arena's end.
            self.ops.pop();
            self.steps.pop();
        }
        let first = self.ops.len();
        let block = Builder::new(context).build(&mut self.ops, &mut self.steps);
        let eip = context.start;
        self.push(connector(0, 0));
        let last = self.ops.len() - 1;
        self.ops[last].handler = crate::frame::stop;
        let (instructions, length) = block?;
        let block = Block { first: first as u32, instructions, before: 0, length };
        if !self.reader.watch(context.memory, eip, length) {
            return None;
        }
        self.blocks.insert(eip, block);
        Some(block)
    }

    /// Whether operation `at` is an instruction at `eip`.
    pub(crate) fn is_at(&self, at: usize, eip: u32) -> bool {
        self.steps.get(at).is_some_and(|step| step.eip == eip && step.instruction.is_some())
    }

    /// Notes that the budget ended before operation `at`: what goes on there needs no block of its own.
    pub(crate) fn pause(&mut self, at: usize) {
        self.paused = Some(at);
    }

    /// What is left of a block at operation `at`.
    fn rest(&self, at: usize) -> Block {
        let goes_on = |step: &Step| step.instruction.is_some() && matches!(step.end, End::Next | End::Branch);
        let length = self.steps[at..].iter().take_while(|step| goes_on(step)).count();
        let before = self.steps[at].before;
        let total = self.ops.get(at + length).map_or(before, |op| op.count);
        Block { first: at as u32, instructions: total - before, before, length: 0 }
    }

    /// The last of the operations up to `count` behind `first` before which a run may end.
    pub(crate) fn last_cut(&self, first: usize, count: usize) -> Option<usize> {
        let allows = |at: &usize| {
            self.ops.get(*at).is_some_and(|op| op.keeps_flags)
                && self.ops.get(at - 1).is_some_and(|op| !op.joins_next)
        };
        (first + 1..=first + count).rev().find(allows)
    }

    fn push(&mut self, (op, step): (Op, Step)) {
        self.ops.push(op);
        self.steps.push(step);
    }

    /// Links the branch or the case at `site` to the block of `eip` at `first`.
    pub(crate) fn link(&mut self, site: u32, eip: u32, first: u32) {
        if let Some(op) = self.ops.get(site as usize) {
            op.taken.set(&self.ops, first);
        }
        if let Some(op) = self.ops.get_mut(site as usize)
            && self.steps.get(site as usize).is_some_and(|step| step.end == End::Case)
        {
            op.immediate = eip;
        }
    }
}
