//! What an instruction looks like to the table of handlers, and how its operands go into an operation's
//! fields.

use bitflags::bitflags;
use pentimento_decoder::{AddressSize, Instruction, MemoryOperand, Operand, OperandSize, Prefixes, Register};
use pentimento_registers::{Gpr, SegmentRegister};

use crate::arena::{GONE, Op};

bitflags! {
    /// Kinds of operands. An operand is of exactly one kind; a row of the table names a set of them.
    ///
    /// Memory is what an address of 32 bits reaches in a flat segment, by its size.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) struct Kinds: u32 {
        /// There is no such operand.
        const NONE = 1 << 0;
        const R8 = 1 << 1;
        const R16 = 1 << 2;
        /// A doubleword register other than the first operand.
        const OTHER32 = 1 << 3;
        /// The doubleword register that the first operand is, too.
        const SAME32 = 1 << 4;
        const R32 = Self::OTHER32.bits() | Self::SAME32.bits();
        const M8 = 1 << 5;
        const M16 = 1 << 6;
        const M32 = 1 << 7;
        const M64 = 1 << 8;
        const M80 = 1 << 9;
        const M128 = 1 << 10;
        /// Memory of no size or of another one.
        const MX = 1 << 11;
        /// Memory of four bytes in the segment of FS or GS.
        const T32 = 1 << 12;
        /// An immediate whose low five bits are zero: a shift by it does nothing.
        const ZERO = 1 << 13;
        /// Any other immediate.
        const COUNT = 1 << 14;
        const I = Self::ZERO.bits() | Self::COUNT.bits();
        /// A branch's displacement.
        const REL = 1 << 15;
        const ST0 = 1 << 16;
        /// ST(1) to ST(7).
        const STI = 1 << 17;
        const ST = Self::ST0.bits() | Self::STI.bits();
        const MM = 1 << 18;
        /// An XMM register other than the first operand.
        const OTHER_XMM = 1 << 19;
        /// The XMM register that the first operand is, too.
        const SAME_XMM = 1 << 20;
        const XMM = Self::OTHER_XMM.bits() | Self::SAME_XMM.bits();
        /// A segment register.
        const SREG = 1 << 21;
        /// What no row knows: segments with bases, addresses of 16 bits, control registers...
        const OTHER = 1 << 22;
        /// A byte of memory in the segment of FS or GS.
        const T8 = 1 << 23;
    }
}

bitflags! {
    /// What rows may ask besides kinds of operands: the operand size; the addressing form of the operand
    /// in memory, which counts as based where there is none; and the prefixes that repeat.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) struct Traits: u16 {
        const WORD = 1 << 0;
        const DWORD = 1 << 1;
        const BASED = 1 << 2;
        const INDEXED = 1 << 3;
        const SCALED = 1 << 4;
        const ABSOLUTE = 1 << 5;
        /// No prefix.
        const ONCE = 1 << 6;
        /// F3h.
        const REP = 1 << 7;
        /// F2h.
        const REPNE = 1 << 8;
        const REPEATS = Self::ONCE.bits() | Self::REP.bits() | Self::REPNE.bits();
        const SIZES = Self::WORD.bits() | Self::DWORD.bits();
        const MODES =
            Self::BASED.bits() | Self::INDEXED.bits() | Self::SCALED.bits() | Self::ABSOLUTE.bits();
    }
}

/// What an instruction looks like: a single kind an operand, a single size, a single addressing form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Signature {
    pub(crate) kinds: [Kinds; 3],
    pub(crate) traits: Traits,
}

impl Signature {
    /// The addressing form of the operand in memory.
    pub(crate) const fn mode(&self) -> Traits {
        self.traits.intersection(Traits::MODES)
    }

    /// Bytes that operand `index` is wide, if it is a general register or memory of 1, 2 or 4 bytes.
    pub(crate) const fn bytes(&self, index: usize) -> u16 {
        const BYTES: Kinds = Kinds::R8.union(Kinds::M8);
        const WORDS: Kinds = Kinds::R16.union(Kinds::M16);
        match self.kinds[index] {
            kind if BYTES.contains(kind) => 1,
            kind if WORDS.contains(kind) => 2,
            _ => 4,
        }
    }
}

/// The place of byte register `number` in the register file as the host has it in memory.
fn byte_place(number: u8) -> u8 {
    let place = (number & 3) << 2 | number >> 2;
    if cfg!(target_endian = "big") { place ^ 3 } else { place }
}

/// Puts a register into [`Op::first`].
fn set_first(op: &mut Op, number: u8) {
    op.first = Gpr::from_number(number);
    op.first_byte = byte_place(number);
}

/// Puts a register into [`Op::second`].
fn set_second(op: &mut Op, number: u8) {
    op.second = Gpr::from_number(number);
    op.second_byte = byte_place(number);
}

/// Puts an address into `op`; says of what kind the operand is, and its addressing form.
pub(crate) fn set_address(op: &mut Op, operand: &MemoryOperand) -> (Kinds, Traits) {
    if operand.address_size != AddressSize::Dword || operand.segment == SegmentRegister::Cs {
        return (Kinds::OTHER, Traits::BASED);
    }
    op.displacement = operand.displacement;
    op.second = operand.base.unwrap_or(Gpr::Eax);
    op.index = operand.index.unwrap_or(Gpr::Eax);
    op.base_shift = if operand.base.is_some() { 0 } else { GONE };
    op.scale = if operand.index.is_some() { operand.scale.trailing_zeros() as u8 } else { GONE };
    let mode = match (operand.base, operand.index) {
        (Some(_), None) => Traits::BASED,
        (Some(_), Some(_)) => Traits::INDEXED,
        (None, Some(_)) => Traits::SCALED,
        (None, None) => Traits::ABSOLUTE,
    };
    if matches!(operand.segment, SegmentRegister::Fs | SegmentRegister::Gs) {
        op.segment = operand.segment as u8;
        let kind = match operand.size {
            1 => Kinds::T8,
            4 => Kinds::T32,
            _ => Kinds::OTHER,
        };
        return (kind, mode);
    }
    let kind = match operand.size {
        1 => Kinds::M8,
        2 => Kinds::M16,
        4 => Kinds::M32,
        8 => Kinds::M64,
        10 => Kinds::M80,
        16 => Kinds::M128,
        _ => Kinds::MX,
    };
    (kind, mode)
}

/// The kind of a register and its number; `same` if the first operand is that register, too.
fn register_kind(register: Register, same: bool) -> (Kinds, u8) {
    match register {
        Register::Gpr8(register) => (Kinds::R8, register.number()),
        Register::Gpr16(register) => (Kinds::R16, register.number()),
        Register::Gpr32(register) => (if same { Kinds::SAME32 } else { Kinds::OTHER32 }, register.number()),
        Register::Xmm(number) => (if same { Kinds::SAME_XMM } else { Kinds::OTHER_XMM }, number),
        Register::Mmx(number) => (Kinds::MM, number),
        Register::St(number) => (if number == 0 { Kinds::ST0 } else { Kinds::STI }, number),
        Register::Segment(register) => (Kinds::SREG, register as u8),
        Register::Control(_) | Register::Debug(_) => (Kinds::OTHER, 0),
    }
}

/// Puts the operands into `op` and says what they are: of the first two, a register goes to the first
/// field that is free, and one beside memory always to [`Op::first`].
pub(crate) fn signature(op: &mut Op, instruction: &Instruction) -> Signature {
    let mut kinds = [Kinds::NONE; 3];
    let mut mode = Traits::BASED;
    let mut registers = 0;
    for (index, kind) in kinds.iter_mut().enumerate() {
        *kind = match instruction.operand(index) {
            None => Kinds::NONE,
            Some(Operand::Immediate { value, .. }) => {
                op.immediate = value;
                if value & 31 == 0 { Kinds::ZERO } else { Kinds::COUNT }
            }
            Some(Operand::Memory(memory)) => {
                let (kind, its_mode) = set_address(op, &memory);
                mode = its_mode;
                kind
            }
            Some(Operand::Register(register)) => {
                let same = index == 1 && instruction.operand(0) == Some(Operand::Register(register));
                let (kind, number) = register_kind(register, same);
                // A third one is implied, or an immediate's place.
                if index < 2 {
                    registers += 1;
                    if registers == 1 { set_first(op, number) } else { set_second(op, number) }
                }
                kind
            }
            // With addresses of 16 bits LOOP counts in CX.
            Some(Operand::Relative(_)) if instruction.address_size() == AddressSize::Word => Kinds::OTHER,
            Some(Operand::Relative(_)) => Kinds::REL,
            Some(Operand::Far { .. }) => Kinds::OTHER,
        };
    }
    let size = match instruction.operand_size() {
        OperandSize::Word => Traits::WORD,
        OperandSize::Dword => Traits::DWORD,
    };
    let repeat = match instruction.prefixes() {
        prefixes if prefixes.contains(Prefixes::REP) => Traits::REP,
        prefixes if prefixes.contains(Prefixes::REPNE) => Traits::REPNE,
        _ => Traits::ONCE,
    };
    Signature { kinds, traits: mode.union(size).union(repeat) }
}
