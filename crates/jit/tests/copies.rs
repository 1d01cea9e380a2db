//! REP MOVSB in both directions: overlapping at every small distance, of every small length and of more
//! than a chunk, over pages that are not there. Translated code leaves what the reference leaves.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "tests stop where something is wrong")]

use pentimento_execute::{Engine, Environment, Guest, Reference, Stop, Until};
use pentimento_jit::Translator;
use pentimento_memory::{AddressSpace, PAGE_SIZE, Permissions};
use pentimento_registers::{CpuState, DescriptorTables, Eflags, Gpr};

const CODE: u32 = 0x1000;
/// Four pages of data, between pages that are not there.
const DATA: u32 = 0x1_0000;
const BYTES: u32 = 4 * PAGE_SIZE;

struct Bench {
    engine: Box<dyn Engine>,
    memory: AddressSpace,
    environment: Environment,
}

impl Bench {
    fn new(engine: Box<dyn Engine>) -> Self {
        let mut memory = AddressSpace::new();
        memory.map(CODE, PAGE_SIZE, Permissions::READ | Permissions::EXECUTE).unwrap();
        // rep movsb; adc eax, 0; int 80h
        memory.poke_bytes(CODE, &[0xf3, 0xa4, 0x83, 0xd0, 0x00, 0xcd, 0x80]).unwrap();
        memory.map(DATA, BYTES, Permissions::READ | Permissions::WRITE).unwrap();
        Self { engine, memory, environment: Environment::default() }
    }

    /// Copies `count` bytes to `to`; what came of it, and all data afterwards.
    fn copy(&mut self, from: u32, to: u32, count: u32, backwards: bool) -> (Stop, CpuState, Vec<u8>) {
        let mut bytes: Vec<u8> = (0..BYTES).map(|offset| ((offset * 7) ^ (offset >> 8)) as u8).collect();
        self.memory.write_bytes(DATA, &bytes).unwrap();
        let mut state = CpuState::new();
        state.eip = CODE;
        state.set_gpr(Gpr::Esi, from);
        state.set_gpr(Gpr::Edi, to);
        state.set_gpr(Gpr::Ecx, count);
        state.eflags.set(Eflags::DF, backwards);
        state.eflags.insert(Eflags::CF | Eflags::SF);
        let mut guest = Guest {
            state: &mut state,
            memory: &mut self.memory,
            environment: &mut self.environment,
            descriptors: DescriptorTables::EMPTY,
        };
        let stop = self.engine.run(&mut guest, Until::budget(100_000));
        self.memory.read_bytes(DATA, &mut bytes).unwrap();
        (stop, state, bytes)
    }
}

#[test]
fn copies_are_the_references() {
    let (mut reference, mut translator) =
        (Bench::new(Box::new(Reference)), Bench::new(Box::new(Translator::eager())));
    let mut compare = |from: u32, to: u32, count: u32| {
        for backwards in [false, true] {
            let context = format!("{count} bytes from {from:x} to {to:x}, backwards: {backwards}");
            let (stop, state, bytes) = translator.copy(from, to, count, backwards);
            let (expected_stop, expected, expected_bytes) = reference.copy(from, to, count, backwards);
            assert_eq!((stop, state), (expected_stop, expected), "{context}");
            assert!(bytes == expected_bytes, "memory differs: {context}");
        }
    };
    let middle = DATA + 2 * PAGE_SIZE;
    for distance in 0..=20 {
        for count in (0..=24).chain([31, 1023, 1024, 1025, 2049, 3001]) {
            compare(middle, middle + distance, count);
            compare(middle + distance, middle, count);
        }
    }
    // Over either end.
    for short in 0..10 {
        for (from, to) in [(DATA + short, middle), (middle, DATA + short), (DATA + short, DATA + short + 4)] {
            compare(from, to, 12);
            compare(from, to, 1030 + short);
        }
        let end = DATA + BYTES - 1 - short;
        compare(end, middle, 1050);
        compare(middle, end, 1050);
    }
    compare(1, middle, 20);
    compare(middle, 1, 20);
}
