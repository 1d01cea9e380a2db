//! What the rare paths know about operations.

use pentimento_decoder::{Instruction, Operation};
use pentimento_execute::blocks::Flow;

/// What the rare paths need to know about an operation; it has the operation's position.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// The instruction; a branch that joins two blocks has none.
    pub(crate) instruction: Option<Instruction>,
    pub(crate) handler: pentimento_execute::Handler,
    pub(crate) eip: u32,
    /// EIP behind the instruction.
    pub(crate) next: u32,
    /// EIP that a direct branch goes to if it is taken.
    pub(crate) target: u32,
    /// Instructions of the block before this one.
    pub(crate) before: u16,
    /// What is behind the instruction.
    pub(crate) flow: Flow,
    /// The operation is no instruction but a destination of the indirect branch before it.
    pub(crate) is_case: bool,
    /// The CPU model does not have the instruction: the handler is something else.
    pub(crate) lacking: bool,
    /// An observer hears of the accesses to memory that the instruction makes.
    pub(crate) notes_accesses: bool,
    /// Operations around it tell of them, so that the instruction may have a handler of its own.
    pub(crate) looks: bool,
    /// Of what is no instruction: all flags are somebody's.
    pub(crate) sees_flags: bool,
}

/// The most instructions in a block.
pub(crate) const MOST: u16 = 64;

/// The most conditional branches that a block goes on behind.
pub(crate) const MOST_BRANCHES: u16 = 4;

impl Step {
    /// What belongs to a branch to `eip` that is no instruction, behind `before` of them in its block.
    pub(crate) fn joining(eip: u32, before: u16) -> Self {
        Self {
            instruction: None,
            handler: pentimento_execute::handler(Operation::Nop),
            eip,
            next: eip,
            target: eip,
            before,
            flow: Flow::Jump,
            is_case: false,
            lacking: false,
            notes_accesses: false,
            looks: false,
            sees_flags: true,
        }
    }

    /// What belongs to an operation that only stops.
    pub(crate) fn stopping() -> Self {
        Self::joining(0, 0)
    }
}
