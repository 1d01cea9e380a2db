//! Character devices that keep no state (null(4), full(4), random(4)).

use std::sync::Arc;

use super::description::{Description, OpenFlags};
use super::files::{Files, Opener};
use super::object::{Mappable, Object, Transfer, Whence};
use crate::arena::Id;
use crate::errno::Errno;
use crate::vfs::{Caller, DeviceNumber, Vnode};
use crate::wait::Failure;

/// Major number of the devices here.
pub(crate) const MEMORY_MAJOR: u32 = 1;

/// A device, by what it gives and takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Device {
    /// `/dev/null`: nothing, and takes everything.
    Null,
    /// `/dev/zero`: zeros, and takes everything.
    Zero,
    /// `/dev/full`: zeros, and takes nothing.
    Full,
    /// `/dev/random` and `/dev/urandom`.
    Random,
}

/// Opens the devices with major number 1.
pub(crate) struct MemoryDevices;

impl Opener for MemoryDevices {
    fn open(
        &self,
        files: &mut Files,
        _: &Caller<'_>,
        file: Vnode,
        device: DeviceNumber,
        flags: OpenFlags,
    ) -> Result<Id<Description>, Errno> {
        let device = match device.minor {
            3 => Device::Null,
            5 => Device::Zero,
            7 => Device::Full,
            8 | 9 => Device::Random,
            _ => return Err(Errno::ENXIO),
        };
        Ok(files.add_description(Arc::new(device), file, flags))
    }
}

impl Object for Device {
    fn read(&self, files: &mut Files, _: &Transfer<'_>, buffer: &mut [u8]) -> Result<usize, Failure> {
        match self {
            Self::Null => return Ok(0),
            Self::Random => files.random.fill(buffer),
            Self::Zero | Self::Full => buffer.fill(0),
        }
        Ok(buffer.len())
    }

    fn write(&self, _: &mut Files, _: &Transfer<'_>, bytes: &[u8]) -> Result<usize, Failure> {
        if *self == Self::Full { Err(Errno::ENOSPC.into()) } else { Ok(bytes.len()) }
    }

    fn check_positions(&self) -> Result<(), Errno> {
        Ok(())
    }

    fn seek(&self, _: &mut Files, _: &Transfer<'_>, _: i64, _: Whence) -> Result<u64, Errno> {
        Ok(0)
    }

    fn mappable(&self) -> Result<Mappable, Errno> {
        if *self == Self::Zero { Ok(Mappable::Zeros) } else { Err(Errno::ENODEV) }
    }

    fn reads_whole(&self) -> bool {
        true
    }
}
