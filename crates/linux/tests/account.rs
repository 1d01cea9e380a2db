//! One account a machine: whatever a guest piles up ends at the limit, and with it what the host holds.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

mod guest;

use guest::{DATA, Guest};
use pentimento_linux::{Config, Errno, Limits, Next, TaskId};

const FORK: u32 = 2;
const WRITE: u32 = 4;
const OPEN: u32 = 5;
const CLOSE: u32 = 6;
const UNLINK: u32 = 10;
const EXECVE: u32 = 11;
const DUP2: u32 = 63;
const KILL: u32 = 37;
const MKDIR: u32 = 39;
const PIPE: u32 = 42;
const FCNTL: u32 = 55;
const SETRLIMIT: u32 = 75;
const FTRUNCATE: u32 = 93;
const CLONE: u32 = 120;
const PWRITE: u32 = 181;
const MMAP2: u32 = 192;
const EPOLL_CREATE: u32 = 254;
const TIMER_CREATE: u32 = 259;
const SOCKETPAIR: u32 = 360;

const TOTAL: u64 = 48 << 20;
const RLIMIT_NOFILE: u32 = 7;
/// A thread's clone(2) flags: memory, files, handlers, the process itself.
const THREAD: u32 = 0x1_0f00;

struct Fixture {
    guest: Guest,
    task: TaskId,
}

impl Fixture {
    fn new() -> Self {
        let limits = Limits {
            total_memory: TOTAL,
            descriptors: 1 << 20,
            tasks: 1 << 20,
            processes: 1 << 20,
            ..Limits::default()
        };
        let mut guest = Guest::with(Config { limits, ..Config::default() });
        let task = guest.running();
        guest.poke(task, DATA, &[1 << 20, 1 << 20]);
        guest.call(task, SETRLIMIT, &[RLIMIT_NOFILE, DATA]).unwrap();
        Self { guest, task }
    }

    fn call(&mut self, number: u32, arguments: &[u32]) -> Result<u32, Errno> {
        self.guest.call(self.task, number, arguments)
    }

    fn poke(&mut self, words: &[u32]) {
        self.guest.poke(self.task, DATA, words);
    }

    /// The address of a path.
    fn path(&mut self, path: &str) -> u32 {
        let bytes = [path.as_bytes(), b"\0"].concat();
        self.guest.kernel.parts(self.task).unwrap().memory.write_bytes(DATA + 1024, &bytes).unwrap();
        DATA + 1024
    }

    fn file(&mut self, path: &str) -> u32 {
        let path = self.path(path);
        self.call(OPEN, &[path, 0o102, 0o700]).unwrap()
    }

    fn check_held(&mut self, what: &str) {
        let held = self.guest.kernel.held_memory();
        assert!(held <= TOTAL + TOTAL / 10, "{what}: {held} bytes");
    }
}

/// Has `once` called until it is refused, which must happen, and that with one of `errnos`.
fn pile_up(what: &str, errnos: &[Errno], mut once: impl FnMut(&mut Fixture, u32) -> Result<u32, Errno>) {
    let mut fixture = Fixture::new();
    for index in 0..2_000_000 {
        if let Err(errno) = once(&mut fixture, index) {
            assert!(errnos.contains(&errno), "{what}: {errno} after {index}");
            let held = fixture.guest.kernel.held_memory();
            assert!(held >= TOTAL / 4, "{what}: refused at {held} bytes");
            fixture.check_held(what);
            return;
        }
    }
    panic!("{what}: there is no end");
}

#[test]
fn kernel_objects_end_at_the_account() {
    pile_up("pipes", &[Errno::ENFILE], |fixture, _| fixture.call(PIPE, &[DATA]));
    pile_up("sockets", &[Errno::ENFILE, Errno::ENOMEM], |fixture, _| {
        fixture.call(SOCKETPAIR, &[1, 1, 0, DATA])
    });
    pile_up("sets", &[Errno::ENFILE], |fixture, _| fixture.call(EPOLL_CREATE, &[1]));
    pile_up("threads", &[Errno::EAGAIN, Errno::ENOMEM], |fixture, _| fixture.call(CLONE, &[THREAD, DATA]));
    pile_up("processes", &[Errno::EAGAIN, Errno::ENOMEM], |fixture, _| fixture.call(FORK, &[]));
    pile_up("tables", &[Errno::ENOMEM, Errno::EAGAIN], |fixture, _| {
        fixture.call(DUP2, &[0, 500_000])?;
        fixture.call(FORK, &[])
    });
}

#[test]
fn names_and_content_end_at_the_account() {
    pile_up("directories", &[Errno::ENOSPC], |fixture, index| {
        let path = fixture.path(&format!("/tmp/{index}-{}", "n".repeat(200)));
        fixture.call(MKDIR, &[path, 0o755])
    });
    pile_up("content", &[Errno::ENOSPC], |fixture, index| {
        if index == 0 {
            fixture.file("/tmp/file");
        }
        fixture.call(PWRITE, &[3, DATA, 4096, index * 4096, 0])
    });
    let mut fixture = Fixture::new();
    let file = fixture.file("/tmp/file");
    for index in 0..100_000 {
        // What goes makes room for what comes, however often.
        fixture.call(PWRITE, &[file, DATA, 4096, (index % 500) * 4096, 0]).unwrap();
    }
    fixture.check_held("writing again");
    let path = fixture.path("/tmp/file");
    for index in 0..200_000 {
        let path = if index % 2 == 0 { fixture.path("/tmp/other") } else { path };
        let file = fixture.call(OPEN, &[path, 0o1102, 0o600]).unwrap();
        fixture.call(CLOSE, &[file]).unwrap();
        fixture.call(UNLINK, &[path]).unwrap();
    }
    fixture.check_held("made and removed");
}

#[test]
fn memory_ends_at_the_account() {
    pile_up("mappings", &[Errno::ENOMEM], |fixture, index| {
        fixture.call(MMAP2, &[0, 4096, 1 + 2 * (index % 2), 0x22, u32::MAX, 0])
    });
    pile_up("tables of pages", &[Errno::ENOMEM, Errno::EAGAIN], |fixture, _| {
        fixture.call(MMAP2, &[0, 512 << 20, 3, 0x22, u32::MAX, 0]).ok();
        fixture.call(FORK, &[])
    });
    pile_up("written pages", &[Errno::EFAULT], |fixture, index| {
        if index == 0 {
            let at = fixture.call(MMAP2, &[0, 256 << 20, 3, 0x22, u32::MAX, 0])?;
            fixture.poke(&[at]);
        }
        let at = fixture.guest.peek(fixture.task, DATA) + 4096 * index;
        let task = fixture.task;
        fixture.guest.start(task, 174, &[10, 0, at, 8]);
        fixture.guest.result(task)
    });
    pile_up("shared pages", &[Errno::EFAULT], |fixture, index| {
        if index == 0 {
            let at = fixture.call(MMAP2, &[0, 256 << 20, 3, 0x21, u32::MAX, 0])?;
            fixture.poke(&[at]);
        }
        let at = fixture.guest.peek(fixture.task, DATA) + 4096 * index;
        fixture.call(174, &[10, 0, at, 8])
    });
}

#[test]
fn what_waits_ends_at_the_account() {
    pile_up("timers", &[Errno::EAGAIN], |fixture, index| {
        if index % 100_000 == 99_999 {
            // A process has no more; another one has as many again.
            let number = fixture.call(FORK, &[])?;
            fixture.task = fixture.guest.kernel.tasks().find(|task| task.number() == number).unwrap();
        }
        fixture.poke(&[0, 10, 1, 0]);
        fixture.call(TIMER_CREATE, &[1, DATA, DATA + 64])
    });
    const SIG_BLOCK_RT: u32 = 175;
    let mut fixture = Fixture::new();
    fixture.poke(&[0, u32::MAX]);
    fixture.call(SIG_BLOCK_RT, &[0, DATA, 0, 8]).unwrap();
    let own = fixture.task.number();
    for _ in 0..300_000 {
        fixture.call(KILL, &[own, 40]).unwrap();
    }
    fixture.check_held("signals");
    pile_up("locks", &[Errno::ENOLCK], |fixture, index| {
        if index == 0 {
            fixture.file("/tmp/locked");
        }
        fixture.poke(&[1, 2 * index, 0, 1, 0, 0]);
        fixture.call(FCNTL, &[3, 13, DATA])
    });
}

#[test]
fn bytes_on_their_way_end_at_the_account() {
    let mut fixture = Fixture::new();
    let mut written = 0_u64;
    for _ in 0..3000 {
        fixture.call(PIPE, &[DATA]).unwrap();
        let writes = fixture.guest.peek(fixture.task, DATA + 4);
        // O_NONBLOCK, as large as pipes get.
        fixture.call(FCNTL, &[writes, 4, 0o4001]).unwrap();
        fixture.call(FCNTL, &[writes, 1031, 1 << 20]).unwrap();
        while let Ok(more) = fixture.call(WRITE, &[writes, DATA, 4096]) {
            written += u64::from(more);
        }
    }
    assert!(written >= TOTAL / 8, "{written} bytes");
    fixture.check_held("pipes");
}

#[test]
fn a_sparse_program_costs_what_is_in_it() {
    let mut fixture = Fixture::new();
    let file = fixture.file("/tmp/program");
    fixture.call(WRITE, &[file, DATA, 4096]).unwrap();
    fixture.call(FTRUNCATE, &[file, i32::MAX as u32]).unwrap();
    fixture.call(CLOSE, &[file]).unwrap();
    let path = fixture.path("/tmp/program");
    fixture.poke(&[0]);
    assert_eq!(fixture.call(EXECVE, &[path, DATA, DATA]), Err(Errno::ENOEXEC));
    fixture.check_held("a sparse program");
    let file = fixture.call(OPEN, &[path, 0]).unwrap();
    fixture.call(MMAP2, &[0, 1 << 30, 3, 2, file, 0]).unwrap();
    fixture.check_held("a sparse mapping");
}

#[test]
fn what_ends_makes_room() {
    let mut fixture = Fixture::new();
    for round in 0..20 {
        let number = fixture.call(FORK, &[]).unwrap();
        let child = fixture.guest.kernel.tasks().find(|task| task.number() == number).unwrap();
        fixture.guest.until(child);
        let at = fixture.guest.call(child, MMAP2, &[0, 32 << 20, 3, 0x22, u32::MAX, 0]).unwrap();
        for page in 0..8000 {
            let at = at + 4096 * page;
            let memory = fixture.guest.kernel.parts(child).unwrap().memory;
            assert!(memory.write(at, 1_u32).is_ok(), "round {round}, page {page}");
        }
        fixture.check_held("a child");
        fixture.guest.start(child, 252, &[0]);
        assert!(matches!(fixture.guest.kernel.schedule(), Next::Run { .. }));
        let task = fixture.task;
        fixture.guest.until(task);
        fixture.call(114, &[u32::MAX, 0, 0, 0]).unwrap();
    }
}
