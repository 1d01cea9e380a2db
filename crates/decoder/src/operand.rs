//! What an instruction works on.

use pentimento_registers::{Gpr, Gpr8, SegmentRegister};

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
    /// Bytes accessed; 0 where there is no fixed size (LEA, FXSAVE, INVLPG...).
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
