//! Why a handler did not simply complete.

use pentimento_memory::Fault;
use pentimento_registers::Exception;

/// What a handler returns instead of completing: the engine turns it into an [`Exit`](crate::Exit).
///
/// Exhaustive on purpose: an engine that does not know one of these cannot run the instruction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Trap {
    /// A fault other than #PF: nothing of the instruction has happened (a repeated string
    /// instruction: exactly the finished iterations), and EIP goes back to its start.
    Fault {
        /// Which exception.
        exception: Exception,
        /// Its error code, 0 for those that have none.
        error_code: u32,
    },
    /// #PF, likewise: the access that the memory refused.
    PageFault(Fault),
    /// A trap: the instruction has completed, and EIP stays behind it.
    After(Exception),
    /// INT n.
    Interrupt(u8),
    /// SYSENTER.
    Sysenter,
    /// SYSCALL.
    Syscall,
}

/// What a handler returns.
pub type Outcome<T = ()> = Result<T, Trap>;

impl Trap {
    /// #UD.
    pub const INVALID_OPCODE: Self = Self::fault(Exception::InvalidOpcode, 0);
    /// #GP(0).
    pub const GENERAL_PROTECTION: Self = Self::fault(Exception::GeneralProtection, 0);
    /// #DE.
    pub const DIVIDE_ERROR: Self = Self::fault(Exception::DivideError, 0);
    /// #AC(0).
    pub const ALIGNMENT_CHECK: Self = Self::fault(Exception::AlignmentCheck, 0);

    /// A fault other than #PF.
    #[must_use]
    pub const fn fault(exception: Exception, error_code: u32) -> Self {
        Self::Fault { exception, error_code }
    }

    /// Whether the instruction has not completed and starts again.
    #[must_use]
    pub const fn is_fault(&self) -> bool {
        matches!(self, Self::Fault { .. } | Self::PageFault(_))
    }
}

impl From<Fault> for Trap {
    #[cold]
    fn from(fault: Fault) -> Self {
        Self::PageFault(fault)
    }
}
