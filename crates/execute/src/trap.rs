//! Why a handler did not simply complete.

use pentimento_memory::{Access, Fault, FaultKind};

use crate::Exception;

/// What a handler returns instead of completing: the engine turns it into an [`Exit`](crate::Exit).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Trap {
    /// A fault: nothing of the instruction has happened (a repeated string instruction: exactly
    /// the finished iterations), and EIP goes back to its start.
    Fault {
        /// Which exception.
        exception: Exception,
        /// Its error code, 0 for those that have none.
        error_code: u32,
        /// CR2 for #PF, else 0.
        address: u32,
    },
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
        Self::Fault { exception, error_code, address: 0 }
    }
}

impl From<Fault> for Trap {
    /// #PF with the error code of SDM volume 3, section 4.7; the access came from user mode.
    #[cold]
    fn from(fault: Fault) -> Self {
        const PRESENT: u32 = 1;
        const WRITE: u32 = 2;
        const USER: u32 = 4;
        const FETCH: u32 = 16;
        let kind = match fault.kind {
            FaultKind::Protected => PRESENT,
            // To the guest, a page that the host cannot provide is one that is not there.
            FaultKind::NotMapped
            | FaultKind::OutOfMemory
            | FaultKind::BeyondEnd
            | FaultKind::Busy
            | FaultKind::Device => 0,
        };
        let access = match fault.access {
            Access::Read => 0,
            Access::Write => WRITE,
            Access::Execute => FETCH,
        };
        Self::Fault {
            exception: Exception::PageFault,
            error_code: USER | kind | access,
            address: fault.address,
        }
    }
}
