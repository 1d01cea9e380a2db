//! The `pentimento` command: runs 32-bit x86 Linux programs, executes raw code, disassembles.
//!
//! Exit codes: the guest's own (128+n when signal n killed it), 125 when `pentimento` itself
//! failed, 126 when the program cannot be executed, 127 when it does not exist.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program")]

mod arguments;
mod disasm;
mod exec;
mod failure;
mod network;
mod run;
mod streams;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() => {
            eprintln!("pentimento: {}", failure::one_line(&error.to_string()));
            return ExitCode::from(failure::OWN);
        }
        Err(help) => {
            // Whoever closed standard output does not want to read it.
            let _ = help.print();
            return ExitCode::SUCCESS;
        }
    };
    let result = match &arguments.command {
        Command::Run(options) => run::run(options),
        Command::Exec(options) => exec::exec(options),
        Command::Disasm(options) => disasm::disasm(options),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            eprintln!("pentimento: {failure}");
            ExitCode::from(failure.code)
        }
    }
}
