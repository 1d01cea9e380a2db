//! How each operand is taken out of an instruction: a table over operand codes, computed at
//! compile time, so that [`Instruction::operand`](crate::Instruction::operand) loads what it would
//! otherwise have to branch for.

use pentimento_registers::{Gpr, Gpr8, SegmentRegister};

use crate::operand::Register;
use crate::operand_code::OperandCode;
use crate::rows::joined;

/// What kind of operand it is.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum OperandClass {
    /// A register.
    Register,
    /// What ModRM, SIB and displacement address.
    Memory,
    /// The first immediate.
    Immediate,
    /// A branch displacement.
    Relative,
    /// None of these: the operand code tells.
    Rare,
}

/// How to take out an operand under one operand size.
#[derive(Clone, Copy)]
pub(crate) struct Extraction {
    /// The class with a memory form of ModRM, and with a register form or without ModRM.
    classes: [OperandClass; 2],
    /// Bytes of memory or immediate.
    pub(crate) size: u16,
    /// Where in [`REGISTERS`] the register file starts, or the register itself.
    file: u8,
    /// Where in opcode and ModRM, joined to 16 bits, the number of the register is.
    shift: u8,
    /// 7 if there is such a number, else 0.
    mask: u8,
}

/// Where the number of a register is: shift and mask.
type Source = (u8, u8);

const OPCODE: Source = (0, 7);
const RM: Source = (8, 7);
const REG: Source = (11, 7);
/// The code implies the register.
const IMPLIED: Source = (0, 0);

/// The register files, in the order of [`REGISTERS`].
const GPR8: u8 = 0;
const GPR16: u8 = 8;
const GPR32: u8 = 16;
const SEGMENT: u8 = 24;
const CONTROL: u8 = 32;
const DEBUG: u8 = 40;
const ST: u8 = 48;
const MMX: u8 = 56;
const XMM: u8 = 64;

/// All registers; beyond the last, anything.
static REGISTERS: [Register; 128] = {
    let mut registers = [Register::St(0); 128];
    let mut number = 0;
    while number < 8 {
        let at = number as usize;
        registers[GPR8 as usize + at] = Register::Gpr8(Gpr8::from_number(number));
        registers[GPR16 as usize + at] = Register::Gpr16(Gpr::from_number(number));
        registers[GPR32 as usize + at] = Register::Gpr32(Gpr::from_number(number));
        // Rows with `Sreg` claim no ModRM byte with a reg field of 6 or 7.
        registers[SEGMENT as usize + at] = Register::Segment(SegmentRegister::ALL[at % 6]);
        registers[CONTROL as usize + at] = Register::Control(number);
        registers[DEBUG as usize + at] = Register::Debug(number);
        registers[ST as usize + at] = Register::St(number);
        registers[MMX as usize + at] = Register::Mmx(number);
        registers[XMM as usize + at] = Register::Xmm(number);
        number += 1;
    }
    registers
};

impl Extraction {
    const RARE: Self = Self { classes: [OperandClass::Rare; 2], size: 0, file: 0, shift: 0, mask: 0 };

    const fn register(file: u8, source: Source) -> Self {
        Self { classes: [OperandClass::Register; 2], size: 0, file, shift: source.0, mask: source.1 }
    }

    /// The register in rm or `size` bytes of memory.
    const fn either(file: u8, size: u16) -> Self {
        Self { classes: [OperandClass::Memory, OperandClass::Register], size, ..Self::register(file, RM) }
    }

    const fn of_class(class: OperandClass, size: u16) -> Self {
        Self { classes: [class; 2], size, ..Self::RARE }
    }

    /// How to take out what `code` describes where operands have `wide` bytes, 2 or 4.
    const fn of_code(code: OperandCode, wide: u16) -> Self {
        use OperandCode as C;
        let general = if wide == 2 { GPR16 } else { GPR32 };
        match code {
            C::Rm8 => Self::either(GPR8, 1),
            C::Rmv => Self::either(general, wide),
            C::Rm16 => Self::either(GPR16, 2),
            C::Rm32 => Self::either(GPR32, 4),
            C::RvM16 => Self::either(general, 2),
            C::R32M8 => Self::either(GPR32, 1),
            C::R32M16 => Self::either(GPR32, 2),
            C::MmM32 => Self::either(MMX, 4),
            C::MmM64 => Self::either(MMX, 8),
            C::XmmM16 => Self::either(XMM, 2),
            C::XmmM32 => Self::either(XMM, 4),
            C::XmmM64 => Self::either(XMM, 8),
            C::XmmM128 => Self::either(XMM, 16),
            C::RmR32 => Self::register(GPR32, RM),
            C::R8 => Self::register(GPR8, REG),
            C::Rv => Self::register(general, REG),
            C::R16 => Self::register(GPR16, REG),
            C::R32 => Self::register(GPR32, REG),
            C::Op8 => Self::register(GPR8, OPCODE),
            C::Opv => Self::register(general, OPCODE),
            C::Sreg => Self::register(SEGMENT, REG),
            C::Cr => Self::register(CONTROL, REG),
            C::Dr => Self::register(DEBUG, REG),
            C::Al => Self::register(GPR8, IMPLIED),
            C::Ax => Self::register(GPR16, IMPLIED),
            C::Eaxv => Self::register(general, IMPLIED),
            C::Cl => Self::register(GPR8 + 1, IMPLIED),
            C::Dx => Self::register(GPR16 + 2, IMPLIED),
            C::Es => Self::register(SEGMENT + SegmentRegister::Es as u8, IMPLIED),
            C::Cs => Self::register(SEGMENT + SegmentRegister::Cs as u8, IMPLIED),
            C::Ss => Self::register(SEGMENT + SegmentRegister::Ss as u8, IMPLIED),
            C::Ds => Self::register(SEGMENT + SegmentRegister::Ds as u8, IMPLIED),
            C::Fs => Self::register(SEGMENT + SegmentRegister::Fs as u8, IMPLIED),
            C::Gs => Self::register(SEGMENT + SegmentRegister::Gs as u8, IMPLIED),
            C::St0 => Self::register(ST, IMPLIED),
            C::StRm => Self::register(ST, RM),
            C::Mm => Self::register(MMX, REG),
            C::MmRm => Self::register(MMX, RM),
            C::Xmm => Self::register(XMM, REG),
            C::XmmRm => Self::register(XMM, RM),
            C::Imm8 => Self::of_class(OperandClass::Immediate, 1),
            C::Imm16 => Self::of_class(OperandClass::Immediate, 2),
            C::Imm8s | C::Immz => Self::of_class(OperandClass::Immediate, wide),
            C::Rel8 | C::Relz => Self::of_class(OperandClass::Relative, 0),
            C::M => Self::of_class(OperandClass::Memory, 0),
            C::M8 | C::Moffs8 => Self::of_class(OperandClass::Memory, 1),
            C::M16 => Self::of_class(OperandClass::Memory, 2),
            C::M32 => Self::of_class(OperandClass::Memory, 4),
            C::Mv | C::Moffsv => Self::of_class(OperandClass::Memory, wide),
            C::M2v => Self::of_class(OperandClass::Memory, 2 * wide),
            C::M48 => Self::of_class(OperandClass::Memory, 6),
            C::M64 => Self::of_class(OperandClass::Memory, 8),
            C::M80 => Self::of_class(OperandClass::Memory, 10),
            C::M128 => Self::of_class(OperandClass::Memory, 16),
            C::M512 => Self::of_class(OperandClass::Memory, 64),
            C::Mfxsave => Self::of_class(OperandClass::Memory, 512),
            C::Mfar => Self::of_class(OperandClass::Memory, 2 + wide),
            C::M14or28 => Self::of_class(OperandClass::Memory, 7 * wide),
            C::M94or108 => Self::of_class(OperandClass::Memory, 80 + 7 * wide),
            C::Ra | C::One | C::Imm8b | C::Ptr => Self::RARE,
            C::EsDi8 | C::EsDiv | C::SegSi8 | C::SegSiv | C::XlatM8 | C::SegDi64 | C::SegDi128 => Self::RARE,
        }
    }

    /// How to take out an operand of `code`, with 16-bit operands if `word`.
    #[inline(always)]
    pub(crate) fn of(code: OperandCode, word: bool) -> Self {
        // Codes number less than half of 256.
        EXTRACTIONS[usize::from(word) << 7 | (code as usize & 0x7f)]
    }

    /// The class of an operand of `code` with a memory form of ModRM, and with any other.
    pub(crate) const fn classes(code: OperandCode) -> [OperandClass; 2] {
        Self::of_code(code, 4).classes
    }

    /// The register that the opcode and, above it, ModRM name.
    #[inline(always)]
    pub(crate) fn named(self, opcode_and_modrm: u32) -> Register {
        let number = opcode_and_modrm >> (self.shift & 15) & u32::from(self.mask);
        REGISTERS[(u32::from(self.file) + number) as usize & 0x7f]
    }
}

/// By operand code; with 16-bit operands add 128.
static EXTRACTIONS: [Extraction; 256] = {
    const ROWS: &[crate::Row] = &joined();
    let mut extractions = [Extraction::RARE; 256];
    let mut row = 0;
    while row < ROWS.len() {
        let mut operand = 0;
        while operand < ROWS[row].operands.len() {
            let code = ROWS[row].operands[operand];
            assert!((code as usize) < 0x80);
            extractions[code as usize] = Extraction::of_code(code, 4);
            extractions[0x80 | code as usize] = Extraction::of_code(code, 2);
            operand += 1;
        }
        row += 1;
    }
    extractions
};
