//! Why execution stopped.

/// An architectural exception (SDM volume 3, section 6.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
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
    /// The interrupt vector.
    #[must_use]
    pub const fn vector(self) -> u8 {
        self as u8
    }

    /// Whether it is a trap, raised behind an instruction that has completed, rather than a fault.
    #[must_use]
    pub const fn is_trap(self) -> bool {
        matches!(self, Self::Debug | Self::Breakpoint | Self::Overflow)
    }
}

/// An exception that was raised. For a fault nothing of the instruction has happened (for a
/// repeated string instruction: exactly the finished iterations); for a trap it has completed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Event {
    /// Which one.
    pub exception: Exception,
    /// The error code: 0 for those that have none. For #PF bit 0 is set on a protection
    /// violation, bit 1 on a write, bit 2 always (user mode), bit 4 on an instruction fetch.
    pub error_code: u32,
    /// The faulting linear address (CR2) for #PF, else 0.
    pub address: u32,
    /// EIP as the exception frame would hold it: the faulting instruction's, or the next one's after a trap.
    pub eip: u32,
}

/// Why an engine's `run` returned. The state is precise in every case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Exit {
    /// The instruction budget is used up.
    Budget,
    /// INT n was executed; EIP is behind it.
    Interrupt(u8),
    /// SYSENTER was executed; EIP is behind it.
    Sysenter,
    /// SYSCALL was executed; EIP is behind it.
    Syscall,
    /// The next instruction is at [`Environment::code_end`](crate::Environment::code_end), or
    /// reaches over it.
    CodeEnd,
    /// The guest raised an exception.
    Exception(Event),
}

impl Exit {
    /// Whether the instruction that led here has completed, and so counts as executed.
    #[must_use]
    pub const fn completes_instruction(&self) -> bool {
        match self {
            Self::Budget | Self::CodeEnd => false,
            Self::Interrupt(_) | Self::Sysenter | Self::Syscall => true,
            Self::Exception(event) => event.exception.is_trap(),
        }
    }
}
