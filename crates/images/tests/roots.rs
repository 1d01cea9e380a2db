//! What a guest's kernel is told of the files of an archive.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use std::process::Command;
use std::sync::Arc;

use pentimento_images::{Image, ImageError, ImageLimits};
use pentimento_linux::{
    DeviceNumber, Errno, FileType, HostAccess, HostFile, HostFolder, HostMetadata, Timestamp,
};
use tar::{Builder, EntryType, Header};

/// A file in memory, as a host that has no files would give it.
#[derive(Debug)]
struct Bytes(Vec<u8>);

impl HostFile for Bytes {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let rest = self.0.get(offset as usize..).unwrap_or_default();
        // Less than was asked for, as a host may give.
        let length = rest.len().min(buffer.len()).min(1000);
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    fn write_at(&self, _: u64, _: &[u8]) -> Result<usize, Errno> {
        Err(Errno::EROFS)
    }

    fn resize(&self, _: u64) -> Result<(), Errno> {
        Err(Errno::EROFS)
    }

    fn metadata(&self) -> Result<HostMetadata, Errno> {
        Ok(HostMetadata {
            file_type: FileType::Regular,
            mode: 0o644,
            links: 1,
            size: self.0.len() as u64,
            blocks: 0,
            accessed: Timestamp::default(),
            modified: Timestamp::default(),
            changed: Timestamp::default(),
            identity: (0, 0),
            owner: None,
            device: DeviceNumber::default(),
        })
    }
}

fn image(bytes: Vec<u8>, limits: ImageLimits) -> Result<Image, ImageError> {
    Image::from_file(Arc::new(Bytes(bytes)), limits)
}

fn folder(bytes: Vec<u8>) -> Arc<dyn HostFolder> {
    image(bytes, ImageLimits::default()).unwrap().folder()
}

fn header(kind: EntryType, path: &str, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_path(path).unwrap();
    header.set_mode(mode);
    header.set_uid(1000);
    header.set_gid(42);
    header.set_mtime(1_234_567_890);
    header.set_size(size);
    header
}

fn add(builder: &mut Builder<Vec<u8>>, mut header: Header, content: &[u8]) {
    header.set_cksum();
    builder.append(&header, content).unwrap();
}

fn content(folder: &Arc<dyn HostFolder>, path: &[u8]) -> Vec<u8> {
    let file = folder.open(path, HostAccess::Read).unwrap();
    let mut bytes = vec![0xee; file.metadata().unwrap().size as usize];
    let mut done = 0;
    while done < bytes.len() {
        done += file.read_at(done as u64, &mut bytes[done..]).unwrap();
    }
    bytes
}

#[test]
fn owners_rights_times_devices_and_links() {
    let mut tar = Builder::new(Vec::new());
    add(&mut tar, header(EntryType::Regular, "su", 0o4755, 2), b"su");
    let mut device = header(EntryType::Char, "null", 0o666, 0);
    device.set_device_major(1).unwrap();
    device.set_device_minor(3).unwrap();
    add(&mut tar, device, b"");
    let mut device = header(EntryType::Block, "disk", 0o660, 0);
    device.set_device_major(8).unwrap();
    device.set_device_minor(1).unwrap();
    add(&mut tar, device, b"");
    add(&mut tar, header(EntryType::Fifo, "pipe", 0o600, 0), b"");
    add(&mut tar, header(EntryType::Directory, "tmp", 0o1777, 0), b"");
    let mut link = header(EntryType::Link, "also-su", 0o755, 0);
    link.set_link_name("su").unwrap();
    add(&mut tar, link, b"");
    // Each length counts its own digits; a value may hold line feeds.
    let records =
        b"30 mtime=1234567890.123456789\n27 SCHILY.xattr.user.x=a\nb\n14 uid=123456\n15 gid=9999999\n";
    let mut pax = header(EntryType::XHeader, "x", 0, records.len() as u64);
    pax.set_uid(0);
    add(&mut tar, pax, records);
    add(&mut tar, header(EntryType::Regular, "amended", 0o600, 0), b"");
    let folder = folder(tar.into_inner().unwrap());
    let su = folder.metadata(b"su").unwrap();
    assert_eq!((su.mode, su.owner, su.links, su.size), (0o4755, Some((1000, 42)), 2, 2));
    assert_eq!(su.modified, Timestamp { seconds: 1_234_567_890, nanoseconds: 0 });
    assert_eq!(folder.metadata(b"also-su").unwrap().identity, su.identity);
    let null = folder.metadata(b"null").unwrap();
    assert_eq!((null.file_type, null.device), (FileType::CharacterDevice, DeviceNumber::new(1, 3)));
    let disk = folder.metadata(b"disk").unwrap();
    assert_eq!((disk.file_type, disk.device), (FileType::BlockDevice, DeviceNumber::new(8, 1)));
    assert_eq!(folder.metadata(b"pipe").unwrap().file_type, FileType::Fifo);
    assert_eq!(folder.metadata(b"tmp").unwrap().mode, 0o1777);
    let amended = folder.metadata(b"amended").unwrap();
    assert_eq!(amended.owner, Some((123_456, 9_999_999)));
    assert_eq!(amended.modified.nanoseconds, 123_456_789);
}

#[test]
fn nothing_leads_out_or_can_be_written() {
    let mut tar = Builder::new(Vec::new());
    add(&mut tar, header(EntryType::Regular, "f", 0o644, 1), b"f");
    let folder = folder(tar.into_inner().unwrap());
    assert_eq!(folder.metadata(b"../f").err(), Some(Errno::ENOENT));
    assert_eq!(folder.metadata(b"f/f").err(), Some(Errno::ENOTDIR));
    assert_eq!(folder.open(b"f", HostAccess::Write).err(), Some(Errno::EROFS));
    assert_eq!(folder.open(b"", HostAccess::Read).err(), Some(Errno::EACCES));
    assert_eq!(folder.remove(b"f", false), Err(Errno::EROFS));
}

/// Every form in which GNU tar writes the holes of a file, with the host's tar.
#[test]
fn sparse_files_of_the_hosts_tar() {
    let scratch = std::env::temp_dir().join(format!("pentimento-images-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).unwrap();
    let file = std::fs::File::create(scratch.join("holes")).unwrap();
    let mut expected = vec![0; 3 << 20];
    for (number, offset) in (0..40).map(|number| (number, number * 70_000 + 4096)) {
        let bytes = [number as u8 + 1; 300];
        std::os::unix::fs::FileExt::write_all_at(&file, &bytes, offset as u64).unwrap();
        expected[offset..offset + 300].copy_from_slice(&bytes);
    }
    file.set_len(3 << 20).unwrap();
    for form in [
        &["--format=gnu"][..],
        &["--format=pax", "--sparse-version=0.0"],
        &["--format=pax", "--sparse-version=0.1"],
        &["--format=pax", "--sparse-version=1.0"],
        &["--format=ustar"],
    ] {
        let made =
            Command::new("tar").arg("-C").arg(&scratch).args(form).args(["-cSf", "-", "holes"]).output();
        let Ok(made) = made.and_then(|made| {
            if made.status.success() { Ok(made) } else { Err(std::io::ErrorKind::Other.into()) }
        }) else {
            eprintln!("SKIPPED: the host has no GNU tar");
            return;
        };
        let folder = folder(made.stdout);
        assert_eq!(folder.metadata(b"holes").unwrap().size, 3 << 20, "{form:?}");
        assert!(content(&folder, b"holes") == expected, "{form:?}");
    }
    std::fs::remove_dir_all(scratch).unwrap();
}

#[test]
fn no_more_files_than_the_limit() {
    let archive = |count: usize| {
        let mut tar = Builder::new(Vec::new());
        for number in 0..count {
            add(&mut tar, header(EntryType::Regular, &format!("f{number}"), 0o644, 0), b"");
        }
        tar.into_inner().unwrap()
    };
    let limits = ImageLimits { entries: 10, ..ImageLimits::default() };
    assert!(image(archive(10), limits).is_ok());
    assert_eq!(image(archive(11), limits).err(), Some(ImageError::TooMany { limit: 10 }));
    // Directories that are only implied count too.
    let mut tar = Builder::new(Vec::new());
    add(&mut tar, header(EntryType::Regular, "a/b/c/d/e/f/g/h/i/j/k", 0o644, 0), b"");
    assert_eq!(image(tar.into_inner().unwrap(), limits).err(), Some(ImageError::TooMany { limit: 10 }));
}
