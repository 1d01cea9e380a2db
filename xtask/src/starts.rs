//! `cargo xtask bench-starts`: how long programs take from start to exit, what forks and processes
//! cost, and how many of them there can be.
//!
//! Wall time of the whole `pentimento` process, because that is what a person waits for; the least
//! of many runs says what the machine can do while other work comes and goes.

use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use crate::Failure;
use crate::guests::{built_command, shell_root};
use crate::process::{cargo, command, run, top};
use crate::skips::skip;

/// A program that ends at once.
struct Start {
    name: &'static str,
    /// In the Debian root, or else below `fixtures/programs`.
    in_root: bool,
    words: &'static [&'static str],
    /// Milliseconds that it may take at most, where that was decided.
    bar: Option<f64>,
}

#[rustfmt::skip]
const STARTS: &[Start] = &[
    Start { name: "hello, static",    in_root: false, words: &["hello"],                              bar: Some(3.0) },
    Start { name: "C, static",        in_root: false, words: &["structures"],                         bar: None },
    Start { name: "true, dynamic",    in_root: true,  words: &["/bin/true"],                          bar: Some(15.0) },
    Start { name: "bash -c",          in_root: true,  words: &["/bin/bash", "-c", "exit 0"],          bar: None },
    Start { name: "perl -e",          in_root: true,  words: &["/usr/bin/perl", "-e", "1"],           bar: None },
    Start { name: "python3.11 -S -c", in_root: true,  words: &["/usr/bin/python3.11", "-S", "-c", ""], bar: None },
];

/// Megabytes that the process has which forks, and how often it does.
const FORK_MEGABYTES: &str = "100";
const FORKS: u32 = 100;

/// Pages that each child writes to.
const TOUCHED: &[u32] = &[0, 100, 1000, 10_000];

/// What one run took.
#[derive(Clone, Copy)]
struct Run {
    milliseconds: f64,
    /// The most memory that the host process held, KiB.
    peak: f64,
}

pub(crate) fn run_task(options: &[String]) -> Result<(), Failure> {
    let runs = match options {
        [] => 40,
        [option] => match option.strip_prefix("--runs=").map(str::parse) {
            Some(Ok(runs)) if runs > 0 => runs,
            _ => return Err("the only option is --runs=N".into()),
        },
        _ => return Err("the only option is --runs=N".into()),
    };
    let machine = built_command()?;
    let missed = starts(&machine, runs)?;
    forks(&machine, runs.min(10))?;
    let crowd = best(&machine, &fixture(&["crowd", "1000"]), runs.min(10))?.0;
    println!("1,000 processes alive   {:8.2} ms, {:.1} MB", crowd.milliseconds, crowd.peak / 1024.0);
    let start = Instant::now();
    let test = ["test", "--quiet", "--release", "--package", "pentimento", "--test", "many_machines"];
    run(cargo().args(test))?;
    println!("10,000 machines one after the other, build included: {:.1} s", start.elapsed().as_secs_f64());
    if missed == 0 { Ok(()) } else { Err(format!("{missed} programs take longer than they may")) }
}

/// Prints how long the programs take; says how many took too long.
fn starts(machine: &Path, runs: usize) -> Result<usize, Failure> {
    let root = shell_root();
    if let Err(reason) = &root {
        skip("bench-starts: the Debian programs", reason);
    }
    let mut missed = 0;
    for start in STARTS {
        let words = match (&root, start.in_root) {
            (Ok(root), true) => {
                let mut words = vec!["--root".to_owned(), root.display().to_string()];
                words.extend(start.words.iter().map(|word| (*word).to_owned()));
                words
            }
            (Err(_), true) => continue,
            (_, false) => fixture(start.words),
        };
        let (least, median) = best(machine, &words, runs)?;
        let too_long = start.bar.is_some_and(|bar| least.milliseconds > bar);
        missed += usize::from(too_long);
        let bar = start.bar.map_or_else(String::new, |bar| {
            format!("; at most {bar} ms: {}", if too_long { "MISSED" } else { "met" })
        });
        println!(
            "{:<23} {:8.2} ms, median {:.2} ms, {:.1} MB{bar}",
            start.name,
            least.milliseconds,
            median.milliseconds,
            least.peak / 1024.0
        );
    }
    Ok(missed)
}

/// Prints what a fork of a large process costs, by the pages that the child writes to.
fn forks(machine: &Path, runs: usize) -> Result<(), Failure> {
    let forks = FORKS.to_string();
    let without = best(machine, &fixture(&["fork_large", FORK_MEGABYTES, "0", "0"]), runs)?.0;
    for touched in TOUCHED {
        let words = fixture(&["fork_large", FORK_MEGABYTES, &touched.to_string(), &forks]);
        let with = best(machine, &words, runs)?.0;
        println!(
            "fork {FORK_MEGABYTES} MB, write {touched:>5} {:8.2} ms, {:.1} MB more",
            (with.milliseconds - without.milliseconds) / f64::from(FORKS),
            (with.peak - without.peak) / 1024.0
        );
    }
    Ok(())
}

/// The command line of a fixture program.
fn fixture(words: &[&str]) -> Vec<String> {
    let mut words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    if let Some(program) = words.first_mut() {
        *program = top().join("fixtures/programs").join(&*program).display().to_string();
    }
    words
}

/// The quickest of several runs, and the one in the middle.
fn best(machine: &Path, words: &[String], runs: usize) -> Result<(Run, Run), Failure> {
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        times.push(execute(machine, words)?);
    }
    times.sort_by(|a, b| a.milliseconds.total_cmp(&b.milliseconds));
    match (times.first(), times.get(times.len() / 2)) {
        (Some(least), Some(median)) => Ok((*least, *median)),
        _ => Err("no runs".into()),
    }
}

fn execute(machine: &Path, words: &[String]) -> Result<Run, Failure> {
    let mut program = command(machine);
    program.args(["run", "--stats"]).args(words).stdin(Stdio::null());
    let start = Instant::now();
    let result = program.output().map_err(|error| format!("cannot start {program:?}: {error}"))?;
    let milliseconds = start.elapsed().as_secs_f64() * 1000.0;
    let messages = String::from_utf8_lossy(&result.stderr);
    let peak = messages
        .lines()
        .find_map(|line| line.strip_prefix("peak memory:")?.split_whitespace().next()?.parse().ok());
    match peak {
        Some(peak) if result.status.code().is_some() => Ok(Run { milliseconds, peak }),
        _ => Err(format!("{program:?}: {}: {}", result.status, messages.trim())),
    }
}
