//! The operand columns of the tables.

/// How an encoding holds one operand, in the SDM's notation (volume 2, section 3.1.1.3 and
/// appendix A.2): `v` is 16 or 32 bits by the operand size, `z` an immediate of that size.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum OperandCode {
    /// `r/m8`.
    Rm8,
    /// `r/m16` or `r/m32`.
    Rmv,
    /// `r/m16` whatever the operand size.
    Rm16,
    /// `r/m32` whatever the operand size.
    Rm32,
    /// `r16/m16` or `r32/m16`: the register form goes by the operand size, memory is always 16 bits.
    RvM16,
    /// `r32/m8`.
    R32M8,
    /// `r32/m16`.
    R32M16,
    /// The 32-bit register in rm.
    RmR32,
    /// The 8-bit register in reg.
    R8,
    /// The 16- or 32-bit register in reg.
    Rv,
    /// The 16-bit register in reg.
    R16,
    /// The 32-bit register in reg.
    R32,
    /// The register in reg that holds an address, 16 or 32 bits by the address size.
    Ra,
    /// The 8-bit register in the low three bits of the opcode.
    Op8,
    /// The 16- or 32-bit register in the low three bits of the opcode.
    Opv,
    /// The segment register in reg.
    Sreg,
    /// The control register in reg.
    Cr,
    /// The debug register in reg.
    Dr,
    /// AL.
    Al,
    /// AX.
    Ax,
    /// AX or EAX.
    Eaxv,
    /// CL.
    Cl,
    /// DX.
    Dx,
    /// ES.
    Es,
    /// CS.
    Cs,
    /// SS.
    Ss,
    /// DS.
    Ds,
    /// FS.
    Fs,
    /// GS.
    Gs,
    /// The constant 1, without a byte of its own.
    One,
    /// `imm8`.
    Imm8,
    /// `imm8` sign-extended to the operand size.
    Imm8s,
    /// A second `imm8` after the first immediate.
    Imm8b,
    /// `imm16`.
    Imm16,
    /// `imm16` or `imm32`.
    Immz,
    /// `rel8`.
    Rel8,
    /// `rel16` or `rel32`.
    Relz,
    /// `ptr16:16` or `ptr16:32`.
    Ptr,
    /// `moffs8`.
    Moffs8,
    /// `moffs16` or `moffs32`.
    Moffsv,
    /// Memory without a fixed size.
    M,
    /// `m8`.
    M8,
    /// `m16`.
    M16,
    /// `m32`.
    M32,
    /// `m16` or `m32`.
    Mv,
    /// `m16&16` or `m32&32`: the bounds of BOUND.
    M2v,
    /// `m16&32`: limit and base of a descriptor table.
    M48,
    /// `m64`.
    M64,
    /// `m80`.
    M80,
    /// `m128`.
    M128,
    /// `m512`, 64 bytes.
    M512,
    /// `m512byte`: the image that FXSAVE writes.
    Mfxsave,
    /// `m16:16` or `m16:32`.
    Mfar,
    /// The x87 environment, 14 or 28 bytes.
    M14or28,
    /// The x87 state, 94 or 108 bytes.
    M94or108,
    /// `[ES:EDI]`, one byte.
    EsDi8,
    /// `[ES:EDI]`, 16 or 32 bits.
    EsDiv,
    /// `[segment:ESI]`, one byte.
    SegSi8,
    /// `[segment:ESI]`, 16 or 32 bits.
    SegSiv,
    /// `[segment:EBX + AL]`, one byte; the operand shows EBX as base and leaves AL implied.
    XlatM8,
    /// `[segment:EDI]`, 8 bytes.
    SegDi64,
    /// `[segment:EDI]`, 16 bytes.
    SegDi128,
    /// ST(0).
    St0,
    /// ST(i), i in rm.
    StRm,
    /// The MMX register in reg.
    Mm,
    /// The MMX register in rm.
    MmRm,
    /// `mm/m32`.
    MmM32,
    /// `mm/m64`.
    MmM64,
    /// The XMM register in reg.
    Xmm,
    /// The XMM register in rm.
    XmmRm,
    /// `xmm/m16`.
    XmmM16,
    /// `xmm/m32`.
    XmmM32,
    /// `xmm/m64`.
    XmmM64,
    /// `xmm/m128`.
    XmmM128,
}

/// Bytes that follow ModRM and displacement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Immediate {
    /// There is no immediate.
    None,
    /// One byte, zero-extended.
    Byte,
    /// One byte, sign-extended.
    SignedByte,
    /// Two bytes.
    Word,
    /// Two or four bytes by the operand size.
    Sized,
    /// Two or four bytes by the operand size, sign-extended.
    SignedSized,
    /// Two bytes and one.
    WordByte,
    /// One byte and one.
    ByteByte,
    /// A far pointer.
    Far,
    /// An offset as wide as addresses are.
    Moffs,
}

/// How to read one immediate, without branches.
#[derive(Clone, Copy)]
pub(crate) struct ImmediateWidth {
    /// Bytes in the code, 0 to 4.
    pub(crate) length: u32,
    /// The bits that count.
    pub(crate) mask: u32,
    /// The bit that is the sign, or 0.
    pub(crate) sign: u32,
}

impl ImmediateWidth {
    const NONE: Self = Self { length: 0, mask: 0, sign: 0 };
    const WORD: Self = Self { length: 2, mask: 0xffff, sign: 0 };
    const SIGNED_WORD: Self = Self { length: 2, mask: 0xffff, sign: 0x8000 };
    const DWORD: Self = Self { length: 4, mask: u32::MAX, sign: 0 };

    /// No bytes.
    pub(crate) const ABSENT: u32 = 0;
    /// One byte, sign-extended.
    pub(crate) const SIGNED_BYTE: u32 = 2;
    /// Two or four bytes by the operand size, sign-extended.
    pub(crate) const SIGNED_SIZED: u32 = 5;

    /// By number; with 16-bit operands add 8.
    pub(crate) const ALL: [Self; 16] = [
        Self::NONE,
        Self { length: 1, mask: 0xff, sign: 0 },
        Self { length: 1, mask: 0xff, sign: 0x80 },
        Self::WORD,
        Self::DWORD,
        Self::DWORD,
        Self::NONE,
        Self::NONE,
        Self::NONE,
        Self { length: 1, mask: 0xff, sign: 0 },
        Self { length: 1, mask: 0xff, sign: 0x80 },
        Self::WORD,
        Self::WORD,
        Self::SIGNED_WORD,
        Self::NONE,
        Self::NONE,
    ];

    /// The value of which `raw` holds the bytes and those after them.
    #[inline(always)]
    pub(crate) const fn extract(self, raw: u32) -> u32 {
        ((raw & self.mask) ^ self.sign).wrapping_sub(self.sign)
    }
}

impl Immediate {
    /// The number of its [`ImmediateWidth`], and whether that is not all.
    pub(crate) const fn width(self) -> (u8, bool) {
        match self {
            Self::None => (0, false),
            Self::Byte => (1, false),
            Self::SignedByte => (2, false),
            Self::Word => (3, false),
            Self::Sized => (4, false),
            Self::SignedSized => (5, false),
            Self::WordByte | Self::ByteByte | Self::Far | Self::Moffs => (0, true),
        }
    }
}

impl OperandCode {
    /// The bytes that the operand takes after ModRM and displacement; of [`Self::Imm8b`] those
    /// that it adds are told by its predecessor.
    pub(crate) const fn immediate(self) -> Immediate {
        match self {
            Self::Imm8 => Immediate::Byte,
            Self::Imm8s | Self::Rel8 => Immediate::SignedByte,
            Self::Imm16 => Immediate::Word,
            Self::Immz => Immediate::Sized,
            Self::Relz => Immediate::SignedSized,
            Self::Ptr => Immediate::Far,
            Self::Moffs8 | Self::Moffsv => Immediate::Moffs,
            _ => Immediate::None,
        }
    }
}
