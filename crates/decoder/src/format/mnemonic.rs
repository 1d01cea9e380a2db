//! Prefixes and mnemonics.

use core::fmt;

use pentimento_registers::SegmentRegister;

use super::Line;
use crate::{AddressSize, Instruction, Operand, OperandCode, OperandSize, Operation as O, Prefixes};

/// Predicates of CMPPS and its kin (SDM volume 2, table 3-1).
const COMPARISONS: [&str; 8] = ["eq", "lt", "le", "unord", "neq", "nlt", "nle", "ord"];

/// Halves that PCLMULQDQ multiplies, by its immediate.
const HALVES: [(u32, &str); 4] =
    [(0x00, "pclmullqlqdq"), (0x01, "pclmulhqlqdq"), (0x10, "pclmullqhqdq"), (0x11, "pclmulhqhqdq")];

/// Whether it is a string instruction.
pub(super) const fn is_string(operation: O) -> bool {
    matches!(operation, O::Movs | O::Cmps | O::Stos | O::Lods | O::Scas | O::Ins | O::Outs)
}

/// Whether `operation` jumps, calls or returns near, so that F2h and 66h show.
const fn is_near_branch(operation: O) -> bool {
    matches!(operation, O::Jmp | O::Jcc | O::Call | O::Ret)
}

impl Line<'_, '_> {
    fn prefix(&mut self, name: &str) -> fmt::Result {
        self.out.write_str(name)?;
        self.out.write_char(' ')
    }

    pub(super) fn prefixes(&mut self) -> fmt::Result {
        let instruction = *self.instruction;
        let prefixes = instruction.prefixes();
        if prefixes.is_empty() {
            return Ok(());
        }
        if shows_operand_size(&instruction) {
            self.prefix("data16")?;
        }
        if shows_address_size(&instruction) {
            self.prefix("addr16")?;
        }
        self.segment_prefix()?;
        if let Some(elision) = elision(&instruction) {
            self.prefix(elision)?;
        }
        if prefixes.contains(Prefixes::LOCK) {
            self.prefix("lock")?;
        }
        self.repeat_prefix()
    }

    /// Segment overrides that mean a hint, or that no operand shows.
    fn segment_prefix(&mut self) -> fmt::Result {
        let instruction = self.instruction;
        if !instruction.prefixes().contains(Prefixes::SEGMENT) {
            return Ok(());
        }
        let operation = instruction.operation();
        match (operation, instruction.segment()) {
            (O::Jcc, SegmentRegister::Cs) => self.prefix("hint-not-taken"),
            (O::Jcc, SegmentRegister::Ds) => self.prefix("hint-taken"),
            (O::Monitor | O::Monitorx | O::Clzero, segment) if segment != SegmentRegister::Ds => {
                self.prefix(segment.name())
            }
            (O::Jmp | O::Call, SegmentRegister::Ds) if is_indirect(instruction) => self.prefix("notrack"),
            _ => Ok(()),
        }
    }

    fn repeat_prefix(&mut self) -> fmt::Result {
        let (prefixes, operation) = (self.instruction.prefixes(), self.instruction.operation());
        let compares = matches!(operation, O::Cmps | O::Scas);
        if prefixes.contains(Prefixes::REPNE) {
            if is_near_branch(operation) && self.instruction.opcode() != 0xeb {
                self.prefix("bnd")?;
            } else if is_string(operation) {
                self.prefix("repne")?;
            }
        }
        if prefixes.contains(Prefixes::REP)
            && (is_string(operation) || self.instruction.opcode() == 0xc3 && operation == O::Ret)
        {
            self.prefix(if compares { "repe" } else { "rep" })?;
        }
        Ok(())
    }

    pub(super) fn mnemonic(&mut self) -> fmt::Result {
        let instruction = *self.instruction;
        let stem = instruction.operation().mnemonic();
        let word = instruction.operand_size() == OperandSize::Word;
        let suffix = match instruction.operation() {
            O::Jcc | O::Setcc | O::Cmovcc => instruction.condition().suffix(),
            operation if is_string(operation) && instruction.opcode() & 1 == 0 => "b",
            operation if is_string(operation) && word => "w",
            operation if is_string(operation) => "d",
            O::Pusha | O::Popa | O::Pushf | O::Popf | O::Iret if !word => "d",
            O::Jecxz if instruction.address_size() == AddressSize::Word => return self.out.write_str("jcxz"),
            O::Nop if word && instruction.opcode() == 0x90 => return self.out.write_str("xchg"),
            O::Xlat => return self.out.write_str("xlat"),
            O::Wait => return self.out.write_str("fwait"),
            O::RetFar => return self.out.write_str("ret far"),
            O::Cmpps | O::Cmppd | O::Cmpss | O::Cmpsd | O::Pclmulqdq => return self.pseudo_mnemonic(stem),
            _ => "",
        };
        self.out.write_str(stem)?;
        self.out.write_str(suffix)
    }

    /// A mnemonic that takes in the immediate, if there is one for it.
    fn pseudo_mnemonic(&mut self, stem: &str) -> fmt::Result {
        let (pseudo, immediate) = (self.drops_immediate(), self.instruction.immediate());
        if pseudo && self.instruction.operation() == O::Pclmulqdq {
            let found = HALVES.iter().find(|(value, _)| *value == immediate);
            return self.out.write_str(found.map_or(stem, |(_, name)| name));
        }
        match COMPARISONS.get(immediate as usize) {
            Some(predicate) if pseudo => {
                let (compare, format) = stem.split_at(3);
                write!(self.out, "{compare}{predicate}{format}")
            }
            _ => self.out.write_str(stem),
        }
    }

    /// Whether the mnemonic says what the last immediate does.
    pub(super) fn drops_immediate(&self) -> bool {
        let immediate = self.instruction.immediate();
        self.formatter.options.pseudo_operations
            && match self.instruction.operation() {
                O::Cmpps | O::Cmppd | O::Cmpss | O::Cmpsd => {
                    self.instruction.operand_count() == 3 && immediate < 8
                }
                O::Pclmulqdq => HALVES.iter().any(|(value, _)| *value == immediate),
                _ => false,
            }
    }
}

/// Whether it jumps or calls through a register or memory.
fn is_indirect(instruction: &Instruction) -> bool {
    matches!(instruction.row().operands(), [OperandCode::Rmv])
}

/// Whether 66h matters and nothing else in the text tells it.
fn shows_operand_size(instruction: &Instruction) -> bool {
    if !instruction.prefixes().contains(Prefixes::OPERAND_SIZE) {
        return false;
    }
    match instruction.operation() {
        O::Ret | O::RetFar | O::Enter | O::Leave | O::Loop | O::Loope | O::Loopne | O::Jcc | O::Jecxz => true,
        O::Jmp | O::Call | O::JmpFar | O::CallFar | O::Push | O::Pop => matches!(
            instruction.row().operands(),
            [code] if !matches!(code, OperandCode::Rmv | OperandCode::Opv | OperandCode::Mfar)
        ),
        _ => false,
    }
}

/// Whether 67h matters and nothing else in the text tells it.
fn shows_address_size(instruction: &Instruction) -> bool {
    if !instruction.prefixes().contains(Prefixes::ADDRESS_SIZE) {
        return false;
    }
    match instruction.operation() {
        O::Loop | O::Loope | O::Loopne | O::Monitor | O::Monitorx | O::Maskmovq | O::Maskmovdqu => true,
        _ => instruction
            .row()
            .operands()
            .iter()
            .any(|code| matches!(code, OperandCode::Moffs8 | OperandCode::Moffsv)),
    }
}

/// XACQUIRE or XRELEASE (SDM volume 2, XACQUIRE/XRELEASE): on locked instructions, on XCHG with
/// memory, and XRELEASE on stores too.
fn elision(instruction: &Instruction) -> Option<&'static str> {
    let prefixes = instruction.prefixes();
    if !prefixes.intersects(Prefixes::REP | Prefixes::REPNE) {
        return None;
    }
    let memory = matches!(instruction.operand(0), Some(Operand::Memory(_)));
    let release = prefixes.contains(Prefixes::REP);
    let allowed = match instruction.operation() {
        _ if prefixes.contains(Prefixes::LOCK) => true,
        O::Xchg => memory,
        O::Mov => release && memory && matches!(instruction.opcode(), 0x88 | 0x89 | 0xc6 | 0xc7),
        _ => false,
    };
    allowed.then_some(if release { "xrelease" } else { "xacquire" })
}
