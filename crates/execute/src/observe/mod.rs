//! What a host hears of while an engine runs: instructions, blocks, accesses to memory.
//!
//! An engine that is given an [`Observed`] tells its [`Observer`] of the events that the observer's
//! [`Interests`] name, each exactly once, with the guest's state complete. What the observer changes
//! counts: registers, EIP and memory are the guest's own. An engine without an observer runs as if
//! there were no such thing.
//!
//! When each event comes:
//!
//! - An *instruction* is told of before it is executed, once for each time that it counts as executed
//!   (a repeated string instruction: once for each [`REPEAT_CHUNK`](crate::REPEAT_CHUNK) iterations).
//!   One that faults and starts again, because somebody has provided the page, is not told of again;
//!   nor is one before which the run stopped.
//! - A *block* begins where control has come to otherwise than from the instruction before: behind every
//!   branch, taken or not, behind calls, returns, interrupts, where somebody begins to listen, and where
//!   somebody has changed EIP. Nothing else begins one: what an engine compiles at once, and where a run was
//!   interrupted, does not matter.
//!   Blocks may also be counted only: that takes no call for each.
//! - *Accesses to memory* are told of when the instruction that made them has completed, in their order.
//!   Those of an instruction that faults have not happened, but for the finished iterations of a
//!   repeated string instruction. Fetches, and what the kernel does, are none.

mod access;
mod interests;
mod observed;
mod span;
mod tally;

use pentimento_decoder::{Instruction, Operation};

use crate::Guest;

pub use access::{AccessLog, MemoryAccess};
pub use interests::Interests;
pub use observed::{Observed, Position, Told};
pub use span::{Ranges, Span};
pub use tally::{Tallies, Tally};

/// How the guest is to go on after an event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Answer {
    /// As before: the observer has written to no register.
    Unchanged,
    /// As registers and memory now say.
    GoOn,
    /// The same, and the engine leaves with [`Exit::Observer`](crate::Exit::Observer) before the next
    /// instruction.
    Leave,
    /// Of an instruction: the observer has executed it. It counts as executed, and EIP goes behind it
    /// unless the observer has set it. Of another event it is as the other two.
    Done {
        /// As [`Self::Leave`].
        leave: bool,
    },
}

impl Answer {
    /// Whether the engine is to leave.
    #[must_use]
    pub const fn leaves(self) -> bool {
        matches!(self, Self::Leave | Self::Done { leave: true })
    }
}

/// Hears of what a guest does. An engine calls it in the middle of a run; the guest that it is given
/// is complete.
pub trait Observer {
    /// What to tell of. It stays the same during a run: an observer that wants something else leaves.
    fn interests(&self) -> &Interests;

    /// `instruction`, at EIP, is about to be executed.
    fn instruction(&mut self, guest: &mut Guest<'_>, instruction: &Instruction) -> Answer;

    /// A block begins at EIP; `from` is the EIP of the branch that led there, `None` where it was none:
    /// at the beginning, after an exception, where somebody has set EIP.
    fn block(&mut self, guest: &mut Guest<'_>, from: Option<u32>) -> Answer;

    /// Blocks at `eip` have begun `times` more, of those that [are counted](Interests::counts), and nobody has
    /// added that to their counters. An engine may say so late, but no later than at the end of a run.
    fn counted(&mut self, eip: u32, times: u64);

    /// An instruction has made `accesses`, of which there is at least one. The guest is as it has left it.
    fn accesses(&mut self, guest: &mut Guest<'_>, accesses: &[MemoryAccess]) -> Answer;
}

/// Whether a block ends with `instruction`: whether it may lead elsewhere than to the next one.
#[must_use]
pub const fn ends_block(instruction: &Instruction) -> bool {
    use Operation as O;
    matches!(
        instruction.operation(),
        O::Jcc
            | O::Loop
            | O::Loope
            | O::Loopne
            | O::Jecxz
            | O::Jmp
            | O::Call
            | O::Ret
            | O::JmpFar
            | O::CallFar
            | O::RetFar
            | O::Iret
            | O::Int
            | O::Int3
            | O::Into
            | O::Int1
            | O::Sysenter
            | O::Syscall
            | O::Hlt
    )
}
