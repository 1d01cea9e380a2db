//! Paths, links and names behave as path_resolution(7), rename(2) and unlink(2) say.

use super::*;

#[test]
fn dot_dot_stops_at_the_root() {
    let mut fixture = Fixture::new();
    fixture.write("/tmp/../../../a", b"x").unwrap();
    assert_eq!(fixture.read("/../a").unwrap(), b"x");
    assert_eq!(fixture.read("/tmp/../tmp/.././a").unwrap(), b"x");
    assert_eq!(fixture.read("/dev/shm/../../a").unwrap(), b"x");
}

#[test]
fn links_are_followed_forty_deep() {
    let mut fixture = Fixture::new();
    fixture.write("/0", b"end").unwrap();
    for number in 1..=41 {
        fixture.symlink(&format!("/{number}"), &format!("{}", number - 1)).unwrap();
    }
    assert_eq!(fixture.read("/40").unwrap(), b"end");
    assert_eq!(fixture.read("/41"), Err(Errno::ELOOP));
    fixture.symlink("/loop", "loop").unwrap();
    assert_eq!(fixture.read("/loop"), Err(Errno::ELOOP));
    assert_eq!(fixture.open("/40", OpenFlags::O_NOFOLLOW).err(), Some(Errno::ELOOP));
}

#[test]
fn errors_are_those_of_linux() {
    let mut fixture = Fixture::new();
    fixture.write("/f", b"").unwrap();
    fixture.make_directory("/d").unwrap();
    fixture.write("/d/inner", b"").unwrap();
    let long = format!("/{}", "n".repeat(256));
    let create = OpenFlags::O_CREAT | OpenFlags::O_WRONLY;
    #[rustfmt::skip]
    let cases: [(&str, Result<(), Errno>, Errno); 17] = [
        ("missing",          fixture.read("/m").map(drop),                      Errno::ENOENT),
        ("empty",            fixture.read("").map(drop),                        Errno::ENOENT),
        ("file as folder",   fixture.read("/f/x").map(drop),                    Errno::ENOTDIR),
        ("slash after file", fixture.read("/f/").map(drop),                     Errno::ENOTDIR),
        ("long name",        fixture.read(&long).map(drop),                     Errno::ENAMETOOLONG),
        ("write a folder",   fixture.open("/d", OpenFlags::O_RDWR).map(drop),   Errno::EISDIR),
        ("make a slash",     fixture.open("/n/", create).map(drop),             Errno::EISDIR),
        ("exclusive",        fixture.open("/f", create | OpenFlags::O_EXCL).map(drop), Errno::EEXIST),
        ("want a folder",    fixture.open("/f", OpenFlags::O_DIRECTORY).map(drop), Errno::ENOTDIR),
        ("folder twice",     fixture.make_directory("/d"),                      Errno::EEXIST),
        ("unlink a folder",  fixture.remove("/d", false),                       Errno::EISDIR),
        ("rmdir a file",     fixture.remove("/f", true),                        Errno::ENOTDIR),
        ("rmdir not empty",  fixture.remove("/d", true),                        Errno::ENOTEMPTY),
        ("rmdir dot",        fixture.remove("/d/.", true),                      Errno::EINVAL),
        ("rmdir a mount",    fixture.remove("/dev/shm", true),                  Errno::EBUSY),
        ("link a folder",    fixture.link("/d", "/e"),                          Errno::EPERM),
        ("across mounts",    fixture.link("/f", "/tmp/f"),                      Errno::EXDEV),
    ];
    for (what, result, errno) in cases {
        assert_eq!(result, Err(errno), "{what}");
    }
}

#[test]
fn rename_replaces_and_refuses() {
    let mut fixture = Fixture::new();
    fixture.write("/a", b"a").unwrap();
    fixture.write("/b", b"b").unwrap();
    fixture.rename("/a", "/b", RenameMode::Replace).unwrap();
    assert_eq!((fixture.read("/a"), fixture.read("/b")), (Err(Errno::ENOENT), Ok(b"a".to_vec())));
    fixture.write("/c", b"c").unwrap();
    assert_eq!(fixture.rename("/b", "/c", RenameMode::NoReplace), Err(Errno::EEXIST));
    fixture.rename("/b", "/c", RenameMode::Exchange).unwrap();
    assert_eq!((fixture.read("/b"), fixture.read("/c")), (Ok(b"c".to_vec()), Ok(b"a".to_vec())));
    fixture.make_directory("/d").unwrap();
    fixture.make_directory("/d/e").unwrap();
    assert_eq!(fixture.rename("/d", "/d/e/f", RenameMode::Replace), Err(Errno::EINVAL));
    assert_eq!(fixture.rename("/d/e", "/d", RenameMode::Replace), Err(Errno::ENOTEMPTY));
    assert_eq!(fixture.rename("/b", "/d", RenameMode::Replace), Err(Errno::EISDIR));
    assert_eq!(fixture.rename("/d", "/b", RenameMode::Replace), Err(Errno::ENOTDIR));
    assert_eq!(fixture.rename("/b", "/tmp/b", RenameMode::Replace), Err(Errno::EXDEV));
}

#[test]
fn hard_links_share_one_file_until_the_last_is_gone() {
    let mut fixture = Fixture::new();
    fixture.write("/a", b"1").unwrap();
    fixture.link("/a", "/b").unwrap();
    fixture.write("/b", b"22").unwrap();
    assert_eq!(fixture.read("/a").unwrap(), b"22");
    assert_eq!(fixture.stat("/a", Last::Stay).unwrap().links, 2);
    let open = fixture.open("/a", OpenFlags::empty()).unwrap();
    fixture.remove("/a", false).unwrap();
    fixture.remove("/b", false).unwrap();
    let mut bytes = [0; 8];
    let read = fixture.run(|files, caller| files.read(caller, open, None, &mut bytes)).unwrap();
    assert_eq!(&bytes[..read], b"22", "an open file outlives its names");
}

#[test]
fn permissions_are_those_of_the_owner_group_and_others() {
    let mut fixture = Fixture::new();
    fixture.write("/tmp/secret", b"x").unwrap();
    fixture
        .run(|files, caller| {
            let file = files.vfs.find(caller, caller.location.root, b"/tmp/secret", Last::Stay)?;
            files.vfs.set_mode(caller, file, 0o600)
        })
        .unwrap();
    fixture.uid = 1000;
    assert_eq!(fixture.read("/tmp/secret"), Err(Errno::EACCES));
    assert_eq!(fixture.write("/new", b""), Err(Errno::EACCES));
    assert_eq!(fixture.remove("/tmp/secret", false), Err(Errno::EPERM), "the sticky bit");
    fixture.write("/tmp/own", b"y").unwrap();
    fixture.remove("/tmp/own", false).unwrap();
}

#[test]
fn listings_begin_with_the_dots() {
    let mut fixture = Fixture::new();
    fixture.write("/tmp/b", b"").unwrap();
    fixture.write("/tmp/a", b"").unwrap();
    assert_eq!(fixture.list("/tmp").unwrap(), [".", "..", "a", "b"]);
    let devices = fixture.list("/dev").unwrap();
    assert!(devices.contains(&"null".to_string()) && devices.contains(&"fd".to_string()));
}

#[test]
fn devices_answer() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.read("/dev/null").unwrap(), b"");
    assert!(fixture.read("/dev/zero").unwrap().iter().all(|byte| *byte == 0));
    assert_ne!(fixture.read("/dev/urandom").unwrap()[..16], [0; 16]);
    assert_eq!(fixture.write("/dev/full", b"x"), Err(Errno::ENOSPC));
    fixture.write("/dev/null", b"x").unwrap();
}

#[test]
fn files_end_at_the_size_limit() {
    let mut fixture = Fixture::new();
    fixture.file_size = 10;
    let id = fixture.open("/tmp/f", OpenFlags::O_CREAT | OpenFlags::O_RDWR).unwrap();
    let mut write = |at, bytes: &[u8]| fixture.run(|files, caller| files.write(caller, id, Some(at), bytes));
    assert_eq!(write(0, b"12345678"), Ok(8));
    assert_eq!(write(8, b"12345678"), Ok(2));
    assert_eq!(write(10, b"x"), Err(Errno::EFBIG.into()));
}

#[test]
fn input_that_is_there_wakes_nobody_who_waits_for_something_else() {
    let mut fixture = Fixture::new();
    let descriptors = fixture.files.standard_descriptors(Timestamp::default());
    let input = descriptors.get(0).unwrap().description;
    let readiness = fixture.run(|files, caller| files.readiness(caller, input)).unwrap();
    assert!(readiness.events.contains(Events::READABLE), "an end of input can be read");
    assert!(readiness.channels.is_empty());
}
