//! What somebody meets who tries the command for the first time with the wrong thing: one line that
//! names it and says what it is.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A folder of files that are no programs, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("pentimento-newcomer-{}", std::process::id()));
        std::fs::create_dir_all(path.join("folder")).unwrap();
        let header = |class: u8, order: u8, machine: u8| {
            let mut bytes = b"\x7fELF".to_vec();
            bytes.extend([class, order, 1, 0]);
            bytes.resize(16, 0);
            bytes.extend([2, 0, machine, 0, 1, 0, 0, 0]);
            bytes.resize(128, 0);
            bytes
        };
        for (name, content) in [
            ("empty", Vec::new()),
            ("text", b"Dear reader,\n".to_vec()),
            ("amd64", header(2, 1, 62)),
            ("aarch64", header(2, 1, 183)),
            ("arm", header(1, 1, 40)),
            ("cut", header(1, 1, 3)),
        ] {
            std::fs::write(path.join(name), content).unwrap();
            let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(path.join(name), executable).unwrap();
        }
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn pentimento(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pentimento"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn message(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_is_no_program_is_named_for_what_it_is() {
    let folder = Folder::new();
    let cases: &[(&[&str], i32, &[&str])] = &[
        (&["run", "missing"], 127, &["missing"]),
        (&["run", "folder"], 126, &["folder"]),
        (&["run", "empty"], 126, &["empty", "not an ELF file or script"]),
        (&["run", "text"], 126, &["text", "not an ELF file or script"]),
        (&["run", "amd64"], 126, &["amd64", "64-bit x86 (x86-64)", "32-bit x86 (i386)"]),
        (&["run", "aarch64"], 126, &["aarch64", "64-bit ARM"]),
        (&["run", "arm"], 126, &["arm", "for ARM"]),
        (&["run", "cut"], 126, &["cut", "malformed ELF file"]),
        (&["exec", "missing"], 125, &["missing", "there is no such file"]),
        (&["exec", "folder"], 125, &["folder", "give a file"]),
        (&["exec", "empty"], 125, &["empty", "no code"]),
        (&["exec", "amd64"], 125, &["amd64", "an ELF file, not raw code"]),
        (&["exec"], 125, &["--hex"]),
        (&["exec", "--hex", "4"], 125, &["--hex", "each byte takes two"]),
        (&["exec", "--base", "1", "--hex", "90"], 125, &["0x1"]),
        (&["disasm", "missing"], 125, &["missing", "there is no such file"]),
        (&["disasm", "amd64"], 125, &["amd64", "not a 32-bit x86 file"]),
        (&["run", "--root", "missing", "x"], 125, &["missing"]),
        (&["--run", "x"], 125, &["--run"]),
        (&["execute", "x"], 125, &["execute", "exec"]),
        (&["run", "--strase", "x"], 125, &["--strase", "--strace"]),
        (&["completions", "cmd"], 125, &["cmd", "bash"]),
    ];
    for (arguments, code, reasons) in cases {
        let output = pentimento(arguments, &folder.0);
        let message = message(&output);
        assert_eq!(output.status.code(), Some(*code), "{arguments:?}: {message}");
        assert!(
            message.starts_with("pentimento: ") && message.lines().count() == 1,
            "{arguments:?}: {message}"
        );
        for reason in *reasons {
            assert!(message.contains(reason), "{arguments:?}: no {reason:?} in {message}");
        }
    }
}

#[test]
fn without_anything_the_help_is_shown() {
    let output = pentimento(&[], Path::new("/"));
    assert_eq!((output.status.code(), output.stdout.len()), (Some(125), 0));
    let shown = message(&output);
    let help = pentimento(&["help"], Path::new("/"));
    assert_eq!(help.status.code(), Some(0));
    assert_eq!(shown.trim_end(), String::from_utf8(help.stdout).unwrap().trim_end());
    for word in ["run", "exec", "disasm", "completions", "man", "Exit codes:"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
}
