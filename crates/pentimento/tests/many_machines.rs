//! Ten thousand machines in one host process, one after the other: nothing of them stays behind.
//!
//! A test binary of its own, because it looks at the whole process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use std::path::Path;

use pentimento::{Capture, Engine, Halt, Machine};

/// Machines before the first look, after which allocator and caches have what they keep.
const WARM_UP: usize = 2_000;
const MACHINES: usize = 10_000;

/// Bytes by which the process may have grown: less than 30 a machine.
const MOST_GROWTH: u64 = 256 << 10;

/// What the host process holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    /// Bytes of address space, and resident ones (proc(5), statm).
    mapped: u64,
    resident: u64,
    descriptors: usize,
    threads: usize,
}

impl Held {
    fn now() -> Self {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        let mut pages = pages.split(' ').map(|field| field.parse::<u64>().unwrap() * 4096);
        let entries = |folder| std::fs::read_dir(folder).unwrap().count();
        Self {
            mapped: pages.next().unwrap(),
            resident: pages.next().unwrap(),
            descriptors: entries("/proc/self/fd"),
            threads: entries("/proc/self/task"),
        }
    }
}

/// Starts a machine on the engine whose turn it is and runs a program: mostly one that ends at once,
/// now and then one with threads, processes and pipes, to its end or only half of it.
fn run_one(index: usize) {
    let (program, budget, end) = match index % 200 {
        0 => ("interleaving", u64::MAX, Halt::Exited(0)),
        101 => ("interleaving", 100_000, Halt::Budget),
        _ => ("hello", u64::MAX, Halt::Exited(0)),
    };
    let output = Capture::new();
    let engine = Engine::ALL[index % Engine::ALL.len()];
    let builder = Machine::builder().seed(index as u64).engine(engine).stdout(output.clone());
    let mut machine = builder.build().unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/programs").join(program);
    machine.load_file(path, &[program], &[]).unwrap();
    assert_eq!(machine.run(budget), end);
    assert_eq!(output.text().is_empty(), end == Halt::Budget);
}

#[test]
fn ten_thousand_machines_leave_nothing_behind() {
    (0..WARM_UP).for_each(run_one);
    let before = Held::now();
    (0..MACHINES).for_each(run_one);
    let after = Held::now();
    let context = format!("{before:?} became {after:?}");
    assert_eq!(after.descriptors, before.descriptors, "{context}");
    assert_eq!(after.threads, before.threads, "{context}");
    assert!(after.mapped <= before.mapped + MOST_GROWTH, "{context}");
    assert!(after.resident <= before.resident + MOST_GROWTH, "{context}");
}
