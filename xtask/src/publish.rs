//! `cargo xtask publish`: what crates.io and docs.rs need of each crate that is published.
//!
//! Nothing is uploaded. Each package is put together as `cargo publish` would, so that a file that
//! lies outside its crate shows.

use serde_json::Value;

use crate::Failure;
use crate::process::{cargo, output, top};
use crate::skips::skip;

/// The most keywords that crates.io takes, and the most characters of one.
const KEYWORDS: usize = 5;
const KEYWORD_LENGTH: usize = 20;

pub(crate) fn run_task(_: &[String]) -> Result<(), Failure> {
    let metadata = output(cargo().args(["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: Value =
        serde_json::from_str(&metadata).map_err(|error| format!("cargo metadata is not JSON: {error}"))?;
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    let published: Vec<&Value> = packages
        .iter()
        .filter(|package| package["publish"].as_array().is_none_or(|list| !list.is_empty()))
        .collect();
    let findings: Vec<String> = published.iter().flat_map(|package| findings(package)).collect();
    if !findings.is_empty() {
        return Err(findings.join("; "));
    }
    let files = package(&published)?;
    println!("publish: {} crates, {files} files packed", published.len());
    Ok(())
}

/// What a package's manifest lacks.
fn findings(package: &Value) -> Vec<String> {
    let text = |key: &str| package[key].as_str().unwrap_or_default();
    let words = |key: &str| package[key].as_array().map_or(&[][..], Vec::as_slice);
    let name = text("name");
    let documentation = format!("https://docs.rs/{name}");
    let folder = std::path::Path::new(text("manifest_path")).parent().map(std::path::Path::to_path_buf);
    let has = |file: &str| folder.as_ref().is_some_and(|folder| folder.join(file).is_file());
    let keywords = words("keywords");
    let short = keywords.iter().all(|word| word.as_str().is_some_and(|word| word.len() <= KEYWORD_LENGTH));
    let all_features = package["metadata"]["docs"]["rs"]["all-features"] == Value::Bool(true);
    [
        (!text("description").is_empty(), "no description"),
        (!text("license").is_empty(), "no license"),
        (text("documentation") == documentation, "documentation is not its page on docs.rs"),
        (text("repository").is_empty(), "names a repository, which a release adds"),
        (has("README.md") && text("readme") == "README.md", "no README.md of its own"),
        (has("LICENSE-MIT") && has("LICENSE-APACHE"), "no texts of its licences"),
        ((1..=KEYWORDS).contains(&keywords.len()) && short, "no keywords, or too many or too long ones"),
        (!words("categories").is_empty(), "no categories"),
        (all_features, "no [package.metadata.docs.rs] with all-features"),
    ]
    .into_iter()
    .filter(|(met, _)| !met)
    .map(|(_, lack)| format!("{name}: {lack}"))
    .collect()
}

/// Packs the crates and says how many files that are.
fn package(published: &[&Value]) -> Result<usize, Failure> {
    let mut list = cargo();
    list.args(["package", "--list", "--allow-dirty", "--quiet"]);
    let mut pack = cargo();
    pack.args(["package", "--no-verify", "--allow-dirty", "--quiet"]);
    for name in published.iter().filter_map(|package| package["name"].as_str()) {
        list.args(["--package", name]);
        pack.args(["--package", name]);
    }
    let files = output(&mut list)?.lines().count();
    // Packing asks the registry for versions, and so needs a network.
    if let Err(reason) = output(&mut pack) {
        if is_reachable() {
            return Err(reason);
        }
        skip("publish: packing the crates", "the registry cannot be reached");
    }
    Ok(files)
}

/// Whether the registry answers.
fn is_reachable() -> bool {
    output(cargo().args(["info", "--quiet", "--registry", "crates-io", "bitflags"]).current_dir(top()))
        .is_ok()
}
