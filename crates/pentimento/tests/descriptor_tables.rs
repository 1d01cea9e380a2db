//! Descriptor tables cost nothing that depends on what is in them: they are borrowed for each turn,
//! never copied.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::time::{Duration, Instant};

use pentimento::{EngineKind, Halt, Machine};

/// System calls of a run.
const CALLS: u32 = 200_000;

/// getpid(2) in a loop, after modify_ldt(2) has filled the last entry of the LDT if `local`. The
/// status is modify_ldt's result.
fn program(local: bool) -> Vec<u8> {
    // mov eax, 123; mov ebx, 1; mov ecx, 1800h; mov edx, 16; int 80h; mov ebp, eax
    const MODIFY_LDT: [u8; 24] = [
        0xb8, 123, 0, 0, 0, 0xbb, 1, 0, 0, 0, 0xb9, 0, 0x18, 0, 0, 0xba, 16, 0, 0, 0, 0xcd, 0x80, 0x89, 0xc5,
    ];
    let mut code = vec![0x31, 0xed]; // xor ebp, ebp
    if local {
        code.extend(MODIFY_LDT);
    }
    code.push(0xbe); // mov esi, CALLS
    code.extend(CALLS.to_le_bytes());
    // l: mov eax, 20; int 80h; dec esi; jnz l; mov eax, 1; mov ebx, ebp; int 80h
    code.extend([0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0x4e, 0x75, 0xf6, 0xb8, 1, 0, 0, 0, 0x89, 0xeb, 0xcd, 0x80]);
    code.resize(0x800, 0);
    // struct user_desc: entry 8191, base 0, limit FFFFFh in pages, 32-bit data.
    code.extend([0xff, 0x1f, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0x0f, 0, 0x51, 0, 0, 0]);
    code
}

fn time(engine: EngineKind, local: bool) -> Duration {
    let mut machine = Machine::builder().engine(engine).build().unwrap();
    machine.load_code(0x1000, &program(local), 0x4000).unwrap();
    let start = Instant::now();
    assert_eq!(machine.run(u64::MAX), Halt::Exited(0), "{engine}: modify_ldt failed");
    assert_eq!(machine.statistics().system_calls, u64::from(CALLS) + 1 + u64::from(local));
    start.elapsed()
}

/// With tables that are copied each turn the second run takes some 60 times as long as the first, so
/// the bound is far from noise; the least of several runs, taken in turn, is what the work takes.
#[test]
fn an_ldt_does_not_slow_system_calls() {
    for engine in EngineKind::ALL {
        let mut least = [Duration::MAX; 2];
        for _ in 0..3 {
            for (least, local) in least.iter_mut().zip([false, true]) {
                *least = (*least).min(time(*engine, local));
            }
        }
        let [without, with] = least;
        assert!(with < without * 3, "{engine}: {without:?} without an LDT, {with:?} with one");
    }
}
