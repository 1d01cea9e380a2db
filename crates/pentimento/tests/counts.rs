//! Blocks that are counted: on every engine as often as a block hook is called, whatever way an engine has
//! of its own, however a run is cut, and in the range that was asked for.
#![cfg(all(feature = "linux", feature = "host"))]
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::{Arc, Mutex};

use pentimento::{EngineKind, Machine};

/// Kernels of the fixtures: branches, calls, long blocks, strings, x87 and SSE.
const KERNELS: [&str; 8] =
    ["sort", "sha256", "bytecode", "list", "compress", "strings", "n_body.x87", "n_body.sse2"];

/// Enough for every engine to run hot.
const INSTRUCTIONS: u64 = 700_000;

fn machine(engine: EngineKind, kernel: &str) -> Machine {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/kernels").join(kernel);
    let mut machine = Machine::builder().engine(engine).build().unwrap();
    machine.load_file(path, &[kernel, "1000000000"], &[]).unwrap();
    machine
}

/// What is counted in `range`, in a run that is cut into pieces of `slice` instructions.
fn counted(engine: EngineKind, kernel: &str, range: RangeInclusive<u32>, slice: u64) -> Vec<(u32, u64)> {
    let mut machine = machine(engine, kernel);
    let (_, coverage) = machine.hooks.count_blocks(range);
    let mut left = INSTRUCTIONS;
    while left > 0 {
        machine.run(slice.min(left));
        left -= slice.min(left);
    }
    assert_eq!(machine.statistics().instructions, INSTRUCTIONS, "{engine}: {kernel}");
    coverage.counts()
}

/// What a block hook hears of.
fn told(kernel: &str) -> Vec<(u32, u64)> {
    let mut machine = machine(EngineKind::REFERENCE, kernel);
    let told = Arc::new(Mutex::new(BTreeMap::<u32, u64>::new()));
    let list = told.clone();
    machine.hooks.on_block(.., move |view| {
        *list.lock().unwrap().entry(view.state.eip).or_default() += 1;
    });
    machine.run(INSTRUCTIONS);
    told.lock().unwrap().iter().map(|(eip, times)| (*eip, *times)).collect()
}

#[test]
fn every_engine_counts_what_a_hook_hears() {
    for kernel in KERNELS {
        let expected = told(kernel);
        assert!(expected.len() > 10, "{kernel}");
        for engine in EngineKind::ALL.iter().filter(|engine| **engine != EngineKind::REFERENCE) {
            for slice in [u64::MAX, 100_003, 1009] {
                let counts = counted(*engine, kernel, 0..=u32::MAX, slice);
                for (counted, expected) in counts.iter().zip(&expected) {
                    assert_eq!(counted, expected, "{engine}: {kernel}, {slice} at a time");
                }
                assert_eq!(counts.len(), expected.len(), "{engine}: {kernel}, {slice} at a time");
            }
        }
    }
}

#[test]
fn ranges_are_kept_to() {
    for kernel in ["sort", "n_body.x87"] {
        let all = told(kernel);
        let (first, last) = (all[all.len() / 3].0, all[all.len() / 2].0);
        let expected: Vec<_> = all.iter().copied().filter(|(eip, _)| (first..=last).contains(eip)).collect();
        for engine in EngineKind::ALL.iter().filter(|engine| **engine != EngineKind::REFERENCE) {
            assert_eq!(counted(*engine, kernel, first..=last, u64::MAX), expected, "{engine}: {kernel}");
        }
    }
}

/// As many as there are count the same, whatever that takes in a translation.
#[test]
fn many_count_at_once() {
    for (engine, number) in EngineKind::ALL.iter().flat_map(|engine| [(engine, 12), (engine, 40)]) {
        let mut machine = machine(*engine, "n_body.x87");
        let coverages: Vec<_> = (0..number).map(|_| machine.hooks.count_blocks(..).1).collect();
        machine.run(400_000);
        let first = coverages[0].counts();
        assert!(first.len() > 10, "{engine}");
        assert!(coverages.iter().all(|coverage| coverage.counts() == first), "{engine}");
    }
}

/// Each counts for itself, from when it is added until it is removed, and anew when it is cleared.
#[test]
fn counts_come_and_go() {
    for engine in EngineKind::ALL {
        let mut machine = machine(*engine, "sort");
        machine.run(400_000);
        let sum = |counts: Vec<(u32, u64)>| counts.into_iter().map(|(_, times)| times).sum::<u64>();
        let (_, first) = machine.hooks.count_blocks(..);
        machine.run(50_000);
        let before = sum(first.counts());
        let (id, second) = machine.hooks.count_blocks(..);
        machine.run(50_000);
        let (both, alone) = (sum(first.counts()), sum(second.counts()));
        assert_eq!(both, before + alone, "{engine}");
        machine.hooks.remove(id);
        machine.run(50_000);
        assert!(sum(first.counts()) > both && sum(second.counts()) == alone, "{engine}");
        first.clear();
        assert_eq!(sum(first.counts()), 0, "{engine}");
        machine.run(50_000);
        assert!(sum(first.counts()) > 1000, "{engine}");
    }
}
