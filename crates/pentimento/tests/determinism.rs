//! The same seed gives the same run; different seeds give different ones, and so find races.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use std::collections::BTreeSet;
use std::path::Path;

use pentimento::{Capture, EngineKind, Halt, Machine};

/// What is left of a run.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Run {
    hash: u64,
    instructions: u64,
    output: String,
}

/// How a run is done; what it comes to depends on the seed alone.
#[derive(Clone, Copy)]
struct Conditions {
    seed: u64,
    engine: EngineKind,
    /// Instructions for each call of [`Machine::run`].
    stride: u64,
}

impl Conditions {
    const fn seed(seed: u64) -> Self {
        Self { seed, engine: EngineKind::INTERPRETER, stride: u64::MAX }
    }

    /// Runs a fixture. Its threads take short turns, so that there are many in a short run.
    fn run(self, program: &str, arguments: &[&str]) -> Run {
        let output = Capture::new();
        let builder = Machine::builder().seed(self.seed).quantum(1_000..=20_000);
        let builder = builder.engine(self.engine).stdout(output.clone());
        let mut machine = builder.trace_hash().build().unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/programs").join(program);
        let mut words = vec![program];
        words.extend(arguments);
        machine.load_file(path, &words, &[]).unwrap();
        let halt = loop {
            match machine.run(self.stride) {
                Halt::Budget => {}
                halt => break halt,
            }
        };
        assert_eq!(halt, Halt::Exited(0));
        Run {
            hash: machine.trace_hash().unwrap(),
            instructions: machine.statistics().instructions,
            output: output.text(),
        }
    }
}

/// Threads, processes and signals.
const INTERLEAVING: (&str, &[&str]) = ("interleaving", &["order"]);

fn interleaving(conditions: Conditions) -> Run {
    conditions.run(INTERLEAVING.0, INTERLEAVING.1)
}

#[test]
fn one_seed_gives_one_run() {
    let first = interleaving(Conditions::seed(7));
    for _ in 1..100 {
        assert_eq!(interleaving(Conditions::seed(7)), first);
    }
}

#[test]
fn neither_the_engine_nor_the_host_s_pace_shows() {
    let expected = interleaving(Conditions::seed(8));
    assert_eq!(interleaving(Conditions { engine: EngineKind::REFERENCE, ..Conditions::seed(8) }), expected);
    for stride in [1, 777, 30_000] {
        assert_eq!(interleaving(Conditions { stride, ..Conditions::seed(8) }), expected, "{stride}");
    }
}

#[test]
fn other_seeds_give_other_interleavings_of_the_same_program() {
    let runs: Vec<Run> = (0..20).map(|seed| interleaving(Conditions::seed(seed))).collect();
    let hashes: BTreeSet<u64> = runs.iter().map(|run| run.hash).collect();
    assert_eq!(hashes.len(), runs.len());
    let orders: BTreeSet<&str> = runs.iter().map(|run| run.output.as_str()).collect();
    assert!(orders.len() > runs.len() / 2, "{orders:#?}");
    let results = |run: &Run| run.output.lines().take(2).collect::<Vec<_>>().join("\n");
    assert!(runs.iter().all(|run| results(run) == results(&runs[0])), "{runs:#?}");
}

#[test]
fn some_of_a_hundred_seeds_hit_a_race_and_some_miss_it() {
    let struck = |seed| match Conditions::seed(seed).run("lost_update", &["race"]).output.as_str() {
        "counted 3000 of 3000\n" => false,
        lost if lost.starts_with("counted ") => true,
        other => panic!("{other}"),
    };
    let seeds: Vec<u64> = (0..100).filter(|seed| struck(*seed)).collect();
    assert!(!seeds.is_empty() && seeds.len() < 100, "{seeds:?}");
    // A seed that found the race finds it again.
    assert!(struck(seeds[0]));
}

#[test]
fn a_lock_keeps_every_seed_from_the_race() {
    for seed in 0..100 {
        assert_eq!(Conditions::seed(seed).run("lost_update", &[]).output, "counted 3000 of 3000\n", "{seed}");
    }
}
