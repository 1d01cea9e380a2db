//! What was translated in one address space serves in the next one where the code is the same, also if it
//! comes page by page, and does not where it is another.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "tests stop where something is wrong")]

use pentimento_execute::{Engine, Environment, Exit, Guest, Reference, Until};
use pentimento_jit::Translator;
use pentimento_memory::{AddressSpace, Permissions};
use pentimento_registers::{CpuState, DescriptorTables, Gpr};

const CODE: u32 = 0x1000;
const FUNCTION: u32 = 0x2000;
const STACK: u32 = 0x9000;

/// A hundred calls of the function, and INT 80h.
#[rustfmt::skip]
const LOOP: &[u8] = &[
    0xb9, 100, 0, 0, 0,           // mov ecx, 100
    0xe8, 0xf6, 0x0f, 0x00, 0x00, // call the function
    0x49,                         // dec ecx
    0x75, 0xf8,                   // jnz to the call
    0xcd, 0x80,                   // int 80h
];

/// `add eax, step; ret`.
const fn function(step: u8) -> [u8; 4] {
    [0x83, 0xc0, step, 0xc3]
}

/// Runs the loop in a new address space, in which the page of the function comes when it is touched, if
/// that is `late`. Says what EAX is in the end.
fn run(engine: &mut dyn Engine, step: u8, late: bool) -> u32 {
    let code = Permissions::READ | Permissions::EXECUTE;
    let mut memory = AddressSpace::new();
    let map_function = |memory: &mut AddressSpace| {
        memory.map(FUNCTION, 0x1000, code).unwrap();
        memory.poke_bytes(FUNCTION, &function(step)).unwrap();
    };
    memory.map(CODE, 0x1000, code).unwrap();
    memory.poke_bytes(CODE, LOOP).unwrap();
    memory.map(STACK - 0x1000, 0x1000, Permissions::READ | Permissions::WRITE).unwrap();
    if !late {
        map_function(&mut memory);
    }
    let mut state = CpuState::new();
    state.eip = CODE;
    state.set_gpr(Gpr::Esp, STACK);
    let mut environment = Environment::default();
    loop {
        let mut guest = Guest {
            state: &mut state,
            memory: &mut memory,
            environment: &mut environment,
            descriptors: DescriptorTables::EMPTY,
        };
        match engine.run(&mut guest, Until::budget(1_000_000)).exit {
            Exit::PageFault(fault) => {
                assert!(late && fault.address == FUNCTION, "{fault:?}");
                map_function(&mut memory);
            }
            exit => {
                assert!(matches!(exit, Exit::Interrupt(_)), "{exit:?}");
                return state.gpr(Gpr::Eax);
            }
        }
    }
}

fn translated(engine: &Translator) -> u64 {
    engine.counts().iter().find(|(name, _)| name == "blocks translated").map_or(0, |(_, count)| *count)
}

#[test]
fn what_was_translated_serves_again() {
    let mut engine = Translator::eager();
    assert_eq!(run(&mut engine, 3, false), 300);
    let first = translated(&engine);
    for round in 0..20 {
        assert!(engine.retire() == Translator::is_supported());
        assert_eq!(run(&mut engine, 3, round % 2 == 1), 300);
        assert_eq!(translated(&engine), first, "round {round}");
    }
}

#[test]
fn other_code_at_the_same_place_is_translated_anew() {
    let mut engine = Translator::eager();
    for round in 0..40_u8 {
        let (step, late) = (round % 5, round % 3 == 0);
        assert_eq!(run(&mut engine, step, late), run(&mut Reference, step, late), "round {round}");
        engine.retire();
    }
}
