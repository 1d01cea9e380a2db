//! The laws of a copy-on-write overlay, with the host's own file system as the model.

use proptest::prelude::*;

use super::*;

/// One step of a guest; names are small numbers, so that steps meet.
#[derive(Clone, Debug)]
enum Step {
    Write(u8, u8),
    MakeDirectory(u8),
    Remove(u8),
    RemoveDirectory(u8),
    Rename(u8, u8),
    Exchange(u8, u8),
    Link(u8, u8),
    Symlink(u8, u8),
    Read(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0u8..12;
    prop_oneof![
        (name.clone(), 0u8..4).prop_map(|(path, text)| Step::Write(path, text)),
        name.clone().prop_map(Step::MakeDirectory),
        name.clone().prop_map(Step::Remove),
        name.clone().prop_map(Step::RemoveDirectory),
        (name.clone(), name.clone()).prop_map(|(from, to)| Step::Rename(from, to)),
        (name.clone(), name.clone()).prop_map(|(from, to)| Step::Exchange(from, to)),
        (name.clone(), name.clone()).prop_map(|(from, to)| Step::Link(from, to)),
        (name.clone(), name.clone()).prop_map(|(at, to)| Step::Symlink(at, to)),
        name.prop_map(Step::Read),
    ]
}

/// Paths of which some are there at the start, some are directories, some inside those.
fn path(number: u8) -> &'static str {
    const PATHS: [&str; 12] =
        ["/a", "/b", "/c", "/d", "/d/a", "/d/b", "/d/e", "/d/e/a", "/f", "/f/a", "/f/d", "/f/d/a"];
    PATHS[usize::from(number) % PATHS.len()]
}

fn prepare(root: &Path) {
    std::fs::create_dir_all(root.join("d/e")).unwrap();
    std::fs::write(root.join("a"), "the a").unwrap();
    std::fs::write(root.join("d/a"), "the inner a").unwrap();
    std::fs::write(root.join("d/e/a"), "the deepest a").unwrap();
    std::os::unix::fs::symlink("d/a", root.join("c")).unwrap();
}

/// What a step tells the guest.
fn run(fixture: &mut Fixture, step: &Step) -> Result<Vec<u8>, Errno> {
    let nothing = |()| Vec::new();
    match *step {
        Step::Write(at, text) => fixture.write(path(at), format!("text {text}").as_bytes()).map(nothing),
        Step::MakeDirectory(at) => fixture.make_directory(path(at)).map(nothing),
        Step::Remove(at) => fixture.remove(path(at), false).map(nothing),
        Step::RemoveDirectory(at) => fixture.remove(path(at), true).map(nothing),
        Step::Rename(from, to) => fixture.rename(path(from), path(to), RenameMode::Replace).map(nothing),
        Step::Exchange(from, to) => fixture.rename(path(from), path(to), RenameMode::Exchange).map(nothing),
        Step::Link(from, to) => fixture.link(path(from), path(to)).map(nothing),
        Step::Symlink(at, to) => fixture.symlink(path(at), path(to)).map(nothing),
        Step::Read(at) => fixture.read(path(at)),
    }
}

/// All that can be seen below `at`: path, type, and content, text or nothing.
fn picture(fixture: &mut Fixture, at: &str) -> Vec<(String, FileType, Vec<u8>)> {
    let mut seen = Vec::new();
    for name in fixture.list(at).unwrap() {
        let path = format!("{}/{name}", at.trim_end_matches('/'));
        if matches!(name.as_str(), "." | "..") || matches!(path.as_str(), "/dev" | "/proc" | "/sys" | "/tmp")
        {
            continue;
        }
        let attributes = fixture.stat(&path, Last::Stay).unwrap();
        let content = match attributes.file_type {
            FileType::Regular => fixture.read(&path).unwrap(),
            FileType::Symlink => {
                let start = fixture.location.root;
                fixture
                    .run(|files, caller| {
                        let link = files.vfs.find(caller, start, path.as_bytes(), Last::Stay)?;
                        files.vfs.read_link(caller, link)
                    })
                    .unwrap()
            }
            _ => Vec::new(),
        };
        seen.push((path.clone(), attributes.file_type, content));
        if attributes.file_type == FileType::Directory {
            seen.extend(picture(fixture, &path));
        }
    }
    seen
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn an_overlay_behaves_like_a_real_file_system(steps in proptest::collection::vec(step(), 1..40)) {
        let folders = TemporaryFolder::new();
        prepare(&folders.path().join("real"));
        prepare(&folders.path().join("below"));
        let mut real = Fixture::with_root(Mount::ReadWrite(folders.folder("real")));
        let mut overlay = Fixture::with_root(Mount::CopyOnWrite(folders.folder("below")));
        for (number, step) in steps.iter().enumerate() {
            let expected = run(&mut real, step);
            prop_assert_eq!(run(&mut overlay, step), expected, "step {} of {:?}", number, &steps);
        }
        prop_assert_eq!(picture(&mut overlay, "/"), picture(&mut real, "/"));

        // What was changed survives as a tar file, over the same folder, which nobody has touched.
        let archive = overlay.files.vfs.save(b"/", Timestamp::default()).unwrap();
        let mut again = Fixture::with_root(Mount::CopyOnWrite(folders.folder("below")));
        again.files.vfs.load(b"/", &archive, Timestamp::default()).unwrap();
        prop_assert_eq!(picture(&mut again, "/"), picture(&mut real, "/"), "after {:?}", &steps);
    }
}

#[test]
fn a_saved_overlay_is_a_tar_file() {
    let folders = TemporaryFolder::new();
    prepare(&folders.path().join("below"));
    let mut fixture = Fixture::with_root(Mount::CopyOnWrite(folders.folder("below")));
    let long = format!("/d/{}", "n".repeat(200));
    fixture.write(&long, b"content").unwrap();
    fixture.remove("/a", false).unwrap();
    let archive = fixture.files.vfs.save(b"/", Timestamp::default()).unwrap();
    let file = folders.path().join("saved.tar");
    std::fs::write(&file, &archive).unwrap();
    let Ok(listing) = std::process::Command::new("tar").arg("tf").arg(&file).output() else { return };
    let listing = String::from_utf8(listing.stdout).unwrap();
    assert!(listing.lines().any(|line| line == &long[1..]), "{listing}");
    assert!(listing.lines().any(|line| line == ".wh.a"), "{listing}");
}

#[test]
fn owners_and_times_that_no_header_holds_come_back() {
    let mut fixture = Fixture::new();
    fixture.write("/tmp/f", b"f").unwrap();
    let (uid, gid) = (0x1234_5678, 0xfedc_ba98);
    let modified = Timestamp { seconds: -5, nanoseconds: 250_000_000 };
    let change = Change { uid: Some(uid), gid: Some(gid), modified: Some(modified), ..Change::default() };
    let start = fixture.location.working_directory;
    let set = |files: &mut Files, caller: &Caller<'_>| {
        let file = files.vfs.find(caller, start, b"/tmp/f", Last::Follow)?;
        files.vfs.change(caller, file, &change)
    };
    fixture.run(set).unwrap();
    let archive = fixture.files.vfs.save(b"/tmp", Timestamp::default()).unwrap();
    let mut again = Fixture::new();
    again.files.vfs.load(b"/tmp", &archive, Timestamp::default()).unwrap();
    let attributes = again.stat("/tmp/f", Last::Follow).unwrap();
    assert_eq!((attributes.uid, attributes.gid, attributes.modified), (uid, gid, modified));
}

#[test]
fn bad_archives_are_refused() {
    let mut fixture = Fixture::new();
    fixture.write("/tmp/f", &[7; 2000]).unwrap();
    let good = fixture.files.vfs.save(b"/tmp", Timestamp::default()).unwrap();
    let mut load = |archive: &[u8]| fixture.files.vfs.load(b"/tmp", archive, Timestamp::default());
    assert!(matches!(load(&[1; 512]), Err(ArchiveError::Header { offset: 0, .. })));
    assert_eq!(load(&good[..2048]), Err(ArchiveError::Truncated { path: "f".into() }));
    assert_eq!(load(&good), Ok(()));
    // An entry that would lead out of the mount.
    let mut escape = good.clone();
    // Behind the header and content of the PAX records.
    let header = &mut escape[1024..1536];
    header[..4].copy_from_slice(b"../f");
    let difference = b"../f".iter().map(|byte| u32::from(*byte)).sum::<u32>() - u32::from(b'f');
    let sum = u32::from_str_radix(std::str::from_utf8(&header[148..155]).unwrap(), 8).unwrap() + difference;
    header[148..155].copy_from_slice(format!("{sum:07o}").as_bytes());
    assert!(matches!(load(&escape), Err(ArchiveError::Entry { errno: Errno::EINVAL, .. })));
}
