//! A guest that is interrupted anywhere goes on in the middle of a block: with the state that the
//! reference has, and without another translation for each place where it was interrupted.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "tests stop where something is wrong")]

mod machine;

use machine::{DATA, Machine};
use pentimento_execute::{Engine, Exit, Reference};
use pentimento_jit::Translator;
use pentimento_registers::Gpr;

/// Pushes, flags that live on, a stack pointer that blocks move late, a branch forwards and a call, in a
/// loop that EBP counts.
#[rustfmt::skip]
const LOOP: &[u8] = &[
    0x50,                         // push eax
    0x53,                         // push ebx
    0x8b, 0x4c, 0x24, 0x04,       // mov ecx, [esp + 4]
    0x01, 0xc8,                   // add eax, ecx
    0x83, 0xd3, 0x07,             // adc ebx, 7
    0x0f, 0x92, 0xc2,             // setc dl
    0x89, 0x06,                   // mov [esi], eax
    0x83, 0xec, 0x08,             // sub esp, 8
    0x85, 0xc0,                   // test eax, eax
    0x8d, 0x64, 0x24, 0x08,       // lea esp, [esp + 8]
    0x5f,                         // pop edi
    0x5a,                         // pop edx
    0xc1, 0xc3, 0x03,             // rol ebx, 3
    0x19, 0xc2,                   // sbb edx, eax
    0x78, 0x01,                   // js over the next
    0x43,                         // inc ebx
    0xd1, 0xd0,                   // rcl eax, 1
    0x31, 0xd8,                   // xor eax, ebx
    0xe8, 0x01, 0x00, 0x00, 0x00, // call behind the next
    0x90,                         // nop
    0x59,                         // pop ecx
    0x4d,                         // dec ebp
    0x75, 0xcf,                   // jnz to the start
    0xcd, 0x80,                   // int 80h
];
const ROUNDS: u32 = 20_000;

fn machine() -> Machine {
    Machine::new(LOOP, &[(Gpr::Esi, DATA), (Gpr::Ebp, ROUNDS), (Gpr::Eax, 0x8765_4321)])
}

#[test]
fn what_was_interrupted_goes_on_where_it_was() {
    let (mut translator, mut reference) = (Translator::eager(), Reference);
    let (mut translated, mut expected) = (machine(), machine());
    let mut random = 0x2545_f491_u32;
    let mut pauses = 0;
    loop {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        let budget = u64::from(random % 500 + 1);
        let stop = translated.run(&mut translator, budget);
        assert_eq!(stop, expected.run(&mut reference, budget), "after {pauses} pauses");
        assert_eq!(translated.state, expected.state, "after {pauses} pauses");
        if stop.exit != Exit::Budget {
            break;
        }
        pauses += 1;
    }
    assert!(pauses > 1000, "{pauses}");
    if Translator::is_supported() {
        let counts = translator.counts();
        let blocks = counts.iter().find(|(name, _)| name == "blocks translated").unwrap().1;
        assert!((1..60).contains(&blocks), "{blocks} blocks translated after {pauses} pauses");
    }
}
