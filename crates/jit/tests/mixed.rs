//! Pages that hold code and data which is stored to: as right as any, and not a host exception a store.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "tests stop where something is wrong")]

use pentimento_execute::{Engine, Environment, Guest, Reference, Stop, Until};
use pentimento_jit::Translator;
use pentimento_memory::{AddressSpace, Permissions};
use pentimento_registers::{CpuState, DescriptorTables, Gpr};

const PAGE: u32 = 0x5000;
const OTHER: u32 = 0x6000;
/// In the page of [`PAGE`]; the immediate of an ADD in there is patched, too.
const COUNTER: u32 = PAGE + 0x800;

/// `l: inc dword [COUNTER]; dec ecx; jnz l; ret`.
#[rustfmt::skip]
const COUNTS: &[u8] = &[0xff, 0x05, 0x00, 0x58, 0x00, 0x00, 0x49, 0x75, 0xf7, 0xc3];

/// Runs `calls` of EDX rounds each of the loop at `place`, and in between patches the ADD's immediate.
fn run(engine: &mut dyn Engine, place: u32, calls: u32, rounds: u32) -> (Stop, CpuState, u32) {
    let mut memory = AddressSpace::new();
    memory.map(PAGE, 0x2000, Permissions::READ | Permissions::WRITE | Permissions::EXECUTE).unwrap();
    memory.map(0x9000, 0x1000, Permissions::READ | Permissions::WRITE).unwrap();
    memory.poke_bytes(place, COUNTS).unwrap();
    let to = place.wrapping_sub(PAGE + 0x105 + 2).to_le_bytes();
    #[rustfmt::skip]
    let caller = [
        0x89, 0xd1,                               // mov ecx, edx
        0xe8, to[0], to[1], to[2], to[3],         // call the loop
        0x81, 0xc0, 1, 0, 0, 0,                   // add eax, 1
        0x83, 0x05, 0x09, 0x51, 0x00, 0x00, 0x03, // add dword [the immediate], 3
        0x4e,                                     // dec esi
        0x75, 0xe9,                               // jnz to the start
        0xcd, 0x80,                               // int 80h
    ];
    memory.poke_bytes(PAGE + 0x100, &caller).unwrap();
    let mut state = CpuState::new();
    state.eip = PAGE + 0x100;
    state.set_gpr(Gpr::Esp, 0xa000);
    state.set_gpr(Gpr::Esi, calls);
    state.set_gpr(Gpr::Edx, rounds);
    let mut environment = Environment::default();
    let mut guest = Guest {
        state: &mut state,
        memory: &mut memory,
        environment: &mut environment,
        descriptors: DescriptorTables::EMPTY,
    };
    let stop = engine.run(&mut guest, Until::budget(100_000_000));
    let counter = memory.read::<u32>(COUNTER).unwrap();
    (stop, state, counter)
}

#[test]
fn stores_beside_code_are_right_and_rarely_refused() {
    // The loop on the page of its counter, and on another.
    for place in [PAGE + 0x200, OTHER] {
        let mut engine = Translator::eager();
        let expected = run(&mut Reference, place, 40, 5000);
        assert_eq!(run(&mut engine, place, 40, 5000), expected, "{place:x}");
        let counts = engine.counts();
        let refused = counts.iter().find(|(name, _)| name == "exceptions of the host").map_or(0, |c| c.1);
        assert!(refused < 5000, "{refused} refused stores with the loop at {place:x}");
    }
}
