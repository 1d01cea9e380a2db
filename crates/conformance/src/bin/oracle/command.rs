//! Options, threads, progress and the report.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use pentimento_conformance::generate::{Generator, Group, Scope};
use pentimento_conformance::oracle::{Campaign, CampaignError, Failure, OracleError, Report};
use pentimento_conformance::{Freedom, Make, skip, text};
use pentimento_decoder::Operation;

#[path = "record.rs"]
mod record;

/// Compare the engines with this host's CPU.
#[derive(Parser)]
struct Options {
    /// Cases to draw.
    #[arg(long, default_value_t = 200_000)]
    cases: u64,
    /// integer, x87, mmx, sse, undefined, sequences, or a mnemonic such as `shld`.
    #[arg(long, value_parser = scope)]
    only: Option<Scope>,
    /// The seed; with a case's number it names that case.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The number of the first case.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Native oracles to run at a time, each with engines in a thread of its own.
    #[arg(long, default_value_t = 1)]
    jobs: u64,
    /// Failures of each operation to show in full.
    #[arg(long, default_value_t = 2)]
    show: u64,
    /// Compare only what the architecture promises, as is done without asking on a CPU of a family that
    /// nobody has recorded, and count the rest.
    #[arg(long)]
    lenient: bool,
    /// Write samples of a few cases a row to fixtures/vectors instead, for hosts without this CPU.
    #[arg(long)]
    record: bool,
}

fn scope(text: &str) -> Result<Scope, String> {
    Ok(match text {
        "integer" => Scope::Group(Group::Integer),
        "x87" => Scope::Group(Group::X87),
        "mmx" => Scope::Group(Group::Mmx),
        "sse" => Scope::Group(Group::Sse),
        "undefined" => Scope::Undefined,
        "sequences" => Scope::Sequences,
        name => match Operation::ALL.iter().find(|operation| operation.mnemonic() == name) {
            Some(&operation) => Scope::Operation(operation),
            None => {
                return Err("neither integer, x87, mmx, sse, undefined, sequences nor a mnemonic".to_owned());
            }
        },
    })
}

pub(crate) fn main() -> ExitCode {
    let options = Options::parse();
    if options.record {
        return record::main(options.seed);
    }
    let generator = Generator::new(options.only.unwrap_or(Scope::All), options.seed);
    println!(
        "oracle: {} rows, seed {}, {} cases on {}",
        generator.row_count(),
        options.seed,
        options.cases,
        Make::host()
    );
    let start = Instant::now();
    match run(&options, &generator) {
        Ok(report) => {
            print(&report, &options);
            println!("oracle: {:.1} s", start.elapsed().as_secs_f64());
            if report.differing() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(CampaignError::Oracle(error @ OracleError::NoNative { .. })) => {
            skip("oracle", &error.to_string());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("oracle: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Draws cases in slices, which the jobs take one after the other.
fn run(options: &Options, generator: &Generator) -> Result<Report, CampaignError> {
    const SLICE: u64 = 50_000;
    let bar = ProgressBar::new(options.cases);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} {per_sec} {eta}") {
        bar.set_style(style);
    }
    let make = if options.lenient { Make::unknown() } else { Make::host() };
    let end = options.first + options.cases;
    let next = AtomicU64::new(options.first);
    let job = || {
        let mut report = Report::default();
        loop {
            let start = next.fetch_add(SLICE, Ordering::Relaxed);
            if start >= end {
                return Ok(report);
            }
            let campaign = Campaign::new(generator, options.show)?.taken_for(make.clone());
            let numbers = start..end.min(start + SLICE);
            report.merge(campaign.run(numbers, |count| bar.inc(count))?, options.show);
        }
    };
    let mut total = Report::default();
    let reports: Vec<Result<Report, CampaignError>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..options.jobs.max(1)).map(|_| scope.spawn(job)).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    bar.finish_and_clear();
    for report in reports {
        total.merge(report?, options.show);
    }
    Ok(total)
}

fn print(report: &Report, options: &Options) {
    let mut failures: Vec<&Failure> = report.failures.iter().collect();
    failures.sort_by_key(|failure| failure.number);
    for failure in failures {
        println!("{}", describe(failure, options.seed));
    }
    for (name, tally) in &report.tallies {
        if tally.differing > 0 {
            println!("{name:<18} {:>9} cases {:>9} differ", tally.cases, tally.differing);
        }
    }
    print_freedoms(report);
    println!(
        "oracle: {} cases over {} operations compared, {} draws skipped, {} differ",
        report.cases,
        report.tallies.len(),
        report.skipped,
        report.differing()
    );
}

/// Where this CPU used a freedom that the architecture or its maker leaves it, otherwise than the engines.
fn print_freedoms(report: &Report) {
    for &freedom in Freedom::ALL {
        let counts = report.freedoms.iter().filter(|((used, _), _)| *used == freedom);
        let mut counts: Vec<_> = counts.map(|((_, name), count)| (count, *name)).collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let total: u64 = counts.iter().map(|(count, _)| **count).sum();
        let names: Vec<_> = counts.iter().take(8).map(|(count, name)| format!("{name} {count}")).collect();
        let more = if counts.len() > names.len() { ", ..." } else { "" };
        if total > 0 {
            println!("oracle: open: {freedom:?} in {total} cases ({}{more})", names.join(", "));
        }
    }
}

fn describe(failure: &Failure, seed: u64) -> String {
    let mut lines = vec![format!(
        "== case {} of seed {seed}, engine {}: oracle --seed {seed} --first {} --cases 1",
        failure.number, failure.engine, failure.number
    )];
    lines.push(text::describe(&failure.case));
    for difference in &failure.differences {
        lines.push(format!(
            "   {:<22} silicon {}, engine {}",
            difference.field, difference.expected, difference.actual
        ));
    }
    lines.join("\n")
}
