//! What every handler of a system call is given.

/// EBX, ECX, EDX, ESI, EDI and EBP of a system call.
pub(crate) type Arguments = [u32; 6];
