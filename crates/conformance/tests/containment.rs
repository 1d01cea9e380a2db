//! A program that tries every way out of its machine, with folders of the host mounted in every
//! way: it finds none, and what lies beside the folders stays as it was.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use std::net::TcpListener;
use std::path::Path;

use pentimento::linux::{Limits, Mount};
use pentimento::{Capture, Halt, Machine};
use pentimento_conformance::system_calls::Cage;

/// Far more than the program needs.
const MOST_INSTRUCTIONS: u64 = 4_000_000_000;

/// The three ways to mount a folder of the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    ReadOnly,
    CopyOnWrite,
    ReadWrite,
}

impl Way {
    fn mount(self, cage: &Cage) -> Mount {
        match self {
            Self::ReadOnly => Mount::ReadOnly(cage.read_only()),
            Self::CopyOnWrite => Mount::CopyOnWrite(cage.read_only()),
            Self::ReadWrite => Mount::ReadWrite(cage.writable()),
        }
    }
}

/// The marker as the program takes it: it must not hold it in plain.
fn veiled(secret: &[u8]) -> String {
    secret.iter().map(|byte| char::from(byte ^ 1)).collect()
}

fn check(root: Way, mnt: Way) {
    let cage = Cage::new(&std::env::temp_dir()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let output = Capture::new();
    let limits =
        Limits { processes: 64, tasks: 128, memory_files: 64 << 20, inodes: 10_000, ..Limits::default() };
    let mut machine =
        Machine::builder().limits(limits).stdout(output.clone()).stderr(output.clone()).build().unwrap();
    machine.kernel().mount(b"/", root.mount(&cage)).unwrap();
    machine.kernel().mount(b"/mnt", mnt.mount(&cage)).unwrap();
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/machines/escape");
    let canary = cage.canary().to_string_lossy().into_owned();
    let port = listener.local_addr().unwrap().port().to_string();
    let arguments = ["escape", &canary, &veiled(cage.secret()), &port, "1"];
    machine.load_file(program, &arguments, &[]).unwrap();
    let halt = machine.run(MOST_INSTRUCTIONS);
    let text = output.text();
    assert_eq!(halt, Halt::Exited(0), "{root:?} with {mnt:?}: {text}");
    assert!(text.contains("ways tried, 0 lead out"), "{root:?} with {mnt:?}: {text}");
    let held = output.bytes();
    assert!(!held.windows(cage.secret().len()).any(|part| part == cage.secret()), "it told what it saw");
    assert_eq!(cage.changes().unwrap(), Vec::<String>::new(), "{root:?} with {mnt:?}");
    assert!(listener.accept().is_err(), "{root:?} with {mnt:?}: somebody connected");
}

#[test]
fn nothing_leads_out_of_a_read_only_root() {
    check(Way::ReadOnly, Way::CopyOnWrite);
}

#[test]
fn nothing_leads_out_of_a_copied_root() {
    check(Way::CopyOnWrite, Way::ReadWrite);
}

#[test]
fn nothing_leads_out_of_a_root_that_is_written() {
    check(Way::ReadWrite, Way::ReadOnly);
}
