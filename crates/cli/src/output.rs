//! What the command itself prints. Nothing here can panic: whoever is to read it may be gone, and a
//! disk may be full.

use std::fmt;
use std::io::{self, BufWriter, Write};

use crate::failure::Failure;

/// Standard output, whose errors say that they are its own.
pub(crate) struct Printer(BufWriter<io::StdoutLock<'static>>);

impl Write for Printer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(explained)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(explained)
    }
}

fn explained(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write standard output: {}", crate::failure::reason(&error)))
}

/// Prints on standard output what `print` writes. A reader that has gone, such as `head`, has seen
/// enough: that is no failure.
///
/// # Errors
/// What `print` gives, or standard output cannot be written, because the disk is full.
pub(crate) fn print(print: impl FnOnce(&mut Printer) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut out = Printer(BufWriter::new(io::stdout().lock()));
    let printed = print(&mut out).and_then(|()| out.flush().map_err(Failure::from));
    // What is left of a failed attempt is not tried again.
    let _ = out.0.into_parts();
    match printed {
        Err(failure) if failure.is_broken_pipe() => Ok(()),
        other => other,
    }
}

/// Prints a text on standard output, as [`print()`] does.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn print_text(text: impl AsRef<[u8]>) -> Result<(), Failure> {
    print(|out| out.write_all(text.as_ref()).map_err(Failure::from))
}

/// Says a line on standard error, in one piece. Where it cannot be written it is lost: there is no
/// place left to complain, and what is going on must not break for it.
pub(crate) fn say(line: impl fmt::Display) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
