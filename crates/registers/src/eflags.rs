//! EFLAGS (SDM volume 1, section 3.4.3) and the conditions computed from it (appendix B).

use bitflags::bitflags;

bitflags! {
    /// The EFLAGS register. Bit 1 always reads as one; see [`Eflags::ALWAYS_SET`].
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
    pub struct Eflags: u32 {
        /// Carry.
        const CF = 1 << 0;
        /// Reserved bit 1, which always reads as one.
        const ALWAYS_SET = 1 << 1;
        /// Parity: the low byte of the result has an even number of ones.
        const PF = 1 << 2;
        /// Auxiliary carry out of bit 3.
        const AF = 1 << 4;
        /// Zero.
        const ZF = 1 << 6;
        /// Sign.
        const SF = 1 << 7;
        /// Trap: a debug exception follows each instruction.
        const TF = 1 << 8;
        /// Interrupt enable; user code cannot change it at IOPL 0.
        const IF = 1 << 9;
        /// Direction: string instructions run downwards.
        const DF = 1 << 10;
        /// Overflow.
        const OF = 1 << 11;
        /// I/O privilege level, low bit.
        const IOPL0 = 1 << 12;
        /// I/O privilege level, high bit.
        const IOPL1 = 1 << 13;
        /// Nested task.
        const NT = 1 << 14;
        /// Resume: suppresses one instruction breakpoint.
        const RF = 1 << 16;
        /// Virtual-8086 mode.
        const VM = 1 << 17;
        /// Alignment check.
        const AC = 1 << 18;
        /// Virtual interrupt flag.
        const VIF = 1 << 19;
        /// Virtual interrupt pending.
        const VIP = 1 << 20;
        /// CPUID is available if this bit can be toggled.
        const ID = 1 << 21;
    }
}

impl Eflags {
    /// The six status flags that arithmetic writes: CF, PF, AF, ZF, SF and OF.
    pub const STATUS: Self =
        Self::CF.union(Self::PF).union(Self::AF).union(Self::ZF).union(Self::SF).union(Self::OF);

    /// What POPF can change in user mode at IOPL 0 (SDM volume 2, POPF): the status flags, TF, DF, NT, AC and ID.
    pub const USER_WRITABLE: Self =
        Self::STATUS.union(Self::TF).union(Self::DF).union(Self::NT).union(Self::AC).union(Self::ID);

    /// What a Linux process starts with: interrupts enabled and reserved bit 1.
    pub const INITIAL: Self = Self::IF.union(Self::ALWAYS_SET);
}

/// A condition code `tttn` as Jcc, SETcc and CMOVcc encode it (SDM volume 2, appendix B.1.4.7).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Condition {
    /// Overflow: OF.
    O = 0,
    /// No overflow: not OF.
    No = 1,
    /// Below: CF.
    B = 2,
    /// Above or equal: not CF.
    Ae = 3,
    /// Equal: ZF.
    E = 4,
    /// Not equal: not ZF.
    Ne = 5,
    /// Below or equal: CF or ZF.
    Be = 6,
    /// Above: neither CF nor ZF.
    A = 7,
    /// Sign: SF.
    S = 8,
    /// No sign: not SF.
    Ns = 9,
    /// Parity even: PF.
    P = 10,
    /// Parity odd: not PF.
    Np = 11,
    /// Less: SF differs from OF.
    L = 12,
    /// Greater or equal: SF equals OF.
    Ge = 13,
    /// Less or equal: ZF, or SF differs from OF.
    Le = 14,
    /// Greater: not ZF, and SF equals OF.
    G = 15,
}

impl Condition {
    /// All sixteen, in encoding order.
    pub const ALL: [Self; 16] = [
        Self::O,
        Self::No,
        Self::B,
        Self::Ae,
        Self::E,
        Self::Ne,
        Self::Be,
        Self::A,
        Self::S,
        Self::Ns,
        Self::P,
        Self::Np,
        Self::L,
        Self::Ge,
        Self::Le,
        Self::G,
    ];

    /// The condition with encoding `number`; only the low four bits count.
    #[inline(always)]
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        Self::ALL[(number & 15) as usize]
    }

    /// The encoding, 0 to 15.
    #[inline(always)]
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Whether the condition holds under `flags`.
    #[inline(always)]
    #[must_use]
    pub const fn holds(self, flags: Eflags) -> bool {
        let sign_differs = flags.contains(Eflags::SF) != flags.contains(Eflags::OF);
        let base = match self as u8 >> 1 {
            0 => flags.contains(Eflags::OF),
            1 => flags.contains(Eflags::CF),
            2 => flags.contains(Eflags::ZF),
            3 => flags.intersects(Eflags::CF.union(Eflags::ZF)),
            4 => flags.contains(Eflags::SF),
            5 => flags.contains(Eflags::PF),
            6 => sign_differs,
            _ => sign_differs || flags.contains(Eflags::ZF),
        };
        base != (self as u8 & 1 == 1)
    }

    /// The flags that the condition reads.
    #[must_use]
    pub const fn flags_read(self) -> Eflags {
        match self as u8 >> 1 {
            0 => Eflags::OF,
            1 => Eflags::CF,
            2 => Eflags::ZF,
            3 => Eflags::CF.union(Eflags::ZF),
            4 => Eflags::SF,
            5 => Eflags::PF,
            6 => Eflags::SF.union(Eflags::OF),
            _ => Eflags::SF.union(Eflags::OF).union(Eflags::ZF),
        }
    }

    /// The mnemonic suffix in lower case, such as `ae`.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        ["o", "no", "b", "ae", "e", "ne", "be", "a", "s", "ns", "p", "np", "l", "ge", "le", "g"]
            [self as usize]
    }
}
