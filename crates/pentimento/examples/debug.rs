//! A debugger's work without a debugger: a breakpoint, registers, and back to whoever wrote a wrong value.

use std::error::Error;
use std::io::Write;

use pentimento::assembler::assemble;
use pentimento::decoder::decode;
use pentimento::{Bounds, Gpr, History, Machine, Past};

const PROGRAM: &str = "org 1000h
        mov ecx, 5
again:  call step
        loop again
check:  mov eax, [total]
        hlt
step:   mov eax, ecx
        imul eax, ecx
        cmp ecx, 3
        jne add
        mov dword ptr [total], -1     ; the mistake
add:    add [total], eax
        ret
total:  dd 0";

/// The instruction at EIP, and the total.
fn look(machine: &mut Machine, total: u32) -> Result<String, Box<dyn Error>> {
    let eip = machine.state().ok_or("nobody runs")?.eip;
    let memory = machine.memory().ok_or("nobody runs")?;
    let mut bytes = [0; 15];
    memory.peek_bytes(eip, &mut bytes)?;
    let value = memory.read::<u32>(total)? as i32;
    Ok(format!("{eip:#x}: {:<30} total = {value}", decode(&bytes)?.display(eip).to_string()))
}

/// Finds out why the sum of squares is wrong.
pub(crate) fn show(out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let program = assemble(PROGRAM)?;
    let label = |name: &str| program.label(name).ok_or("no such label");
    let (check, total) = (label("check")?, label("total")?);
    let mut machine = Machine::builder().build()?;
    machine.load_code(program.origin(), program.bytes(), 4096)?;
    let mut history = History::of(&mut machine);
    let halt = history.run(&mut machine, Bounds::none().until(check));
    writeln!(out, "{halt}")?;
    writeln!(out, "{}", look(&mut machine, total)?)?;
    // 55 was expected. Back, from write to write, to where the total was still that of 5 and 4.
    while machine.memory().ok_or("nobody runs")?.read::<u32>(total)? != 25 + 16 {
        if history.reverse_to_write(&mut machine, total, 4)? != Past::Written {
            return Err("nobody wrote it".into());
        }
        writeln!(out, "{}", look(&mut machine, total)?)?;
    }
    writeln!(out, "with ecx = {}", machine.state().ok_or("nobody runs")?.gpr(Gpr::Ecx))?;
    Ok(())
}

#[allow(dead_code, reason = "the tests call `show`")]
fn main() -> Result<(), Box<dyn Error>> {
    show(&mut std::io::stdout())
}
