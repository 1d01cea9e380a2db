//! Memory-mapped I/O: pages whose loads and stores call the host.

/// A device behind mapped pages.
///
/// Loads and stores within one page arrive whole, with their size in bytes (1, 2, 4 or 8; a
/// 16-byte access arrives as two of 8, lower half first); those that cross a page, and block
/// transfers, arrive byte by byte.
pub trait MmioHandler: Send {
    /// A load of `size` bytes at `offset` bytes from the mapping's start: the value, of which the
    /// low `size` bytes count.
    fn read(&mut self, offset: u32, size: u32) -> u64;

    /// A store of the low `size` bytes of `value` at `offset` bytes from the mapping's start.
    fn write(&mut self, offset: u32, size: u32, value: u64);
}
