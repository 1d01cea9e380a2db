//! IA-32 machine code to instructions, and instructions to Intel-syntax text.
//!
//! [`decode`] reads a byte slice and nothing else: no memory, no state. It covers the whole
//! user-visible encoding space; whether an instruction may be executed is for
//! `pentimento-execute` to say.
//!
//! ```
//! use pentimento_decoder::{Operand, Operation, Register, decode, listing};
//! use pentimento_registers::Gpr;
//!
//! let code = [0x83, 0xc0, 0x02, 0x75, 0xfb]; // add eax,2; jne to the start
//! let add = decode(&code)?;
//! assert_eq!(add.operation(), Operation::Add);
//! assert_eq!(add.operand(0), Some(Operand::Register(Register::Gpr32(Gpr::Eax))));
//! let texts: Vec<String> = listing(&code, 0x1000).map(|line| line.to_string()).collect();
//! assert_eq!(texts, ["add eax,2", "jne short 00001000h"]);
//! # Ok::<(), pentimento_decoder::DecodeError>(())
//! ```
//!
//! What there is to decode stands in tables that read like the opcode map of the SDM, and
//! [`rows`] shows them to whoever wants to enumerate encodings.
//!
//! Operands are the explicit ones of the SDM's syntax line, in Intel order. The memory operands of
//! string instructions, XLAT and MASKMOVQ count as explicit, because a segment override can change
//! them; registers that an opcode implies without the syntax naming them (EDX of MUL, the stack
//! pointer of PUSH) do not.
#![no_std]
#![forbid(unsafe_code)]

mod address;
mod decode;
mod effects;
mod extraction;
mod format;
mod instruction;
mod listing;
mod lookup;
mod operand;
mod operand_code;
mod operation;
mod row;
mod rows;

pub use decode::decode;
pub use effects::{Effects, MemoryEffect, RegisterEffect, Usage};
pub use format::{FormatOptions, Formatter, HexStyle, Symbol, Text};
pub use instruction::{AddressSize, DecodeError, DecodeErrorKind, Instruction, OperandSize, Prefixes};
pub use listing::{Listed, Listing, listing};
pub use operand::{MemoryOperand, Operand, Register};
pub use operand_code::OperandCode;
pub use operation::Operation;
pub use row::{Feature, FlagEffects, Form, MandatoryPrefix, Map, Row};

/// Every encoding there is, in the order of the opcode maps.
#[must_use]
pub fn rows() -> &'static [Row] {
    &rows::ROWS
}
