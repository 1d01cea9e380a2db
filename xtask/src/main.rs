//! Development tasks, called as `cargo xtask TASK [OPTIONS]`.
//!
//! CI calls nothing but these, so whatever fails there can be repeated here with the same words.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program")]

mod attack;
mod bench;
mod ci;
mod circles;
mod debian;
mod fixtures;
mod guests;
mod licences;
mod native;
mod perf;
mod portable;
mod process;
mod publish;
mod sanitize;
mod skips;
mod starts;
mod tail_calls;
mod tidy;

use std::process::ExitCode;

/// Why a task failed, in one line.
type Failure = String;

struct Task {
    name: &'static str,
    help: &'static str,
    run: fn(&[String]) -> Result<(), Failure>,
}

#[rustfmt::skip]
const TASKS: &[Task] = &[
    Task { name: "ci",          help: "everything that a change must pass: fmt, clippy, docs, tidy, features, conformance", run: ci::run_task },
    Task { name: "tidy",        help: "check the rules of docs/architecture.md and the house style",                      run: tidy::run },
    Task { name: "fixtures",    help: "rebuild the guest programs and compare them byte for byte; --bless writes them",       run: fixtures::run_task },
    Task { name: "guests",      help: "run Debian i386 programs and compare with the native run; --bless records, WORD selects", run: guests::run_task },
    Task { name: "bench-guests", help: "CPU time of kernels and Debian programs: native, QEMU, each engine; --runs=N, --reference, --json, --bless, WORDS select", run: bench::run_task },
    Task { name: "bench-starts", help: "start to exit, forks, 1,000 processes, 10,000 machines; --runs=N",                run: starts::run_task },
    Task { name: "perf-check",  help: "host instructions a guest instruction against the baseline; --bless records them",  run: perf::run_task },
    Task { name: "tail-calls",  help: "no handler of the interpreter calls the next one, in the release build",             run: tail_calls::run_task },
    Task { name: "licences",    help: "every dependency may be used under permissive licences; advisories where cargo-deny is installed", run: licences::run_task },
    Task { name: "portable",    help: "the no_std crates build for AArch64 and WebAssembly, where the targets are installed", run: portable::run_task },
    Task { name: "publish",     help: "what crates.io and docs.rs need of each published crate, and its package",             run: publish::run_task },
    Task { name: "sanitize",    help: "the tests of the unsafe crates under AddressSanitizer",                              run: sanitize::run_task },
    Task { name: "miri",        help: "the tests of memory and of the interpreter's safe form under Miri, where it is installed", run: sanitize::run_miri },
    Task { name: "decode-diff", help: "compare the decoder with iced-x86; --long for 20 million encodings",               run: |options| process::conformance("decode-diff", options) },
    Task { name: "lockstep",    help: "compare the engines at each end of a block: PROGRAM [ARGUMENTS], or --random N --seed S",  run: |options| process::conformance("lockstep", options) },
    Task { name: "oracle",      help: "compare the engines with this host's CPU; --cases N, --only GROUP, --seed S",      run: |options| process::conformance("oracle", options) },
    Task { name: "syscall-oracle", help: "compare the kernel with this host's; --sequences N, --only CALL, --seed S, --sequence N", run: |options| process::conformance("syscall-oracle", options) },
    Task { name: "attack",      help: "hostile guests under small limits, with a watch on time and memory; --quick, NAMES select", run: attack::run_task },
    Task { name: "fuzz-syscalls", help: "random system calls; --calls N, --seed S, --machine M runs one machine again",   run: process::fuzz_system_calls },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, options)) = arguments.split_first() else {
        usage();
        return ExitCode::from(2);
    };
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        usage();
        return ExitCode::SUCCESS;
    }
    let Some(task) = TASKS.iter().find(|task| task.name == name) else {
        eprintln!("xtask: no task '{name}'; `cargo xtask help` lists them");
        return ExitCode::from(2);
    };
    match (task.run)(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask {name}: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn usage() {
    println!("Usage: cargo xtask TASK [OPTIONS]\n\nTasks:");
    for task in TASKS {
        println!("  {:<13} {}", task.name, task.help);
    }
}
