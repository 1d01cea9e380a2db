//! The `pentimento` command as a person meets it: what it prints, and its exit codes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Writes "Hello, world!" and exits, with a jump over an unused instruction.
const HELLO: &str = "B8 04 00 00 00 BB 01 00 00 00 B9 29 00 00 00 BA 0E 00 00 00 CD 80 E9 02 00 00 00 89 C8 \
    B8 01 00 00 00 BB 00 00 00 00 CD 80 48 65 6C 6C 6F 2C 20 77 6F 72 6C 64 21 0A";

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn pentimento(arguments: &[&str]) -> Output {
    with_input(arguments, "")
}

fn with_input(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_pentimento"))
        .args(arguments)
        .current_dir(top())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A guest that does not read its input may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn exec_runs_raw_code() {
    let output = pentimento(&["exec", "--hex", HELLO]);
    assert_eq!((text(&output.stdout).as_str(), output.status.code()), ("Hello, world!\n", Some(0)));
}

#[test]
fn exec_shows_registers_in_text_and_json() {
    // mov eax, 42; int3: SIGTRAP.
    let output = pentimento(&["exec", "--regs", "--reg", "ebx=0x10", "--hex", "b8 2a 00 00 00 cc"]);
    let shown = text(&output.stdout);
    assert!(shown.contains("eax 0000002a") && shown.contains("ebx 00000010"), "{shown}");
    assert!(shown.contains("killed by signal 5"), "{shown}");
    assert_eq!(output.status.code(), Some(128 + 5));

    let output = pentimento(&["exec", "--json", "--base", "0x1000", "--hex", "b8 01 00 00 00 b3 07 cd 80"]);
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["exit_code"], 7);
    assert_eq!(shown["registers"]["ebx"], 7);
    assert_eq!(shown["eip"], 0x1009);
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn exec_bounds_what_runs_away() {
    let output = pentimento(&["exec", "--limit", "1k", "--hex", "eb fe"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(text(&output.stderr).contains("instruction limit reached"), "{}", text(&output.stderr));
}

#[test]
fn random_bytes_are_a_guest_signal() {
    let output = pentimento(&["exec", "--hex", "0f 0b"]);
    assert_eq!(output.status.code(), Some(128 + 4));
    let output = pentimento(&["exec", "--hex", "a1 00 00 00 90"]);
    assert_eq!(output.status.code(), Some(128 + 11));
}

#[test]
fn disasm_prints_addresses_bytes_and_text() {
    let output = pentimento(&["disasm", "--base", "0x1000", "--hex", "b8 01 00 00 00 cd 80 c5"]);
    let shown = text(&output.stdout);
    let columns: Vec<Vec<&str>> =
        shown.lines().map(|line| line.split("  ").map(str::trim).collect()).collect();
    assert_eq!(columns[0].first(), Some(&"00001000"));
    assert!(
        shown.contains("mov eax, 1") && shown.contains("int 0x80") && shown.contains("db 0xc5"),
        "{shown}"
    );
    let output = pentimento(&["disasm", "fixtures/programs/hello"]);
    assert!(
        text(&output.stdout).starts_with("section .text\n08048054  b8 04 00 00 00"),
        "{}",
        text(&output.stdout)
    );
}

#[test]
fn run_connects_streams_arguments_and_exit_code() {
    let output = pentimento(&["run", "fixtures/programs/hello"]);
    assert_eq!((text(&output.stdout).as_str(), output.status.code()), ("Hello, world!\n", Some(0)));
    let output = pentimento(&["run", "--env", "A=b c", "fixtures/programs/arguments", "one", "--two"]);
    let shown = text(&output.stdout);
    assert!(shown.contains("argv[1] = one\nargv[2] = --two\n") && shown.contains("= A=b c\n"), "{shown}");
    assert_eq!(output.status.code(), Some(3));
    let output = with_input(&["run", "fixtures/programs/base64"], "Pentimento");
    assert_eq!(text(&output.stdout), "UGVudGltZW50bw==\n");
}

#[test]
fn own_failures_are_one_line_with_the_documented_code() {
    let cases: &[(&[&str], i32, &str)] = &[
        (&["run", "no/such/program"], 127, "No such file"),
        (&["run", "README.md"], 126, "README.md"),
        (&["run", "--root", "no/such/folder", "/bin/sh"], 125, "no/such/folder"),
        (&["run", "--limit", "100", "fixtures/programs/sorting"], 125, "--limit"),
        (&["exec", "--hex", "zz"], 125, "hexadecimal"),
        (&["exec", "--reg", "foo=1", "--hex", "90"], 125, "foo"),
        (&["disasm", "no/such/file"], 125, "no/such/file"),
        (&["run"], 125, "<PROGRAM>"),
        (&["walk"], 125, "walk"),
        (&["run", "--net", "moon", "x"], 125, "none, host"),
        (&["run", "--max", "happiness=1", "x"], 125, "happiness"),
        (&["run", "--max", "processes=1", "--nonsense", "x"], 125, "--nonsense"),
        (&["run", "--user", "root", "x"], 125, "root"),
    ];
    for (arguments, code, reason) in cases {
        let output = pentimento(arguments);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(*code), "{arguments:?}: {message}");
        assert!(message.starts_with("pentimento: ") && message.contains(reason), "{arguments:?}: {message}");
        assert_eq!(message.lines().count(), 1, "{arguments:?}: {message}");
    }
}

#[test]
fn the_guest_changes_a_copy_of_the_current_folder() {
    let before = std::fs::read_dir(top()).unwrap().count();
    let output = pentimento(&["run", "fixtures/programs/file_io"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert_eq!(std::fs::read_dir(top()).unwrap().count(), before);
}

#[test]
fn strace_and_statistics_go_to_standard_error() {
    let output = pentimento(&["run", "--strace", "--stats", "fixtures/programs/hello"]);
    let shown = text(&output.stderr);
    assert!(shown.contains("write(1, \"Hello, world!\\n\", 14)         = 14"), "{shown}");
    assert!(shown.contains("instructions: 8"), "{shown}");
    assert_eq!(text(&output.stdout), "Hello, world!\n");
}

#[test]
fn bounds_and_users_are_the_guests() {
    let output = pentimento(&["run", "--max", "output=5", "fixtures/programs/hello"]);
    assert_eq!(text(&output.stdout), "Hello");
    let output = pentimento(&["run", "--strace", "--user", "1000:100", "fixtures/programs/system_name"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn a_machine_that_waits_for_nothing_is_reported() {
    // pause(2), with nobody to send a signal.
    let output = pentimento(&["exec", "--hex", "b8 1d 00 00 00 cd 80"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(text(&output.stderr).contains("deadlock"), "{}", text(&output.stderr));
}
