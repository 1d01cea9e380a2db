//! What one more costs when there are very many already: of the last hundred operations each may take three
//! times as long as of the first.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

mod guest;

use std::time::{Duration, Instant};

use guest::{DATA, Guest};
use pentimento_linux::{Config, Limits, TaskId};

const OPEN: u32 = 5;
const PIPE: u32 = 42;
const FCNTL: u32 = 55;
const DUP: u32 = 41;
const DUP2: u32 = 63;
const CLOSE: u32 = 6;
const SETRLIMIT: u32 = 75;
const MUNMAP: u32 = 91;
const MMAP2: u32 = 192;
const TIMER_CREATE: u32 = 259;
const TIMER_SETTIME: u32 = 260;

const RLIMIT_NOFILE: u32 = 7;

struct Fixture {
    guest: Guest,
    task: TaskId,
}

impl Fixture {
    fn new() -> Self {
        let limits = Limits { descriptors: 1 << 20, ..Limits::default() };
        let mut guest = Guest::with(Config { limits, ..Config::default() });
        let task = guest.running();
        guest.poke(task, DATA, &[1 << 20, 1 << 20]);
        guest.call(task, SETRLIMIT, &[RLIMIT_NOFILE, DATA]).unwrap();
        Self { guest, task }
    }

    fn call(&mut self, number: u32, arguments: &[u32]) -> u32 {
        self.guest.call(self.task, number, arguments).unwrap()
    }

    fn poke(&mut self, words: &[u32]) {
        self.guest.poke(self.task, DATA, words);
    }
}

/// The least time of several hundreds of operations from `first` on, so that what else the host does does
/// not count.
fn hundred(first: u32, mut operation: impl FnMut(u32)) -> Duration {
    let hundreds = (0..5).map(|round| {
        let begun = Instant::now();
        (first + round * 100..first + round * 100 + 100).for_each(&mut operation);
        begun.elapsed()
    });
    hundreds.min().unwrap()
}

/// Makes `count` of something by `operation`, and compares.
fn check(what: &str, count: u32, mut operation: impl FnMut(u32)) {
    let early = hundred(100, &mut operation);
    (600..count - 500).for_each(&mut operation);
    let late = hundred(count - 500, &mut operation);
    assert!(late <= early * 3, "{what}: a hundred took {early:?} at first, {late:?} among {count}");
}

#[test]
fn descriptors() {
    let mut fixture = Fixture::new();
    check("dup", 100_000, |_| {
        fixture.call(DUP, &[0]);
    });
    // A hole far below the end is found as fast.
    check("close and dup2", 100_000, |index| {
        fixture.call(CLOSE, &[50 + index / 2]);
        assert_eq!(fixture.call(DUP, &[0]), 50 + index / 2);
        fixture.call(DUP2, &[0, 60 + index / 2]);
    });
    let mut fixture = Fixture::new();
    check("pipe", 50_000, |_| {
        fixture.call(PIPE, &[DATA]);
    });
}

#[test]
fn locks() {
    const F_SETLK64: u32 = 13;
    let mut fixture = Fixture::new();
    fixture.guest.kernel.parts(fixture.task).unwrap().memory.write_bytes(DATA, b"/tmp/locked\0").unwrap();
    let file = fixture.call(OPEN, &[DATA, 0o102, 0o600]);
    check("fcntl", 100_000, |index| {
        // struct flock64: type F_WRLCK, from the start, one byte of two.
        fixture.poke(&[1, 2 * index, 0, 1, 0, 0]);
        fixture.call(FCNTL, &[file, F_SETLK64, DATA]);
    });
}

#[test]
fn mappings() {
    let mut fixture = Fixture::new();
    check("mmap", 262_144, |index| {
        // Neighbours that differ are not joined.
        fixture.call(MMAP2, &[0, 4096, 1 + 2 * (index % 2), 0x22, u32::MAX, 0]);
    });
    let first = fixture.call(MMAP2, &[0, 4096, 1, 0x22, u32::MAX, 0]);
    check("mmap into a hole", 100_000, |index| {
        let hole = first + 4096 * (1000 + index);
        fixture.call(MUNMAP, &[hole, 4096]);
        assert_eq!(fixture.call(MMAP2, &[0, 4096, 1, 0x22, u32::MAX, 0]), hole);
    });
}

#[test]
fn timers() {
    let mut fixture = Fixture::new();
    check("timer", 100_000, |index| {
        fixture.poke(&[0, 10, 0, 0]);
        fixture.call(TIMER_CREATE, &[1, DATA, DATA + 64]);
        let timer = fixture.guest.peek(fixture.task, DATA + 64);
        fixture.poke(&[0, 0, 1000 + index % 7, index]);
        fixture.call(TIMER_SETTIME, &[timer, 0, DATA, 0]);
    });
}
