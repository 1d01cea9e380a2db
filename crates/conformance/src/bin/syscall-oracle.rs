//! `syscall-oracle`: holds the kernel of `pentimento-linux` against the host's; see `call_oracle`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use pentimento_conformance::call_oracle::{Generator, Native, NativeError, describe, judge, shrink};
use pentimento_conformance::skip;

/// Make sequences of system calls natively and in a machine, and compare.
#[derive(Parser)]
struct Options {
    /// Sequences.
    #[arg(long, default_value_t = 10_000)]
    sequences: u64,
    /// The seed; with a sequence's number it names that sequence.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Run this sequence alone.
    #[arg(long)]
    sequence: Option<u64>,
    /// Only these calls.
    #[arg(long)]
    only: Vec<String>,
    /// Show the differences that are known and not mended, too.
    #[arg(long)]
    open: bool,
    /// Different differences after which it gives up.
    #[arg(long, default_value_t = 100)]
    most: usize,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let mut native = match Native::start() {
        Ok(native) => native,
        Err(error) => {
            skip("the system-call oracle", &error.to_string());
            return ExitCode::SUCCESS;
        }
    };
    match campaign(&options, &mut native) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("syscall-oracle: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a campaign; how many different differences there were.
fn campaign(options: &Options, native: &mut Native) -> Result<usize, NativeError> {
    let generator = Generator::new(&options.only);
    let started = Instant::now();
    let mut differing: BTreeMap<String, u64> = BTreeMap::new();
    let mut open = 0;
    let (first, behind) = match options.sequence {
        Some(number) => (number, number + 1),
        None => (0, options.sequences),
    };
    let (mut calls, mut done) = (0, 0);
    for number in first..behind {
        let sequence = generator.sequence(options.seed, number);
        done += 1;
        calls += (sequence.calls.len() - sequence.prologue) as u64;
        let Some(difference) = judge(native, &sequence)? else { continue };
        if difference.is_open() && !options.open {
            open += 1;
            continue;
        }
        let times = differing.entry(difference.kind()).or_default();
        *times += 1;
        if *times > 1 {
            continue;
        }
        // What does not come again was the host's moment.
        if judge(native, &sequence)?.is_none_or(|again| again != difference) {
            println!("not again: {difference}; --seed {} --sequence {number}", options.seed);
            continue;
        }
        let (short, difference) = shrink(native, &sequence, difference)?;
        println!("{difference}; --seed {} --sequence {number}\n{}", options.seed, describe(&short));
        if differing.len() >= options.most {
            break;
        }
    }
    println!(
        "syscall-oracle: {done} sequences, {calls} calls of {} kinds in {:.0} s: {open} known differences, {} others, {} kinds",
        generator.calls(),
        started.elapsed().as_secs_f64(),
        differing.values().sum::<u64>(),
        differing.len()
    );
    Ok(differing.len())
}
