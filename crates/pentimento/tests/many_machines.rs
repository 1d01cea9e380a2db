//! Ten thousand machines in one host process, on eight threads of it: nothing of them stays behind.
//!
//! A test binary of its own, because it looks at the whole process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use std::path::Path;

use pentimento::{Capture, EngineKind, Halt, Machine};

/// Machines before the first look, after which allocator and caches have what they keep.
const WARM_UP: usize = 6_000;
const MACHINES: usize = 10_000;
const THREADS: usize = 8;
/// Looks at the process during the ten thousand. From one to the next what the allocator holds goes
/// up and down by some hundred KiB, and once in a while it takes a step that it never takes again; what is
/// left behind adds up in every quarter.
const LOOKS: usize = 20;

/// Bytes by which the least of the last looks may be above the most of the first ones, 5,000
/// machines earlier: 50 a machine.
const MOST_GROWTH: u64 = 256 << 10;

/// What the host process holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    /// Bytes of address space (proc(5), statm).
    mapped: u64,
    /// Bytes of memory that no file holds (smaps_rollup: statm's figure lags behind, and counts pages
    /// of the program's own file).
    anonymous: u64,
    descriptors: usize,
    threads: usize,
}

impl Held {
    fn now() -> Self {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
        let anonymous = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap();
        let number = |text: &str| text.split_whitespace().next().unwrap().parse::<u64>().unwrap();
        let entries = |folder| std::fs::read_dir(folder).unwrap().count();
        Self {
            mapped: number(&statm) * 4096,
            anonymous: number(anonymous) << 10,
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
    let engine = EngineKind::ALL[index % EngineKind::ALL.len()];
    let builder = Machine::builder().seed(index as u64).engine(engine).stdout(output.clone());
    let mut machine = builder.build().unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/programs").join(program);
    machine.load_file(path, &[program], &[]).unwrap();
    assert_eq!(machine.run(budget), end);
    assert_eq!(output.text().is_empty(), end == Halt::Budget);
}

/// As many machines, one after the other on each of eight new threads.
fn run_many(count: usize) {
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || (thread..count).step_by(THREADS).for_each(run_one));
        }
    });
}

#[test]
fn ten_thousand_machines_leave_nothing_behind() {
    run_many(WARM_UP);
    let before = Held::now();
    let look = |_| {
        run_many(MACHINES / LOOKS);
        Held::now()
    };
    let looks: Vec<Held> = (0..LOOKS).map(look).collect();
    let quarters: Vec<&[Held]> = looks.chunks(LOOKS / 4).collect();
    let context = format!("{before:?} became {looks:?}");
    let kept = |what: fn(&Held) -> u64| {
        let most = |looks: &[Held]| looks.iter().map(what).max().unwrap();
        let least = |looks: &[Held]| looks.iter().map(what).min().unwrap();
        let grew = least(quarters[3]) > most(quarters[0]) + MOST_GROWTH;
        let always = quarters.windows(2).all(|pair| least(pair[1]) > most(pair[0]));
        assert!(!(grew && always), "{context}");
    };
    kept(|held| held.mapped);
    kept(|held| held.anonymous);
    for after in &looks {
        assert_eq!(after.descriptors, before.descriptors, "{context}");
        // A thread that was waited for may be seen for a moment more.
        assert!(after.threads < before.threads + THREADS, "{context}");
    }
}
