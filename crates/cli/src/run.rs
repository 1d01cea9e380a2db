//! `pentimento run`: a Linux program in a machine of its own.

use std::io::IsTerminal;
use std::net::TcpListener;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::Instant;

use pentimento::host::{HostEntropy, HostInput, HostNetwork, HostOutput, Invocation, TraceSink};
use pentimento::linux::{Errno, Error as LinuxError, LoadError};
use pentimento::{Bounds, Error, Halt, Limits, Machine, MachineBuilder, TaskId, TimeMode, gdb};

use crate::arguments::{NetworkOption, RunOptions};
use crate::exec::exit_code;
use crate::failure::{Failure, NOT_EXECUTABLE, NOT_FOUND, OWN, reason};
use crate::files::Keeping;
use crate::output;
use crate::usage::{cpu_seconds, peak_memory};
use crate::watching::Watching;

/// The signal of a pipe that nobody reads.
const SIGPIPE: u8 = 13;

/// Runs the program; returns its exit code, or 128 and the number of the signal that killed it.
pub(crate) fn run(options: &RunOptions) -> Result<u8, Failure> {
    let begun = Instant::now();
    let current = std::env::current_dir()?;
    let (mut machine, keeping) = machine(options, &current)?;
    start(&mut machine, options, &current)?;
    let program = options.program.as_deref().unwrap_or("the image's program");
    let started = Instant::now();
    let mut bounds = Bounds::none().budget(options.limit.unwrap_or(u64::MAX));
    if let Some(timeout) = options.timeout {
        // Reading the program counts, too.
        bounds = bounds.timeout(timeout.saturating_sub(begun.elapsed()));
    }
    let mut watching = Watching::start(&mut machine, options)?;
    let halt = match &options.gdb {
        Some(address) => debug(&mut machine, address)?,
        None => None,
    };
    let halt = halt.unwrap_or_else(|| watching.run(&mut machine, bounds));
    if options.stats {
        print_statistics(&machine, started);
    }
    if let Some(hash) = machine.trace_hash() {
        output::say(format_args!("trace hash:   {hash:016x}"));
    }
    let backtrace = watching.finish(&mut machine, program, halt)?;
    keeping.finish(&mut machine)?;
    if let Some(file) = &options.record {
        write_recording(&machine, file)?;
    }
    if !std::io::stdin().is_terminal() {
        // Nothing of it is left to do but to give memory back, which the host does faster at the end of the
        // process. A terminal has to be put back into its modes.
        std::mem::forget(machine);
    }
    let code = conclude(program, halt);
    if let Some(backtrace) = backtrace {
        output::say(backtrace.to_string().trim_end());
    }
    code
}

/// Writes what `pentimento replay` reads.
pub(crate) fn write_recording(machine: &Machine, file: &Path) -> Result<(), Failure> {
    let refuse =
        |error: &dyn std::fmt::Display| Failure::new(format!("--record {}: {error}", file.display()));
    let out = std::fs::File::create(file).map_err(|error| refuse(&reason(&error)))?;
    machine.save_recording(out).map_err(|error| refuse(&error))
}

/// Says how the program ended, where that is out of the ordinary; the exit code.
pub(crate) fn conclude(program: &str, halt: Halt) -> Result<u8, Failure> {
    match halt {
        // A guest whose reader went away goes as quietly as it would from a shell.
        Halt::Exited(_) | Halt::Killed { signal: SIGPIPE, .. } => {}
        Halt::Killed { .. } => output::say(format_args!("pentimento: {program}: {halt}")),
        Halt::Timeout => {
            return Err(Failure::new(format!("{program}: still running at the end of --timeout")));
        }
        Halt::Budget => {
            return Err(Failure::new(format!("{program}: still running after --limit instructions")));
        }
        // Stopped, at a deadlock, at the end of raw code...
        _ => return Err(Failure::new(format!("{program}: {halt}"))),
    }
    Ok(exit_code(halt))
}

fn machine(options: &RunOptions, current: &Path) -> Result<(Machine, Keeping), Failure> {
    let (builder, keeping) = describe(options, current)?;
    let machine = builder.build().map_err(|error| Failure::new(error.to_string()))?;
    Ok((machine, keeping))
}

/// The machine that the options are about.
pub(crate) fn describe(options: &RunOptions, current: &Path) -> Result<(MachineBuilder, Keeping), Failure> {
    // Whoever reads the output decides how much of it there may be.
    let mut limits = Limits { output: u64::MAX, ..Limits::default() };
    for bound in &options.bounds {
        bound.apply(&mut limits);
    }
    let mut builder = Machine::builder()
        .limits(limits)
        .engine(options.engine)
        .model(options.cpu)
        .stdin(HostInput::default())
        .stdout(HostOutput::Standard)
        .stderr(HostOutput::Error);
    builder = match options.seed {
        Some(seed) => builder.seed(seed),
        // Without a seed the machine lives in the host's time, with the host's random numbers.
        None => builder.seed(HostEntropy::seed()).entropy(HostEntropy).time(TimeMode::Real),
    };
    if options.strace {
        builder = builder.trace(Trace);
    }
    if options.net == NetworkOption::Host {
        builder = builder.network(HostNetwork::default());
    }
    if let Some((user, group)) = options.user {
        builder = builder.user(user, group);
    }
    if options.trace_hash {
        builder = builder.trace_hash();
    }
    if options.record.is_some() {
        builder = builder.record();
    }
    if options.files.root.is_none() {
        builder = builder.working_directory(current.as_os_str().as_bytes());
    }
    let builder = options.environment.apply(builder);
    options.files.apply(builder, current)
}

/// Lets GDB rule the machine; how it ended, unless GDB let it go.
pub(crate) fn debug(machine: &mut Machine, address: &str) -> Result<Option<Halt>, Failure> {
    /// The signal of a program that is killed.
    const SIGKILL: u8 = 9;
    let refuse = |error: std::io::Error| Failure::new(format!("--gdb {address}: {error}"));
    let listener = TcpListener::bind(address).map_err(refuse)?;
    let place = listener.local_addr().map_err(refuse)?;
    output::say(format_args!("pentimento: waiting for GDB: target remote {place}"));
    let (connection, _) = listener.accept().map_err(refuse)?;
    match gdb::serve(machine, connection) {
        Ok(gdb::Ending::Halted(halt)) => Ok(Some(halt)),
        Ok(gdb::Ending::Killed) => Ok(Some(Halt::Killed { signal: SIGKILL, crash: None })),
        Ok(_) => Ok(None),
        Err(error) => Err(Failure::new(format!("--gdb {address}: {error}"))),
    }
}

/// Starts the program.
pub(crate) fn start(machine: &mut Machine, options: &RunOptions, current: &Path) -> Result<(), Failure> {
    let argv: Vec<&[u8]> = options.program.iter().chain(&options.arguments).map(String::as_bytes).collect();
    let started = match &options.program {
        Some(program) if options.files.root.is_none() => {
            let program = current.join(program);
            match machine.start_program(program.as_os_str().as_bytes(), &argv) {
                // It lies outside of what the guest sees.
                Err(error) if error.is_not_found() => {
                    let guest = install(machine, &program)?;
                    machine.start_program(&guest, &argv)
                }
                other => other,
            }
        }
        _ => machine.start(&argv),
    };
    started.map(|_| ()).map_err(|error| {
        let code = match &error {
            error if error.is_not_found() => NOT_FOUND,
            Error::Directory { .. } | Error::NoProgram => OWN,
            _ => NOT_EXECUTABLE,
        };
        Failure::new(format!("{error}{}", advice(&error, options))).with_code(code)
    })
}

/// What to do about a program that cannot be started, where we know.
fn advice(error: &Error, options: &RunOptions) -> &'static str {
    let missing_interpreter = matches!(
        error,
        Error::Linux(LinuxError::Load { source: LoadError::Interpreter { errno: Errno::ENOENT, .. }, .. })
    );
    match (&options.files.root, error) {
        (None, _) if missing_interpreter => {
            "; it needs more files than its own, such as shared libraries: give it a root that has them, \
             --root DIR (docs/guide.md shows three ways to get one)"
        }
        (_, Error::NoProgram) => "; give a <PROGRAM>, or a --root with an image that names one",
        (Some(_), _) if missing_interpreter => "; the root of --root does not have it",
        (Some(_), Error::Linux(LinuxError::Open { errno: Errno::ENOENT, .. })) => {
            "; with --root the program is a path in that root: --mount gives the guest other folders"
        }
        _ => "",
    }
}

/// Gives the guest the program's file under its own real path, and returns that path.
fn install(machine: &mut Machine, program: &Path) -> Result<Vec<u8>, Failure> {
    let refuse = |error: std::io::Error| {
        let code = if error.kind() == std::io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE };
        Failure::new(format!("cannot read {}: {error}", program.display())).with_code(code)
    };
    let path = std::fs::canonicalize(program).map_err(refuse)?;
    if !std::fs::metadata(&path).map_err(refuse)?.is_file() {
        let reason = format!("cannot run {}: not a regular file", program.display());
        return Err(Failure::new(reason).with_code(NOT_EXECUTABLE));
    }
    let bytes = std::fs::read(&path).map_err(refuse)?;
    let guest = path.into_os_string().into_vec();
    machine.install_file(&guest, &bytes, 0o755).map_err(|error| Failure::new(error.to_string()))?;
    Ok(guest)
}

fn print_statistics(machine: &Machine, started: Instant) {
    let statistics = machine.statistics();
    let seconds = started.elapsed().as_secs_f64();
    output::say(format_args!("instructions: {}", statistics.instructions));
    output::say(format_args!("system calls: {}", statistics.system_calls));
    output::say(format_args!("exceptions:   {}", statistics.exceptions));
    output::say(format_args!("seconds:      {seconds:.3}"));
    let cpu_seconds = cpu_seconds();
    output::say(format_args!("CPU seconds:  {cpu_seconds:.3}"));
    output::say(format_args!(
        "speed:        {:.1} M instructions/CPU s",
        statistics.instructions as f64 / cpu_seconds / 1e6
    ));
    if let Some(peak) = peak_memory() {
        output::say(format_args!("peak memory:  {peak} KiB"));
    }
    for (name, count) in machine.engine_counts() {
        output::say(format_args!("engine:       {count:>12} {name}"));
    }
    #[cfg(feature = "count-slow")]
    print_slow_counts(machine);
}

/// The instructions without a handler of their own, the most frequent first.
#[cfg(feature = "count-slow")]
fn print_slow_counts(machine: &Machine) {
    let executed = machine.statistics().instructions as f64;
    let mut counts: Vec<(&str, u64)> = machine.slow_counts().iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    for (form, count) in counts.iter().take(25) {
        output::say(format_args!("slow: {:6.2} % {count:>12} {form}", *count as f64 / executed * 100.0));
    }
}

/// `--strace`: a line a system call on standard error.
struct Trace;

impl TraceSink for Trace {
    fn system_call(&mut self, invocation: &Invocation) {
        output::say(format_args!("[{}] {invocation}", invocation.task.number()));
    }

    fn unimplemented(&mut self, number: u32, name: &str) {
        output::say(format_args!("pentimento: system call {number} ({name}) is not implemented: ENOSYS"));
    }

    fn signal(&mut self, task: TaskId, name: &str) {
        output::say(format_args!("[{}] --- {name} ---", task.number()));
    }
}
