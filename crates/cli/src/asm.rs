//! `pentimento asm`: Intel-syntax text to machine code.

use std::io::Read;

use pentimento::assembler::assemble;

use crate::arguments::AsmOptions;
use crate::failure::{Failure, unreadable};
use crate::output;

/// Digits a line of the output: 16 bytes.
const BYTES_A_LINE: usize = 16;

/// Assembles the source.
pub(crate) fn asm(options: &AsmOptions) -> Result<u8, Failure> {
    let mut source = Vec::new();
    if options.file.as_os_str() == "-" {
        std::io::stdin().read_to_end(&mut source)?;
    } else {
        source = std::fs::read(&options.file).map_err(|error| unreadable(&options.file, &error))?;
    }
    let name = options.file.display();
    let source = String::from_utf8(source).map_err(|_| Failure::new(format!("{name}: no UTF-8 text")))?;
    let program = assemble(&source)
        .map_err(|error| Failure::new(format!("{name}:{}:{}: {}", error.line, error.column, error.reason)))?;
    match &options.output {
        Some(file) => std::fs::write(file, program.bytes())
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", file.display())))?,
        None => {
            let mut text = String::new();
            for line in program.bytes().chunks(BYTES_A_LINE) {
                let digits: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
                text.push_str(&digits.join(" "));
                text.push('\n');
            }
            output::print_text(text)?;
        }
    }
    Ok(0)
}
