//! Programs: the bytes that go into memory, and their form as hexadecimal digits.

use crate::operation::mask;
use crate::tokens::number;
use crate::{AssemblyError, InstructionSet};

/// A program of some instruction set, as it lies in memory from address 0.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Program {
    bytes: Vec<u8>,
}

impl Program {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// The bytes. A word takes 1, 2, 4 or 8 of them, as many as hold it, in the set's order.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The pieces of a text of digits, with line and column.
fn pieces(text: &str) -> impl Iterator<Item = (usize, usize, &str)> {
    text.lines().enumerate().flat_map(|(line, content)| {
        let comment = content.find('#').into_iter().chain(content.find("//")).min().unwrap_or(content.len());
        let content = &content[..comment];
        let separator = |character: char| character.is_whitespace() || matches!(character, ',' | ';');
        content.split(separator).filter(|piece| !piece.is_empty()).map(move |piece| {
            let before = piece.as_ptr() as usize - content.as_ptr() as usize;
            let column = content.get(..before).map_or(0, |before| before.chars().count());
            (line + 1, column + 1, piece)
        })
    })
}

fn without_prefix(piece: &str) -> Option<&str> {
    piece.strip_prefix("0x").or_else(|| piece.strip_prefix("0X"))
}

impl InstructionSet {
    /// Whether a text is digits as [`Self::program`] takes them, and cannot be meant as assembly: every
    /// piece starts with `0x`, or is a whole word, or whole bytes.
    #[must_use]
    pub fn looks_like_digits(&self, text: &str) -> bool {
        let plain = |digits: &str| digits.chars().all(|digit| digit.is_ascii_hexdigit());
        let whole = |digits: &str| match self.word_digits() {
            Some(word) => digits.len() == usize::from(word),
            None => digits.len().is_multiple_of(2),
        };
        let mut pieces = pieces(text).peekable();
        pieces.peek().is_some()
            && pieces.all(|(_, _, piece)| match without_prefix(piece) {
                Some(digits) => plain(digits),
                None => plain(piece) && whole(piece),
            })
    }

    /// Reads a program from hexadecimal digits: words, or bytes two digits each, with or without `0x`,
    /// between blanks, commas or semicolons. Comments are those of assembly.
    ///
    /// # Errors
    /// The first piece that is no such number.
    pub fn program(&self, text: &str) -> Result<Program, AssemblyError> {
        let mut bytes = Vec::new();
        for (line, column, piece) in pieces(text) {
            let bad = |reason: String| AssemblyError::new(line, column, reason);
            let digits = without_prefix(piece).unwrap_or(piece);
            let Some(word) = self.word_digits() else {
                bytes.extend(
                    byte_pairs(digits)
                        .ok_or_else(|| bad(format!("'{piece}': bytes take two hexadecimal digits each")))?,
                );
                continue;
            };
            let value = number(&format!("0x{digits}"))
                .map_err(|_| bad(format!("'{piece}' is no hexadecimal word")))?;
            if value > mask(self.inner.unit_bits()) {
                return Err(bad(format!("{piece} has more than the {word} digits of a word")));
            }
            bytes.extend(self.inner.number_bytes(value, self.inner.unit as usize));
        }
        Ok(Program::new(bytes))
    }

    /// Takes a program as it lies in memory.
    ///
    /// # Errors
    /// For a set with words: bytes that are no whole words, or a word with more digits than words have. The
    /// line is 1, the column the number of the byte from 1.
    pub fn program_from_bytes(&self, bytes: Vec<u8>) -> Result<Program, AssemblyError> {
        let unit = self.inner.unit as usize;
        for (number, chunk) in bytes.chunks(unit).enumerate().filter(|_| self.inner.word.is_some()) {
            let column = number * unit + 1;
            match self.inner.word_at(chunk) {
                None => return Err(AssemblyError::new(1, column, format!("a word takes {unit} bytes"))),
                Some(word) if word > mask(self.inner.unit_bits()) => {
                    return Err(AssemblyError::new(1, column, format!("{word:#x} is no word of this set")));
                }
                Some(_) => {}
            }
        }
        Ok(Program::new(bytes))
    }

    /// The digits of a program, eight words or sixteen bytes a line: what [`Self::program`] reads.
    #[must_use]
    pub fn digits(&self, program: &Program) -> String {
        let (unit, of_a_line) = (self.inner.unit as usize, if self.inner.word.is_some() { 8 } else { 16 });
        let mut text = String::new();
        for line in program.bytes().chunks(unit * of_a_line) {
            let shown: Vec<String> = line.chunks(unit).map(|code| self.code_digits(code)).collect();
            text.push_str(&shown.join(" "));
            text.push('\n');
        }
        text
    }

    /// The digits of one instruction or piece of data.
    pub(crate) fn code_digits(&self, bytes: &[u8]) -> String {
        match self.inner.word.zip(self.inner.word_at(bytes)) {
            Some((digits, word)) => format!("0x{word:0width$x}", width = usize::from(digits)),
            None => bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "),
        }
    }
}

fn byte_pairs(digits: &str) -> Option<Vec<u8>> {
    let values: Option<Vec<u32>> = digits.chars().map(|digit| digit.to_digit(16)).collect();
    let values = values.filter(|values| values.len().is_multiple_of(2) && !values.is_empty())?;
    Some(values.chunks_exact(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect())
}
