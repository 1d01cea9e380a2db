//! Requests of terminals (ioctl_tty(2)): what they answer, and what is found first where two things
//! are wrong.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

mod guest;

use guest::{DATA, Guest};
use pentimento_linux::{Errno, TaskId};

const OPEN: u32 = 5;
const IOCTL: u32 = 54;
const SETSID: u32 = 66;
const PIPE: u32 = 42;

const O_RDWR: u32 = 2;
const O_NOCTTY: u32 = 0o400;

const TCGETS: u32 = 0x5401;
const TCSETS: u32 = 0x5402;
const TCFLSH: u32 = 0x540b;
const TIOCSCTTY: u32 = 0x540e;
const TIOCGPGRP: u32 = 0x540f;
const TIOCSPGRP: u32 = 0x5410;
const TIOCGWINSZ: u32 = 0x5413;
const TIOCSWINSZ: u32 = 0x5414;
const TIOCPKT: u32 = 0x5420;
const TIOCGSID: u32 = 0x5429;
const TIOCGPTPEER: u32 = 0x5441;
const TCSETS2: u32 = 0x402c_542b;
const TIOCGPTN: u32 = 0x8004_5430;
const TIOCSPTLCK: u32 = 0x4004_5431;

/// Nothing is mapped there.
const NOWHERE: u32 = 0x10;

/// A pseudo-terminal: its master and its slave side, which is nobody's controlling terminal.
fn pair(guest: &mut Guest, task: TaskId) -> (u32, u32) {
    let mut path = [0; 3];
    for (word, bytes) in path.iter_mut().zip(b"/dev/ptmx\0\0\0".as_chunks().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    guest.poke(task, DATA, &path);
    let master = guest.call(task, OPEN, &[DATA, O_RDWR | O_NOCTTY, 0]).unwrap();
    guest.poke(task, DATA, &[0]);
    assert_eq!(guest.call(task, IOCTL, &[master, TIOCSPTLCK, DATA]), Ok(0));
    let slave = guest.call(task, IOCTL, &[master, TIOCGPTPEER, O_RDWR | O_NOCTTY]).unwrap();
    (master, slave)
}

#[test]
fn a_request_that_is_not_taken_is_found_before_a_bad_pointer() {
    let mut guest = Guest::new();
    let task = guest.running();
    let (master, slave) = pair(&mut guest, task);
    guest.call(task, PIPE, &[DATA]).unwrap();
    let pipe = guest.peek(task, DATA);
    for (fd, request, errno) in [
        (pipe, TCGETS, Errno::ENOTTY),
        (pipe, TCSETS, Errno::ENOTTY),
        (slave, 0x5555, Errno::ENOTTY),
        // The terminal is not the caller's.
        (slave, TIOCGPGRP, Errno::ENOTTY),
        (slave, TIOCSPGRP, Errno::ENOTTY),
        (master, TIOCSPGRP, Errno::ENOTTY),
        // The master's alone.
        (slave, TIOCGPTN, Errno::ENOTTY),
        (slave, TIOCSPTLCK, Errno::ENOTTY),
        (slave, TCGETS, Errno::EFAULT),
        (slave, TCSETS, Errno::EFAULT),
        (slave, TIOCGWINSZ, Errno::EFAULT),
        (slave, TIOCSWINSZ, Errno::EFAULT),
        (master, TIOCGPTN, Errno::EFAULT),
        (master, TIOCSPTLCK, Errno::EFAULT),
        (master, TIOCPKT, Errno::EFAULT),
        (slave, TCFLSH, Errno::EINVAL),
    ] {
        let result = guest.call(task, IOCTL, &[fd, request, NOWHERE]);
        assert_eq!(result, Err(errno), "request {request:#x} of descriptor {fd}");
    }
}

#[test]
fn structures_are_read_and_stored_whole() {
    let mut guest = Guest::new();
    let task = guest.running();
    let (master, slave) = pair(&mut guest, task);
    // struct termios2 ends with its speeds, 44 bytes in all; the page ends before.
    let last = DATA + 4096 - 40;
    assert_eq!(guest.call(task, IOCTL, &[slave, TCGETS, last]), Ok(0));
    assert_eq!(guest.call(task, IOCTL, &[slave, TCSETS, last]), Ok(0));
    assert_eq!(guest.call(task, IOCTL, &[slave, TCSETS2, last]), Err(Errno::EFAULT));
    guest.poke(task, DATA, &[24 | 80 << 16, 0]);
    assert_eq!(guest.call(task, IOCTL, &[master, TIOCSWINSZ, DATA]), Ok(0));
    assert_eq!(guest.call(task, IOCTL, &[slave, TIOCGWINSZ, DATA + 64]), Ok(0));
    assert_eq!(guest.peek(task, DATA + 64), 24 | 80 << 16);
}

#[test]
fn job_control_is_the_session_s_own() {
    let mut guest = Guest::new();
    let task = guest.running();
    let (_, slave) = pair(&mut guest, task);
    assert_eq!(guest.call(task, SETSID, &[]), Err(Errno::EPERM), "the first process leads a session");
    assert_eq!(guest.call(task, IOCTL, &[slave, TIOCSCTTY, 0]), Ok(0));
    for request in [TIOCGPGRP, TIOCGSID] {
        assert_eq!(guest.call(task, IOCTL, &[slave, request, DATA]), Ok(0));
        assert_eq!(guest.peek(task, DATA), task.number());
    }
    // A group without processes.
    guest.poke(task, DATA, &[30_000]);
    assert_eq!(guest.call(task, IOCTL, &[slave, TIOCSPGRP, DATA]), Err(Errno::ESRCH));
    assert_eq!(guest.call(task, IOCTL, &[slave, TIOCSPGRP, NOWHERE]), Err(Errno::EFAULT));
    guest.poke(task, DATA, &[task.number()]);
    assert_eq!(guest.call(task, IOCTL, &[slave, TIOCSPGRP, DATA]), Ok(0));
}
