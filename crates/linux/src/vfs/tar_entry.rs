//! Entries of tar files: ustar headers, and the PAX records before them that say what has no room there
//! (POSIX, pax, "ustar Interchange Format" and "pax Header Block").
//!
//! The `tar` crate knows the fields of a header. Its archives are not used: they read long names of any
//! length into memory, and split records at line feeds, which a value may hold.

use tar::{EntryType, Header};

use super::attributes::{DeviceNumber, Timestamp};

/// Bytes of a header, and what everything in a tar file is padded to.
pub const TAR_BLOCK: usize = 512;

/// In a second.
const NANOSECONDS: i128 = 1_000_000_000;

/// Bytes of a name or of a link's target for which a header has room.
const NAME_ROOM: usize = 100;

/// What a header says of its entry, and the records before it.
#[derive(Clone, Debug)]
pub struct TarEntry {
    /// The entry's path in the archive.
    pub path: Vec<u8>,
    /// Its type: `0` or NUL a file, `1` a hard link, `2` a symbolic one, `5` a directory and so on.
    pub kind: u8,
    /// The twelve permission bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Bytes of content that follow.
    pub size: u64,
    /// When the content was last changed.
    pub modified: Timestamp,
    /// What a link leads to: a path in the archive for a hard one, the text of a symbolic one.
    pub target: Vec<u8>,
    /// Which device it is, zero for all that is none.
    pub device: DeviceNumber,
}

/// What the records before an entry say of it, in place of its header.
#[derive(Clone, Default, Debug)]
pub struct TarAmendments {
    /// [`TarEntry::path`].
    pub path: Option<Vec<u8>>,
    /// [`TarEntry::target`].
    pub target: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    modified: Option<Timestamp>,
}

impl TarAmendments {
    /// Takes the content of an entry of type `x` or `g`; records that are not about fields of
    /// [`TarEntry`] go to `other`. `None` if one cannot be read.
    #[must_use]
    pub fn take(&mut self, records: &[u8], mut other: impl FnMut(&[u8], &[u8]) -> Option<()>) -> Option<()> {
        pax_records(records)?.into_iter().try_for_each(|(key, value)| {
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.target = Some(value.to_vec()),
                b"size" => self.size = Some(decimal(value)?),
                b"uid" => self.uid = Some(decimal(value)?.try_into().ok()?),
                b"gid" => self.gid = Some(decimal(value)?.try_into().ok()?),
                b"mtime" => self.modified = Some(pax_time(value)?),
                _ => other(key, value)?,
            }
            Some(())
        })
    }
}

impl TarEntry {
    /// What a header says.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(block: &[u8; TAR_BLOCK]) -> Result<Self, &'static str> {
        let header = Header::from_byte_slice(block);
        if !has_checksum(header) {
            return Err("a header with a wrong checksum");
        }
        let id = |field: std::io::Result<u64>| field.ok().and_then(|id| u32::try_from(id).ok());
        let device = |field: std::io::Result<Option<u32>>| field.ok().flatten().unwrap_or(0);
        let bad = "a field that is no number";
        Ok(Self {
            path: header.path_bytes().into_owned(),
            kind: header.entry_type().as_byte(),
            mode: header.mode().map_err(|_| bad)? & 0o7777,
            uid: id(header.uid()).ok_or(bad)?,
            gid: id(header.gid()).ok_or(bad)?,
            size: header.entry_size().map_err(|_| "a size that is no number")?,
            modified: Timestamp { seconds: header.mtime().unwrap_or(0) as i64, nanoseconds: 0 },
            target: header.link_name_bytes().unwrap_or_default().into_owned(),
            device: DeviceNumber::new(device(header.device_major()), device(header.device_minor())),
        })
    }

    /// Puts what the records before the entry say in the place of what its header says.
    pub fn amend(&mut self, amendments: TarAmendments) {
        let TarAmendments { path, target, size, uid, gid, modified } = amendments;
        self.path = path.unwrap_or_else(|| std::mem::take(&mut self.path));
        self.target = target.unwrap_or_else(|| std::mem::take(&mut self.target));
        self.size = size.unwrap_or(self.size);
        self.uid = uid.unwrap_or(self.uid);
        self.gid = gid.unwrap_or(self.gid);
        self.modified = modified.unwrap_or(self.modified);
    }

    /// The header, with names cut off where they have no room.
    fn header(&self) -> Header {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::new(self.kind));
        header.set_mode(self.mode);
        header.set_uid(self.uid.into());
        header.set_gid(self.gid.into());
        header.set_size(self.size);
        header.set_mtime(u64::try_from(self.modified.seconds).unwrap_or(0));
        if let Some(ustar) = header.as_ustar_mut() {
            let put = |field: &mut [u8; NAME_ROOM], bytes: &[u8]| {
                let length = bytes.len().min(NAME_ROOM);
                field[..length].copy_from_slice(&bytes[..length]);
            };
            put(&mut ustar.name, &self.path);
            put(&mut ustar.linkname, &self.target);
            ustar.set_device_major(self.device.major);
            ustar.set_device_minor(self.device.minor);
        }
        header.set_cksum();
        header
    }

    /// Appends the header, with PAX records before it where its fields are too small.
    pub(super) fn write(&self, archive: &mut Vec<u8>) {
        let records = self.records();
        if !records.is_empty() {
            let about = Self {
                path: b"././@PaxHeader".to_vec(),
                kind: b'x',
                size: records.len() as u64,
                target: Vec::new(),
                ..self.clone()
            };
            archive.extend_from_slice(about.header().as_bytes());
            archive.extend_from_slice(&records);
            pad(archive);
        }
        archive.extend_from_slice(self.header().as_bytes());
    }

    /// The PAX records for what the header has no room for.
    fn records(&self) -> Vec<u8> {
        let mut records = Vec::new();
        let mut record = |key: &str, value: &[u8]| {
            // The length counts its own digits.
            let rest = key.len() + value.len() + 3;
            let length =
                (1..).map(|digits| rest + digits).find(|length| length.to_string().len() + rest == *length);
            records.extend_from_slice(format!("{} {key}=", length.unwrap_or(rest)).as_bytes());
            records.extend_from_slice(value);
            records.push(b'\n');
        };
        if self.path.len() > NAME_ROOM {
            record("path", &self.path);
        }
        if self.target.len() > NAME_ROOM {
            record("linkpath", &self.target);
        }
        if self.modified.nanoseconds != 0 || self.modified.seconds < 0 {
            record("mtime", show_time(self.modified).as_bytes());
        }
        records
    }
}

/// Whether a header's checksum is right; some old programs summed signed bytes.
fn has_checksum(header: &Header) -> bool {
    let bytes = header.as_bytes();
    let counted =
        bytes.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { b' ' } else { *byte });
    let unsigned: i64 = counted.clone().map(i64::from).sum();
    let signed: i64 = counted.map(|byte| i64::from(byte as i8)).sum();
    header.cksum().is_ok_and(|sum| i64::from(sum) == unsigned || i64::from(sum) == signed)
}

/// Pads what was appended to a whole number of blocks.
pub(super) fn pad(archive: &mut Vec<u8>) {
    archive.resize(archive.len().next_multiple_of(TAR_BLOCK), 0);
}

fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}

/// The records of a header of type `x` or `g`, each a key and a value: `LENGTH KEY=VALUE\n`, the length
/// counting all of it. They end with the bytes or before a zero; `None` if one cannot be read.
fn pax_records(mut bytes: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut records = Vec::new();
    while bytes.first().is_some_and(|byte| *byte != 0) {
        let space = bytes.iter().position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
        let record = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
        bytes = &bytes[length..];
        let equals = record.iter().position(|byte| *byte == b'=')?;
        records.push((&record[..equals], &record[equals + 1..]));
    }
    Some(records)
}

/// A time as a record's value: seconds since 1970 and nine decimals, which go away from zero.
fn show_time(time: Timestamp) -> String {
    let nanoseconds = i128::from(time.seconds) * NANOSECONDS + i128::from(time.nanoseconds);
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let size = nanoseconds.abs();
    format!("{sign}{}.{:09}", size / NANOSECONDS, size % NANOSECONDS)
}

/// The time that a record's value says: seconds since 1970, with as many decimals as somebody liked.
fn pax_time(value: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(value).ok()?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let size = seconds.parse::<i64>().ok().map(|seconds| i128::from(seconds.unsigned_abs()) * NANOSECONDS)?;
    let size = size + i128::from(digits.parse::<u32>().ok()?);
    let nanoseconds = if text.starts_with('-') { -size } else { size };
    Some(Timestamp {
        seconds: nanoseconds.div_euclid(NANOSECONDS).try_into().ok()?,
        nanoseconds: nanoseconds.rem_euclid(NANOSECONDS).try_into().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_have_decimals_away_from_zero() {
        for (seconds, nanoseconds, text) in [
            (0, 0, "0.000000000"),
            (7, 5, "7.000000005"),
            (-5, 250_000_000, "-4.750000000"),
            (-1, 500_000_000, "-0.500000000"),
            (-3, 0, "-3.000000000"),
            (i64::MIN, 1, "-9223372036854775807.999999999"),
        ] {
            let time = Timestamp { seconds, nanoseconds };
            assert_eq!(show_time(time), text);
            assert_eq!(pax_time(text.as_bytes()), Some(time), "{text}");
        }
        assert_eq!(pax_time(b"12"), Some(Timestamp { seconds: 12, nanoseconds: 0 }));
        for text in ["", "-", "1.x", "--1", "1.-5", "99999999999999999999"] {
            assert_eq!(pax_time(text.as_bytes()), None, "{text}");
        }
    }
}
