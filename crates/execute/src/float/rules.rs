//! What arithmetic depends on besides its operands, and what it reports besides its result.

use bitflags::bitflags;
use pentimento_registers::{ControlWord, Mxcsr};

bitflags! {
    /// Exceptions that an operation raised, in the bit order of the x87 status word and of MXCSR
    /// (SDM volume 1, sections 8.1.3 and 10.2.3), and the direction of rounding.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct Flags: u8 {
        /// Invalid operation (IE).
        const INVALID = 1 << 0;
        /// Denormal operand (DE).
        const DENORMAL = 1 << 1;
        /// Division of a finite number by zero (ZE).
        const ZERO_DIVIDE = 1 << 2;
        /// Overflow (OE).
        const OVERFLOW = 1 << 3;
        /// Underflow (UE): tiny and inexact, or just tiny where underflow is unmasked.
        const UNDERFLOW = 1 << 4;
        /// Inexact result (PE).
        const INEXACT = 1 << 5;
        /// No exception: the result's magnitude was rounded up (x87 C1). Mask it off with
        /// [`Flags::EXCEPTIONS`] before merging flags into MXCSR.
        const ROUNDED_UP = 1 << 6;
    }
}

impl Flags {
    /// The six exceptions.
    pub const EXCEPTIONS: Self = Self::from_bits_truncate(0x3f);

    /// Those that are found before anything is computed; unmasked, they keep the operation from
    /// happening (SDM volume 1, section 4.9.2).
    pub const BEFORE_COMPUTATION: Self = Self::from_bits_truncate(0x07);
}

/// Rounding control (SDM volume 1, section 4.8.4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(u8)]
pub enum Rounding {
    /// To nearest, ties to even.
    #[default]
    Nearest = 0,
    /// Toward minus infinity.
    Down = 1,
    /// Toward plus infinity.
    Up = 2,
    /// Toward zero (truncate).
    Zero = 3,
}

impl Rounding {
    /// The mode with this two-bit RC encoding; higher bits are ignored.
    #[inline(always)]
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::Nearest,
            1 => Self::Down,
            2 => Self::Up,
            _ => Self::Zero,
        }
    }

    /// Whether a magnitude is to be incremented whose kept part has the lowest bit `odd`, and whose
    /// discarded part, left-aligned, is `rest` (2^63 is one half; any lower bit may be sticky).
    #[inline(always)]
    #[must_use]
    pub const fn increments(self, negative: bool, odd: bool, rest: u64) -> bool {
        const HALF: u64 = 1 << 63;
        // Nearly all programs round to nearest: a branch is predicted, a jump table costs a load.
        if matches!(self, Self::Nearest) {
            return rest > HALF || (rest == HALF && odd);
        }
        let away = match self {
            Self::Down => negative,
            Self::Up => !negative,
            Self::Nearest | Self::Zero => false,
        };
        away && rest != 0
    }
}

/// Significand bits to which results in double extended format are rounded (SDM volume 1, section
/// 8.1.5.2). The exponent keeps its full range.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(u8)]
pub enum Precision {
    /// 24 bits.
    Single = 24,
    /// 53 bits.
    Double = 53,
    /// 64 bits.
    #[default]
    Extended = 64,
}

/// Which NaN an operation on two of them returns (SDM volume 1, table 4-7).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum NanRule {
    /// SSE: the first operand if it is a NaN, else the second.
    #[default]
    FirstOperand,
    /// x87: quiet before signalling, then the larger significand, then the positive one.
    LargerSignificand,
}

/// What arithmetic depends on besides its operands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Rules {
    /// The rounding mode.
    pub rounding: Rounding,
    /// The precision of double extended results; single and double results have their own.
    pub precision: Precision,
    /// The exceptions that are not masked. They change results: unmasked underflow is raised for
    /// exact tiny results too, unmasked overflow and underflow wrap the exponent.
    pub unmasked: Flags,
    /// DAZ: denormal operands count as zeros of their sign, without an exception. It acts in
    /// [`Format::unpack_in`](super::Format::unpack_in).
    pub denormals_are_zeros: bool,
    /// FZ: tiny results become zeros of their sign while underflow is masked.
    pub flush_to_zero: bool,
    /// Which NaN survives.
    pub nan_rule: NanRule,
}

impl Rules {
    /// The rules of SSE instructions.
    #[inline]
    #[must_use]
    pub const fn from_mxcsr(mxcsr: Mxcsr) -> Self {
        Self {
            rounding: Rounding::from_bits((mxcsr.bits() >> 13) as u8),
            precision: Precision::Extended,
            unmasked: Flags::from_bits_truncate(!(mxcsr.bits() >> 7) as u8 & 0x3f),
            denormals_are_zeros: mxcsr.contains(Mxcsr::DAZ),
            flush_to_zero: mxcsr.contains(Mxcsr::FZ),
            nan_rule: NanRule::FirstOperand,
        }
    }

    /// The rules of x87 instructions.
    #[inline]
    #[must_use]
    pub const fn from_control_word(control: ControlWord) -> Self {
        Self {
            rounding: Rounding::from_bits((control.bits() >> 10) as u8),
            // Encoding 1 is reserved; silicon takes it for extended precision.
            precision: match control.bits() >> 8 & 3 {
                0 => Precision::Single,
                2 => Precision::Double,
                _ => Precision::Extended,
            },
            unmasked: Flags::from_bits_truncate(!control.bits() as u8 & 0x3f),
            denormals_are_zeros: false,
            flush_to_zero: false,
            nan_rule: NanRule::LargerSignificand,
        }
    }

    /// The same with another rounding mode: truncating conversions, ROUNDSS's immediate.
    #[inline]
    #[must_use]
    pub const fn with_rounding(self, rounding: Rounding) -> Self {
        Self { rounding, ..self }
    }

    /// The same with full precision: comparisons, remainders and loads ignore precision control.
    #[inline]
    #[must_use]
    pub const fn with_extended_precision(self) -> Self {
        Self { precision: Precision::Extended, ..self }
    }
}
