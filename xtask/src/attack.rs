//! `cargo xtask attack`: guests that take whatever they get, under small limits, while time and memory of the
//! host process are watched.
//!
//! Each attack of `fixtures/machines/attacks` runs twice: as it is, and with the address space of the host
//! process limited to three times what the machine may have, where an allocation that nobody has counted
//! would end the process. A run may last no longer than its timeout and a little, hold no more than its
//! account and a tenth, and end in no way but those that the command has for guests.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Output, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::guests::built_command;
use crate::process::{command, output, top};

/// How long the guests may run.
const TIMEOUT: Duration = Duration::from_secs(1);
/// How much longer than that the machine may run; and all of them in the mean.
const LATE: Duration = Duration::from_millis(50);
const LATE_MEAN: Duration = Duration::from_millis(10);
/// How much longer the process may take, which the host ends by taking back what it had.
const ENDING: Duration = Duration::from_millis(500);
/// The machine's account, MiB.
const ACCOUNT: u64 = 256;
/// Of the host process in the second run: address space in KiB, and descriptors.
const CAGE: &str = "ulimit -v 786432; ulimit -n 64; exec \"$@\"";
/// How often a run is repeated that was late: what else the host does comes and goes.
const TRIES: u32 = 3;

/// What an attack cost.
#[derive(Clone, Copy)]
struct Cost {
    /// What the machine ran beyond its timeout.
    late: Duration,
    /// The most memory that the host process held, beyond what it holds without an attack, KiB.
    memory: u64,
}

/// How the command runs an attack.
struct Range<'a> {
    machine: &'a Path,
    program: String,
    caged: bool,
}

impl Range<'_> {
    /// Runs one attack, or with no name the list of them.
    fn run(&self, name: Option<&str>) -> Result<(Duration, Output), Failure> {
        let mut process = if self.caged { command("sh") } else { command(self.machine) };
        if self.caged {
            process.args(["-c", CAGE, "sh"]).arg(self.machine);
        }
        let timeout = format!("{}ms", TIMEOUT.as_millis());
        process.args(["run", "--stats", "--timeout", &timeout, "--max", &format!("memory={ACCOUNT}M")]);
        process.args(["--max", "processes=500", "--max", "threads=2000", &self.program]).args(name);
        let begun = Instant::now();
        let output = process
            .stdin(Stdio::null())
            .stdout(if name.is_some() { Stdio::null() } else { Stdio::piped() })
            .stderr(Stdio::piped())
            .output()
            .map_err(|error| format!("cannot run the command: {error}"))?;
        Ok((begun.elapsed(), output))
    }

    /// What a run that does nothing takes.
    fn base(&self) -> Result<(Duration, u64), Failure> {
        let (time, output) = self.run(None)?;
        Ok((time, figure(&output, "peak memory:")?))
    }

    /// What an attack cost, or how the host process went.
    fn cost(&self, name: &str, base: (Duration, u64)) -> Result<Cost, Failure> {
        let (time, output) = self.run(Some(name))?;
        /// The exit code of a Rust program that panicked.
        const PANIC: i32 = 101;
        let status = output.status;
        if status.signal().is_some() || status.code() == Some(PANIC) {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{name}: {status}: {}", said.trim()));
        }
        let seconds: f64 = figure(&output, "seconds:")?;
        if time > TIMEOUT + base.0 + ENDING {
            return Err(format!("{name}: the process ended after {time:?}"));
        }
        let late = Duration::from_secs_f64(seconds).saturating_sub(TIMEOUT);
        let memory = figure::<u64>(&output, "peak memory:")?.saturating_sub(base.1);
        Ok(Cost { late, memory })
    }
}

/// A figure that the command prints.
fn figure<T: FromStr>(output: &Output, name: &str) -> Result<T, Failure> {
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| format!("no figures: {}", said.trim()))
}

pub(crate) fn run_task(options: &[String]) -> Result<(), Failure> {
    let quick = options.iter().any(|option| option == "--quick");
    let words: Vec<&String> = options.iter().filter(|option| !option.starts_with("--")).collect();
    let machine = built_command()?;
    let program = top().join("fixtures/machines/attacks").display().to_string();
    let names = output(command(&machine).args(["run", &program]))?;
    /// Of so many attacks the quick part takes one.
    const QUICK: usize = 6;
    let wanted = |(index, name): &(usize, &str)| {
        let named = words.is_empty() || words.iter().any(|word| word.as_str() == *name);
        named && (!quick || index % QUICK == 0)
    };
    let names: Vec<&str> = names.lines().enumerate().filter(wanted).map(|(_, name)| name).collect();
    let ranges = [false, true].map(|caged| Range { machine: &machine, program: program.clone(), caged });
    let mut failures = Vec::new();
    let mut all = Vec::new();
    for range in &ranges {
        let base = range.base()?;
        for name in &names {
            match attack(range, name, base) {
                Ok(cost) => all.push(cost.late),
                Err(failure) => failures.push(failure),
            }
        }
    }
    let mean = all.iter().sum::<Duration>() / all.len().max(1) as u32;
    println!("{} runs, {:.1} ms late in the mean", all.len(), mean.as_secs_f64() * 1e3);
    if mean > LATE_MEAN {
        failures.push(format!("{mean:?} late in the mean"));
    }
    for failure in &failures {
        println!("FAILED: {failure}");
    }
    if failures.is_empty() { Ok(()) } else { Err(format!("{} attacks succeeded", failures.len())) }
}

/// Runs an attack until it has stayed within its bounds.
fn attack(range: &Range<'_>, name: &str, base: (Duration, u64)) -> Result<Cost, Failure> {
    let mut last = String::new();
    for _ in 0..TRIES {
        let cost = range.cost(name, base)?;
        let caged = if range.caged { "caged" } else { "free" };
        println!("{name:22} {caged:5} {:8.1} ms {:8} KiB", cost.late.as_secs_f64() * 1e3, cost.memory);
        // Where frames are mapped in place the host counts a page for each mapping.
        let most = ACCOUNT * 1024 * 11 / 10;
        match (cost.late > LATE, range.caged && cost.memory > most) {
            (false, false) => return Ok(cost),
            (late, _) => last = format!("{name}: {}", if late { "late" } else { "too much memory" }),
        }
    }
    Err(last)
}
