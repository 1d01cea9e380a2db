//! Character devices that keep no state (null(4), full(4), random(4)).

use super::description::Object;
use super::files::FileSystem;
use crate::errno::Errno;
use crate::vfs::DeviceNumber;

/// A device of `/dev`: its name, number and permission bits.
pub(crate) struct DeviceNode {
    pub(crate) name: &'static str,
    pub(crate) number: DeviceNumber,
    pub(crate) mode: u32,
}

const fn node(name: &'static str, major: u32, minor: u32, mode: u32) -> DeviceNode {
    DeviceNode { name, number: DeviceNumber::new(major, minor), mode }
}

const NULL: DeviceNumber = DeviceNumber::new(1, 3);
const ZERO: DeviceNumber = DeviceNumber::new(1, 5);
const FULL: DeviceNumber = DeviceNumber::new(1, 7);
const RANDOM: DeviceNumber = DeviceNumber::new(1, 8);
const URANDOM: DeviceNumber = DeviceNumber::new(1, 9);

/// What `/dev` holds; numbers as in the kernel's devices.txt.
#[rustfmt::skip]
pub(crate) const DEVICES: &[DeviceNode] = &[
    node("null",    1, 3, 0o666),
    node("zero",    1, 5, 0o666),
    node("full",    1, 7, 0o666),
    node("random",  1, 8, 0o666),
    node("urandom", 1, 9, 0o666),
    node("tty",     5, 0, 0o666),
    node("console", 5, 1, 0o600),
    node("ptmx",    5, 2, 0o666),
];

impl FileSystem {
    /// What a description of a device gives access to; ENXIO where no driver answers.
    pub(crate) fn device_object(&self, device: DeviceNumber) -> Result<Object, Errno> {
        match device {
            NULL | ZERO | FULL | RANDOM | URANDOM => Ok(Object::Device(device)),
            _ => Err(Errno::ENXIO),
        }
    }

    /// Reads from a device.
    pub(crate) fn read_device(&mut self, device: DeviceNumber, buffer: &mut [u8]) -> Result<usize, Errno> {
        match device {
            NULL => return Ok(0),
            RANDOM | URANDOM => self.random.fill(buffer),
            _ => buffer.fill(0),
        }
        Ok(buffer.len())
    }

    /// Writes to a device.
    pub(crate) fn write_device(&mut self, device: DeviceNumber, bytes: &[u8]) -> Result<usize, Errno> {
        if device == FULL { Err(Errno::ENOSPC) } else { Ok(bytes.len()) }
    }
}
