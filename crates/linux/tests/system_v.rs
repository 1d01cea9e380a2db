//! System V IPC: objects that processes share, and what happens to them when these end.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

mod guest;

use guest::{DATA, Guest};
use pentimento_linux::{Config, Errno};

const EXIT: u32 = 1;
const FORK: u32 = 2;
const IPC: u32 = 117;
const SEMGET: u32 = 393;
const SEMCTL: u32 = 394;
const SHMGET: u32 = 395;
const SHMCTL: u32 = 396;
const SHMAT: u32 = 397;
const SHMDT: u32 = 398;
const MSGGET: u32 = 399;
const MSGSND: u32 = 400;
const MSGRCV: u32 = 401;
const MSGCTL: u32 = 402;

const CREATE: u32 = 0o1000;
const RMID: u32 = 0;
const STAT: u32 = 2;
const GETVAL: u32 = 12;
const SETVAL: u32 = 16;
const NOWAIT: u32 = 0o4000;

#[test]
fn a_removed_segment_stays_as_long_as_it_is_attached() {
    let mut guest = Guest::new();
    let task = guest.running();
    let id = guest.call(task, SHMGET, &[77, 5000, CREATE | 0o600]).unwrap();
    let at = guest.call(task, SHMAT, &[id, 0, 0]).unwrap();
    guest.poke(task, at, &[0x1234]);
    let again = guest.call(task, SHMAT, &[id, 0, 0]).unwrap();
    assert_eq!(guest.peek(task, again), 0x1234, "both show the same");
    guest.call(task, FORK, &[]).unwrap();
    assert_eq!(guest.call(task, SHMCTL, &[id, STAT, DATA]), Ok(0));
    // struct shmid64_ds: size at 36, attachments at 72.
    assert_eq!([guest.peek(task, DATA + 36), guest.peek(task, DATA + 72)], [5000, 4]);
    assert_eq!(guest.call(task, SHMCTL, &[id, RMID, 0]), Ok(0));
    assert_eq!(guest.call(task, SHMGET, &[77, 5000, 0]), Err(Errno::ENOENT), "nobody finds it any more");
    assert_eq!(guest.call(task, SHMDT, &[again]), Ok(0));
    assert_eq!(guest.call(task, SHMDT, &[again]), Err(Errno::EINVAL));
    assert_eq!(guest.peek(task, at), 0x1234);
    assert_eq!(guest.call(task, SHMDT, &[at]), Ok(0));
    assert_eq!(guest.call(task, SHMCTL, &[id, STAT, DATA]), Ok(0), "the child still has it");
    assert_eq!(guest.peek(task, DATA + 72), 2);
}

#[test]
fn what_a_process_did_to_semaphores_is_undone_at_its_end() {
    let mut guest = Guest::new();
    let task = guest.running();
    let id = guest.call(task, SEMGET, &[0, 2, 0o600]).unwrap();
    assert_eq!(guest.call(task, SEMCTL, &[id, 0, SETVAL, 3]), Ok(0));
    assert_eq!(guest.call(task, SEMCTL, &[id, 0, SETVAL, 32768]), Err(Errno::ERANGE));
    let number = guest.call(task, FORK, &[]).unwrap();
    let child = guest.kernel.tasks().find(|id| id.number() == number).unwrap();
    // Two operations with SEM_UNDO: -2 on the first, +1 on the second.
    guest.poke(child, DATA, &[0xfffe_0000, 0x0001_1000, 0x1000_0001]);
    assert_eq!(guest.call(child, IPC, &[1, id, 2, 0, DATA, 0]), Ok(0));
    assert_eq!(guest.call(task, SEMCTL, &[id, 0, GETVAL, 0]), Ok(1));
    assert_eq!(guest.call(task, SEMCTL, &[id, 1, GETVAL, 0]), Ok(1));
    guest.start(child, EXIT, &[0]);
    assert_eq!(guest.call(task, SEMCTL, &[id, 0, GETVAL, 0]), Ok(3));
    assert_eq!(guest.call(task, SEMCTL, &[id, 1, GETVAL, 0]), Ok(0));
    // Of operations that cannot all be done none is: +1 on the second, -4 on the first, not waiting.
    guest.poke(task, DATA, &[0x0001_0001, 0, 0x0800_fffc]);
    assert_eq!(guest.call(task, IPC, &[1, id, 2, 0, DATA, 0]), Err(Errno::EAGAIN));
    assert_eq!(guest.call(task, SEMCTL, &[id, 1, GETVAL, 0]), Ok(0));
    assert_eq!(guest.call(task, SEMCTL, &[id, 0, RMID, 0]), Ok(0));
    assert_eq!(guest.call(task, SEMCTL, &[id, 0, GETVAL, 0]), Err(Errno::EINVAL));
}

#[test]
fn messages_are_taken_by_their_kind() {
    let mut guest = Guest::new();
    let task = guest.running();
    let id = guest.call(task, MSGGET, &[0, 0o600]).unwrap();
    for (kind, text) in [(5, 50), (2, 20), (3, 30)] {
        guest.poke(task, DATA, &[kind, text]);
        assert_eq!(guest.call(task, MSGSND, &[id, DATA, 4, 0]), Ok(0));
    }
    guest.poke(task, DATA, &[0, 1]);
    assert_eq!(guest.call(task, MSGSND, &[id, DATA, 4, 0]), Err(Errno::EINVAL));
    let mut take = |kind: i32, room: u32| {
        let result = guest.call(task, MSGRCV, &[id, DATA + 64, room, kind as u32, NOWAIT]);
        result.map(|length| (length, guest.peek(task, DATA + 64), guest.peek(task, DATA + 68)))
    };
    assert_eq!(take(-3, 3), Err(Errno::E2BIG));
    assert_eq!(take(-3, 4), Ok((4, 2, 20)), "the lowest of those up to 3");
    assert_eq!(take(3, 8), Ok((4, 3, 30)));
    assert_eq!(take(3, 8), Err(Errno::ENOMSG));
    assert_eq!(take(0, 8), Ok((4, 5, 50)));
    assert_eq!(guest.call(task, MSGCTL, &[id, RMID, 0]), Ok(0));
    assert_eq!(guest.call(task, MSGRCV, &[id, DATA, 4, 0, NOWAIT]), Err(Errno::EINVAL));
}

#[test]
fn what_nobody_may_read_nobody_attaches() {
    let mut guest = Guest::with(Config { identity: (1000, 1000), ..Config::default() });
    let task = guest.running();
    let id = guest.call(task, SHMGET, &[9, 100, CREATE | 0o200]).unwrap();
    assert_eq!(guest.call(task, SHMAT, &[id, 0, 0o10000]), Err(Errno::EACCES));
    assert_eq!(guest.call(task, SHMGET, &[9, 100, 0o400]), Err(Errno::EACCES));
    assert_eq!(guest.call(task, SHMCTL, &[id, STAT, DATA]), Err(Errno::EACCES));
    assert_eq!(guest.call(task, SHMCTL, &[id, RMID, 0]), Ok(0), "it is the owner's");
}
