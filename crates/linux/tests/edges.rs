//! Edges of system calls that public test suites look at.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

mod guest;

use guest::{DATA, Guest, program};
use pentimento_linux::{Config, Errno};
use pentimento_registers::Gpr;

const WRITE: u32 = 4;
const OPEN: u32 = 5;
const CLOSE: u32 = 6;
const EXECVE: u32 = 11;
const SETUID16: u32 = 23;
const GETUID16: u32 = 24;
const DUP: u32 = 41;
const SETREUID16: u32 = 70;
const FCHMOD: u32 = 94;
const FCHOWN16: u32 = 95;
const CLONE: u32 = 120;
const SETRESUID16: u32 = 164;
const GETRESUID16: u32 = 165;
const PERSONALITY: u32 = 136;
const PRCTL: u32 = 172;
const RT_SIGQUEUEINFO: u32 = 178;
const SENDFILE: u32 = 187;
const FCNTL: u32 = 55;
const MMAP2: u32 = 192;
const SETRESUID: u32 = 208;
const CLOCK_GETTIME: u32 = 265;
const RT_TGSIGQUEUEINFO: u32 = 335;
const CLOSE_RANGE: u32 = 436;

/// A path in the guest's memory.
fn path(guest: &mut Guest, task: pentimento_linux::TaskId, text: &[u8]) {
    let mut words = vec![0_u32; text.len() / 4 + 1];
    for (index, byte) in text.iter().enumerate() {
        words[index / 4] |= u32::from(*byte) << (8 * (index % 4));
    }
    guest.poke(task, DATA, &words);
}

#[test]
fn sixteen_bit_numbers_of_all_bits_leave_things_as_they_are() {
    let mut guest = Guest::with(Config { identity: (0, 0), ..Config::default() });
    let task = guest.running();
    assert_eq!(guest.call(task, SETRESUID16, &[0xffff, 7, 0xffff]), Ok(0));
    assert_eq!(guest.call(task, GETRESUID16, &[DATA, DATA + 2, DATA + 4]), Ok(0));
    assert_eq!((guest.peek(task, DATA), guest.peek(task, DATA + 4) & 0xffff), (7 << 16, 0));
    // What is above the sixteen bits is not looked at.
    assert_eq!(guest.call(task, SETREUID16, &[0x1_ffff, 0x5_0000]), Ok(0));
    assert_eq!(guest.call(task, SETUID16, &[0xffff]), Err(Errno::EINVAL));
    // Numbers that need more bits show as the overflow one, and only as many bytes are written.
    assert_eq!(guest.call(task, SETRESUID, &[100_000, u32::MAX, u32::MAX]), Ok(0));
    assert_eq!(guest.call(task, GETUID16, &[]), Ok(65_534));
    guest.poke(task, DATA + 8, &[0x1234_5678]);
    assert_eq!(guest.call(task, GETRESUID16, &[DATA + 8, DATA + 16, DATA + 24]), Ok(0));
    assert_eq!(guest.peek(task, DATA + 8), 0x1234_fffe);
}

#[test]
fn signal_zero_asks_whether_somebody_is_there() {
    const SI_QUEUE: u32 = u32::MAX;
    let mut guest = Guest::new();
    let task = guest.running();
    let own = task.number();
    guest.poke(task, DATA, &[0, 0, SI_QUEUE]);
    assert_eq!(guest.call(task, RT_SIGQUEUEINFO, &[own, 0, DATA]), Ok(0));
    assert_eq!(guest.call(task, RT_TGSIGQUEUEINFO, &[own, own, 0, DATA]), Ok(0));
    assert_eq!(guest.call(task, RT_SIGQUEUEINFO, &[30_000, 0, DATA]), Err(Errno::ESRCH));
    assert_eq!(guest.call(task, RT_SIGQUEUEINFO, &[own, 65, DATA]), Err(Errno::EINVAL));
    assert_eq!(guest.call(task, RT_SIGQUEUEINFO, &[own, 0, 16]), Err(Errno::EFAULT));
}

#[test]
fn there_are_no_clocks_of_descriptors() {
    let mut guest = Guest::new();
    let task = guest.running();
    for clock in [-1_i32, -5, -13] {
        assert_eq!(guest.call(task, CLOCK_GETTIME, &[clock as u32, DATA]), Err(Errno::EINVAL), "{clock}");
    }
    // The calling process's and thread's own.
    for clock in [-6_i32, -2] {
        assert_eq!(guest.call(task, CLOCK_GETTIME, &[clock as u32, DATA]), Ok(0), "{clock}");
    }
}

#[test]
fn a_descriptor_that_is_only_a_path_changes_nothing() {
    const O_PATH: u32 = 0o10_000_000;
    let mut guest = Guest::with(Config { identity: (0, 0), ..Config::default() });
    let task = guest.running();
    path(&mut guest, task, b"/tmp");
    let fd = guest.call(task, OPEN, &[DATA, O_PATH, 0]).unwrap();
    assert_eq!(guest.call(task, FCHMOD, &[fd, 0o755]), Err(Errno::EBADF));
    assert_eq!(guest.call(task, FCHOWN16, &[fd, 1, 1]), Err(Errno::EBADF));
    let fd = guest.call(task, OPEN, &[DATA, 0, 0]).unwrap();
    assert_eq!(guest.call(task, FCHMOD, &[fd, 0o755]), Ok(0));
}

#[test]
fn close_range_closes_in_a_table_of_its_own() {
    const CLONE_THREAD: u32 = 0x1_0f00; // with VM, FS, FILES and SIGHAND
    const UNSHARE: u32 = 2;
    const F_GETFD: u32 = 1;
    let mut guest = Guest::new();
    let first = guest.running();
    guest.call(first, CLONE, &[CLONE_THREAD, 0, 0, 0, 0]).unwrap();
    let fd = guest.call(first, DUP, &[0]).unwrap();
    guest.kernel.retire(first, u64::MAX / 4);
    let second = guest.running();
    assert_ne!(first, second);
    assert_eq!(guest.call(second, CLOSE_RANGE, &[fd, fd, UNSHARE]), Ok(0));
    assert_eq!(guest.call(second, FCNTL, &[fd, F_GETFD, 0]), Err(Errno::EBADF));
    assert_eq!(guest.call(first, FCNTL, &[fd, F_GETFD, 0]), Ok(0));
}

#[test]
fn offsets_are_not_negative() {
    let mut guest = Guest::new();
    let task = guest.running();
    path(&mut guest, task, b"/tmp/file");
    let fd = guest.call(task, OPEN, &[DATA, 0o102, 0o600]).unwrap();
    guest.poke(task, DATA + 64, &[u32::MAX]);
    assert_eq!(guest.call(task, SENDFILE, &[fd, fd, DATA + 64, 4]), Err(Errno::EINVAL));
}

#[test]
fn ambient_capabilities_are_none() {
    const PR_GET_SECUREBITS: u32 = 27;
    const PR_CAP_AMBIENT: u32 = 47;
    let mut guest = Guest::new();
    let task = guest.running();
    assert_eq!(guest.call(task, PRCTL, &[PR_GET_SECUREBITS]), Ok(0));
    for (operation, capability, result) in [
        (1, 10, Ok(0)),
        (1, 41, Err(Errno::EINVAL)),
        (2, 10, Err(Errno::EPERM)),
        (3, 10, Ok(0)),
        (4, 0, Ok(0)),
        (4, 1, Err(Errno::EINVAL)),
        (5, 10, Err(Errno::EINVAL)),
    ] {
        assert_eq!(guest.call(task, PRCTL, &[PR_CAP_AMBIENT, operation, capability]), result);
    }
}

#[test]
fn programs_for_32_bit_kernels_have_nothing_above_3_gib() {
    const ADDR_LIMIT_3GB: u32 = 0x800_0000;
    const FIXED: u32 = 0x32;
    let mut guest = Guest::new();
    let task = guest.running();
    let image = program(b"hello\n");
    let words: Vec<u32> = image
        .chunks(4)
        .map(|chunk| chunk.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte)))
        .collect();
    guest.poke(task, DATA + 64, &words);
    path(&mut guest, task, b"/tmp/program");
    let file = guest.call(task, OPEN, &[DATA, 0o101, 0o755]).unwrap();
    assert_eq!(guest.call(task, WRITE, &[file, DATA + 64, image.len() as u32]), Ok(image.len() as u32));
    assert_eq!(guest.call(task, CLOSE, &[file]), Ok(0));
    let high = |guest: &mut Guest, task| guest.call(task, MMAP2, &[0xd000_0000, 4096, 1, FIXED, u32::MAX, 0]);
    for (personality, limited) in [(0, false), (ADDR_LIMIT_3GB, true), (0, false)] {
        path(&mut guest, task, b"/tmp/program");
        guest.call(task, PERSONALITY, &[personality]).unwrap();
        guest.poke(task, DATA + 32, &[0]);
        guest.start(task, EXECVE, &[DATA, DATA + 32, DATA + 32]);
        let stack = guest.register(task, Gpr::Esp);
        assert_eq!(stack < 0xc000_0000, limited, "{stack:x}");
        assert_eq!(high(&mut guest, task).is_err(), limited);
    }
}
