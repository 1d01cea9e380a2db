//! What fuzzers pay, on every engine in one run: to put a CPU and a machine back to a snapshot after 50 pages
//! were written, and for whole executions of a small parser, blocks counted, from its first read(2) to its end.
//!
//! `cargo bench --package pentimento-benches --bench fuzz [-- --rounds=N]`
//!
//! Times are the thread's on the CPU, and the least of several runs.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints, and stops where it fails")]

use std::path::Path;
use std::sync::{Arc, Mutex};

use pentimento::{Cpu, CpuModel, EngineKind, Gpr, Halt, Machine, Permissions, Reply};
use pentimento_benches::thread_time;

const BASE: u32 = 0x1000;
const LENGTH: u32 = 0x40_0000;

/// `next: inc dword [ebx]; add ebx, 1000h; loop next; int 0x80`, for 50 pages.
const WRITE_50_PAGES: &[u8] = b"\xbb\0\0\x20\0\xb9\x32\0\0\0\xff\x03\x81\xc3\0\x10\0\0\xe2\xf6\xcd\x80";

/// Runs of which the quickest counts.
const RUNS: usize = 5;

/// Microseconds that a round takes, of `rounds` in a row.
fn time(rounds: u32, mut round: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..RUNS {
        let start = thread_time();
        (0..rounds).for_each(|_| round());
        best = best.min((thread_time() - start) / f64::from(rounds) / 1e3);
    }
    best
}

/// A CPU that is put back each time after it has written 50 pages.
fn cpu(engine: EngineKind, rounds: u32) -> f64 {
    let mut cpu = Cpu::with(CpuModel::default(), engine);
    cpu.memory.map(BASE, LENGTH, Permissions::all()).unwrap();
    cpu.memory.poke_bytes(BASE, WRITE_50_PAGES).unwrap();
    cpu.state.eip = BASE;
    let start = cpu.snapshot();
    time(rounds, || {
        assert_eq!(cpu.run(1000), Halt::Interrupt(0x80));
        assert_eq!(cpu.restore(&start), Ok(()));
    })
}

/// A whole machine, likewise.
fn machine(engine: EngineKind, rounds: u32) -> f64 {
    let mut machine = Machine::builder().engine(engine).build().unwrap();
    machine.load_code(BASE, &WRITE_50_PAGES[..WRITE_50_PAGES.len() - 2], LENGTH).unwrap();
    let start = machine.snapshot();
    time(rounds, || {
        assert_eq!(machine.run(1000), Halt::CodeEnd);
        assert_eq!(machine.restore(&start), Ok(()));
    })
}

/// The parser, from its first read(2) to its end, with its blocks counted.
fn parser(engine: EngineKind, rounds: u32) -> f64 {
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/programs");
    let (program, input) =
        (std::fs::read(programs.join("parser")).unwrap(), std::fs::read(programs.join("parser.in")).unwrap());
    let mut machine = Machine::builder().engine(engine).program("/parser", program).build().unwrap();
    machine.start(&["/parser"]).unwrap();
    let first = machine.hooks.on_system_call(|view, call| {
        if call.name() != Some("read") {
            return Reply::Pass;
        }
        view.state.eip -= 2; // INT 80h is executed once more
        view.stop();
        Reply::Done
    });
    assert_eq!(machine.run(1_000_000), Halt::Hook(first));
    machine.hooks.remove(first);
    let left = Arc::new(Mutex::new(Vec::new()));
    let source = left.clone();
    machine.hooks.on_system_call(move |view, call| {
        if call.name() != Some("read") {
            return Reply::Pass;
        }
        let [_, buffer, length, ..] = call.arguments;
        let mut left = source.lock().unwrap();
        let count = left.len().min(length as usize);
        let bytes: Vec<u8> = left.drain(..count).collect();
        view.memory.poke_bytes(buffer, &bytes).unwrap();
        view.state.set_gpr(Gpr::Eax, count as u32);
        Reply::Done
    });
    let (_, coverage) = machine.hooks.count_blocks(..);
    let start = machine.snapshot();
    let taken = time(rounds, || {
        left.lock().unwrap().clone_from(&input);
        assert_eq!(machine.run(1_000_000), Halt::Exited(0));
        assert_eq!(machine.restore(&start), Ok(()));
    });
    assert!(coverage.counts().len() > 100, "the parser has that many blocks");
    taken
}

fn main() {
    let rounds = std::env::args()
        .find_map(|argument| argument.strip_prefix("--rounds=")?.parse().ok())
        .unwrap_or(5000);
    println!(
        "{:<14} {:>22} {:>22} {:>22}",
        "engine", "CPU, 50 pages, us", "machine, 50 pages, us", "parser, executions/s"
    );
    for engine in EngineKind::ALL.iter().copied() {
        let rounds = if engine == EngineKind::REFERENCE { rounds / 20 } else { rounds };
        let (cpu, machine, parser) = (cpu(engine, rounds), machine(engine, rounds), parser(engine, rounds));
        println!("{:<14} {cpu:>22.2} {machine:>22.2} {:>22.0}", engine.to_string(), 1e6 / parser);
    }
}
