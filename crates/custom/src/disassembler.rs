//! Code to text that assembles to the same code.

use std::fmt::Write as _;

use crate::operation::{Slot, mask, sign_extend};
use crate::set::{Decoded, OperandShape};
use crate::syntax::PartKind;
use crate::{InstructionSet, OperandKind, Program};

/// A line of a disassembly: an instruction, or data where there is none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// Where it is, in words where there are words, else in bytes.
    pub address: u64,
    /// The digits of its code.
    pub code: String,
    /// What it says: an instruction, `.word` or `.byte`.
    pub text: String,
    /// Units of addresses that it takes.
    pub length: u32,
}

impl InstructionSet {
    /// The lines of a program. Their text, assembled, is the program again.
    pub fn disassemble<'p>(&'p self, program: &'p Program) -> impl Iterator<Item = Line> + 'p {
        let unit = self.inner.unit as usize;
        let mut at = 0;
        std::iter::from_fn(move || {
            let rest = program.bytes().get(at..).filter(|rest| !rest.is_empty())?;
            let line = self.line((at / unit) as u64, rest);
            at += line.length as usize * unit;
            Some(line)
        })
    }

    /// The line at the start of `bytes`, which lie at `address`.
    pub(crate) fn line(&self, address: u64, bytes: &[u8]) -> Line {
        let bytes = &bytes[..bytes.len().min(self.inner.longest())];
        let unit = self.inner.unit as usize;
        let (length, text) = match self.inner.decode(bytes) {
            Ok(decoded) => (decoded.length, self.instruction_text(&decoded, address)),
            Err(_) => (1, self.data_text(bytes)),
        };
        let code = bytes.get(..length as usize * unit).unwrap_or(bytes);
        Line { address, code: self.code_digits(code), text, length }
    }

    fn data_text(&self, bytes: &[u8]) -> String {
        match self.inner.word {
            Some(_) => format!(".word {}", self.code_digits(bytes)),
            None => format!(".byte {:#04x}", bytes.first().copied().unwrap_or(0)),
        }
    }

    fn instruction_text(&self, decoded: &Decoded, address: u64) -> String {
        let Some(row) = self.inner.rows.get(usize::from(decoded.row)) else { return String::new() };
        let mut text = row.syntax.mnemonic.clone();
        for part in &row.syntax.parts {
            if part.spaced {
                text.push(' ');
            }
            match &part.kind {
                PartKind::Word(word) => text.push_str(word),
                PartKind::Punctuation(character) => text.push(*character),
                PartKind::Operand(position) => {
                    let value = decoded.values.get(*position).copied().unwrap_or(0);
                    if let Some(operand) = row.operands.get(*position) {
                        self.operand_text(&mut text, operand, value, address + u64::from(decoded.length));
                    }
                }
            }
        }
        text
    }

    fn operand_text(&self, text: &mut String, operand: &OperandShape, value: u64, end: u64) {
        // Writing to a string cannot fail.
        let _ = match operand.kind {
            OperandKind::Register => write!(text, "{}", self.inner.slot_name(value as Slot)),
            OperandKind::Number => write!(text, "{}", Number(i128::from(value))),
            OperandKind::Signed => write!(text, "{}", Number(i128::from(sign_extend(value, operand.width)))),
            OperandKind::Relative => {
                write!(text, "{:#x}", self.inner.target(value, end) & mask(self.inner.ip_width))
            }
        };
    }
}

/// A number as people read it: small ones decimal.
struct Number(i128);

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        match self.0.unsigned_abs() {
            small @ 0..=9 => write!(f, "{sign}{small}"),
            large => write!(f, "{sign}{large:#x}"),
        }
    }
}
