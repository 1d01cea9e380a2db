//! What handlers share besides registers and memory, and the operation that can do anything.

use pentimento_execute::blocks::{Flow, UNFIT};
use pentimento_execute::observe::{Observed, Told};
use pentimento_execute::vector::host::is_silent;
use pentimento_execute::{Context, Environment, Exit, exit};
use pentimento_memory::AddressSpace;
use pentimento_memory::engine::generation;
use pentimento_registers::{CpuState, DescriptorTables};

use crate::arena::{Cursor, Jumps, Op, Spent, Steps, advance, dispatch, jump_slot};
use crate::calls::Calls;
use crate::flags::{Lazy, PendingFlags};
use crate::noted::Notes;
use crate::step::Step;
use crate::x87::unit::UnitCache;

/// Why handlers stopped.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Leave {
    /// To go on at EIP, wherever that leads.
    Continue,
    /// To go on at EIP, and to link this branch to it.
    Link { site: u32 },
    /// For good.
    Exit(Exit),
}

/// The state of one run through chained blocks.
pub(crate) struct Frame<'a> {
    /// Instructions left, less [`MOST`]: below zero, the next block may be too long. Blocks are
    /// charged when they end.
    pub(crate) left: i64,
    pub(crate) pending: PendingFlags,
    pub(crate) ops: &'a [Op],
    pub(crate) jumps: &'a Jumps,
    pub(crate) calls: Calls<'a>,
    pub(crate) steps: &'a [Step],
    pub(crate) environment: &'a mut Environment,
    pub(crate) descriptors: DescriptorTables<'a>,
    /// The time-stamp counter when `left` will be zero.
    pub(crate) end_of_time: u64,
    pub(crate) generation: u64,
    pub(crate) leave: Leave,
    pub(crate) x87: UnitCache,
    /// MXCSR [is silent](is_silent); where it becomes so, this may lag behind.
    pub(crate) silent: bool,
    /// Who hears of what happens, if the blocks are those of an observer.
    pub(crate) observed: Option<Observed<'a>>,
    pub(crate) notes: &'a mut Notes,
}

/// How [`Frame::execute`] went.
enum After {
    Next,
    Jump,
    Stopped,
}

impl<'a> Frame<'a> {
    /// The time-stamp counter, `before` instructions into a block.
    pub(crate) fn time_stamp(&self, before: u16) -> u64 {
        self.end_of_time.wrapping_sub(self.left as u64).wrapping_add(before.into())
    }

    /// Executes one operation as the reference does.
    #[inline(never)]
    fn execute(&mut self, cursor: Cursor<'a, Spent>, cpu: &mut CpuState, memory: &mut AddressSpace) -> After {
        let Some(step) = self.steps.get(cursor.index_in(self.ops)) else { return After::Stopped };
        let Some(instruction) = &step.instruction else { return After::Stopped };
        #[cfg(feature = "count-slow")]
        self.environment.slow_counts.count("", instruction);
        self.pending.settle(cpu);
        self.x87.settle(cpu, self.ops, self.steps);
        self.environment.time_stamp = self.time_stamp(step.before);
        cpu.eip = step.next;
        let mut context = Context {
            state: cpu,
            memory,
            environment: self.environment,
            descriptors: self.descriptors,
            start: step.eip,
            accesses: match &self.observed {
                Some(observed) if step.notes_accesses => {
                    self.notes.access.drop();
                    Some(observed.position.accesses())
                }
                _ => None,
            },
        };
        let outcome = (step.handler)(&mut context, instruction);
        self.x87 = UnitCache::new(context.state);
        self.silent = is_silent(context.state.mxcsr);
        match outcome {
            Ok(()) => {}
            Err(trap) => {
                self.leave = Leave::Exit(exit(&mut context, trap));
                let completed = !trap.is_fault();
                if self.observed.is_some() {
                    let counted = step.before + u16::from(completed);
                    self.note_end(instruction, completed);
                    let _ = self.deliver(instruction, step.eip, (completed, counted), cpu, memory);
                }
                self.left -= i64::from(step.before) + i64::from(completed);
                return After::Stopped;
            }
        }
        let told = match &self.observed {
            Some(_) => self.deliver(instruction, step.eip, (true, step.before + 1), cpu, memory),
            None => Told::Unchanged,
        };
        if !matches!(told, Told::Unchanged | Told::GoOn) {
            self.note_end(instruction, true);
            self.left -= i64::from(step.before) + 1;
            self.leave = if told == Told::Leave { Leave::Exit(Exit::Observer) } else { Leave::Continue };
            return After::Stopped;
        }
        let straight = matches!(step.flow, Flow::Next | Flow::Branch) && cpu.eip == step.next;
        // What comes here takes long as a rule, so a request to stop is not left to the end of the chain.
        let interrupted = step.flow == Flow::Recheck
            || cpu.eflags.intersects(UNFIT)
            || generation(memory) != self.generation
            || self.environment.stop.is_requested();
        if straight && !interrupted {
            return After::Next;
        }
        self.left -= i64::from(step.before) + 1;
        if self.observed.is_some() {
            self.note_end(instruction, true);
        }
        if interrupted || self.left < 0 {
            self.leave = Leave::Continue;
            return After::Stopped;
        }
        After::Jump
    }

    /// Leaves at a direct branch that is taken and whose destination is unknown, or for which the budget may be too small.
    #[cold]
    #[inline(never)]
    pub(crate) fn leave(&mut self, cursor: Cursor<'a, Spent>, cpu: &mut CpuState) -> Cursor<'a> {
        let site = cursor.index_in(self.ops);
        if let Some(step) = self.steps.get(site) {
            cpu.eip = step.target;
        }
        self.leave = Leave::Link { site: site as u32 };
        Cursor::STOPPED
    }
}

/// Executes the operation at `cursor` as the reference does, whatever it is: the handler of
/// everything that has no faster one, and where faster ones go when something is out of the ordinary.
#[cold]
#[inline(never)]
pub(crate) fn slow<'a, S: Steps>(
    cursor: Cursor<'a, S>,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    match frame.execute(cursor.spent(), cpu, memory) {
        After::Next => advance(cursor, cpu, memory, frame),
        After::Jump => jump(cpu, memory, frame),
        After::Stopped => Cursor::STOPPED,
    }
}

/// Computes the pending flags and executes the operation at `cursor` again: where handlers go that
/// cannot quickly tell a flag.
#[cold]
#[inline(never)]
pub(crate) fn settle<'a, S: Steps>(
    cursor: Cursor<'a, S>,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    if frame.pending.lazy == Lazy::Settled {
        return slow(cursor, cpu, memory, frame);
    }
    #[cfg(feature = "count-slow")]
    if let Some(Step { instruction: Some(instruction), .. }) = frame.steps.get(cursor.index_in(frame.ops)) {
        frame.environment.slow_counts.count("flags: ", instruction);
    }
    frame.pending.settle(cpu);
    dispatch(cursor, cpu, memory, frame)
}

/// Goes to the block at EIP, by the table of jumps.
#[inline(always)]
pub(crate) fn jump<'a>(cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'a>) -> Cursor<'a> {
    let entry = &frame.jumps[jump_slot(cpu.eip)];
    if let Some(first) = entry.to(cpu.eip) {
        dispatch(Cursor::follow(frame.ops, first), cpu, memory, frame)
    } else {
        frame.leave = Leave::Continue;
        Cursor::STOPPED
    }
}

/// The handler that takes an operation's place where the budget ends in the middle of a block.
pub(crate) fn cut<'a>(
    cursor: Cursor<'a>,
    cpu: &mut CpuState,
    _: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    if let Some(step) = frame.steps.get(cursor.index_in(frame.ops)) {
        cpu.eip = step.eip;
        frame.left -= i64::from(step.before);
    }
    frame.leave = Leave::Continue;
    Cursor::STOPPED
}

/// The handler of the first and the last operation of every arena.
pub(crate) fn stop<'a>(
    _: Cursor<'a>,
    _: &mut CpuState,
    _: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    frame.leave = Leave::Continue;
    Cursor::STOPPED
}
