//! Open file descriptions (open(2), "Open file descriptions"): what descriptors share after
//! `dup` and `fork`.

use std::sync::Arc;

use bitflags::bitflags;

use super::object::Object;
use crate::vfs::Vnode;

bitflags! {
    /// The `O_*` flags of i386 (open(2)).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub(crate) struct OpenFlags: u32 {
        const O_WRONLY = 0o1;
        const O_RDWR = 0o2;
        const O_CREAT = 0o100;
        const O_EXCL = 0o200;
        const O_NOCTTY = 0o400;
        const O_TRUNC = 0o1000;
        const O_APPEND = 0o2000;
        const O_NONBLOCK = 0o4000;
        const O_DSYNC = 0o10000;
        const O_ASYNC = 0o20000;
        const O_DIRECT = 0o40000;
        const O_LARGEFILE = 0o100000;
        const O_DIRECTORY = 0o200000;
        const O_NOFOLLOW = 0o400000;
        const O_NOATIME = 0o1000000;
        const O_CLOEXEC = 0o2000000;
        const O_SYNC = 0o4010000;
        const O_PATH = 0o10000000;
        const O_TMPFILE = 0o20200000;
        /// Bits that open(2) ignores.
        const _ = !0;
    }
}

impl OpenFlags {
    /// What F_GETFL gives: everything but what matters only to the opening.
    pub(crate) const KEPT: Self = Self::from_bits_retain(
        !(Self::O_CREAT.bits()
            | Self::O_EXCL.bits()
            | Self::O_NOCTTY.bits()
            | Self::O_TRUNC.bits()
            | Self::O_CLOEXEC.bits()),
    );

    /// The flags that open(2) knows.
    pub(crate) const KNOWN: Self = Self::from_bits_retain(0o37_777_703);

    /// What F_SETFL can change.
    pub(crate) const SETTABLE: Self = Self::from_bits_retain(
        Self::O_APPEND.bits()
            | Self::O_NONBLOCK.bits()
            | Self::O_ASYNC.bits()
            | Self::O_DIRECT.bits()
            | Self::O_NOATIME.bits(),
    );

    /// Whether the access mode allows reading.
    pub(crate) fn reads(self) -> bool {
        matches!(self.bits() & 3, 0 | 2) && !self.contains(Self::O_PATH)
    }

    /// Whether the access mode allows writing.
    pub(crate) fn writes(self) -> bool {
        matches!(self.bits() & 3, 1 | 2) && !self.contains(Self::O_PATH)
    }
}

/// An open file.
#[derive(Clone, Debug)]
pub(crate) struct Description {
    pub(crate) object: Arc<dyn Object>,
    /// The file, which it keeps.
    pub(crate) vnode: Vnode,
    pub(crate) flags: OpenFlags,
    /// Where the next read or write of a regular file starts; the index of the next entry of a
    /// directory.
    pub(crate) offset: u64,
    /// Who gets SIGIO (F_SETOWN).
    pub(crate) owner: u32,
}

impl Description {
    /// Whether it is only the place in the tree (O_PATH), on which most calls are EBADF.
    pub(crate) fn is_path(&self) -> bool {
        self.flags.contains(OpenFlags::O_PATH)
    }

    /// The object as what it is, if it is a `T`.
    pub(crate) fn as_kind<T: Object>(&self) -> Option<&T> {
        self.object.as_kind()
    }
}
