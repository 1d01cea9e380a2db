//! The bare machine.

use std::fmt;

use pentimento_execute::{CpuModel, Environment, Exit};
use pentimento_memory::AddressSpace;
use pentimento_registers::CpuState;

use crate::engine::{Engine, Runner};
use crate::stop::{SLICE, StopHandle};

/// A CPU with its memory and no operating system.
pub struct Cpu {
    /// The registers. EIP is where [`run`](Self::run) goes on.
    pub state: CpuState,
    /// The memory.
    pub memory: AddressSpace,
    /// CPU model, time-stamp counter and descriptor tables.
    pub environment: Environment,
    runner: Runner,
    stop: StopHandle,
}

impl Cpu {
    /// A CPU of the fullest model with nothing mapped, on the default engine.
    #[must_use]
    pub fn new() -> Self {
        Self::with(CpuModel::default(), Engine::default())
    }

    /// A CPU of this model on this engine, with nothing mapped.
    #[must_use]
    pub fn with(model: CpuModel, engine: Engine) -> Self {
        Self {
            state: CpuState::new(),
            memory: AddressSpace::new(),
            environment: Environment::new(model),
            runner: Runner::new(engine),
            stop: StopHandle::default(),
        }
    }

    /// Executes at most `budget` instructions and says why it stopped. A stop request comes back
    /// as [`Exit::Budget`] with fewer executed: see [`Cpu::run_counted`].
    pub fn run(&mut self, budget: u64) -> Exit {
        self.run_counted(budget).1
    }

    /// [`run`](Self::run), with the number of instructions that completed.
    pub fn run_counted(&mut self, budget: u64) -> (u64, Exit) {
        let mut executed = 0;
        while executed < budget && !self.stop.take() {
            let slice = SLICE.min(budget - executed);
            let (count, exit) =
                self.runner.run(&mut self.state, &mut self.memory, &mut self.environment, slice);
            executed += count;
            if exit != Exit::Budget {
                return (executed, exit);
            }
        }
        (executed, Exit::Budget)
    }

    /// Executes one instruction: [`Exit::Budget`] when it completed without anything special.
    pub fn step(&mut self) -> Exit {
        self.runner.run(&mut self.state, &mut self.memory, &mut self.environment, 1).1
    }

    /// A handle with which another thread can stop a run.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }
}

impl Default for Cpu {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cpu").field("state", &self.state).finish_non_exhaustive()
    }
}
