//! Describing a machine before it starts.

use std::ops::RangeInclusive;
use std::sync::Arc;

use pentimento_execute::{CpuModel, Environment, Gates};
use pentimento_linux::host::{Clock, Discard, Entropy, Input, Network, Output, TraceSink};
use pentimento_linux::{Config, Kernel, Limits, TimeMode};

use crate::engines::{Engines, share};
use crate::provided::Item;
use crate::provisions::Provisions;
use crate::record::{Recorder, Setup, Tape, put_between};
use crate::told::{Telling, Told};
use crate::trace_hash::{TraceHash, Witnessed};
use crate::{EngineKind, Error, Machine};

/// Describes a machine; [`Machine::builder`] starts one. No call takes back what another one has set.
///
/// Without further words a machine is deterministic with seed 0, sees virtual time, has no input,
/// and its output is forgotten.
///
/// ```
/// use std::time::Duration;
/// use pentimento::host::{Bytes, Capture};
/// use pentimento::{Limits, Machine, TimeMode};
///
/// let output = Capture::new();
/// let noon = Duration::from_secs(12 * 60 * 60);
/// let machine = Machine::builder()
///     .file("/etc/hosts", "127.0.0.1 localhost\n")
///     .tmpfs("/scratch")
///     .environment("LANG", "C")
///     .working_directory("/scratch")
///     .time(TimeMode::Virtual { start: noon, nanoseconds_per_thousand: 1000 })
///     .limits(Limits { memory: 64 << 20, ..Limits::default() })
///     .stdin(Bytes::from("a line\n"))
///     .stdout(output.clone())
///     .build()?;
/// # Ok::<(), pentimento::Error>(())
/// ```
#[derive(Default)]
pub struct MachineBuilder {
    config: Config,
    model: CpuModel,
    engine: EngineKind,
    trace_hash: bool,
    pub(crate) record: bool,
    pub(crate) provisions: Provisions,
}

/// What a builder says of the host alone.
pub(crate) struct HostSide {
    input: Box<dyn Input>,
    output: Box<dyn Output>,
    error: Box<dyn Output>,
    clock: Box<dyn Clock>,
    entropy: Option<Box<dyn Entropy>>,
    trace: Option<Box<dyn TraceSink>>,
    engine: EngineKind,
    trace_hash: bool,
}

impl MachineBuilder {
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

    /// Which time the guest sees: virtual unless the host says otherwise.
    #[must_use]
    pub fn time(mut self, time: TimeMode) -> Self {
        self.config.time = time;
        self
    }

    /// The clock of [`TimeMode::Real`], instead of the host's own.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.config.clock = Box::new(clock);
        self
    }

    /// Random bytes from outside, instead of those that follow from the seed. A machine with them is no
    /// longer deterministic.
    #[must_use]
    pub fn entropy(mut self, entropy: impl Entropy + 'static) -> Self {
        self.config.entropy = Some(Box::new(entropy));
        self
    }

    /// Who is told of each system call.
    #[must_use]
    pub fn trace(mut self, sink: impl TraceSink + 'static) -> Self {
        self.config.trace = Some(Box::new(sink));
        self
    }

    /// The range of instructions that a task runs before another may; the seed draws from it. 10,000
    /// to 100,000 unless the host says otherwise.
    #[must_use]
    pub fn quantum(mut self, instructions: RangeInclusive<u64>) -> Self {
        self.config.quantum = instructions;
        self
    }

    /// Whether stack, heap, mappings and position-independent programs lie at addresses that follow from the
    /// seed, as they do without a word, or always at the same ones. Stack and heap lie elsewhere in each
    /// process; mappings and programs in each machine, so that its processes share translations.
    #[must_use]
    pub fn randomize_addresses(mut self, randomize: bool) -> Self {
        self.config.randomize_addresses = randomize;
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
    pub fn build(self) -> Result<Machine, Error> {
        if !self.record {
            return self.assemble(None);
        }
        if self.config.network.is_some() {
            return Err(Error::NotRecordable);
        }
        self.assemble(Some(Tape::recording()))
    }

    /// What it says of the host: its side of the configuration, and what it provides.
    pub(crate) fn into_host(self) -> (HostSide, Vec<Item>) {
        let Config { input, output, error, clock, entropy, trace, .. } = self.config;
        let Self { engine, trace_hash, .. } = self;
        let side = HostSide { input, output, error, clock, entropy, trace, engine, trace_hash };
        (side, self.provisions.items)
    }

    /// The same machine on another host, whose random numbers it has only if `entropy` says so.
    pub(crate) fn with_host(mut self, side: HostSide, entropy: bool) -> Self {
        let HostSide { input, output, error, clock, entropy: numbers, trace, engine, trace_hash } = side;
        self.config.input = input;
        self.config.output = output;
        self.config.error = error;
        self.config.clock = clock;
        self.config.entropy = numbers.filter(|_| entropy);
        self.config.trace = trace;
        (self.engine, self.trace_hash) = (engine, trace_hash);
        self
    }

    /// The machine, whose host is a tape.
    pub(crate) fn build_taped(self, tape: Tape) -> Result<Machine, Error> {
        self.assemble(Some(tape))
    }

    fn assemble(mut self, tape: Option<Tape>) -> Result<Machine, Error> {
        if let Some(identity) = self.provisions.user()? {
            self.config.identity = identity;
        }
        let recorder = tape.map(|tape| {
            let setup = Setup::of(&self.config, self.model, &self.provisions.items);
            put_between(&mut self.config, &mut self.provisions.items, &tape);
            Recorder { tape, setup, starts: Vec::new(), late: false }
        });
        let model = self.model;
        self.config.cpuid = Arc::new(move |leaf, subleaf| model.cpuid(leaf, subleaf));
        let mut environment = Environment::new(self.model);
        environment.gates = Gates::Linux;
        environment.random = self.config.seed;
        let told: [Told; 2] = Default::default();
        for (told, stream) in told.iter().zip([&mut self.config.output, &mut self.config.error]) {
            let output = core::mem::replace(stream, Box::new(Discard));
            *stream = Box::new(Telling { output, told: told.clone() });
        }
        let hash = self.trace_hash.then(TraceHash::default);
        if let Some(hash) = &hash {
            for (descriptor, stream) in [(1, &mut self.config.output), (2, &mut self.config.error)] {
                let output = core::mem::replace(stream, Box::new(Discard));
                *stream = Box::new(Witnessed { output, descriptor, hash: hash.clone() });
            }
        }
        let user = self.config.identity.0;
        let terminal = self.config.output.terminal_size().is_some();
        let total = &mut self.config.limits.total_memory;
        let engines = Engines::new(self.engine, share(*total));
        *total -= share(*total);
        let mut machine = Machine::new(Kernel::new(self.config), environment, engines);
        machine.trace_hash = hash;
        machine.told = told;
        self.provisions.place(&mut machine.kernel)?;
        machine.surroundings = self.provisions.surroundings(&mut machine.kernel, user, terminal);
        machine.recorder = recorder;
        if let Some(recorder) = &mut machine.recorder {
            recorder.setup.surroundings = machine.surroundings.clone();
        }
        Ok(machine)
    }
}
