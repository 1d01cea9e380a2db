//! What hooks cost, on every engine in one run: events a second, and how much longer a run takes.
//!
//! `cargo bench --package pentimento-benches --bench hooks`

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints, and stops where it fails")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use pentimento::{EngineKind, Hooks, Machine};

/// Kernels of the fixtures: short blocks, long ones, much memory.
const PROGRAMS: [&str; 3] = ["sort", "sha256", "bytecode"];

/// Instructions that are timed.
const INSTRUCTIONS: u64 = 100_000_000;

/// Runs a kernel with the hooks that `add` adds, each of which counts. Gives the nanoseconds an instruction,
/// and how many million events there were a second.
fn run(program: &Path, engine: EngineKind, add: impl FnOnce(&mut Hooks, Counter)) -> (f64, f64) {
    let mut machine = Machine::builder().engine(engine).build().unwrap();
    // Rounds without end.
    machine.load_file(program, &["kernel", "1000000000"], &[]).unwrap();
    // Until it is hot.
    machine.run(INSTRUCTIONS / 10);
    let counter = Counter::default();
    add(&mut machine.hooks, counter.clone());
    machine.run(INSTRUCTIONS / 10);
    let (events, executed) = (counter.0.load(Ordering::Relaxed), machine.statistics().instructions);
    let start = Instant::now();
    machine.run(if engine == EngineKind::REFERENCE { INSTRUCTIONS / 10 } else { INSTRUCTIONS });
    let time = start.elapsed().as_nanos() as f64;
    let (events, executed) =
        (counter.0.load(Ordering::Relaxed) - events, machine.statistics().instructions - executed);
    (time / executed as f64, events as f64 / time * 1e3)
}

/// Counts without a lock prefix: one thread at a time.
#[derive(Clone, Default)]
struct Counter(Arc<AtomicU64>);

impl Counter {
    fn add(&self) {
        self.0.store(self.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

fn main() {
    let kernels = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/kernels");
    for name in PROGRAMS {
        let program = kernels.join(name);
        for engine in EngineKind::ALL {
            let (plain, _) = run(&program, *engine, |_, _| {});
            let (blocks, block_count) = run(&program, *engine, |hooks, counter| {
                hooks.on_block(.., move |_| counter.add());
            });
            let (counts, _) = run(&program, *engine, |hooks, _| {
                hooks.count_blocks(..);
            });
            let (instructions, instruction_count) = run(&program, *engine, |hooks, counter| {
                hooks.on_instruction(.., move |_, _| counter.add());
            });
            let (accesses, access_count) = run(&program, *engine, |hooks, counter| {
                hooks.on_access(.., move |_, _| counter.add());
            });
            println!(
                "{name} {engine}: plain {plain:.2} ns an instruction; counted blocks {:.2} times; blocks {:.2} times, {block_count:.0} M/s; \
                 instructions {:.2} times, {instruction_count:.0} M/s; accesses {:.2} times, {access_count:.0} M/s",
                counts / plain,
                blocks / plain,
                instructions / plain,
                accesses / plain,
            );
        }
    }
}
