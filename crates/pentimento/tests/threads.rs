//! Machines on several host threads at once: none sees anything of another, whatever engine it runs on.
#![cfg(feature = "linux")]
#![allow(clippy::unwrap_used, reason = "tests stop where something is wrong")]

use std::path::Path;

use pentimento::{Capture, EngineKind, Halt, Machine};

const THREADS: usize = 8;
/// Machines a thread; each engine has its turn.
const MACHINES: usize = 40;

/// Runs a program with threads and processes of its own; what it printed.
fn run(engine: EngineKind, seed: u64) -> String {
    let output = Capture::new();
    let builder = Machine::builder().seed(seed).engine(engine).stdout(output.clone());
    let mut machine = builder.build().unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/programs/interleaving");
    machine.load_file(path, &["interleaving"], &[]).unwrap();
    assert_eq!(machine.run(u64::MAX), Halt::Exited(0));
    output.text()
}

#[test]
fn machines_on_eight_threads_do_what_one_alone_does() {
    let expected: Vec<String> = (0..4).map(|seed| run(EngineKind::INTERPRETER, seed)).collect();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let expected = &expected;
            scope.spawn(move || {
                for index in 0..MACHINES {
                    let engine = EngineKind::ALL[(thread + index) % EngineKind::ALL.len()];
                    let seed = index % expected.len();
                    assert_eq!(run(engine, seed as u64), expected[seed], "{engine}, seed {seed}");
                }
            });
        }
    });
}
