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

use crate::arena::{Cursor, Op, OpHandler, Spent, advance};
use crate::counters::Counters;
use crate::drivers::follow;
use crate::frame::{Frame, Leave};
use crate::step::Step;
use crate::x87::unit::UnitCache;

/// What goes before an instruction that an observer hears of.
pub(crate) struct Before {
    /// A block may begin there; whether it is counted.
    counts: Option<bool>,
    /// A block may begin there, or the instruction is told of.
    announces: bool,
    /// The instruction is told of.
    wanted: bool,
    /// A block ends with it, which somebody wants to be told of.
    branches: bool,
    /// That blocks end is noted where they do.
    branches_are_noted: bool,
    /// The accesses that it makes are told of.
    pub(crate) accesses: bool,
}

impl Before {
    /// What is to go before the instruction `found`; `starts` says whether a block may begin there.
    pub(crate) fn of(found: &Found, interests: &Interests, starts: bool) -> Self {
        let Found { instruction, .. } = found;
        let noted = interests.notes_branches();
        let wanted = interests.has_instruction(found.eip(), instruction);
        let counts = starts && !interests.counts.is_empty();
        Self {
            counts: counts.then(|| interests.counts.contains(found.eip())),
            announces: starts && noted || wanted,
            wanted,
            branches_are_noted: noted,
            branches: noted && ends_block(instruction),
            accesses: interests.memory && !instruction.effects().memory().is_empty(),
        }
    }

    /// The operations, `count` instructions into their block, with what belongs to them.
    pub(crate) fn operations(
        &self,
        eip: u32,
        count: u16,
        counters: &mut Counters,
    ) -> impl Iterator<Item = (Op, Step)> {
        let step = move |sees_flags| Step { flow: Flow::Next, sees_flags, ..Step::joining(eip, count) };
        let op = move |handler, immediate| Op { handler, count, immediate, ..Op::blank() };
        // Where branches are noted, whoever is told of a block ends its beginning.
        let counting: OpHandler = if self.branches_are_noted { count_noted } else { count_begun };
        let counted = self.counts.map(|counts| {
            let slot = if counts { counters.slot(eip) } else { Counters::NONE };
            (op(counting, slot), step(false))
        });
        // How far behind it the instruction is.
        let distance = 1 + u32::from(self.branches);
        let first_byte = u8::from(self.wanted);
        let announced = self.announces.then(|| (Op { first_byte, ..op(announce, distance) }, step(true)));
        let branched = self.branches.then(|| (op(branches, 1), step(false)));
        counted.into_iter().chain(announced).chain(branched)
    }
}

/// The handler of the operation where a block may begin that is counted. Unless it is told otherwise, what
/// comes there has begun one.
pub(crate) fn count_begun<'a>(
    cursor: Cursor<'a>,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    let Some(op) = cursor.op() else { return cursor };
    if let Some(observed) = &mut frame.observed {
        if observed.position.is_arriving() {
            frame.counters.count(op.immediate);
        }
        observed.position.arrives();
    }
    advance(cursor, cpu, memory, frame)
}

/// The handler of the same operation where branches are noted.
pub(crate) fn count_noted<'a>(
    cursor: Cursor<'a>,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    let Some(op) = cursor.op() else { return cursor };
    if frame.observed.as_ref().is_some_and(|observed| observed.position.is_arriving()) {
        frame.counters.count(op.immediate);
    }
    advance(cursor, cpu, memory, frame)
}

/// The handler of a branch that is no instruction, from the end of what is compiled at once to the rest of
/// the block.
pub(crate) fn stay<'a>(
    cursor: Cursor<'a>,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    let Some(op) = cursor.op() else { return cursor };
    if let Some(observed) = &mut frame.observed {
        observed.position.stays();
    }
    follow(cursor, op, cpu, memory, frame)
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
        Told::Unchanged | Told::GoOn => advance(cursor, cpu, memory, frame),
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
        let wanted = op.first_byte != 0;
        if !observed.position.is_arriving() && !wanted {
            return Told::GoOn;
        }
        self.pending.settle(cpu);
        self.x87.settle(cpu, self.ops, self.steps);
        let now = self.end_of_time.wrapping_sub(self.left as u64).wrapping_add((*before).into());
        self.environment.time_stamp = now;
        cpu.eip = *eip;
        let descriptors = self.descriptors;
        let mut guest = Guest { state: cpu, memory, environment: self.environment, descriptors };
        let told = observed.announce(&mut guest, instruction, wanted);
        if told == Told::Unchanged && guest.environment.time_stamp == now {
            return told;
        }
        self.end_of_time = self.end_of_time.wrapping_add(guest.environment.time_stamp.wrapping_sub(now));
        self.x87 = UnitCache::new(guest.state);
        self.silent = is_silent(guest.state.mxcsr);
        let (leave, done) = match told {
            Told::Unchanged | Told::GoOn => return told,
            Told::Leave => (true, false),
            Told::Moved => (false, false),
            Told::Done { leave } => (leave, true),
        };
        self.leave = if leave { Leave::Exit(Exit::Observer) } else { Leave::Continue };
        self.left -= i64::from(*before) + i64::from(done);
        told
    }

    /// Notes that the run leaves its block behind `instruction`, or before it if it has not `completed`: for
    /// blocks that are only counted.
    #[cold]
    pub(crate) fn note_end(&mut self, instruction: &Instruction, completed: bool) {
        if let Some(observed) = &mut self.observed
            && !observed.observer.interests().notes_branches()
        {
            match completed && ends_block(instruction) {
                true => observed.position.arrives(),
                false => observed.position.stays(),
            }
        }
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
        let Some(observed) = &mut self.observed else { return Told::Unchanged };
        if !completed {
            observed.executed(eip, instruction, false);
        }
        if observed.position.accesses().is_empty() {
            return Told::Unchanged;
        }
        self.environment.time_stamp = now;
        let descriptors = self.descriptors;
        let mut guest = Guest { state: cpu, memory, environment: self.environment, descriptors };
        let told = observed.deliver(&mut guest, instruction, completed);
        if told == Told::Unchanged && guest.environment.time_stamp == now {
            return told;
        }
        self.end_of_time = self.end_of_time.wrapping_add(guest.environment.time_stamp.wrapping_sub(now));
        self.x87 = UnitCache::new(guest.state);
        self.silent = is_silent(guest.state.mxcsr);
        told
    }
}
