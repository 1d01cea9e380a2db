//! Describing a machine before it starts.

use std::sync::Arc;

use pentimento_execute::{CpuModel, Environment, Gates};
use pentimento_linux::host::{Discard, Input, Network, Output};
use pentimento_linux::{Config, Kernel, Limits};

use crate::provisions::Provisions;
use crate::trace_hash::{TraceHash, Witnessed};
use crate::{EngineKind, Error, Machine};

/// Describes a machine; [`Machine::builder`] starts one.
///
/// Without further words a machine is deterministic with seed 0, sees virtual time, has no input,
/// and its output is forgotten.
#[derive(Default)]
pub struct MachineBuilder {
    config: Config,
    model: CpuModel,
    engine: EngineKind,
    trace_hash: bool,
    pub(crate) provisions: Provisions,
}

impl MachineBuilder {
    /// Everything about the Linux layer at once; calls after this one refine it.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Decides every choice that is left open: address layout, random numbers, scheduling.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.config.seed = seed;
        self
    }

    /// Where standard input comes from.
    #[must_use]
    pub fn stdin(mut self, input: impl Input + 'static) -> Self {
        self.config.input = Box::new(input);
        self
    }

    /// Where standard output goes.
    #[must_use]
    pub fn stdout(mut self, output: impl Output + 'static) -> Self {
        self.config.output = Box::new(output);
        self
    }

    /// Where standard error goes.
    #[must_use]
    pub fn stderr(mut self, output: impl Output + 'static) -> Self {
        self.config.error = Box::new(output);
        self
    }

    /// What the machine may use: memory, processes, threads, descriptors, file sizes, output...
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// The user and group that the first process runs as; 0 is the machine's superuser. Neither
    /// means anything on the host. Without it, the one that an image names, or 0.
    #[must_use]
    pub fn user(mut self, user: u32, group: u32) -> Self {
        self.config.identity = (user, group);
        self.provisions.user_given = true;
        self
    }

    /// The host's network, as far as the guest may use it; without one there is only the machine's
    /// own loopback. A machine with a network is no longer deterministic.
    #[must_use]
    pub fn network(mut self, network: impl Network + 'static) -> Self {
        self.config.network = Some(Box::new(network));
        self
    }

    /// The CPU that the guest sees.
    #[must_use]
    pub fn model(mut self, model: CpuModel) -> Self {
        self.model = model;
        self
    }

    /// The engine that runs it.
    #[must_use]
    pub fn engine(mut self, engine: EngineKind) -> Self {
        self.engine = engine;
        self
    }

    /// Has the machine keep a hash of its run: [`Machine::trace_hash`].
    #[must_use]
    pub fn trace_hash(mut self) -> Self {
        self.trace_hash = true;
        self
    }

    /// The machine, without a process yet.
    ///
    /// # Errors
    /// What was described cannot be had from this host, or a file or mount has no place in the
    /// guest's file system.
    pub fn build(mut self) -> Result<Machine, Error> {
        let model = self.model;
        self.config.cpuid = Arc::new(move |leaf, subleaf| model.cpuid(leaf, subleaf));
        let mut environment = Environment::new(self.model);
        environment.gates = Gates::Linux;
        environment.random = self.config.seed;
        let hash = self.trace_hash.then(TraceHash::default);
        if let Some(hash) = &hash {
            for (descriptor, stream) in [(1, &mut self.config.output), (2, &mut self.config.error)] {
                let output = core::mem::replace(stream, Box::new(Discard));
                *stream = Box::new(Witnessed { output, descriptor, hash: hash.clone() });
            }
        }
        if let Some(identity) = self.provisions.user()? {
            self.config.identity = identity;
        }
        let user = self.config.identity.0;
        let terminal = self.config.output.terminal_size().is_some();
        let mut machine = Machine::new(Kernel::new(self.config), environment, self.engine);
        machine.trace_hash = hash;
        self.provisions.place(&mut machine.kernel)?;
        machine.surroundings = self.provisions.surroundings(&mut machine.kernel, user, terminal);
        Ok(machine)
    }
}
