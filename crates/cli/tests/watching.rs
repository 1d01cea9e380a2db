//! `--coverage`, `--profile` and `--backtrace`.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

#[path = "guest/mod.rs"]
mod guest;

use std::process::Command;

use guest::Scratch;

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/machines/crash");

/// Runs the program with these options and arguments; exit code, and standard error.
fn run(scratch: &Scratch, options: &[&str], arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_pentimento"))
        .args([&["run", "--seed", "1"], options, &[PROGRAM], arguments].concat())
        .current_dir(scratch.path())
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn read(scratch: &Scratch, name: &str) -> String {
    String::from_utf8_lossy(&std::fs::read(scratch.path().join(name)).unwrap()).into_owned()
}

#[test]
fn coverage_is_written_by_blocks_or_by_lines() {
    let scratch = Scratch::new();
    assert_eq!(run(&scratch, &["--coverage", "blocks"], &[]), (Some(0), String::new()));
    let blocks = read(&scratch, "blocks");
    assert!(blocks.starts_with("DRCOV VERSION: 2\nDRCOV FLAVOR: drcov\nModule Table: version 2, count 1\n"));
    assert!(blocks.contains("fixtures/machines/crash\nBB Table: "), "{blocks}");
    assert_eq!(run(&scratch, &["--coverage", "lines.info"], &[]), (Some(0), String::new()));
    let lines = read(&scratch, "lines.info");
    assert!(lines.contains("FNDA:50,store\n") && lines.contains("end_of_record\n"), "{lines}");
}

#[test]
fn coverage_by_lines_says_when_there_are_none() {
    let scratch = Scratch::new();
    let hello = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/programs/hello");
    let output = Command::new(env!("CARGO_BIN_EXE_pentimento"))
        .args(["run", "--coverage", "x.info", hello])
        .current_dir(scratch.path())
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("no program has line tables"), "{errors}");
}

#[test]
fn a_profile_is_text_or_a_picture() {
    let scratch = Scratch::new();
    assert_eq!(run(&scratch, &["--profile", "stacks"], &[]), (Some(0), String::new()));
    let stacks = read(&scratch, "stacks");
    assert!(stacks.lines().any(|line| line.contains(";main;repeat;work;heavy ")), "{stacks}");
    assert_eq!(run(&scratch, &["--profile", "graph.svg"], &[]), (Some(0), String::new()));
    assert!(read(&scratch, "graph.svg").contains(">heavy</text>"));
}

#[test]
fn a_crash_is_followed_by_who_called_whom() {
    let scratch = Scratch::new();
    let (code, errors) = run(&scratch, &["--backtrace"], &["now"]);
    assert_eq!(code, Some(139));
    let lines: Vec<&str> = errors.lines().collect();
    assert!(lines[0].contains("killed by signal 11"), "{errors}");
    for (line, function) in lines[1..].iter().zip(["store", "work", "repeat", "main"]) {
        assert!(line.contains(&format!(" in {function}+0x")) && line.contains("crash.c:"), "{errors}");
    }
    // Not asked for.
    let (_, errors) = run(&scratch, &[], &["now"]);
    assert_eq!(errors.lines().count(), 1, "{errors}");
}

#[test]
fn a_file_that_cannot_be_written_is_an_error_before_the_run() {
    let scratch = Scratch::new();
    for option in ["--coverage", "--profile"] {
        let (code, errors) = run(&scratch, &[option, "/nowhere/at/all"], &[]);
        assert_eq!(code, Some(125));
        assert!(errors.contains(&format!("{option} /nowhere/at/all: ")), "{errors}");
    }
}
