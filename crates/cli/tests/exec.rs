//! `pentimento exec`: where raw code ends, and what is said of it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use std::process::{Command, Output, Stdio};

fn exec(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pentimento"));
    command.arg("exec").args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs code that computes; returns what `--regs` prints, and the exit code.
fn registers(hex: &str) -> (String, Option<i32>) {
    let output = exec(&["--regs", "--hex", hex]);
    assert_eq!(text(&output.stderr), "", "{hex}");
    (text(&output.stdout), output.status.code())
}

#[test]
fn code_that_ends_stops_there() {
    // inc eax.
    let (shown, code) = registers("40");
    assert!(shown.starts_with("eax 00000001 ") && shown.contains("eip 00000001 "), "{shown}");
    assert!(shown.ends_with("ran off the end of the code after 1 instruction\n"), "{shown}");
    assert_eq!(code, Some(0));
    // Without --regs they are shown beside what the code prints.
    let output = exec(&["--hex", "40"]);
    let shown = text(&output.stderr);
    assert!(output.stdout.is_empty() && output.status.code() == Some(0), "{output:?}");
    assert!(shown.starts_with("eax 00000001 ") && shown.contains("pentimento: ran off the end"), "{shown}");
}

#[test]
fn loops_and_branches_end_there_too() {
    #[rustfmt::skip]
    let cases = [
        // mov ecx, 1000000; dec ecx; jnz -3
        ("b9 40 42 0f 00 49 75 fd",       "eip 00000008", "after 2000001 instructions"),
        // jmp over two bytes, to the end
        ("eb 02 90 90",                   "eip 00000004", "after 1 instruction"),
        // push 8; ret
        ("6a 08 c3 cc cc cc cc cc",       "eip 00000008", "after 2 instructions"),
        // call next; next: pop eax; add eax, 5; jmp eax: behind its own end
        ("e8 00 00 00 00 58 83 c0 06 ff e0", "eip 0000000b", "after 4 instructions"),
    ];
    for (hex, eip, count) in cases {
        let (shown, code) = registers(hex);
        assert!(shown.contains(eip) && shown.contains(count) && shown.contains("ran off"), "{hex}: {shown}");
        assert_eq!(code, Some(0), "{hex}");
    }
}

#[test]
fn what_the_code_writes_behind_itself_is_code() {
    // mov dword [end], 0xcc42b0; falls into mov al, 0x42; int3. (Twelve bytes: two NOPs fill them.)
    let (shown, code) = registers("c7 05 0c 00 00 00 b0 42 cc 00 90 90");
    assert!(shown.contains("eax 00000042") && shown.contains("killed by signal 5"), "{shown}");
    assert_eq!(code, Some(128 + 5));
    // What lies behind the code reads as zeros: movzx eax, byte [end]; mov bl, [end + 1].
    let (shown, code) = registers("0f b6 05 0d 00 00 00 8a 1d 0e 00 00 00");
    assert!(shown.contains("eax 00000000") && shown.contains("ran off"), "{shown}");
    assert_eq!(code, Some(0));
    // A table there, written before the code ends: mov byte [end + 1], 7.
    let (shown, code) = registers("c6 05 08 00 00 00 07");
    assert!(shown.contains("ran off the end") && code == Some(0), "{shown}");
}

#[test]
fn an_instruction_that_is_cut_off_is_said_to_be() {
    // nop; mov eax, imm32 of which two bytes are missing.
    let (shown, code) = registers("90 b8 01 02");
    assert!(
        shown.contains("stopped at 0x00000001: the last instruction is cut off after 1 instr"),
        "{shown}"
    );
    assert_eq!(code, Some(125));
}

#[test]
fn hlt_halts() {
    // mov eax, 5; hlt; and bytes behind it.
    let (shown, code) = registers("b8 05 00 00 00 f4 90 90");
    assert!(shown.contains("eax 00000005") && shown.contains("eip 00000005"), "{shown}");
    assert!(shown.ends_with("halted after 1 instruction\n"), "{shown}");
    assert_eq!(code, Some(0));
    // Other privileged instructions are faults: cli.
    let (shown, code) = registers("fa");
    assert!(shown.contains("killed by signal 11 (segmentation fault)"), "{shown}");
    assert_eq!(code, Some(128 + 11));
}

#[test]
fn a_system_call_may_be_last() {
    // mov eax, 20 (getpid); int 0x80.
    let (shown, code) = registers("b8 14 00 00 00 cd 80");
    assert!(shown.contains("eip 00000007") && shown.contains("ran off the end"), "{shown}");
    assert_eq!(code, Some(0));
}

#[test]
fn json_tells_of_these_ends() {
    for (hex, end, eip, code) in [("40", "ran off the end of the code", 1, 0), ("40 f4", "halted", 1, 0)] {
        let output = exec(&["--json", "--hex", hex]);
        let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((shown["end"].as_str(), shown["eip"].as_u64()), (Some(end), Some(eip)), "{hex}");
        assert!(shown["exit_code"].is_null() && shown["signal"].is_null(), "{shown}");
        assert_eq!((shown["registers"]["eax"].as_u64(), output.status.code()), (Some(1), Some(code)));
    }
}

#[test]
fn memory_is_a_mebibyte_with_the_stack_at_its_end() {
    let (shown, _) = registers("90");
    assert!(shown.contains("esp 00100000"), "{shown}");
    let output = exec(&["--base", "0x1000", "--regs", "--hex", "90"]);
    assert!(text(&output.stdout).contains("esp 00101000"), "{output:?}");
    let output = exec(&["--memory", "4k", "--regs", "--hex", "90"]);
    assert!(text(&output.stdout).contains("esp 00001000"), "{output:?}");
}

#[test]
fn a_stack_in_the_code_is_pointed_out() {
    // push eax; jmp -3: with EAX 0 it zeroes the code, at last itself.
    let output = exec(&["--memory", "4k", "--hex", "50 eb fd"]);
    let message = text(&output.stderr);
    assert!(message.contains("hint: the stack") && message.contains("--memory"), "{message}");
    assert_eq!(output.status.code(), Some(125), "{message}");
    // A small stack, and an end of another kind.
    let output = exec(&["--hex", "50 0f 0b"]);
    let message = text(&output.stderr);
    assert!(message.contains("illegal instruction") && !message.contains("hint"), "{message}");
}

#[test]
fn what_is_no_code_is_refused() {
    let top = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let elf = format!("{top}/fixtures/programs/hello");
    for (arguments, reason) in
        [(&["--hex", ""][..], "no code"), (&[elf.as_str()][..], "pentimento run"), (&[top][..], "directory")]
    {
        let output = exec(arguments);
        let message = text(&output.stderr);
        assert!(message.contains(reason) && message.lines().count() == 1, "{arguments:?}: {message}");
        assert_eq!(output.status.code(), Some(125));
    }
}
