//! Compares the decoder with `iced-x86`: `decode-diff [--long]`, the long run in some two minutes.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command")]

use std::process::ExitCode;

use pentimento_conformance::decode_diff::{Report, deviations, random, systematic};

/// Encodings between two progress lines.
const PROGRESS: u64 = 10_000_000;

fn main() -> ExitCode {
    let long = std::env::args().any(|argument| argument == "--long");
    let (stride, count) = if long { (1, 40_000_000) } else { (131, 500_000) };
    let mut report = Report::new();
    let mut check = |bytes: &[u8; 16]| {
        report.check(bytes);
        if report.compared.is_multiple_of(PROGRESS) {
            eprintln!("{} encodings compared", report.compared);
        }
    };
    systematic(stride, &mut check);
    random(0x70_656e_7469_6d65, count, &mut check);
    for (what, (count, example)) in &report.unexplained {
        println!("{count:>9}  {what}\n           {example}");
    }
    for deviation in deviations() {
        let count = report.explained.get(deviation.name).copied().unwrap_or_default();
        println!("{count:>9}  {}: {}", deviation.name, deviation.reason);
    }
    println!(
        "decode-diff: {} encodings compared, {} distinct, {} valid; {} differences explained, {} unexplained",
        report.compared,
        report.distinct,
        report.valid,
        report.explained.values().sum::<u64>(),
        report.unexplained.values().map(|(count, _)| count).sum::<u64>(),
    );
    if report.unexplained.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
