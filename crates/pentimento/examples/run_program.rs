//! Runs a program with bounds on what it may use, and says what became of it.
//!
//! `cargo run --example run_program [PROGRAM [ARGUMENTS...]]`, by default a fixture that reads its input.

use std::error::Error;
use std::io::Write;
use std::time::Duration;

use pentimento::host::Bytes;
use pentimento::{Bounds, Capture, Limits, Machine};

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/programs/base64");

/// Runs the program of `arguments`.
pub(crate) fn show(arguments: &[&str], out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let output = Capture::new();
    let limits = Limits { memory: 64 << 20, processes: 10, ..Limits::default() };
    let mut machine = Machine::builder()
        .seed(7) // the same run each time
        .limits(limits)
        .stdin(Bytes::from("a pentimento\n"))
        .stdout(output.clone())
        .stderr(output.clone())
        .build()?;
    machine.load_file(arguments[0], arguments, &["HOME=/"])?;
    let halt = machine.run(Bounds::none().budget(10_000_000_000).timeout(Duration::from_secs(60)));
    write!(out, "{}", output.text())?;
    // An exit code; or which signal, why, where, and at which access.
    writeln!(out, "{halt}")?;
    let statistics = machine.statistics();
    writeln!(out, "{} instructions, {} system calls", statistics.instructions, statistics.system_calls)?;
    Ok(())
}

#[allow(dead_code, reason = "the tests call `show`")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    show(if arguments.is_empty() { &[FIXTURE] } else { &arguments }, &mut std::io::stdout())
}
