//! `pentimento custom`: machines whose instruction set is a table.

use std::fmt::Write as _;
use std::io::{self, BufWriter, IsTerminal, Read, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, Subcommand, ValueEnum};
use pentimento::custom::{AssemblyError, Cause, End, InstructionSet, Processor, Program, SHIPPED, View};
use serde_json::json;

use crate::failure::{Failure, unreadable};
use crate::numbers::count;
use crate::output;
use crate::usage::{cpu_seconds, peak_memory};

/// Exit code when nobody reads the output any more, as a shell gives it for SIGPIPE.
const UNREAD: u8 = 128 + 13;
/// Most bytes of a program that are read.
const MOST_BYTES: u64 = 256 << 20;
/// Most entries of the stack that `--json` lists.
const ENTRIES_LISTED: u64 = 256;
/// Pushes in a row of the program that `stress` runs.
const UNROLLED: u32 = 1000;

/// Options of `pentimento custom`.
#[derive(Args, Debug)]
#[command(after_help = CUSTOM_HELP)]
pub(crate) struct CustomOptions {
    #[command(subcommand)]
    command: CustomCommand,
}

const CUSTOM_HELP: &str = "Instruction sets that ship with the command: softmachine, lowbyte; 'custom show NAME' prints \
    one as a file to start from. docs/custom.md describes the form.";

/// What to do with a program or a set.
#[derive(Subcommand, Debug)]
enum CustomCommand {
    /// Run a program; print registers and stack at the end, and exit with its status.
    Run(CustomRun),
    /// Assemble a program to hexadecimal digits, or to a file.
    Asm(CustomAsm),
    /// Disassemble a program to text that assembles again.
    Disasm(CustomDisasm),
    /// Push and pop so many times, and say how long that takes.
    Stress(CustomStress),
    /// Print the TOML file of a set.
    Show(SetOptions),
}

/// The instruction set.
#[derive(Args, Debug)]
struct SetOptions {
    /// The instruction set: softmachine, lowbyte, or a TOML file.
    #[arg(long, value_name = "NAME|FILE.toml", default_value = "softmachine")]
    isa: String,
    /// Change a value of the set, such as word=6 or opcodes.mov='"A"'; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    changes: Vec<String>,
}

/// The program.
#[derive(Args, Debug)]
struct ProgramOptions {
    /// The program; without it and -s it comes from standard input.
    #[arg(value_name = "FILE", conflicts_with = "source")]
    file: Option<PathBuf>,
    /// The program itself: hexadecimal digits or assembly, with ; between statements.
    #[arg(short = 's', long, value_name = "TEXT", allow_hyphen_values = true)]
    source: Option<String>,
    /// What the program is written in; auto tells from its content.
    #[arg(long, value_enum, default_value_t)]
    format: ProgramFormat,
}

/// What a program is written in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
enum ProgramFormat {
    /// Digits if it is nothing else, assembly if it is text, else bytes.
    #[default]
    Auto,
    /// Assembly.
    Asm,
    /// Hexadecimal digits: words, or bytes.
    Hex,
    /// The bytes themselves.
    Raw,
}

/// Options of `custom run`.
#[derive(Args, Debug)]
struct CustomRun {
    #[command(flatten)]
    set: SetOptions,
    #[command(flatten)]
    program: ProgramOptions,
    /// Stop after this many instructions (suffixes k, M, G).
    #[arg(long, value_name = "N", default_value = "1G", value_parser = count)]
    limit: u64,
    /// Most host memory that the program can take (suffixes k, M, G).
    #[arg(long, value_name = "N", default_value = "256M", value_parser = count)]
    memory: u64,
    /// Print each instruction and what it changes on standard error.
    #[arg(long)]
    trace: bool,
    /// Print nothing at the end.
    #[arg(short, long, conflicts_with = "json")]
    quiet: bool,
    /// Print the result as JSON, the program's output in it.
    #[arg(long)]
    json: bool,
}

/// Options of `custom asm`.
#[derive(Args, Debug)]
struct CustomAsm {
    #[command(flatten)]
    set: SetOptions,
    #[command(flatten)]
    program: ProgramOptions,
    /// Write the bytes to a file.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Options of `custom disasm`.
#[derive(Args, Debug)]
struct CustomDisasm {
    #[command(flatten)]
    set: SetOptions,
    #[command(flatten)]
    program: ProgramOptions,
}

/// Options of `custom stress`.
#[derive(Args, Debug)]
struct CustomStress {
    #[command(flatten)]
    set: SetOptions,
    /// How many pushes, and then pops (suffixes k, M).
    #[arg(short = 'n', long, value_name = "N", default_value = "10000000", value_parser = count)]
    number: u64,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// Does what the command line says; returns the exit code.
pub(crate) fn custom(options: &CustomOptions) -> Result<u8, Failure> {
    match &options.command {
        CustomCommand::Run(options) => run(options),
        CustomCommand::Asm(options) => assemble(options),
        CustomCommand::Disasm(options) => disassemble(options),
        CustomCommand::Stress(options) => stress(options),
        CustomCommand::Show(options) => options.text().and_then(output::print_text).map(|()| 0),
    }
}

impl SetOptions {
    /// The TOML text of the set.
    fn text(&self) -> Result<String, Failure> {
        if let Some((_, text)) = SHIPPED.iter().find(|(name, _)| *name == self.isa) {
            return Ok((*text).to_owned());
        }
        let bytes = read_file(&self.isa.clone().into()).map_err(|failure| {
            let names: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
            Failure::new(format!("--isa: {failure}; the sets that ship are {}", names.join(", ")))
        })?;
        String::from_utf8(bytes).map_err(|_| Failure::new(format!("--isa: {} is no text", self.isa)))
    }

    fn load(&self) -> Result<InstructionSet, Failure> {
        let changes: Vec<&str> = self.changes.iter().map(String::as_str).collect();
        InstructionSet::from_toml_with(&self.text()?, &changes)
            .map_err(|error| Failure::new(format!("{}: {error}", self.isa)))
    }
}

impl ProgramOptions {
    /// Reads the program and makes it one of the set.
    fn load(&self, set: &InstructionSet) -> Result<Program, Failure> {
        let bytes = match (&self.source, &self.file) {
            (Some(text), _) => text.clone().into_bytes(),
            (None, Some(file)) if file.as_os_str() != "-" => read_file(file)?,
            _ => {
                if io::stdin().is_terminal() {
                    output::say("pentimento: reading the program from the terminal; Ctrl-D ends it");
                }
                read_all(io::stdin().lock())
                    .map_err(|error| Failure::new(format!("cannot read standard input: {error}")))?
            }
        };
        let name = match (&self.source, &self.file) {
            (Some(_), _) => "-s".to_owned(),
            (None, Some(file)) => file.display().to_string(),
            (None, None) => "standard input".to_owned(),
        };
        self.convert(set, bytes).map_err(|error| Failure::new(format!("{name}: {error}")))
    }

    fn convert(&self, set: &InstructionSet, bytes: Vec<u8>) -> Result<Program, AssemblyError> {
        let text = String::from_utf8(bytes);
        let is_text =
            |text: &str| !text.chars().any(|character| character.is_control() && !character.is_whitespace());
        match (self.format, text) {
            (ProgramFormat::Hex, Ok(text)) => set.program(&text),
            (ProgramFormat::Asm, Ok(text)) => set.assemble(&text),
            (ProgramFormat::Auto, Ok(text)) if set.looks_like_digits(&text) => set.program(&text),
            (ProgramFormat::Auto, Ok(text)) if is_text(&text) => set.assemble(&text),
            (ProgramFormat::Hex | ProgramFormat::Asm, Err(error)) => {
                set.assemble(&String::from_utf8_lossy(error.as_bytes()))
            }
            (_, Ok(text)) => set.program_from_bytes(text.into_bytes()),
            (_, Err(error)) => set.program_from_bytes(error.into_bytes()),
        }
    }
}

fn read_all(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read_file(path: &PathBuf) -> Result<Vec<u8>, Failure> {
    std::fs::File::open(path).and_then(read_all).map_err(|error| unreadable(path, &error))
}

fn run(options: &CustomRun) -> Result<u8, Failure> {
    let set = options.set.load()?;
    let program = options.program.load(&set)?;
    let mut processor = Processor::new(&set).map_err(own)?;
    processor.load(&program).map_err(own)?;
    processor.limit_memory(options.memory);
    if !options.json {
        processor.set_output(io::stdout());
    }
    let end =
        if options.trace { traced(&mut processor, options.limit)? } else { processor.run(options.limit) };
    if let End::Fault { cause: Cause::Output { kind: io::ErrorKind::BrokenPipe, .. }, .. } = end {
        return Ok(UNREAD);
    }
    let mut view = processor.view();
    if options.json {
        output::print_text(format!("{}\n", as_json(&mut processor, &view, &end)))?;
    } else if !options.quiet {
        // Where it stopped is worth a look only if something is wrong there.
        if end.status().is_some() {
            view.code.clear();
        }
        output::print_text(format!("{view}{end} after {} instructions\n", processor.instructions()))?;
    }
    if end.status().is_none() && !options.json {
        output::say(format_args!("pentimento: {end}"));
    }
    Ok(end.status().unwrap_or(crate::failure::OWN))
}

fn own(cause: Cause) -> Failure {
    Failure::new(cause.to_string())
}

/// Runs with one line an instruction on standard error: where, what, and what it changed.
fn traced(processor: &mut Processor, limit: u64) -> Result<End, Failure> {
    let mut out = BufWriter::new(io::stderr());
    let mut last: Option<(String, View)> = None;
    let mut result = Ok(());
    let end = processor.run_observed(limit, |processor| {
        let view = processor.view();
        result = trace_line(&mut out, last.take(), &view);
        let line = view.code.iter().find(|line| line.address == view.ip);
        let text = line.map_or_else(
            || "?".to_owned(),
            |line| format!("{:08x}  {:<12} {}", line.address, line.code, line.text),
        );
        last = Some((text, view));
        if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    result.and_then(|()| trace_line(&mut out, last, &processor.view())).and_then(|()| out.flush())?;
    Ok(end)
}

/// Prints an instruction with the registers and flags that differ after it.
fn trace_line(out: &mut impl Write, before: Option<(String, View)>, after: &View) -> io::Result<()> {
    let Some((text, before)) = before else { return Ok(()) };
    let mut changes = String::new();
    for (old, new) in before.registers.iter().zip(&after.registers) {
        if old.value != new.value && new.value != after.ip {
            let _ = write!(changes, " {}={:#x}", new.name, new.value);
        }
    }
    if before.flags != after.flags {
        let _ = write!(changes, " flags={}", after.flags);
    }
    if before.stack_len != after.stack_len {
        let _ = write!(changes, " stack={}", after.stack_len.unwrap_or(0));
    }
    writeln!(out, "{text:<56}{changes}")
}

fn as_json(processor: &mut Processor, view: &View, end: &End) -> serde_json::Value {
    let registers: serde_json::Map<_, _> =
        view.registers.iter().map(|register| (register.name.clone(), register.value.into())).collect();
    let stack: Vec<u64> = (0..ENTRIES_LISTED).map_while(|depth| processor.stack_entry(depth)).collect();
    let fault = match end {
        End::Fault { offset, cause } => json!({ "offset": offset, "reason": cause.to_string() }),
        _ => serde_json::Value::Null,
    };
    json!({
        "end": end.to_string(),
        "status": end.status(),
        "fault": fault,
        "instructions": processor.instructions(),
        "registers": registers,
        "flags": view.flags,
        "flags_set": view.flags_set,
        "stack": stack,
        "stack_entries": view.stack_len,
        "output": String::from_utf8_lossy(&processor.take_output()),
    })
}

fn assemble(options: &CustomAsm) -> Result<u8, Failure> {
    let set = options.set.load()?;
    let program = options.program.load(&set)?;
    match &options.output {
        None => output::print_text(set.digits(&program))?,
        Some(path) => std::fs::write(path, program.bytes())
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", path.display())))?,
    }
    Ok(0)
}

fn disassemble(options: &CustomDisasm) -> Result<u8, Failure> {
    let set = options.set.load()?;
    let program = options.program.load(&set)?;
    output::print(|out| {
        for line in set.disassemble(&program) {
            writeln!(out, "{:<32} # {:08x}  {}", line.text, line.address, line.code)?;
        }
        Ok(())
    })?;
    Ok(0)
}

/// Assembly that pushes `number` times and then pops as often, in loops so that memory holds the stack
/// and little else.
fn stress_source(number: u64) -> String {
    let (loops, rest) = (number / u64::from(UNROLLED), number % u64::from(UNROLLED));
    let mut source = String::new();
    for (label, instruction) in [("pushes", "push a\n"), ("pops", "pop b\n")] {
        if loops > 0 {
            let body = instruction.repeat(UNROLLED as usize);
            let _ = write!(source, "mov c, {loops}\n{label}: {body}sub c, 1\ncmp c, 0\njnz {label}\n");
        }
        source.push_str(&instruction.repeat(rest as usize));
    }
    source.push_str("exit\n");
    source
}

fn stress(options: &CustomStress) -> Result<u8, Failure> {
    let set = options.set.load()?;
    let program = set.assemble(&stress_source(options.number)).map_err(|error| {
        Failure::new(format!(
            "stress needs mov, push, pop, sub, cmp, jnz and exit as softmachine has them: {error}"
        ))
    })?;
    let mut processor = Processor::new(&set).map_err(own)?;
    processor.load(&program).map_err(own)?;
    let resident = peak_memory();
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let end = processor.run(u64::MAX);
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let grown = peak_memory().zip(resident).map(|(after, before)| after.saturating_sub(before));
    let instructions = processor.instructions();
    if options.json {
        let result = json!({
            "end": end.to_string(), "number": options.number, "instructions": instructions,
            "seconds": seconds, "cpu_seconds": cpu, "memory_kib": grown,
        });
        output::print_text(format!("{result}\n"))?;
    } else {
        let memory = grown.map_or_else(String::new, |kib| format!(", {kib} KiB more memory"));
        output::print_text(format!(
            "{} pushes, {} pops: {:.3} s, {:.3} s of CPU time, {instructions} instructions{memory}\n{end}\n",
            options.number, options.number, seconds, cpu,
        ))?;
    }
    Ok(end.status().unwrap_or(crate::failure::OWN))
}
