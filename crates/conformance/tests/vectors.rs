//! The hand-written vectors of `fixtures/vectors/*.txt` on every engine, and on silicon itself
//! where the host has it.

use std::path::Path;

use pentimento_conformance::vectors::{Vector, parse};
use pentimento_conformance::{Bench, Difference, Ending, compare, engines};
use pentimento_decoder::decode;

fn vectors() -> Vec<(String, Vector)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/vectors");
    let mut found = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the vectors are part of the repository")
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    for path in files {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("readable");
        let parsed = parse(&text).map_err(|error| format!("{name}: {error}")).expect("well-formed");
        found.extend(parsed.into_iter().map(|vector| (name.clone(), vector)));
    }
    assert!(!found.is_empty(), "no vectors");
    found
}

fn check(who: &str, file: &str, vector: &Vector, actual: &Ending) -> Option<String> {
    report(who, file, vector, &compare(&vector.outcome, actual, vector.mask))
}

fn report(who: &str, file: &str, vector: &Vector, differences: &[Difference]) -> Option<String> {
    let place = format!("{file}:{}: {}: {who}", vector.line, vector.text);
    (!differences.is_empty()).then(|| format!("{place}: {differences:#?}"))
}

#[test]
fn engines_agree_with_the_vectors() {
    let mut bench = Bench::new(true).expect("memory for a few pages");
    let mut failures = Vec::new();
    for (kind, mut engine) in engines() {
        for (file, vector) in vectors() {
            let actual = bench.run(engine.as_mut(), &vector.case);
            failures.extend(check(kind.name(), &file, &vector, &actual));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn texts_are_those_of_the_bytes() {
    let mut failures = Vec::new();
    for (file, vector) in vectors() {
        let text = match decode(&vector.case.code) {
            Ok(instruction) => instruction.display(vector.case.state.eip).to_string(),
            Err(error) => format!("({error})"),
        };
        if vector.text != text {
            failures.push(format!("{file}:{}: {} should read {text}", vector.line, vector.text));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[cfg(target_os = "linux")]
#[test]
fn silicon_agrees_with_the_vectors() {
    use pentimento_conformance::oracle::{OracleError, Silicon};
    use pentimento_conformance::{Make, judge, skip};
    let make = Make::host();
    let mut bench = Bench::new(true).expect("memory for a few pages");
    let mut silicon = match Silicon::new() {
        Err(error @ OracleError::NoNative { .. }) => return skip("vectors on silicon", &error.to_string()),
        started => started.expect("the oracle starts"),
    };
    let vectors = vectors();
    let cases: Vec<_> = vectors.iter().map(|(_, vector)| vector.case.clone()).collect();
    let verdicts = silicon.run(&cases).expect("the oracle answers");
    let failures: Vec<String> = vectors
        .iter()
        .zip(verdicts)
        .filter_map(|((file, vector), verdict)| {
            let silicon = verdict.expect("the case survives");
            let judgement = judge(&mut bench, &vector.case, &silicon, &vector.outcome, vector.mask, &make);
            report("silicon, as against the vector", file, vector, &judgement.differences)
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
