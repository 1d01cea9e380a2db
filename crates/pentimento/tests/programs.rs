//! Runs every program of `fixtures/programs` and compares standard output and exit code with what
//! silicon gave: `PROGRAM.out`, recorded by `cargo xtask fixtures --bless`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use std::path::{Path, PathBuf};

use pentimento::{Capture, Engine, Halt, Machine};

/// Far more than any fixture needs; one that runs away fails instead of hanging.
const MOST_INSTRUCTIONS: u64 = 2_000_000_000;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/programs")
}

/// What a program prints and how it ends, in the words of the golden files.
fn run(name: &str, arguments: &[&str], engine: Engine) -> String {
    let output = Capture::new();
    let mut machine = Machine::builder().engine(engine).stdout(output.clone()).build().unwrap();
    let mut words = vec![name];
    words.extend(arguments);
    machine.load_file(folder().join(name), &words, &[]).unwrap();
    let end = match machine.run(MOST_INSTRUCTIONS) {
        Halt::Exited(status) => format!("exit code {status}\n"),
        other => format!("{other:?} after {} instructions\n", machine.statistics().instructions),
    };
    output.text() + &end
}

fn programs() -> Vec<String> {
    let entries = std::fs::read_dir(folder()).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain_mut(|name| {
        name.strip_suffix(".out").map(str::to_owned).is_some_and(|stem| {
            *name = stem;
            true
        })
    });
    names.sort();
    names
}

fn check(engine: Engine) {
    let names = programs();
    assert!(names.len() > 40, "the fixtures are missing");
    let mut failures = Vec::new();
    for name in names {
        let expected = std::fs::read_to_string(folder().join(format!("{name}.out"))).unwrap();
        let actual = run(&name, &[], engine);
        if actual != expected {
            failures.push(format!("{name}:\n--- silicon\n{expected}--- ours\n{actual}"));
        }
    }
    assert!(failures.is_empty(), "{} programs differ\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn reference_engine_equals_silicon() {
    check(Engine::Reference);
}

#[test]
fn interpreter_equals_silicon() {
    check(Engine::Interpreter);
}

#[test]
fn a_thousand_processes_live_in_one_machine() {
    let printed = run("crowd", &["1000"], Engine::Interpreter);
    assert_eq!(printed, "1000 alive, 1000 ended, sum 49500\nexit code 0\n");
}
