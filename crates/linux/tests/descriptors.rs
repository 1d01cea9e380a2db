//! Descriptors of processes (pidfd_open(2)), and opening files within bounds (openat2(2)).
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

mod guest;

use guest::{DATA, Guest};
use pentimento_linux::{Config, Errno, TaskId};
use pentimento_registers::Gpr;

const EXIT: u32 = 1;
const READ: u32 = 3;
const CREAT: u32 = 8;
const DUP: u32 = 41;
const MKDIR: u32 = 39;
const SYMLINK: u32 = 83;
const CLONE: u32 = 120;
const POLL: u32 = 168;
const WAITID: u32 = 284;
const OPENAT: u32 = 295;
const KCMP: u32 = 349;
const PIDFD_SEND_SIGNAL: u32 = 424;
const PIDFD_OPEN: u32 = 434;
const OPENAT2: u32 = 437;
const PIDFD_GETFD: u32 = 438;

const SIGCHLD: u32 = 17;
const SIGTERM: u32 = 15;
const CLONE_PIDFD: u32 = 0x1000;
const CLONE_THREAD: u32 = 0x1_0f00;
const P_PIDFD: u32 = 3;
const WEXITED: u32 = 4;
const O_NONBLOCK: u32 = 0o4000;

/// A child with a descriptor for it.
fn child(guest: &mut Guest, parent: TaskId) -> (TaskId, u32) {
    let number = guest.call(parent, CLONE, &[CLONE_PIDFD | SIGCHLD, 0, DATA + 256, 0, 0]).unwrap();
    let fd = guest.peek(parent, DATA + 256);
    guest.kernel.retire(parent, u64::MAX / 4);
    let child = guest.running();
    assert_eq!(child.number(), number);
    (child, fd)
}

#[test]
fn the_end_of_a_process_shows_at_its_descriptor() {
    const POLLIN: u32 = 1;
    let mut guest = Guest::new();
    let parent = guest.running();
    let (child, fd) = child(&mut guest, parent);
    guest.poke(parent, DATA, &[fd, POLLIN]);
    assert_eq!(guest.call(parent, POLL, &[DATA, 1, 0]), Ok(0));
    assert_eq!(guest.call(parent, READ, &[fd, DATA + 64, 8]), Err(Errno::EINVAL));
    guest.start(parent, POLL, &[DATA, 1, u32::MAX]);
    guest.start(child, EXIT, &[7]);
    guest.until(parent);
    assert_eq!((guest.result(parent), guest.peek(parent, DATA + 4) >> 16), (Ok(1), POLLIN));
    assert_eq!(guest.call(parent, PIDFD_SEND_SIGNAL, &[fd, SIGTERM, 0, 0]), Err(Errno::ESRCH));
    assert_eq!(guest.call(parent, WAITID, &[P_PIDFD, fd, DATA, WEXITED, 0]), Ok(0));
    assert_eq!((guest.peek(parent, DATA + 12), guest.peek(parent, DATA + 20)), (child.number(), 7));
    assert_eq!(guest.call(parent, WAITID, &[P_PIDFD, fd, DATA, WEXITED, 0]), Err(Errno::ECHILD));
    assert_eq!(guest.call(parent, WAITID, &[P_PIDFD, 0, DATA, WEXITED, 0]), Err(Errno::EBADF));
}

#[test]
fn signals_and_descriptors_go_through_it() {
    let mut guest = Guest::new();
    let parent = guest.running();
    let (child, fd) = child(&mut guest, parent);
    let file = guest.call(child, DUP, &[1]).unwrap();
    let copy = guest.call(parent, PIDFD_GETFD, &[fd, file, 0]).unwrap();
    let same =
        |guest: &mut Guest, fd| guest.call(parent, KCMP, &[parent.number(), child.number(), 0, fd, file]);
    assert_eq!(same(&mut guest, copy), Ok(0));
    assert_ne!(same(&mut guest, 0), Ok(0));
    assert_eq!(guest.call(parent, PIDFD_GETFD, &[fd, 99, 0]), Err(Errno::EBADF));
    let nonblocking = guest.call(parent, PIDFD_OPEN, &[child.number(), O_NONBLOCK]).unwrap();
    assert_eq!(guest.call(parent, WAITID, &[P_PIDFD, nonblocking, DATA, WEXITED, 0]), Err(Errno::EAGAIN));
    assert_eq!(guest.call(parent, PIDFD_SEND_SIGNAL, &[fd, 0, 0, 0]), Ok(0), "it lives");
    guest.start(parent, WAITID, &[P_PIDFD, fd, DATA, WEXITED, 0]);
    guest.until(child);
    guest.start(child, PIDFD_OPEN, &[child.number(), 0]);
    guest.until(child);
    let own = guest.result(child).unwrap();
    guest.start(child, PIDFD_SEND_SIGNAL, &[own, SIGTERM, 0, 0]);
    guest.until(parent);
    assert_eq!((guest.result(parent), guest.peek(parent, DATA + 20)), (Ok(0), SIGTERM));
}

#[test]
fn what_has_no_descriptor() {
    let mut guest = Guest::new();
    let task = guest.running();
    let thread = guest.call(task, CLONE, &[CLONE_THREAD, DATA]).unwrap();
    for (number, flags, errno) in [
        (thread, 0, Errno::EINVAL),
        (30_000, 0, Errno::ESRCH),
        (0, 0, Errno::EINVAL),
        (u32::MAX, 0, Errno::EINVAL),
        (task.number(), 1, Errno::EINVAL),
    ] {
        assert_eq!(guest.call(task, PIDFD_OPEN, &[number, flags]), Err(errno), "{number} {flags}");
    }
    assert_eq!(guest.call(task, CLONE, &[CLONE_PIDFD | CLONE_THREAD, DATA, DATA]), Err(Errno::EINVAL));
    assert_eq!(guest.call(task, CLONE, &[CLONE_PIDFD | SIGCHLD, 0, 16]), Err(Errno::EFAULT), "and no child");
    assert_eq!(guest.call(task, WAITID, &[0, 0, DATA, WEXITED | 1, 0]), Err(Errno::ECHILD));
}

/// Text in the data page, a path each 128 bytes.
fn text(guest: &mut Guest, task: TaskId, slot: u32, text: &str) -> u32 {
    let address = DATA + 512 + 128 * slot;
    let bytes = [text.as_bytes(), b"\0"].concat();
    guest.kernel.parts(task).unwrap().memory.write_bytes(address, &bytes).unwrap();
    address
}

#[test]
fn openat2_stays_within_bounds() {
    const NO_XDEV: u32 = 1;
    const NO_MAGICLINKS: u32 = 2;
    const NO_SYMLINKS: u32 = 4;
    const BENEATH: u32 = 8;
    const IN_ROOT: u32 = 16;
    let mut guest = Guest::with(Config::default());
    let task = guest.running();
    for directory in ["/tmp/top", "/tmp/top/in", "/tmp/beside"] {
        let path = text(&mut guest, task, 0, directory);
        guest.call(task, MKDIR, &[path, 0o755]).unwrap();
    }
    let file = text(&mut guest, task, 0, "/tmp/top/file");
    guest.call(task, CREAT, &[file, 0o644]).unwrap();
    for (target, link) in [
        ("file", "/tmp/top/inner"),
        ("../beside", "/tmp/top/outer"),
        ("/file", "/tmp/top/absolute"),
        ("/proc/self/fd", "/tmp/top/magic"),
    ] {
        let (target, link) = (text(&mut guest, task, 0, target), text(&mut guest, task, 1, link));
        guest.call(task, SYMLINK, &[target, link]).unwrap();
    }
    let top = text(&mut guest, task, 0, "/tmp/top");
    let top = guest.call(task, OPENAT, &[-100_i32 as u32, top, 0o200_000]).unwrap();
    // What Linux 6.18 answers.
    #[rustfmt::skip]
    let cases = [
        ("file",              0,             None),
        ("file",              BENEATH,       None),
        ("inner",             BENEATH,       None),
        ("inner",             NO_SYMLINKS,   Some(Errno::ELOOP)),
        ("in/../file",        BENEATH,       None),
        ("in/../../top/file", BENEATH,       Some(Errno::EXDEV)),
        ("..",                BENEATH,       Some(Errno::EXDEV)),
        ("outer",             BENEATH,       Some(Errno::EXDEV)),
        ("outer",             0,             None),
        ("absolute",          BENEATH,       Some(Errno::EXDEV)),
        ("absolute",          IN_ROOT,       None),
        ("/file",             IN_ROOT,       None),
        ("/../../file",       IN_ROOT,       None),
        ("/file",             BENEATH,       Some(Errno::EXDEV)),
        ("/file",             0,             Some(Errno::ENOENT)),
        ("/proc/self/fd/1",   NO_MAGICLINKS, Some(Errno::ELOOP)),
        ("/proc/self/fd/1",   0,             None),
        ("/proc/self/status", NO_XDEV,       Some(Errno::EXDEV)),
        ("file",              NO_XDEV,       None),
        ("file",              BENEATH | IN_ROOT, Some(Errno::EINVAL)),
        ("file",              0x20,          None),
        ("file",              0x40,          Some(Errno::EINVAL)),
    ];
    for (path, resolve, expected) in cases {
        let address = text(&mut guest, task, 0, path);
        guest.poke(task, DATA, &[0, 0, 0, 0, resolve, 0, 0]);
        // Files that are written by the host have no reading end to open again.
        let flags = if path.ends_with("fd/1") { 1 } else { 0 };
        guest.poke(task, DATA, &[flags]);
        let result = guest.call(task, OPENAT2, &[top, address, DATA, 24]);
        assert_eq!(result.err(), expected, "{path} with {resolve:#x}");
        let _ = guest.register(task, Gpr::Eax);
    }
    let address = text(&mut guest, task, 0, "file");
    guest.poke(task, DATA, &[0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(guest.call(task, OPENAT2, &[top, address, DATA, 28]), Err(Errno::E2BIG));
    guest.poke(task, DATA, &[0, 0, 0, 0, 0, 0, 0]);
    assert!(guest.call(task, OPENAT2, &[top, address, DATA, 28]).is_ok(), "zeros ask for nothing");
    assert_eq!(guest.call(task, OPENAT2, &[top, address, DATA, 20]), Err(Errno::EINVAL));
}
