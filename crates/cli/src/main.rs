//! The `pentimento` command: runs 32-bit x86 Linux programs, executes raw code, disassembles and assembles.
//!
//! Exit codes: the guest's own (128+n when signal n killed it), 125 when `pentimento` itself
//! failed or cannot write what it was asked for, 126 when the program cannot be executed, 127 when
//! it does not exist.
#![forbid(unsafe_code)]

mod arguments;
mod asm;
mod custom;
mod debug;
mod disasm;
mod environment;
mod exec;
mod failure;
mod files;
mod manual;
mod numbers;
mod output;
mod replay;
mod resume;
mod run;
mod usage;
mod watching;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use arguments::{Arguments, Command};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        // Nothing was asked for: the help says what can be.
        Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            output::say(error);
            return ExitCode::from(failure::OWN);
        }
        Err(error) if error.use_stderr() => {
            output::say(format_args!("pentimento: {}", failure::one_line(&error.to_string())));
            return ExitCode::from(failure::OWN);
        }
        Err(help) => {
            let text = help.render();
            let colours = std::io::stdout().is_terminal();
            let text = if colours { text.ansi().to_string() } else { text.to_string() };
            return conclude(output::print_text(text).map(|()| 0));
        }
    };
    conclude(match &arguments.command {
        Command::Run(options) => run::run(options),
        Command::Debug(options) => debug::debug(options),
        Command::Replay(options) => replay::replay(options),
        Command::Resume(options) => resume::resume(options),
        Command::Exec(options) => exec::exec(options),
        Command::Disasm(options) => disasm::disasm(options),
        Command::Asm(options) => asm::asm(options),
        Command::Custom(options) => custom::custom(options),
        Command::Completions(options) => manual::completions(options),
        Command::Man(options) => manual::man(options),
    })
}

/// Says what went wrong, if anything did.
fn conclude(result: Result<u8, failure::Failure>) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            output::say(format_args!("pentimento: {failure}"));
            ExitCode::from(failure.code)
        }
    }
}
