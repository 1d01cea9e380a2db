//! An engine keeps what it knows of one address space from the code of another: whoever replaces a
//! CPU's memory runs what is in the new one.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::mem;

use pentimento::{AddressSpace, Cpu, CpuModel, EngineKind, Gpr, Halt, Permissions};

const CODE: u32 = 0x1000;

/// Memory with a loop of 3,000 rounds, long enough for blocks to be linked, and then `mov eax, VALUE;
/// int 80h`.
fn space(value: u8) -> AddressSpace {
    let mut memory = AddressSpace::new();
    memory.map(CODE, 0x1000, Permissions::READ | Permissions::EXECUTE).unwrap();
    // mov ecx, 3000; l: dec ecx; jnz l; mov eax, VALUE; int 80h
    let code = [0xb9, 0xb8, 0x0b, 0, 0, 0x49, 0x75, 0xfd, 0xb8, value, 0, 0, 0, 0xcd, 0x80];
    memory.poke_bytes(CODE, &code).unwrap();
    memory
}

fn result(cpu: &mut Cpu) -> u32 {
    cpu.state.eip = CODE;
    assert_eq!(cpu.run(1_000_000), Halt::Interrupt(0x80));
    cpu.state.gpr(Gpr::Eax)
}

#[test]
fn replaced_memory_is_what_runs() {
    for kind in EngineKind::ALL {
        let mut cpu = Cpu::with(CpuModel::default(), *kind);
        let mut other = space(2);
        cpu.memory = space(1);
        assert_eq!(result(&mut cpu), 1, "{kind}");
        for round in 0..5 {
            mem::swap(&mut cpu.memory, &mut other);
            assert_eq!(result(&mut cpu), 2, "{kind}, round {round}");
            mem::swap(&mut cpu.memory, &mut other);
            assert_eq!(result(&mut cpu), 1, "{kind}, round {round}");
        }
        // A new space may lie where the old one was.
        for value in 3..20 {
            cpu.memory = space(value);
            assert_eq!(result(&mut cpu), u32::from(value), "{kind}");
        }
    }
}
