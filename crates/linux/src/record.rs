//! Structures as programs see them in memory.

/// Builds a guest structure field by field, little-endian, without alignment of its own.
#[derive(Clone, Default, Debug)]
pub(crate) struct Record(Vec<u8>);

impl Record {
    /// No fields yet.
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Appends a byte.
    pub(crate) fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    /// Appends 16 bits.
    pub(crate) fn u16(mut self, value: u16) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Appends 32 bits.
    pub(crate) fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Appends 64 bits.
    pub(crate) fn u64(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Appends bytes.
    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Appends zeros up to `length` bytes in all.
    pub(crate) fn pad_to(mut self, length: usize) -> Self {
        self.0.resize(self.0.len().max(length), 0);
        self
    }

    /// The structure's bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
