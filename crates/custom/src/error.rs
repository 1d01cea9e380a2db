//! Why a description or a source is refused.

use std::fmt;

/// A description that makes no instruction set: what is wrong, and in which part of it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct SetError {
    place: String,
    reason: String,
}

impl SetError {
    pub(crate) fn new(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { place: place.into(), reason: reason.into() }
    }

    /// The part of the description: a key, or the syntax of a row. Empty for a text that is no TOML.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() {
            f.write_str(&self.reason)
        } else {
            write!(f, "{}: {}", self.place, self.reason)
        }
    }
}

/// Text that does not assemble: where, and why.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct AssemblyError {
    /// The line, from 1.
    pub line: usize,
    /// The character of the line, from 1.
    pub column: usize,
    reason: String,
}

impl AssemblyError {
    pub(crate) fn new(line: usize, column: usize, reason: impl Into<String>) -> Self {
        Self { line, column, reason: reason.into() }
    }
}

impl fmt::Display for AssemblyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.reason)
    }
}
