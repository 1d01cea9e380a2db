//! What a description may ask for at most: a hostile one must cost the host neither memory nor time.

/// Registers of a set, the instruction pointer included.
pub(crate) const REGISTERS: usize = 64;
/// Flags of a set.
pub(crate) const FLAGS: usize = 32;
/// Rows of a set.
pub(crate) const ROWS: usize = 1024;
/// Rows that share a mnemonic: an assembler tries them one after the other.
pub(crate) const ROWS_OF_A_MNEMONIC: usize = 32;
/// Operands of a row.
pub(crate) const OPERANDS: usize = 8;
/// Bytes of one instruction.
pub(crate) const INSTRUCTION_BYTES: usize = 16;
/// Bytes of memory.
pub(crate) const MEMORY_BYTES: u64 = 256 << 20;
/// Entries of a stack.
pub(crate) const STACK_ENTRIES: u32 = 1 << 24;
/// Bytes of a description, of one effect, and of an assembly source.
pub(crate) const DESCRIPTION_TEXT: usize = 1 << 20;
pub(crate) const EFFECT_TEXT: usize = 4096;
pub(crate) const SOURCE_TEXT: usize = 4 << 20;
/// Operations that an effect compiles to.
pub(crate) const OPERATIONS: usize = 256;
/// Operators in an effect.
pub(crate) const OPERATORS: usize = 128;
/// How deep expressions and blocks of an effect nest.
pub(crate) const DEPTH: usize = 32;
/// Characters of a name.
pub(crate) const NAME: usize = 64;
