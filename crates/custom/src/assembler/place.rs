//! Where in a source something stands, and errors that know it.

use crate::AssemblyError;
use crate::tokens::{Token, tokens};

/// The place of a statement or an operand: its line, and its first byte there, both from 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SourcePlace {
    pub(super) line: u32,
    pub(super) at: u32,
}

impl SourcePlace {
    /// The place of a token on the same line.
    pub(super) fn beside(self, token: &Token) -> Self {
        Self { at: token.at as u32, ..self }
    }

    pub(super) fn error(self, reason: impl Into<String>) -> Misplaced {
        Misplaced { place: self, reason: reason.into() }
    }
}

/// An error whose column nobody has counted yet: that takes as long as its line.
#[derive(Debug)]
pub(super) struct Misplaced {
    place: SourcePlace,
    reason: String,
}

impl Misplaced {
    pub(super) fn locate(self, lines: &[&str]) -> AssemblyError {
        let line = lines.get(self.place.line as usize).copied().unwrap_or_default();
        let before = line.get(..self.place.at as usize).unwrap_or(line);
        AssemblyError::new(self.place.line as usize + 1, before.chars().count() + 1, self.reason)
    }
}

/// The tokens of the part of a line from byte `first` on, placed within the line.
pub(super) fn tokens_of(text: &str, line: u32, first: usize) -> Result<Vec<Token>, Misplaced> {
    let mut tokens =
        tokens(text).map_err(|bad| SourcePlace { line, at: (first + bad.at) as u32 }.error(bad.reason))?;
    for token in &mut tokens {
        token.at += first;
    }
    Ok(tokens)
}

/// A statement: its tokens, and the bytes of its line that they come from.
pub(super) struct Statement<'t> {
    pub(super) line: u32,
    pub(super) tokens: &'t [Token],
    pub(super) end: usize,
}

impl Statement<'_> {
    pub(super) fn place(&self, at: usize) -> SourcePlace {
        SourcePlace { line: self.line, at: at as u32 }
    }
}
