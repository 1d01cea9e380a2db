//! Running other programs, from the top of the workspace.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use crate::Failure;

/// The top folder of the workspace.
pub(crate) fn top() -> PathBuf {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().map_or_else(|| manifest.clone(), PathBuf::from)
}

/// A command that runs in the top folder.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(top());
    command
}

/// The cargo that runs this task.
pub(crate) fn cargo() -> Command {
    command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs `command` with inherited streams.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command.status().map_err(|error| format!("cannot start {command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed: {status}")) }
}

/// Runs `command` and returns what it printed on standard output.
pub(crate) fn output(command: &mut Command) -> Result<String, Failure> {
    let output = command.output().map_err(|error| format!("cannot start {command:?}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let message = String::from_utf8_lossy(&output.stderr);
        Err(format!("{command:?} failed: {}; {}", output.status, message.trim()))
    }
}

/// Runs one of the conformance programs, optimised: they execute millions of cases.
pub(crate) fn conformance(program: &str, options: &[String]) -> Result<(), Failure> {
    run(cargo()
        .args(["run", "--quiet", "--profile", "conformance", "--package", "pentimento-conformance"])
        .args(["--bin", program, "--"])
        .args(options))
}

/// Runs the fuzzer of system calls: optimised, with the checks of a debug build.
pub(crate) fn fuzz_system_calls(options: &[String]) -> Result<(), Failure> {
    run(cargo()
        .args(["run", "--quiet", "--profile", "fuzz", "--package", "pentimento-conformance"])
        .args(["--bin", "fuzz-syscalls", "--"])
        .args(options))
}
