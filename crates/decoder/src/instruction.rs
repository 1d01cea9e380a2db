//! A decoded instruction.

use core::fmt;

use bitflags::bitflags;
use pentimento_registers::{Condition, Eflags, SegmentRegister};

use crate::address::AddressForm;
use crate::row::{Feature, Row};
use crate::{OperandCode, Operation, lookup};

/// Operand size of instructions that come in 16 and 32 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OperandSize {
    /// 16 bits (66h in a 32-bit segment).
    Word,
    /// 32 bits.
    Dword,
}

/// ImmediateWidth of effective addresses.
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
#[non_exhaustive]
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
///
/// Three words rather than a field for each part: what was written in parts and is read as a whole
/// stalls the processor, and instructions are copied as soon as they are decoded.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Instruction {
    /// The displacement, and in the high half the immediate.
    values: u64,
    /// The address form in the low half, then 16 bits each of row number and second immediate.
    form: u64,
    /// A byte each: length, prefixes, opcode, ModRM; as wide as the other words are.
    head: u64,
}

/// What an [`Instruction`] is made of.
pub(crate) struct Parts {
    pub(crate) displacement: u32,
    pub(crate) immediate: u32,
    pub(crate) address: AddressForm,
    pub(crate) row: u16,
    /// The selector of a far pointer, or the second immediate.
    pub(crate) second_immediate: u16,
    pub(crate) length: u8,
    pub(crate) prefixes: Prefixes,
    pub(crate) opcode: u8,
    pub(crate) modrm: u8,
}

impl fmt::Debug for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instruction")
            .field("operation", &self.operation())
            .field("length", &self.length())
            .field("prefixes", &self.prefixes())
            .field("opcode", &self.opcode())
            .field("modrm", &self.modrm())
            .field("address", &self.address())
            .field("displacement", &self.displacement())
            .field("immediate", &self.immediate())
            .field("second_immediate", &self.second_immediate())
            .field("row", &self.row_index())
            .finish()
    }
}

impl Instruction {
    #[inline(always)]
    pub(crate) const fn new(parts: Parts) -> Self {
        Self {
            values: parts.displacement as u64 | (parts.immediate as u64) << 32,
            form: parts.address.bits() as u64
                | (parts.row as u64) << 32
                | (parts.second_immediate as u64) << 48,
            head: parts.length as u64
                | (parts.prefixes.bits() as u64) << 8
                | (parts.opcode as u64) << 16
                | (parts.modrm as u64) << 24,
        }
    }

    #[inline(always)]
    pub(crate) const fn displacement(&self) -> u32 {
        self.values as u32
    }

    #[inline(always)]
    pub(crate) const fn address(&self) -> AddressForm {
        AddressForm::from_bits(self.form as u32)
    }

    #[inline(always)]
    pub(crate) const fn row_number(&self) -> u16 {
        (self.form >> 32) as u16
    }

    #[inline(always)]
    pub(crate) const fn second_immediate(&self) -> u16 {
        (self.form >> 48) as u16
    }

    /// The opcode byte, and above it ModRM.
    #[inline(always)]
    pub(crate) const fn opcode_and_modrm(&self) -> u32 {
        (self.head >> 16) as u32
    }

    /// The operation, which says what it does.
    #[inline(always)]
    #[must_use]
    pub const fn operation(&self) -> Operation {
        lookup::shape(self.row_number()).operation
    }

    /// Bytes it occupies, 1 to 15.
    #[inline(always)]
    #[must_use]
    pub const fn length(&self) -> u8 {
        self.head as u8
    }

    /// The prefixes that still mean something.
    #[inline(always)]
    #[must_use]
    pub const fn prefixes(&self) -> Prefixes {
        Prefixes::from_bits_retain((self.head >> 8) as u8)
    }

    /// The last opcode byte.
    #[inline(always)]
    #[must_use]
    pub const fn opcode(&self) -> u8 {
        (self.head >> 16) as u8
    }

    /// The ModRM byte, or 0 where the instruction has none.
    #[inline(always)]
    #[must_use]
    pub const fn modrm(&self) -> u8 {
        (self.head >> 24) as u8
    }

    /// The condition of Jcc, SETcc and CMOVcc: the low four bits of the opcode.
    #[inline(always)]
    #[must_use]
    pub const fn condition(&self) -> Condition {
        Condition::from_number(self.opcode())
    }

    /// 16 or 32 bits, as 66h says; string, stack, shift and conversion operations go by it.
    #[inline(always)]
    #[must_use]
    pub fn operand_size(&self) -> OperandSize {
        if self.prefixes().contains(Prefixes::OPERAND_SIZE) { OperandSize::Word } else { OperandSize::Dword }
    }

    /// 16 or 32 bits, as 67h says.
    #[inline(always)]
    #[must_use]
    pub fn address_size(&self) -> AddressSize {
        if self.prefixes().contains(Prefixes::ADDRESS_SIZE) { AddressSize::Word } else { AddressSize::Dword }
    }

    /// The segment that memory operands go through: the override, or the default that the addressing form implies.
    ///
    /// `ES:EDI` of string instructions is never overridden; its operand says so.
    #[inline(always)]
    #[must_use]
    pub const fn segment(&self) -> SegmentRegister {
        self.address().segment()
    }

    /// The table row that the instruction is encoded by.
    #[inline(always)]
    #[must_use]
    pub fn row(&self) -> &'static Row {
        lookup::row(self.row_number())
    }

    /// The position of [`Self::row`] in [`rows`](crate::rows): a dense number to index tables by.
    #[inline(always)]
    #[must_use]
    pub const fn row_index(&self) -> usize {
        self.row_number() as usize
    }

    /// Explicit operands in Intel order, 0 to 4.
    #[must_use]
    #[inline(always)]
    pub fn operand_count(&self) -> usize {
        lookup::shape(self.row_number()).count as usize
    }

    /// The CPUID feature that it needs.
    #[must_use]
    pub fn feature(&self) -> Feature {
        self.row().feature()
    }

    /// Whether it has a LOCK prefix.
    #[inline(always)]
    #[must_use]
    pub const fn is_lock(&self) -> bool {
        self.prefixes().contains(Prefixes::LOCK)
    }

    /// The immediate or branch displacement, sign-extended where the row says so; 0 if there is none.
    #[inline(always)]
    #[must_use]
    pub const fn immediate(&self) -> u32 {
        (self.values >> 32) as u32
    }

    /// The condition that it tests, if it is Jcc, SETcc or CMOVcc.
    const fn tested(&self) -> Option<Condition> {
        match self.operation() {
            Operation::Jcc | Operation::Setcc | Operation::Cmovcc => Some(self.condition()),
            _ => None,
        }
    }

    /// Flags whose old value matters to what the instruction does.
    #[must_use]
    pub fn flags_read(&self) -> Eflags {
        match self.tested() {
            Some(condition) => condition.flags_read(),
            None if self.count() == Some(0) => Eflags::empty(),
            None => self.row().flags().read,
        }
    }

    /// Flags that receive a defined value.
    ///
    /// A shift or rotate by CL may also leave all flags alone, when the count is zero
    /// ([`Self::flags_depend_on_count`]), and so may a repeated string comparison.
    #[must_use]
    pub fn flags_written(&self) -> Eflags {
        let written = self.row().flags().written;
        match self.count() {
            Some(0) => Eflags::empty(),
            Some(1) => written,
            None if !self.is_shift() => written,
            _ => written.difference(Eflags::OF),
        }
    }

    /// Flags that the SDM leaves undefined afterwards.
    #[must_use]
    pub fn flags_undefined(&self) -> Eflags {
        let undefined = self.row().flags().undefined;
        match self.count() {
            Some(0) => Eflags::empty(),
            Some(1) => undefined,
            None if !self.is_shift() => undefined,
            _ => undefined.union(Eflags::OF),
        }
    }

    /// Whether it shifts or rotates by CL, so that the count in CL decides what happens to flags:
    /// a count of zero keeps them all, and of 1 defines OF too, which counts as undefined otherwise.
    #[must_use]
    pub fn flags_depend_on_count(&self) -> bool {
        self.is_shift() && self.row().operands().last() == Some(&OperandCode::Cl)
    }

    const fn is_shift(&self) -> bool {
        use Operation as O;
        matches!(
            self.operation(),
            O::Rol | O::Ror | O::Rcl | O::Rcr | O::Shl | O::Shr | O::Sar | O::Shld | O::Shrd
        )
    }

    /// The shift or rotate count, as far as the encoding tells it.
    fn count(&self) -> Option<u32> {
        if !self.is_shift() {
            return None;
        }
        match self.row().operands().last() {
            Some(OperandCode::Imm8) => Some(self.immediate() & 31),
            Some(OperandCode::One) => Some(1),
            _ => None,
        }
    }
}
