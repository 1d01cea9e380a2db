//! What a machine's memory file takes of the host process's limits. A test binary of its own, because it
//! looks at the whole process.
#![cfg(all(feature = "std", target_os = "linux", target_pointer_width = "64"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use pentimento_memory::{AddressSpace, Backing, FrameSource, Permissions};

/// Bytes that count towards the limit of the process's data (setrlimit(2), RLIMIT_DATA).
fn data() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[test]
fn a_memory_file_is_no_data_of_the_host_process() {
    const MIB: u64 = 1 << 20;
    let before = data();
    let frames = FrameSource::new();
    let mut space = AddressSpace::try_new_from(&frames, Backing::Paged).unwrap();
    space.map(0, 16 << 20, Permissions::READ | Permissions::WRITE).unwrap();
    space.fill(0, 1u8, 16 << 20).unwrap();
    assert!(frames.used_bytes() > 15 * MIB);
    assert!(data() < before + 2 * MIB, "{} bytes became {}", before, data());
}
