//! What an instruction works on.

use pentimento_registers::{Gpr, Gpr8, SegmentRegister};

use crate::extraction::{Extraction, OperandClass};
use crate::lookup::Shape;
use crate::{AddressSize, Instruction, OperandCode, Prefixes, lookup};

/// A register operand.
// Aligned like the other operands, so that what is written as a register may be read as one of them.
#[repr(align(4))]
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
    pub address_size: AddressSize,
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
        /// The value in the low `size` bytes, zero above them.
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
    #[inline]
    #[must_use]
    pub fn operand(&self, index: usize) -> Option<Operand> {
        let shape = lookup::shape(self.row_number());
        if index < shape.count as usize { Some(self.extract(shape, index)) } else { None }
    }

    /// The explicit operands in Intel order.
    #[inline]
    pub fn operands(&self) -> impl Iterator<Item = Operand> + use<> {
        let (instruction, shape) = (*self, lookup::shape(self.row_number()));
        (0..shape.count as usize).map(move |index| instruction.extract(shape, index))
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
        if self.modrm() < 0xc0 { Some(self.modrm_memory(0)) } else { None }
    }

    /// Where a branch by `displacement` goes from an instruction that lies at `eip`: a 16-bit operand size cuts it to 16 bits.
    #[inline(always)]
    #[must_use]
    pub const fn branch_target(&self, eip: u32, displacement: i32) -> u32 {
        let target = eip.wrapping_add(self.length() as u32).wrapping_add_signed(displacement);
        if self.prefixes().contains(Prefixes::OPERAND_SIZE) { target & 0xffff } else { target }
    }

    /// What ModRM and SIB address, `size` bytes wide.
    #[inline(always)]
    fn modrm_memory(&self, size: u16) -> MemoryOperand {
        MemoryOperand {
            segment: self.segment(),
            base: self.address().base(),
            index: self.address().index(),
            scale: self.address().scale(),
            displacement: self.displacement(),
            address_size: self.address_size(),
            size,
        }
    }

    /// Operand `index` of an instruction of this shape.
    #[inline(always)]
    fn extract(&self, shape: &Shape, index: usize) -> Operand {
        let code = shape.operands[index & 3];
        let extraction = Extraction::of(code, self.prefixes().contains(Prefixes::OPERAND_SIZE));
        let class = shape.class(index, self.modrm());
        if class == OperandClass::Register as u8 {
            Operand::Register(extraction.named(self.opcode_and_modrm()))
        } else if class == OperandClass::Memory as u8 {
            Operand::Memory(self.modrm_memory(extraction.size))
        } else if class == OperandClass::Immediate as u8 {
            // One byte may stand sign-extended for two.
            let value = self.immediate() & u32::MAX >> ((32 - 8 * extraction.size) & 31);
            Operand::Immediate { value, size: extraction.size as u8 }
        } else if class == OperandClass::Relative as u8 {
            Operand::Relative(self.immediate() as i32)
        } else {
            self.extract_rare(code)
        }
    }

    /// Operands that are nowhere in the instruction, or in unusual places.
    #[cold]
    #[inline(never)]
    fn extract_rare(&self, code: OperandCode) -> Operand {
        use OperandCode as C;
        let wide = if self.prefixes().contains(Prefixes::OPERAND_SIZE) { 2 } else { 4 };
        let segment = self.segment();
        let (segment, base, size) = match code {
            C::Ra => {
                let register = Gpr::from_number(self.modrm() >> 3);
                return Operand::Register(match self.address_size() {
                    AddressSize::Word => Register::Gpr16(register),
                    AddressSize::Dword => Register::Gpr32(register),
                });
            }
            C::Ptr => return Operand::Far { selector: self.second_immediate(), offset: self.immediate() },
            C::One => return Operand::Immediate { value: 1, size: 1 },
            C::EsDi8 => (SegmentRegister::Es, Gpr::Edi, 1),
            C::EsDiv => (SegmentRegister::Es, Gpr::Edi, wide),
            C::SegSi8 => (segment, Gpr::Esi, 1),
            C::SegSiv => (segment, Gpr::Esi, wide),
            C::XlatM8 => (segment, Gpr::Ebx, 1),
            C::SegDi64 => (segment, Gpr::Edi, 8),
            C::SegDi128 => (segment, Gpr::Edi, 16),
            // All that is left is `Imm8b`.
            _ => return Operand::Immediate { value: self.second_immediate().into(), size: 1 },
        };
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
