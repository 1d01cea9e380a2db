//! `cargo xtask perf-check`: host instructions per guest instruction, counted by callgrind.
//!
//! Times on a shared machine come and go; these counts repeat. Each kernel runs twice, with few
//! and with more rounds, so that start and end drop out of the difference.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::Failure;
use crate::bench::measure::statistic;
use crate::bench::members::{KERNELS, Kernel};
use crate::guests::built_command;
use crate::process::{command, output, top};
use crate::skips::skip;

/// How much worse than the baseline a kernel may be, in per cent.
const TOLERANCE: f64 = 3.0;

pub(crate) fn run_task(options: &[String]) -> Result<(), Failure> {
    let bless = options.iter().any(|option| option == "--bless");
    if output(command("valgrind").arg("--version")).is_err() {
        skip("perf-check", "the host has no valgrind");
        return Ok(());
    }
    let machine = built_command()?;
    let path = top().join("docs/perf-baseline.txt");
    let baseline = read_baseline(&path);
    let mut text = String::from(
        "# Host instructions per guest instruction, by callgrind; `cargo xtask perf-check --bless` writes it.\n",
    );
    let mut worse = Vec::new();
    for kernel in KERNELS {
        let (host_few, guest_few) = count(&machine, kernel, kernel.few)?;
        let (host_more, guest_more) = count(&machine, kernel, kernel.few * 3)?;
        let ratio =
            (host_more.saturating_sub(host_few)) as f64 / guest_more.saturating_sub(guest_few).max(1) as f64;
        let before = baseline.get(kernel.name).copied();
        let change =
            before.map_or_else(String::new, |before| format!(" ({:+.1} %)", (ratio / before - 1.0) * 100.0));
        println!("{:<16} {ratio:7.2} host instructions a guest instruction{change}", kernel.name);
        if before.is_some_and(|before| ratio > before * (1.0 + TOLERANCE / 100.0)) {
            worse.push(kernel.name);
        }
        text.push_str(&format!("{:<16} {ratio:.2}\n", kernel.name));
    }
    if bless {
        return fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()));
    }
    if worse.is_empty() {
        Ok(())
    } else {
        Err(format!("worse than docs/perf-baseline.txt by more than {TOLERANCE} %: {}", worse.join(", ")))
    }
}

/// Host and guest instructions of one run.
fn count(machine: &Path, kernel: &Kernel, rounds: u32) -> Result<(u64, u64), Failure> {
    let result = command("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(machine)
        .args(["run", "--stats", "--seed", "1", "--engine", "interpreter"])
        .arg(kernel.path())
        .arg(rounds.to_string())
        .output()
        .map_err(|error| format!("cannot start valgrind: {error}"))?;
    let messages = String::from_utf8_lossy(&result.stderr);
    let collected = messages.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    match (collected, statistic(&messages, "instructions:")) {
        (Some(host), Some(guest)) if result.status.success() => Ok((host, guest)),
        _ => Err(format!("{} under callgrind: {}: {}", kernel.name, result.status, messages.trim())),
    }
}

fn read_baseline(path: &Path) -> BTreeMap<String, f64> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let (name, ratio) = line.split_once(' ')?;
            Some((name.to_owned(), ratio.trim().parse().ok()?))
        })
        .collect()
}
