//! Runs contenders in turn and takes the CPU time that each used.

use std::process::Stdio;
use std::time::Duration;

use indicatif::ProgressBar;
use nix::sys::resource::{UsageWho, getrusage};

use crate::Failure;
use crate::process::command;

/// One way to run a member.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) words: Vec<String>,
    /// Whether it is our command, which says how many instructions it executed.
    pub(crate) counts: bool,
    /// How often it runs at most.
    pub(crate) most_runs: usize,
}

/// What was measured of a contender.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Figure {
    /// The median of the CPU seconds, user and system, of the process and its children.
    pub(crate) seconds: f64,
    /// Half the distance of the quartiles, as a part of the median.
    pub(crate) spread: f64,
    /// Guest instructions executed, of the last run.
    pub(crate) instructions: Option<u64>,
}

impl Figure {
    /// The figure of several runs, or `None` of none.
    fn of(mut seconds: Vec<f64>, instructions: Option<u64>) -> Option<Self> {
        seconds.sort_by(f64::total_cmp);
        let at = |part: usize| seconds.get(seconds.len() * part / 4).copied();
        let median = at(2)?;
        Some(Self { seconds: median, spread: (at(3)? - at(1)?) / 2.0 / median, instructions })
    }
}

/// What one run came to.
struct Run {
    seconds: f64,
    output: Vec<u8>,
    instructions: Option<u64>,
}

/// A figure for each contender over `runs` rounds in which each has its turn, after a run of the
/// first that says what all of them have to print.
pub(crate) fn measure(
    contenders: &[Contender],
    runs: usize,
    progress: &ProgressBar,
) -> Result<Vec<Option<Figure>>, Failure> {
    let Some(first) = contenders.first() else { return Ok(Vec::new()) };
    let expected = execute(first)?.output;
    let mut times = vec![Vec::new(); contenders.len()];
    let mut counts = vec![None; contenders.len()];
    for round in 0..runs {
        for (index, contender) in contenders.iter().enumerate() {
            if round < contender.most_runs {
                let run = execute(contender)?;
                if run.output != expected {
                    return Err(format!("{} prints something else: {:?}", contender.name, contender.words));
                }
                times[index].push(run.seconds);
                counts[index] = run.instructions;
            }
            progress.inc(1);
        }
    }
    Ok(times.into_iter().zip(counts).map(|(times, count)| Figure::of(times, count)).collect())
}

/// User and system time of all children that have ended.
pub(crate) fn children_time() -> Result<Duration, Failure> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|error| format!("getrusage: {error}"))?;
    let duration = |time: nix::sys::time::TimeVal| {
        Duration::from_micros((time.tv_sec() as u64).saturating_mul(1_000_000) + time.tv_usec() as u64)
    };
    Ok(duration(usage.user_time()) + duration(usage.system_time()))
}

fn execute(contender: &Contender) -> Result<Run, Failure> {
    let (program, arguments) = contender.words.split_first().ok_or("an empty command")?;
    let before = children_time()?;
    let result = command(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot start {program}: {error}"))?;
    let seconds = (children_time()? - before).as_secs_f64();
    let messages = String::from_utf8_lossy(&result.stderr);
    if !result.status.success() {
        return Err(format!("{} failed: {} {}", contender.words.join(" "), result.status, messages.trim()));
    }
    let instructions = if contender.counts { statistic(&messages, "instructions:") } else { None };
    Ok(Run { seconds, output: result.stdout, instructions })
}

/// A number from what `pentimento run --stats` prints.
pub(crate) fn statistic(messages: &str, label: &str) -> Option<u64> {
    let line = messages.lines().find_map(|line| line.strip_prefix(label))?;
    line.trim().parse().ok()
}
