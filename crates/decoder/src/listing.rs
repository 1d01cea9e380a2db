//! Machine code from its first byte to its last.

use core::fmt;

use crate::{DecodeError, Formatter, Instruction, decode};

/// The instructions in `bytes`, of which the first lies at `address`. Bytes that are no instruction
/// come one at a time, each with its error, so that every byte is in exactly one item.
///
/// ```
/// use pentimento_decoder::{DecodeErrorKind, listing};
///
/// let lines: Vec<_> = listing(&[0x90, 0x0f, 0x04, 0x01], 0x1000).collect();
/// assert_eq!(lines[0].to_string(), "nop");
/// assert_eq!(lines[1].instruction.unwrap_err().kind, DecodeErrorKind::Undefined);
/// assert_eq!((lines[1].address, lines[1].bytes), (0x1001, &[0x0f][..]));
/// ```
#[must_use]
pub const fn listing(bytes: &[u8], address: u32) -> Listing<'_> {
    Listing { bytes, address }
}

/// The iterator of [`listing`].
#[derive(Clone, Debug)]
pub struct Listing<'a> {
    bytes: &'a [u8],
    address: u32,
}

/// An instruction with its place and bytes, or a byte that begins none. It prints as the text of
/// [`Instruction::display`] there, or as `db 0FFh`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listed<'a> {
    /// The address of its first byte.
    pub address: u32,
    /// Its bytes; one where there is no instruction.
    pub bytes: &'a [u8],
    /// What they are.
    pub instruction: Result<Instruction, DecodeError>,
}

impl<'a> Iterator for Listing<'a> {
    type Item = Listed<'a>;

    fn next(&mut self) -> Option<Listed<'a>> {
        if self.bytes.is_empty() {
            return None;
        }
        let instruction = decode(self.bytes);
        let length = instruction.map_or(1, |instruction| usize::from(instruction.length()));
        let (bytes, rest) = self.bytes.split_at_checked(length)?;
        let address = self.address;
        self.bytes = rest;
        self.address = address.wrapping_add(length as u32);
        Some(Listed { address, bytes, instruction })
    }
}

impl core::iter::FusedIterator for Listing<'_> {}

impl Listed<'_> {
    /// Writes it as `formatter` does.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, formatter: &Formatter<'_>, out: &mut dyn fmt::Write) -> fmt::Result {
        match &self.instruction {
            Ok(instruction) => formatter.write(instruction, self.address, out),
            Err(_) => formatter.write_data(self.bytes.first().copied().unwrap_or_default(), out),
        }
    }
}

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(&Formatter::default(), f)
    }
}
