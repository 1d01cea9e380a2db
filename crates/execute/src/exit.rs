//! Why execution stopped.

use pentimento_memory::Fault;
use pentimento_registers::Exception;

/// Why an engine stopped. The state is precise in every case: EIP is what an exception frame would
/// hold, the faulting instruction's for a fault and the next one's for everything else.
///
/// `#[non_exhaustive]`: there may be further reasons.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Exit {
    /// As many instructions as [`Until`](crate::Until) allows have been executed.
    Budget,
    /// A [`StopHandle`](crate::StopHandle) asked for it. The request is taken; the guest can go on.
    Stopped,
    /// The next instruction has a breakpoint: it is at one of
    /// [`Environment::breakpoints`](crate::Environment::breakpoints).
    Breakpoint,
    /// An [`Observer`](crate::observe::Observer) asked for it.
    Observer,
    /// INT n was executed; EIP is behind it.
    Interrupt(u8),
    /// SYSENTER was executed; EIP is behind it.
    Sysenter,
    /// SYSCALL was executed; EIP is behind it.
    Syscall,
    /// The next instruction is at [`Environment::code_end`](crate::Environment::code_end), or
    /// reaches over it.
    CodeEnd,
    /// The guest raised #PF: an access that the memory refused. Nothing of the instruction has
    /// happened (of a repeated string instruction: exactly the finished iterations), so a host that
    /// provides the page can simply go on.
    PageFault(Fault),
    /// The guest raised an exception other than #PF. For a fault nothing of the instruction has
    /// happened, as above; for a trap ([`Exception::is_trap`]) it has completed.
    Exception {
        /// The exception, which is not #PF.
        exception: Exception,
        /// Its error code, 0 for those that have none.
        error_code: u32,
    },
}

impl Exit {
    /// The exception that was raised, #PF or another, with its error code and, for #PF, the address
    /// in CR2 (else 0): as an exception handler would see it.
    #[must_use]
    pub const fn exception(&self) -> Option<(Exception, u32, u32)> {
        match *self {
            Self::PageFault(fault) => Some((Exception::PageFault, fault.error_code(), fault.address)),
            Self::Exception { exception, error_code } => Some((exception, error_code, 0)),
            _ => None,
        }
    }

    /// Whether the guest was cut off where it could simply have gone on.
    #[must_use]
    pub const fn is_pause(&self) -> bool {
        matches!(self, Self::Budget | Self::Stopped | Self::Breakpoint | Self::Observer)
    }

    /// Whether the instruction that led here has completed, and so counts as executed.
    #[must_use]
    pub const fn completes_instruction(&self) -> bool {
        match self {
            Self::Budget | Self::Stopped | Self::Breakpoint | Self::Observer => false,
            Self::CodeEnd | Self::PageFault(_) => false,
            Self::Interrupt(_) | Self::Sysenter | Self::Syscall => true,
            Self::Exception { exception, .. } => exception.is_trap(),
        }
    }
}
