//! MXCSR, the SSE control and status register (SDM volume 1, section 10.2.3).

use bitflags::bitflags;

bitflags! {
    /// The MXCSR register. Bits outside these are reserved; setting them with LDMXCSR raises #GP.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
    pub struct Mxcsr: u32 {
        /// Invalid-operation flag.
        const IE = 1 << 0;
        /// Denormal flag.
        const DE = 1 << 1;
        /// Divide-by-zero flag.
        const ZE = 1 << 2;
        /// Overflow flag.
        const OE = 1 << 3;
        /// Underflow flag.
        const UE = 1 << 4;
        /// Precision flag.
        const PE = 1 << 5;
        /// Denormals are zeros.
        const DAZ = 1 << 6;
        /// Invalid-operation mask.
        const IM = 1 << 7;
        /// Denormal mask.
        const DM = 1 << 8;
        /// Divide-by-zero mask.
        const ZM = 1 << 9;
        /// Overflow mask.
        const OM = 1 << 10;
        /// Underflow mask.
        const UM = 1 << 11;
        /// Precision mask.
        const PM = 1 << 12;
        /// Rounding control, low bit: 0 nearest, 1 down, 2 up, 3 toward zero.
        const RC0 = 1 << 13;
        /// Rounding control, high bit.
        const RC1 = 1 << 14;
        /// Flush to zero.
        const FZ = 1 << 15;
    }
}

impl Mxcsr {
    /// The value after reset and at process start: all exceptions masked, round to nearest (1F80h).
    pub const INITIAL: Self =
        Self::IM.union(Self::DM).union(Self::ZM).union(Self::OM).union(Self::UM).union(Self::PM);

    /// The six sticky exception flags.
    pub const EXCEPTIONS: Self =
        Self::IE.union(Self::DE).union(Self::ZE).union(Self::OE).union(Self::UE).union(Self::PE);
}
