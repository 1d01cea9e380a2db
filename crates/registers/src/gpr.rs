//! General registers by their encoding numbers (SDM volume 2, section 2.1.5).

use core::fmt;

/// A 32-bit general register; its low half is the 16-bit register of the same number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Gpr {
    /// Accumulator.
    Eax = 0,
    /// Counter.
    Ecx = 1,
    /// Data; high half of wide products and dividends.
    Edx = 2,
    /// Base.
    Ebx = 3,
    /// Stack pointer.
    Esp = 4,
    /// Frame pointer.
    Ebp = 5,
    /// Source index.
    Esi = 6,
    /// Destination index.
    Edi = 7,
}

impl Gpr {
    /// All eight, in encoding order.
    pub const ALL: [Self; 8] =
        [Self::Eax, Self::Ecx, Self::Edx, Self::Ebx, Self::Esp, Self::Ebp, Self::Esi, Self::Edi];

    /// The register with encoding `number`; only the low three bits count.
    #[inline(always)]
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        Self::ALL[(number & 7) as usize]
    }

    /// The encoding, 0 to 7.
    #[inline(always)]
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The 32-bit name in lower case, such as `eax`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"][self as usize]
    }

    /// The 16-bit name in lower case, such as `ax`.
    #[must_use]
    pub const fn name16(self) -> &'static str {
        ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"][self as usize]
    }
}

impl fmt::Display for Gpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// An 8-bit general register: the low byte of one of the first four, or their second byte.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Gpr8 {
    /// EAX bits 7:0.
    Al = 0,
    /// ECX bits 7:0.
    Cl = 1,
    /// EDX bits 7:0.
    Dl = 2,
    /// EBX bits 7:0.
    Bl = 3,
    /// EAX bits 15:8.
    Ah = 4,
    /// ECX bits 15:8.
    Ch = 5,
    /// EDX bits 15:8.
    Dh = 6,
    /// EBX bits 15:8.
    Bh = 7,
}

impl Gpr8 {
    /// All eight, in encoding order.
    pub const ALL: [Self; 8] =
        [Self::Al, Self::Cl, Self::Dl, Self::Bl, Self::Ah, Self::Ch, Self::Dh, Self::Bh];

    /// The register with encoding `number`; only the low three bits count.
    #[inline(always)]
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        Self::ALL[(number & 7) as usize]
    }

    /// The encoding, 0 to 7.
    #[inline(always)]
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The 32-bit register that holds this byte.
    #[inline(always)]
    #[must_use]
    pub const fn parent(self) -> Gpr {
        Gpr::from_number(self as u8 & 3)
    }

    /// The position of this byte within its parent: 0 or 8 bits.
    #[inline(always)]
    #[must_use]
    pub const fn shift(self) -> u32 {
        (self as u32 & 4) << 1
    }

    /// The name in lower case, such as `al`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        ["al", "cl", "dl", "bl", "ah", "ch", "dh", "bh"][self as usize]
    }
}

impl fmt::Display for Gpr8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
