//! Private mappings of files (mmap(2), MAP_PRIVATE): pages of the host's files come in as they are
//! accessed, and nothing else tells them from those of files in memory.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

mod guest;

use std::path::PathBuf;
use std::sync::Arc;

use guest::{DATA, Guest};
use pentimento_linux::{Errno, LocalFolder, Mount, TaskId};

const FORK: u32 = 2;
const READ: u32 = 3;
const WRITE: u32 = 4;
const OPEN: u32 = 5;
const MPROTECT: u32 = 125;
const MREMAP: u32 = 163;
const PREAD64: u32 = 180;
const MMAP2: u32 = 192;
const MADVISE: u32 = 219;

const PAGE: u32 = 4096;
/// More than is brought in at once, and not a multiple of a page.
const SIZE: u32 = 70_000;
const READ_WRITE: u32 = 3;
const PRIVATE: u32 = 2;
const MAY_MOVE: u32 = 1;

fn content() -> Vec<u8> {
    (0..SIZE).map(|index| (index / PAGE * 7 + index * 3) as u8).collect()
}

/// A folder of the host with the file in it, gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pentimento-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("file"), content()).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A task that has the file open, and maps it from its second page on.
struct Mapping {
    guest: Guest,
    task: TaskId,
    descriptor: u32,
    start: u32,
}

impl Mapping {
    /// `mount` decides where the bytes are; without one the file is in memory.
    fn new(mount: Option<Mount>, pages: u32) -> Self {
        let mut guest = Guest::new();
        match mount {
            Some(mount) => guest.kernel.mount(b"/mnt", mount).unwrap(),
            None => guest.kernel.install_file(b"/mnt/file", &content(), 0o644).unwrap(),
        }
        let task = guest.running();
        guest.poke(task, DATA, &[0x746e_6d2f, 0x6c69_662f, 0x65]);
        let descriptor = guest.call(task, OPEN, &[DATA, 0]).unwrap();
        let start = guest.call(task, MMAP2, &[0, pages * PAGE, READ_WRITE, PRIVATE, descriptor, 1]).unwrap();
        Self { guest, task, descriptor, start }
    }

    /// What write(2) finds in the memory of `task` at `offset` from the mapping's start.
    fn shown(&mut self, task: TaskId, offset: u32, length: u32) -> Result<Vec<u8>, Errno> {
        let before = self.guest.output.bytes().len();
        let written = self.guest.call(task, WRITE, &[1, self.start + offset, length])?;
        assert_eq!(written, length);
        Ok(self.guest.output.bytes().split_off(before))
    }

    /// Has read(2) write five bytes into the mapping.
    fn change(&mut self, offset: u32) {
        let arguments = [self.descriptor, self.start + offset, 5, 0, 0];
        assert_eq!(self.guest.call(self.task, PREAD64, &arguments), Ok(5));
    }
}

/// Runs a check with the file on the host, read-only, copy-on-write and in place, and in memory.
fn each(name: &str, pages: u32, check: impl Fn(Mapping)) {
    let folder = Folder::new(name);
    let open = || Arc::new(LocalFolder::open(&folder.0).unwrap());
    check(Mapping::new(None, pages));
    check(Mapping::new(Some(Mount::ReadOnly(open())), pages));
    check(Mapping::new(Some(Mount::CopyOnWrite(open())), pages));
    check(Mapping::new(Some(Mount::ReadWrite(open())), pages));
    assert!(std::fs::read(folder.0.join("file")).unwrap() == content(), "the host's file has changed");
}

/// What the file has `offset` bytes behind the start of the mapping.
fn expected(offset: u32, length: u32) -> Vec<u8> {
    let start = (PAGE + offset) as usize;
    content().iter().copied().chain(std::iter::repeat(0)).skip(start).take(length as usize).collect()
}

#[test]
fn pages_have_the_file_s_bytes_whatever_the_order_of_accesses() {
    each("bytes", 20, |mut mapping| {
        let task = mapping.task;
        for (offset, length) in
            [(14 * PAGE - 3, 6), (5, 1), (3 * PAGE, PAGE), (0, 15 * PAGE), (16 * PAGE, PAGE)]
        {
            assert_eq!(mapping.shown(task, offset, length), Ok(expected(offset, length)), "{offset}");
        }
        assert_eq!(mapping.shown(task, 17 * PAGE, 1), Err(Errno::EFAULT), "beyond the file");
        assert_eq!(
            mapping.guest.peek(task, mapping.start + 8),
            u32::from_le_bytes(expected(8, 4).try_into().unwrap())
        );
    });
}

#[test]
fn writes_stay_in_the_mapping() {
    each("writes", 17, |mut mapping| {
        let task = mapping.task;
        mapping.change(2 * PAGE - 2);
        let mut changed = expected(2 * PAGE - 4, 9);
        changed[2..7].copy_from_slice(&content()[..5]);
        assert_eq!(mapping.shown(task, 2 * PAGE - 4, 9), Ok(changed));
        let arguments = [mapping.descriptor, DATA + 64, 4, 3 * PAGE - 2, 0];
        assert_eq!(mapping.guest.call(task, PREAD64, &arguments), Ok(4));
        let unchanged = mapping.guest.peek(task, DATA + 64);
        assert_eq!(unchanged.to_le_bytes(), content()[3 * PAGE as usize - 2..][..4]);
    });
}

#[test]
fn protection_counts_before_pages_come_in() {
    each("protection", 17, |mut mapping| {
        let (task, start) = (mapping.task, mapping.start);
        assert_eq!(mapping.guest.call(task, MPROTECT, &[start, PAGE, 1]), Ok(0));
        assert_eq!(mapping.guest.call(task, MPROTECT, &[start + PAGE, PAGE, 0]), Ok(0));
        assert_eq!(mapping.guest.call(task, READ, &[mapping.descriptor, start, 5]), Err(Errno::EFAULT));
        assert_eq!(mapping.shown(task, 0, 9), Ok(expected(0, 9)));
        assert_eq!(mapping.shown(task, PAGE, 1), Err(Errno::EFAULT));
        assert_eq!(mapping.guest.call(task, MPROTECT, &[start + PAGE, PAGE, 1]), Ok(0));
        assert_eq!(mapping.shown(task, PAGE, 9), Ok(expected(PAGE, 9)));
    });
}

#[test]
fn moved_mappings_keep_what_was_written_and_go_on_with_the_file() {
    each("moves", 4, |mut mapping| {
        let task = mapping.task;
        mapping.change(PAGE);
        let moved = mapping.guest.call(task, MREMAP, &[mapping.start, 4 * PAGE, 5 * PAGE, MAY_MOVE]).unwrap();
        mapping.start = moved;
        assert_eq!(mapping.shown(task, PAGE, 5), Ok(content()[..5].to_vec()));
        assert_eq!(mapping.shown(task, PAGE + 5, 2 * PAGE), Ok(expected(PAGE + 5, 2 * PAGE)));
    });
}

#[test]
fn a_fork_brings_in_pages_of_its_own() {
    each("fork", 17, |mut mapping| {
        let parent = mapping.task;
        mapping.change(PAGE);
        mapping.guest.call(parent, FORK, &[]).unwrap();
        mapping.guest.kernel.retire(parent, u64::MAX / 4);
        let child = mapping.guest.running();
        assert_ne!(child, parent);
        for task in [child, parent, child] {
            assert_eq!(mapping.shown(task, PAGE, 5), Ok(content()[..5].to_vec()));
            assert_eq!(mapping.shown(task, 15 * PAGE, 9), Ok(expected(15 * PAGE, 9)));
        }
        mapping.change(3 * PAGE);
        assert_eq!(mapping.shown(child, 3 * PAGE, 5), Ok(expected(3 * PAGE, 5)));
    });
}

#[test]
fn advice_brings_the_file_s_bytes_back() {
    const DONTNEED: u32 = 4;
    let folder = Folder::new("advice");
    let mount = Mount::CopyOnWrite(Arc::new(LocalFolder::open(&folder.0).unwrap()));
    let mut mapping = Mapping::new(Some(mount), 17);
    let (task, start) = (mapping.task, mapping.start);
    mapping.change(PAGE);
    assert_eq!(mapping.guest.call(task, MADVISE, &[start, 2 * PAGE, DONTNEED]), Ok(0));
    assert_eq!(mapping.shown(task, PAGE, 5), Ok(expected(PAGE, 5)));
}
