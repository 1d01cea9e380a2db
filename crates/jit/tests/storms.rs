//! A guest that stores to one new page after the other, downwards, so that none comes along with another.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "tests stop where something is wrong")]

use machine::Machine;
use pentimento_execute::Engine;
use pentimento_jit::Translator;
use pentimento_memory::{PAGE_SIZE, Permissions};
use pentimento_registers::Gpr;

mod machine;

const PAGES: u32 = 4000;
const BASE: u32 = 0x1000_0000;

/// `again: dec ecx; jnz again; next: mov [edi], edx; sub edi, 4096; dec edx; jnz next; hlt`
const PROGRAM: [u8; 15] = [0x49, 0x75, 0xfd, 0x89, 0x17, 0x81, 0xef, 0, 0x10, 0, 0, 0x4a, 0x75, 0xf5, 0xf4];

#[test]
fn stores_to_many_new_pages_are_seldom_exceptions_of_the_host() {
    if !Translator::is_supported() {
        eprintln!("skipped: this host runs no translated code");
        return;
    }
    // The first loop makes it hot.
    let last = BASE + (PAGES - 1) * PAGE_SIZE;
    let registers = [(Gpr::Ecx, 300_000), (Gpr::Edx, PAGES), (Gpr::Edi, last)];
    let mut machine = Machine::new(&PROGRAM, &registers);
    machine.memory.map(BASE, PAGES * PAGE_SIZE, Permissions::READ | Permissions::WRITE).unwrap();
    let mut engine = Translator::new();
    let stop = machine.run(&mut engine, 1 << 40);
    assert_eq!(stop.executed, 2 * 300_000 + 4 * u64::from(PAGES));
    for page in 0..PAGES {
        assert_eq!(machine.memory.read(BASE + page * PAGE_SIZE), Ok(page + 1));
    }
    let counts = engine.counts();
    let faults = counts.iter().find(|(name, _)| name == "exceptions of the host").unwrap().1;
    assert!((1..400).contains(&faults), "{faults}");
}
