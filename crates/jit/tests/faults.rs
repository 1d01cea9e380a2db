//! Every access to memory of a loop is made to fault, one after the other: EIP, registers, flags, the x87
//! and vector state and the fault itself are those of the reference each time.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests stop where something is wrong")]

mod machine;

use machine::{DATA, DATA_BYTES, Machine};
use pentimento_execute::{Engine, Exit, Reference, Stop};
use pentimento_jit::Translator;
use pentimento_memory::Permissions;
use pentimento_registers::Gpr;

const ROUNDS: u32 = 250;

/// Integer, stack, string, x87, MMX and SSE instructions that load, store or do both, between flags that
/// live on; EBP counts.
#[rustfmt::skip]
const LOOP: &[u8] = &[
    0x50,                                     // push eax
    0x01, 0x46, 0x10,                         // add [esi + 16], eax
    0x13, 0x5e, 0x14,                         // adc ebx, [esi + 20]
    0x11, 0x1e,                               // adc [esi], ebx
    0x0f, 0x92, 0x46, 0x20,                   // setc byte [esi + 32]
    0xff, 0x76, 0x10,                         // push dword [esi + 16]
    0x8f, 0x46, 0x30,                         // pop dword [esi + 48]
    0x5a,                                     // pop edx
    0xd1, 0x56, 0x10,                         // rcl dword [esi + 16], 1
    0x0f, 0xb6, 0x46, 0x11,                   // movzx eax, byte [esi + 17]
    0x0f, 0xb1, 0x5e, 0x18,                   // cmpxchg [esi + 24], ebx
    0x0f, 0xc1, 0x5e, 0x1c,                   // xadd [esi + 28], ebx
    0x87, 0x4e, 0x24,                         // xchg [esi + 36], ecx
    0xdb, 0x46, 0x10,                         // fild dword [esi + 16]
    0xd8, 0x46, 0x30,                         // fadd dword [esi + 48]
    0xdd, 0x5e, 0x38,                         // fstp qword [esi + 56]
    0x0f, 0x6f, 0x46, 0x38,                   // movq mm0, [esi + 56]
    0x0f, 0xfe, 0x46, 0x10,                   // paddd mm0, [esi + 16]
    0x0f, 0x7f, 0x46, 0x40,                   // movq [esi + 64], mm0
    0x0f, 0x77,                               // emms
    0xf3, 0x0f, 0x6f, 0x4e, 0x41,             // movdqu xmm1, [esi + 65]
    0x66, 0x0f, 0xfe, 0x4e, 0x10,             // paddd xmm1, [esi + 16]
    0xf3, 0x0f, 0x7f, 0x4e, 0x53,             // movdqu [esi + 83], xmm1
    0x56,                                     // push esi
    0x8d, 0xbe, 0x80, 0x00, 0x00, 0x00,       // lea edi, [esi + 128]
    0xb9, 0x03, 0x00, 0x00, 0x00,             // mov ecx, 3
    0xf3, 0xa5,                               // rep movsd
    0xaa,                                     // stosb
    0xa6,                                     // cmpsb
    0x5e,                                     // pop esi
    0xe8, 0x01, 0x00, 0x00, 0x00,             // call behind the next
    0x90,                                     // nop
    0x59,                                     // pop ecx
    0x4d,                                     // dec ebp
    0x0f, 0x85, 0x95, 0xff, 0xff, 0xff,       // jnz to the start
    0xcd, 0x80,                               // int 80h
];

fn machine() -> Machine {
    Machine::new(LOOP, &[(Gpr::Esi, DATA + 0x800), (Gpr::Ebp, ROUNDS), (Gpr::Eax, 0x8765_4321)])
}

/// Runs to the next access, which faults; then lets that happen. Says what the run came to.
fn run_to_access(machine: &mut Machine, engine: &mut dyn Engine, forbidden: Permissions) -> Stop {
    machine.memory.protect(DATA, DATA_BYTES, forbidden).unwrap();
    let stop = machine.run(engine, 100_000);
    machine.memory.protect(DATA, DATA_BYTES, Permissions::READ | Permissions::WRITE).unwrap();
    stop
}

#[test]
fn every_access_faults_as_on_the_reference() {
    // All accesses, or only stores.
    for forbidden in [Permissions::empty(), Permissions::READ] {
        let (mut translator, mut reference) = (Translator::eager(), Reference);
        let (mut translated, mut expected) = (machine(), machine());
        let mut faults = 0;
        loop {
            let stop = run_to_access(&mut translated, &mut translator, forbidden);
            assert_eq!(
                stop,
                run_to_access(&mut expected, &mut reference, forbidden),
                "after {faults} faults"
            );
            assert_eq!(translated.state, expected.state, "after {faults} faults");
            match stop.exit {
                Exit::PageFault(_) => {}
                Exit::Interrupt(0x80) => break,
                exit => panic!("{exit:?} after {faults} faults"),
            }
            faults += 1;
            // The access, in the middle of a block again.
            assert_eq!(
                translated.run(&mut translator, 1),
                expected.run(&mut reference, 1),
                "after {faults} faults"
            );
            assert_eq!(translated.state, expected.state, "after {faults} faults");
        }
        assert!(faults > 4000, "{faults}");
        let bytes = |machine: &mut Machine| {
            let mut bytes = vec![0; DATA_BYTES as usize];
            machine.memory.read_bytes(DATA, &mut bytes).unwrap();
            bytes
        };
        assert!(bytes(&mut translated) == bytes(&mut expected), "memory differs");
    }
}
