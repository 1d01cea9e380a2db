//! The x87 register stack with its control, status and tag words (SDM volume 1, section 8.1), and
//! the MMX registers that alias it (section 9.6).

use bitflags::bitflags;

/// An 80-bit double extended-precision value, kept bit for bit: also the patterns that arithmetic
/// rejects (unnormals, pseudo-infinities, pseudo-NaNs) and pseudo-denormals.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(C, align(8))]
pub struct F80 {
    /// The 64-bit significand; its top bit is the explicit integer bit.
    pub significand: u64,
    /// Bit 15 is the sign, bits 14:0 the exponent, biased by 16383.
    pub sign_exponent: u16,
}

impl F80 {
    /// Positive zero.
    pub const ZERO: Self = Self::new(0, 0);

    /// The value with these fields.
    #[inline(always)]
    #[must_use]
    pub const fn new(sign_exponent: u16, significand: u64) -> Self {
        Self { significand, sign_exponent }
    }

    /// The value stored in ten bytes, little-endian, as FLD m80fp reads them.
    #[must_use]
    pub const fn from_le_bytes(bytes: [u8; 10]) -> Self {
        let [a, b, c, d, e, f, g, h, low, high] = bytes;
        Self {
            significand: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            sign_exponent: u16::from_le_bytes([low, high]),
        }
    }

    /// The ten bytes that FSTP m80fp writes.
    #[must_use]
    pub const fn to_le_bytes(self) -> [u8; 10] {
        let [a, b, c, d, e, f, g, h] = self.significand.to_le_bytes();
        let [low, high] = self.sign_exponent.to_le_bytes();
        [a, b, c, d, e, f, g, h, low, high]
    }

    /// The biased exponent, 0 to 7FFFh.
    #[inline(always)]
    #[must_use]
    pub const fn exponent(self) -> u16 {
        self.sign_exponent & 0x7fff
    }

    /// Whether the sign bit is set.
    #[inline(always)]
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.sign_exponent & 0x8000 != 0
    }
}

bitflags! {
    /// The x87 control word (SDM volume 1, section 8.1.5).
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
    pub struct ControlWord: u16 {
        /// Invalid-operation mask.
        const IM = 1 << 0;
        /// Denormal-operand mask.
        const DM = 1 << 1;
        /// Zero-divide mask.
        const ZM = 1 << 2;
        /// Overflow mask.
        const OM = 1 << 3;
        /// Underflow mask.
        const UM = 1 << 4;
        /// Precision mask.
        const PM = 1 << 5;
        /// Reserved bit 6, which always reads as one.
        const ALWAYS_SET = 1 << 6;
        /// Precision control, low bit: 0 single, 2 double, 3 extended.
        const PC0 = 1 << 8;
        /// Precision control, high bit.
        const PC1 = 1 << 9;
        /// Rounding control, low bit: 0 nearest, 1 down, 2 up, 3 toward zero.
        const RC0 = 1 << 10;
        /// Rounding control, high bit.
        const RC1 = 1 << 11;
        /// Infinity control, kept for the 80287 and without effect.
        const X = 1 << 12;
    }
}

impl ControlWord {
    /// The six exception masks.
    pub const MASKS: Self =
        Self::IM.union(Self::DM).union(Self::ZM).union(Self::OM).union(Self::UM).union(Self::PM);

    /// The value after FNINIT (037Fh): all exceptions masked, extended precision, round to nearest.
    pub const INITIAL: Self = Self::MASKS.union(Self::ALWAYS_SET).union(Self::PC0).union(Self::PC1);
}

bitflags! {
    /// The x87 status word (SDM volume 1, section 8.1.3) without TOP, which [`X87State`] keeps apart.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
    pub struct StatusWord: u16 {
        /// Invalid operation.
        const IE = 1 << 0;
        /// Denormal operand.
        const DE = 1 << 1;
        /// Zero divide.
        const ZE = 1 << 2;
        /// Overflow.
        const OE = 1 << 3;
        /// Underflow.
        const UE = 1 << 4;
        /// Precision.
        const PE = 1 << 5;
        /// Stack fault.
        const SF = 1 << 6;
        /// Exception summary: an unmasked exception is pending.
        const ES = 1 << 7;
        /// Condition code 0.
        const C0 = 1 << 8;
        /// Condition code 1.
        const C1 = 1 << 9;
        /// Condition code 2.
        const C2 = 1 << 10;
        /// Condition code 3.
        const C3 = 1 << 14;
        /// Busy: mirrors ES.
        const B = 1 << 15;
    }
}

impl StatusWord {
    /// The six exception flags.
    pub const EXCEPTIONS: Self =
        Self::IE.union(Self::DE).union(Self::ZE).union(Self::OE).union(Self::UE).union(Self::PE);
}

/// A two-bit entry of the full tag word (SDM volume 1, section 8.1.7).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Tag {
    /// A finite, normal value.
    Valid = 0,
    /// Zero.
    Zero = 1,
    /// Invalid, NaN, infinity or denormal.
    Special = 2,
    /// Empty.
    Empty = 3,
}

/// The x87 unit.
#[derive(Clone, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct X87State {
    /// The eight physical registers R0 to R7; ST(i) is number `(top + i) % 8`, MMi is number `i`.
    pub registers: [F80; 8],
    /// The control word.
    pub control: ControlWord,
    /// The status word without TOP.
    pub status: StatusWord,
    /// The physical number of ST(0), 0 to 7.
    pub top: u8,
    /// One bit a physical register: set when it is in use (FXSAVE's abridged tag word).
    pub in_use: u8,
    /// Low 11 bits of the last non-control instruction's opcode.
    pub last_opcode: u16,
    /// Code selector of the last non-control instruction.
    pub last_instruction_selector: u16,
    /// Offset of the last non-control instruction.
    pub last_instruction: u32,
    /// Offset of the last memory operand.
    pub last_data: u32,
    /// Data selector of the last memory operand.
    pub last_data_selector: u16,
}

impl X87State {
    /// The state after FNINIT.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            registers: [F80::ZERO; 8],
            control: ControlWord::INITIAL,
            status: StatusWord::empty(),
            top: 0,
            in_use: 0,
            last_opcode: 0,
            last_instruction_selector: 0,
            last_instruction: 0,
            last_data: 0,
            last_data_selector: 0,
        }
    }

    /// The physical number of ST(`index`).
    #[inline(always)]
    #[must_use]
    pub const fn physical(&self, index: u8) -> usize {
        (self.top.wrapping_add(index) & 7) as usize
    }

    /// The status word as FNSTSW stores it, TOP in bits 13:11.
    #[must_use]
    pub const fn status_word(&self) -> u16 {
        self.status.bits() | ((self.top & 7) as u16) << 11
    }

    /// Splits a status word into flags and TOP.
    pub const fn set_status_word(&mut self, word: u16) {
        self.status = StatusWord::from_bits_truncate(word);
        self.top = (word >> 11) as u8 & 7;
    }

    /// The tag of physical register `number` (modulo 8), derived from its contents.
    #[must_use]
    pub const fn tag(&self, number: usize) -> Tag {
        let number = number & 7;
        if self.in_use & (1 << number) == 0 {
            return Tag::Empty;
        }
        let value = self.registers[number];
        match (value.exponent(), value.significand) {
            (0, 0) => Tag::Zero,
            (0 | 0x7fff, _) => Tag::Special,
            (_, significand) if significand >> 63 == 1 => Tag::Valid,
            _ => Tag::Special,
        }
    }

    /// The full 16-bit tag word as FNSTENV stores it.
    #[must_use]
    pub const fn tag_word(&self) -> u16 {
        let mut word = 0;
        let mut number = 0;
        while number < 8 {
            word |= (self.tag(number) as u16) << (2 * number);
            number += 1;
        }
        word
    }

    /// Takes over which registers are empty from a full tag word; the other tags follow from contents.
    pub const fn set_tag_word(&mut self, word: u16) {
        self.in_use = 0;
        let mut number = 0;
        while number < 8 {
            if (word >> (2 * number)) & 3 != Tag::Empty as u16 {
                self.in_use |= 1 << number;
            }
            number += 1;
        }
    }

    /// MMX register `number` (modulo 8).
    #[inline(always)]
    #[must_use]
    pub const fn mmx(&self, number: u8) -> u64 {
        self.registers[(number & 7) as usize].significand
    }

    /// Writes MMX register `number` (modulo 8); sign and exponent become all ones (SDM volume 1, section 9.5.1).
    /// TOP and tags are the instruction's business.
    #[inline(always)]
    pub const fn set_mmx(&mut self, number: u8, value: u64) {
        self.registers[(number & 7) as usize] = F80::new(0xffff, value);
    }
}

impl Default for X87State {
    fn default() -> Self {
        Self::new()
    }
}
