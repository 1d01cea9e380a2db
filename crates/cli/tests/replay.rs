//! `pentimento run --record` and `pentimento replay`, through files that are gone by then.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

#[path = "guest/mod.rs"]
mod guest;

use guest::Scratch;
use pentimento::EngineKind;

/// Fixtures: what is there is also copied into the folder of the test.
fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/../../fixtures/programs/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn a_recording_needs_nothing_of_the_host_that_it_was_made_on() {
    let scratch = Scratch::new();
    scratch.program("program", &fixture("interleaving"));
    let run = scratch.pentimento(&["run", "--trace-hash", "--record", "file", "program", "order"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    std::fs::remove_file(scratch.path().join("program")).unwrap();
    for engine in EngineKind::ALL {
        let replay = scratch.pentimento(&["replay", "--trace-hash", "--engine", engine.name(), "file"]);
        assert_eq!((replay.code, &replay.stdout), (run.code, &run.stdout), "{engine}");
    }
}

#[test]
fn what_is_no_recording_is_one_line_of_error() {
    let scratch = Scratch::new();
    scratch.write("file", b"PENT-RUN\x07");
    let replay = scratch.pentimento(&["replay", "file"]);
    assert_eq!(replay.code, Some(125));
    assert_eq!(replay.stderr.lines().count(), 1, "{replay:?}");
    assert!(replay.stderr.contains("version 7"), "{replay:?}");
}

#[test]
fn a_run_that_was_cut_goes_on_from_its_file() {
    let scratch = Scratch::new();
    scratch.program("program", &fixture("sorting"));
    let whole = scratch.pentimento(&["run", "--seed", "3", "--trace-hash", "program"]);
    let run = ["run", "--seed", "3", "--limit", "20k", "--record", "file", "program"];
    assert_eq!(scratch.pentimento(&run).code, Some(125), "it is still running");
    for engine in EngineKind::ALL {
        let rest = scratch.pentimento(&["resume", "--trace-hash", "--engine", engine.name(), "file"]);
        assert_eq!(
            (rest.code, &rest.stdout, &rest.stderr),
            (whole.code, &whole.stdout, &whole.stderr),
            "{engine}"
        );
    }
    let elsewhere = Scratch::new();
    let path = scratch.at("file");
    let refused = elsewhere.pentimento(&["resume", &path]);
    assert_eq!(refused.code, Some(125));
    assert!(refused.stderr.contains("mounted in the same way"), "{refused:?}");
}
