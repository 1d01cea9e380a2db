//! `--trace`: a line for each instruction.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::process::Command;

#[test]
fn a_trace_has_a_line_for_each_instruction() {
    let folder = std::env::temp_dir().join(format!("pentimento-trace-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("trace");
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/programs/hello");
    let output = Command::new(env!("CARGO_BIN_EXE_pentimento"))
        .args(["run", "--stats", "--trace"])
        .arg(&file)
        .arg(program)
        .output()
        .unwrap();
    let (trace, report) =
        (std::fs::read_to_string(&file).unwrap(), String::from_utf8(output.stderr).unwrap());
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"Hello, world!\n"[..]));
    let count: usize =
        report.lines().find_map(|line| line.strip_prefix("instructions: ")).unwrap().parse().unwrap();
    assert_eq!(trace.lines().count(), count, "{trace}");
    let call = trace.lines().find(|line| line.contains(" mov eax,4 ")).unwrap();
    assert!(call.starts_with("1000 08") && call.ends_with(" eax=00000004"), "{call}");
}

#[test]
fn a_trace_that_cannot_be_written_is_an_error() {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/programs/hello");
    let output = Command::new(env!("CARGO_BIN_EXE_pentimento"))
        .args(["run", "--trace", "/nowhere/at/all", program])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert!(String::from_utf8(output.stderr).unwrap().contains("--trace /nowhere/at/all: "));
}
