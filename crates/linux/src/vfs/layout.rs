//! The structures of i386 that file calls fill in (the kernel's `asm/stat.h`, `linux/stat.h`,
//! `linux/dirent.h`, `asm/statfs.h`).

use super::attributes::{Attributes, Timestamp};
use super::vnode::{Vnode, VolumeId};
use super::volume::{DirectoryEntry, VolumeStatistics};
use crate::errno::Errno;
use crate::record::Record;

/// Preferred size of transfers, as `st_blksize` gives it.
const BLOCK_SIZE: u32 = 4096;

/// `st_dev`: major 0, as file systems without a disk have it, and the volume as minor number.
fn device_of(vnode: Vnode) -> (u32, u32) {
    if vnode.volume == VolumeId::ANONYMOUS { (0, 0xf) } else { (0, 0x10 + vnode.volume.0) }
}

fn encoded_device(vnode: Vnode) -> u32 {
    let (major, minor) = device_of(vnode);
    super::attributes::DeviceNumber::new(major, minor).encode()
}

fn mode_word(attributes: &Attributes) -> u32 {
    attributes.file_type.mode_bits() | attributes.mode
}

/// 16 bits of an id, or the overflow id where it needs more (`overflowuid`).
pub(crate) fn short_id(id: u32) -> u16 {
    u16::try_from(id).unwrap_or(65534)
}

/// `struct __old_kernel_stat` (oldstat, oldlstat, oldfstat): 32 bytes.
pub(crate) fn old_stat(vnode: Vnode, attributes: &Attributes) -> Result<Record, Errno> {
    let size = u32::try_from(attributes.size).ok().filter(|size| *size < 1 << 31);
    Ok(Record::new()
        .u16(encoded_device(vnode) as u16)
        .u16(vnode.node.inode() as u16)
        .u16(mode_word(attributes) as u16)
        .u16(u16::try_from(attributes.links).unwrap_or(u16::MAX))
        .u16(short_id(attributes.uid))
        .u16(short_id(attributes.gid))
        .u16(attributes.device.encode() as u16)
        .u16(0)
        .u32(size.ok_or(Errno::EOVERFLOW)?)
        .u32(attributes.accessed.seconds as u32)
        .u32(attributes.modified.seconds as u32)
        .u32(attributes.changed.seconds as u32))
}

/// `struct stat` (stat, lstat, fstat): 64 bytes. EOVERFLOW where the size does not fit 31 bits.
pub(crate) fn stat(vnode: Vnode, attributes: &Attributes) -> Result<Record, Errno> {
    let size = u32::try_from(attributes.size).ok().filter(|size| *size < 1 << 31);
    let record = Record::new()
        .u32(encoded_device(vnode))
        .u32(vnode.node.inode())
        .u16(mode_word(attributes) as u16)
        .u16(u16::try_from(attributes.links).unwrap_or(u16::MAX))
        .u16(short_id(attributes.uid))
        .u16(short_id(attributes.gid))
        .u32(attributes.device.encode())
        .u32(size.ok_or(Errno::EOVERFLOW)?)
        .u32(BLOCK_SIZE)
        .u32(attributes.blocks as u32);
    Ok(times32(record, attributes).pad_to(64))
}

/// `struct stat64` (stat64, lstat64, fstat64, fstatat64): 96 bytes.
pub(crate) fn stat64(vnode: Vnode, attributes: &Attributes) -> Record {
    let record = Record::new()
        .u64(encoded_device(vnode).into())
        .u32(0)
        .u32(vnode.node.inode())
        .u32(mode_word(attributes))
        .u32(attributes.links)
        .u32(attributes.uid)
        .u32(attributes.gid)
        .u64(attributes.device.encode().into())
        .u32(0)
        .u64(attributes.size)
        .u32(BLOCK_SIZE)
        .u64(attributes.blocks);
    times32(record, attributes).u64(vnode.node.inode().into())
}

fn times32(record: Record, attributes: &Attributes) -> Record {
    [attributes.accessed, attributes.modified, attributes.changed]
        .iter()
        .fold(record, |record, time| record.u32(time.seconds as u32).u32(time.nanoseconds))
}

/// `struct statx`: 256 bytes, with the basic fields and the birth time.
pub(crate) fn statx(vnode: Vnode, attributes: &Attributes, mount_root: bool) -> Record {
    const STATX_BASIC_STATS: u32 = 0x7ff;
    const STATX_MNT_ID: u32 = 0x1000;
    const STATX_ATTR_MOUNT_ROOT: u64 = 0x2000;
    let (major, minor) = device_of(vnode);
    let time = |record: Record, time: Timestamp| record.u64(time.seconds as u64).u32(time.nanoseconds).u32(0);
    let mut record = Record::new()
        .u32(STATX_BASIC_STATS | STATX_MNT_ID)
        .u32(BLOCK_SIZE)
        .u64(if mount_root { STATX_ATTR_MOUNT_ROOT } else { 0 })
        .u32(attributes.links)
        .u32(attributes.uid)
        .u32(attributes.gid)
        .u16(mode_word(attributes) as u16)
        .u16(0)
        .u64(vnode.node.inode().into())
        .u64(attributes.size)
        .u64(attributes.blocks)
        .u64(STATX_ATTR_MOUNT_ROOT);
    let no_birth = Timestamp::default();
    for moment in [attributes.accessed, no_birth, attributes.changed, attributes.modified] {
        record = time(record, moment);
    }
    record
        .u32(attributes.device.major)
        .u32(attributes.device.minor)
        .u32(major)
        .u32(minor)
        .u64(u64::from(vnode.volume.0) + 1)
        .pad_to(256)
}

/// `struct statfs`: 64 bytes. Counts that do not fit 32 bits are EOVERFLOW.
pub(crate) fn statfs(vnode: Vnode, figures: &VolumeStatistics, read_only: bool) -> Result<Record, Errno> {
    let word = |count: u64| u32::try_from(count).map_err(|_| Errno::EOVERFLOW);
    Ok(Record::new()
        .u32(figures.magic)
        .u32(BLOCK_SIZE)
        .u32(word(figures.blocks)?)
        .u32(word(figures.free_blocks)?)
        .u32(word(figures.free_blocks)?)
        .u32(word(figures.files)?)
        .u32(word(figures.free_files)?)
        .u64(encoded_device(vnode).into())
        .u32(255)
        .u32(BLOCK_SIZE)
        .u32(mount_flags(read_only))
        .pad_to(64))
}

/// `struct statfs64`: 84 bytes.
pub(crate) fn statfs64(vnode: Vnode, figures: &VolumeStatistics, read_only: bool) -> Record {
    Record::new()
        .u32(figures.magic)
        .u32(BLOCK_SIZE)
        .u64(figures.blocks)
        .u64(figures.free_blocks)
        .u64(figures.free_blocks)
        .u64(figures.files)
        .u64(figures.free_files)
        .u64(encoded_device(vnode).into())
        .u32(255)
        .u32(BLOCK_SIZE)
        .u32(mount_flags(read_only))
        .pad_to(84)
}

fn mount_flags(read_only: bool) -> u32 {
    const ST_RDONLY: u32 = 1;
    const ST_VALID: u32 = 0x20;
    ST_VALID | if read_only { ST_RDONLY } else { 0 }
}

/// Encodes directory entries into at most `room` bytes: `linux_dirent64`, or `linux_dirent` unless
/// `wide`. Gives the bytes and how many entries they hold; EINVAL where not even one fits.
pub(crate) fn encode_entries(
    entries: &[DirectoryEntry],
    first: usize,
    room: usize,
    wide: bool,
) -> Result<(Vec<u8>, usize), Errno> {
    let (header, align) = if wide { (19, 8) } else { (10, 4) };
    let mut bytes = Vec::new();
    let mut count = 0;
    for (index, entry) in entries.iter().enumerate().skip(first) {
        // The short form has the type in its last byte, behind the name's zero.
        let length = (header + entry.name.len() + if wide { 1 } else { 2 }).next_multiple_of(align);
        if bytes.len() + length > room {
            break;
        }
        let cookie = index as u64 + 1;
        let record = if wide {
            Record::new()
                .u64(entry.node.inode().into())
                .u64(cookie)
                .u16(length as u16)
                .u8(entry.file_type.entry_type())
                .bytes(&entry.name)
                .pad_to(length)
        } else {
            Record::new()
                .u32(entry.node.inode())
                .u32(cookie as u32)
                .u16(length as u16)
                .bytes(&entry.name)
                .pad_to(length - 1)
                .u8(entry.file_type.entry_type())
        };
        bytes.extend_from_slice(record.as_bytes());
        count += 1;
    }
    if count == 0 && first < entries.len() { Err(Errno::EINVAL) } else { Ok((bytes, count)) }
}
