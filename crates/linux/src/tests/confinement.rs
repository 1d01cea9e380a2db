//! Nothing beside the folder that a machine was given can be reached.

use std::os::unix::fs::symlink;

use super::*;

/// What lies beside the folder, and must never be seen.
const CANARY: &str = "the canary";

/// A folder `root` beside a file `canary`, with links in it that try to lead there.
fn cage() -> TemporaryFolder {
    let cage = TemporaryFolder::new();
    let root = cage.path().join("root");
    std::fs::create_dir_all(root.join("inner")).unwrap();
    std::fs::write(cage.path().join("canary"), CANARY).unwrap();
    std::fs::write(root.join("inner/file"), "inside").unwrap();
    symlink(cage.path().join("canary"), root.join("absolute")).unwrap();
    symlink("../canary", root.join("relative")).unwrap();
    symlink("../../canary", root.join("inner/deeper")).unwrap();
    symlink(cage.path(), root.join("folder")).unwrap();
    symlink("..", root.join("up")).unwrap();
    symlink("/proc/self/root", root.join("magic")).unwrap();
    symlink("/inner/file", root.join("inward")).unwrap();
    cage
}

/// Paths that lead out on the host.
fn ways_out(cage: &TemporaryFolder) -> Vec<String> {
    let outside = cage.path().join("canary").to_string_lossy().into_owned();
    let fixed = [
        "/../canary",
        "/inner/../../canary",
        "/absolute",
        "/relative",
        "/inner/deeper",
        "/folder/canary",
        "/up/canary",
        "/magic/canary",
        "/inner/./.././../canary",
        "/up/up/up/canary",
        "/proc/self/root/canary",
        "/proc/self/cwd/../canary",
        "//..//canary",
        "/dev/fd/../../../canary",
    ];
    fixed.iter().map(ToString::to_string).chain([outside.clone(), format!("/up{outside}")]).collect()
}

fn mounts(cage: &TemporaryFolder) -> [(&'static str, Mount); 3] {
    [
        ("read-only", Mount::ReadOnly(cage.folder("root"))),
        ("read-write", Mount::ReadWrite(cage.folder("root"))),
        ("copy-on-write", Mount::CopyOnWrite(cage.folder("root"))),
    ]
}

#[test]
fn no_path_reaches_the_canary() {
    let cage = cage();
    for (kind, mount) in mounts(&cage) {
        let mut fixture = Fixture::with_root(mount);
        for path in ways_out(&cage) {
            assert!(fixture.read(&path).is_err(), "{kind}: {path}");
        }
        assert_eq!(fixture.read("/inner/file").unwrap(), b"inside", "{kind}");
        assert_eq!(fixture.read("/inward").unwrap(), b"inside", "{kind}: links lead inside");
    }
}

#[test]
fn no_path_changes_the_canary() {
    let cage = cage();
    for (kind, mount) in mounts(&cage) {
        let mut fixture = Fixture::with_root(mount);
        for path in ways_out(&cage) {
            let _ = fixture.write(&path, b"broken");
            let _ = fixture.rename("/inner/file", &path, RenameMode::Replace);
            let _ = fixture.rename(&path, "/inner/file", RenameMode::Replace);
            let _ = fixture.link("/inner/file", &path);
            let _ = fixture.remove(&path, false);
        }
        assert_eq!(std::fs::read_to_string(cage.path().join("canary")).unwrap(), CANARY, "{kind}");
        let beside = std::fs::read_dir(cage.path()).unwrap().count();
        assert_eq!(beside, 2, "{kind}: something was made beside the folder");
    }
}

#[test]
fn the_host_side_itself_refuses_to_leave() {
    let cage = cage();
    let folder = cage.folder("root");
    for path in [
        "../canary",
        "..",
        "/etc/passwd",
        "inner/../../canary",
        "absolute",
        "folder/canary",
        "up/canary",
        "inner//file",
        "./inner",
        "inner/",
        "a\0b",
    ] {
        assert!(folder.open(path.as_bytes(), HostAccess::Read).is_err(), "open {path:?}");
        assert!(folder.open(path.as_bytes(), HostAccess::Write).is_err(), "open for writing {path:?}");
    }
    for path in ["folder/canary", "up/canary", "../canary", "up/x"] {
        assert!(folder.metadata(path.as_bytes()).is_err(), "metadata of {path}");
        assert!(folder.make_folder(path.as_bytes(), 0o755).is_err(), "make {path}");
        assert!(folder.remove(path.as_bytes(), false).is_err(), "remove {path}");
        assert!(folder.rename(b"inner/file", path.as_bytes(), false).is_err(), "rename to {path}");
    }
    assert!(folder.entries(b"up").is_err() && folder.entries(b"folder").is_err());
}

#[test]
fn special_files_of_the_host_stay_closed() {
    let cage = cage();
    let fifo = cage.path().join("root/fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
        .unwrap();
    let folder = cage.folder("root");
    assert_eq!(folder.open(b"fifo", HostAccess::Read).err(), Some(Errno::EACCES));
}

#[test]
fn a_link_that_is_swapped_in_is_not_followed() {
    let cage = cage();
    let root = cage.path().join("root");
    for (kind, mount) in mounts(&cage) {
        std::fs::create_dir_all(root.join("swap")).unwrap();
        std::fs::write(root.join("swap/canary"), "inside").unwrap();
        let mut fixture = Fixture::with_root(mount);
        assert_eq!(fixture.read("/swap/canary").unwrap(), b"inside", "{kind}");
        // The guest has seen a folder; now it is a link to where the canary is.
        std::fs::remove_dir_all(root.join("swap")).unwrap();
        symlink(cage.path(), root.join("swap")).unwrap();
        assert!(fixture.read("/swap/canary").is_err(), "{kind}");
        let _ = fixture.write("/swap/canary", b"broken");
        assert_eq!(std::fs::read_to_string(cage.path().join("canary")).unwrap(), CANARY, "{kind}");
        std::fs::remove_file(root.join("swap")).unwrap();
    }
}

#[test]
fn copy_on_write_leaves_the_host_as_it_was() {
    let cage = cage();
    let mut fixture = Fixture::with_root(Mount::CopyOnWrite(cage.folder("root")));
    fixture.write("/inner/file", b"changed").unwrap();
    fixture.write("/new", b"new").unwrap();
    fixture.remove("/up", false).unwrap();
    fixture.rename("/inner", "/moved", RenameMode::Replace).unwrap();
    assert_eq!(fixture.read("/moved/file").unwrap(), b"changed");
    let root = cage.path().join("root");
    assert_eq!(std::fs::read_to_string(root.join("inner/file")).unwrap(), "inside");
    assert!(!root.join("new").exists() && root.join("up").is_symlink() && !root.join("moved").exists());
}

#[test]
fn read_only_refuses_and_read_write_writes() {
    let cage = cage();
    let mut fixture = Fixture::with_root(Mount::ReadOnly(cage.folder("root")));
    assert_eq!(fixture.write("/inner/file", b"x"), Err(Errno::EROFS));
    assert_eq!(fixture.make_directory("/d"), Err(Errno::EROFS));
    assert_eq!(fixture.remove("/inner/file", false), Err(Errno::EROFS));
    std::fs::write(cage.path().join("root/inner/file"), "longer than before").unwrap();
    assert_eq!(fixture.read("/inner/file").unwrap(), b"longer than before", "changes show");
    let mut fixture = Fixture::with_root(Mount::ReadWrite(cage.folder("root")));
    fixture.write("/inner/file", b"written").unwrap();
    fixture.make_directory("/d").unwrap();
    fixture.rename("/inner/file", "/d/file", RenameMode::Replace).unwrap();
    let root = cage.path().join("root");
    assert_eq!(std::fs::read_to_string(root.join("d/file")).unwrap(), "written");
}
