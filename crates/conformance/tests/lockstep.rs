//! Every engine beside the reference, compared at each end of a block: on the programs and the
//! kernels of `fixtures`, and on random code.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use std::path::Path;

use pentimento::EngineKind;
use pentimento_conformance::lockstep::programs::Programs;
use pentimento_conformance::lockstep::snippets::Snippets;

/// The engines that the reference is to confirm. A translator takes what the architecture leaves open from
/// its host, so its exact form stands for it.
fn tested() -> impl Iterator<Item = EngineKind> {
    EngineKind::ALL.iter().copied().filter(|kind| *kind != EngineKind::REFERENCE && kind.is_exact())
}

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
        for (engine, least) in tested().flat_map(|engine| [(engine, 1), (engine, 40)]) {
            let mut machines = Programs::of_file(engine, &path.with_file_name(program), &words).unwrap();
            machines
                .run(least, MOST)
                .unwrap_or_else(|divergence| panic!("{engine}, {program}: {divergence}"));
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
    for engine in tested() {
        let mut snippets = Snippets::new(engine).unwrap();
        for number in 0..20_000 {
            snippets.run(0x6c6f_636b, number).unwrap_or_else(|divergence| panic!("{engine}: {divergence}"));
        }
        assert!(snippets.report().instructions > 1_000_000, "{:?}", snippets.report());
    }
}
