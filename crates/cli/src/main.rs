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
mod run;
mod streams;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(failure::OWN) } else { ExitCode::SUCCESS };
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
