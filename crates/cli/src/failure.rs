//! What the command says and returns when it cannot do what was asked.

use std::path::Path;
use std::{fmt, io};

/// Exit code of failures of our own.
pub(crate) const OWN: u8 = 125;
/// Exit code when the program exists but cannot be executed.
pub(crate) const NOT_EXECUTABLE: u8 = 126;
/// Exit code when the program does not exist.
pub(crate) const NOT_FOUND: u8 = 127;

/// One line for standard error, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    message: String,
    broken_pipe: bool,
}

impl Failure {
    /// A failure with exit code 125.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { code: OWN, message: message.into(), broken_pipe: false }
    }

    /// Whether nobody reads our output any more.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        self.broken_pipe
    }

    /// The same failure with another exit code.
    pub(crate) fn with_code(self, code: u8) -> Self {
        Self { code, ..self }
    }
}

/// A file that cannot be read, and what to do about it.
pub(crate) fn unreadable(file: &Path, error: &io::Error) -> Failure {
    let advice = match error.kind() {
        io::ErrorKind::NotFound => "; there is no such file",
        io::ErrorKind::IsADirectory => "; give a file",
        io::ErrorKind::PermissionDenied => "; 'ls -l' shows who may read it",
        _ => "",
    };
    Failure::new(format!("cannot read {}: {}{advice}", file.display(), reason(error)))
}

/// An error of the host in words, without the number that Rust appends.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        let broken_pipe = error.kind() == std::io::ErrorKind::BrokenPipe;
        Self { broken_pipe, ..Self::new(error.to_string()) }
    }
}

/// What is wrong with the command line, in one line: of what clap says, the first paragraph and the
/// names in the second, without the usage.
pub(crate) fn one_line(message: &str) -> String {
    let message = message.trim_start_matches("error: ");
    let body = message.split("\n\nUsage:").next().unwrap_or(message);
    let body = body.split("\n\nFor more information").next().unwrap_or(body);
    let words: Vec<&str> = body.split_whitespace().collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn one_line_keeps_what_matters() {
        let message = "error: invalid value 'x' for '--net <NET>'\n  [possible values: none, host]\n\nFor more information, try '--help'.\n";
        assert_eq!(one_line(message), "invalid value 'x' for '--net <NET>' [possible values: none, host]");
        let message = "error: the following required arguments were not provided:\n  <PROGRAM>\n\nUsage: pentimento run <PROGRAM>\n";
        assert_eq!(one_line(message), "the following required arguments were not provided: <PROGRAM>");
    }
}
