//! What the checks of this host left out, collected and listed.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::process::top;

#[path = "../../crates/conformance/src/skip.rs"]
mod skip;

pub(crate) use skip::skip;

/// The file that collects the lines of tests and tasks, as `.cargo/config.toml` names it.
fn file() -> PathBuf {
    std::env::var_os("PENTIMENTO_SKIPS").map_or_else(|| top().join("target/skips"), PathBuf::from)
}

/// Lists what was skipped since the last time, each thing once, and forgets it.
pub(crate) fn list() {
    let text = std::fs::read_to_string(file()).unwrap_or_default();
    let lines: BTreeSet<&str> = text.lines().filter(|line| line.starts_with("SKIPPED: ")).collect();
    println!("== {} checks skipped on this host", lines.len());
    for line in &lines {
        println!("   {line}");
    }
    let _ = std::fs::remove_file(file());
}
