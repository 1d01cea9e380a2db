//! `fuzz-syscalls`: random system calls for as long as one likes; see `system_calls` for what must hold.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use pentimento_conformance::system_calls::{Cage, Campaign, Resources};

/// Make random system calls on many machines, one after the other.
#[derive(Parser)]
struct Options {
    /// System calls to make.
    #[arg(long, default_value_t = 1_000_000)]
    calls: u64,
    /// The seed; with a machine's number it names that machine.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Run this machine alone.
    #[arg(long)]
    machine: Option<u64>,
    /// The longest that one call may take, in milliseconds.
    #[arg(long, default_value_t = 2000)]
    longest: u64,
}

/// Machines after which memory should have found its level.
const WARM: u64 = 200;

/// Kilobytes that a campaign may grow by after that: what the allocator keeps in pieces.
const GROWTH_MAX: u64 = 64 << 10;

fn main() -> ExitCode {
    let options = Options::parse();
    let cage = match Cage::new(&std::env::temp_dir()) {
        Ok(cage) => cage,
        Err(error) => {
            eprintln!("fuzz-syscalls: cannot make folders to guard: {error}");
            return ExitCode::FAILURE;
        }
    };
    match campaign(&options, &cage) {
        Ok(summary) => {
            println!("fuzz-syscalls: {summary}");
            ExitCode::SUCCESS
        }
        Err(finding) => {
            eprintln!("fuzz-syscalls: {finding}");
            ExitCode::FAILURE
        }
    }
}

fn campaign(options: &Options, cage: &Cage) -> Result<String, String> {
    let campaign = Campaign { seed: options.seed, cage: Some(cage) };
    let bar = ProgressBar::new(options.calls);
    if let Ok(style) =
        ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} calls {per_sec} {eta} {msg}")
    {
        bar.set_style(style);
    }
    let started = Instant::now();
    let (mut calls, mut errors, mut number) = (0, 0, options.machine.unwrap_or(0));
    let mut slowest = (Duration::ZERO, String::new());
    let mut warm: Option<Resources> = None;
    let mut most = Resources::default();
    while calls < options.calls {
        let again = format!("again: --seed {} --machine {number}", options.seed);
        let run = || {
            catch_unwind(AssertUnwindSafe(|| campaign.run_machine(number, options.calls - calls)))
                .map_err(|_| format!("panicked; {again}"))
        };
        let mut life = run()?;
        // The host may have had something better to do: what is slow is slow every time.
        for _ in 0..3 {
            if life.slowest.1 > Duration::from_millis(options.longest) {
                life = run()?;
            }
        }
        calls += life.calls;
        errors += life.errors;
        if life.slowest.1 > slowest.0 {
            let what =
                format!("system call {}, call {} of machine {number}", life.slowest_number, life.slowest.0);
            slowest = (life.slowest.1, what);
            bar.set_message(format!("slowest {:?}: {}", slowest.0, slowest.1));
        }
        if slowest.0 > Duration::from_millis(options.longest) {
            return Err(format!("{:?} for {}; {again}", slowest.0, slowest.1));
        }
        bar.inc(life.calls);
        number += 1;
        let now = Resources::now();
        most = most.max(now);
        if number == WARM {
            warm = Some(now);
        }
        if number.is_multiple_of(WARM) || calls >= options.calls || options.machine.is_some() {
            let changes = cage.changes().map_err(|error| error.to_string())?;
            if !changes.is_empty() {
                return Err(format!("changed on the host: {}; {again}", changes.join(", ")));
            }
        }
        if let Some(warm) = warm
            && (now.kilobytes > warm.kilobytes + GROWTH_MAX || now.descriptors > warm.descriptors)
        {
            return Err(format!("grew from {warm:?} to {now:?}; {again}"));
        }
        if options.machine.is_some() {
            break;
        }
    }
    bar.finish_and_clear();
    Ok(format!(
        "{calls} calls ({errors} errors) on {number} machines in {:.0} s: no panic, nothing changed on the host; \
         at most {} MB and {} descriptors after a machine, {:?} warm; slowest {:?} for {}",
        started.elapsed().as_secs_f64(),
        most.kilobytes >> 10,
        most.descriptors,
        warm,
        slowest.0,
        slowest.1
    ))
}
