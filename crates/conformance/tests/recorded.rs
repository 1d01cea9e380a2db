//! What silicon did, as `oracle --record` wrote it down, against every engine on this host.

use std::collections::BTreeSet;
use std::path::Path;

use pentimento_conformance::generate::Group;
use pentimento_conformance::{
    Bench, Case, Ending, Freedom, Make, Mask, compare, engines, exclusion, recording, skip, text,
};
use pentimento_decoder::{Operation, decode, rows};

/// Whether transcendental x87 instructions run on an x87 unit of the make that the recording is
/// from; elsewhere they may be an ulp off (docs/deviations.md).
fn recorded_x87() -> bool {
    cfg!(any(target_arch = "x86", target_arch = "x86_64"))
        && !Make::host().may_differ(Freedom::Transcendental, "")
}

fn is_transcendental(operation: Operation) -> bool {
    use Operation as O;
    matches!(operation, O::F2xm1 | O::Fyl2x | O::Fyl2xp1 | O::Fptan | O::Fpatan)
        || matches!(operation, O::Fsin | O::Fcos | O::Fsincos)
}

fn recorded(name: &str) -> Vec<(Case, Ending)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/vectors").join(name);
    let bytes = std::fs::read(&path).expect("the recording is part of the repository");
    recording::read(&bytes).expect("the recording is intact")
}

fn operation(case: &Case) -> Option<Operation> {
    decode(&case.code).ok().map(|instruction| instruction.operation())
}

/// Every instruction of the case's code.
fn operations(case: &Case) -> impl Iterator<Item = Operation> {
    let mut rest = &case.code[..];
    std::iter::from_fn(move || {
        let instruction = decode(rest).ok()?;
        rest = &rest[usize::from(instruction.length())..];
        Some(instruction.operation())
    })
}

/// Every engine gives what silicon gave.
fn replay(name: &str) {
    let records = recorded(name);
    let mut bench = Bench::new(true).expect("memory for a few pages");
    let transcendental = recorded_x87();
    if !transcendental {
        skip(&format!("{name}: transcendental x87 instructions"), "the x87 unit is of another make, or none");
    }
    let mut failures = Vec::new();
    for (kind, mut engine) in engines() {
        for (case, expected) in &records {
            if !transcendental && operations(case).any(is_transcendental) {
                continue;
            }
            let actual = bench.run(engine.as_mut(), case);
            let differences = compare(expected, &actual, Mask::of(case));
            if !differences.is_empty() {
                failures.push(format!("{}\n{}\n{differences:#?}", kind.name(), text::describe(case)));
            }
        }
    }
    let shown = failures.iter().take(3).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{name}: {} of {} differ\n{shown}", failures.len(), records.len());
}

/// Every operation that the oracle covers is in the recording of its group.
fn covers(name: &str, group: Group) {
    let present: BTreeSet<Operation> =
        recorded(name).iter().filter_map(|(case, _)| operation(case)).collect();
    let missing: BTreeSet<Operation> = rows()
        .iter()
        .filter(|row| Group::of(row) == group && exclusion(row).is_none())
        .map(|row| row.operation())
        .filter(|operation| !present.contains(operation))
        .collect();
    assert!(missing.is_empty(), "{name} has nothing of {missing:?}: run cargo xtask oracle --record");
}

#[test]
fn integer() {
    replay("integer.bin");
    covers("integer.bin", Group::Integer);
}

#[test]
fn x87() {
    replay("x87.bin");
    covers("x87.bin", Group::X87);
}

#[test]
fn mmx() {
    replay("mmx.bin");
    covers("mmx.bin", Group::Mmx);
}

#[test]
fn sse() {
    replay("sse.bin");
    covers("sse.bin", Group::Sse);
}

#[test]
fn sequences() {
    replay("sequences.bin");
}
