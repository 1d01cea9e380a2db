//! What a frame is known by: a few registers, and the memory that they point to.

use pentimento::AddressSpace;

/// The registers that matter to a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Registers {
    /// The general registers as they are encoded.
    pub(crate) general: [u32; 8],
    pub(crate) eip: u32,
}

/// Guest memory, read as it is: nothing comes in for it.
pub(crate) struct Memory<'a>(pub(crate) &'a AddressSpace);

impl Memory<'_> {
    /// The word at an address.
    pub(crate) fn word(&mut self, address: u32) -> Option<u32> {
        let mut bytes = [0; 4];
        self.0.peek_bytes(address, &mut bytes).ok()?;
        Some(u32::from_le_bytes(bytes))
    }
}
