//! `cargo xtask sanitize` and `cargo xtask miri`: the crates with `unsafe` in them, watched from below.

use crate::Failure;
use crate::process::{cargo, command, output, run, top};
use crate::skips::skip;

/// A package with `unsafe` code.
struct Package {
    name: &'static str,
    /// The tests that reach it; all of them where there are none.
    tests: &'static [&'static str],
    /// Tests that measure memory, of which the sanitizer takes much itself.
    measuring: &'static [&'static str],
}

#[rustfmt::skip]
const UNSAFE: &[Package] = &[
    Package { name: "pentimento-memory",      tests: &[], measuring: &["a_thousand_spaces_at_once_and_ten_thousand_in_turn", "a_memory_file_is_no_data_of_the_host_process"] },
    Package { name: "pentimento-interpreter", tests: &[], measuring: &[] },
    Package { name: "pentimento-jit",         tests: &["--lib", "--tests"], measuring: &[] },
    Package { name: "pentimento-execute",     tests: &["--lib", "--test", "integer", "--test", "x87", "--test", "sse"], measuring: &[] },
];

/// What the compiler is told, and rustdoc for the examples.
const FLAGS: &str = "-Zsanitizer=address -Cforce-frame-pointers=yes";

/// Runs the tests of [`UNSAFE`] with AddressSanitizer. Its runtime is part of the standard library's
/// component; the switch is unstable, which `RUSTC_BOOTSTRAP` allows on a stable compiler.
pub(crate) fn run_task(options: &[String]) -> Result<(), Failure> {
    let Some(host) = sanitizer_host()? else { return Ok(()) };
    for Package { name, tests, measuring } in UNSAFE {
        if options.first().is_some_and(|wanted| wanted != name) {
            continue;
        }
        let mut test = cargo();
        test.args(["test", "--quiet", "--target", &host, "--package", name]).args(*tests).arg("--");
        for left_out in *measuring {
            test.args(["--skip", left_out]);
            skip(&format!("sanitize: {left_out}"), "it measures memory, of which the sanitizer takes much");
        }
        run(test
            .env("CARGO_TARGET_DIR", top().join("target/sanitize"))
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", FLAGS)
            .env("RUSTDOCFLAGS", FLAGS)
            .env("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=1"))?;
        println!("sanitize: {name} passes under AddressSanitizer");
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
        "pentimento-interpreter",
        "--no-default-features",
        "--features",
        "safe-dispatch",
        "--lib",
    ])
}
