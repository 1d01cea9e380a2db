//! `pentimento asm`, and what it makes run by `pentimento exec`.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::io::Write;
use std::process::{Command, Output, Stdio};

fn pentimento(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pentimento"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const SOURCE: &str = "
        org 0x1000
        mov ecx, 5
again:  add eax, ecx
        loop again
        hlt
";

#[test]
fn what_is_assembled_runs() {
    let output = pentimento(&["asm", "-"], SOURCE);
    assert_eq!((text(&output.stderr).as_str(), output.status.code()), ("", Some(0)));
    let hex = text(&output.stdout);
    assert_eq!(hex, "b9 05 00 00 00 01 c8 e2 fc f4\n");
    let output = pentimento(&["exec", "--regs", "--base", "0x1000", "--hex", &hex], "");
    assert!(text(&output.stdout).starts_with("eax 0000000f ecx 00000000 "), "{output:?}");

    let file = std::env::temp_dir().join(format!("pentimento-asm-{}", std::process::id()));
    let output = pentimento(&["asm", "-", "--output", file.to_str().unwrap()], SOURCE);
    assert_eq!((text(&output.stdout).as_str(), output.status.code()), ("", Some(0)));
    assert_eq!(std::fs::read(&file).unwrap(), [0xb9, 5, 0, 0, 0, 1, 0xc8, 0xe2, 0xfc, 0xf4]);
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn a_mistake_is_a_line_with_its_place() {
    let output = pentimento(&["asm", "-"], "nop\n  mov eax, [ecx*5]\n");
    assert_eq!(text(&output.stderr), "pentimento: -:2:13: a scale is 1, 2, 4 or 8, not 5\n");
    assert_eq!((output.stdout.len(), output.status.code()), (0, Some(125)));
    let output = pentimento(&["asm", "/no/such/file"], "");
    assert!(text(&output.stderr).contains("there is no such file"), "{output:?}");
}
