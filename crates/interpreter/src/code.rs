//! The blocks of one address space: where they are, and how they go when their code is written to.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use pentimento_execute::blocks::{Flow, KeptCode};
use pentimento_execute::observe::Interests;
use pentimento_execute::{Breakpoints, Context, CpuModel, Environment};
use pentimento_memory::AddressSpace;
use pentimento_memory::engine::{CodeChanges, CodeWrite};

use crate::arena::{Arena, Op};
use crate::block::{Builder, connector};
use crate::noted::Notes;
use crate::step::Step;

/// A block's place in memory and in the arena.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    pub(crate) first: u32,
    pub(crate) instructions: u16,
    /// Instructions before the first: not zero for what is left of a block.
    pub(crate) before: u16,
}

/// Operations in the arena above which everything is dropped and compiled again.
const MOST_OPS: usize = 1 << 20;

/// Instructions of dropped blocks above which that is done too, if they are half of all.
const MOST_DEAD: usize = 1 << 16;

/// Everything that was compiled for an address space.
pub(crate) struct Blocks {
    pub(crate) arena: Arena,
    /// Where blocks are built before they go into the arena.
    scratch: (Vec<Op>, Vec<Step>),
    /// The blocks by their first EIP, and the address space that they are of.
    pub(crate) kept: KeptCode<u32, Block>,
    /// By EIP, the operation that leads to whatever block is there, from all that are there no more.
    anchors: BTreeMap<u32, u32>,
    /// Instructions of blocks that are no more.
    dead: usize,
    /// The operation in the middle of a block before which the budget ended.
    paused: Option<usize>,
    /// The model that it was compiled for.
    model: CpuModel,
    /// In no block is an instruction at one of these.
    breakpoints: Breakpoints,
    /// What an observer wants to hear of, if the blocks are for one.
    interests: Option<Interests>,
    pub(crate) notes: Notes,
    /// Changes when positions in the arena lose their meaning.
    pub(crate) epoch: u64,
}

impl Blocks {
    pub(crate) fn new() -> Self {
        Self {
            arena: Arena::new(),
            scratch: (Vec::new(), Vec::new()),
            kept: KeptCode::new(),
            anchors: BTreeMap::new(),
            dead: 0,
            paused: None,
            model: CpuModel::Max,
            breakpoints: Breakpoints::default(),
            interests: None,
            notes: Notes::default(),
            epoch: 0,
        }
    }

    /// Makes the blocks those of an observer with these interests.
    pub(crate) fn observe(&mut self, interests: &Interests) {
        // Left where a device has panicked in the middle of a run.
        self.notes.access.drop();
        if self.interests.as_ref().is_none_or(|known| known.version != interests.version) {
            self.clear();
            self.notes.access.watched = interests.memory.clone();
            self.interests = Some(interests.clone());
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.arena.clear();
        self.kept.clear();
        self.anchors.clear();
        self.dead = 0;
        self.paused = None;
        self.epoch += 1;
    }

    /// Bytes of the host's memory that they take, about.
    pub(crate) fn footprint(&self) -> usize {
        self.arena.footprint()
            + self.kept.len() * size_of::<(u32, Block)>()
            + self.anchors.len() * size_of::<(u32, u32)>()
    }

    /// Brings the blocks up to date with what was written to their code, with the CPU model and with
    /// breakpoints.
    #[inline]
    pub(crate) fn refresh(&mut self, memory: &mut AddressSpace, environment: &Environment) {
        if !self.kept.reader.is_current(memory) {
            self.invalidate(memory);
        }
        if environment.model != self.model {
            self.model = environment.model;
            self.clear();
        }
        let mut known = core::mem::take(&mut self.breakpoints);
        environment.breakpoints.bring_up_to_date(&mut known, |address| {
            self.drop_blocks(CodeWrite { address, length: 1 });
        });
        self.breakpoints = known;
    }

    #[cold]
    fn invalidate(&mut self, memory: &mut AddressSpace) {
        let writes = match self.kept.catch_up(memory) {
            CodeChanges::Everything => return self.clear(),
            CodeChanges::Writes(writes) => writes,
        };
        for write in writes {
            self.drop_blocks(write);
            self.kept.release_unused(memory, write, |_| false);
        }
    }

    /// Drops the blocks with code in the range; branches linked to them find a branch to whatever
    /// comes in their place.
    fn drop_blocks(&mut self, range: CodeWrite) {
        self.paused = None;
        for eip in self.kept.overlapping(range) {
            let Some(block) = self.kept.remove(eip) else { continue };
            self.dead += usize::from(block.instructions);
            self.connect(eip, block.first);
        }
    }

    /// Lets what is linked to the block that began at `first` find the one that comes in its place.
    ///
    /// The first of many at one EIP becomes their anchor: the others lead to it, and it to the newest, so
    /// that no branch takes more steps the more often code is written.
    fn connect(&mut self, eip: u32, first: u32) {
        let anchor = *self.anchors.entry(eip).or_insert(first);
        for place in [anchor, first] {
            let (op, step) = connector(eip, 0);
            self.arena.replace(place as usize, op, step);
        }
        if anchor != first {
            self.arena.link(first, eip, anchor);
        }
    }

    /// The block at the context's EIP, compiled if it has to be; `None` if there is no code that could be.
    pub(crate) fn enter(&mut self, context: &mut Context<'_>) -> Option<Block> {
        let eip = context.start;
        let block = match (self.kept.get(eip), self.paused.take()) {
            (Some(block), _) => *block,
            (None, Some(at)) if self.is_at(at, eip) => return Some(self.rest(at)),
            _ => self.compile(context)?,
        };
        self.arena.enter_jump(eip, block.first);
        Some(block)
    }

    fn compile(&mut self, context: &mut Context<'_>) -> Option<Block> {
        let total = self.arena.ops().len();
        if total > MOST_OPS || self.dead > MOST_DEAD.max(total / 2) {
            self.clear();
        }
        let (ops, steps) = &mut self.scratch;
        ops.clear();
        steps.clear();
        let (instructions, length) =
            Builder::new(context, self.interests.as_ref(), &mut self.notes.counters).build(ops, steps)?;
        let eip = context.start;
        if !self.kept.reader.watch(context.memory, eip, length) {
            return None;
        }
        let first = self.arena.append(ops, steps);
        let block = Block { first, instructions, before: 0 };
        self.kept.insert(eip, length, block);
        Some(block)
    }

    /// The first operation of the block at `eip`, if there is one.
    #[cfg(test)]
    pub(crate) fn block_at(&self, eip: u32) -> Option<usize> {
        self.kept.get(eip).map(|block| block.first as usize)
    }

    /// Whether operation `at` is an instruction at `eip`.
    pub(crate) fn is_at(&self, at: usize, eip: u32) -> bool {
        self.arena.steps().get(at).is_some_and(|step| step.eip == eip && step.instruction.is_some())
    }

    /// Notes that the budget ended before operation `at`: what goes on there needs no block of its own.
    pub(crate) fn pause(&mut self, at: usize) {
        self.paused = Some(at);
    }

    /// What is left of a block at operation `at`.
    fn rest(&self, at: usize) -> Block {
        let goes_on =
            |step: &Step| step.instruction.is_some() && matches!(step.flow, Flow::Next | Flow::Branch);
        let steps = &self.arena.steps()[at..];
        let length = steps.iter().take_while(|step| goes_on(step)).count();
        let before = steps[0].before;
        let total = self.arena.ops().get(at + length).map_or(before, |op| op.count);
        Block { first: at as u32, instructions: total - before, before }
    }

    /// The last of the operations up to `count` behind `first` before which a run may end.
    pub(crate) fn last_cut(&self, first: usize, count: usize) -> Option<usize> {
        let ops = self.arena.ops();
        let allows = |at: &usize| {
            ops.get(*at).is_some_and(|op| op.keeps_flags) && ops.get(at - 1).is_some_and(|op| !op.joins_next)
        };
        (first + 1..=first + count).rev().find(allows)
    }
}
