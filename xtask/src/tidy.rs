//! `cargo xtask tidy`: the rules of docs/architecture.md and the house style that a machine can check.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::process::{cargo, command, output, top};
use crate::{Failure, circles};

/// Which workspace crates each crate may depend on (docs/architecture.md, "Who may know whom").
#[rustfmt::skip]
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("pentimento-registers",   &[]),
    ("pentimento-memory",      &[]),
    ("pentimento-decoder",     &["pentimento-registers"]),
    ("pentimento-execute",     &["pentimento-decoder", "pentimento-registers", "pentimento-memory"]),
    ("pentimento-interpreter", &["pentimento-execute", "pentimento-decoder", "pentimento-registers", "pentimento-memory"]),
    ("pentimento-jit",         &["pentimento-execute", "pentimento-interpreter", "pentimento-decoder", "pentimento-registers", "pentimento-memory"]),
    ("pentimento-linux",       &["pentimento-registers", "pentimento-memory"]),
    ("pentimento-custom",      &["pentimento-memory"]),
    ("pentimento-images",      &["pentimento-linux"]),
    ("pentimento-assembler",   &[]),
    ("pentimento",             &["pentimento-assembler", "pentimento-custom", "pentimento-decoder", "pentimento-execute", "pentimento-images", "pentimento-interpreter", "pentimento-jit", "pentimento-linux", "pentimento-memory", "pentimento-registers"]),
    ("pentimento-cli",         &["pentimento", "pentimento-insight", "pentimento-taint"]),
    ("pentimento-insight",     &["pentimento"]),
    ("pentimento-taint",       &["pentimento"]),
];

/// Crates that build without the standard library.
const NO_STD: &[&str] = &["registers", "memory", "decoder", "execute", "interpreter"];

/// Lines a hand-written file may have; tables are marked with `rustfmt::skip` and may be longer.
const MOST_LINES: usize = 600;

/// What no source file may contain, and why.
#[rustfmt::skip]
const FORBIDDEN: &[(&str, &str)] = &[
    (concat!("#[", "ignore"), "a test that does not run proves nothing"),
    (concat!("todo", "!("),   "unfinished"),
    (concat!("FIX", "ME"),    "fix it, or describe it in docs/deviations.md"),
];

/// Documentation that tells its reader nothing.
const RIDDLES: &[&str] = &[
    "Which.",
    "Which one.",
    "Why.",
    "How.",
    "How many.",
    "What it is.",
    "What it does.",
    "All put together.",
];

/// Runs every check and reports all findings.
pub(crate) fn run(_options: &[String]) -> Result<(), Failure> {
    let sources = sources()?;
    let mut findings = dependency_rules()?;
    findings.extend(unsafe_files(&sources)?);
    for (path, text) in &sources {
        findings.extend(file_rules(path, text));
    }
    for name in NO_STD {
        let root = top().join("crates").join(name).join("src/lib.rs");
        let text = read(&root)?;
        if !text.contains("#![no_std]") && !text.contains("#![cfg_attr(not(feature = \"std\"), no_std)]") {
            findings.push(format!("crates/{name} must be no_std"));
        }
    }
    findings.extend(circles::findings(&sources));
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    match findings.len() {
        0 => {
            println!("tidy: {} files, nothing to report", sources.len());
            Ok(())
        }
        count => Err(format!("{count} findings")),
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// Every Rust file that git tracks or would track, with its text.
fn sources() -> Result<Vec<(PathBuf, String)>, Failure> {
    let list =
        output(command("git").args(["ls-files", "--cached", "--others", "--exclude-standard", "*.rs"]))?;
    let mut sources = Vec::new();
    for path in list.lines().map(PathBuf::from).filter(|path| top().join(path).exists()) {
        let text = read(&top().join(&path))?;
        sources.push((path, text));
    }
    Ok(sources)
}

/// Compares the normal dependencies between workspace crates with [`MAY_KNOW`].
fn dependency_rules() -> Result<Vec<String>, Failure> {
    let metadata = output(cargo().args(["metadata", "--format-version", "1", "--no-deps", "--offline"]))
        .or_else(|_| output(cargo().args(["metadata", "--format-version", "1", "--no-deps"])))?;
    let metadata: Value =
        serde_json::from_str(&metadata).map_err(|error| format!("cargo metadata is not JSON: {error}"))?;
    let mut findings = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let Some((_, allowed)) = MAY_KNOW.iter().find(|(crate_name, _)| *crate_name == name) else {
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let other = dependency["name"].as_str().unwrap_or_default();
            let is_ours = other.starts_with("pentimento");
            if is_ours && dependency["kind"].is_null() && !allowed.contains(&other) {
                findings.push(format!("{name} must not depend on {other} (docs/architecture.md)"));
            }
        }
    }
    Ok(findings)
}

/// Compares the files with `unsafe` code in them with the list in docs/unsafe.md.
fn unsafe_files(sources: &[(PathBuf, String)]) -> Result<Vec<String>, Failure> {
    let document = read(&top().join("docs/unsafe.md"))?;
    let listed: BTreeSet<&str> =
        document.split('`').filter(|word| word.ends_with(".rs") && word.contains('/')).collect();
    let found: BTreeSet<&str> = sources
        .iter()
        .filter(|(_, text)| text.lines().any(uses_unsafe))
        .filter_map(|(path, _)| path.to_str())
        .filter(|path| !path.contains("/tests/") && !path.contains("/fuzz/"))
        .collect();
    let unlisted = found
        .difference(&listed)
        .map(|path| format!("{path} has unsafe code but docs/unsafe.md does not list it"));
    let stale = listed
        .difference(&found)
        .map(|path| format!("docs/unsafe.md lists {path}, which has no unsafe code"));
    Ok(unlisted.chain(stale).collect())
}

/// Whether a line of code opens an unsafe block, function, implementation or attribute.
fn uses_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let opens =
        |rest: &str| ["{", "fn ", "impl", "trait ", "extern "].iter().any(|form| rest.starts_with(form));
    code.contains(concat!("#[uns", "afe(")) || code.split("unsafe ").skip(1).any(opens)
}

fn file_rules(path: &Path, text: &str) -> Vec<String> {
    let shown = path.display();
    let mut findings = Vec::new();
    let opening = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    if !opening.starts_with("//!") && !opening.starts_with("#!") {
        findings.push(format!("{shown}: starts without a //! comment that says what it is for"));
    }
    let lines = text.lines().count();
    if lines > MOST_LINES && !text.contains("rustfmt::skip") {
        findings.push(format!("{shown}: {lines} lines; at more than {MOST_LINES} a file is two ideas"));
    }
    for (pattern, reason) in FORBIDDEN {
        if let Some(number) = text.lines().position(|line| line.contains(pattern)) {
            findings.push(format!("{shown}:{}: {pattern}: {reason}", number + 1));
        }
    }
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().strip_prefix("/// ").is_some_and(|words| RIDDLES.contains(&words)) {
            findings.push(format!("{shown}:{}: a comment that says nothing: {}", number + 1, line.trim()));
        }
    }
    findings
}
