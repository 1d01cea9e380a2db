//! `pentimento debug` as a person meets it: on a terminal of the host, key by key.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

#[path = "guest/mod.rs"]
mod guest;

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use guest::Scratch;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

const ROWS: usize = 40;
const COLUMNS: usize = 132;

/// The debugger, and what its screen shows.
struct Debugger {
    child: Child,
    master: File,
    received: Vec<u8>,
}

impl Debugger {
    fn start(scratch: &Scratch, program: &str) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = PathBuf::from(ptsname(&master, Vec::new()).unwrap().into_string().unwrap());
        let size = Winsize { ws_row: ROWS as u16, ws_col: COLUMNS as u16, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).unwrap();
        let streams = OpenOptions::new().read(true).write(true).open(&name).unwrap();
        let stream = || Stdio::from(streams.try_clone().unwrap());
        let child = Command::new(env!("CARGO_BIN_EXE_pentimento"))
            .args(["debug", "--seed", "1", program])
            .current_dir(scratch.path())
            .env("TERM", "xterm")
            .stdin(stream())
            .stdout(stream())
            .stderr(stream())
            .spawn()
            .unwrap();
        Self { child, master: File::from(master), received: Vec::new() }
    }

    fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// The screen once it shows all of `parts`.
    fn expect(&mut self, parts: &[&str]) -> String {
        let start = Instant::now();
        loop {
            let screen = screen(&self.received);
            let Some(missing) = parts.iter().find(|part| !screen.contains(**part)) else { return screen };
            assert!(start.elapsed() < Duration::from_secs(30), "'{missing}' does not come:\n{screen}");
            let timeout = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
            if poll(&mut [PollFd::new(&self.master, PollFlags::IN)], Some(&timeout)).unwrap() > 0 {
                let mut buffer = [0; 65_536];
                let read = self.master.read(&mut buffer).unwrap_or(0);
                self.received.extend_from_slice(&buffer[..read]);
            }
        }
    }
}

impl Drop for Debugger {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a terminal shows that has received these bytes: cursor positions (CUP) and text, as the debugger's
/// library prints them.
fn screen(received: &[u8]) -> String {
    let mut cells = vec![vec![' '; COLUMNS]; ROWS];
    let (mut row, mut column) = (0, 0);
    let text = String::from_utf8_lossy(received).into_owned();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\x1b' {
            if character >= ' ' && row < ROWS && column < COLUMNS {
                cells[row][column] = character;
                column += 1;
            }
            continue;
        }
        if characters.next() != Some('[') {
            continue;
        }
        let mut parameters = String::new();
        let end = characters.by_ref().find(|character| {
            parameters.push(*character);
            ('\x40'..='\x7e').contains(character)
        });
        if end == Some('H') {
            let numbers = parameters.trim_end_matches('H');
            let (first, second) = numbers.split_once(';').unwrap_or((numbers, ""));
            row = first.parse::<usize>().unwrap_or(1) - 1;
            column = second.parse::<usize>().unwrap_or(1) - 1;
        } else if end == Some('J') {
            cells.iter_mut().for_each(|row| row.fill(' '));
        }
    }
    cells.iter().map(|row| row.iter().collect::<String>() + "\n").collect()
}

#[test]
fn a_program_is_stepped_run_and_taken_back() {
    let scratch = Scratch::new();
    let hello = format!("{}/../../fixtures/programs/hello", env!("CARGO_MANIFEST_DIR"));
    scratch.program("hello", &std::fs::read(hello).unwrap());
    let mut debugger = Debugger::start(&scratch, "hello");
    let panes =
        ["registers", "stack", "memory", "system calls", "output", "flags:", "at the start", "q quit"];
    debugger.expect(&panes);
    debugger.expect(&["hello, 0 instructions", "> 08048054  b804000000", "mov eax,4", "eax 00000000 "]);
    debugger.press("s");
    debugger.expect(&["hello, 1 instructions", "> 08048059", "eax 00000004!", "eip 08048059!", "stepped"]);
    debugger.press("b");
    debugger.expect(&["hello, 0 instructions", "eax 00000000!", "back"]);
    debugger.press("c");
    debugger.expect(&["hello, 8 instructions", "exit code 0", "Hello, world!", "write(1, "]);
    debugger.press("bbb");
    debugger.expect(&["hello, 5 instructions", "> 0804806a", "write(1, "]);
    debugger.press("k");
    debugger.expect(&["*> 0804806a", "breakpoint 0x0804806a set"]);
    debugger.press("r");
    let start = debugger.expect(&["hello, 0 instructions", "at the start"]);
    assert!(!start.contains("write(1, "), "calls are undone:\n{start}");
    debugger.press("c");
    debugger.expect(&["hello, 5 instructions", "breakpoint", "write(1, "]);
    debugger.press("m8048073\r");
    debugger.expect(&["08048070  db cd 80 48 65", "...Hello, world!"]);
    debugger.press("q");
    assert_eq!(debugger.child.wait().unwrap().code(), Some(0));
}
