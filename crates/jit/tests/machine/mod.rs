//! A guest of one program and some data, for an engine that a test brings.

use pentimento_execute::{Engine, Environment, Guest, Stop, Until};
use pentimento_memory::{AddressSpace, PAGE_SIZE, Permissions};
use pentimento_registers::{CpuState, DescriptorTables, Gpr};

/// Where the program is.
pub(crate) const CODE: u32 = 0x1000;
/// Where the data begins; the stack is the end of it.
pub(crate) const DATA: u32 = 0x8000;
/// Bytes of data and stack.
pub(crate) const DATA_BYTES: u32 = 0x8000;

/// A guest before its first instruction.
pub(crate) struct Machine {
    pub(crate) state: CpuState,
    pub(crate) memory: AddressSpace,
    environment: Environment,
}

impl Machine {
    /// A guest at the beginning of `program`, with ESP at the end of the data.
    pub(crate) fn new(program: &[u8], registers: &[(Gpr, u32)]) -> Self {
        let mut memory = AddressSpace::new();
        memory.map(CODE, PAGE_SIZE, Permissions::READ | Permissions::EXECUTE).unwrap();
        memory.map(DATA, DATA_BYTES, Permissions::READ | Permissions::WRITE).unwrap();
        memory.poke_bytes(CODE, program).unwrap();
        let mut state = CpuState::new();
        state.eip = CODE;
        state.set_gpr(Gpr::Esp, DATA + DATA_BYTES);
        for (register, value) in registers {
            state.set_gpr(*register, *value);
        }
        Self { state, memory, environment: Environment::default() }
    }

    /// Executes `budget` instructions, if nothing ends the run before.
    pub(crate) fn run(&mut self, engine: &mut dyn Engine, budget: u64) -> Stop {
        let mut guest = Guest {
            state: &mut self.state,
            memory: &mut self.memory,
            environment: &mut self.environment,
            descriptors: DescriptorTables::EMPTY,
        };
        engine.run(&mut guest, Until::budget(budget))
    }
}
