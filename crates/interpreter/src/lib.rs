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
//! - `outcome`, `step`, `arena`, `frame`, `flags`, `calls`, `x87::unit`: operations, how one follows the other, and
//!   what they share; the slow path.
//! - `operand`, `drivers`: operands as types, and handlers that have an operation's type in them.
//! - `handlers`, `vector`, `x87`: what operations do, by family.
//! - `table`: which handler is for which instruction.
//! - `block`, `select`: from bytes to operations.
//! - `code`: the blocks of an address space.
#![no_std]
// `cursor` alone may allow it.
#![cfg_attr(not(feature = "safe-dispatch"), deny(unsafe_code))]
#![cfg_attr(feature = "safe-dispatch", forbid(unsafe_code))]

extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

mod arena;
mod block;
mod calls;
mod code;
mod drivers;
mod flags;
mod frame;
mod handlers;
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

use core::fmt;

use pentimento_execute::vector::host::is_silent;
use pentimento_execute::{Context, Environment, Exit, Reference};
use pentimento_memory::AddressSpace;
use pentimento_memory::engine::{generation, is_prepared_fast, prepare_fast};
use pentimento_registers::{CpuState, Descriptor, SegmentRegister};

use arena::{Cursor, drive};
use calls::Calls;
use code::{Block, Code};
use flags::Pending;
use frame::{Frame, Stop, UNFIT, cut};
use step::MOST;
use x87::unit::Unit;

/// The interpreter, with the blocks that it has compiled.
///
/// Its blocks are those of one address space. Given another one, it forgets them and begins anew.
pub struct Interpreter {
    code: Code,
    /// Instructions executed in blocks.
    warmth: u64,
}

/// Instructions after which a machine counts as one that runs on: about when preparing its memory
/// has cost less than going without.
const WARM: u64 = 1000;

impl Interpreter {
    /// An interpreter that knows no block yet.
    #[must_use]
    pub fn new() -> Self {
        Self { code: Code::new(), warmth: 0 }
    }

    /// Forgets all blocks, which costs their compilation anew and has no other effect.
    pub fn invalidate(&mut self) {
        self.code.clear();
    }

    /// Executes up to `budget` instructions. Returns how many completed, and why it stopped.
    ///
    /// Counts as [`Reference::run`] does.
    pub fn run(
        &mut self,
        state: &mut CpuState,
        memory: &mut AddressSpace,
        environment: &mut Environment,
        budget: u64,
    ) -> (u64, Exit) {
        self.run_to_block_end(state, memory, environment, u64::MAX, budget)
    }

    /// [`Self::run`], but comes back with [`Exit::Budget`] at the first end of a block behind
    /// `least` instructions: for a host that compares, counts or draws block by block.
    pub fn run_to_block_end(
        &mut self,
        state: &mut CpuState,
        memory: &mut AddressSpace,
        environment: &mut Environment,
        least: u64,
        budget: u64,
    ) -> (u64, Exit) {
        let mut left = budget;
        let mut site = None;
        while left > 0 && budget - left < least {
            self.code.refresh(memory, environment.model);
            // For a single step a block would not pay.
            let block = match left > 1 && blocks_fit(state) {
                true => self.code.enter(&mut Context::new(state, memory, environment)),
                false => None,
            };
            // Whatever is not at the branch's destination, or not compiled, leaves the branch as it is.
            if let (Some((site, epoch)), Some(block)) = (site.take(), block)
                && epoch == self.code.epoch
            {
                self.code.arena.link(site, state.eip, block.first);
            }
            let stop = match block {
                Some(block) if u64::from(block.instructions) <= left => {
                    let least = least - (budget - left);
                    self.chain(block, state, memory, environment, &mut left, least)
                }
                Some(block) => self.begin(block, state, memory, environment, &mut left),
                None => match step(state, memory, environment, &mut left) {
                    Ok(()) => Stop::Continue,
                    Err(exit) => Stop::Exit(exit),
                },
            };
            match stop {
                Stop::Continue => {}
                Stop::Link { site: at } => site = Some((at, self.code.epoch)),
                Stop::Exit(exit) => return (budget - left, exit),
            }
        }
        (budget - left, Exit::Budget)
    }

    /// Runs the beginning of a `block` that is too long for what is `left`: by handlers as far as
    /// all flags are kept, from there on by the reference.
    fn begin(
        &mut self,
        block: Block,
        state: &mut CpuState,
        memory: &mut AddressSpace,
        environment: &mut Environment,
        left: &mut u64,
    ) -> Stop {
        let mut at = block.first as usize;
        if let Some(end) = self.code.last_cut(at, *left as usize) {
            let handler = self.code.arena.exchange_handler(end, cut);
            let stop = self.chain(block, state, memory, environment, left, u64::MAX);
            self.code.arena.exchange_handler(end, handler);
            if !matches!(stop, Stop::Continue) {
                return stop;
            }
            at = end;
        }
        while *left > 0
            && self.code.is_at(at, state.eip)
            && generation(memory) == self.code.reader.generation()
        {
            if let Err(exit) = step(state, memory, environment, left) {
                return Stop::Exit(exit);
            }
            at += 1;
        }
        self.code.pause(at);
        Stop::Continue
    }

    /// Prepares the memory if the machine is one that runs on. Returns how long a chain may be.
    fn warm_up(&mut self, memory: &mut AddressSpace) -> u64 {
        if self.warmth < WARM {
            return WARM;
        }
        prepare_fast(memory);
        i64::MAX as u64
    }

    /// Runs `block`, of which all that is executed fits in the budget `left`, and those linked to it
    /// while they are sure to fit and `least` instructions are not executed.
    fn chain(
        &mut self,
        block: Block,
        state: &mut CpuState,
        memory: &mut AddressSpace,
        environment: &mut Environment,
        left: &mut u64,
        least: u64,
    ) -> Stop {
        let most = if is_prepared_fast(memory) { i64::MAX as u64 } else { self.warm_up(memory) };
        // A budget beyond this is left for the next chain.
        let here = (*left).min(most) as i64 - i64::from(MOST);
        let here = here.min(least.min(most) as i64 - 1);
        let mut frame = Frame {
            left: here + i64::from(block.before),
            pending: Pending::SETTLED,
            ops: self.code.arena.ops(),
            jumps: self.code.arena.jumps(),
            calls: Calls::NONE,
            steps: self.code.arena.steps(),
            end_of_time: environment.time_stamp.wrapping_add(here as u64),
            environment,
            generation: self.code.reader.generation(),
            stop: Stop::Continue,
            x87: Unit::new(state),
            silent: is_silent(state.mxcsr),
        };
        drive(Cursor::at(frame.ops, block.first), state, memory, &mut frame);
        frame.pending.settle(state);
        frame.x87.settle(state, frame.ops, frame.steps);
        frame.environment.time_stamp = frame.time_stamp(0);
        let (stop, executed) = (frame.stop, (here - frame.left) as u64);
        self.warmth = self.warmth.saturating_add(executed);
        *left -= executed;
        stop
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
fn step(
    state: &mut CpuState,
    memory: &mut AddressSpace,
    environment: &mut Environment,
    left: &mut u64,
) -> Result<(), Exit> {
    let before = environment.time_stamp;
    let result = Reference.step(state, memory, environment);
    *left -= environment.time_stamp.wrapping_sub(before) & 1;
    result
}

/// Whether the state is one that blocks are compiled for: flat segments, no trap after each
/// instruction, no alignment checks. Everything else is rare, and the reference executes it.
fn blocks_fit(state: &CpuState) -> bool {
    let flat = |register, descriptor| state.segment(register).descriptor == Some(descriptor);
    flat(SegmentRegister::Cs, Descriptor::FLAT_CODE)
        && flat(SegmentRegister::Ss, Descriptor::FLAT_DATA)
        && flat(SegmentRegister::Ds, Descriptor::FLAT_DATA)
        && flat(SegmentRegister::Es, Descriptor::FLAT_DATA)
        && !state.eflags.intersects(UNFIT)
}
