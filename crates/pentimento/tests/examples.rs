//! Each example does what it says.
#![cfg(feature = "assembler")]
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

#[path = "../examples/debug.rs"]
mod debug;
#[path = "../examples/run_program.rs"]
mod run_program;
#[path = "../examples/sandbox.rs"]
mod sandbox;
#[path = "../examples/snapshot_fuzz.rs"]
mod snapshot_fuzz;
#[path = "../examples/taint.rs"]
mod taint;
#[path = "../examples/trace.rs"]
mod trace;

use std::error::Error;
use std::io::Write;

/// What an example prints.
fn printed(example: impl FnOnce(&mut dyn Write) -> Result<(), Box<dyn Error>>) -> String {
    let mut out = Vec::new();
    example(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_program_runs_with_its_input() {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/programs/base64");
    let text = printed(|out| run_program::show(&[program], out));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..2], ["YSBwZW50aW1lbnRvCg==", "exit code 0"], "{text}");
    assert!(lines[2].contains(" instructions, "), "{text}");
}

#[test]
fn plug_ins_stay_in_their_sandbox() {
    let text = printed(sandbox::show);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "polite: YSBwZW50aW1lbnRv");
    assert!(lines[1].starts_with("endless: ") && lines[2].starts_with("many: "), "{text}");
    // ENOENT: there is no such file in its machine.
    assert_eq!(lines[3], "thief: exit code 2");
}

#[test]
fn a_trace_tells_of_changes_and_accesses() {
    let text = printed(trace::show);
    let sums = text.lines().filter(|line| line.contains("add eax,[esi]"));
    let ends: Vec<&str> = sums.map(|line| line.split("eax=").nth(1).unwrap()).collect();
    assert_eq!(ends.len(), 3, "{text}");
    assert!(ends[2].starts_with("0000003c ") && ends[2].contains("]4->0000001e"), "{text}");
}

#[test]
fn a_small_fuzzer_finds_the_bug_of_the_parser() {
    let text = printed(snapshot_fuzz::show);
    assert!(text.contains("#PF at eip 0x0804"), "{text}");
}

#[test]
fn a_guess_is_traced_to_the_branch_that_decides() {
    let text = printed(taint::show);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("sesame: exit code 1;") && lines[0].ends_with(" depends on \"s\""));
    assert!(lines[1].ends_with(" depends on \"opa\""), "{text}");
    assert!(lines[2].starts_with("open: exit code 0;") && lines[2].ends_with(" depends on \"open\""));
}

#[test]
fn a_wrong_value_is_followed_back_to_its_writer() {
    let text = printed(debug::show);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[1].ends_with("total = 13"), "{text}");
    assert!(
        lines[lines.len() - 2].contains("mov dword ptr [") && lines[lines.len() - 2].ends_with("total = 41"),
        "{text}"
    );
    assert_eq!(lines[lines.len() - 1], "with ecx = 3");
}
