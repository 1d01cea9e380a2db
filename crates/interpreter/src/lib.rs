//! The fast engine for every host.
//!
//! It decodes each basic block once into compact operations that carry a direct reference to their
//! handler, and links blocks to their successors. An operation without a handler of its own runs
//! through the reference's, so every instruction works from the first day; and where a handler meets
//! anything out of the ordinary (a fault, a device, a store to code) it does nothing and lets the
//! reference's do it, so that there is one place for all that is rare.
//!
//! From the ground up, each floor knowing those below it:
//!
//! - `outcome`, `step`, `counters`, `noted`, `arena`, `frame`, `flags`, `calls`, `x87::unit`: operations, how one follows the other, and
//!   what they share; the slow path.
//! - `operand`, `drivers`: operands as types, and handlers that have an operation's type in them.
//! - `handlers`, `vector`, `x87`: what operations do, by family.
//! - `table`: which handler is for which instruction.
//! - `observed`, `accesses`: what is between instructions for an observer.
//! - `block`, `select`: from bytes to operations.
//! - `code`: the blocks of an address space.
#![no_std]
// `arena` alone may allow it.
#![cfg_attr(not(feature = "safe-dispatch"), deny(unsafe_code))]
#![cfg_attr(feature = "safe-dispatch", forbid(unsafe_code))]

extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

mod accesses;
mod arena;
mod block;
mod calls;
mod code;
mod counters;
mod drivers;
mod flags;
mod frame;
mod handlers;
mod noted;
mod observed;
mod operand;
mod outcome;
mod select;
mod step;
mod table;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests stop where something is wrong")]
mod tests;
mod vector;
mod x87;

use alloc::boxed::Box;
use core::fmt;

use pentimento_execute::blocks::fits;
use pentimento_execute::observe::Observed;
use pentimento_execute::vector::host::is_silent;
use pentimento_execute::{Engine, Exit, Guest, MOST_UNHEARD, Reference, Stop, Until};
use pentimento_memory::AddressSpace;
use pentimento_memory::engine::{generation, is_prepared_fast, prepare_fast};

use arena::{Cursor, OpHandler, drive};
use calls::Calls;
use code::{Block, Blocks};
use flags::PendingFlags;
use frame::{Frame, Leave, cut};
use step::MOST;
use x87::unit::UnitCache;

/// The interpreter, with the blocks that it has compiled.
///
/// Its blocks are those of one address space. Given another one, it forgets them and begins anew.
pub struct Interpreter {
    code: Blocks,
    /// Those for an observer, while none is there; while one is, they have changed places.
    observed: Option<Box<Blocks>>,
    /// Instructions executed in blocks.
    warmth: u64,
}

/// Instructions after which a machine counts as one that runs on: about when preparing its memory
/// has cost less than going without.
const WARM: u64 = 1000;

impl Engine for Interpreter {
    fn run(&mut self, guest: &mut Guest<'_>, until: Until) -> Stop {
        self.run_blocks(guest, until, None)
    }

    fn run_observed(&mut self, guest: &mut Guest<'_>, until: Until, observed: &mut Observed<'_>) -> Stop {
        let watched = Watched::new(self);
        watched.0.code.observe(observed.observer.interests());
        observed.begin(guest.state.eip);
        let stop = watched.0.run_blocks(guest, until, Some(observed));
        observed.end(guest.state.eip);
        watched.0.code.notes.counters.settle(observed.observer);
        stop
    }

    fn footprint(&self) -> usize {
        self.code.footprint() + self.observed.as_ref().map_or(0, |blocks| blocks.footprint())
    }
}

/// An interpreter whose blocks are those for an observer, until this goes: also where a device or the
/// observer panics.
struct Watched<'a>(&'a mut Interpreter);

impl<'a> Watched<'a> {
    fn new(interpreter: &'a mut Interpreter) -> Self {
        interpreter.observed.get_or_insert_with(|| Box::new(Blocks::new()));
        interpreter.exchange_blocks();
        Self(interpreter)
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.0.exchange_blocks();
    }
}

/// An interpreter that comes back before operation `at`, until this goes: also where a device panics.
struct Cut<'a> {
    interpreter: &'a mut Interpreter,
    at: usize,
    handler: OpHandler,
}

impl<'a> Cut<'a> {
    fn new(interpreter: &'a mut Interpreter, at: usize) -> Self {
        let handler = interpreter.code.arena.exchange_handler(at, cut);
        Self { interpreter, at, handler }
    }
}

impl Drop for Cut<'_> {
    fn drop(&mut self) {
        self.interpreter.code.arena.exchange_handler(self.at, self.handler);
    }
}

impl Interpreter {
    /// An interpreter that knows no block yet.
    #[must_use]
    pub fn new() -> Self {
        Self { code: Blocks::new(), observed: None, warmth: 0 }
    }

    /// The blocks in use and those aside change places, where there are any aside.
    fn exchange_blocks(&mut self) {
        if let Some(observed) = &mut self.observed {
            core::mem::swap(&mut self.code, observed);
        }
    }

    /// Runs as [`Engine::run`] says, with the blocks that are in `code`: those of the observer, if there is
    /// one.
    #[inline]
    fn run_blocks(
        &mut self,
        guest: &mut Guest<'_>,
        until: Until,
        mut observed: Option<&mut Observed<'_>>,
    ) -> Stop {
        let Until { budget, block_end } = until;
        let mut left = budget;
        let mut site = None;
        while left > 0 && budget - left < block_end {
            if guest.environment.stop.take() {
                return Stop { executed: budget - left, exit: Exit::Stopped };
            }
            self.code.refresh(guest.memory, guest.environment);
            // For a single step a block would not pay.
            let block = match left > 1 && fits(guest.state) {
                true => self.code.enter(&mut guest.context()),
                false => None,
            };
            // Whatever is not at the branch's destination, or not compiled, leaves the branch as it is.
            if let (Some((site, epoch)), Some(block)) = (site.take(), block)
                && epoch == self.code.epoch
            {
                self.code.arena.link(site, guest.state.eip, block.first);
            }
            let leave = match block {
                Some(block) if u64::from(block.instructions) <= left => {
                    let least = block_end - (budget - left);
                    self.chain(block, guest, &mut left, least, observed.as_deref_mut())
                }
                Some(block) if observed.is_none() => self.begin(block, guest, &mut left),
                _ if left < budget && guest.environment.breakpoints.contains(guest.state.eip) => {
                    Leave::Exit(Exit::Breakpoint)
                }
                _ => match step(guest, &mut left, observed.as_deref_mut()) {
                    Ok(()) => Leave::Continue,
                    Err(exit) => Leave::Exit(exit),
                },
            };
            match leave {
                Leave::Continue => {}
                Leave::Link { site: at } => site = Some((at, self.code.epoch)),
                Leave::Exit(exit) => return Stop { executed: budget - left, exit },
            }
        }
        Stop { executed: budget - left, exit: Exit::Budget }
    }

    /// Runs the beginning of a `block` that is too long for what is `left`: by handlers as far as
    /// all flags are kept, from there on by the reference.
    fn begin(&mut self, block: Block, guest: &mut Guest<'_>, left: &mut u64) -> Leave {
        let mut at = block.first as usize;
        if let Some(end) = self.code.last_cut(at, *left as usize) {
            let leave = Cut::new(self, end).interpreter.chain(block, guest, left, u64::MAX, None);
            if !matches!(leave, Leave::Continue) {
                return leave;
            }
            at = end;
        }
        while *left > 0
            && self.code.is_at(at, guest.state.eip)
            && generation(guest.memory) == self.code.kept.reader.generation()
        {
            if let Err(exit) = step(guest, left, None) {
                return Leave::Exit(exit);
            }
            at += 1;
        }
        self.code.pause(at);
        Leave::Continue
    }

    /// Prepares the memory if the machine is one that runs on. Returns how long a chain may be.
    fn warm_up(&mut self, memory: &mut AddressSpace) -> u64 {
        if self.warmth < WARM {
            return WARM;
        }
        prepare_fast(memory);
        MOST_UNHEARD
    }

    /// Runs `block`, of which all that is executed fits in the budget `left`, and those linked to it
    /// while they are sure to fit and `least` instructions are not executed.
    fn chain(
        &mut self,
        block: Block,
        guest: &mut Guest<'_>,
        left: &mut u64,
        least: u64,
        observed: Option<&mut Observed<'_>>,
    ) -> Leave {
        let Guest { state, memory, environment, descriptors } = guest;
        let most = if is_prepared_fast(memory) { MOST_UNHEARD } else { self.warm_up(memory) };
        // A budget beyond this is left for the next chain, before which a request to stop is seen.
        let here = (*left).min(most) as i64 - i64::from(MOST);
        let here = here.min(least.min(most) as i64 - 1);
        let mut frame = Frame {
            left: here + i64::from(block.before),
            pending: PendingFlags::SETTLED,
            ops: self.code.arena.ops(),
            jumps: self.code.arena.jumps(),
            calls: Calls::NONE,
            steps: self.code.arena.steps(),
            end_of_time: environment.time_stamp.wrapping_add(here as u64),
            environment,
            descriptors: *descriptors,
            generation: self.code.kept.reader.generation(),
            leave: Leave::Continue,
            x87: UnitCache::new(state),
            silent: is_silent(state.mxcsr),
            observed: observed.map(Observed::reborrow),
            notes: &mut self.code.notes,
        };
        drive(Cursor::at(frame.ops, block.first), state, memory, &mut frame);
        if frame.observed.is_some() && frame.notes.access.is_pending() {
            // Of an instruction with which a block ended, and behind which nothing is linked.
            frame.tell_noted(0, state, memory);
        }
        frame.pending.settle(state);
        frame.x87.settle(state, frame.ops, frame.steps);
        frame.environment.time_stamp = frame.time_stamp(0);
        let (leave, executed) = (frame.leave, (here - frame.left) as u64);
        self.warmth = self.warmth.saturating_add(executed);
        *left -= executed;
        leave
    }
}

impl Default for Interpreter {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Interpreter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interpreter").finish_non_exhaustive()
    }
}

/// Executes one instruction by the reference.
fn step(guest: &mut Guest<'_>, left: &mut u64, observed: Option<&mut Observed<'_>>) -> Result<(), Exit> {
    if let Some(observed) = observed {
        let mut executed = 0;
        let result = observed.step(guest, &mut executed);
        *left -= executed;
        return result;
    }
    let before = guest.environment.time_stamp;
    let result = Reference.step(guest);
    *left -= guest.environment.time_stamp.wrapping_sub(before) & 1;
    result
}
