//! What a machine may use, and what the guest is told at the limit.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

mod guest;

use guest::{DATA, Guest};
use pentimento_linux::{Config, Errno, Limits, Next, TaskId, Termination};

const FORK: u32 = 2;
const WRITE: u32 = 4;
const OPEN: u32 = 5;
const CREAT: u32 = 8;
const MKDIR: u32 = 39;
const BRK: u32 = 45;
const SETRLIMIT: u32 = 75;
const CLONE: u32 = 120;
const SETUID: u32 = 23;
const FTRUNCATE: u32 = 93;
const RT_SIGACTION: u32 = 174;
const MMAP2: u32 = 192;
const GETUID32: u32 = 199;
const GETEGID32: u32 = 202;

const RLIMIT_CPU: u32 = 0;
const RLIMIT_FSIZE: u32 = 1;
const RLIMIT_DATA: u32 = 2;
const RLIMIT_NPROC: u32 = 6;
const RLIMIT_NOFILE: u32 = 7;

/// A thread's clone(2) flags: memory, files, handlers, the process itself.
const THREAD: u32 = 0x1_0f00;

fn limited(limits: Limits) -> (Guest, TaskId) {
    let mut guest = Guest::with(Config { limits, ..Config::default() });
    let task = guest.running();
    guest.kernel.parts(task).unwrap().memory.write_bytes(DATA, b"/tmp/file\0").unwrap();
    (guest, task)
}

fn anonymous(guest: &mut Guest, task: TaskId, length: u32) -> Result<u32, Errno> {
    guest.call(task, MMAP2, &[0, length, 3, 0x22, u32::MAX, 0])
}

fn rlimit(guest: &mut Guest, task: TaskId, which: u32, soft: u32, hard: u32) -> Result<u32, Errno> {
    guest.poke(task, DATA + 64, &[soft, hard]);
    guest.call(task, SETRLIMIT, &[which, DATA + 64])
}

/// Calls until one fails; how many succeeded, and the error.
fn until_refused(mut call: impl FnMut() -> Result<u32, Errno>) -> (u32, Errno) {
    for count in 0..10_000 {
        if let Err(errno) = call() {
            return (count, errno);
        }
    }
    panic!("there is no limit");
}

#[test]
fn memory_is_refused_with_enomem() {
    let (mut guest, task) = limited(Limits { memory: 64 << 20, ..Limits::default() });
    let (count, errno) = until_refused(|| anonymous(&mut guest, task, 8 << 20));
    assert_eq!((count, errno), (7, Errno::ENOMEM));
}

#[test]
fn processes_and_threads_are_refused_with_eagain() {
    let (mut guest, task) = limited(Limits { processes: 5, ..Limits::default() });
    assert_eq!(until_refused(|| guest.call(task, FORK, &[])), (4, Errno::EAGAIN));
    let (mut guest, task) = limited(Limits { tasks: 5, ..Limits::default() });
    assert_eq!(until_refused(|| guest.call(task, CLONE, &[THREAD, DATA])), (4, Errno::EAGAIN));
}

#[test]
fn descriptors_are_refused_with_emfile_even_to_the_superuser() {
    let (mut guest, task) = limited(Limits { descriptors: 10, ..Limits::default() });
    assert_eq!(rlimit(&mut guest, task, RLIMIT_NOFILE, 100, 100), Err(Errno::EPERM));
    assert_eq!(until_refused(|| guest.call(task, OPEN, &[DATA, 0o102, 0o600])), (7, Errno::EMFILE));
}

#[test]
fn file_sizes_end_with_sigxfsz_and_efbig() {
    const SIGXFSZ: u8 = 25;
    const SIG_IGN: u32 = 1;
    let (mut guest, task) = limited(Limits { file_size: 10, ..Limits::default() });
    guest.poke(task, DATA + 128, &[SIG_IGN, 0, 0, 0, 0]);
    guest.call(task, RT_SIGACTION, &[SIGXFSZ.into(), DATA + 128, 0, 8]).unwrap();
    // Raising the limit does not raise the machine's.
    let _ = rlimit(&mut guest, task, RLIMIT_FSIZE, u32::MAX, u32::MAX);
    let file = guest.call(task, CREAT, &[DATA, 0o600]).unwrap();
    assert_eq!(guest.call(task, WRITE, &[file, DATA, 16]), Ok(10), "what fits");
    assert_eq!(guest.call(task, WRITE, &[file, DATA, 16]), Err(Errno::EFBIG));
    assert_eq!(guest.call(task, FTRUNCATE, &[file, 11]), Err(Errno::EFBIG));

    let (mut guest, task) = limited(Limits { file_size: 10, ..Limits::default() });
    let file = guest.call(task, CREAT, &[DATA, 0o600]).unwrap();
    guest.start(task, FTRUNCATE, &[file, 11]);
    assert_eq!(guest.kernel.schedule(), Next::Finished(Termination::Killed(SIGXFSZ)));
}

#[test]
fn room_for_files_ends_with_enospc() {
    let (mut guest, task) = limited(Limits { memory_files: 64 << 10, ..Limits::default() });
    let file = guest.call(task, CREAT, &[DATA, 0o600]).unwrap();
    let (count, errno) = until_refused(|| guest.call(task, WRITE, &[file, DATA, 4000]));
    assert!(errno == Errno::ENOSPC && count <= 17, "{count} times, {errno:?}");
    let (mut guest, task) = limited(Limits { inodes: 100, ..Limits::default() });
    let mut letters = (b'!'..=b'~').flat_map(|a| (b'1'..=b'9').map(move |b| [a, b]));
    let (count, errno) = until_refused(|| {
        guest.poke(task, DATA, &[u32::from_le_bytes(*b"/tmp"), u32::from_le_bytes(*b"/xyz")]);
        let name = letters.find(|name| !name.contains(&b'/') && !name.contains(&b'.')).unwrap();
        guest.kernel.parts(task).unwrap().memory.write_bytes(DATA + 5, &name).unwrap();
        guest.call(task, MKDIR, &[DATA, 0o700])
    });
    assert!(errno == Errno::ENOSPC && count <= 100, "{count} times, {errno:?}");
}

#[test]
fn output_ends_with_enospc() {
    let (mut guest, task) = limited(Limits { output: 10, ..Limits::default() });
    assert_eq!(guest.call(task, WRITE, &[1, DATA, 16]), Ok(10));
    assert_eq!(guest.call(task, WRITE, &[2, DATA, 16]), Err(Errno::ENOSPC));
    assert_eq!(guest.output.bytes().len(), 10);
}

#[test]
fn the_stack_ends_with_sigsegv() {
    let (mut guest, task) = limited(Limits { stack: 256 << 10, ..Limits::default() });
    let stack = guest.register(task, pentimento_registers::Gpr::Esp);
    guest.page_fault(task, stack - (200 << 10));
    assert_eq!(guest.running(), task, "it grows");
    guest.page_fault(task, stack - (300 << 10));
    assert_eq!(guest.kernel.schedule(), Next::Finished(Termination::Killed(11)));
}

#[test]
fn data_is_refused_with_enomem() {
    let (mut guest, task) = limited(Limits::default());
    let heap = guest.call(task, BRK, &[0]).unwrap();
    rlimit(&mut guest, task, RLIMIT_DATA, 1 << 20, 1 << 20).unwrap();
    assert_eq!(guest.call(task, BRK, &[heap + (512 << 10)]), Ok(heap + (512 << 10)));
    assert_eq!(guest.call(task, BRK, &[heap + (2 << 20)]), Ok(heap + (512 << 10)), "the break stays");
    assert_eq!(anonymous(&mut guest, task, 1 << 20), Err(Errno::ENOMEM));
    assert!(
        guest.call(task, MMAP2, &[0, 1 << 20, 1, 0x22, u32::MAX, 0]).is_ok(),
        "what is only read is no data"
    );
}

#[test]
fn a_user_has_no_more_tasks_than_allowed() {
    let (mut guest, task) = limited(Limits::default());
    rlimit(&mut guest, task, RLIMIT_NPROC, 3, 3).unwrap();
    assert!(guest.call(task, FORK, &[]).is_ok(), "the superuser is exempt");
    guest.call(task, SETUID, &[1000]).unwrap();
    assert_eq!(until_refused(|| guest.call(task, FORK, &[])), (2, Errno::EAGAIN));
}

#[test]
fn processor_time_ends_with_sigxcpu_and_then_sigkill() {
    const SECOND: u64 = 1_000_000_000;
    const SIG_IGN: u32 = 1;
    for (ignored, expected) in [(false, 24), (true, 9)] {
        let (mut guest, task) = limited(Limits::default());
        rlimit(&mut guest, task, RLIMIT_CPU, 1, 3).unwrap();
        if ignored {
            guest.poke(task, DATA + 128, &[SIG_IGN, 0, 0, 0, 0]);
            guest.call(task, RT_SIGACTION, &[24, DATA + 128, 0, 8]).unwrap();
        }
        let mut seconds = 0;
        let end = loop {
            match guest.kernel.schedule() {
                Next::Run { task, .. } if seconds < 10 => guest.kernel.retire(task, SECOND),
                end => break end,
            }
            seconds += 1;
        };
        assert_eq!(end, Next::Finished(Termination::Killed(expected)), "after {seconds} s");
        assert_eq!(seconds, if ignored { 3 } else { 1 });
    }
}

#[test]
fn the_first_process_is_whoever_the_host_says() {
    let mut guest = Guest::with(Config { identity: (1000, 100), ..Config::default() });
    let task = guest.running();
    assert_eq!(guest.call(task, GETUID32, &[]), Ok(1000));
    assert_eq!(guest.call(task, GETEGID32, &[]), Ok(100));
    assert_eq!(guest.call(task, SETUID, &[0]), Err(Errno::EPERM));
}
