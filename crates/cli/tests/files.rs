//! The files and the environment that a guest of `pentimento run` finds, and what becomes of those
//! that it changes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

mod guest;

use std::process::Command;

use guest::{Scratch, Step, arguments, doing, dynamic, saying};

#[test]
fn a_root_shows_all_of_itself() {
    let scratch = Scratch::new();
    for name in ["root/tmp/one", "root/run/two", "root/bin/three"] {
        scratch.program(name, &saying(name));
    }
    for (path, line) in [("/tmp/one", "root/tmp/one\n"), ("/run/two", "root/run/two\n")] {
        let said = scratch.pentimento(&["run", "--root", "root", path]);
        assert_eq!((said.stdout.as_str(), said.code), (line, Some(0)), "{}", said.stderr);
    }
    // Memory file systems only where they are asked for.
    let said = scratch.pentimento(&["run", "--root", "root", "--tmpfs", "/run", "/run/two"]);
    assert_eq!(said.code, Some(127), "{said:?}");
    scratch.pentimento(&["run", "--tmpfs", "run", "x"]).refuses("absolute");
}

#[test]
fn a_root_without_tmp_gets_one_in_memory() {
    let scratch = Scratch::new();
    scratch.program("root/bin/writer", &doing(&[Step::Write("/tmp/note", "x")]));
    let said = scratch.pentimento(&["run", "--root", "root", "writer"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(!scratch.path().join("root/tmp").exists());
}

#[test]
fn names_without_a_slash_are_looked_up_in_the_guests_path() {
    let scratch = Scratch::new();
    scratch.program("root/usr/bin/hello", &saying("usual"));
    scratch.program("root/opt/hello", &saying("other"));
    scratch.write("root/usr/local/bin/hello", b"not executable");
    let run = |options: &[&str]| scratch.pentimento(&[&["run", "--root", "root"], options].concat());
    assert_eq!(run(&["hello"]).stdout, "usual\n");
    assert_eq!(run(&["--env", "PATH=/nowhere:/opt", "hello"]).stdout, "other\n");
    assert_eq!(run(&["--cwd", "/opt", "./hello"]).stdout, "other\n");
    assert_eq!(run(&["--cwd", "/opt", "--env", "PATH=", "hello"]).stdout, "other\n");
    let said = run(&["goodbye"]);
    assert_eq!(said.code, Some(127));
    assert!(said.stderr.contains("cannot find goodbye in the guest's PATH (/usr/local/sbin:"), "{said:?}");
    assert_eq!(said.stderr.lines().count(), 1);
    // A folder that is not there is our failure, not the program's.
    assert_eq!(run(&["--cwd", "/nowhere", "hello"]).code, Some(125));
}

#[test]
fn the_environment_is_the_guests_own() {
    let scratch = Scratch::new();
    scratch.program("root/bin/arguments", &arguments());
    scratch.write("root/etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n");
    let variables = |options: &[&str]| {
        let said = scratch.pentimento(&[&["run", "--root", "root"], options, &["/bin/arguments"]].concat());
        said.stdout
            .lines()
            .filter_map(|line| Some(line.split_once(" = ")?.1.to_owned()))
            .skip(1)
            .collect::<Vec<_>>()
    };
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(variables(&[]), [path, "HOME=/root", "LANG=C.UTF-8"]);
    assert_eq!(variables(&["--user", "1000"]), [path, "HOME=/home/ada", "LANG=C.UTF-8"]);
    assert_eq!(variables(&["--env", "LANG=de", "--env", "A=b"]), [path, "HOME=/root", "LANG=de", "A=b"]);
    assert_eq!(variables(&["--clear-env", "--env", "A=b"]), ["A=b"]);
    assert_eq!(variables(&["--clear-env"]), [""; 0]);
}

#[test]
fn a_dynamic_program_without_its_libraries_says_what_to_do() {
    let scratch = Scratch::new();
    scratch.program("root/bin/dynamic", &dynamic("/lib/ld-linux.so.2"));
    let said = scratch.pentimento(&["run", "root/bin/dynamic"]);
    assert_eq!((said.code, said.stderr.lines().count()), (Some(126), 1), "{said:?}");
    assert!(said.stderr.contains("/lib/ld-linux.so.2") && said.stderr.contains("--root"), "{said:?}");
    assert!(said.stderr.contains("docs/guide.md"), "{said:?}");
    let said = scratch.pentimento(&["run", "--root", "root", "dynamic"]);
    assert_eq!((said.code, said.stderr.lines().count()), (Some(126), 1), "{said:?}");
    assert!(said.stderr.contains("the root of --root does not have it"), "{said:?}");
}

#[test]
fn what_a_guest_wrote_in_the_current_folder_is_gone_and_it_is_told() {
    let scratch = Scratch::new();
    scratch.write("old", b"old");
    scratch.write("gone", b"gone");
    let steps = [Step::Write("made", "new"), Step::Write("old", "changed"), Step::Remove("gone")];
    scratch.program("writer", &doing(&steps));
    scratch.program("reader", &saying("nothing"));
    let said = scratch.pentimento(&["run", "writer"]);
    assert_eq!(said.code, Some(0));
    let told =
        format!("the guest changed 3 files that are gone now: {} was copied", scratch.path().display());
    assert!(said.stderr.contains(&told), "{said:?}");
    assert!(said.stderr.contains("--rw") && said.stderr.contains("--save FILE.tar"), "{said:?}");
    assert_eq!(said.stderr.lines().count(), 1);
    assert!(!scratch.path().join("made").exists() && scratch.path().join("gone").exists());
    assert_eq!(scratch.pentimento(&["run", "reader"]).stderr, "");
    // A file that is made and removed again is nobody's loss.
    scratch.program("tidy", &doing(&[Step::Write("made", "new"), Step::Remove("made")]));
    assert_eq!(scratch.pentimento(&["run", "tidy"]).stderr, "");
    // Nor is one in the guest's own /tmp.
    scratch.program("elsewhere", &doing(&[Step::Write("/tmp/made", "new")]));
    assert_eq!(scratch.pentimento(&["run", "elsewhere"]).stderr, "");
}

#[test]
fn rw_really_writes() {
    let scratch = Scratch::new();
    scratch.program("writer", &doing(&[Step::Write("made", "new")]));
    let said = scratch.pentimento(&["run", "--rw", "writer"]);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
    assert_eq!(std::fs::read(scratch.path().join("made")).unwrap(), b"new");
    scratch.program("root/bin/writer", &doing(&[Step::Write("/made", "new")]));
    assert_eq!(scratch.pentimento(&["run", "--rw", "--root", "root", "writer"]).code, Some(0));
    assert_eq!(std::fs::read(scratch.path().join("root/made")).unwrap(), b"new");
    scratch.pentimento(&["run", "--rw", "--save", "x.tar", "writer"]).refuses("--save");
}

#[test]
fn save_keeps_the_changes_as_a_tar_file() {
    let scratch = Scratch::new();
    scratch.write("gone", b"gone");
    scratch.write("kept", b"kept");
    scratch.write("other/file", b"other");
    let steps = [Step::Write("made", "new"), Step::Remove("gone"), Step::Write("/data/file", "changed")];
    scratch.program("writer", &doing(&steps));
    let mount = format!("{}:/data:cow", scratch.at("other"));
    let said = scratch.pentimento(&["run", "--mount", &mount, "--save", "changes.tar", "writer"]);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
    let listing = Command::new("tar").args(["-tf", &scratch.at("changes.tar")]).output().unwrap();
    let folder = scratch.path().strip_prefix("/").unwrap().display().to_string();
    let expected = format!("{folder}/.wh.gone\n{folder}/made\ndata/file\n");
    assert_eq!(String::from_utf8(listing.stdout).unwrap(), expected);
    // Nothing changed: nothing in it.
    scratch.program("reader", &saying("nothing"));
    assert_eq!(scratch.pentimento(&["run", "--save", "changes.tar", "reader"]).code, Some(0));
    let listing = Command::new("tar").args(["-tf", &scratch.at("changes.tar")]).output().unwrap();
    assert_eq!(listing.stdout, b"");
    scratch.pentimento(&["run", "--save", "no/such/folder.tar", "reader"]).refuses("no/such/folder.tar");
}

#[test]
fn what_lies_outside_of_what_the_guest_sees_can_be_run_all_the_same() {
    let (scratch, elsewhere) = (Scratch::new(), Scratch::new());
    elsewhere.program("real", &saying("here"));
    std::os::unix::fs::symlink(elsewhere.path().join("real"), scratch.path().join("link")).unwrap();
    for program in [&elsewhere.at("real"), "link", "./link"] {
        let said = scratch.pentimento(&["run", program]);
        assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("here\n", ""), "{program}");
    }
}

#[test]
fn help_says_first_what_a_guest_sees() {
    let said = Scratch::new().pentimento(&["run", "--help"]);
    assert!(said.stdout.starts_with("What a guest sees, and nothing else:"), "{}", said.stdout);
}
