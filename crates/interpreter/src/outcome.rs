//! How an operation ends.

/// Why an operation has done nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Miss {
    /// It takes the reference to execute it: a page fault, a device, a write to code...
    Slow,
    /// It needs flags in EFLAGS.
    Flags,
}

/// What an operation returns.
pub(crate) type Done<T = ()> = Result<T, Miss>;
