//! `cargo xtask bench-guests`: how long programs take natively, under QEMU where it is installed,
//! and on every engine of ours, all in one run, as a table and as a chart in `docs/`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::Failure;
use crate::chart;
use crate::guests::{built_command, shell_root};
use crate::process::{command, top};

/// What a member exercises; each kind has a mean of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Integer,
    Float,
}

/// A fixture kernel with the argument that makes it run for a few tenths of a second natively.
pub(crate) struct Kernel {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) rounds: u32,
}

#[rustfmt::skip]
pub(crate) const KERNELS: &[Kernel] = &[
    Kernel { name: "list",            kind: Kind::Integer, rounds: 3000 },
    Kernel { name: "matrix",          kind: Kind::Integer, rounds: 1200 },
    Kernel { name: "state_machine",   kind: Kind::Integer, rounds: 40000 },
    Kernel { name: "sort",            kind: Kind::Integer, rounds: 120 },
    Kernel { name: "sha256",          kind: Kind::Integer, rounds: 40000 },
    Kernel { name: "compress",        kind: Kind::Integer, rounds: 400 },
    Kernel { name: "bytecode",        kind: Kind::Integer, rounds: 400 },
    Kernel { name: "strings",         kind: Kind::Integer, rounds: 60000 },
    Kernel { name: "n_body.x87",      kind: Kind::Float,   rounds: 500_000 },
    Kernel { name: "n_body.sse2",     kind: Kind::Float,   rounds: 500_000 },
    Kernel { name: "mandelbrot.x87",  kind: Kind::Float,   rounds: 500 },
    Kernel { name: "mandelbrot.sse2", kind: Kind::Float,   rounds: 700 },
];

/// A command line in the Debian root of `cargo xtask guests`.
struct Program {
    name: &'static str,
    line: &'static str,
}

#[rustfmt::skip]
const PROGRAMS: &[Program] = &[
    Program { name: "gzip",       line: "gzip -c /usr/bin/python3.11 > /dev/null" },
    Program { name: "xz",         line: "head -c 600000 /usr/bin/python3.11 | xz -c > /dev/null" },
    Program { name: "bzip2",      line: "head -c 2000000 /usr/bin/python3.11 | bzip2 -c > /dev/null" },
    Program { name: "sha256sum",  line: "cat /usr/bin/python3.11 /usr/bin/python3.11 /usr/bin/python3.11 /usr/bin/python3.11 | sha256sum" },
    Program { name: "python3.11", line: "python3.11 -S -c 'print(sum(i * i % 7 for i in range(600000)))'" },
    Program { name: "lua5.4",     line: "lua5.4 -e 'local s = 0 for i = 1, 6000000 do s = s + i % 7 * 3 end print(s)'" },
    Program { name: "sqlite3",    line: "sqlite3 :memory: 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) SELECT sum(i % 13), count(DISTINCT i % 1000) FROM n'" },
];

/// The engines of the `pentimento` command that are timed.
const ENGINES: &[&str] = &["interpreter"];

/// One way to run a member.
struct Contender {
    name: String,
    words: Vec<String>,
}

/// One member's medians, in seconds, in the order of the contenders.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) seconds: Vec<Option<f64>>,
}

pub(crate) fn run_task(options: &[String]) -> Result<(), Failure> {
    let runs = match options.iter().find_map(|option| option.strip_prefix("--runs=")) {
        Some(text) => text.parse().map_err(|_| "--runs=N takes a number".to_owned())?,
        None => 5,
    };
    let filter = options.iter().find(|option| !option.starts_with("--"));
    let wanted = |name: &str| filter.is_none_or(|filter| name.contains(filter.as_str()));
    let machine = built_command()?.display().to_string();
    let qemu = Command::new("qemu-i386").arg("--version").output().is_ok();
    let mut names = vec!["native".to_owned()];
    names.extend(qemu.then(|| "qemu-i386".to_owned()));
    names.extend(ENGINES.iter().map(|engine| (*engine).to_owned()));
    let mut rows = Vec::new();
    for kernel in KERNELS.iter().filter(|kernel| wanted(kernel.name)) {
        let program = top().join("fixtures/kernels").join(kernel.name).display().to_string();
        let rounds = kernel.rounds.to_string();
        let contenders = contenders(&machine, qemu, |prefix| {
            let mut words = prefix.to_vec();
            words.extend([program.clone(), rounds.clone()]);
            words
        });
        rows.push(Row { name: kernel.name, kind: kernel.kind, seconds: measure(&contenders, runs)? });
        report(&names, &rows[rows.len() - 1]);
    }
    match shell_root() {
        Ok(root) => {
            for program in PROGRAMS.iter().filter(|program| wanted(program.name)) {
                let contenders = shell_contenders(&machine, &root, program.line);
                let mut seconds = measure(&contenders, runs)?;
                if qemu {
                    seconds.insert(1, None);
                }
                rows.push(Row { name: program.name, kind: Kind::Integer, seconds });
                report(&names, &rows[rows.len() - 1]);
            }
        }
        Err(reason) => println!("bench-guests: SKIPPED, the Debian programs: {reason}"),
    }
    summarise(&names, &rows);
    if filter.is_none() {
        let path = top().join("docs/speed.svg");
        fs::write(&path, chart::draw(&names, &rows))
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        println!("chart in docs/speed.svg");
    }
    Ok(())
}

fn contenders(machine: &str, qemu: bool, words: impl Fn(&[String]) -> Vec<String>) -> Vec<Contender> {
    let mut contenders = vec![Contender { name: "native".into(), words: words(&[]) }];
    if qemu {
        contenders.push(Contender { name: "qemu-i386".into(), words: words(&["qemu-i386".into()]) });
    }
    for engine in ENGINES {
        let prefix = [machine, "run", "--engine", engine].map(str::to_owned);
        contenders.push(Contender { name: (*engine).into(), words: words(&prefix) });
    }
    contenders
}

fn shell_contenders(machine: &str, root: &Path, line: &str) -> Vec<Contender> {
    let enter = "mount --rbind /dev \"$0/dev\" && exec chroot \"$0\" /bin/bash -c \"$1\"";
    let root = root.display().to_string();
    let native =
        ["unshare", "--map-root-user", "--mount", "sh", "-c", enter, &root, line].map(str::to_owned).to_vec();
    let mut contenders = vec![Contender { name: "native".into(), words: native }];
    for engine in ENGINES {
        let words = [machine, "run", "--engine", engine, "--root", &root, "/bin/bash", "-c", line]
            .map(str::to_owned)
            .to_vec();
        contenders.push(Contender { name: (*engine).into(), words });
    }
    contenders
}

/// The median wall time of each contender over `runs` interleaved runs, after one that checks that
/// all of them print the same.
fn measure(contenders: &[Contender], runs: usize) -> Result<Vec<Option<f64>>, Failure> {
    let expected = execute(&contenders[0])?.1;
    let mut times = vec![Vec::new(); contenders.len()];
    for _ in 0..runs {
        for (contender, times) in contenders.iter().zip(&mut times) {
            let (seconds, output) = execute(contender)?;
            if output != expected {
                return Err(format!("{} prints something else: {:?}", contender.name, contender.words));
            }
            times.push(seconds);
        }
    }
    Ok(times
        .into_iter()
        .map(|mut times| {
            times.sort_by(f64::total_cmp);
            times.get(times.len() / 2).copied()
        })
        .collect())
}

fn execute(contender: &Contender) -> Result<(f64, Vec<u8>), Failure> {
    let (program, arguments) = contender.words.split_first().ok_or("an empty command")?;
    let start = Instant::now();
    let result = command(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot start {program}: {error}"))?;
    let seconds = start.elapsed().as_secs_f64();
    if result.status.success() {
        Ok((seconds, result.stdout))
    } else {
        let message = String::from_utf8_lossy(&result.stderr);
        Err(format!("{} failed: {} {}", contender.words.join(" "), result.status, message.trim()))
    }
}

fn report(names: &[String], row: &Row) {
    let native = row.seconds[0].unwrap_or(f64::NAN);
    let mut line = format!("{:<16} native {native:7.3} s", row.name);
    for (name, seconds) in names.iter().zip(&row.seconds).skip(1) {
        match seconds {
            Some(seconds) => _ = write!(line, "  {name} {seconds:7.3} s = {:6.2} x", seconds / native),
            None => _ = write!(line, "  {name}     --           "),
        }
    }
    println!("{line}");
}

/// The geometric mean and the maximum of each contender's ratios to native, by kind.
fn summarise(names: &[String], rows: &[Row]) {
    for (kind, label) in [(Kind::Integer, "integer"), (Kind::Float, "floating point")] {
        for (index, name) in names.iter().enumerate().skip(1) {
            let ratios: Vec<f64> = rows
                .iter()
                .filter(|row| row.kind == kind)
                .filter_map(|row| Some(row.seconds[index]? / row.seconds[0]?))
                .collect();
            if !ratios.is_empty() {
                let mean = (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp();
                let most = ratios.iter().copied().fold(0.0, f64::max);
                println!(
                    "{label}: {name}: geometric mean {mean:.2} x native over {}, at most {most:.2} x",
                    ratios.len()
                );
            }
        }
    }
}

/// Where a kernel's binary is.
pub(crate) fn kernel_path(name: &str) -> PathBuf {
    top().join("fixtures/kernels").join(name)
}
