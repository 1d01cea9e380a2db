//! The interpreter beside the reference, compared at each end of a block: on the programs and the
//! kernels of `fixtures`, and on random code.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use std::path::Path;

use pentimento_conformance::lockstep::programs::Programs;
use pentimento_conformance::lockstep::snippets::Snippets;

/// Instructions that each program is followed for.
const MOST: u64 = 300_000;

fn check_folder(folder: &str, arguments: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(folder);
    let mut checked = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some(program) = name.strip_suffix(".out") else { continue };
        let words: Vec<&str> = std::iter::once(program).chain(arguments.iter().copied()).collect();
        // Each block on its own, and chains of a few.
        for least in [1, 40] {
            let mut machines = Programs::of_file(&path.with_file_name(program), &words).unwrap();
            machines.run(least, MOST).unwrap_or_else(|divergence| panic!("{program}: {divergence}"));
        }
        checked += 1;
    }
    assert!(checked > 5, "the fixtures are missing");
}

#[test]
fn programs_agree() {
    check_folder("programs", &[]);
    check_folder("low", &[]);
}

#[test]
fn kernels_agree() {
    check_folder("kernels", &["1"]);
}

#[test]
fn random_code_agrees() {
    let mut snippets = Snippets::new().unwrap();
    for number in 0..20_000 {
        snippets.run(0x6c6f_636b, number).unwrap_or_else(|divergence| panic!("{divergence}"));
    }
    assert!(snippets.report().instructions > 1_000_000, "{:?}", snippets.report());
}
