//! What the kernel does between two looks at the host's wish to stop, counted in looks and not in time.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

mod guest;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use guest::{DATA, Guest};
use pentimento_linux::host::StopRequest;
use pentimento_linux::{Config, Errno, Limits, Next, TaskId};

const READ: u32 = 3;
const WRITE: u32 = 4;
const OPEN: u32 = 5;
const PIPE: u32 = 42;
const DUP2: u32 = 63;
const SETRLIMIT: u32 = 75;
const POLL: u32 = 168;
const MUNMAP: u32 = 91;
const FTRUNCATE: u32 = 93;
const MPROTECT: u32 = 125;
const MSYNC: u32 = 144;
const MLOCK: u32 = 150;
const MUNLOCK: u32 = 151;
const MREMAP: u32 = 163;
const MADVISE: u32 = 219;
const RT_SIGACTION: u32 = 174;
const NANOSLEEP: u32 = 162;
const MMAP2: u32 = 192;
const EPOLL_CREATE: u32 = 254;
const EPOLL_CTL: u32 = 255;
const EPOLL_WAIT: u32 = 256;
const TIMER_CREATE: u32 = 259;
const TIMER_SETTIME: u32 = 260;
const TIMER_GETOVERRUN: u32 = 262;
const PROCESS_VM_READV: u32 = 347;

const RLIMIT_NOFILE: u32 = 7;
const POLLIN: u32 = 1;
const MREMAP_MAYMOVE: u32 = 1;
const MREMAP_FIXED: u32 = 2;
const MADV_DONTNEED: u32 = 4;

/// Counts looks, and wants the machine to stop from one of them on.
#[derive(Clone, Default)]
struct Watch(Arc<Counts>);

#[derive(Default)]
struct Counts {
    looks: AtomicU64,
    /// The look from which on there is a request; 0 for none.
    stop_at: AtomicU64,
}

impl StopRequest for Watch {
    fn is_requested(&self) -> bool {
        let look = self.0.looks.fetch_add(1, Ordering::Relaxed) + 1;
        let stop_at = self.0.stop_at.load(Ordering::Relaxed);
        stop_at != 0 && look >= stop_at
    }
}

impl Watch {
    fn looks(&self) -> u64 {
        self.0.looks.load(Ordering::Relaxed)
    }

    /// Wants the machine to stop at the `ahead`th look from now, 1 for the next; 0 withdraws the wish.
    fn stop(&self, ahead: u64) {
        let at = if ahead == 0 { 0 } else { self.looks() + ahead };
        self.0.stop_at.store(at, Ordering::Relaxed);
    }
}

struct Fixture {
    guest: Guest,
    task: TaskId,
    watch: Watch,
}

impl Fixture {
    fn new() -> Self {
        let limits = Limits { descriptors: 1 << 20, ..Limits::default() };
        let mut guest = Guest::with(Config { limits, ..Config::default() });
        let watch = Watch::default();
        guest.kernel.heed(Box::new(watch.clone()));
        let task = guest.running();
        guest.poke(task, DATA, &[1 << 20, 1 << 20]);
        assert_eq!(guest.call(task, SETRLIMIT, &[RLIMIT_NOFILE, DATA]), Ok(0));
        Self { guest, task, watch }
    }

    fn call(&mut self, number: u32, arguments: &[u32]) -> Result<u32, Errno> {
        self.guest.call(self.task, number, arguments)
    }

    fn memory(&mut self, length: u32) -> u32 {
        self.call(MMAP2, &[0, length, 3, 0x22, u32::MAX, 0]).unwrap()
    }

    fn open(&mut self, path: &str) -> u32 {
        self.open_with(path, 2)
    }

    fn open_with(&mut self, path: &str, flags: u32) -> u32 {
        let bytes = [path.as_bytes(), b"\0"].concat();
        self.guest.kernel.parts(self.task).unwrap().memory.write_bytes(DATA, &bytes).unwrap();
        self.call(OPEN, &[DATA, flags, 0o600]).unwrap()
    }

    fn pipe(&mut self) -> (u32, u32) {
        self.call(PIPE, &[DATA]).unwrap();
        (self.guest.peek(self.task, DATA), self.guest.peek(self.task, DATA + 4))
    }

    fn watch_file(&mut self, set: u32, file: u32) -> Result<u32, Errno> {
        let task = self.task;
        self.guest.poke(task, DATA, &[POLLIN, file, 0]);
        self.call(EPOLL_CTL, &[set, 1, file, DATA])
    }

    /// Looks while a call runs that nobody wants to stop, and its result.
    fn looks_during(&mut self, number: u32, arguments: &[u32]) -> (u64, Result<u32, Errno>) {
        let before = self.watch.looks();
        let result = self.call(number, arguments);
        (self.watch.looks() - before, result)
    }

    /// Makes a call that is interrupted at every look, and says how often it was until it came to its
    /// end, and how.
    fn interrupted(&mut self, number: u32, arguments: &[u32]) -> (u32, Result<u32, Errno>) {
        self.watch.stop(1);
        self.guest.start(self.task, number, arguments);
        for pauses in 0..1000 {
            // The host goes on, and wants it to stop again at the next look within the call.
            self.watch.stop(0);
            let looks = self.watch.looks();
            self.watch.stop(4);
            match self.guest.kernel.schedule() {
                Next::Run { task, .. } if task == self.task => {
                    self.watch.stop(0);
                    return (pauses, self.guest.result(self.task));
                }
                Next::Idle => assert!(self.watch.looks() - looks < 20, "the host waits for no call"),
                other => panic!("{other:?}"),
            }
        }
        panic!("the call never ends");
    }
}

#[test]
fn polling_looks_up_between_a_thousand_entries_and_names_a_channel_once() {
    let mut fixture = Fixture::new();
    let (reads, _) = fixture.pipe();
    const ENTRIES: u32 = 1 << 18;
    let array = fixture.memory(ENTRIES * 8);
    let task = fixture.task;
    for entry in 0..ENTRIES {
        fixture.guest.poke(task, array + 8 * entry, &[reads, POLLIN]);
    }
    let (looks, result) = fixture.looks_during(POLL, &[array, ENTRIES, 0]);
    assert_eq!(result, Ok(0));
    assert!(looks >= u64::from(ENTRIES) / 1024, "{looks} looks");
    let (pauses, result) = fixture.interrupted(POLL, &[array, ENTRIES, 0]);
    assert!(pauses > 3, "paused {pauses} times");
    assert_eq!(result, Ok(0));
}

#[test]
fn long_transfers_are_cut_and_still_whole() {
    let mut fixture = Fixture::new();
    const LENGTH: u32 = 64 << 20;
    let (from, to) = (fixture.memory(LENGTH), fixture.memory(LENGTH));
    let task = fixture.task;
    fixture.guest.poke(task, from + LENGTH - 4, &[0x1234_5678]);
    let zero = fixture.open("/dev/zero");
    let null = fixture.open("/dev/null");
    for (number, arguments) in [(READ, [zero, to, LENGTH]), (WRITE, [null, from, LENGTH])] {
        let (looks, result) = fixture.looks_during(number, &arguments);
        assert_eq!(result, Ok(LENGTH));
        assert!(looks >= u64::from(LENGTH >> 20), "{looks} looks");
        let (pauses, result) = fixture.interrupted(number, &arguments);
        assert!(pauses > 3, "paused {pauses} times");
        assert_eq!(result, Ok(LENGTH));
    }
    fixture.guest.poke(task, DATA, &[to, LENGTH, from, LENGTH]);
    let own = task.number();
    let (pauses, result) = fixture.interrupted(PROCESS_VM_READV, &[own, DATA, 1, DATA + 8, 1, 0]);
    assert!(pauses > 3, "paused {pauses} times");
    assert_eq!(result, Ok(LENGTH));
    assert_eq!(fixture.guest.peek(task, to + LENGTH - 4), 0x1234_5678);
}

#[test]
fn a_net_of_epoll_sets_is_walked_once() {
    let mut fixture = Fixture::new();
    const WIDTH: u32 = 40;
    let (reads, writes) = fixture.pipe();
    let mut below: Vec<u32> = vec![reads];
    for _ in 0..4 {
        let layer: Vec<u32> = (0..WIDTH).map(|_| fixture.call(EPOLL_CREATE, &[1]).unwrap()).collect();
        for set in &layer {
            for file in &below {
                assert_eq!(fixture.watch_file(*set, *file), Ok(0));
            }
        }
        below = layer;
    }
    // Every path would be 2.5 million of them; every edge is 4,840.
    let (looks, result) = fixture.looks_during(EPOLL_WAIT, &[below[0], DATA, 4, 0]);
    assert_eq!(result, Ok(0));
    assert!(looks < 10, "{looks} looks");
    assert_eq!(fixture.call(WRITE, &[writes, DATA, 1]), Ok(1));
    assert_eq!(fixture.call(EPOLL_WAIT, &[below[0], DATA, 4, 0]), Ok(4));
}

#[test]
fn sets_are_nested_five_deep_from_wherever_they_are_joined() {
    let mut fixture = Fixture::new();
    let sets: Vec<u32> = (0..1000).map(|_| fixture.call(EPOLL_CREATE, &[1]).unwrap()).collect();
    // From the top down, each new set below those that are there.
    let results: Vec<_> = sets.windows(2).map(|pair| fixture.watch_file(pair[0], pair[1])).collect();
    assert_eq!(results[..4], [Ok(0); 4]);
    assert_eq!(results[4], Err(Errno::ELOOP));
    assert_eq!(fixture.watch_file(sets[4], sets[0]), Err(Errno::ELOOP), "a circle");
}

#[test]
fn what_an_ended_process_left_open_is_closed_piece_by_piece() {
    let mut fixture = Fixture::new();
    let (reads, writes) = fixture.pipe();
    const FORK: u32 = 2;
    const EXIT_GROUP: u32 = 252;
    const CLOSE: u32 = 6;
    for fd in 0..20_000 {
        fixture.call(DUP2, &[writes, 10 + fd]).unwrap();
    }
    let number = fixture.call(FORK, &[]).unwrap();
    let child = fixture.guest.kernel.tasks().find(|task| task.number() == number).unwrap();
    fixture.guest.until(child);
    fixture.guest.start(child, EXIT_GROUP, &[0]);
    let before = fixture.watch.looks();
    fixture.watch.stop(2);
    assert_eq!(fixture.guest.kernel.schedule(), Next::Idle);
    assert!(fixture.watch.looks() - before < 10);
    fixture.watch.stop(0);
    let task = fixture.task;
    fixture.guest.until(task);
    for fd in 0..20_000 {
        fixture.call(CLOSE, &[10 + fd]).unwrap();
    }
    fixture.call(CLOSE, &[writes]).unwrap();
    assert_eq!(fixture.call(READ, &[reads, DATA, 1]), Ok(0), "nobody has the other end any more");
}

#[test]
fn timers_of_a_nanosecond_cost_nothing_while_nobody_takes_their_signals() {
    let mut fixture = Fixture::new();
    let task = fixture.task;
    const USR1: u32 = 10;
    const IGNORE: u32 = 1;
    fixture.guest.poke(task, DATA, &[IGNORE, 0, 0, 0, 0]);
    fixture.call(RT_SIGACTION, &[USR1, DATA, 0, 8]).unwrap();
    for _ in 0..100 {
        fixture.guest.poke(task, DATA, &[0, USR1, 0, 0]);
        fixture.call(TIMER_CREATE, &[1, DATA, DATA + 64]).unwrap();
        let timer = fixture.guest.peek(task, DATA + 64);
        fixture.guest.poke(task, DATA, &[0, 1, 0, 1]);
        fixture.call(TIMER_SETTIME, &[timer, 0, DATA, 0]).unwrap();
    }
    let mut turns = 0;
    let mut left: u64 = 3_000_000;
    while left > 0 {
        match fixture.guest.kernel.schedule() {
            Next::Run { task, quantum, .. } => {
                let executed = quantum.min(left);
                fixture.guest.kernel.retire(task, executed);
                left -= executed;
            }
            other => panic!("{other:?}"),
        }
        turns += 1;
    }
    assert!(turns < 300, "{turns} turns");
    // Once somebody wants the signal, it comes, and tells what was missed.
    fixture.guest.poke(task, DATA, &[0x0804_8100, 4, 0, 0, 0]);
    fixture.call(RT_SIGACTION, &[USR1, DATA, 0, 8]).unwrap();
    fixture.guest.running();
    assert_eq!(fixture.guest.kernel.parts(task).unwrap().cpu.eip, 0x0804_8100, "in the handler");
    assert!(fixture.call(TIMER_GETOVERRUN, &[0]).unwrap() > 1_000_000);
}

#[test]
fn a_sleep_among_many_timers_takes_one_turn() {
    let mut fixture = Fixture::new();
    let task = fixture.task;
    for _ in 0..10_000 {
        // SIGEV_NONE, far away, set twice: nothing of the first setting stays.
        fixture.guest.poke(task, DATA, &[0, 10, 1, 0]);
        fixture.call(TIMER_CREATE, &[1, DATA, DATA + 64]).unwrap();
        let timer = fixture.guest.peek(task, DATA + 64);
        for seconds in [1000, 2000] {
            fixture.guest.poke(task, DATA, &[0, 0, seconds, 0]);
            fixture.call(TIMER_SETTIME, &[timer, 0, DATA, 0]).unwrap();
        }
    }
    fixture.guest.poke(task, DATA, &[0, 1]);
    fixture.guest.start(task, NANOSLEEP, &[DATA, 0]);
    assert!(matches!(fixture.guest.kernel.schedule(), Next::Run { .. }));
    assert_eq!(fixture.guest.result(task), Ok(0));
}

/// Bytes of a long range, all of whose pages are there.
const DENSE: u32 = 64 << 20;

impl Fixture {
    /// Pages of [`DENSE`] bytes, each with a word of its own.
    fn dense_memory(&mut self) -> u32 {
        let start = self.memory(DENSE);
        self.mark(start, DENSE);
        start
    }

    fn mark(&mut self, start: u32, length: u32) {
        for offset in (0..length).step_by(4096) {
            self.guest.poke(self.task, start + offset, &[offset + 1]);
        }
    }

    fn is_marked(&mut self, start: u32, length: u32) -> bool {
        (0..length).step_by(4096).all(|offset| self.guest.peek(self.task, start + offset) == offset + 1)
    }

    /// Makes a call that is interrupted at every look, which it must be, and must succeed.
    fn cut(&mut self, number: u32, arguments: &[u32]) -> u32 {
        let (pauses, result) = self.interrupted(number, arguments);
        assert!(pauses > 1, "call {number} was paused {pauses} times");
        result.unwrap()
    }
}

#[test]
fn calls_on_long_ranges_of_memory_are_cut_and_still_whole() {
    let mut fixture = Fixture::new();
    let start = fixture.dense_memory();
    fixture.cut(MPROTECT, &[start, DENSE, 1]);
    fixture.cut(MPROTECT, &[start, DENSE, 3]);
    assert!(fixture.is_marked(start, DENSE));
    let moved = fixture.cut(MREMAP, &[start, DENSE, DENSE + 4096, MREMAP_MAYMOVE]);
    assert!(moved != start && fixture.is_marked(moved, DENSE));
    assert_eq!(fixture.call(MLOCK, &[start, 4096]), Err(Errno::ENOMEM), "nothing stays behind");
    let target = fixture.dense_memory();
    fixture.guest.poke(fixture.task, target + DENSE - 4096, &[7]);
    let flags = MREMAP_MAYMOVE | MREMAP_FIXED;
    assert_eq!(fixture.cut(MREMAP, &[moved, DENSE / 2, DENSE / 2, flags, target]), target);
    assert!(fixture.is_marked(target, DENSE / 2));
    assert_eq!(fixture.guest.peek(fixture.task, target + DENSE - 4096), 7, "what is behind stays");
    fixture.cut(MADVISE, &[target, DENSE, MADV_DONTNEED]);
    assert_eq!(fixture.guest.peek(fixture.task, target), 0);
    fixture.mark(target, DENSE);
    assert_eq!(fixture.cut(MMAP2, &[target, DENSE, 3, 0x32, u32::MAX, 0]), target);
    assert_eq!(fixture.guest.peek(fixture.task, target + DENSE - 4096), 0);
    fixture.mark(target, DENSE);
    fixture.cut(MUNMAP, &[target, DENSE]);
    assert_eq!(fixture.call(MLOCK, &[target, 4096]), Err(Errno::ENOMEM));
}

#[test]
fn calls_on_many_areas_are_cut() {
    let mut fixture = Fixture::new();
    let start = fixture.memory(DENSE);
    for offset in (0..DENSE).step_by(8192) {
        fixture.call(MPROTECT, &[start + offset, 4096, 1]).unwrap();
    }
    fixture.cut(MLOCK, &[start, DENSE]);
    fixture.cut(MADVISE, &[start, DENSE, 0]);
    fixture.cut(MSYNC, &[start, DENSE, 4]);
    fixture.cut(MUNLOCK, &[start, DENSE]);
    fixture.cut(MADVISE, &[start, DENSE, MADV_DONTNEED]);
    let buffer = fixture.memory(4 << 20);
    let mut texts = Vec::new();
    for cut in [false, true] {
        let maps = fixture.open_with("/proc/self/maps", 0);
        let arguments = [maps, buffer, 4 << 20];
        let length =
            if cut { fixture.cut(READ, &arguments) } else { fixture.call(READ, &arguments).unwrap() };
        let mut text = vec![0; length as usize];
        fixture.guest.kernel.parts(fixture.task).unwrap().memory.read_bytes(buffer, &mut text).unwrap();
        texts.push(String::from_utf8(text).unwrap());
    }
    assert!(texts[0].lines().count() > (DENSE / 4096) as usize);
    assert!(texts[0] == texts[1], "a text that is cut says the same");
    fixture.cut(MPROTECT, &[start, DENSE, 3]);
}

#[test]
fn a_long_file_is_written_back_in_pieces() {
    let mut fixture = Fixture::new();
    let file = fixture.open_with("/tmp/long", 0o102);
    fixture.call(FTRUNCATE, &[file, DENSE]).unwrap();
    let start = fixture.call(MMAP2, &[0, DENSE, 3, 1, file, 0]).unwrap();
    fixture.mark(start, DENSE);
    fixture.cut(MSYNC, &[start, DENSE, 4]);
    fixture.call(MUNMAP, &[start, DENSE]).unwrap();
    let again = fixture.call(MMAP2, &[0, DENSE, 1, 2, file, 0]).unwrap();
    assert!(fixture.is_marked(again, DENSE));
}
