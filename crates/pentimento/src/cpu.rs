//! The bare machine.

use std::fmt;

use pentimento_execute::{CpuModel, Engine, Environment, Exit, Guest, Stop, StopHandle, Until};
use pentimento_memory::AddressSpace;
use pentimento_registers::{CpuState, DescriptorTables, LocalDescriptors, TlsDescriptors};

use crate::EngineKind;

/// A CPU with its memory and no operating system.
pub struct Cpu {
    /// The registers. EIP is where [`run`](Self::run) goes on.
    pub state: CpuState,
    /// The memory.
    pub memory: AddressSpace,
    /// CPU model, time-stamp counter, interrupt gates, and where stop requests arrive: one that is
    /// replaced takes those of [`Self::stop_handle`] with it.
    pub environment: Environment,
    /// The entries of the GDT that segment loads find beside Linux's flat ones.
    pub tls: TlsDescriptors,
    /// The LDT.
    pub local: LocalDescriptors,
    engine: Box<dyn Engine>,
}

impl Cpu {
    /// A CPU of the fullest model with nothing mapped, on the default engine.
    #[must_use]
    pub fn new() -> Self {
        Self::with(CpuModel::default(), EngineKind::default())
    }

    /// A CPU of this model on this engine, with nothing mapped.
    #[must_use]
    pub fn with(model: CpuModel, engine: EngineKind) -> Self {
        Self {
            state: CpuState::new(),
            memory: AddressSpace::new(),
            environment: Environment::new(model),
            tls: TlsDescriptors::new(),
            local: LocalDescriptors::new(),
            engine: engine.start(),
        }
    }

    /// Executes at most `budget` instructions and says why it stopped.
    pub fn run(&mut self, budget: u64) -> Exit {
        self.run_until(Until::budget(budget)).exit
    }

    /// Executes one instruction: [`Exit::Budget`] when it completed without anything special.
    pub fn step(&mut self) -> Exit {
        self.run(1)
    }

    /// Runs as far as `until` says; tells how many instructions completed, too.
    pub fn run_until(&mut self, until: Until) -> Stop {
        let descriptors = DescriptorTables { tls: &self.tls, local: &self.local };
        let Self { state, memory, environment, engine, .. } = self;
        engine.run(&mut Guest { state, memory, environment, descriptors }, until)
    }

    /// A handle with which another thread can stop a run.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        self.environment.stop.clone()
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
