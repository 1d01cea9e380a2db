//! A checked instruction set, ready to assemble, disassemble and run.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::description::NativeEffect;
use crate::encoding::Encoding;
use crate::language::Template;
use crate::operation::{FLAG_SLOTS, OPERAND_SLOTS, Slot, mask, sign_extend};
use crate::syntax::Syntax;
use crate::{AtEnd, Cause, Endian, OperandKind};

/// An instruction set that has passed all checks. Copies of it are cheap and share everything.
#[derive(Clone)]
pub struct InstructionSet {
    pub(crate) inner: Arc<Definition>,
}

/// What an instruction set consists of.
pub(crate) struct Definition {
    pub(crate) name: String,
    pub(crate) about: String,
    /// In the order of their numbers, an instruction pointer of its own last; the position is the slot.
    pub(crate) registers: Vec<Register>,
    pub(crate) flags: Vec<String>,
    /// Units of memory.
    pub(crate) memory: u32,
    /// Bytes of a unit.
    pub(crate) unit: u32,
    /// Hexadecimal digits of a word, for a set that has words.
    pub(crate) word: Option<u8>,
    pub(crate) endian: Endian,
    pub(crate) ip: Slot,
    pub(crate) ip_width: u8,
    pub(crate) stack: Option<StackShape>,
    pub(crate) status_max: u8,
    pub(crate) at_end: AtEnd,
    pub(crate) rows: Vec<CompiledRow>,
    /// The rows that may match, the most specific first, for each value of the first eight bits.
    pub(crate) index: Vec<Vec<u16>>,
    pub(crate) mnemonics: BTreeMap<String, Vec<u16>>,
    /// The reasons of `fault`.
    pub(crate) reasons: Vec<Arc<str>>,
}

/// A register.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Register {
    pub(crate) name: String,
    pub(crate) width: u8,
    pub(crate) slot: Slot,
}

/// The stack of a set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StackShape {
    pub(crate) entries: u32,
    pub(crate) width: u8,
    /// The stack pointer of a stack in memory.
    pub(crate) register: Option<Slot>,
}

/// A row that has passed all checks.
pub(crate) struct CompiledRow {
    pub(crate) syntax: Syntax,
    pub(crate) encoding: Encoding,
    /// In the order of the encoding's fields.
    pub(crate) operands: Vec<OperandShape>,
    pub(crate) effect: CompiledEffect,
}

/// What an operand of a row is.
pub(crate) struct OperandShape {
    pub(crate) kind: OperandKind,
    /// Bits of its field.
    pub(crate) bits: u8,
    /// Bits of its value in effects.
    pub(crate) width: u8,
    /// The registers that it can name, by the number in the field.
    pub(crate) registers: Vec<Slot>,
}

/// What a row does.
pub(crate) enum CompiledEffect {
    Ops(Template),
    Native(Arc<NativeEffect>),
}

/// A decoded instruction: its row, and the value of each field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Decoded {
    pub(crate) row: u16,
    pub(crate) values: [u64; crate::bounds::OPERANDS],
    /// Units of addresses.
    pub(crate) length: u32,
}

impl InstructionSet {
    /// What the set is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// One sentence about it; may be empty.
    #[must_use]
    pub fn about(&self) -> &str {
        &self.inner.about
    }

    /// Hexadecimal digits of an instruction word; `None` where instructions are bytes.
    #[must_use]
    pub fn word_digits(&self) -> Option<u8> {
        self.inner.word
    }

    /// The size of memory, in words where there are words, else in bytes.
    #[must_use]
    pub fn memory(&self) -> u32 {
        self.inner.memory
    }

    /// The most entries of the stack; `None` without one.
    #[must_use]
    pub fn stack_entries(&self) -> Option<u32> {
        self.inner.stack.map(|stack| stack.entries)
    }

    /// The mnemonics, in the order of the alphabet.
    #[must_use]
    pub fn mnemonics(&self) -> Vec<&str> {
        self.inner.mnemonics.keys().map(String::as_str).collect()
    }
}

impl fmt::Debug for InstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstructionSet").field("name", &self.inner.name).finish_non_exhaustive()
    }
}

impl Definition {
    /// Bits of a word; 8 where there are none.
    pub(crate) fn unit_bits(&self) -> u8 {
        self.word.map_or(8, |digits| digits * 4)
    }

    /// The most bytes that an instruction takes.
    pub(crate) fn longest(&self) -> usize {
        if self.word.is_some() { self.unit as usize } else { crate::bounds::INSTRUCTION_BYTES }
    }

    /// Turns the bytes of memory at an instruction into the number that rows match, its highest bit
    /// bit 127, and the bits of it that there are.
    pub(crate) fn code(&self, bytes: &[u8]) -> (u128, u32) {
        match self.word {
            Some(_) => match self.word_at(bytes) {
                Some(word) => {
                    let bits = u32::from(self.unit_bits());
                    (u128::from(word & mask(self.unit_bits())) << (128 - bits), bits)
                }
                None => (0, 0),
            },
            None => {
                let bytes = &bytes[..bytes.len().min(16)];
                let mut code = [0; 16];
                code[..bytes.len()].copy_from_slice(bytes);
                (u128::from_be_bytes(code), bytes.len() as u32 * 8)
            }
        }
    }

    /// The word that `bytes` start with.
    pub(crate) fn word_at(&self, bytes: &[u8]) -> Option<u64> {
        let bytes = bytes.get(..self.unit as usize)?;
        let fold = |word: u64, byte: &u8| word << 8 | u64::from(*byte);
        Some(match self.endian {
            Endian::Little => bytes.iter().rev().fold(0, fold),
            Endian::Big => bytes.iter().fold(0, fold),
        })
    }

    /// The bytes of a number in memory, `length` at most 8 of them.
    pub(crate) fn number_bytes(&self, value: u64, length: usize) -> Vec<u8> {
        let mut bytes = value.to_le_bytes()[..length.min(8)].to_vec();
        if self.endian == Endian::Big {
            bytes.reverse();
        }
        bytes
    }

    /// Decodes the instruction that `bytes` start with.
    pub(crate) fn decode(&self, bytes: &[u8]) -> Result<Decoded, Cause> {
        let (code, available) = self.code(bytes);
        let candidates = self.index.get((code >> 120) as usize).map_or(&[][..], Vec::as_slice);
        for number in candidates {
            let Some(row) = self.rows.get(usize::from(*number)) else { continue };
            if row.encoding.bits > available || !row.encoding.matches(code) {
                continue;
            }
            let length = if self.word.is_some() { 1 } else { row.encoding.bits / 8 };
            let mut decoded = Decoded { row: *number, values: [0; crate::bounds::OPERANDS], length };
            for ((value, field), operand) in
                decoded.values.iter_mut().zip(&row.encoding.fields).zip(&row.operands)
            {
                *value = operand.decode(row.encoding.extract(code, field))?;
            }
            return Ok(decoded);
        }
        let bits = available.min(u32::from(self.unit_bits()));
        let shown = if bits == 0 { 0 } else { (code >> (128 - bits)) as u64 };
        Err(Cause::UnknownInstruction { code: shown, digits: (bits / 4) as u8 })
    }

    /// Where a relative operand points to, seen from the end of its instruction.
    pub(crate) fn target(&self, distance: u64, end: u64) -> u64 {
        end.wrapping_add(distance) & mask(self.ip_width)
    }

    /// The name of a register or flag by its slot.
    pub(crate) fn slot_name(&self, slot: Slot) -> &str {
        let register = self.registers.iter().find(|register| register.slot == slot);
        let flag = || self.flags.get(usize::from(slot.checked_sub(FLAG_SLOTS)?)).map(String::as_str);
        register.map(|register| register.name.as_str()).or_else(flag).unwrap_or("?")
    }

    /// The register or flag of that name, and its width; letters of either case.
    pub(crate) fn place(&self, name: &str) -> Option<(Slot, u8)> {
        let register = self.registers.iter().find(|register| register.name.eq_ignore_ascii_case(name));
        register.map(|register| (register.slot, register.width)).or_else(|| {
            let position = self.flags.iter().position(|flag| flag.eq_ignore_ascii_case(name))?;
            Some((FLAG_SLOTS + position as Slot, 1))
        })
    }
}

impl OperandShape {
    /// The value of a field: for a register its slot, for a relative address the distance.
    fn decode(&self, raw: u64) -> Result<u64, Cause> {
        match self.kind {
            OperandKind::Number => Ok(raw),
            OperandKind::Signed => Ok(sign_extend(raw, self.bits) as u64 & mask(self.width)),
            OperandKind::Relative => Ok(sign_extend(raw, self.bits) as u64),
            OperandKind::Register => {
                let slot = usize::try_from(raw).ok().and_then(|number| self.registers.get(number));
                slot.map(|slot| u64::from(*slot)).ok_or(Cause::NoSuchRegister { number: raw })
            }
        }
    }
}

/// Whether a slot belongs to an operand.
pub(crate) fn operand_position(slot: Slot) -> Option<usize> {
    let position = usize::from(slot.checked_sub(OPERAND_SLOTS)?);
    (position < crate::bounds::OPERANDS).then_some(position)
}
