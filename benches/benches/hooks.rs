//! What hooks cost, on every engine in one run: how much longer a run takes, and events a second.
//!
//! `cargo bench --package pentimento-benches --bench hooks [-- [--instructions=N] [ENGINE | KERNEL | HOOK]...]`
//!
//! Names choose what is measured. Times are the thread's on the CPU, and the least of three runs: what else
//! runs on a host only adds to them.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints, and stops where it fails")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pentimento::{EngineKind, Hooks, Machine};
use pentimento_benches::thread_time;

/// Kernels of the fixtures: short blocks, long ones, much memory.
const PROGRAMS: [&str; 3] = ["sort", "sha256", "bytecode"];

/// Instructions that are timed, unless the arguments say otherwise.
const INSTRUCTIONS: u64 = 100_000_000;

/// Runs of which the quickest counts.
const RUNS: usize = 3;

/// How hooks are added that add one to a counter each time.
type Add = fn(&mut Hooks, Counter);

/// What is measured, in the order of the columns. The first is a run without hooks.
const HOOKS: [(&str, Add); 5] = [
    ("none", |_, _| {}),
    ("counts", |hooks, _| {
        hooks.count_blocks(..);
    }),
    ("blocks", |hooks, counter| {
        hooks.on_block(.., move |_| counter.add());
    }),
    ("instructions", |hooks, counter| {
        hooks.on_instruction(.., move |_, _| counter.add());
    }),
    ("accesses", |hooks, counter| {
        hooks.on_access(.., move |_, _| counter.add());
    }),
];

/// Counts without a lock prefix: one thread at a time.
#[derive(Clone, Default)]
struct Counter(Arc<AtomicU64>);

impl Counter {
    fn add(&self) {
        self.0.store(self.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

/// What a run has taken.
struct Cost {
    /// Nanoseconds an instruction.
    time: f64,
    /// Millions of events a second.
    rate: f64,
}

/// Runs a kernel for about so many `instructions` with the hooks that `add` adds.
fn run(program: &Path, engine: EngineKind, instructions: u64, add: Add) -> Cost {
    let mut machine = Machine::builder().engine(engine).build().unwrap();
    // Rounds without end.
    machine.load_file(program, &["kernel", "1000000000"], &[]).unwrap();
    // Until it is hot, without hooks and with them.
    machine.run(instructions / 10);
    let counter = Counter::default();
    add(&mut machine.hooks, counter.clone());
    machine.run(instructions / 10);
    let mut best = Cost { time: f64::INFINITY, rate: 0.0 };
    for _ in 0..RUNS {
        let (events, executed) = (counter.0.load(Ordering::Relaxed), machine.statistics().instructions);
        let start = thread_time();
        machine.run(instructions / RUNS as u64);
        let time = thread_time() - start;
        let events = counter.0.load(Ordering::Relaxed) - events;
        let executed = machine.statistics().instructions - executed;
        best.time = best.time.min(time / executed as f64);
        best.rate = best.rate.max(events as f64 / time * 1e3);
    }
    best
}

fn main() {
    let mut instructions = INSTRUCTIONS;
    let mut chosen = Vec::new();
    for argument in std::env::args().skip(1) {
        match argument.strip_prefix("--instructions=") {
            Some(number) => instructions = number.parse().unwrap(),
            None if !argument.starts_with("--") => chosen.push(argument),
            None => {}
        }
    }
    let is_chosen = |name: &str, all: &[&str]| {
        chosen.iter().any(|chosen| chosen == name)
            || !chosen.iter().any(|chosen| all.contains(&chosen.as_str()))
    };
    let engines: Vec<String> = EngineKind::ALL.iter().map(ToString::to_string).collect();
    let engines: Vec<&str> = engines.iter().map(String::as_str).collect();
    let kernels = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/kernels");
    println!(
        "{:<20} {:<12} {:>8} {:>8} {:>12} {:>9}",
        "engine", "kernel", "hook", "times", "M events/s", "ns"
    );
    for (engine, name) in EngineKind::ALL.iter().zip(&engines).filter(|(_, name)| is_chosen(name, &engines)) {
        // The reference is what others are held against; it is some hundred times slower.
        let instructions = if *engine == EngineKind::REFERENCE { instructions / 20 } else { instructions };
        for program in PROGRAMS.into_iter().filter(|program| is_chosen(program, &PROGRAMS)) {
            let mut plain = None;
            let names = HOOKS.map(|(name, _)| name);
            for (hook, add) in HOOKS.into_iter().filter(|(hook, _)| is_chosen(hook, &names)) {
                let cost = run(&kernels.join(program), *engine, instructions, add);
                let plain = *plain.get_or_insert(cost.time);
                println!(
                    "{name:<20} {program:<12} {hook:>12} {:>8.2} {:>12.0} {:>9.2}",
                    cost.time / plain,
                    cost.rate,
                    cost.time,
                );
            }
        }
    }
}
