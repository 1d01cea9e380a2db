//! A decoded instruction.

use core::fmt;

use bitflags::bitflags;
use pentimento_registers::{Condition, SegmentRegister};

use crate::{Operand, Operation};

/// Operand size of instructions that come in 16 and 32 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OperandSize {
    /// 16 bits (66h in a 32-bit segment).
    Word,
    /// 32 bits.
    Dword,
}

/// Width of effective addresses.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AddressSize {
    /// 16 bits (67h in a 32-bit segment).
    Word,
    /// 32 bits.
    Dword,
}

bitflags! {
    /// The prefixes that were present and still mean something: a mandatory 66h, F2h or F3h that
    /// selected the row is not among them.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct Prefixes: u8 {
        /// F0h.
        const LOCK = 1;
        /// F3h: REP or REPE.
        const REP = 2;
        /// F2h: REPNE.
        const REPNE = 4;
        /// 66h.
        const OPERAND_SIZE = 8;
        /// 67h.
        const ADDRESS_SIZE = 16;
        /// 26h, 2Eh, 36h, 3Eh, 64h or 65h.
        const SEGMENT = 32;
    }
}

/// Why bytes are no instruction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DecodeErrorKind {
    /// The slice ended inside the instruction.
    Truncated,
    /// More than 15 bytes: #GP on silicon.
    TooLong,
    /// Undefined opcode, reserved `/digit`, or a memory form where a register is required: #UD.
    Undefined,
    /// LOCK on an instruction that does not allow it: #UD.
    LockNotAllowed,
    /// A VEX-encoded instruction (C4h or C5h), which no CPU model here has: #UD.
    Vex,
    /// An EVEX-encoded instruction (62h): #UD.
    Evex,
    /// An AMD XOP-encoded instruction (8Fh): #UD.
    Xop,
}

/// Bytes that are no instruction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DecodeError {
    /// Offset of the byte that decided it.
    pub offset: u8,
    /// What is wrong.
    pub kind: DecodeErrorKind,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at byte {}", self.kind, self.offset)
    }
}

impl core::error::Error for DecodeError {}

/// A decoded instruction: small, `Copy`, and self-contained.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Instruction {
    operation: Operation,
    length: u8,
    prefixes: Prefixes,
    opcode: u8,
    modrm: u8,
}

/// Decodes the instruction at the start of `bytes` as 32-bit code.
///
/// # Errors
/// What is wrong with the bytes, and at which of them.
pub fn decode(bytes: &[u8]) -> Result<Instruction, DecodeError> {
    let _ = bytes;
    Err(DecodeError { offset: 0, kind: DecodeErrorKind::Truncated })
}

impl Instruction {
    /// What it does.
    #[inline(always)]
    #[must_use]
    pub const fn operation(&self) -> Operation {
        self.operation
    }

    /// Bytes it occupies, 1 to 15.
    #[inline(always)]
    #[must_use]
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// The prefixes that still mean something.
    #[inline(always)]
    #[must_use]
    pub const fn prefixes(&self) -> Prefixes {
        self.prefixes
    }

    /// The last opcode byte.
    #[inline(always)]
    #[must_use]
    pub const fn opcode(&self) -> u8 {
        self.opcode
    }

    /// The ModRM byte, or 0 where the instruction has none.
    #[inline(always)]
    #[must_use]
    pub const fn modrm(&self) -> u8 {
        self.modrm
    }

    /// The condition of Jcc, SETcc and CMOVcc: the low four bits of the opcode.
    #[inline(always)]
    #[must_use]
    pub const fn condition(&self) -> Condition {
        Condition::from_number(self.opcode)
    }

    /// 16 or 32 bits, as 66h says; string, stack, shift and conversion operations go by it.
    #[inline(always)]
    #[must_use]
    pub fn operand_size(&self) -> OperandSize {
        if self.prefixes.contains(Prefixes::OPERAND_SIZE) { OperandSize::Word } else { OperandSize::Dword }
    }

    /// 16 or 32 bits, as 67h says.
    #[inline(always)]
    #[must_use]
    pub fn address_size(&self) -> AddressSize {
        if self.prefixes.contains(Prefixes::ADDRESS_SIZE) { AddressSize::Word } else { AddressSize::Dword }
    }

    /// The segment that memory operands go through: the override, or the default that the addressing form implies.
    #[must_use]
    pub fn segment(&self) -> SegmentRegister {
        SegmentRegister::Ds
    }

    /// Explicit operands in Intel order, 0 to 4.
    #[must_use]
    pub fn operand_count(&self) -> usize {
        0
    }

    /// Operand `index` in Intel order, or `None` past the last.
    #[must_use]
    pub fn operand(&self, index: usize) -> Option<Operand> {
        let _ = index;
        None
    }
}
