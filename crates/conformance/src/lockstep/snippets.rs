//! Random code on a bare CPU, in lockstep.

use pentimento::EngineKind;
use pentimento_execute::{Engine, Environment, Exit, Gates, Guest, Reference, Stop, Until};
use pentimento_memory::engine::prepare_fast;
use pentimento_memory::{AddressSpace, MapError, Permissions, SharedMemory};
use pentimento_registers::{CpuState, Descriptor, Gpr, Segment};

use super::sequence::{ALIAS, CODE, CODE_LENGTH, DATA, DATA_LENGTH, Sequence};
use super::{Divergence, MemoryComparison, differs, encoded, state_differences};
use crate::generate::Random;
use crate::layout;

/// Instructions that a snippet may execute: most loop for ever.
const BUDGET: u64 = 3000;

/// What snippets ran to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Snippets that ran.
    pub snippets: u64,
    /// Instructions that both engines executed.
    pub instructions: u64,
    /// Snippets that ended with an exception.
    pub exceptions: u64,
}

/// One engine's machine.
struct Side {
    state: CpuState,
    memory: AddressSpace,
    environment: Environment,
    /// The code of sequences that are aliased.
    object: SharedMemory,
    /// Whether that is what is mapped.
    aliased: bool,
}

impl Side {
    fn new() -> Result<Self, MapError> {
        let object = SharedMemory::new(u64::from(CODE_LENGTH)).map_err(|_| MapError::OutOfMemory)?;
        let mut memory = AddressSpace::new();
        memory.map(CODE, CODE_LENGTH, Permissions::all())?;
        memory.map(DATA, DATA_LENGTH, Permissions::READ | Permissions::WRITE)?;
        // Handlers that access memory do nothing before this.
        prepare_fast(&mut memory);
        let environment = Environment { gates: Gates::Linux, ..Environment::default() };
        Ok(Self { state: CpuState::new(), memory, environment, object, aliased: false })
    }

    /// Maps the code's pages as the sequence has them.
    fn alias(&mut self, aliased: bool) -> Result<(), MapError> {
        if self.aliased == aliased {
            return Ok(());
        }
        self.aliased = aliased;
        if aliased {
            self.memory.map_shared(CODE, CODE_LENGTH, Permissions::all(), &self.object, 0)?;
            self.memory.map_shared(ALIAS, CODE_LENGTH, Permissions::all(), &self.object, 0)
        } else {
            self.memory.unmap(ALIAS, CODE_LENGTH)?;
            self.memory.map(CODE, CODE_LENGTH, Permissions::all())
        }
    }

    fn start(&mut self, sequence: &Sequence) {
        let mapped = self.alias(sequence.aliased);
        debug_assert!(mapped.is_ok(), "there is memory for four pages");
        for (address, bytes) in [(CODE, &sequence.code), (DATA, &sequence.data)] {
            let poked = self.memory.poke_bytes(address, bytes);
            debug_assert!(poked.is_ok(), "the pages are mapped");
        }
        self.memory.clear_dirty();
        let mut state = CpuState::new();
        let base = Descriptor { base: DATA, ..Descriptor::FLAT_DATA };
        state.segments[5] = Segment::new(layout::GS, Some(base));
        *state.gprs_mut() = sequence.registers;
        state.set_gpr(Gpr::Esp, DATA + DATA_LENGTH / 2);
        state.xmm = sequence.xmm;
        state.x87 = sequence.x87.clone();
        state.mxcsr = sequence.mxcsr;
        state.eip = CODE;
        self.state = state;
    }
}

/// Two machines for snippets, one for the reference and one for the engine under test.
pub struct Snippets {
    engine: EngineKind,
    slow: Side,
    fast: Side,
    report: Report,
}

impl Snippets {
    /// Machines that have run nothing yet, for `engine` beside the reference.
    ///
    /// # Errors
    /// Where the host has no memory for a few pages.
    pub fn new(engine: EngineKind) -> Result<Self, MapError> {
        Ok(Self { engine, slow: Side::new()?, fast: Side::new()?, report: Report::default() })
    }

    /// What has run so far.
    #[must_use]
    pub const fn report(&self) -> Report {
        self.report
    }

    /// Runs snippet `number` of `seed`.
    ///
    /// # Errors
    /// Where the engines parted, with the code in hexadecimal.
    pub fn run(&mut self, seed: u64, number: u64) -> Result<(), Box<Divergence>> {
        let mut random = Random::new(seed, number);
        let sequence = Sequence::new(&mut random);
        self.slow.start(&sequence);
        self.fast.start(&sequence);
        let mut memory = MemoryComparison::new();
        let mut engine = self.engine.start();
        // Single blocks try each handler alone; longer chains try links, too.
        let least = random.pick(&[1, 1, 2, 10, 100]);
        self.report.snippets += 1;
        let mut executed = 0;
        while executed < BUDGET {
            let from = self.slow.state.clone();
            let stop = engine.run(&mut self.fast.guest(), Until::block_end(least, BUDGET - executed));
            let Stop { executed: count, exit } = stop;
            let end = self.slow.follow(stop);
            let mut differences = self.differences(end, stop);
            differences.extend(memory.differences(&mut self.slow.memory, &mut self.fast.memory));
            if !differences.is_empty() {
                let end = sequence.code.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                let code: String = sequence.code[..end].iter().map(|byte| format!("{byte:02x}")).collect();
                differences.push(format!("seed {seed:#x}, snippet {number}, least {least}; code {code}"));
                differences.push(format!("registers before: {}", encoded(&from)));
                return Err(Box::new(Divergence {
                    executed,
                    instructions: count,
                    from: from.eip,
                    differences,
                }));
            }
            executed += count;
            self.report.instructions += count;
            if exit != Exit::Budget {
                self.report.exceptions += u64::from(exit.exception().is_some());
                return Ok(());
            }
        }
        Ok(())
    }

    /// What differs beside memory, given how many instructions each executed and why it stopped.
    fn differences(&self, slow: Stop, fast: Stop) -> Vec<String> {
        let (reference, interpreter) = (&self.slow, &self.fast);
        let stamps = [reference.environment.time_stamp, interpreter.environment.time_stamp];
        let found = [
            differs("executed", &slow.executed, &fast.executed),
            differs("exit", &slow.exit, &fast.exit),
            differs("time stamp", &stamps[0], &stamps[1]),
        ];
        let mut found: Vec<String> = found.into_iter().flatten().collect();
        found.extend(state_differences(&reference.state, &interpreter.state));
        found
    }
}

impl Side {
    fn guest(&mut self) -> Guest<'_> {
        Guest {
            state: &mut self.state,
            memory: &mut self.memory,
            environment: &mut self.environment,
            descriptors: layout::descriptor_tables(),
        }
    }

    /// Lets the reference do what the other engine did: as many instructions, and then a fault,
    /// which is none, if that is how it ended.
    fn follow(&mut self, other: Stop) -> Stop {
        let stop = Reference.run(&mut self.guest(), Until::budget(other.executed));
        if stop.executed == other.executed && stop.exit == Exit::Budget && other.exit != Exit::Budget {
            let more = Reference.run(&mut self.guest(), Until::budget(1));
            return Stop { executed: stop.executed + more.executed, ..more };
        }
        stop
    }
}
