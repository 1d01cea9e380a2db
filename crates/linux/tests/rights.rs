//! Rights that are checked once must not grow afterwards.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

mod guest;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use guest::{DATA, Guest};
use pentimento_linux::{Errno, LocalFolder, Mount, TaskId};

const WRITE: u32 = 4;
const OPEN: u32 = 5;
const CREAT: u32 = 8;
const EXECUTABLE: u32 = 0o755;
const CHMOD: u32 = 15;
const MKDIR: u32 = 39;
const UMASK: u32 = 60;
const MUNMAP: u32 = 91;
const FTRUNCATE: u32 = 93;
const MPROTECT: u32 = 125;
const MSYNC: u32 = 144;
const MREMAP: u32 = 163;
const MMAP2: u32 = 192;
const STAT64: u32 = 195;

const PAGE: u32 = 4096;
const READ: u32 = 1;
const READ_WRITE: u32 = 3;
const SHARED: u32 = 1;
const FIXED: u32 = 0x10;

/// A folder of the host, written by the guest in place and gone at the end.
struct Cage {
    path: PathBuf,
    guest: Guest,
    task: TaskId,
}

impl Cage {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pentimento-rights-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        let mut guest = Guest::new();
        let folder = Arc::new(LocalFolder::open(&path).unwrap());
        guest.kernel.mount(b"/mnt", Mount::ReadWrite(folder)).unwrap();
        let task = guest.running();
        Self { path, guest, task }
    }

    /// The address of `/mnt/NAME`.
    fn name(&mut self, name: &str) -> u32 {
        let path = format!("/mnt/{name}\0");
        self.guest.kernel.parts(self.task).unwrap().memory.write_bytes(DATA, path.as_bytes()).unwrap();
        DATA
    }

    fn call(&mut self, number: u32, arguments: &[u32]) -> Result<u32, Errno> {
        self.guest.call(self.task, number, arguments)
    }

    fn mode_on_host(&self, name: &str) -> u32 {
        std::fs::metadata(self.path.join(name)).unwrap().permissions().mode() & 0o7777
    }

    /// `st_mode` as the guest sees it.
    fn mode_in_machine(&mut self, name: &str) -> u32 {
        let path = self.name(name);
        self.call(STAT64, &[path, DATA + 512]).unwrap();
        self.guest.peek(self.task, DATA + 512 + 16) & 0o7777
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

#[test]
fn a_shared_mapping_of_a_file_opened_for_reading_stays_readable_only() {
    let mut cage = Cage::new("mapping");
    std::fs::write(cage.path.join("file"), [b'a'; 2 * PAGE as usize]).unwrap();
    let path = cage.name("file");
    let reads = cage.call(OPEN, &[path, 0]).unwrap();
    let writes = cage.call(OPEN, &[path, 2]).unwrap();
    let at = cage.call(MMAP2, &[0, 2 * PAGE, READ, SHARED, reads, 0]).unwrap();
    assert_eq!(cage.call(MPROTECT, &[at, PAGE, READ_WRITE]), Err(Errno::EACCES));
    // Neither a part nor a moved mapping, nor one next to a writable one, gains the right.
    assert_eq!(cage.call(MPROTECT, &[at + PAGE, PAGE, 2]), Err(Errno::EACCES));
    assert_eq!(cage.call(MMAP2, &[at, PAGE, READ, SHARED | FIXED, writes, 0]), Ok(at));
    assert_eq!(cage.call(MPROTECT, &[at, 2 * PAGE, READ_WRITE]), Err(Errno::EACCES));
    let task = cage.task;
    let memory = cage.guest.kernel.parts(task).unwrap().memory;
    assert!(memory.write(at, b'b').is_ok(), "what comes before the refused part has changed");
    assert!(memory.write(at + PAGE, b'b').is_err());
    let moved = cage.call(MREMAP, &[at + PAGE, PAGE, 4 * PAGE, 1]).unwrap();
    assert_eq!(cage.call(MPROTECT, &[moved, PAGE, READ_WRITE]), Err(Errno::EACCES));
    assert_eq!(cage.call(MSYNC, &[at, PAGE, 4]), Ok(0));
    let content = std::fs::read(cage.path.join("file")).unwrap();
    assert_eq!((content[0], content[1], content[PAGE as usize]), (b'b', b'a', b'a'));
}

#[test]
fn private_mappings_of_files_opened_for_reading_may_be_written() {
    let mut cage = Cage::new("private");
    std::fs::write(cage.path.join("file"), [b'a'; PAGE as usize]).unwrap();
    let path = cage.name("file");
    let reads = cage.call(OPEN, &[path, 0]).unwrap();
    let at = cage.call(MMAP2, &[0, PAGE, READ, 2, reads, 0]).unwrap();
    assert_eq!(cage.call(MPROTECT, &[at, PAGE, READ_WRITE]), Ok(0));
}

#[test]
fn a_mapping_that_reads_puts_nothing_back_over_what_the_host_wrote() {
    let mut cage = Cage::new("stale");
    std::fs::write(cage.path.join("file"), [b'a'; PAGE as usize]).unwrap();
    let path = cage.name("file");
    let reads = cage.call(OPEN, &[path, 0]).unwrap();
    let at = cage.call(MMAP2, &[0, PAGE, READ, SHARED, reads, 0]).unwrap();
    std::fs::write(cage.path.join("file"), [b'h'; PAGE as usize]).unwrap();
    assert_eq!(cage.call(MSYNC, &[at, PAGE, 4]), Ok(0));
    assert_eq!(cage.call(MUNMAP, &[at, PAGE]), Ok(0));
    assert_eq!(std::fs::read(cage.path.join("file")).unwrap(), [b'h'; PAGE as usize]);
}

#[test]
fn descriptors_that_read_change_no_file() {
    let mut cage = Cage::new("descriptor");
    std::fs::write(cage.path.join("file"), b"abc").unwrap();
    let path = cage.name("file");
    let reads = cage.call(OPEN, &[path, 0]).unwrap();
    const F_SETFL: u32 = 4;
    assert_eq!(cage.call(55, &[reads, F_SETFL, 2]), Ok(0));
    assert_eq!(cage.call(WRITE, &[reads, DATA, 1]), Err(Errno::EBADF));
    assert_eq!(cage.call(FTRUNCATE, &[reads, 0]), Err(Errno::EINVAL));
    const FALLOCATE: u32 = 324;
    assert_eq!(cage.call(FALLOCATE, &[reads, 0, 0, 0, 99, 0]), Err(Errno::EBADF));
    assert_eq!(std::fs::read(cage.path.join("file")).unwrap(), b"abc");
}

#[test]
fn special_bits_stay_in_the_machine() {
    let mut cage = Cage::new("bits");
    cage.call(UMASK, &[0]).unwrap();
    let path = cage.name("made");
    cage.call(OPEN, &[path, 0o102, 0o6777]).unwrap();
    let path = cage.name("chosen");
    cage.call(CREAT, &[path, 0o600]).unwrap();
    cage.call(CHMOD, &[path, 0o4777]).unwrap();
    let path = cage.name("folder");
    cage.call(MKDIR, &[path, 0o3777]).unwrap();
    cage.call(CHMOD, &[path, 0o3777]).unwrap();
    for (name, seen) in [("made", 0o6000), ("chosen", 0o4777), ("folder", 0o3777)] {
        assert_eq!(cage.mode_on_host(name) & 0o7000, 0, "{name}");
        assert_eq!(cage.mode_in_machine(name) & seen, seen, "{name}");
    }
    assert_eq!(cage.mode_on_host("chosen"), 0o777, "chmod(2) is for the guest to decide");
    let path = cage.name("chosen");
    cage.call(CHMOD, &[path, 0o640]).unwrap();
    assert_eq!((cage.mode_in_machine("chosen"), cage.mode_on_host("chosen")), (0o640, 0o640));
}

#[test]
fn files_that_the_guest_makes_obey_the_umask_of_the_host() {
    let mut cage = Cage::new("umask");
    // What the host's own umask leaves of everything.
    std::fs::write(cage.path.join("own"), b"").unwrap();
    let own = cage.mode_on_host("own");
    cage.call(UMASK, &[0]).unwrap();
    let path = cage.name("file");
    cage.call(CREAT, &[path, 0o666]).unwrap();
    assert_eq!((cage.mode_on_host("file"), cage.mode_in_machine("file")), (own, own));
}

#[test]
fn a_program_of_the_host_loses_its_set_user_id_bit_before_the_guest_writes_to_it() {
    let mut cage = Cage::new("program");
    for (name, flags) in [("written", 1), ("cut", 0o1001)] {
        std::fs::write(cage.path.join(name), b"program").unwrap();
        let mode = std::fs::Permissions::from_mode(0o6000 | EXECUTABLE);
        std::fs::set_permissions(cage.path.join(name), mode).unwrap();
        let path = cage.name(name);
        let fd = cage.call(OPEN, &[path, flags]).unwrap();
        cage.call(WRITE, &[fd, DATA, 1]).unwrap();
        assert_eq!(cage.mode_on_host(name), EXECUTABLE, "{name}");
    }
}
