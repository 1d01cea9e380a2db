//! Which engine runs the code, and its state.

use pentimento_execute::{Environment, Exit, Reference};
use pentimento_interpreter::Interpreter;
use pentimento_memory::AddressSpace;
use pentimento_registers::CpuState;

/// The engines. All give the same results, bit for bit; they differ in speed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Engine {
    /// The interpreter: blocks of predecoded operations, on every host.
    #[default]
    Interpreter,
    /// The plain interpreter that every other engine is checked against.
    Reference,
}

impl Engine {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Reference, Self::Interpreter];
}

/// An engine with what it remembers about one address space.
pub(crate) enum Runner {
    Interpreter(Box<Interpreter>),
    Reference(Reference),
}

impl Runner {
    pub(crate) fn new(engine: Engine) -> Self {
        match engine {
            Engine::Interpreter => Self::Interpreter(Box::default()),
            Engine::Reference => Self::Reference(Reference),
        }
    }

    /// As [`Self::run`], but stops at the first end of a block behind `least` instructions. To the
    /// reference, each instruction is a block.
    pub(crate) fn run_to_block_end(
        &mut self,
        state: &mut CpuState,
        memory: &mut AddressSpace,
        environment: &mut Environment,
        least: u64,
        budget: u64,
    ) -> (u64, Exit) {
        match self {
            Self::Interpreter(engine) => engine.run_to_block_end(state, memory, environment, least, budget),
            Self::Reference(engine) => engine.run(state, memory, environment, least.min(budget)),
        }
    }

    /// Executes up to `budget` instructions; says how many completed, and why it stopped.
    pub(crate) fn run(
        &mut self,
        state: &mut CpuState,
        memory: &mut AddressSpace,
        environment: &mut Environment,
        budget: u64,
    ) -> (u64, Exit) {
        self.run_to_block_end(state, memory, environment, u64::MAX, budget)
    }
}
