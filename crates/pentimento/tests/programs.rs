//! Runs every program of `fixtures/programs`, and of `fixtures/low`, which lie at address 0, and
//! compares standard output and exit code with what silicon gave: `PROGRAM.out`, recorded by
//! `cargo xtask fixtures --bless`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use std::path::{Path, PathBuf};

use pentimento::linux::host::Bytes;
use pentimento::{Capture, EngineKind, Halt, Machine};

/// Far more than any fixture needs; one that runs away fails instead of hanging.
const MOST_INSTRUCTIONS: u64 = 2_000_000_000;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

/// What a program prints and how it ends, in the words of the golden files. Its standard input is
/// `PROGRAM.in`, where there is one.
fn run(name: &str, arguments: &[&str], engine: EngineKind) -> String {
    let output = Capture::new();
    let path = folder().join(name).canonicalize().unwrap();
    let input = std::fs::read(path.with_extension("in")).unwrap_or_default();
    let mut machine = Machine::builder()
        .engine(engine)
        // Some execute themselves again.
        .program(path.to_str().unwrap(), std::fs::read(&path).unwrap())
        .stdin(Bytes::from(&input[..]))
        .stdout(output.clone())
        .build()
        .unwrap();
    let mut words = vec![name.rsplit('/').next().unwrap_or(name)];
    words.extend(arguments);
    machine.load_file(path, &words, &[]).unwrap();
    let end = match machine.run(MOST_INSTRUCTIONS) {
        Halt::Exited(status) => format!("exit code {status}\n"),
        other => format!("{other:?} after {} instructions\n", machine.statistics().instructions),
    };
    output.text() + &end
}

fn programs() -> Vec<String> {
    let mut names = Vec::new();
    for group in ["programs", "low"] {
        let files: Vec<String> = std::fs::read_dir(folder().join(group))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let stems = files.iter().filter_map(|name| name.strip_suffix(".out"));
        let before = names.len();
        names.extend(stems.map(|stem| format!("{group}/{stem}")));
        assert!(names.len() >= before + 7, "the fixtures of {group} are missing");
    }
    names.sort();
    names
}

fn check(engine: EngineKind) {
    let names = programs();
    assert!(names.len() > 47, "the fixtures are missing");
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
    check(EngineKind::REFERENCE);
}

#[test]
fn interpreter_equals_silicon() {
    check(EngineKind::INTERPRETER);
}

#[test]
fn a_thousand_processes_live_in_one_machine() {
    let printed = run("programs/crowd", &["1000"], EngineKind::INTERPRETER);
    assert_eq!(printed, "1000 alive, 1000 ended, sum 49500\nexit code 0\n");
}
