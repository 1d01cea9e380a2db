//! Why a source is refused.

/// A source that does not assemble: where, and why.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}, column {column}: {reason}")]
pub struct SourceError {
    /// The line, from 1.
    pub line: usize,
    /// The character of the line, from 1.
    pub column: usize,
    /// What is wrong, in lower case and without a full stop.
    pub reason: String,
}

/// What is wrong at a column of a line: a [`SourceError`] without the line's number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Mistake {
    /// Characters before it.
    pub(crate) column: usize,
    pub(crate) reason: String,
}

impl Mistake {
    pub(crate) fn new(column: usize, reason: impl Into<String>) -> Self {
        Self { column, reason: reason.into() }
    }

    pub(crate) fn on_line(self, line: usize) -> SourceError {
        SourceError { line, column: self.column + 1, reason: self.reason }
    }
}
