//! A small machine for tests that run instructions through the decoder and the reference engine.
#![allow(dead_code, reason = "each test program uses what it needs")]

use pentimento_execute::{Engine, Environment, Exit, Guest, Reference, Stop, Until};
use pentimento_memory::{AddressSpace, Permissions};
use pentimento_registers::{CpuState, DescriptorTables, Exception, Gpr, LocalDescriptors, TlsDescriptors};

/// Two pages of code, the second followed by nothing.
pub(crate) const CODE: u32 = 0x1000;
/// Two writable pages, a read-only one, then nothing.
pub(crate) const DATA: u32 = 0x1_0000;
pub(crate) const READ_ONLY: u32 = DATA + 0x2000;
pub(crate) const UNMAPPED: u32 = DATA + 0x3000;
pub(crate) const STACK: u32 = DATA + 0x1800;

/// A machine with `code` at [`CODE`].
pub(crate) struct Machine {
    pub(crate) state: CpuState,
    pub(crate) memory: AddressSpace,
    pub(crate) environment: Environment,
    pub(crate) tls: TlsDescriptors,
    pub(crate) local: LocalDescriptors,
}

impl Machine {
    pub(crate) fn new(code: &[u8]) -> Self {
        let mut memory = AddressSpace::new();
        let map = |memory: &mut AddressSpace, start, length, permissions| {
            memory.map(start, length, permissions).expect("a few pages");
        };
        map(&mut memory, CODE, 0x2000, Permissions::READ | Permissions::EXECUTE);
        map(&mut memory, DATA, 0x2000, Permissions::READ | Permissions::WRITE);
        map(&mut memory, READ_ONLY, 0x1000, Permissions::READ);
        let mut machine = Self {
            state: CpuState::new(),
            memory,
            environment: Environment::default(),
            tls: TlsDescriptors::new(),
            local: LocalDescriptors::new(),
        };
        machine.code_at(CODE, code);
        machine.state.set_gpr(Gpr::Esp, STACK);
        machine
    }

    pub(crate) fn code_at(&mut self, address: u32, code: &[u8]) {
        self.memory.poke_bytes(address, code).expect("code lies in mapped pages");
        self.state.eip = address;
    }

    pub(crate) fn with(mut self, register: Gpr, value: u32) -> Self {
        self.state.set_gpr(register, value);
        self
    }

    pub(crate) fn guest(&mut self) -> Guest<'_> {
        Guest {
            state: &mut self.state,
            memory: &mut self.memory,
            environment: &mut self.environment,
            descriptors: DescriptorTables { tls: &self.tls, local: &self.local },
        }
    }

    pub(crate) fn step(&mut self) -> Result<(), Ended> {
        Reference.step(&mut self.guest()).map_err(|exit| match exit.exception() {
            Some((exception, error_code, address)) => {
                Ended::Raised(Event { exception, error_code, address, eip: self.state.eip })
            }
            None => Ended::Left(exit),
        })
    }

    pub(crate) fn run(&mut self, budget: u64) -> (u64, Exit) {
        let Stop { executed, exit } = Reference.run(&mut self.guest(), Until::budget(budget));
        (executed, exit)
    }

    pub(crate) fn dword(&self, address: u32) -> u32 {
        self.memory.read(address).expect("a mapped dword")
    }
}

/// An exception as its handler sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Event {
    exception: Exception,
    error_code: u32,
    address: u32,
    eip: u32,
}

/// Why an instruction did not simply complete.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    Raised(Event),
    Left(Exit),
}

pub(crate) fn event(exception: Exception, error_code: u32, address: u32, eip: u32) -> Result<(), Ended> {
    Err(Ended::Raised(Event { exception, error_code, address, eip }))
}
