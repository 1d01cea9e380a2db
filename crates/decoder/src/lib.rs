//! IA-32 machine code to instructions, and instructions to Intel-syntax text.
//!
//! [`decode`] reads a byte slice and nothing else: no memory, no state. It covers the whole
//! user-visible encoding space; whether an instruction may be executed is for
//! `pentimento-execute` to say.
#![no_std]
#![forbid(unsafe_code)]

mod instruction;
mod operand;
mod operation;

pub use instruction::{
    AddressSize, DecodeError, DecodeErrorKind, Instruction, OperandSize, Prefixes, decode,
};
pub use operand::{MemoryOperand, Operand, Register};
pub use operation::Operation;
