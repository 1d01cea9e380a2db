//! `cargo xtask ci`: everything that a change must pass beside `cargo test`.

use std::time::Instant;

use crate::bench::measure::children_time;
use crate::process::{cargo, conformance, run};
use crate::{Failure, attack, fixtures, guests, licences, perf, portable, publish, skips, tail_calls, tidy};

struct Step {
    name: &'static str,
    run: fn() -> Result<(), Failure>,
}

#[rustfmt::skip]
const STEPS: &[Step] = &[
    Step { name: "format",      run: || run(cargo().args(["fmt", "--all", "--check"])) },
    Step { name: "tidy",        run: || tidy::run(&[]) },
    Step { name: "clippy",      run: || run(cargo().args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "--deny", "warnings"])) },
    Step { name: "docs",        run: || run(cargo().args(["doc", "--quiet", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "--deny warnings")) },
    Step { name: "features",    run: features },
    Step { name: "portable",    run: || portable::run_task(&[]) },
    Step { name: "licences",    run: || licences::run_task(&[]) },
    Step { name: "publish",     run: || publish::run_task(&[]) },
    Step { name: "fixtures",    run: || fixtures::run_task(&[]) },
    Step { name: "variants",    run: variants },
    Step { name: "tail calls",  run: || tail_calls::run_task(&[]) },
    Step { name: "perf-check",  run: || perf::run_task(&[]) },
    Step { name: "decode-diff", run: || conformance("decode-diff", &[]) },
    Step { name: "lockstep",    run: lockstep },
    Step { name: "oracle",      run: || conformance("oracle", &["--cases".into(), "200000".into()]) },
    Step { name: "attack",      run: || attack::run_task(&["--quick".into()]) },
    Step { name: "guests",      run: || guests::run_task(&["--suite=busybox".into()]) },
];

/// The crates that hosts may use one at a time.
const LAYERS: &[&str] = &[
    "pentimento-registers",
    "pentimento-memory",
    "pentimento-decoder",
    "pentimento-execute",
    "pentimento-interpreter",
    "pentimento-jit",
    "pentimento-linux",
    "pentimento-images",
    "pentimento-assembler",
    "pentimento",
];

fn run_step(name: &str, step: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    println!("== {name}");
    let (start, used) = (Instant::now(), children_time()?);
    step().map_err(|failure| format!("{name}: {failure}"))?;
    // The second figure tells how long it takes on a host that has nothing else to do.
    let seconds = (children_time()? - used).as_secs_f64();
    println!("== {name}: passed in {:.0} s, {seconds:.0} s of CPU time", start.elapsed().as_secs_f64());
    Ok(())
}

fn run_all() -> Result<(), Failure> {
    let start = Instant::now();
    for step in STEPS {
        run_step(step.name, step.run)?;
    }
    skips::list();
    let (minutes, used) = (start.elapsed().as_secs_f64() / 60.0, children_time()?.as_secs_f64() / 60.0);
    println!("ci: {} steps passed in {minutes:.1} minutes, {used:.1} of CPU time", STEPS.len());
    Ok(())
}

pub(crate) fn run_task(options: &[String]) -> Result<(), Failure> {
    match options {
        [] => run_all(),
        [name] => match STEPS.iter().find(|step| step.name == name) {
            Some(step) => run_step(step.name, step.run),
            None => Err(format!("no step '{name}'; the steps are {}", step_names())),
        },
        _ => Err(format!("give one step at most; the steps are {}", step_names())),
    }
}

fn step_names() -> String {
    STEPS.iter().map(|step| step.name).collect::<Vec<_>>().join(", ")
}

/// The interpreter's other forms, each with the tests of what it changes: handlers that end in calls
/// and their loop, pointer and slices, in the optimised build, where they differ; and on the whole
/// corpus of vectors what replaces host code.
fn variants() -> Result<(), Failure> {
    let test = |options: &[&str]| run(cargo().args(["test", "--quiet"]).args(options));
    for feature in ["std", "safe-dispatch", "dispatch-loop"] {
        let package = ["--package", "pentimento-interpreter", "--features", feature];
        test(&[&["--profile", "conformance"], &package[..]].concat())?;
    }
    let portable = "pentimento-execute/portable-x87,pentimento-interpreter/safe-dispatch";
    let packages = ["pentimento-execute", "pentimento-interpreter", "pentimento-conformance"]
        .map(|name| ["--package", name]);
    let corpus = ["--lib", "--test", "x87", "--test", "integer", "--test", "vectors", "--test", "lockstep"];
    test(&[packages.as_flattened(), &["--features", portable], &corpus].concat())?;
    run(cargo().args(["check", "--quiet", "--package", "pentimento-cli", "--features", "count-slow"]))
}

/// Random code on the interpreter, and on the translator where there is one.
fn lockstep() -> Result<(), Failure> {
    let run = |words: &[&str]| {
        conformance("lockstep", &words.iter().map(|word| (*word).into()).collect::<Vec<_>>())
    };
    run(&["--random", "50000", "--engine", "interpreter"])?;
    if cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        run(&["--random", "50000", "--engine", "jit-exact"])?;
        // An MMX instruction that faults behind a conversion from memory: TOP was lost.
        run(&["--random", "1", "--first", "58806", "--seed", "36", "--engine", "jit-exact"])?;
    }
    Ok(())
}

/// Each layer builds alone, with and without its default features.
fn features() -> Result<(), Failure> {
    for layer in LAYERS {
        for options in [&[][..], &["--no-default-features"]] {
            run(cargo().args(["check", "--quiet", "--package", layer]).args(options))?;
        }
    }
    Ok(())
}
