//! Blocks with an observer: operations between the instructions that tell it of them.
//!
//! Such blocks never mix with plain ones: they are in an arena of their own, of which all is dropped
//! when the observer wants to hear of something else. What accesses memory that somebody wants to know
//! of runs through the reference, which notes each access.

use pentimento_decoder::Instruction;
use pentimento_execute::blocks::{Flow, Found};
use pentimento_execute::observe::{Interests, Told, ends_block};
use pentimento_execute::vector::host::is_silent;
use pentimento_execute::{Exit, Guest};
use pentimento_memory::AddressSpace;
use pentimento_registers::CpuState;

use crate::arena::{Cursor, Op, Spent, advance};
use crate::frame::{Frame, Leave};
use crate::step::Step;
use crate::x87::unit::UnitCache;

/// What goes before an instruction that an observer hears of.
pub(crate) struct Before {
    /// A block may begin there, or the instruction is told of.
    announces: bool,
    /// A block ends with it.
    branches: bool,
    /// The accesses that it makes are told of.
    pub(crate) accesses: bool,
}

impl Before {
    /// What is to go before the instruction `found`; `starts` says whether a block may begin there.
    pub(crate) fn of(found: &Found, interests: &Interests, starts: bool) -> Self {
        let Found { instruction, .. } = found;
        let blocks = !interests.blocks.is_empty();
        Self {
            announces: starts && blocks || interests.has_instruction(found.eip(), instruction),
            branches: blocks && ends_block(instruction),
            accesses: interests.memory && !instruction.effects().memory().is_empty(),
        }
    }

    /// The operations, `count` instructions into their block, with what belongs to them. Each knows by
    /// its immediate how far behind it the instruction is.
    pub(crate) fn operations(&self, eip: u32, count: u16) -> impl Iterator<Item = (Op, Step)> {
        let step = move || Step { flow: Flow::Next, ..Step::joining(eip, count) };
        let op = move |handler, immediate| Op { handler, count, immediate, ..Op::blank() };
        let distance = 1 + u32::from(self.branches);
        let announced = self.announces.then(|| (op(announce, distance), step()));
        let branched = self.branches.then(|| (op(branches, 1), step()));
        announced.into_iter().chain(branched)
    }
}

/// The handler of the operation that tells of an instruction, and of the block that begins there.
pub(crate) fn announce<'a>(
    cursor: Cursor<'a>,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    let Some(op) = cursor.op() else { return cursor };
    match frame.announce(cursor.spent(), op, cpu, memory) {
        Told::GoOn => advance(cursor, cpu, memory, frame),
        _ => Cursor::STOPPED,
    }
}

/// The handler of the operation before an instruction with which a block ends.
pub(crate) fn branches<'a>(
    cursor: Cursor<'a>,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    if let Some(step) = frame.steps.get(cursor.index_in(frame.ops))
        && let Some(observed) = &mut frame.observed
    {
        observed.position.branches(step.eip);
    }
    advance(cursor, cpu, memory, frame)
}

impl<'a> Frame<'a> {
    /// Tells the observer of the instruction behind `op`.
    #[inline(never)]
    fn announce(
        &mut self,
        cursor: Cursor<'a, Spent>,
        op: &Op,
        cpu: &mut CpuState,
        memory: &mut AddressSpace,
    ) -> Told {
        let index = cursor.index_in(self.ops);
        let Some(observed) = &mut self.observed else { return Told::GoOn };
        let Some(Step { instruction: Some(instruction), eip, before, .. }) =
            self.steps.get(index + op.immediate as usize)
        else {
            return Told::GoOn;
        };
        if !observed.position.is_arriving()
            && !observed.observer.interests().has_instruction(*eip, instruction)
        {
            return Told::GoOn;
        }
        self.pending.settle(cpu);
        self.x87.settle(cpu, self.ops, self.steps);
        let now = self.end_of_time.wrapping_sub(self.left as u64).wrapping_add((*before).into());
        self.environment.time_stamp = now;
        cpu.eip = *eip;
        let descriptors = self.descriptors;
        let mut guest = Guest { state: cpu, memory, environment: self.environment, descriptors };
        let told = observed.announce(&mut guest, instruction);
        self.end_of_time = self.end_of_time.wrapping_add(guest.environment.time_stamp.wrapping_sub(now));
        self.x87 = UnitCache::new(guest.state);
        self.silent = is_silent(guest.state.mxcsr);
        let (leave, done) = match told {
            Told::GoOn => return told,
            Told::Leave => (true, false),
            Told::Moved => (false, false),
            Told::Done { leave } => (leave, true),
        };
        self.leave = if leave { Leave::Exit(Exit::Observer) } else { Leave::Continue };
        self.left -= i64::from(*before) + i64::from(done);
        told
    }

    /// Tells the observer of what `instruction` has accessed, which has completed or not, and says whether
    /// to go on behind it; `counted` instructions of the block have completed.
    pub(crate) fn deliver(
        &mut self,
        instruction: &Instruction,
        eip: u32,
        (completed, counted): (bool, u16),
        cpu: &mut CpuState,
        memory: &mut AddressSpace,
    ) -> Told {
        let now = self.time_stamp(counted);
        let Some(observed) = &mut self.observed else { return Told::GoOn };
        if !completed {
            observed.executed(eip, instruction, false);
        }
        if observed.position.accesses().is_empty() {
            return Told::GoOn;
        }
        self.environment.time_stamp = now;
        let descriptors = self.descriptors;
        let mut guest = Guest { state: cpu, memory, environment: self.environment, descriptors };
        let told = observed.deliver(&mut guest, instruction, completed);
        self.end_of_time = self.end_of_time.wrapping_add(guest.environment.time_stamp.wrapping_sub(now));
        self.x87 = UnitCache::new(guest.state);
        self.silent = is_silent(guest.state.mxcsr);
        told
    }
}
