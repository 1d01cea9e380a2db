//! One guest as an engine sees it, and what an engine is.

use alloc::string::String;
use alloc::vec::Vec;

use pentimento_memory::AddressSpace;
use pentimento_registers::{CpuState, DescriptorTables};

use crate::observe::Observed;
use crate::{Context, Environment, Exit};

/// One thread of guest code with everything that it can see, borrowed from whoever owns each part
/// for as long as an engine runs it.
///
/// A thread owns its registers, a process its memory, both together the descriptor tables, and the
/// machine its environment; so these are four borrows and not one.
pub struct Guest<'a> {
    /// The registers. EIP is where execution goes on.
    pub state: &'a mut CpuState,
    /// The address space.
    pub memory: &'a mut AddressSpace,
    /// What instructions see of the machine: CPU model, time-stamp counter, interrupt gates.
    pub environment: &'a mut Environment,
    /// What segment loads find.
    pub descriptors: DescriptorTables<'a>,
}

impl Guest<'_> {
    /// A handler's view, for the instruction at EIP.
    #[inline]
    pub const fn context(&mut self) -> Context<'_> {
        Context {
            start: self.state.eip,
            state: self.state,
            memory: self.memory,
            environment: self.environment,
            descriptors: self.descriptors,
            accesses: None,
        }
    }
}

/// How far an engine may run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Until {
    /// Instructions after which to stop, exactly.
    pub budget: u64,
    /// Instructions after which to stop at the first end of a block, where that comes before the
    /// budget is used up; `u64::MAX` for never. What a block is depends on the engine.
    pub block_end: u64,
}

impl Until {
    /// Runs exactly `budget` instructions, unless something else ends the run.
    #[must_use]
    pub const fn budget(budget: u64) -> Self {
        Self { budget, block_end: u64::MAX }
    }

    /// Runs to the first end of a block behind `least` instructions, and at most `budget` of them:
    /// for a host that compares, counts or draws block by block.
    #[must_use]
    pub const fn block_end(least: u64, budget: u64) -> Self {
        Self { budget, block_end: least }
    }
}

/// What a run came to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Stop {
    /// Instructions that completed. One that faults does not; one that completes and traps (INT n,
    /// INT3, single step) does.
    pub executed: u64,
    /// Why it ended.
    pub exit: Exit,
}

/// Instructions that an engine may execute before it sees a request to stop: some ten microseconds
/// of ordinary code.
pub const MOST_UNHEARD: u64 = 1 << 14;

/// Something that executes guests. All engines give the same results, bit for bit and instruction
/// by instruction; they differ in speed.
pub trait Engine: Send {
    /// Runs `guest` until as many instructions are executed as `until` says, or until something
    /// happens that is not the guest's own business.
    ///
    /// It looks for a request of `guest.environment.stop` at the start and then at least every
    /// [`MOST_UNHEARD`] instructions, and after each that takes long.
    ///
    /// An engine may keep what it learned about the guest's code for the next call. It notices by
    /// itself where that no longer holds: another address space, another CPU model, code that was
    /// written to.
    fn run(&mut self, guest: &mut Guest<'_>, until: Until) -> Stop;

    /// As [`run`](Self::run), and tells `observed` of what happens: see [`observe`](crate::observe). To it,
    /// a block of `until` may be of any length.
    ///
    /// By itself it executes one instruction at a time, by the reference.
    fn run_observed(&mut self, guest: &mut Guest<'_>, until: Until, observed: &mut Observed<'_>) -> Stop {
        let budget = until.budget.min(until.block_end);
        let mut executed = 0;
        observed.begin(guest.state.eip);
        let mut exit = Exit::Budget;
        while executed < budget && exit == Exit::Budget {
            if guest.environment.stop.take() {
                exit = Exit::Stopped;
            } else if executed > 0 && guest.environment.breakpoints.contains(guest.state.eip) {
                exit = Exit::Breakpoint;
            } else if let Err(why) = observed.step(guest, &mut executed) {
                exit = why;
            }
        }
        observed.end(guest.state.eip);
        Stop { executed, exit }
    }

    /// The address space that it knew is no more. It keeps what may serve in another one where the same
    /// program runs, and says whether there is anything: if not, any other engine would do as well.
    fn retire(&mut self) -> bool {
        false
    }

    /// Bytes of the host's memory that it holds for what it made of code, about.
    fn footprint(&self) -> usize {
        0
    }

    /// What it has counted of its own work since it began, by name: for reports. Engines that count
    /// nothing have nothing to say.
    fn counts(&self) -> Vec<(String, u64)> {
        Vec::new()
    }
}
