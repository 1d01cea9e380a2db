//! Runs an engine beside the reference and compares them at each end of a block:
//! `lockstep PROGRAM [ARGUMENTS]` for a program, `lockstep --random N` for random code.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use pentimento::linux::{LocalFolder, Mount};
use pentimento::{EngineKind, Error, Machine};
use pentimento_conformance::lockstep::programs::Programs;
use pentimento_conformance::lockstep::snippets::{Report, Snippets};

/// Run an engine beside the reference, compared at each end of a block.
#[derive(Parser, Debug)]
struct Arguments {
    /// Snippets of random code to run.
    #[arg(long, value_name = "N", conflicts_with = "program", required_unless_present = "program")]
    random: Option<u64>,
    /// What random code follows from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The first snippet.
    #[arg(long, value_name = "N", default_value_t = 0)]
    first: u64,
    /// Give the guest this folder as /, copy-on-write; the program is a path in it.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Compare at the first end of a block behind this many instructions.
    #[arg(long, value_name = "N", default_value_t = 1)]
    least: u64,
    /// Stop after this many instructions.
    #[arg(long, value_name = "N", default_value_t = u64::MAX)]
    limit: u64,
    /// The engine to run beside the reference.
    #[arg(long, default_value = EngineKind::INTERPRETER.name(), value_parser = engine)]
    engine: EngineKind,
    /// The program.
    program: Option<String>,
    /// Arguments of the program.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

fn engine(name: &str) -> Result<EngineKind, String> {
    let names = || EngineKind::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
    EngineKind::from_name(name).ok_or_else(|| format!("there are {}", names()))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.program {
        Some(program) => run_program(program, &arguments),
        None => run_random(&arguments),
    };
    match result {
        Ok(summary) => {
            println!("lockstep: {summary}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("lockstep: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn progress(length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len}, {eta} left");
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn run_random(arguments: &Arguments) -> Result<String, String> {
    let count = arguments.random.unwrap_or_default();
    let bar = progress(count);
    let mut snippets = Snippets::new(arguments.engine).map_err(|error| error.to_string())?;
    for number in arguments.first..arguments.first.saturating_add(count) {
        snippets.run(arguments.seed, number).map_err(|divergence| divergence.to_string())?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    let Report { snippets, instructions, exceptions } = snippets.report();
    Ok(format!("{snippets} snippets agree, {instructions} instructions, {exceptions} exceptions"))
}

fn run_program(program: &str, arguments: &Arguments) -> Result<String, String> {
    let words: Vec<&str> =
        std::iter::once(program).chain(arguments.arguments.iter().map(String::as_str)).collect();
    let prepare = |machine: &mut Machine| match &arguments.root {
        Some(root) => spawn_in(machine, root, program, &words),
        None => machine.load_file(program, &words, &[]).map(|_| ()),
    };
    let mut programs = Programs::new(arguments.engine, prepare).map_err(|error| error.to_string())?;
    let end = programs.run(arguments.least, arguments.limit).map_err(|divergence| divergence.to_string())?;
    Ok(format!("{} instructions agree; {end:?}", programs.executed()))
}

fn spawn_in(machine: &mut Machine, root: &PathBuf, program: &str, words: &[&str]) -> Result<(), Error> {
    let folder = LocalFolder::open(root).map_err(|source| Error::Read { path: root.clone(), source })?;
    machine.kernel().mount(b"/", Mount::CopyOnWrite(Arc::new(folder)))?;
    machine.kernel().mount(b"/tmp", Mount::Memory)?;
    machine.spawn(program, words, &["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]).map(|_| ())
}
