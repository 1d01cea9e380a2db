//! The command line.

use std::num::TryFromIntError;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use pentimento::linux::Limits;
use pentimento::{CpuModel, EngineKind};

use crate::environment::EnvironmentOptions;
use crate::files::FileOptions;
use crate::manual::{CompletionsOptions, ManOptions};
use crate::numbers::{count, number};

/// Run 32-bit x86 (IA-32) Linux programs and code, sandboxed and deterministic.
#[derive(Parser, Debug)]
#[command(name = "pentimento", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes:\n  the guest's own; 128+n when signal n killed it\n  \
    125  pentimento itself failed, or standard output cannot be written (a full disk)\n  126  the program cannot be executed\n  127  the program does not exist\n\n\
    A reader of standard output that goes away is no failure, and what cannot be written to standard error is lost.";

/// The first thing that `run --help` says.
const GUEST_SEES: &str = "What a guest sees, and nothing else:\n  \
    without --root  the program, and the current folder under its own path, copied on write: what the\n                  \
                    guest changes there is gone at the end, unless --rw or --save FILE.tar keeps it\n  \
    with --root     that folder or image as /, all of it, copied on write in the same way\n  \
    always          a minimal /dev, /proc, /sys, a /tmp in memory unless the root has its own, and\n                  \
                    what --mount and --tmpfs add\nNo host file, process, variable or network beyond these.";

/// What to do.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Run a 32-bit Linux program.
    #[command(before_long_help = GUEST_SEES)]
    Run(Box<RunOptions>),
    /// Run a program on a screen that shows code, registers, stack, memory and system calls: step,
    /// continue, and go back.
    Debug(Box<RunOptions>),
    /// Repeat a run that 'pentimento run --record' wrote down, without the host that it ran on.
    Replay(ReplayOptions),
    /// Go on with a run that 'pentimento run --record' wrote down, from where it was.
    Resume(Box<ResumeOptions>),
    /// Execute raw machine code and show the registers.
    Exec(ExecOptions),
    /// Disassemble raw machine code or an ELF file.
    Disasm(DisasmOptions),
    /// Assemble Intel-syntax text to raw machine code.
    Asm(AsmOptions),
    /// Run, assemble and disassemble programs of instruction sets that are tables.
    Custom(crate::custom::CustomOptions),
    /// Print completions for a shell.
    Completions(CompletionsOptions),
    /// Print a page of the manual.
    Man(ManOptions),
}

/// Options of `pentimento run`.
#[derive(Args, Debug)]
pub(crate) struct RunOptions {
    #[command(flatten)]
    pub(crate) files: FileOptions,
    #[command(flatten)]
    pub(crate) environment: EnvironmentOptions,
    /// Repeatable run: scheduling, randomness and time follow from this number.
    #[arg(long, value_name = "N", value_parser = number)]
    pub(crate) seed: Option<u64>,
    /// Stop after this many instructions (suffixes k, M, G).
    #[arg(long, value_name = "N", value_parser = count)]
    pub(crate) limit: Option<u64>,
    /// Stop after this much host time (such as 500ms, 10s, 2m).
    #[arg(long, value_name = "T", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
    /// The network that the guest reaches beside its own loopback.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) net: NetworkOption,
    /// The user that the program runs as inside; 0, which may do everything there, unless an image
    /// says otherwise.
    #[arg(long, value_name = "UID[:GID]", value_parser = identity)]
    pub(crate) user: Option<(u32, u32)>,
    /// Bound what the guest uses; may be repeated. RESOURCE is memory (bytes of the machine), processes,
    /// threads, descriptors (of a process), stack, file-size, files (bytes of each file system in
    /// memory), inodes or output (suffixes k, M, G).
    #[arg(long = "max", value_name = "RESOURCE=N", value_parser = bound)]
    pub(crate) bounds: Vec<Bound>,
    /// Print each system call on standard error.
    #[arg(long)]
    pub(crate) strace: bool,
    /// Write a line for each instruction into this file: address, bytes, text, what it has changed of
    /// registers, and its accesses to memory.
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    /// Write which code has run into this file: in the form of drcov, or, if its name ends in .info or
    /// .lcov, in that of lcov, by lines of source, for programs that have line tables.
    #[arg(long, value_name = "FILE")]
    pub(crate) coverage: Option<PathBuf>,
    /// Write what the instructions were spent on into this file: a line for each stack of functions, or,
    /// if its name ends in .svg, a flame graph.
    #[arg(long, value_name = "FILE")]
    pub(crate) profile: Option<PathBuf>,
    /// Print who called whom, where a signal of its own making kills the program.
    #[arg(long)]
    pub(crate) backtrace: bool,
    /// Print counts and times on standard error at the end.
    #[arg(long)]
    pub(crate) stats: bool,
    /// Wait for GDB at this address, such as 127.0.0.1:1234 ('target remote' there), and let it rule the
    /// run; --limit and --timeout count once it has let go.
    #[arg(long, value_name = "ADDR")]
    pub(crate) gdb: Option<String>,
    /// Print a hash of all that happened on standard error at the end.
    #[arg(long)]
    pub(crate) trace_hash: bool,
    /// Write all that the run needs to be repeated to a file, for 'pentimento replay'.
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// The engine.
    #[arg(long, default_value = EngineKind::AUTO, value_parser = engine_parser())]
    pub(crate) engine: EngineKind,
    /// The CPU that the guest sees: pentium, pentium3, pentium4, x86-64-v2 or max.
    #[arg(long, value_name = "MODEL", default_value = "max", value_parser = cpu_model)]
    pub(crate) cpu: CpuModel,
    /// The program: a file of this host, or with --root a path in that root, or a name that is
    /// looked for in the guest's PATH. An image may name one itself.
    #[arg(value_name = "PROGRAM")]
    pub(crate) program: Option<String>,
    /// Arguments of the program.
    #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<String>,
}

/// Options of `pentimento replay`.
#[derive(Args, Debug)]
pub(crate) struct ReplayOptions {
    /// Wait for GDB at this address, such as 127.0.0.1:1234, and let it rule the run.
    #[arg(long, value_name = "ADDR")]
    pub(crate) gdb: Option<String>,
    /// Print a hash of all that happened on standard error at the end.
    #[arg(long)]
    pub(crate) trace_hash: bool,
    /// The engine, whichever one it was recorded on.
    #[arg(long, default_value = EngineKind::AUTO, value_parser = engine_parser())]
    pub(crate) engine: EngineKind,
    /// What 'pentimento run --record' wrote.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// Options of `pentimento resume`.
#[derive(Args, Debug)]
pub(crate) struct ResumeOptions {
    /// Stop after this many more instructions (suffixes k, M, G).
    #[arg(long, value_name = "N", value_parser = count)]
    pub(crate) limit: Option<u64>,
    /// The files that the guest had: --root, --mount and --rw as they were for the run.
    #[command(flatten)]
    pub(crate) files: FileOptions,
    /// Print a hash of all that happened on standard error at the end.
    #[arg(long)]
    pub(crate) trace_hash: bool,
    /// Write all that the run needs to be repeated, or to go on, to a file.
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// The engine, whichever one it was recorded on.
    #[arg(long, default_value = EngineKind::AUTO, value_parser = engine_parser())]
    pub(crate) engine: EngineKind,
    /// What 'pentimento run --record' wrote.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// The networks that can be granted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum NetworkOption {
    /// No network.
    #[default]
    None,
    /// The host's own.
    Host,
}

/// One `--max`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    set: Setter,
    value: u64,
}

impl Bound {
    /// Changes the limit that it is about; its value has been found to fit.
    pub(crate) fn apply(self, limits: &mut Limits) {
        let _ = (self.set)(limits, self.value);
    }
}

/// Sets one limit, if the value fits.
type Setter = fn(&mut Limits, u64) -> Result<(), TryFromIntError>;

/// The resources of `--max`.
#[rustfmt::skip]
const RESOURCES: &[(&str, Setter)] = &[
    ("memory",      |limits, value| { (limits.memory, limits.total_memory) = (value, value); Ok(()) }),
    ("processes",   |limits, value| { limits.processes = value.try_into()?; Ok(()) }),
    ("threads",     |limits, value| { limits.tasks = value.try_into()?; Ok(()) }),
    ("descriptors", |limits, value| { limits.descriptors = value.try_into()?; Ok(()) }),
    ("stack",       |limits, value| { limits.stack = value.try_into()?; Ok(()) }),
    ("file-size",   |limits, value| { limits.file_size = value; Ok(()) }),
    ("files",       |limits, value| { limits.memory_files = value; Ok(()) }),
    ("inodes",      |limits, value| { limits.inodes = value; Ok(()) }),
    ("output",      |limits, value| { limits.output = value; Ok(()) }),
];

fn bound(text: &str) -> Result<Bound, String> {
    let (name, value) = text.split_once('=').ok_or_else(|| "give RESOURCE=N".to_owned())?;
    let Some((_, set)) = RESOURCES.iter().find(|(resource, _)| *resource == name) else {
        let names: Vec<&str> = RESOURCES.iter().map(|(resource, _)| *resource).collect();
        return Err(format!("no resource '{name}'; the resources are {}", names.join(", ")));
    };
    let value = count(value)?;
    set(&mut Limits::default(), value).map_err(|_| format!("{name}: at most {}", u32::MAX))?;
    Ok(Bound { set: *set, value })
}

fn identity(text: &str) -> Result<(u32, u32), String> {
    let (user, group) = text.split_once(':').unwrap_or((text, text));
    let id = |text: &str| text.parse().map_err(|_| format!("'{text}' is no user or group number"));
    Ok((id(user)?, id(group)?))
}

/// One `--mount`.
#[derive(Clone, Debug)]
pub(crate) struct MountOption {
    pub(crate) host: PathBuf,
    pub(crate) guest: String,
    pub(crate) access: MountAccess,
}

/// What the guest may do with a mounted folder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MountAccess {
    /// Read.
    ReadOnly,
    /// Change the host's files.
    ReadWrite,
    /// Change a copy that is dropped at the end.
    CopyOnWrite,
}

/// Reads the name of an engine; help and completions list them all.
fn engine_parser() -> impl TypedValueParser<Value = EngineKind> {
    let auto = PossibleValue::new(EngineKind::AUTO).help("the fastest that the host allows");
    let named = EngineKind::ALL.iter().map(|kind| PossibleValue::new(kind.name()).help(kind.description()));
    let names = [auto].into_iter().chain(named);
    PossibleValuesParser::new(names).try_map(|name| EngineKind::from_name(&name).ok_or("no such engine"))
}

const EXEC_HELP: &str = "The code starts at its first byte with all registers 0 but ESP, which is at the end of \
    the memory. It may call Linux by int 0x80. It ends where it calls exit, at HLT, or where its bytes \
    end; then the registers are shown, and the exit code is 0.";

/// Options of `pentimento exec`.
#[derive(Args, Debug)]
#[command(after_help = EXEC_HELP)]
pub(crate) struct ExecOptions {
    #[command(flatten)]
    pub(crate) source: Source,
    /// Set a register before the start, such as eax=1 or eip=0x10; may be repeated.
    #[arg(long = "reg", value_name = "NAME=VALUE", value_parser = register)]
    pub(crate) registers: Vec<(String, u32)>,
    /// Bytes of memory from the base address, with the stack at its end (suffixes k, M, G).
    #[arg(long, value_name = "N", default_value = "1M", value_parser = count)]
    pub(crate) memory: u64,
    /// Stop after this many instructions (suffixes k, M, G).
    #[arg(long, value_name = "N", default_value = "100M", value_parser = count)]
    pub(crate) limit: u64,
    /// Print the registers at the end.
    #[arg(long)]
    pub(crate) regs: bool,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `pentimento disasm`.
#[derive(Args, Debug)]
pub(crate) struct DisasmOptions {
    #[command(flatten)]
    pub(crate) source: Source,
}

const ASM_HELP: &str = "Labels, numbers and expressions, db, dw, dd, dq, resb, times, equ, org, align and section; the \
    dialect is that of 'pentimento disasm'. The result is what 'pentimento exec' runs: --base says there \
    what org says here.";

/// Options of `pentimento asm`.
#[derive(Args, Debug)]
#[command(after_help = ASM_HELP)]
pub(crate) struct AsmOptions {
    /// The source; - for standard input.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Write the machine code into this file, instead of its hexadecimal digits to standard output.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// Where machine code comes from.
#[derive(Args, Debug)]
pub(crate) struct Source {
    /// Machine code as hexadecimal digits; blanks and commas are ignored.
    #[arg(long, value_name = "STRING", required_unless_present = "file", conflicts_with = "file")]
    pub(crate) hex: Option<String>,
    /// A file of raw machine code; `disasm` also takes ELF files.
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// The address of the first byte.
    #[arg(long, value_name = "ADDR", default_value = "0", value_parser = address)]
    pub(crate) base: u32,
}

fn address(text: &str) -> Result<u32, String> {
    u32::try_from(number(text)?).map_err(|_| "does not fit in 32 bits".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let factor = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("unknown unit '{unit}'; use ms, s, m or h")),
    };
    let value: f64 = digits.parse().map_err(|_| "give a number and a unit, such as 10s".to_owned())?;
    Duration::try_from_secs_f64(value * factor).map_err(|error| error.to_string())
}

pub(crate) fn mount(text: &str) -> Result<MountOption, String> {
    let mut parts = text.rsplitn(3, ':');
    let (access, guest, host) = (parts.next(), parts.next(), parts.next());
    let (Some(access), Some(guest), Some(host)) = (access, guest, host) else {
        return Err("give HOST:GUEST:ro, HOST:GUEST:rw or HOST:GUEST:cow".into());
    };
    let access = match access {
        "ro" => MountAccess::ReadOnly,
        "rw" => MountAccess::ReadWrite,
        "cow" => MountAccess::CopyOnWrite,
        _ => return Err(format!("unknown access '{access}'; use ro, rw or cow")),
    };
    if !guest.starts_with('/') {
        return Err("the guest's path must be absolute".into());
    }
    Ok(MountOption { host: host.into(), guest: guest.to_owned(), access })
}

fn cpu_model(text: &str) -> Result<CpuModel, String> {
    CpuModel::from_name(text).ok_or_else(|| {
        let names: Vec<&str> = CpuModel::ALL.iter().map(|model| model.name()).collect();
        format!("no CPU model '{text}'; the models are {}", names.join(", "))
    })
}

pub(crate) fn environment_variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("give KEY=VALUE".into()),
    }
}

fn register(text: &str) -> Result<(String, u32), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| "give NAME=VALUE".to_owned())?;
    Ok((name.to_ascii_lowercase(), address(value)?))
}

impl Source {
    /// The bytes that were given.
    ///
    /// # Errors
    /// Digits that are no hexadecimal, or a file that cannot be read.
    pub(crate) fn read(&self) -> Result<Vec<u8>, crate::failure::Failure> {
        use crate::failure::Failure;
        if let Some(text) = &self.hex {
            return parse_hex(text).map_err(Failure::new);
        }
        let Some(file) = &self.file else { return Err(Failure::new("give --hex or a file")) };
        std::fs::read(file).map_err(|error| crate::failure::unreadable(file, &error))
    }
}

fn parse_hex(text: &str) -> Result<Vec<u8>, String> {
    let mut digits = Vec::new();
    for (position, character) in text.char_indices() {
        match character.to_digit(16) {
            Some(digit) => digits.push(digit as u8),
            None if character.is_whitespace() || character == ',' => {}
            None => {
                return Err(format!("--hex: '{character}' at position {position} is no hexadecimal digit"));
            }
        }
    }
    if digits.len() % 2 != 0 {
        return Err(format!("--hex: {} digits: each byte takes two", digits.len()));
    }
    Ok(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_strings() {
        assert_eq!(parse_hex("B8 04,00\n0a"), Ok(vec![0xb8, 4, 0, 10]));
        assert!(parse_hex("b8 0").is_err());
        assert!(parse_hex("zz").is_err());
    }

    #[test]
    fn numbers_counts_and_durations() {
        assert_eq!(number("0x10"), Ok(16));
        assert_eq!(count("3k"), Ok(3072));
        assert_eq!(count("20000000000G"), Err("does not fit in 64 bits".to_owned()));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert!(duration("-1s").is_err() && duration("1 parsec").is_err() && address("0x100000000").is_err());
    }

    #[test]
    fn bounds_and_identities() {
        let mut limits = Limits::default();
        for text in ["memory=64M", "processes=8", "output=1k"] {
            bound(text).unwrap().apply(&mut limits);
        }
        assert_eq!((limits.memory, limits.processes, limits.output), (64 << 20, 8, 1024));
        assert_eq!(limits.total_memory, 64 << 20);
        assert!(bound("processes=8G").unwrap_err().contains("at most"));
        assert!(bound("happiness=1").unwrap_err().contains("memory, processes"));
        assert!(bound("memory").is_err() && bound("memory=much").is_err());
        assert_eq!((identity("1000"), identity("1:2")), (Ok((1000, 1000)), Ok((1, 2))));
        assert!(identity("root").is_err());
    }

    #[test]
    fn mounts() {
        let option = mount("/a:b:/c:ro").unwrap();
        assert_eq!((option.host, option.guest.as_str()), (PathBuf::from("/a:b"), "/c"));
        assert!(mount("/a:/b").is_err() && mount("/a:b:ro").is_err() && mount("/a:/b:rx").is_err());
    }
}
