//! `cargo xtask tail-calls`: no handler of the interpreter calls the next one, in the release build.
//!
//! Handlers end by calling the next handler, and LLVM makes a jump of that call. Stable Rust does not
//! promise it, so this looks at what came out: an indirect call in the interpreter's code that is not
//! one of the few that have to be there is a handler that nests.

use crate::Failure;
use crate::guests::built_command;
use crate::process::{command, output};
use crate::skips::skip;

/// Functions of the interpreter that call through pointers and are no handlers: the loop that calls
/// the first handler, the slow path, which calls a handler of the reference, what calls observers and then goes back to that loop, what
/// drops blocks, and what asks a row of the table for its handler; and what keeps the address of a library's function in a
/// register, as growing and dropping the arena do.
const CALLERS: &[&str] = &[
    "pentimento_interpreter::Interpreter::",
    "frame::Frame::execute",
    "frame::Frame>::deliver",
    "frame::Frame>::tell_noted",
    "observed::announce",
    "accesses::tell",
    "frame::Frame>::note_end",
    "frame::Frame>::note_inside",
    "Engine>::run_observed",
    "counters::Counters::",
    "arena::drive",
    "arena::Arena::append",
    "core::ptr::drop_in_place",
    "code::Blocks::",
    "table::handler",
    "table::fused::handler",
    "select::select",
    "block::Builder::build",
];

/// Handlers that the build has at least: fewer, and this looks in the wrong place.
const LEAST: usize = 1000;

pub(crate) fn run_task(_: &[String]) -> Result<(), Failure> {
    if !cfg!(target_arch = "x86_64") {
        skip("tail-calls", "this reads x86-64 code only");
        return Ok(());
    }
    if output(command("objdump").arg("--version")).is_err() {
        skip("tail-calls", "the host has no objdump");
        return Ok(());
    }
    let machine = built_command()?;
    let options = ["--disassemble", "--demangle", "--no-show-raw-insn", "--section=.text"];
    let listing = output(command("objdump").args(options).arg(machine))?;
    let Report { handlers, nested } = read(&listing);
    if !nested.is_empty() {
        return Err(format!("handlers that call the next one: {}", nested.join(", ")));
    }
    if handlers < LEAST {
        return Err(format!("only {handlers} functions of the interpreter end with a jump to the next one"));
    }
    println!("tail-calls: {handlers} handlers end with a jump to the next one, and none calls it");
    Ok(())
}

/// What a listing shows of the interpreter.
struct Report {
    /// Functions that jump through a pointer.
    handlers: usize,
    /// Functions that call through one.
    nested: Vec<String>,
}

fn read(listing: &str) -> Report {
    let mut report = Report { handlers: 0, nested: Vec::new() };
    let (mut function, mut jumps, mut calls) = ("", false, false);
    let mut finish = |function: &str, jumps: bool, calls: bool| {
        if !function.contains("pentimento_interpreter::") {
            return;
        }
        report.handlers += usize::from(jumps);
        if calls && !CALLERS.iter().any(|caller| function.contains(caller)) {
            report.nested.push(function.to_owned());
        }
    };
    for line in listing.lines() {
        // `00000000001f9ba0 <name>:` begins a function.
        if let Some(name) = line.strip_suffix(">:").and_then(|line| Some(line.split_once('<')?.1)) {
            finish(function, jumps, calls);
            (function, jumps, calls) = (name, false, false);
        }
        // Through the instruction pointer it is a function of another library.
        if line.contains('*') && !line.contains("(%rip)") {
            jumps |= line.contains("\tjmp ");
            calls |= line.contains("\tcall ");
        }
    }
    finish(function, jumps, calls);
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indirect_calls_of_handlers_are_found() {
        let listing = "\
0000000000001000 <pentimento_interpreter::drivers::straight::h01>:
    1000:\tcall   *0x2000(%rip)        # 3000 <memcpy>
    1006:\tjmp    *(%rdi)
0000000000002000 <pentimento_interpreter::drivers::fused::h02>:
    2000:\tcall   *(%rdi)
    2002:\tret
0000000000003000 <pentimento_interpreter::frame::Frame::execute::h03>:
    3000:\tcall   *0x20(%r12)
0000000000004000 <core::fmt::write::h04>:
    4000:\tcall   *%rax
";
        let report = read(listing);
        assert_eq!(report.handlers, 1);
        assert_eq!(report.nested, ["pentimento_interpreter::drivers::fused::h02"]);
    }
}
