//! `cargo xtask guests`: programs that we did not write, run by `pentimento` and by this host's CPU.
//!
//! Each line of `fixtures/guests/SUITE.checks` is one invocation, run in a fresh copy of
//! `fixtures/guests/input`. Standard output and exit code must be those of the native run, or, on
//! hosts that cannot run 32-bit code, those recorded in `SUITE.golden` by `--bless`. A line that
//! cannot pass yet is listed in `SUITE.expected-failures`, a tab and the reason behind it; one that
//! passes all the same is a failure too, so that the list stays true.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Failure;
use crate::debian::Archive;
use crate::native;
use crate::process::{cargo, command, output, run, top};
use crate::skips::skip;

/// A set of checks on Debian packages.
struct Suite {
    name: &'static str,
    packages: &'static [&'static str],
    subject: Subject,
}

/// What a suite's lines are.
enum Subject {
    /// Arguments of this one static program.
    Program(&'static str),
    /// Command lines for bash in a whole root folder.
    Shell,
}

#[rustfmt::skip]
const SUITES: &[Suite] = &[
    Suite { name: "busybox", packages: &["busybox-static"], subject: Subject::Program("bin/busybox") },
    Suite { name: "debian",  packages: DEBIAN,              subject: Subject::Shell },
    Suite { name: "jits",    packages: JITS,                subject: Subject::Shell },
    Suite { name: "debuggers", packages: DEBUGGERS,         subject: Subject::Shell },
];

/// The packages of the whole root.
#[rustfmt::skip]
const DEBIAN: &[&str] = &[
    "bash", "coreutils", "findutils", "grep", "sed", "gawk", "tar", "gzip", "bzip2", "xz-utils", "zstd",
    "diffutils", "bc", "file", "util-linux", "less", "procps", "python3.11", "perl", "lua5.4", "sqlite3",
    "openssl", "make", "gcc", "g++", "git", "redis-server", "nginx-light", "busybox", "stress-ng", "vim-tiny", "ncurses-base",
    "brotli", "lame", "luajit",
];

/// Programs that translate code themselves, and what their lines need.
const JITS: &[&str] =
    &["base-files", "bash", "coreutils", "luajit", "nodejs", "pypy3", "openjdk-17-jdk-headless"];

/// Programs that trace others, and what their lines need.
const DEBUGGERS: &[&str] =
    &["base-files", "bash", "coreutils", "grep", "sed", "gcc", "libc6-dev", "strace", "ltrace", "gdb"];

/// How long one of our runs may take before it counts as hanging.
const TIMEOUT: &str = "300s";

/// The one variable of a run's environment.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// What a run is judged by.
#[derive(Clone, PartialEq, Eq)]
struct Finished {
    code: Option<i32>,
    output: Vec<u8>,
}

/// How an invocation went, as against what is expected of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Passed,
    Failed,
    FailedAsExpected,
    PassedUnexpectedly,
    /// There is nothing to compare with.
    Skipped,
}

impl Verdict {
    fn new(same: Option<bool>, expected_to_fail: bool) -> Self {
        match (same, expected_to_fail) {
            (None, _) => Self::Skipped,
            (Some(true), false) => Self::Passed,
            (Some(true), true) => Self::PassedUnexpectedly,
            (Some(false), false) => Self::Failed,
            (Some(false), true) => Self::FailedAsExpected,
        }
    }
}

/// One invocation.
struct Check<'a> {
    line: &'a str,
    arguments: Vec<String>,
    input: Option<String>,
}

pub(crate) fn run_task(options: &[String]) -> Result<(), Failure> {
    let bless = options.iter().any(|option| option == "--bless");
    let filter = options.iter().find(|option| !option.starts_with("--"));
    let archive = match Archive::open() {
        Ok(archive) => archive,
        Err(reason) => {
            skip("guests", &reason);
            return Ok(());
        }
    };
    let machine = built_command()?;
    let mut failures = 0;
    for suite in SUITES.iter().filter(|suite| suite_wanted(suite, options)) {
        let root = fetch(suite, &archive)?;
        failures += run_suite(suite, &Runners::new(suite, &root, &machine), filter, bless)?;
        if matches!(suite.subject, Subject::Shell) && filter.is_none() {
            // The same root as a person uses it, key by key.
            let test = ["test", "--quiet", "--release", "--package", "pentimento-cli", "--test", "terminal"];
            run(cargo().args(test))?;
        }
    }
    if failures == 0 { Ok(()) } else { Err(format!("{failures} invocations differ")) }
}

/// The Debian root, fetched if need be.
///
/// # Errors
/// Says what the host lacks, for a skip aloud.
pub(crate) fn shell_root() -> Result<PathBuf, Failure> {
    let suite =
        SUITES.iter().find(|suite| matches!(suite.subject, Subject::Shell)).ok_or("no shell suite")?;
    fetch(suite, &Archive::open()?)
}

/// Downloads and unpacks a suite's packages, once for each list of them; says where they are.
fn fetch(suite: &Suite, archive: &Archive) -> Result<PathBuf, Failure> {
    let root = top().join("guests").join(suite.name);
    let (mark, packages) = (root.join("complete"), suite.packages.join(" "));
    if fs::read_to_string(&mark).is_ok_and(|unpacked| unpacked == packages) {
        return Ok(root);
    }
    println!("guests: fetching {packages}");
    match suite.subject {
        Subject::Program(_) => archive.unpack_one(suite.packages[0], &root)?,
        Subject::Shell => {
            archive.unpack_closure(suite.packages, &root)?;
            finish_root(&root)?;
        }
    }
    fs::write(&mark, packages).map_err(|error| format!("{}: {error}", mark.display()))?;
    Ok(root)
}

/// What the packages' installation scripts would have done, as far as the checks need it.
fn finish_root(root: &Path) -> Result<(), Failure> {
    for (link, target) in [("sh", "bash"), ("awk", "gawk"), ("vi", "vim.tiny")] {
        let link = root.join("usr/bin").join(link);
        if !link.is_symlink() {
            std::os::unix::fs::symlink(target, &link)
                .map_err(|error| format!("{}: {error}", link.display()))?;
        }
    }
    let accounts = [("etc/passwd", "root:x:0:0:root:/root:/bin/bash\n"), ("etc/group", "root:x:0:\n")];
    fs::create_dir_all(root.join("etc")).map_err(|error| format!("etc: {error}"))?;
    for (name, text) in accounts {
        fs::write(root.join(name), text).map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(())
}

/// Builds `pentimento` optimised and says where it is.
pub(crate) fn built_command() -> Result<PathBuf, Failure> {
    run(cargo().args(["build", "--quiet", "--release", "--package", "pentimento-cli"]))?;
    let metadata = output(cargo().args(["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: serde_json::Value =
        serde_json::from_str(&metadata).map_err(|error| format!("cargo metadata is not JSON: {error}"))?;
    let target = metadata["target_directory"].as_str().unwrap_or("target");
    Ok(Path::new(target).join("release/pentimento"))
}

/// `--suite=NAME` selects one; otherwise all run.
fn suite_wanted(suite: &Suite, options: &[String]) -> bool {
    let mut named = options.iter().filter_map(|option| option.strip_prefix("--suite=")).peekable();
    named.peek().is_none() || named.any(|name| name == suite.name)
}

/// How a suite's lines are run natively and by us, and where.
struct Runners {
    /// Why nothing is run natively, where that is so.
    native: Result<Vec<String>, String>,
    ours: Vec<String>,
    /// The folder that each invocation finds its input in, on the host.
    work: PathBuf,
}

impl Runners {
    fn new(suite: &Suite, root: &Path, machine: &Path) -> Self {
        let machine = machine.display().to_string();
        let confinement = native::confinement();
        match suite.subject {
            Subject::Program(program) => {
                let program = root.join(program).display().to_string();
                let path = format!("PATH={PATH}");
                let ours = [&machine, "run", "--clear-env", "--env", &path, "--timeout", TIMEOUT, &program];
                let ours = ours.map(str::to_owned).into();
                let native = confinement.map(|mut words| {
                    words.push(program);
                    words
                });
                Self { native, ours, work: top().join("guests/work") }
            }
            Subject::Shell => {
                let root_text = root.display().to_string();
                let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
                // The shell stays the first process of its name space, which signals do not kill.
                let enter = "mount --rbind /dev \"$0/dev\" && mount -t proc proc \"$0/proc\" && { chroot \"$0\" busybox ifconfig lo up 2>/dev/null; chroot \"$0\" /bin/bash -c \"$1\"; exit $?; }";
                let native = confinement.map(|mut confined| {
                    confined.extend(words(&["sh", "-c", enter, &root_text]));
                    confined
                });
                let path = format!("PATH={PATH}");
                let ours = words(&[
                    &machine,
                    "run",
                    "--timeout",
                    TIMEOUT,
                    "--clear-env",
                    "--env",
                    &path,
                    "--root",
                    &root_text,
                    "/bin/bash",
                    "-c",
                ]);
                Self { native, ours, work: root.join("work") }
            }
        }
    }

    fn command(words: &[String]) -> Command {
        let (program, arguments) =
            words.split_first().map_or(("false", &[][..]), |(first, rest)| (first.as_str(), rest));
        let mut command = Command::new(program);
        command.args(arguments);
        command
    }
}

fn run_suite(
    suite: &Suite,
    runners: &Runners,
    filter: Option<&String>,
    bless: bool,
) -> Result<usize, Failure> {
    let folder = top().join("fixtures/guests");
    let text = fs::read_to_string(folder.join(suite.name).with_extension("checks"))
        .map_err(|error| error.to_string())?;
    let golden = read_golden(&folder.join(suite.name).with_extension("golden"));
    let native = match &runners.native {
        Ok(words) if starts(words) => Some(words),
        Ok(_) => {
            skip(&format!("guests: {}: native run", suite.name), "this host runs no 32-bit code");
            None
        }
        Err(reason) => {
            skip(&format!("guests: {}: native run", suite.name), reason);
            None
        }
    };
    let expected = read_expected(&folder.join(suite.name).with_extension("expected-failures"))?;
    let mut blessed = String::new();
    let mut counts = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if filter.is_some_and(|filter| !line.contains(filter.as_str())) {
            continue;
        }
        let check = match suite.subject {
            Subject::Program(_) => parse(line)?,
            Subject::Shell => Check { line, arguments: vec![format!("cd /work; {line}")], input: None },
        };
        let native = native.map(|words| invoke(words, &runners.work, &check)).transpose()?;
        if let (true, Some(native)) = (bless, &native) {
            blessed.push_str(&format!("{} {line}\n", digest(native, &runners.work)));
        }
        let ours = invoke(&runners.ours, &runners.work, &check)?;
        let same = match (&native, golden.get(line)) {
            (Some(native), _) => Some(*native == ours),
            (None, Some(recorded)) => Some(*recorded == digest(&ours, &runners.work)),
            (None, None) => None,
        };
        let verdict = Verdict::new(same, expected.contains_key(line));
        match verdict {
            Verdict::Passed => {}
            Verdict::Failed => report(&check, native.as_ref(), &ours),
            Verdict::FailedAsExpected => println!("guests: expected failure: {line}: {}", expected[line]),
            Verdict::PassedUnexpectedly => println!("guests: PASSES, though listed as failing: {line}"),
            Verdict::Skipped => skip(&format!("guests: {line}"), "no recorded output"),
        }
        *counts.entry(verdict).or_insert(0) += 1;
    }
    if bless {
        let path = folder.join(suite.name).with_extension("golden");
        fs::write(&path, blessed).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    let count = |verdict| counts.get(&verdict).copied().unwrap_or(0);
    println!(
        "guests: {}: {} passed, {} failed, {} expected failures, {} unexpected passes, {} skipped",
        suite.name,
        count(Verdict::Passed),
        count(Verdict::Failed),
        count(Verdict::FailedAsExpected),
        count(Verdict::PassedUnexpectedly),
        count(Verdict::Skipped),
    );
    Ok(count(Verdict::Failed) + count(Verdict::PassedUnexpectedly))
}

/// Whether the host runs the suite's program at all.
fn starts(words: &[String]) -> bool {
    Runners::command(words).arg("true").output().is_ok_and(|output| output.status.success())
}

fn report(check: &Check<'_>, native: Option<&Finished>, ours: &Finished) {
    println!("guests: DIFFERS: {}", check.line);
    for (name, outcome) in [("native", native), ("ours", Some(ours))] {
        if let Some(outcome) = outcome {
            let shown: String = String::from_utf8_lossy(&outcome.output).chars().take(300).collect();
            println!("  {name}: exit {:?}, {} bytes: {shown:?}", outcome.code, outcome.output.len());
        }
    }
}

/// Splits a line into words; single quotes keep blanks, and `< FILE` at the end is standard input.
fn parse(line: &str) -> Result<Check<'_>, Failure> {
    let (words, input) = match line.rsplit_once(" < ") {
        Some((words, file)) if !file.contains('\'') => (words, Some(file.trim().to_owned())),
        _ => (line, None),
    };
    let mut arguments = Vec::new();
    let (mut word, mut started, mut quoted) = (String::new(), false, false);
    for character in words.chars() {
        match character {
            '\'' => (quoted, started) = (!quoted, true),
            ' ' if !quoted => {
                if std::mem::take(&mut started) {
                    arguments.push(std::mem::take(&mut word));
                }
            }
            other => {
                word.push(other);
                started = true;
            }
        }
    }
    if started {
        arguments.push(word);
    }
    if quoted { Err(format!("unbalanced quote: {line}")) } else { Ok(Check { line, arguments, input }) }
}

/// Runs one invocation in a fresh copy of the input folder.
fn invoke(words: &[String], folder: &Path, check: &Check<'_>) -> Result<Finished, Failure> {
    let _ = fs::remove_dir_all(folder);
    run(command("cp").arg("-r").arg(top().join("fixtures/guests/input")).arg(folder))?;
    let input = match &check.input {
        Some(name) => {
            fs::File::open(folder.join(name)).map_err(|error| format!("cannot open {name}: {error}"))?.into()
        }
        None => Stdio::null(),
    };
    let mut program = Runners::command(words);
    let result = program
        .args(&check.arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", PATH)
        .stdin(input)
        .stderr(Stdio::null())
        .output()
        .map_err(|error| format!("cannot start {program:?}: {error}"))?;
    Ok(Finished { code: result.status.code(), output: result.stdout })
}

/// Exit code and an FNV-1a hash of the output, in which the folder that it ran in is called `WORK`:
/// sources lie elsewhere on each host.
fn digest(outcome: &Finished, folder: &Path) -> String {
    let folder = folder.display().to_string();
    let output = match std::str::from_utf8(&outcome.output) {
        Ok(text) => text.replace(&folder, "WORK").into_bytes(),
        Err(_) => outcome.output.clone(),
    };
    let hash = output.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{}:{hash:016x}", outcome.code.unwrap_or(-1))
}

fn read_golden(path: &Path) -> HashMap<String, String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(digest, line)| (line.into(), digest.into()))
        .collect()
}

/// The lines that cannot pass yet, and why; none where there is no such file.
fn read_expected(path: &Path) -> Result<HashMap<String, String>, Failure> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .map(|line| {
            let (check, reason) =
                line.split_once('\t').ok_or(format!("{}: no reason: {line}", path.display()))?;
            Ok((check.into(), reason.into()))
        })
        .collect()
}
