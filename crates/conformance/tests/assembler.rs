//! Disassembled and assembled again: the text of every encoding of the decoder's corpus gives bytes that
//! have this text.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::collections::BTreeMap;

use pentimento_assembler::assemble;
use pentimento_conformance::decode_diff::{random, systematic};
use pentimento_decoder::{
    FormatOptions, Formatter, HexStyle, Instruction, Operand, OperandCode, OperandSize, Operation, Prefixes,
    decode,
};

/// Where the instructions lie.
const EIP: u32 = 0x0804_8000;

/// Whose text does not say everything, and why.
fn explained(instruction: &Instruction) -> Option<&'static str> {
    use Operation as O;
    let operation = instruction.operation();
    let word = instruction.operand_size() == OperandSize::Word;
    let relative = instruction.operands().any(|operand| matches!(operand, Operand::Relative(_)));
    let overridden = instruction.prefixes().contains(Prefixes::SEGMENT);
    let same = instruction.operand(0) == instruction.operand(1);
    match operation {
        _ if relative && word => Some("a 16-bit branch from an address that has more than 16 bits"),
        _ if relative && instruction.row().operands() == [OperandCode::Rel8] && instruction.length() > 2 => {
            Some("a short branch that prefixes without a meaning make longer reaches further")
        }
        O::Jmp if relative && instruction.prefixes().contains(Prefixes::REPNE) => {
            Some("BND shows on the near form of JMP and not on the short one")
        }
        O::Ins | O::Scas | O::Stos if overridden => Some("an override of ES:EDI shows and means nothing"),
        O::Xchg if same => Some("an exchange with itself has a shorter form, NOP"),
        O::Fadd | O::Fmul | O::Fsub | O::Fsubr | O::Fdiv | O::Fdivr if same => {
            Some("ST(0) with itself has two encodings")
        }
        _ => None,
    }
}

#[derive(Default)]
struct Report {
    tried: u64,
    explained: BTreeMap<&'static str, u64>,
    failures: BTreeMap<String, (u64, String)>,
}

impl Report {
    fn check(&mut self, bytes: &[u8; 16], options: FormatOptions) {
        let Ok(instruction) = decode(bytes) else { return };
        let formatter = Formatter::new(options);
        let text = formatter.display(&instruction, EIP).to_string();
        self.tried += 1;
        if let Some(reason) = explained(&instruction) {
            *self.explained.entry(reason).or_default() += 1;
            return;
        }
        let outcome = match assemble(&format!("org {EIP:#x}\n{text}")) {
            Err(error) => Err(error.to_string()),
            Ok(program) => match decode(program.bytes()) {
                Ok(again) if usize::from(again.length()) == program.bytes().len() => {
                    let again = formatter.display(&again, EIP).to_string();
                    // A near branch that reaches as a short one becomes one.
                    if again == text || again.replace("short ", "") == text {
                        Ok(())
                    } else {
                        Err(format!("{:02x?} is {again}", program.bytes()))
                    }
                }
                _ => Err(format!("{:02x?} is no instruction", program.bytes())),
            },
        };
        if let Err(reason) = outcome {
            let key = format!("{:?} {:?}", instruction.operation(), instruction.row().operands());
            let example = format!("{text}: {reason} (from {:02x?})", &bytes[..instruction.length().into()]);
            self.failures.entry(key).or_insert((0, example)).0 += 1;
        }
    }
}

#[test]
fn what_is_disassembled_can_be_assembled() {
    let mut report = Report::default();
    let mut other = FormatOptions::default();
    (other.hex, other.spaced, other.pseudo_operations) = (HexStyle::Prefix, true, false);
    // Strides that no factor of the enumeration's dimensions divides.
    systematic(211, |bytes| report.check(bytes, FormatOptions::default()));
    systematic(1009, |bytes| report.check(bytes, other));
    random(2, 50_000, |bytes| report.check(bytes, FormatOptions::default()));
    assert!(report.failures.is_empty(), "{} kinds: {:#?}", report.failures.len(), report.failures);
    let explained: u64 = report.explained.values().sum();
    assert!(report.tried > 100_000 && explained < report.tried / 15, "{} of {}", explained, report.tried);
}
