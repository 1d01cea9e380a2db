//! `scripts/debian-root.sh` with a mirror of two made-up packages; docs/guide.md's test makes a real root.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]
#![allow(clippy::print_stderr, reason = "a test that is left out says so")]

mod guest;

use std::path::Path;
use std::process::Command;

use guest::{Said, Scratch, saying};
use sha2::{Digest, Sha256};

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Makes a package that holds one program, and tells its stanza of the mirror's list.
fn package(scratch: &Scratch, name: &str, fields: &str) -> Option<String> {
    scratch.program(&format!("{name}/usr/bin/{name}"), &saying(name));
    let control = format!(
        "Package: {name}\nVersion: 1\nArchitecture: i386\nMaintainer: Nobody <nobody@localhost>\n{fields}Description: a test\n"
    );
    scratch.write(&format!("{name}/DEBIAN/control"), control.as_bytes());
    scratch.write("mirror/pool/mark", b"");
    let file = format!("pool/{name}.deb");
    let target = scratch.at(&format!("mirror/{file}"));
    let built = Command::new("dpkg-deb").args(["--build", &scratch.at(name), &target]).output().ok()?;
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let sum = sha256(&std::fs::read(&target).unwrap());
    Some(format!("Package: {name}\n{fields}Filename: {file}\nSHA256: {sum}\n\n"))
}

fn debian_root(scratch: &Scratch, arguments: &[&str]) -> Said {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/debian-root.sh");
    Said::of(&Command::new("sh").arg(script).args(arguments).current_dir(scratch.path()).output().unwrap())
}

#[test]
fn a_root_comes_out_of_a_mirrors_packages() {
    let scratch = Scratch::new();
    let Some(one) = package(&scratch, "one", "Depends: nothing | two (>= 1), virtual\n") else {
        eprintln!("SKIPPED: the host has no dpkg-deb");
        return;
    };
    let two = package(&scratch, "two", "Provides: virtual (= 1), other\n").unwrap();
    let lonely = package(&scratch, "lonely", "Pre-Depends: nowhere\n").unwrap();
    let list = format!("{one}{two}{lonely}");
    scratch.write("mirror/dists/test/main/binary-i386/Packages", list.as_bytes());
    let mirror = ["-m", "mirror", "-s", "test"];
    let make = |rest: &[&str]| debian_root(&scratch, &[&mirror, rest].concat());

    let said = make(&["root", "one"]);
    assert_eq!((said.stdout.as_str(), said.code), ("root: 2 packages\n", Some(0)), "{said:?}");
    let said = scratch.pentimento(&["run", "--root", "root", "two"]);
    assert_eq!((said.stdout.as_str(), said.code), ("two\n", Some(0)), "{said:?}");
    assert_eq!(make(&["root.tar", "two"]).code, Some(0));
    assert_eq!(scratch.pentimento(&["run", "--root", "root.tar", "/bin/two"]).stdout, "two\n");

    for (arguments, reason) in [
        (&["root", "one"][..], "root is there already"),
        (&["other", "lonely"], "lonely needs nowhere, which there is not"),
        (&["other", "three"], "no package three"),
    ] {
        let said = make(arguments);
        assert!(said.code == Some(1) && said.stderr.contains(reason), "{said:?}");
    }
    scratch.write("mirror/pool/two.deb", b"something else");
    let said = make(&["other", "two"]);
    assert!(said.code == Some(1) && said.stderr.contains("pool/two.deb is damaged"), "{said:?}");
    let said = debian_root(&scratch, &["-m", "nowhere", "other"]);
    assert!(said.code == Some(1) && said.stderr.contains("there is no dists/stable/main"), "{said:?}");
    assert_eq!(debian_root(&scratch, &[]).code, Some(2));
}
