//! Says which bytes of its input a program looks at, and where: here a password check, which tells whoever
//! watches how far a guess was right.

use std::error::Error;
use std::io::Write;

use pentimento::Machine;
use pentimento::assembler::assemble;
use pentimento::host::Bytes;
use pentimento_taint::{Options, Origin, Sink, Taint};

const CHECK: &str = "org 1000h
        mov eax, 3
        xor ebx, ebx
        mov ecx, line
        mov edx, 64
        int 80h
        mov esi, line
        mov edi, secret
again:  mov al, [esi]
        cmp al, [edi]
        jne wrong
        inc esi
        inc edi
        cmp byte [edi], 0
        jne again
        mov eax, 1
        xor ebx, ebx
        int 80h
wrong:  mov eax, 1
        mov ebx, 1
        int 80h
secret: db 'open', 0
line:   resb 64";

/// Guesses, and prints what each guess has decided.
pub(crate) fn show(out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let program = assemble(CHECK)?;
    for guess in ["sesame", "opal", "open"] {
        let mut machine = Machine::builder().stdin(Bytes::from(guess)).build()?;
        machine.load_code(program.origin(), program.bytes(), 4096)?;
        let taint = Taint::start(&mut machine.hooks, Options::default());
        let halt = machine.run(10_000);
        for finding in taint.report().iter().filter(|finding| finding.sink == Sink::Branch) {
            let byte = |label| match taint.origin(label) {
                Some(Origin::Read { index, .. }) => guess.as_bytes().get(index as usize).copied(),
                _ => None,
            };
            let decided: Vec<u8> = finding.labels.iter().filter_map(|label| byte(*label)).collect();
            let decided = String::from_utf8_lossy(&decided);
            writeln!(out, "{guess}: {halt}; the branch at {:#x} depends on {decided:?}", finding.eip)?;
        }
    }
    Ok(())
}

#[allow(dead_code, reason = "the tests call `show`")]
fn main() -> Result<(), Box<dyn Error>> {
    show(&mut std::io::stdout())
}
