//! `cargo xtask sanitize` and `cargo xtask miri`: the crates with `unsafe` in them, watched from below.

use crate::Failure;
use crate::process::{cargo, command, output, run, top};
use crate::skips::skip;

/// Packages with `unsafe` code, and the tests that reach it.
const UNSAFE: &[(&str, &[&str])] = &[
    ("pentimento-memory", &[]),
    ("pentimento-interpreter", &[]),
    ("pentimento-execute", &["--lib", "--test", "integer", "--test", "x87", "--test", "sse"]),
];

/// Runs the tests of [`UNSAFE`] with AddressSanitizer. Its runtime is part of the standard library's
/// component; the switch is unstable, which `RUSTC_BOOTSTRAP` allows on a stable compiler.
pub(crate) fn run_task(options: &[String]) -> Result<(), Failure> {
    let Some(host) = sanitizer_host()? else { return Ok(()) };
    for (package, tests) in UNSAFE {
        if options.first().is_some_and(|wanted| wanted != package) {
            continue;
        }
        run(cargo()
            .args(["test", "--quiet", "--target", &host, "--package", package])
            .args(*tests)
            .env("CARGO_TARGET_DIR", top().join("target/sanitize"))
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", "-Zsanitizer=address -Cforce-frame-pointers=yes")
            // 4 GiB reservations are no leaks, and the shadow of many of them is large.
            .env("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=1"))?;
        println!("sanitize: {package} passes under AddressSanitizer");
    }
    Ok(())
}

/// The host's target, if the sanitizer's runtime is there.
fn sanitizer_host() -> Result<Option<String>, Failure> {
    let version = output(command("rustc").arg("--version").arg("--verbose"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default().to_owned();
    let sysroot = output(command("rustc").args(["--print", "sysroot"]))?;
    let folder = std::path::Path::new(sysroot.trim()).join("lib/rustlib").join(&host).join("lib");
    let runtime = std::fs::read_dir(&folder).ok().into_iter().flatten().filter_map(Result::ok);
    let has_runtime =
        runtime.into_iter().any(|entry| entry.file_name().to_string_lossy().contains("rt.asan"));
    if has_runtime {
        return Ok(Some(host));
    }
    skip("sanitize", &format!("this toolchain has no AddressSanitizer runtime for {host}"));
    Ok(None)
}

/// Runs the model tests of memory, and the interpreter in its form without `unsafe`, under Miri.
pub(crate) fn run_miri(_: &[String]) -> Result<(), Failure> {
    if output(cargo().args(["miri", "--version"])).is_err() {
        skip("miri", "the toolchain has no Miri (a nightly one has: rustup component add miri)");
        return Ok(());
    }
    let miri = |options: &[&str]| run(cargo().args(["miri", "test", "--quiet"]).args(options));
    miri(&["--package", "pentimento-memory", "--no-default-features"])?;
    miri(&[
        "--package",
        "pentimento-execute",
        "--no-default-features",
        "--features",
        "safe-dispatch",
        "--lib",
        "interpreter",
    ])
}
