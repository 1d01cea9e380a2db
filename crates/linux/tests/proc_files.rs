//! Files of `/proc` that tell of the machine (proc(5)): what they say is what system calls say.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

mod guest;

use guest::{DATA, Guest};
use pentimento_linux::{Config, Errno, TaskId};

const FORK: u32 = 2;
const READ: u32 = 3;
const WRITE: u32 = 4;
const CLOSE: u32 = 6;
const TIME: u32 = 13;
const SETHOSTNAME: u32 = 74;
const SETDOMAINNAME: u32 = 121;
const OPENAT: u32 = 295;
const AT_FDCWD: u32 = -100_i32 as u32;

/// Puts a text with a zero behind it at `DATA`.
fn put(guest: &mut Guest, task: TaskId, text: &str) {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize((bytes.len() + 4) & !3, 0);
    let words: Vec<u32> =
        bytes.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect();
    guest.poke(task, DATA, &words);
}

/// What a file says, at most 512 bytes of it.
fn read(guest: &mut Guest, task: TaskId, path: &str) -> String {
    put(guest, task, path);
    let fd = guest.call(task, OPENAT, &[AT_FDCWD, DATA, 0, 0]).unwrap();
    let count = guest.call(task, READ, &[fd, DATA + 512, 512]).unwrap();
    guest.call(task, CLOSE, &[fd]).unwrap();
    let words = (0..count.div_ceil(4)).map(|index| guest.peek(task, DATA + 512 + 4 * index));
    let bytes: Vec<u8> = words.flat_map(u32::to_le_bytes).take(count as usize).collect();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn names_are_those_that_were_set() {
    let mut guest = Guest::new();
    let task = guest.running();
    assert_eq!(read(&mut guest, task, "/proc/sys/kernel/hostname"), "pentimento\n");
    assert_eq!(read(&mut guest, task, "/proc/sys/kernel/domainname"), "(none)\n");
    put(&mut guest, task, "underpainting");
    assert_eq!(guest.call(task, SETHOSTNAME, &[DATA, 13]), Ok(0));
    assert_eq!(guest.call(task, SETDOMAINNAME, &[DATA + 5, 8]), Ok(0));
    assert_eq!(read(&mut guest, task, "/proc/sys/kernel/hostname"), "underpainting\n");
    assert_eq!(read(&mut guest, task, "/proc/sys/kernel/domainname"), "painting\n");
}

/// Writes into a file.
fn write(guest: &mut Guest, task: TaskId, path: &str, text: &str) -> Result<u32, Errno> {
    put(guest, task, path);
    let fd = guest.call(task, OPENAT, &[AT_FDCWD, DATA, 1, 0])?;
    put(guest, task, text);
    let result = guest.call(task, WRITE, &[fd, DATA, text.len() as u32]);
    guest.call(task, CLOSE, &[fd])?;
    result
}

#[test]
fn what_is_written_to_oom_score_adj_stays_and_goes_on_to_children() {
    const PATH: &str = "/proc/self/oom_score_adj";
    let mut guest = Guest::with(Config { identity: (1000, 1000), ..Config::default() });
    let task = guest.running();
    assert_eq!(read(&mut guest, task, PATH), "0\n");
    assert_eq!(write(&mut guest, task, PATH, "500\n"), Ok(4));
    assert_eq!(read(&mut guest, task, PATH), "500\n");
    for (text, errno) in
        [("-1", Errno::EACCES), ("1001", Errno::EINVAL), ("-1001", Errno::EINVAL), ("x", Errno::EINVAL)]
    {
        assert_eq!(write(&mut guest, task, PATH, text), Err(errno), "{text}");
    }
    let child = guest.call(task, FORK, &[]).unwrap();
    assert_eq!(read(&mut guest, task, &format!("/proc/{child}/oom_score_adj")), "500\n");
    assert_eq!(write(&mut guest, task, &format!("/proc/{child}/oom_score_adj"), "0"), Ok(1));
    assert_eq!(read(&mut guest, task, PATH), "500\n");
}

#[test]
fn the_machine_started_before_now() {
    let mut guest = Guest::new();
    let task = guest.running();
    let statistics = read(&mut guest, task, "/proc/stat");
    let started = statistics.lines().find_map(|line| line.strip_prefix("btime ")).unwrap();
    let now = guest.call(task, TIME, &[0]).unwrap();
    assert_eq!(started.parse(), Ok(now), "nothing has run yet");
}

#[test]
fn settings_of_a_process_are_kept() {
    let mut guest = Guest::with(Config { identity: (1000, 1000), ..Config::default() });
    let task = guest.running();
    let cases = [
        ("comm", "a name that is too long\n", Ok(24), "a name that is \n"),
        ("comm", "two\nlines", Ok(9), "two\n"),
        ("timerslack_ns", "1000\n", Ok(5), "1000\n"),
        ("timerslack_ns", "0", Ok(1), "50000\n"),
        ("timerslack_ns", "soon", Err(Errno::EINVAL), "50000\n"),
        ("coredump_filter", "0x7f\n", Ok(5), "0000007f\n"),
        ("coredump_filter", "017", Ok(3), "0000000f\n"),
        ("coredump_filter", "", Err(Errno::EINVAL), "0000000f\n"),
    ];
    for (file, text, result, then) in cases {
        let path = format!("/proc/self/{file}");
        assert_eq!(write(&mut guest, task, &path, text), result, "{file} {text:?}");
        assert_eq!(read(&mut guest, task, &path), then, "{file} {text:?}");
    }
    let child = guest.call(task, FORK, &[]).unwrap();
    let path = format!("/proc/{child}/comm");
    assert_eq!(write(&mut guest, task, &path, "other"), Err(Errno::EINVAL), "only its own threads may");
    assert_eq!(read(&mut guest, task, &path), "two\n");
}

#[test]
fn what_is_read_and_written_is_counted() {
    let mut guest = Guest::new();
    let task = guest.running();
    let before = read(&mut guest, task, "/proc/self/io");
    assert!(before.starts_with("rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\n"), "{before}");
    assert_eq!(write(&mut guest, task, "/proc/self/comm", "four"), Ok(4));
    let after = read(&mut guest, task, "/proc/self/io");
    let read = before.len();
    assert!(after.starts_with(&format!("rchar: {read}\nwchar: 4\nsyscr: 1\nsyscw: 1\n")), "{after}");
}

#[test]
fn the_processor_is_in_sys_and_its_time_in_proc() {
    let mut guest = Guest::new();
    let task = guest.running();
    for (path, text) in [
        ("/sys/devices/system/cpu/online", "0\n"),
        ("/sys/devices/system/cpu/cpu0/topology/core_id", "0\n"),
        ("/sys/class/net/lo/mtu", "65536\n"),
        ("/proc/net/../sys/kernel/core_pattern", ""),
        ("/proc/self/wchan", "0"),
    ] {
        if text.is_empty() {
            put(&mut guest, task, path);
            let opened = guest.call(task, OPENAT, &[AT_FDCWD, DATA, 0, 0]);
            assert_eq!(opened, Err(Errno::ENOENT), "net is a link to the process's own directory");
        } else {
            assert_eq!(read(&mut guest, task, path), text);
        }
    }
    guest.kernel.retire(task, 3_000_000_000);
    assert_eq!(read(&mut guest, task, "/proc/uptime"), "3.00 0.00\n");
    let statistics = read(&mut guest, task, "/proc/stat");
    assert!(statistics.starts_with("cpu  300 0 0 0 "), "{statistics}");
    guest.kernel.retire(task, 57_000_000_000);
    let load = read(&mut guest, task, "/proc/loadavg");
    assert!(load.starts_with("0.63 0.18 0.06 1/1 "), "one task for a minute: {load}");
}
