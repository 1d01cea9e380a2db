//! Why a program faults.

use std::fmt;
use std::sync::Arc;

/// What an instruction could not do.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Cause {
    /// No row encodes this.
    UnknownInstruction {
        /// The word, or the first byte.
        code: u64,
        /// Its hexadecimal digits.
        digits: u8,
    },
    /// A field that names a register holds a number that none has.
    NoSuchRegister {
        /// The number, as the effect gave it.
        number: u64,
    },
    /// A push onto a stack that holds as much as it may.
    StackFull {
        /// The most entries.
        entries: u32,
    },
    /// A pop from an empty stack.
    StackEmpty,
    /// A status above the highest one.
    BadStatus {
        /// The status.
        status: u64,
        /// The highest.
        most: u8,
    },
    /// A division by zero.
    DivisionByZero,
    /// An access to memory that is not there.
    NoMemory {
        /// The address, in words where there are words, else in bytes.
        address: u64,
    },
    /// Execution outside the program.
    OutsideProgram,
    /// The limit on host memory, or the host's memory itself, is used up.
    OutOfMemory,
    /// The host takes no more output.
    Output {
        /// The kind of the host's error.
        kind: std::io::ErrorKind,
        /// What it says.
        reason: Arc<str>,
    },
    /// What the instruction set or an effect in Rust says.
    Other {
        /// The reason.
        reason: Arc<str>,
    },
}

impl Cause {
    /// A cause in words of one's own.
    pub fn other(reason: impl Into<Arc<str>>) -> Self {
        Self::Other { reason: reason.into() }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownInstruction { code, digits } => {
                write!(f, "unknown instruction 0x{code:0width$x}", width = usize::from(*digits))
            }
            Self::NoSuchRegister { number } => write!(f, "no register has the number {number}"),
            Self::StackFull { entries } => write!(f, "push on a full stack, which holds {entries} entries"),
            Self::StackEmpty => f.write_str("pop from an empty stack"),
            Self::BadStatus { status, most } => write!(f, "exit status {status} is not within 0 to {most}"),
            Self::DivisionByZero => f.write_str("division by zero"),
            Self::NoMemory { address } => write!(f, "no memory at {address:#x}"),
            Self::OutsideProgram => f.write_str("this is outside the program"),
            Self::OutOfMemory => f.write_str("out of memory"),
            Self::Output { reason, .. } => write!(f, "output failed: {reason}"),
            Self::Other { reason } => f.write_str(reason),
        }
    }
}

impl std::error::Error for Cause {}
