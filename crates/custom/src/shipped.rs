//! The instruction sets that ship with the crate, as the TOML that they are.

/// `softmachine`: four registers and a zero flag, words of eight hexadecimal digits, a stack of its own.
pub const SOFTMACHINE: &str = include_str!("../sets/softmachine.toml");

/// `lowbyte`: ten registers of 32 bits, three flags, 1 MiB of memory, code of bytes.
pub const LOWBYTE: &str = include_str!("../sets/lowbyte.toml");

/// Name and TOML text of each set that ships with the crate.
pub const SHIPPED: &[(&str, &str)] = &[("softmachine", SOFTMACHINE), ("lowbyte", LOWBYTE)];
