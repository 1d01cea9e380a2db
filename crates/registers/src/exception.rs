//! The architectural exceptions (SDM volume 3, section 6.3).

use core::fmt;

/// An exception by its name; the discriminant is its vector.
///
/// What came with it (an error code, or for #PF what the memory said) is with whoever raised it.
/// `#[non_exhaustive]`: later CPUs have more of them, such as #CP.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
#[non_exhaustive]
pub enum Exception {
    /// #DE: DIV or IDIV by zero or with a quotient too large; AAM 0.
    DivideError = 0,
    /// #DB: single step (TF) or INT1.
    Debug = 1,
    /// #BP: INT3.
    Breakpoint = 3,
    /// #OF: INTO with OF set.
    Overflow = 4,
    /// #BR: BOUND's index is out of range.
    BoundRange = 5,
    /// #UD: undefined opcode, or one that the CPU model lacks.
    InvalidOpcode = 6,
    /// #NM: no x87 unit.
    DeviceNotAvailable = 7,
    /// #NP: a segment that is not present was loaded.
    SegmentNotPresent = 11,
    /// #SS: an access through SS outside its limit.
    StackFault = 12,
    /// #GP: privileged instruction, segment limit or type violation, misaligned SSE operand...
    GeneralProtection = 13,
    /// #PF: a page is missing or does not allow the access.
    PageFault = 14,
    /// #MF: an unmasked x87 exception is pending.
    FloatingPoint = 16,
    /// #AC: misaligned access with alignment checking on.
    AlignmentCheck = 17,
    /// #XM: an unmasked SSE floating-point exception.
    SimdFloatingPoint = 19,
}

impl Exception {
    /// All of them, by vector.
    pub const ALL: &'static [Self] = &[
        Self::DivideError,
        Self::Debug,
        Self::Breakpoint,
        Self::Overflow,
        Self::BoundRange,
        Self::InvalidOpcode,
        Self::DeviceNotAvailable,
        Self::SegmentNotPresent,
        Self::StackFault,
        Self::GeneralProtection,
        Self::PageFault,
        Self::FloatingPoint,
        Self::AlignmentCheck,
        Self::SimdFloatingPoint,
    ];

    /// The interrupt vector.
    #[must_use]
    pub const fn vector(self) -> u8 {
        self as u8
    }

    /// The SDM's mnemonic, such as `#PF`.
    #[must_use]
    pub const fn mnemonic(self) -> &'static str {
        match self {
            Self::DivideError => "#DE",
            Self::Debug => "#DB",
            Self::Breakpoint => "#BP",
            Self::Overflow => "#OF",
            Self::BoundRange => "#BR",
            Self::InvalidOpcode => "#UD",
            Self::DeviceNotAvailable => "#NM",
            Self::SegmentNotPresent => "#NP",
            Self::StackFault => "#SS",
            Self::GeneralProtection => "#GP",
            Self::PageFault => "#PF",
            Self::FloatingPoint => "#MF",
            Self::AlignmentCheck => "#AC",
            Self::SimdFloatingPoint => "#XM",
        }
    }

    /// Whether it is a trap, raised behind an instruction that has completed, rather than a fault.
    #[must_use]
    pub const fn is_trap(self) -> bool {
        matches!(self, Self::Debug | Self::Breakpoint | Self::Overflow)
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.mnemonic())
    }
}
