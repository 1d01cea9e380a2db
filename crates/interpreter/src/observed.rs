//! Blocks with an observer: operations between the instructions that tell it of them.
//!
//! Such blocks never mix with plain ones: they are in an arena of their own, of which all is dropped
//! when the observer wants to hear of something else.

use pentimento_decoder::Instruction;
use pentimento_execute::blocks::{Flow, Found};
use pentimento_execute::observe::{Interests, Told, ends_block};
use pentimento_execute::vector::host::is_silent;
use pentimento_execute::{Exit, Guest};
use pentimento_memory::AddressSpace;
use pentimento_registers::CpuState;

use crate::accesses::{Access, telling};
use crate::arena::{Cursor, Op, OpHandler, Spent, advance, hand_back};
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
    pub(crate) wanted: bool,
    /// A block may begin there.
    starts: bool,
    /// The x87 unit may have been used since the last that is told of.
    settles: bool,
    /// A block ends with it, which somebody wants to be told of.
    branches: bool,
    /// That blocks end is noted where they do.
    branches_are_noted: bool,
    /// The accesses that it makes are told of.
    pub(crate) accesses: bool,
    /// What it accesses, if operations around it tell of that.
    pub(crate) access: Option<Access>,
    /// It is the first of what is compiled at once: what the last one before has accessed is told of there.
    tells: bool,
}

impl Before {
    /// What is to go before the instruction `found`; `starts` says whether a block may begin there, `is_first`
    /// whether it is the first of what is compiled at once, and `settles` whether the x87 unit may have been
    /// used since the last that is told of.
    pub(crate) fn of(
        found: &Found,
        interests: &Interests,
        (starts, is_first, settles): (bool, bool, bool),
    ) -> Self {
        let Found { instruction, .. } = found;
        let noted = interests.notes_branches();
        let wanted = interests.has_instruction(found.eip(), instruction);
        let counts = starts && !interests.counts.is_empty();
        let accesses = !interests.memory.is_empty() && !instruction.effects().memory().is_empty();
        Self {
            counts: counts.then(|| interests.counts.contains(found.eip())),
            announces: starts && noted || wanted,
            wanted,
            starts,
            settles,
            branches_are_noted: noted,
            branches: noted && ends_block(instruction),
            accesses,
            access: if accesses { Access::of(found) } else { None },
            tells: is_first && !interests.memory.is_empty(),
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
        let distance = 1 + u32::from(self.branches) + u32::from(self.access.is_some());
        let first_byte = u8::from(self.wanted);
        let (second_byte, displacement) = (self.settles.into(), eip);
        let handler: OpHandler = if self.starts { announce::<true> } else { announce::<false> };
        let announced = Op { first_byte, second_byte, displacement, ..op(handler, distance) };
        let announced = self.announces.then(|| (announced, step(true)));
        let branched = self.branches.then(|| (op(branches, 1), step(false)));
        let told = self.tells.then(|| telling(eip, 0));
        let looks = self.access.as_ref().map(|access| access.operation(eip, count));
        told.into_iter().chain(counted).chain(announced).chain(branched).chain(looks)
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
            frame.notes.counters.count(op.immediate);
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
        frame.notes.counters.count(op.immediate);
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
pub(crate) fn announce<'a, const STARTS: bool>(
    cursor: Cursor<'a>,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    let Some(op) = cursor.op() else { return cursor };
    if frame.announces::<STARTS>(cursor.spent(), op, cpu, memory) {
        hand_back(cursor)
    } else {
        Cursor::STOPPED
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
    /// Tells the observer of the instruction behind `op`, and says whether to go on there.
    #[inline(always)]
    fn announces<const STARTS: bool>(
        &mut self,
        cursor: Cursor<'a, Spent>,
        op: &Op,
        cpu: &mut CpuState,
        memory: &mut AddressSpace,
    ) -> bool {
        let index = cursor.index_in(self.ops) + op.immediate as usize;
        let Some(Step { instruction: Some(instruction), .. }) = self.steps.get(index) else { return true };
        let now = self.time_stamp(op.count);
        let Some(observed) = &mut self.observed else { return true };
        let wanted = op.first_byte != 0;
        if STARTS && !wanted && !observed.position.is_arriving() {
            return true;
        }
        self.pending.settle_quickly(cpu);
        if op.second_byte != 0 {
            self.x87.settle_quickly(cpu, self.ops, self.steps);
        }
        self.environment.time_stamp = now;
        cpu.eip = op.displacement;
        let descriptors = self.descriptors;
        let mut guest = Guest { state: cpu, memory, environment: self.environment, descriptors };
        let told = match STARTS {
            true => observed.announce(&mut guest, instruction, wanted),
            false => observed.announce_inside(&mut guest, instruction),
        };
        if told == Told::Unchanged && self.environment.time_stamp == now {
            return true;
        }
        self.announced(told, op.count, cpu, now)
    }

    /// Takes over what an observer may have changed `before` instructions into a block, and says whether to go
    /// on there.
    #[cold]
    #[inline(never)]
    fn announced(&mut self, told: Told, before: u16, cpu: &CpuState, now: u64) -> bool {
        self.take_over(cpu, now);
        let (leave, done) = match told {
            Told::Unchanged | Told::GoOn => return true,
            Told::Leave => (true, false),
            Told::Moved => (false, false),
            Told::Done { leave } => (leave, true),
        };
        self.leave = if leave { Leave::Exit(Exit::Observer) } else { Leave::Continue };
        self.left -= i64::from(before) + i64::from(done);
        false
    }

    /// Takes over registers and the time-stamp counter, which was `now`, from an observer.
    pub(crate) fn take_over(&mut self, cpu: &CpuState, now: u64) {
        self.end_of_time = self.end_of_time.wrapping_add(self.environment.time_stamp.wrapping_sub(now));
        self.x87 = UnitCache::new(cpu);
        self.silent = is_silent(cpu.mxcsr);
    }

    /// Notes that the run leaves its block behind `instruction`, or before it if it has not `completed`: for
    /// blocks that are only counted.
    #[cold]
    pub(crate) fn note_end(&mut self, instruction: &Instruction, completed: bool) {
        if !(completed && ends_block(instruction)) {
            self.note_inside();
        } else if let Some(observed) = &mut self.observed
            && !observed.observer.interests().notes_branches()
        {
            observed.position.arrives();
        }
    }

    /// The same where that is inside of a block.
    #[cold]
    pub(crate) fn note_inside(&mut self) {
        if let Some(observed) = &mut self.observed
            && !observed.observer.interests().notes_branches()
        {
            observed.position.stays();
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
        if told != Told::Unchanged || self.environment.time_stamp != now {
            self.take_over(cpu, now);
        }
        told
    }
}
