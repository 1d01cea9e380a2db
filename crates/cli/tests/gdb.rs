//! `pentimento run --gdb`, with the host's GDB, in scripted sessions.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

#[path = "guest/mod.rs"]
mod guest;
#[path = "../../conformance/src/skip.rs"]
mod skip;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use pentimento::assembler::assemble;

use guest::Scratch;

/// Where the program's file is loaded.
const BASE: u32 = 0x0804_8000;
/// Bytes of the file before the code: ELF header and program header.
const HEADERS: u32 = 84;

/// Three functions with frames, a number in each unit, a counter in memory.
const PROGRAM: &str = "
_start: push ebp
        mov ebp, esp
        call outer
        mov ebx, [counter]
        mov eax, 1
        int 80h
outer:  push ebp
        mov ebp, esp
        call inner
        pop ebp
        ret
inner:  push ebp
        mov ebp, esp
        fldpi
        movups xmm1, [vector]
        mov ecx, 40
        add dword ptr [counter], 41
        nop
        pop ebp
        ret
crash:  mov eax, [4]
vector: dd 1, 2, 3, 4
counter: dd 1
";

/// An ELF program with a symbol for each label of `source`; it begins at `_start`.
fn elf(source: &str) -> Vec<u8> {
    let program = assemble(&format!("org {:#x}\n{source}", BASE + HEADERS)).unwrap();
    let mut names = vec![0];
    let mut symbols = vec![0; 16];
    for (name, address) in program.labels() {
        for word in [names.len() as u32, address, 0] {
            symbols.extend(word.to_le_bytes());
        }
        // A global function of section 1.
        symbols.extend([0x12, 0, 1, 0]);
        names.extend(name.bytes().chain([0]));
    }
    let code = program.bytes();
    let symbols_at = (HEADERS as usize + code.len()).next_multiple_of(4) as u32;
    let names_at = symbols_at + symbols.len() as u32;
    let titles = b"\0.text\0.symtab\0.strtab\0";
    let titles_at = names_at + names.len() as u32;
    let sections_at = (titles_at + titles.len() as u32).next_multiple_of(4);
    let end = HEADERS + code.len() as u32;
    let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x03\0\x01\0\0\0".to_vec();
    let entry = program.label("_start").unwrap();
    for word in [entry, 52, sections_at, 0, 0x0020_0034, 0x0028_0001, 0x0003_0004] {
        file.extend(word.to_le_bytes());
    }
    for word in [1, 0, BASE, BASE, end, end, 7, 4096] {
        file.extend(word.to_le_bytes());
    }
    file.extend(code);
    file.resize(symbols_at as usize, 0);
    file.extend(&symbols);
    file.extend(&names);
    file.extend(titles);
    file.resize(sections_at as usize, 0);
    #[rustfmt::skip]
    let sections: [[u32; 10]; 4] = [
        [0; 10],
        [1,  1, 6, BASE + HEADERS, HEADERS,    code.len() as u32,    0, 0, 4, 0],
        [7,  2, 0, 0,              symbols_at, symbols.len() as u32, 3, 1, 4, 16],
        [15, 3, 0, 0,              names_at,   titles_at + titles.len() as u32 - names_at, 0, 0, 1, 0],
    ];
    for word in sections.as_flattened() {
        file.extend(word.to_le_bytes());
    }
    // Section names are in the table of symbol names, behind these.
    let offset = titles_at - names_at;
    for section in 1..4 {
        let at = sections_at as usize + 40 * section;
        let name = u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) + offset;
        file[at..at + 4].copy_from_slice(&name.to_le_bytes());
    }
    file
}

/// What GDB prints in a session with a program, and the exit code and standard error of `pentimento`; `None`
/// on hosts without GDB.
fn session(source: &str, commands: &[&str]) -> Option<(String, Option<i32>, String)> {
    debug(&elf(source), commands, true)
}

/// A session with the program of some file, of which GDB has a copy or not.
fn debug(file: &[u8], commands: &[&str], has_copy: bool) -> Option<(String, Option<i32>, String)> {
    if Command::new("gdb").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        skip::skip("GDB sessions", "gdb is not installed");
        return None;
    }
    let scratch = Scratch::new();
    scratch.program("program", file);
    let mut guest = Command::new(env!("CARGO_BIN_EXE_pentimento"))
        .args(["run", "--seed", "1", "--gdb", "127.0.0.1:0", "program"])
        .current_dir(scratch.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut errors = BufReader::new(guest.stderr.take().unwrap());
    let mut line = String::new();
    errors.read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("pentimento: waiting for GDB: target remote ").unwrap().to_owned();
    let mut gdb = Command::new("gdb");
    gdb.args(["-nx", "-batch", "-ex", "set width 0", "-ex", &format!("target remote {address}")]);
    for command in commands {
        gdb.args(["-ex", command]);
    }
    if has_copy {
        gdb.arg("program");
    }
    let output = gdb
        .current_dir(if has_copy { scratch.path() } else { Path::new("/") })
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let printed =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let mut rest = String::new();
    errors.read_to_string(&mut rest).unwrap();
    Some((printed, guest.wait().unwrap().code(), rest))
}

/// Whether lines with these parts come in this order.
fn check(printed: &str, parts: &[&str]) {
    let mut lines = printed.lines();
    for part in parts {
        assert!(lines.any(|line| line.contains(part)), "'{part}' is missing, or too early:\n{printed}");
    }
}

#[test]
fn breakpoints_steps_registers_and_backtraces() {
    let commands = [
        "break inner",
        "continue",
        "backtrace",
        "info threads",
        "stepi",
        "stepi",
        "x/i $pc",
        "print $st0",
        "print $xmm1.v4_int32",
        "print $ecx",
        "set var $ecx = 7",
        "print $ecx",
        "print *(int *) &counter",
        "set var *(int *) &counter = 2",
        "delete",
        "continue",
    ];
    let Some((printed, code, errors)) = session(PROGRAM, &commands) else { return };
    check(
        &printed,
        &[
            "Breakpoint 1, 0x",
            "#0  0x",
            "in outer ()",
            "in _start ()",
            "* 1    Thread",
            "mov    $0x28,%ecx",
            "= 3.14159265358979323851",
            "= {1, 2, 3, 4}",
            "= 0",
            "= 7",
            "= 1",
            "exited with code 053",
        ],
    );
    // 2 + 41
    assert_eq!((code, errors.as_str()), (Some(43), ""), "{printed}");
}

#[test]
fn watchpoints_stop_behind_the_store() {
    let commands =
        ["watch *(int *) &counter", "continue", "print *(int *) &counter", "x/i $pc", "delete", "continue"];
    let Some((printed, code, _)) = session(PROGRAM, &commands) else { return };
    check(
        &printed,
        &["Hardware watchpoint 1", "Old value = 1", "New value = 42", "= 42", "nop", "exited with code 052"],
    );
    assert_eq!(code, Some(42));
}

#[test]
fn a_crash_is_seen_before_it_kills() {
    let source = PROGRAM.replace("fldpi", "call crash");
    let commands = ["continue", "x/i $pc", "backtrace", "continue"];
    let Some((printed, code, errors)) = session(&source, &commands) else { return };
    check(
        &printed,
        &[
            "received signal SIGSEGV",
            "in crash ()",
            "mov    0x4,%eax",
            "in inner ()",
            "terminated with signal SIGSEGV",
        ],
    );
    assert_eq!(code, Some(139));
    assert!(errors.contains("#PF at eip") && errors.contains("Read at 0x00000004: not mapped"), "{errors}");
}

#[test]
fn whoever_is_let_go_runs_on_and_whoever_is_killed_does_not() {
    let Some((_, code, _)) = session(PROGRAM, &["break inner", "continue", "detach"]) else { return };
    assert_eq!(code, Some(42));
    let Some((_, code, _)) = session(PROGRAM, &["kill"]) else { return };
    assert_eq!(code, Some(137));
}

#[test]
fn time_runs_backwards_to_breakpoints_writes_and_steps() {
    let commands = [
        "break crash",
        "break inner",
        "continue",
        "watch *(int *) &counter",
        "continue",
        "print *(int *) &counter",
        "reverse-stepi",
        "print *(int *) &counter",
        "x/i $pc",
        "continue",
        "reverse-continue",
        "x/i $pc",
        "print *(int *) &counter",
        "delete 3",
        "reverse-continue",
        "x/i $pc",
        "delete",
        "reverse-continue",
        "print $eip == (int) &_start",
        "break inner",
        "continue",
        "set var *(int *) &counter = 2",
        "stepi",
        "reverse-stepi",
        "delete",
        "continue",
    ];
    let Some((printed, code, errors)) = session(PROGRAM, &commands) else { return };
    check(
        &printed,
        &[
            "Breakpoint 2, 0x",
            "Hardware watchpoint 3",
            "= 42",
            "= 1",
            "addl   $0x29,",
            "Hardware watchpoint 3",
            "New value = 42",
            "Hardware watchpoint 3",
            "addl   $0x29,",
            "= 1",
            "Breakpoint 2, 0x",
            "No more reverse-execution history",
            "= 1",
            "Breakpoint 4, 0x",
            "exited with code 053",
        ],
    );
    assert_eq!((code, errors.as_str()), (Some(43), ""), "{printed}");
}

#[test]
fn gdb_reads_the_program_and_its_lines_from_the_guest() {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/machines/crash");
    let commands =
        ["info auxv", "break store", "continue", "backtrace", "info line", "finish", "delete", "continue"];
    let Some((printed, code, _)) = debug(&std::fs::read(program).unwrap(), &commands, false) else { return };
    check(
        &printed,
        &[
            "Reading ",
            "AT_PAGESZ            System page size               4096",
            "AT_ENTRY",
            "Breakpoint 1, store (",
            "#0  store (",
            "in work (",
            "in repeat (",
            "in main (",
            "crash.c\"",
            "exited normally",
        ],
    );
    assert_eq!(code, Some(0), "{printed}");
}
