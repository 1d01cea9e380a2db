//! What an instruction works on.

use pentimento_registers::{Gpr, Gpr8, SegmentRegister};

use crate::{Instruction, OperandCode, Prefixes, lookup};

/// A register operand.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Register {
    /// AL to BH.
    Gpr8(Gpr8),
    /// AX to DI.
    Gpr16(Gpr),
    /// EAX to EDI.
    Gpr32(Gpr),
    /// ES to GS.
    Segment(SegmentRegister),
    /// CR0 to CR7.
    Control(u8),
    /// DR0 to DR7.
    Debug(u8),
    /// ST(0) to ST(7).
    St(u8),
    /// MM0 to MM7.
    Mmx(u8),
    /// XMM0 to XMM7.
    Xmm(u8),
}

/// A memory operand: `segment:[base + index * scale + displacement]`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MemoryOperand {
    /// The segment that applies, override prefix and default already considered.
    pub segment: SegmentRegister,
    /// Base register.
    pub base: Option<Gpr>,
    /// Index register, never ESP.
    pub index: Option<Gpr>,
    /// 1, 2, 4 or 8.
    pub scale: u8,
    /// Sign-extended to 32 bits; with 16-bit addresses only the low half counts.
    pub displacement: u32,
    /// Whether base, index and the sum are 16 or 32 bits wide.
    pub address_size: crate::AddressSize,
    /// Bytes accessed; 0 where there is no fixed size (LEA, XSAVE, INVLPG...).
    pub size: u16,
}

/// One operand.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Operand {
    /// A register.
    Register(Register),
    /// A memory location; the implicit ones of string instructions, XLAT and MASKMOVQ too.
    Memory(MemoryOperand),
    /// An immediate, sign-extended to 32 bits where the row says so; `size` is the width in bytes it acts with.
    Immediate {
        /// The value.
        value: u32,
        /// 1, 2 or 4.
        size: u8,
    },
    /// A branch displacement, relative to the end of the instruction; the target wraps at the operand size.
    Relative(i32),
    /// A far pointer.
    Far {
        /// The new code selector.
        selector: u16,
        /// The offset in it.
        offset: u32,
    },
}

impl Instruction {
    /// Operand `index` in Intel order, or `None` past the last.
    #[must_use]
    pub fn operand(&self, index: usize) -> Option<Operand> {
        let shape = lookup::shape(self.row);
        if index < shape.count as usize { Some(self.extract(shape.operands[index & 3])) } else { None }
    }

    /// The explicit operands in Intel order.
    pub fn operands(&self) -> impl Iterator<Item = Operand> + use<> {
        let (instruction, shape) = (*self, lookup::shape(self.row));
        (0..shape.count as usize).map(move |index| instruction.extract(shape.operands[index & 3]))
    }

    /// The memory operand, or the first of the two that MOVS and CMPS have.
    #[must_use]
    pub fn memory(&self) -> Option<MemoryOperand> {
        self.operands().find_map(|operand| match operand {
            Operand::Memory(memory) => Some(memory),
            _ => None,
        })
    }

    /// What ModRM and SIB address, for handlers that know the width themselves: `size` is 0.
    /// `None` where ModRM names a register; meaningless where there is no ModRM byte.
    #[inline(always)]
    #[must_use]
    pub fn modrm_address(&self) -> Option<MemoryOperand> {
        match self.modrm_memory(0) {
            Operand::Memory(memory) if self.modrm < 0xc0 => Some(memory),
            _ => None,
        }
    }

    /// Where a branch by `displacement` goes from an instruction that lies at `eip`: a 16-bit operand size cuts it to 16 bits.
    #[inline(always)]
    #[must_use]
    pub const fn branch_target(&self, eip: u32, displacement: i32) -> u32 {
        let target = eip.wrapping_add(self.length() as u32).wrapping_add_signed(displacement);
        if self.prefixes().contains(Prefixes::OPERAND_SIZE) { target & 0xffff } else { target }
    }

    /// 2 or 4, by the operand size.
    #[inline(always)]
    const fn width(&self) -> u8 {
        if self.prefixes().contains(Prefixes::OPERAND_SIZE) { 2 } else { 4 }
    }

    #[inline(always)]
    const fn reg(&self) -> u8 {
        self.modrm() >> 3 & 7
    }

    #[inline(always)]
    const fn rm(&self) -> u8 {
        self.modrm() & 7
    }

    /// The general register `number` of `size` bytes.
    #[inline(always)]
    const fn general(number: u8, size: u8) -> Operand {
        Operand::Register(match size {
            1 => Register::Gpr8(Gpr8::from_number(number)),
            2 => Register::Gpr16(Gpr::from_number(number)),
            _ => Register::Gpr32(Gpr::from_number(number)),
        })
    }

    /// What ModRM and SIB address, `size` bytes wide.
    #[inline(always)]
    fn modrm_memory(&self, size: u16) -> Operand {
        Operand::Memory(MemoryOperand {
            segment: self.segment(),
            base: self.address.base(),
            index: self.address.index(),
            scale: self.address.scale(),
            displacement: self.displacement,
            address_size: self.address_size(),
            size,
        })
    }

    /// The register form of a ModRM operand, or its memory form of `size` bytes.
    #[inline(always)]
    fn either(&self, register: Operand, size: u16) -> Operand {
        if self.modrm() >= 0xc0 { register } else { self.modrm_memory(size) }
    }

    /// `segment:[base]`, `size` bytes wide.
    fn based(&self, segment: SegmentRegister, base: Gpr, size: u16) -> Operand {
        Operand::Memory(MemoryOperand {
            segment,
            base: Some(base),
            index: None,
            scale: 1,
            displacement: 0,
            address_size: self.address_size(),
            size,
        })
    }

    /// The operand that `code` describes.
    #[inline]
    fn extract(&self, code: OperandCode) -> Operand {
        use OperandCode as C;
        let width = self.width();
        let wide = width as u16;
        let (reg, rm) = (self.reg(), self.rm());
        match code {
            C::Rm8 => self.either(Self::general(rm, 1), 1),
            C::Rmv => self.either(Self::general(rm, width), wide),
            C::Rm16 => self.either(Self::general(rm, 2), 2),
            C::Rm32 => self.either(Self::general(rm, 4), 4),
            C::RvM16 => self.either(Self::general(rm, width), 2),
            C::R32M8 => self.either(Self::general(rm, 4), 1),
            C::R32M16 => self.either(Self::general(rm, 4), 2),
            C::RmR32 => Self::general(rm, 4),
            C::R8 => Self::general(reg, 1),
            C::Rv => Self::general(reg, width),
            C::R16 => Self::general(reg, 2),
            C::R32 => Self::general(reg, 4),
            C::Ra if self.prefixes().contains(Prefixes::ADDRESS_SIZE) => Self::general(reg, 2),
            C::Ra => Self::general(reg, 4),
            C::Op8 => Self::general(self.opcode() & 7, 1),
            C::Opv => Self::general(self.opcode() & 7, width),
            C::Al => Self::general(0, 1),
            C::Ax => Self::general(0, 2),
            C::Eaxv => Self::general(0, width),
            C::Cl => Self::general(1, 1),
            C::Dx => Self::general(2, 2),
            C::Imm8 | C::Imm16 | C::Imm8s | C::Imm8b | C::Immz | C::One => self.extract_immediate(code),
            C::Rel8 | C::Relz => Operand::Relative(self.immediate as i32),
            C::Ptr => Operand::Far { selector: self.second_immediate, offset: self.immediate },
            C::M => self.modrm_memory(0),
            C::M8 | C::Moffs8 => self.modrm_memory(1),
            C::M16 => self.modrm_memory(2),
            C::M32 => self.modrm_memory(4),
            C::Mv | C::Moffsv => self.modrm_memory(wide),
            C::M64 => self.modrm_memory(8),
            C::M128 => self.modrm_memory(16),
            _ => self.extract_rare(code),
        }
    }

    /// Immediate operands.
    fn extract_immediate(&self, code: OperandCode) -> Operand {
        let (value, size) = match code {
            OperandCode::Imm8b => (self.second_immediate as u32, 1),
            OperandCode::Imm16 => (self.immediate, 2),
            OperandCode::Imm8s if self.width() == 2 => (self.immediate & 0xffff, 2),
            OperandCode::Imm8s | OperandCode::Immz => (self.immediate, self.width()),
            OperandCode::One => (1, 1),
            _ => (self.immediate, 1),
        };
        Operand::Immediate { value, size }
    }

    /// Operands of segment, system, string, x87 and vector instructions.
    fn extract_rare(&self, code: OperandCode) -> Operand {
        use OperandCode as C;
        let wide = self.width() as u16;
        let (reg, rm) = (self.reg(), self.rm());
        let segment = |register| Operand::Register(Register::Segment(register));
        let mmx = |number| Operand::Register(Register::Mmx(number));
        let xmm = |number| Operand::Register(Register::Xmm(number));
        match code {
            // Rows with `Sreg` claim no ModRM byte with a reg field of 6 or 7.
            C::Sreg => segment(SegmentRegister::ALL[reg as usize % 6]),
            C::Cr => Operand::Register(Register::Control(reg)),
            C::Dr => Operand::Register(Register::Debug(reg)),
            C::Es => segment(SegmentRegister::Es),
            C::Cs => segment(SegmentRegister::Cs),
            C::Ss => segment(SegmentRegister::Ss),
            C::Ds => segment(SegmentRegister::Ds),
            C::Fs => segment(SegmentRegister::Fs),
            C::Gs => segment(SegmentRegister::Gs),
            C::M2v => self.modrm_memory(2 * wide),
            C::M48 => self.modrm_memory(6),
            C::M80 => self.modrm_memory(10),
            C::M512 => self.modrm_memory(64),
            C::Mfxsave => self.modrm_memory(512),
            C::Mfar => self.modrm_memory(2 + wide),
            C::M14or28 => self.modrm_memory(7 * wide),
            C::M94or108 => self.modrm_memory(80 + 7 * wide),
            C::EsDi8 => self.based(SegmentRegister::Es, Gpr::Edi, 1),
            C::EsDiv => self.based(SegmentRegister::Es, Gpr::Edi, wide),
            C::SegSi8 => self.based(self.segment(), Gpr::Esi, 1),
            C::SegSiv => self.based(self.segment(), Gpr::Esi, wide),
            C::XlatM8 => self.based(self.segment(), Gpr::Ebx, 1),
            C::SegDi64 => self.based(self.segment(), Gpr::Edi, 8),
            C::SegDi128 => self.based(self.segment(), Gpr::Edi, 16),
            C::St0 => Operand::Register(Register::St(0)),
            C::StRm => Operand::Register(Register::St(rm)),
            C::Mm => mmx(reg),
            C::MmRm => mmx(rm),
            C::MmM32 => self.either(mmx(rm), 4),
            C::MmM64 => self.either(mmx(rm), 8),
            C::Xmm => xmm(reg),
            C::XmmRm => xmm(rm),
            C::XmmM16 => self.either(xmm(rm), 2),
            C::XmmM32 => self.either(xmm(rm), 4),
            C::XmmM64 => self.either(xmm(rm), 8),
            _ => self.either(xmm(rm), 16),
        }
    }
}

impl MemoryOperand {
    /// The segment without an override: SS with ESP or EBP as base, else DS (SDM volume 1, table 3-5).
    #[must_use]
    pub const fn default_segment(&self) -> SegmentRegister {
        match self.base {
            Some(Gpr::Esp | Gpr::Ebp) => SegmentRegister::Ss,
            _ => SegmentRegister::Ds,
        }
    }
}
