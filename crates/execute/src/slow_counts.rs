//! Which instructions the interpreter leaves to the reference, and how often: feature
//! `count-slow`, for whoever looks for the next handler to write.

use alloc::collections::BTreeMap;
use alloc::string::String;
use core::fmt::Write as _;

use pentimento_decoder::{Instruction, MemoryOperand, Operand, Operation, Prefixes, Register};
use pentimento_registers::SegmentRegister;

/// Counts by instruction form, such as `mov r32,gs:m32`.
#[derive(Clone, Debug, Default)]
pub struct SlowCounts(BTreeMap<(Operation, String), u64>);

impl SlowCounts {
    /// Counts an instruction; `why` stands before its form.
    pub fn count(&mut self, why: &str, instruction: &Instruction) {
        let key = (instruction.operation(), form(why, instruction));
        *self.0.entry(key).or_default() += 1;
    }

    /// The forms and their counts, by form.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|((_, form), count)| (form.as_str(), *count))
    }
}

/// An instruction without its numbers and register names.
fn form(why: &str, instruction: &Instruction) -> String {
    let mut text = String::from(why);
    for (prefix, name) in [(Prefixes::LOCK, "lock "), (Prefixes::REP, "rep "), (Prefixes::REPNE, "repne ")] {
        if instruction.prefixes().contains(prefix) {
            text.push_str(name);
        }
    }
    // Writing to a string cannot fail.
    let _ = write!(text, "{:?}", instruction.operation());
    text.make_ascii_lowercase();
    for (index, operand) in instruction.operands().enumerate() {
        text.push(if index == 0 { ' ' } else { ',' });
        let _ = match operand {
            Operand::Memory(memory) => write_memory(&mut text, &memory),
            Operand::Immediate { .. } => write!(text, "imm"),
            Operand::Relative(_) => write!(text, "rel"),
            Operand::Register(register) => write!(text, "{}", class(register)),
            _ => write!(text, "other"),
        };
    }
    text
}

fn write_memory(text: &mut String, memory: &MemoryOperand) -> core::fmt::Result {
    if matches!(memory.segment, SegmentRegister::Fs | SegmentRegister::Gs) {
        write!(text, "{}:", memory.segment.name())?;
    }
    write!(text, "m{}", memory.size * 8)
}

const fn class(register: Register) -> &'static str {
    match register {
        Register::Gpr8(_) => "r8",
        Register::Gpr16(_) => "r16",
        Register::Gpr32(_) => "r32",
        Register::Segment(_) => "sreg",
        _ => "vector",
    }
}
