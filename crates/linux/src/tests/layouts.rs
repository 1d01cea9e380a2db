//! Structures as a program for i386 sees them: offsets by `gcc -m32` from the kernel's headers.

use super::*;
use crate::vfs::{DirectoryEntry, NodeId, VolumeId};

fn sample() -> (Vnode, Attributes) {
    let time = |seconds| Timestamp { seconds, nanoseconds: seconds as u32 + 1 };
    let owner = Owner { uid: 0x0102, gid: 0x0304 };
    let attributes = Attributes {
        links: 3,
        size: 0x0506_0708,
        blocks: 9,
        accessed: time(11),
        modified: time(22),
        changed: time(33),
        ..Attributes::new(FileType::Regular, 0o644, owner, Timestamp::default())
    };
    (Vnode { volume: VolumeId(1), node: NodeId(0x1234) }, attributes)
}

/// The little-endian number of `size` bytes at `offset`.
fn number(bytes: &[u8], offset: usize, size: usize) -> u64 {
    bytes[offset..offset + size].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Checks fields: name, offset, size, value.
fn check(bytes: &[u8], length: usize, fields: &[(&str, usize, usize, u64)]) {
    assert_eq!(bytes.len(), length);
    for (name, offset, size, value) in fields {
        assert_eq!(number(bytes, *offset, *size), *value, "{name}");
    }
}

#[test]
#[rustfmt::skip]
fn the_stat_family() {
    let (file, attributes) = sample();
    check(stat(file, &attributes).unwrap().as_bytes(), 64, &[
        ("st_dev",    0, 4, 0x11), ("st_ino",   4, 4, 0x1234), ("st_mode",    8, 2, 0o100644), ("st_nlink", 10, 2, 3),
        ("st_uid",   12, 2, 0x102), ("st_gid", 14, 2, 0x304), ("st_size",   20, 4, 0x0506_0708),
        ("st_blksize", 24, 4, 4096), ("st_blocks", 28, 4, 9), ("st_atime", 32, 4, 11), ("st_atime_nsec", 36, 4, 12),
        ("st_mtime", 40, 4, 22), ("st_ctime", 48, 4, 33),
    ]);
    check(stat64(file, &attributes).as_bytes(), 96, &[
        ("st_dev",    0, 8, 0x11), ("__st_ino", 12, 4, 0x1234), ("st_mode", 16, 4, 0o100644), ("st_nlink", 20, 4, 3),
        ("st_uid",   24, 4, 0x102), ("st_gid", 28, 4, 0x304), ("st_rdev", 32, 8, 0), ("st_size", 44, 8, 0x0506_0708),
        ("st_blksize", 52, 4, 4096), ("st_blocks", 56, 8, 9), ("st_atime", 64, 4, 11), ("st_mtime", 72, 4, 22),
        ("st_ctime", 80, 4, 33), ("st_ctime_nsec", 84, 4, 34), ("st_ino", 88, 8, 0x1234),
    ]);
    check(old_stat(file, &attributes).unwrap().as_bytes(), 32, &[
        ("st_ino", 2, 2, 0x1234), ("st_mode", 4, 2, 0o100644), ("st_size", 16, 4, 0x0506_0708), ("st_mtime", 24, 4, 22),
    ]);
    check(statx(file, &attributes, false).as_bytes(), 256, &[
        ("stx_mask", 0, 4, 0x17ff), ("stx_nlink", 16, 4, 3), ("stx_mode", 28, 2, 0o100644), ("stx_ino", 32, 8, 0x1234),
        ("stx_size", 40, 8, 0x0506_0708), ("stx_blocks", 48, 8, 9), ("stx_atime", 64, 8, 11),
        ("stx_ctime", 96, 8, 33), ("stx_mtime", 112, 8, 22), ("stx_dev_minor", 140, 4, 0x11),
    ]);
    let large = Attributes { size: 1 << 31, ..attributes };
    assert_eq!(stat(file, &large).err(), Some(Errno::EOVERFLOW));
}

#[test]
fn directory_entries() {
    let entry = |name: &[u8], node| DirectoryEntry {
        name: name.into(),
        node: NodeId(node),
        file_type: FileType::Directory,
    };
    let entries = [entry(b"abc", 5), entry(b"longer-name", 6)];
    let (wide, count) = encode_entries(&entries, 0, 4096, true).unwrap();
    assert_eq!((count, wide.len()), (2, 24 + 32));
    check(
        &wide[..24],
        24,
        &[("d_ino", 0, 8, 5), ("d_off", 8, 8, 1), ("d_reclen", 16, 2, 24), ("d_type", 18, 1, 4)],
    );
    assert_eq!(&wide[19..23], b"abc\0");
    let (short, count) = encode_entries(&entries, 1, 24, false).unwrap();
    assert_eq!(count, 1);
    check(
        &short,
        24,
        &[("d_ino", 0, 4, 6), ("d_off", 4, 4, 2), ("d_reclen", 8, 2, 24), ("d_type", 23, 1, 4)],
    );
    assert_eq!(&short[10..22], b"longer-name\0");
    assert_eq!(encode_entries(&entries, 0, 23, true), Err(Errno::EINVAL), "no room for even one");
    assert_eq!(encode_entries(&entries, 2, 0, true), Ok((Vec::new(), 0)), "the end");
}

#[test]
fn device_numbers_survive_encoding() {
    for (major, minor, word) in [(1, 3, 0x103), (136, 5, 0x8805), (8, 0x1_2345, 0x1230_0845)] {
        assert_eq!(DeviceNumber::new(major, minor).encode(), word);
        assert_eq!(DeviceNumber::decode(word), DeviceNumber::new(major, minor));
    }
}
