//! What a file is, apart from its content: type, permission bits, owner, times, sizes.

use crate::errno::Errno;

/// A point in time: seconds and nanoseconds since 1970-01-01 00:00 UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp {
    /// Whole seconds.
    pub seconds: i64,
    /// The rest, 0 to 999,999,999.
    pub nanoseconds: u32,
}

/// The seven types of file that `st_mode` tells apart (inode(7)).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FileType {
    /// A sequence of bytes.
    Regular,
    /// Names of other files.
    Directory,
    /// A path as text.
    Symlink,
    /// A terminal or another byte device.
    CharacterDevice,
    /// A disk; the machine has none, but nodes may exist.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A unix socket's name.
    Socket,
}

impl FileType {
    /// The `S_IFMT` bits of `st_mode`.
    #[must_use]
    pub const fn mode_bits(self) -> u32 {
        match self {
            Self::Fifo => 0o010000,
            Self::CharacterDevice => 0o020000,
            Self::Directory => 0o040000,
            Self::BlockDevice => 0o060000,
            Self::Regular => 0o100000,
            Self::Symlink => 0o120000,
            Self::Socket => 0o140000,
        }
    }

    /// The type that `mode`'s `S_IFMT` bits name.
    #[must_use]
    pub const fn from_mode(mode: u32) -> Option<Self> {
        Some(match mode & 0o170000 {
            0o010000 => Self::Fifo,
            0o020000 => Self::CharacterDevice,
            0o040000 => Self::Directory,
            0o060000 => Self::BlockDevice,
            0o100000 => Self::Regular,
            0o120000 => Self::Symlink,
            0o140000 => Self::Socket,
            _ => return None,
        })
    }

    /// The `DT_*` value of directory entries (readdir(3)).
    #[must_use]
    pub const fn entry_type(self) -> u8 {
        (self.mode_bits() >> 12) as u8
    }
}

/// Device number of a device node, as `makedev(3)` combines it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct DeviceNumber {
    /// The driver.
    pub major: u32,
    /// The driver's unit.
    pub minor: u32,
}

impl DeviceNumber {
    /// `major:minor`.
    #[must_use]
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// The 32-bit encoding of the kernel's `new_encode_dev`, which `stat64`, `statx` and `mknod` use.
    #[must_use]
    pub const fn encode(self) -> u32 {
        (self.minor & 0xff) | ((self.major & 0xfff) << 8) | ((self.minor & 0xf_ff00) << 12)
    }

    /// The inverse of [`DeviceNumber::encode`].
    #[must_use]
    pub const fn decode(word: u32) -> Self {
        Self { major: word >> 8 & 0xfff, minor: (word & 0xff) | (word >> 12 & 0xf_ff00) }
    }
}

/// All that `stat` tells of a file except the volume and inode number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Attributes {
    /// The type of the file.
    pub(crate) file_type: FileType,
    /// The twelve permission bits (`07777`).
    pub(crate) mode: u32,
    /// Owner.
    pub(crate) uid: u32,
    /// The group's number.
    pub(crate) gid: u32,
    /// Names that lead to the file.
    pub(crate) links: u32,
    /// Bytes of content.
    pub(crate) size: u64,
    /// 512-byte blocks in use.
    pub(crate) blocks: u64,
    /// Which device a device node stands for.
    pub(crate) device: DeviceNumber,
    /// Last read.
    pub(crate) accessed: Timestamp,
    /// Last write.
    pub(crate) modified: Timestamp,
    /// Last change of anything.
    pub(crate) changed: Timestamp,
}

impl Attributes {
    /// Attributes of a new and empty file with one link (two for a directory).
    pub(crate) fn new(file_type: FileType, mode: u32, owner: Owner, now: Timestamp) -> Self {
        Self {
            file_type,
            mode: mode & 0o7777,
            uid: owner.uid,
            gid: owner.gid,
            links: if file_type == FileType::Directory { 2 } else { 1 },
            size: 0,
            blocks: 0,
            device: DeviceNumber::default(),
            accessed: now,
            modified: now,
            changed: now,
        }
    }

    /// Whether the file is a directory.
    pub(crate) fn is_directory(&self) -> bool {
        self.file_type == FileType::Directory
    }
}

/// User and group of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Owner {
    /// User.
    pub(crate) uid: u32,
    /// The group's number.
    pub(crate) gid: u32,
}

/// Whose rights count in file access: the file-system uid and gid and the supplementary groups
/// (credentials(7)).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct FileCredentials<'a> {
    /// User; 0 may do everything.
    pub(crate) uid: u32,
    /// The group's number.
    pub(crate) gid: u32,
    /// Supplementary groups.
    pub(crate) groups: &'a [u32],
}

/// `R_OK` of access(2).
pub(crate) const MAY_READ: u32 = 4;
/// `W_OK` of access(2).
pub(crate) const MAY_WRITE: u32 = 2;
/// `X_OK` of access(2): execute a file, search a directory.
pub(crate) const MAY_EXECUTE: u32 = 1;

impl FileCredentials<'_> {
    /// The owner that new files get.
    pub(crate) fn owner(&self) -> Owner {
        Owner { uid: self.uid, gid: self.gid }
    }

    /// Whether one of the groups is `gid`.
    pub(crate) fn in_group(&self, gid: u32) -> bool {
        self.gid == gid || self.groups.contains(&gid)
    }

    /// Whether the user is the owner or root.
    pub(crate) fn owns(&self, attributes: &Attributes) -> bool {
        self.uid == 0 || self.uid == attributes.uid
    }

    /// Whether `wanted` (a sum of `MAY_*`) is allowed: path_resolution(7), "Permissions".
    pub(crate) fn check(&self, attributes: &Attributes, wanted: u32) -> Result<(), Errno> {
        let bits = if self.uid == 0 {
            // Root may not execute what nobody may execute.
            let executable = attributes.is_directory() || attributes.mode & 0o111 != 0;
            MAY_READ | MAY_WRITE | if executable { MAY_EXECUTE } else { 0 }
        } else if self.uid == attributes.uid {
            attributes.mode >> 6
        } else if self.in_group(attributes.gid) {
            attributes.mode >> 3
        } else {
            attributes.mode
        };
        if wanted & !bits & 7 == 0 { Ok(()) } else { Err(Errno::EACCES) }
    }
}

/// A change of attributes; `None` leaves a field as it is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Change {
    pub(crate) mode: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) size: Option<u64>,
    pub(crate) accessed: Option<Timestamp>,
    pub(crate) modified: Option<Timestamp>,
}

impl Change {
    /// Sets the fields of `attributes`, except the size, which the content's owner must see to.
    pub(crate) fn apply(&self, attributes: &mut Attributes, now: Timestamp) {
        attributes.mode = self.mode.map_or(attributes.mode, |mode| mode & 0o7777);
        attributes.uid = self.uid.unwrap_or(attributes.uid);
        attributes.gid = self.gid.unwrap_or(attributes.gid);
        attributes.accessed = self.accessed.unwrap_or(attributes.accessed);
        attributes.modified = self.modified.unwrap_or(attributes.modified);
        attributes.changed = now;
    }
}
