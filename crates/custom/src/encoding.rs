//! The code of a row: which bits are fixed, and which hold operands.

use std::collections::BTreeMap;

use crate::bounds::{INSTRUCTION_BYTES, OPERANDS};
use crate::{Endian, OperandForm};

/// How a row is encoded. Its bits are those of a number, the first digit of `code` the highest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Encoding {
    /// Bits of the whole instruction, at most 128.
    pub(crate) bits: u32,
    /// The bits that are fixed, and what they are.
    pub(crate) mask: u128,
    pub(crate) value: u128,
    /// One a operand, in the order of `code`.
    pub(crate) fields: Vec<Field>,
}

/// Where an operand lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    /// The number of its lowest bit.
    shift: u32,
    /// Its bits, 1 to 64.
    pub(crate) bits: u8,
    /// Whether its bytes stand lowest first.
    swapped: bool,
}

/// What the code of rows is made of.
pub(crate) struct Alphabet<'d> {
    pub(crate) opcodes: &'d BTreeMap<String, String>,
    pub(crate) operands: &'d BTreeMap<String, OperandForm>,
    /// Bits of a word, for a set that has words.
    pub(crate) word_bits: Option<u32>,
    pub(crate) endian: Endian,
}

/// A piece of the code: fixed bits, or an operand that may take what the others leave.
enum Piece<'c> {
    Fixed {
        value: u128,
        bits: u32,
    },
    /// `0...`: zeros, as many as the others leave of a word.
    Zeros,
    Operand {
        name: &'c str,
        bits: Option<u32>,
    },
}

impl Encoding {
    /// Reads the code of a row.
    pub(crate) fn parse(code: &str, alphabet: &Alphabet<'_>) -> Result<Self, String> {
        let most = alphabet.word_bits.unwrap_or(INSTRUCTION_BYTES as u32 * 8);
        let mut pieces = Vec::new();
        for word in code.split_whitespace() {
            if pieces.len() == INSTRUCTION_BYTES * 8 {
                return Err("code: too many parts".into());
            }
            pieces.push(alphabet.piece(word)?);
        }
        let known: u32 = pieces.iter().map(Piece::known_bits).sum();
        let open = pieces.iter().filter(|piece| piece.is_open()).count();
        let rest = match (open, alphabet.word_bits) {
            (0, _) => 0,
            (1, Some(word)) if known < word => word - known,
            (1, Some(word)) => {
                return Err(format!(
                    "code: nothing is left of the {word} bits of a word for '0...' or an operand without 'bits'"
                ));
            }
            (1, None) => {
                return Err(
                    "code: instructions of bytes need 'bits' in every operand, and have no '0...'".into()
                );
            }
            _ => return Err("code: only one part can take the rest of the word; give operands 'bits'".into()),
        };
        let bits = known + rest;
        match alphabet.word_bits {
            Some(word) if word != bits => return Err(format!("code: {bits} bits; a word has {word}")),
            None if bits == 0 || !bits.is_multiple_of(8) => {
                return Err(format!("code: {bits} bits are no whole bytes"));
            }
            _ if bits > most => return Err(format!("code: {bits} bits; at most {most}")),
            _ => {}
        }
        let mut encoding = Self { bits, mask: 0, value: 0, fields: Vec::new() };
        let mut left = bits;
        for piece in pieces {
            let width = if piece.is_open() { rest } else { piece.known_bits() };
            left -= width;
            encoding.place(&piece, width, left, alphabet)?;
        }
        Ok(encoding)
    }

    fn place(
        &mut self,
        piece: &Piece<'_>,
        width: u32,
        shift: u32,
        alphabet: &Alphabet<'_>,
    ) -> Result<(), String> {
        match piece {
            Piece::Fixed { value, .. } => {
                self.mask |= low_bits(width) << shift;
                self.value |= value << shift;
            }
            Piece::Zeros => self.mask |= low_bits(width) << shift,
            Piece::Operand { name, .. } => {
                if self.fields.iter().any(|field| field.name == *name) {
                    return Err(format!("code: '{name}' comes twice"));
                }
                if self.fields.len() == OPERANDS {
                    return Err(format!("code: at most {OPERANDS} operands"));
                }
                let bits = u8::try_from(width).ok().filter(|bits| (1..=64).contains(bits));
                let bits = bits.ok_or_else(|| format!("code: '{name}' has {width} bits; 1 to 64"))?;
                let bytes = alphabet.word_bits.is_none()
                    && width > 8
                    && width.is_multiple_of(8)
                    && shift.is_multiple_of(8);
                let swapped = bytes && alphabet.endian == Endian::Little;
                self.fields.push(Field { name: (*name).to_owned(), shift, bits, swapped });
            }
        }
        Ok(())
    }

    /// Whether `code`, whose highest bit is bit 127, starts with this row's fixed bits.
    pub(crate) fn matches(&self, code: u128) -> bool {
        (code >> (128 - self.bits) ^ self.value) & self.mask == 0
    }

    /// The fixed bits, the highest one bit 127.
    pub(crate) fn aligned(&self) -> (u128, u128) {
        (self.mask << (128 - self.bits), self.value << (128 - self.bits))
    }

    /// The number in a field of `code`, whose highest bit is bit 127.
    pub(crate) fn extract(&self, code: u128, field: &Field) -> u64 {
        let value = (code >> (128 - self.bits) >> field.shift & low_bits(u32::from(field.bits))) as u64;
        field.reorder(value)
    }

    /// The instruction with these numbers in its fields, its lowest bit bit 0.
    pub(crate) fn insert(&self, values: &[u64]) -> u128 {
        self.fields.iter().zip(values).fold(self.value, |code, (field, value)| {
            code | (u128::from(field.reorder(*value)) & low_bits(u32::from(field.bits))) << field.shift
        })
    }
}

impl Field {
    fn reorder(&self, value: u64) -> u64 {
        if self.swapped { value.swap_bytes() >> (64 - u32::from(self.bits)) } else { value }
    }
}

/// So many ones, at most 128.
fn low_bits(bits: u32) -> u128 {
    if bits == 0 { 0 } else { u128::MAX >> (128 - bits.min(128)) }
}

impl Piece<'_> {
    fn known_bits(&self) -> u32 {
        match self {
            Self::Fixed { bits, .. } => *bits,
            Self::Zeros => 0,
            Self::Operand { bits, .. } => bits.unwrap_or(0),
        }
    }

    fn is_open(&self) -> bool {
        matches!(self, Self::Zeros | Self::Operand { bits: None, .. })
    }
}

impl Alphabet<'_> {
    fn piece<'c>(&self, word: &'c str) -> Result<Piece<'c>, String> {
        if let Some(form) = self.operands.get(word) {
            return Ok(Piece::Operand { name: word, bits: form.bits.map(u32::from) });
        }
        if word == "0..." {
            return Ok(Piece::Zeros);
        }
        let digits = self.opcodes.get(word).map_or(word, String::as_str);
        fixed(digits).ok_or_else(|| {
            format!(
                "code: '{word}' is no operand, no opcode, and no digits (0 to 9, A to F, or bits after 0b)"
            )
        })
    }
}

/// Fixed digits. Letters are capitals: small ones belong to names.
fn fixed<'c>(digits: &str) -> Option<Piece<'c>> {
    let (text, radix, each) = match digits.strip_prefix("0b") {
        Some(bits) => (bits, 2, 1),
        None => (digits, 16, 4),
    };
    let valid = !text.is_empty()
        && text.len() <= 32
        && text.chars().all(|digit| digit.is_digit(radix) && !digit.is_ascii_lowercase());
    let value = u128::from_str_radix(text, radix).ok().filter(|_| valid)?;
    Some(Piece::Fixed { value, bits: text.len() as u32 * each })
}
