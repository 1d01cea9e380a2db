//! `--strace` prints like strace(1): golden lines, and where the host has it and 32-bit code runs,
//! strace's own.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

#[path = "../../conformance/src/skip.rs"]
mod skip;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use skip::skip;

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Lines without the task's number and with what differs from run to run replaced.
fn normalised(lines: &str) -> Vec<String> {
    lines.lines().map(|line| addresses(line.split_once("] ").map_or(line, |(_, rest)| rest))).collect()
}

/// A line in which every address reads `ADDRESS`, and results follow behind one blank.
fn addresses(line: &str) -> String {
    let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut text = String::new();
    let mut rest = words.as_str();
    while let Some(at) = rest.find("0x") {
        text.push_str(&rest[..at]);
        let digits = rest[at + 2..].find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len() - at - 2);
        // Flags are short, addresses are not.
        text.push_str(if digits >= 5 { "ADDRESS" } else { &rest[at..at + 2 + digits] });
        rest = &rest[at + 2 + digits..];
    }
    text + rest
}

/// What the command prints for a fixture.
fn ours(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_pentimento"))
        .args(["run", "--seed", "1", "--strace"])
        .args(arguments)
        .current_dir(top())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn lines_are_as_they_were_blessed() {
    let shown = ours(&["fixtures/programs/file_io"]) + &ours(&["fixtures/machines/network", "refused", "99"]);
    let shown = normalised(&shown).join("\n") + "\n";
    let golden = top().join("fixtures/machines/strace.golden");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&golden, &shown).unwrap();
    }
    let expected = std::fs::read_to_string(&golden).unwrap();
    for (number, (shown, expected)) in shown.lines().zip(expected.lines()).enumerate() {
        assert_eq!(shown, expected, "line {}", number + 1);
    }
    assert_eq!(shown.lines().count(), expected.lines().count(), "lines in all; BLESS=1 records them");
}

/// strace's lines for a fixture on the host's own kernel, or `None` where that cannot be had.
fn theirs(arguments: &[&str]) -> Option<String> {
    let file = std::env::temp_dir().join(format!("pentimento-strace-{}", std::process::id()));
    let status = Command::new("strace")
        .arg("-o")
        .arg(&file)
        .args(arguments)
        .current_dir(top())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .output();
    let text = std::fs::read_to_string(&file).ok();
    let _ = std::fs::remove_file(&file);
    status.ok()?;
    text.filter(|text| text.contains("exited with"))
}

/// What is printed differently, or belongs to the start and end that strace sees and we do not.
fn comparable(line: &str) -> bool {
    const LEFT_OUT: [&str; 8] = [
        // Structures that are shown as addresses.
        "set_thread_area(",
        "statx(",
        "getpeername(",
        "poll(",
        "getsockopt(",
        // Who one is.
        "set_tid_address(",
        "execve(",
        "+++",
    ];
    !LEFT_OUT.iter().any(|start| line.starts_with(start)) && !line.starts_with("[ Process PID")
}

#[test]
fn lines_are_those_of_strace() {
    for arguments in [
        &["fixtures/programs/file_io"][..],
        &["fixtures/machines/network", "refused", "9"],
        &["fixtures/programs/base64"],
        &["fixtures/programs/malloc_stress"],
    ] {
        let Some(theirs) = theirs(arguments) else {
            return skip("strace", "this host has no strace that runs 32-bit programs");
        };
        let keep =
            |lines: &str| normalised(lines).into_iter().filter(|line| comparable(line)).collect::<Vec<_>>();
        assert_eq!(keep(&ours(arguments)), keep(&theirs), "{arguments:?}");
    }
}
