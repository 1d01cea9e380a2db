//! `oracle`: compares every engine with the host's own CPU, on generated cases for every row.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program")]

#[cfg(target_os = "linux")]
mod command;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    command::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    pentimento_conformance::skip("oracle", "only Linux on x86-64 runs 32-bit code natively");
}
