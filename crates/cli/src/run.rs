//! `pentimento run`: a Linux program in a machine of its own.

use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use pentimento::linux::host::{Entropy, TraceSink};
use pentimento::linux::{Config, Invocation, LocalFolder, Mount, TaskId, TimeMode};
use pentimento::{Halt, Machine};

use crate::arguments::{MountAccess, NetworkOption, RunOptions};
use crate::exec::{describe, exit_code};
use crate::failure::{Failure, NOT_EXECUTABLE, NOT_FOUND};
use crate::network::HostNetwork;
use crate::output;
use crate::streams::{HostInput, HostOutput};
use crate::usage::{cpu_seconds, peak_memory};

/// The signal of a pipe that nobody reads.
const SIGPIPE: u8 = 13;

/// Runs the program; returns its exit code, or 128 and the number of the signal that killed it.
pub(crate) fn run(options: &RunOptions) -> Result<u8, Failure> {
    let mut machine = machine(options)?;
    let program = place(&mut machine, options)?;
    let started = Instant::now();
    let expired = watch_the_clock(&machine, options);
    let halt = machine.run(options.limit.unwrap_or(u64::MAX));
    if options.stats {
        print_statistics(&machine, started);
    }
    if let Some(hash) = machine.trace_hash() {
        output::say(format_args!("trace hash:   {hash:016x}"));
    }
    match halt {
        // A guest whose reader went away goes as quietly as it would from a shell.
        Halt::Exited(_) | Halt::Killed(SIGPIPE) => {}
        Halt::Killed(_) => output::say(format_args!("pentimento: {program}: {}", describe(halt))),
        Halt::Stopped if expired.load(Ordering::Relaxed) => {
            return Err(Failure::new(format!("{program}: still running at the end of --timeout")));
        }
        Halt::Budget => {
            return Err(Failure::new(format!("{program}: still running after --limit instructions")));
        }
        Halt::Stopped | Halt::Deadlock | Halt::CodeEnd | Halt::Halted => {
            return Err(Failure::new(format!("{program}: {}", describe(halt))));
        }
    }
    Ok(exit_code(halt))
}

fn machine(options: &RunOptions) -> Result<Machine, Failure> {
    let mut config = Config::default();
    match options.seed {
        Some(seed) => config.seed = seed,
        None => {
            // Without a seed the machine lives in the host's time, with the host's random numbers.
            config.time = TimeMode::Real;
            let mut seed = [0; 8];
            HostEntropy.fill(&mut seed);
            config.seed = u64::from_le_bytes(seed);
            config.entropy = Some(Box::new(HostEntropy));
        }
    }
    if options.strace {
        config.trace = Some(Box::new(Trace));
    }
    for bound in &options.bounds {
        bound.apply(&mut config.limits);
    }
    config.identity = options.user;
    if options.net == NetworkOption::Host {
        config.network = Some(Box::new(HostNetwork::default()));
    }
    let mut builder = Machine::builder();
    if options.trace_hash {
        builder = builder.trace_hash();
    }
    builder
        .config(config)
        .engine(options.engine)
        .model(options.cpu)
        .stdin(HostInput::default())
        .stdout(HostOutput::Standard)
        .stderr(HostOutput::Error)
        .build()
        .map_err(|error| Failure::new(error.to_string()))
}

/// Gives the guest its files and starts the program; returns the program's name for messages.
fn place(machine: &mut Machine, options: &RunOptions) -> Result<String, Failure> {
    let current = std::env::current_dir()?;
    let mut program = options.program.clone().into_bytes();
    let mut directory = options.cwd.clone().map(String::into_bytes);
    if let Some(root) = &options.root {
        // A machine has its own /tmp, /dev and /proc, which stay over those of the folder.
        mount(machine, b"/", root, MountAccess::CopyOnWrite)?;
    } else {
        mount(machine, current.as_os_str().as_bytes(), &current, MountAccess::CopyOnWrite)?;
        program = install(machine, &current.join(&options.program))?;
        directory.get_or_insert_with(|| current.into_os_string().into_vec());
    }
    for option in &options.mount {
        mount(machine, option.guest.as_bytes(), &option.host, option.access)?;
    }
    let mut argv = vec![options.program.clone().into_bytes()];
    argv.extend(options.arguments.iter().map(|argument| argument.clone().into_bytes()));
    let mut envp: Vec<Vec<u8>> =
        options.environment.iter().map(|(key, value)| format!("{key}={value}").into_bytes()).collect();
    if !options.environment.iter().any(|(key, _)| key == "PATH") {
        envp.push(b"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_vec());
    }
    let process = machine.spawn_bytes(&program, &argv, &envp).map_err(|error| {
        let code = if error.is_not_found() { NOT_FOUND } else { NOT_EXECUTABLE };
        Failure::new(error.to_string()).with_code(code)
    })?;
    if let Some(directory) = directory {
        machine
            .kernel()
            .change_directory(process, &directory)
            .map_err(|error| Failure::new(format!("--cwd: {error}")))?;
    }
    Ok(options.program.clone())
}

/// Gives the guest the program's file under its own absolute path, and returns that path.
fn install(machine: &mut Machine, program: &Path) -> Result<Vec<u8>, Failure> {
    let refuse = |error: std::io::Error| {
        let code = if error.kind() == std::io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE };
        Failure::new(format!("cannot read {}: {error}", program.display())).with_code(code)
    };
    let path = std::path::absolute(program).map_err(refuse)?;
    let bytes = std::fs::read(&path).map_err(refuse)?;
    let guest = path.into_os_string().into_vec();
    machine.kernel().install_file(&guest, &bytes, 0o755).map_err(|error| Failure::new(error.to_string()))?;
    Ok(guest)
}

fn mount(machine: &mut Machine, guest: &[u8], host: &PathBuf, access: MountAccess) -> Result<(), Failure> {
    let folder = LocalFolder::open(host)
        .map_err(|error| Failure::new(format!("cannot open the folder {}: {error}", host.display())))?;
    let folder = Arc::new(folder);
    let mount = match access {
        MountAccess::ReadOnly => Mount::ReadOnly(folder),
        MountAccess::ReadWrite => Mount::ReadWrite(folder),
        MountAccess::CopyOnWrite => Mount::CopyOnWrite(folder),
    };
    machine.kernel().mount(guest, mount).map_err(|error| Failure::new(error.to_string()))
}

/// Stops the machine at the end of `--timeout`; the flag says that it was that.
fn watch_the_clock(machine: &Machine, options: &RunOptions) -> Arc<AtomicBool> {
    let expired = Arc::new(AtomicBool::new(false));
    if let Some(timeout) = options.timeout {
        let (handle, expired) = (machine.stop_handle(), Arc::clone(&expired));
        std::thread::spawn(move || {
            std::thread::sleep(timeout);
            expired.store(true, Ordering::Relaxed);
            handle.stop();
        });
    }
    expired
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

/// The host's random numbers.
struct HostEntropy;

impl Entropy for HostEntropy {
    fn fill(&mut self, mut buffer: &mut [u8]) {
        while !buffer.is_empty() {
            match rustix::rand::getrandom(&mut *buffer, rustix::rand::GetRandomFlags::empty()) {
                Ok(count) => buffer = &mut buffer[count..],
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
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
