//! Output that nobody reads: a reader that has gone, a full disk, closed streams. The command ends
//! with the status that it documents, and never with a panic.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]
#![cfg(target_os = "linux")]

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pentimento"));
    command.args(arguments).current_dir(top()).stdin(Stdio::null());
    command
}

/// A stream on which every write fails: the disk is full.
fn full() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

/// A stream whose reader has gone.
fn unread() -> Stdio {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn message(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Everything that the command itself prints on standard output.
const PRINTS: &[&[&str]] = &[
    &["--help"],
    &["help"],
    &["help", "run"],
    &["run", "--help"],
    &["--version"],
    &["exec", "--regs", "--hex", "40"],
    &["exec", "--json", "--hex", "40"],
    &["disasm", "--hex", "40"],
    &["disasm", "fixtures/programs/calculator"],
    &["completions", "bash"],
    &["man"],
];

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    for arguments in PRINTS {
        let output = command(arguments).stdout(unread()).output().unwrap();
        assert_eq!((message(&output).as_str(), output.status.code()), ("", Some(0)), "{arguments:?}");
    }
}

#[test]
fn a_full_disk_is_one_line_and_a_status() {
    for arguments in PRINTS {
        let output = command(arguments).stdout(full()).output().unwrap();
        let message = message(&output);
        assert_eq!(
            message, "pentimento: cannot write standard output: No space left on device\n",
            "{arguments:?}"
        );
        assert_eq!(output.status.code(), Some(125), "{arguments:?}");
        // And if nobody can be told, the status alone.
        let status = command(arguments).stdout(full()).stderr(full()).status().unwrap();
        assert_eq!(status.code(), Some(125), "{arguments:?}");
    }
}

#[test]
fn messages_that_cannot_be_written_leave_the_status() {
    let cases: &[(&[&str], i32)] = &[
        (&["walk"], 125),
        (&["run", "no/such/program"], 127),
        (&["run", "README.md"], 126),
        (&["exec", "--hex", "0f 0b"], 128 + 4),
        (&["exec", "--hex", "40"], 0),
        (&["run", "--stats", "--trace-hash", "fixtures/programs/hello"], 0),
    ];
    for (arguments, status) in cases {
        for stream in [full, unread] {
            let output = command(arguments).stderr(stream()).output().unwrap();
            assert_eq!(output.status.code(), Some(*status), "{arguments:?}");
        }
    }
}

#[test]
fn a_trace_that_cannot_be_written_does_not_disturb_the_guest() {
    let expected = command(&["run", "fixtures/programs/file_io"]).output().unwrap();
    for stream in [full, unread] {
        let traced =
            command(&["run", "--strace", "fixtures/programs/file_io"]).stderr(stream()).output().unwrap();
        assert_eq!((&traced.stdout, traced.status.code()), (&expected.stdout, expected.status.code()));
    }
}

#[test]
fn the_guests_own_output_is_the_guests_affair() {
    // write(2) fails with ENOSPC, which hello does not look at.
    let output = command(&["run", "fixtures/programs/hello"]).stdout(full()).output().unwrap();
    assert_eq!((message(&output).as_str(), output.status.code()), ("", Some(0)));
    // SIGPIPE kills it, and nobody is told, as in a shell.
    let output = command(&["run", "fixtures/programs/hello"]).stdout(unread()).output().unwrap();
    assert_eq!((message(&output).as_str(), output.status.code()), ("", Some(128 + 13)));
}

#[test]
fn closed_streams_are_as_good_as_any() {
    for arguments in PRINTS {
        let closed = Command::new("/bin/sh")
            .args(["-c", "exec \"$0\" \"$@\" <&- >&- 2>&-", env!("CARGO_BIN_EXE_pentimento")])
            .args(*arguments)
            .current_dir(top())
            .status()
            .unwrap();
        assert_eq!(closed.code(), Some(0), "{arguments:?}");
    }
}
