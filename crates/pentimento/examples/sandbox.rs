//! Plug-ins that need not be trusted: each is a program of any language, gets a request on its standard
//! input, and answers on its standard output. It sees no file and no network, and has only so much memory,
//! so many processes and so many instructions.

use std::error::Error;
use std::io::Write;

use pentimento::assembler::assemble;
use pentimento::host::Bytes;
use pentimento::{Capture, Halt, Limits, Machine};

/// What a plug-in may execute for a request.
const BUDGET: u64 = 20_000_000;

/// What a plug-in answers to a request, or why it does not.
fn ask(plug_in: &[u8], request: &str) -> Result<String, Box<dyn Error>> {
    let answer = Capture::new();
    let limits = Limits { memory: 16 << 20, processes: 4, output: 64 << 10, ..Limits::default() };
    let builder = Machine::builder().limits(limits).user(1000, 1000);
    let builder = builder.stdin(Bytes::from(request)).stdout(answer.clone()).program("/plug-in", plug_in);
    let mut machine = builder.build()?;
    machine.start(&["/plug-in"])?;
    match machine.run(BUDGET) {
        Halt::Exited(0) => Ok(answer.text()),
        halt => Err(halt.to_string().into()),
    }
}

/// An ELF program of some machine code.
fn program(source: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    const BASE: u32 = 0x0804_8000;
    const HEADERS: u32 = 84;
    let code = assemble(&format!("org {:#x}\n{source}", BASE + HEADERS))?;
    let end = HEADERS + code.bytes().len() as u32;
    let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x03\0\x01\0\0\0".to_vec();
    let header = [BASE + HEADERS, 52, 0, 0, 0x0020_0034, 1, 0];
    let segment = [1, 0, BASE, BASE, end, end, 7, 4096];
    header.iter().chain(&segment).for_each(|word| file.extend(word.to_le_bytes()));
    file.extend(code.bytes());
    Ok(file)
}

/// Asks one plug-in that behaves, and three that do not.
pub(crate) fn show(out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let base64 = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/programs/base64"))?;
    let thief = "mov eax, 5\n mov ebx, name\n xor ecx, ecx\n int 80h\n \
                 mov ebx, eax\n neg ebx\n mov eax, 1\n int 80h\n name: db '/etc/passwd', 0";
    let plug_ins = [
        ("polite", base64),
        ("endless", program("again: jmp again")?),
        ("many", program("again: mov eax, 2\n int 80h\n jmp again")?),
        ("thief", program(thief)?),
    ];
    for (name, plug_in) in plug_ins {
        match ask(&plug_in, "a pentimento") {
            Ok(answer) => writeln!(out, "{name}: {}", answer.trim_end())?,
            Err(reason) => writeln!(out, "{name}: {reason}")?,
        }
    }
    Ok(())
}

#[allow(dead_code, reason = "the tests call `show`")]
fn main() -> Result<(), Box<dyn Error>> {
    show(&mut std::io::stdout())
}
