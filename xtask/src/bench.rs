//! `cargo xtask bench-guests`: how much CPU time programs take natively, under QEMU where it is
//! installed, and on every engine of ours, all in one run.
//!
//! User and system time of the processes, not wall time: the machine may have other work.

pub(crate) mod chart;
pub(crate) mod measure;
pub(crate) mod members;
pub(crate) mod report;

use std::fs;
use std::path::Path;
use std::process::Command;

use indicatif::{ProgressBar, ProgressStyle};

use crate::Failure;
use crate::guests::{built_command, shell_root};
use crate::native;
use crate::process::top;
use crate::skips::skip;
use measure::{Contender, measure};
use members::{Group, KERNELS, Kernel, PROGRAMS};
use report::{Results, Row};

/// What the options ask for.
struct Options {
    runs: usize,
    reference: bool,
    json: bool,
    bless: bool,
    filters: Vec<String>,
}

impl Options {
    fn parse(words: &[String]) -> Result<Self, Failure> {
        let mut options = Self { runs: 5, reference: false, json: false, bless: false, filters: Vec::new() };
        for word in words {
            match word.as_str() {
                "--reference" => options.reference = true,
                "--json" => options.json = true,
                "--bless" => options.bless = true,
                _ => match word.strip_prefix("--runs=") {
                    Some(number) => {
                        options.runs = number.parse().map_err(|_| "--runs=N takes a number".to_owned())?;
                    }
                    None if word.starts_with("--") => {
                        let known = "--runs=N, --reference, --json and --bless";
                        return Err(format!("no option {word}; there are {known}"));
                    }
                    None => options.filters.push(word.clone()),
                },
            }
        }
        if options.runs == 0 {
            return Err("--runs=N takes a number above 0".to_owned());
        }
        if options.bless && !options.filters.is_empty() {
            return Err("--bless records all members: give no names with it".to_owned());
        }
        Ok(options)
    }

    fn wanted(&self, name: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| name.contains(filter.as_str()))
    }
}

/// The command that is timed, and what else can run the members.
struct Field {
    machine: String,
    qemu: bool,
    reference: bool,
    /// The words before a native run of a whole root, or why there are none.
    confinement: Result<Vec<String>, String>,
}

impl Field {
    fn names(&self) -> Vec<&'static str> {
        let others =
            [("qemu-i386", self.qemu), ("jit", true), ("interpreter", true), ("reference", self.reference)];
        let others = others.into_iter().filter(|(_, takes_part)| *takes_part).map(|(name, _)| name);
        std::iter::once("native").chain(others).collect()
    }

    /// A contender for each name, given the words behind whatever runs them. Our plain engine is
    /// so slow that one run of it is plenty.
    fn contenders(&self, words: impl Fn(&'static str, Vec<String>) -> Vec<String>) -> Vec<Contender> {
        let contender = |name: &'static str| {
            let ours = matches!(name, "jit" | "interpreter" | "reference");
            let prefix = match name {
                "native" => Vec::new(),
                "qemu-i386" => vec![name.to_owned()],
                _ => [&self.machine, "run", "--stats", "--engine", name].map(str::to_owned).to_vec(),
            };
            let most_runs = if name == "reference" { 1 } else { usize::MAX };
            Contender { name, words: words(name, prefix), counts: ours, most_runs }
        };
        self.names().into_iter().map(contender).collect()
    }

    fn kernel(&self, kernel: &Kernel) -> Vec<Contender> {
        let program = kernel.path().display().to_string();
        self.contenders(|_, mut words| {
            words.extend([program.clone(), kernel.rounds.to_string()]);
            words
        })
    }

    /// QEMU is left out: it runs one program, not a shell with others in a root of its own.
    fn program(&self, root: &Path, line: &str, confinement: &[String]) -> Vec<Contender> {
        const ENTER: &str = "mount --rbind /dev \"$0/dev\" && exec chroot \"$0\" /bin/bash -c \"$1\"";
        let root = root.display().to_string();
        let mut contenders = self.contenders(|name, mut words| {
            match name {
                "native" => {
                    words.extend_from_slice(confinement);
                    words.extend(["sh", "-c", ENTER, &root, line].map(str::to_owned));
                }
                _ => words.extend(["--root", &root, "/bin/bash", "-c", line].map(str::to_owned)),
            }
            words
        });
        for contender in contenders.iter_mut().filter(|contender| contender.name == "qemu-i386") {
            contender.most_runs = 0;
        }
        contenders
    }
}

pub(crate) fn run_task(words: &[String]) -> Result<(), Failure> {
    let options = Options::parse(words)?;
    let field = Field {
        machine: built_command()?.display().to_string(),
        qemu: Command::new("qemu-i386").arg("--version").output().is_ok(),
        reference: options.reference,
        confinement: native::confinement(),
    };
    let mut results = Results { names: field.names(), runs: options.runs, rows: Vec::new() };
    let members = members(&field, &options);
    let progress = progress(members.len() * field.names().len() * options.runs);
    for (name, group, contenders) in members {
        progress.set_message(name);
        let row = Row { name, group, figures: measure(&contenders, options.runs, &progress)? };
        if !options.json {
            progress.suspend(|| println!("{}", results.line(&row)));
        }
        results.rows.push(row);
    }
    progress.finish_and_clear();
    if options.json {
        println!("{:#}", results.json());
    } else {
        results.summary().iter().for_each(|line| println!("{line}"));
    }
    if options.bless { bless(&results) } else { Ok(()) }
}

/// Every member that is wanted and that this host has.
fn members(field: &Field, options: &Options) -> Vec<(&'static str, Group, Vec<Contender>)> {
    let kernels = KERNELS.iter().filter(|kernel| options.wanted(kernel.name));
    let mut members: Vec<_> =
        kernels.map(|kernel| (kernel.name, kernel.group, field.kernel(kernel))).collect();
    let programs: Vec<_> = PROGRAMS.iter().filter(|program| options.wanted(program.name)).collect();
    if !programs.is_empty() {
        match (shell_root(), &field.confinement) {
            (Ok(root), Ok(words)) => members.extend(
                programs
                    .iter()
                    .map(|program| (program.name, Group::Debian, field.program(&root, program.line, words))),
            ),
            (Err(reason), _) => skip("bench-guests: the Debian programs", &reason),
            (_, Err(reason)) => skip("bench-guests: the Debian programs", reason),
        }
    }
    members.sort_by_key(|(_, group, _)| Group::ALL.iter().position(|other| other == group));
    members
}

fn progress(length: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} runs, {eta} left: {msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length as u64).with_style(style)
}

/// Writes chart and table into `docs/`.
fn bless(results: &Results) -> Result<(), Failure> {
    let write = |name: &str, text: String| {
        let path = top().join(name);
        fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
    };
    write("docs/speed.svg", chart::draw(results))?;
    let path = top().join("docs/performance.md");
    let text =
        fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    write("docs/performance.md", report::replace(&text, &results.markdown())?)?;
    println!("written: docs/speed.svg, and the table in docs/performance.md");
    Ok(())
}
