//! A request to stop from another thread, on every engine.
//!
//! Each guest stores to a device whose handler has another thread ask for the stop, and then loops for
//! ever: a run that ends has seen the request. How soon is the business of each engine's own tests.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::thread;
use std::time::{Duration, Instant};

use pentimento::{Cpu, CpuModel, EngineKind, Exit, Gpr, MmioHandler, Permissions, Stop, StopHandle, Until};

const CODE: u32 = 0x1000;
const DATA: u32 = 0x8000;
const DATA_LENGTH: u32 = 0x8000;
const DEVICE: u32 = 0x2_0000;

#[rustfmt::skip]
const LOOPS: &[(&str, &[u8])] = &[
    // inc eax; jmp
    ("plain",              &[0x40, 0xeb, 0xfd]),
    // inc eax; call next; next: add esp, 4; jmp
    ("calls",              &[0x40, 0xe8, 0, 0, 0, 0, 0x83, 0xc4, 4, 0xeb, 0xf5]),
    // mov edi, DATA; mov ecx, 2000h; rep stosd; jmp
    ("rep stosd",          &[0xbf, 0, 0x80, 0, 0, 0xb9, 0, 0x20, 0, 0, 0xf3, 0xab, 0xeb, 0xf2]),
    // std; mov edi, DATA + 7ffch; mov ecx, 2000h; rep stosd; jmp
    ("backward rep stosd", &[0xfd, 0xbf, 0xfc, 0xff, 0, 0, 0xb9, 0, 0x20, 0, 0, 0xf3, 0xab, 0xeb, 0xf1]),
    // mov edi, DATA; mov ecx, 7000h; rep stosb with 16-bit addresses; jmp
    ("16-bit rep stosb",   &[0xbf, 0, 0x80, 0, 0, 0xb9, 0, 0x70, 0, 0, 0x67, 0xf3, 0xaa, 0xeb, 0xf1]),
    // cpuid; jmp
    ("slow instructions",  &[0x0f, 0xa2, 0xeb, 0xfc]),
];

/// Has another thread ask for the stop, in the midst of what follows.
struct Button(StopHandle);

impl MmioHandler for Button {
    fn read(&mut self, _: u32, _: u32) -> u64 {
        0
    }

    fn write(&mut self, _: u32, _: u32, _: u64) {
        let handle = self.0.clone();
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(1));
            handle.stop();
        });
    }
}

/// A CPU at code that presses the button and then runs the loop for ever.
fn cpu(kind: EngineKind, body: &[u8]) -> Cpu {
    let mut cpu = Cpu::with(CpuModel::default(), kind);
    cpu.memory.map(CODE, 0x1000, Permissions::all()).unwrap();
    cpu.memory.map(DATA, DATA_LENGTH, Permissions::READ | Permissions::WRITE).unwrap();
    cpu.memory.map(DATA + DATA_LENGTH, 0x1000, Permissions::READ | Permissions::WRITE).unwrap();
    let button = Box::new(Button(cpu.stop_handle()));
    cpu.memory.map_mmio(DEVICE, 0x1000, Permissions::WRITE, button).unwrap();
    let mut code = vec![0xa3, 0, 0, 2, 0]; // mov [DEVICE], eax
    code.extend(body);
    cpu.memory.poke_bytes(CODE, &code).unwrap();
    cpu.state.set_gpr(Gpr::Esp, DATA + DATA_LENGTH + 0x800);
    cpu.state.eip = CODE;
    cpu
}

#[test]
fn a_request_is_seen() {
    for kind in EngineKind::ALL {
        for (name, body) in LOOPS {
            let mut cpu = cpu(*kind, body);
            assert_eq!(cpu.run_engine(Until::budget(u64::MAX)).exit, Exit::Stopped, "{kind}, {name}");
            // The request is taken, and the guest goes on where it was.
            assert_eq!(cpu.run_engine(Until::budget(5000)), Stop { executed: 5000, exit: Exit::Budget });
        }
    }
}

#[test]
fn a_request_before_the_run_is_not_lost() {
    for kind in EngineKind::ALL {
        let mut cpu = cpu(*kind, &[0xeb, 0xfe]);
        cpu.stop_handle().stop();
        assert_eq!(cpu.run_engine(Until::budget(100)), Stop { executed: 0, exit: Exit::Stopped }, "{kind}");
        assert_eq!(cpu.run_engine(Until::budget(100)), Stop { executed: 100, exit: Exit::Budget }, "{kind}");
    }
}

/// Where there is room for string instructions that take long.
const LARGE: u32 = 0x100_0000;
const LARGE_LENGTH: u32 = 16 << 20;

#[rustfmt::skip]
const LONG: &[(&str, &[u8])] = &[
    // mov edi, LARGE; mov ecx, 1000000h; rep stosb; jmp
    ("rep stosb",          &[0xbf, 0, 0, 0, 1, 0xb9, 0, 0, 0, 1, 0xf3, 0xaa, 0xeb, 0xf2]),
    // std; mov edi, LARGE + ffffffh; mov ecx, 1000000h; rep stosb; jmp
    ("backward rep stosb", &[0xfd, 0xbf, 0xff, 0xff, 0xff, 1, 0xb9, 0, 0, 0, 1, 0xf3, 0xaa, 0xeb, 0xf1]),
    // mov esi, LARGE; mov edi, LARGE; mov ecx, 1000000h; repe cmpsb; jmp
    ("repe cmpsb",         &[0xbe, 0, 0, 0, 1, 0xbf, 0, 0, 0, 1, 0xb9, 0, 0, 0, 1, 0xf3, 0xa6, 0xeb, 0xed]),
    // fldpi; fsin; fstp st(0); jmp
    ("fsin",               &[0xd9, 0xeb, 0xd9, 0xfe, 0xdd, 0xd8, 0xeb, 0xf8]),
    // a prefix and an instruction that no handler has: lock inc dword ptr ds:[DATA]; fnsave [DATA]; jmp
    ("rare ones",          &[0xf0, 0x3e, 0xff, 5, 0, 0x80, 0, 0, 0xdd, 0x35, 0, 0x80, 0, 0, 0xeb, 0xf0]),
];

/// The least of several attempts, so that what else the host does does not count.
#[test]
fn a_request_is_seen_within_a_millisecond() {
    for kind in EngineKind::ALL {
        for (name, body) in LOOPS.iter().chain(LONG) {
            let mut cpu = cpu(*kind, body);
            cpu.memory.map(LARGE, LARGE_LENGTH, Permissions::READ | Permissions::WRITE).unwrap();
            let mut least = Duration::MAX;
            for _ in 0..30 {
                let handle = cpu.stop_handle();
                let asked = thread::spawn(move || {
                    thread::sleep(Duration::from_millis(3));
                    let asked = Instant::now();
                    handle.stop();
                    asked
                });
                assert_eq!(cpu.run_engine(Until::budget(u64::MAX)).exit, Exit::Stopped, "{kind}, {name}");
                least = least.min(Instant::now().saturating_duration_since(asked.join().unwrap()));
                if least < Duration::from_millis(1) {
                    break;
                }
            }
            assert!(least < Duration::from_millis(1), "{kind}, {name}: {least:?}");
        }
    }
}

/// What a stop cuts in two is what runs through: the registers are the same after as many instructions.
#[test]
fn a_stop_changes_nothing() {
    for kind in EngineKind::ALL {
        for (name, body) in LOOPS {
            let mut cut = cpu(*kind, body);
            let executed = cut.run_engine(Until::budget(u64::MAX)).executed;
            let mut through = cpu(EngineKind::INTERPRETER, body);
            let mut done = 0;
            while done < executed {
                done += through.run_engine(Until::budget(executed - done)).executed;
            }
            assert!(cut.state == through.state, "{kind}, {name}, after {executed} instructions");
        }
    }
}
