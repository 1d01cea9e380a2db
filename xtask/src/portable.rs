//! `cargo xtask portable`: the crates without the standard library build for other targets.

use std::path::Path;

use crate::Failure;
use crate::process::{cargo, command, output, run, top};
use crate::skips::skip;

/// A 64-bit target without an x87 unit, and one with 32-bit pointers and no operating system.
const TARGETS: &[&str] = &["aarch64-unknown-linux-gnu", "wasm32-unknown-unknown"];

/// Every folder below `crates` whose library is `no_std`, by package.
pub(crate) fn no_std_packages() -> Result<Vec<String>, Failure> {
    let crates = top().join("crates");
    let mut packages = Vec::new();
    let folders = std::fs::read_dir(&crates).map_err(|error| format!("{}: {error}", crates.display()))?;
    for folder in folders.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
        let root = std::fs::read_to_string(folder.join("src/lib.rs")).unwrap_or_default();
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        let name = manifest.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
        let is_no_std = root.lines().any(|line| line.starts_with("#![") && line.contains("no_std"));
        packages.extend(name.filter(|_| is_no_std).map(str::to_owned));
    }
    packages.sort();
    if packages.is_empty() { Err("no crate is no_std".to_owned()) } else { Ok(packages) }
}

pub(crate) fn run_task(_: &[String]) -> Result<(), Failure> {
    let packages = no_std_packages()?;
    let sysroot = output(command("rustc").args(["--print", "sysroot"]))?;
    for target in TARGETS {
        let library = Path::new(sysroot.trim()).join("lib/rustlib").join(target).join("lib");
        if !library.is_dir() {
            skip(&format!("portable: {target}"), "the target is not installed (rustup target add)");
            continue;
        }
        let mut check = cargo();
        check.args(["check", "--quiet", "--no-default-features", "--target", target]);
        packages.iter().for_each(|package| {
            check.args(["--package", package]);
        });
        run(&mut check)?;
        println!("portable: {} crates build for {target}", packages.len());
    }
    Ok(())
}
