//! `cargo xtask licences`: what the project depends on may be given on under permissive licences.
//!
//! `cargo deny` says the same and knows advisories; where it is not installed that part is skipped.

use serde_json::Value;

use crate::Failure;
use crate::process::{cargo, output, run};
use crate::skips::skip;

/// Licences that ask for no more than that their text is kept.
const PERMISSIVE: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Unlicense",
    "Zlib",
];

pub(crate) fn run_task(_: &[String]) -> Result<(), Failure> {
    if output(cargo().args(["deny", "--version"])).is_ok() {
        run(cargo().args(["deny", "check", "advisories"]))?;
    } else {
        skip("licences: advisories", "cargo-deny is not installed");
    }
    let metadata = output(cargo().args(["metadata", "--format-version", "1", "--locked", "--offline"]))
        .or_else(|_| output(cargo().args(["metadata", "--format-version", "1", "--locked"])))?;
    let metadata: Value =
        serde_json::from_str(&metadata).map_err(|error| format!("cargo metadata is not JSON: {error}"))?;
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    let refused: Vec<String> = packages
        .iter()
        .filter_map(|package| {
            let licence = package["license"].as_str().unwrap_or_default();
            let name = package["name"].as_str().unwrap_or_default();
            (!is_permissive(licence)).then(|| format!("{name}: {licence:?}"))
        })
        .collect();
    if refused.is_empty() {
        println!("licences: {} packages, all permissive", packages.len());
        Ok(())
    } else {
        Err(format!("not on the list of permissive licences: {}", refused.join(", ")))
    }
}

/// Whether an SPDX expression can be met with permissive licences alone. `/` is an old way to
/// write OR.
fn is_permissive(expression: &str) -> bool {
    let expression = expression.trim();
    let any = split(expression, &[" OR ", "/"]);
    if any.len() > 1 {
        return any.into_iter().any(is_permissive);
    }
    let all = split(expression, &[" AND "]);
    if all.len() > 1 {
        return all.into_iter().all(is_permissive);
    }
    match expression.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')) {
        Some(inner) => is_permissive(inner),
        None => PERMISSIVE.contains(&expression),
    }
}

/// Splits at each of `separators` that stands in no parentheses.
fn split<'a>(text: &'a str, separators: &[&str]) -> Vec<&'a str> {
    let (mut parts, mut start, mut depth, mut at) = (Vec::new(), 0, 0, 0);
    while let Some(character) = text[at..].chars().next() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        let separator = separators.iter().find(|separator| depth == 0 && text[at..].starts_with(**separator));
        match separator {
            Some(separator) => {
                parts.push(&text[start..at]);
                at += separator.len();
                start = at;
            }
            None => at += character.len_utf8(),
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_weighed() {
        for (expression, permissive) in [
            ("MIT", true),
            ("MIT/Apache-2.0", true),
            ("GPL-3.0 OR MIT", true),
            ("GPL-3.0 AND MIT", false),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("(MIT OR GPL-2.0) AND LGPL-3.0", false),
            ("Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT", true),
            ("MPL-2.0", false),
            ("", false),
        ] {
            assert_eq!(is_permissive(expression), permissive, "{expression}");
        }
    }
}
