//! Where raw code ends (`Machine::load_code`): on each engine, in one run and step by step.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use pentimento::{EngineKind, Exception, Gpr, Halt, Machine};

/// How a machine ended: why, EIP, EAX, and instructions.
type End = (Halt, u32, u32, u64);

/// Runs code at `base` in pieces of at most `stride` instructions.
fn run(engine: EngineKind, base: u32, code: &[u8], length: u32, stride: u64) -> End {
    let mut machine = Machine::builder().engine(engine).build().unwrap();
    machine.load_code(base, code, length).unwrap();
    let halt = (0..2_000_000).map(|_| machine.run(stride)).find(|halt| *halt != Halt::Budget).unwrap();
    if halt == Halt::CodeEnd {
        assert_eq!(machine.run(1000), Halt::CodeEnd, "it stops there again");
    }
    let state = machine.last_state();
    (halt, state.eip, state.gpr(Gpr::Eax), machine.statistics().instructions)
}

fn check(base: u32, code: &[u8], length: u32, expected: End) {
    for engine in EngineKind::ALL {
        for stride in [u64::MAX, 7, 1] {
            let end = run(*engine, base, code, length, stride);
            assert_eq!(end, expected, "{code:02x?} on {engine:?}, {stride} at a time");
        }
    }
}

#[test]
fn code_ends_behind_its_last_byte() {
    // inc eax
    check(0, &[0x40], 4096, (Halt::CodeEnd, 1, 1, 1));
    check(0x40_0000, &[0x40], 4096, (Halt::CodeEnd, 0x40_0001, 1, 1));
    // mov ecx, 1000; inc eax; loop -3
    check(0, &[0xb9, 0xe8, 3, 0, 0, 0x40, 0xe2, 0xfd], 4096, (Halt::CodeEnd, 8, 1000, 2001));
    // A page that is full: behind it is nothing.
    check(0, &[0x90; 4096], 4096, (Halt::CodeEnd, 4096, 0, 4096));
    check(0xffff_d000, &[0x90; 4096], 4096, (Halt::CodeEnd, 0xffff_e000, 0, 4096));
}

#[test]
fn an_instruction_over_the_end_is_not_executed() {
    // inc eax; mov ebx, imm32 without its last byte
    check(0, &[0x40, 0xbb, 1, 2, 3], 4096, (Halt::CodeEnd, 1, 1, 1));
    // At the end of memory, too.
    let mut code = [0x90; 4096];
    code[4095] = 0xbb;
    check(0, &code, 8192, (Halt::CodeEnd, 4095, 0, 4095));
}

#[test]
fn code_that_was_written_behind_the_end_goes_on() {
    // mov byte [14], 0x40; mov byte [15], 0xf4; and there INC EAX and HLT are found.
    let code = [0xc6, 5, 14, 0, 0, 0, 0x40, 0xc6, 5, 15, 0, 0, 0, 0xf4];
    check(0, &code, 4096, (Halt::Halted, 15, 1, 3));
}

#[test]
fn hlt_is_the_end_and_other_privileged_instructions_are_faults() {
    check(0, &[0x40, 0xf4, 0x90], 4096, (Halt::Halted, 1, 1, 1));
    for engine in EngineKind::ALL {
        let (halt, ..) = run(*engine, 0, &[0x40, 0xfa, 0x90], 4096, u64::MAX);
        let Halt::Killed { signal: 11, crash: Some(crash) } = halt else { panic!("{halt:?} on {engine:?}") };
        assert_eq!((crash.exception, crash.error_code, crash.eip), (Exception::GeneralProtection, 0, 1));
        assert_eq!(halt.to_string(), "killed by signal 11 (segmentation fault): #GP at eip 0x00000001");
    }
}
