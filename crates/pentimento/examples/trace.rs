//! Writes a line for each instruction: address, bytes, text, what it has changed, what it has accessed.

use std::error::Error;
use std::io::Write;

use pentimento::assembler::assemble;
use pentimento::{Machine, Trace};

/// Traces a loop that sums a table.
pub(crate) fn show(out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let source = "org 1000h\n mov esi, table\n xor eax, eax\n mov ecx, 3\n \
                  again: add eax, [esi]\n add esi, 4\n loop again\n hlt\n table: dd 10, 20, 30";
    let program = assemble(source)?;
    let mut machine = Machine::builder().build()?;
    machine.load_code(program.origin(), program.bytes(), 4096)?;
    // A file would do: whatever takes bytes.
    let trace = Trace::start(&mut machine.hooks, Vec::new());
    let halt = machine.run(1000);
    out.write_all(&trace.finish(&mut machine.hooks)?)?;
    writeln!(out, "{halt}")?;
    Ok(())
}

#[allow(dead_code, reason = "the tests call `show`")]
fn main() -> Result<(), Box<dyn Error>> {
    show(&mut std::io::stdout())
}
