//! MMX and XMM registers: moves, packed integers, floating point, conversions, comparisons.
//!
//! What they compute are the functions of [`vector`](pentimento_execute::vector), resolved when this is
//! compiled, so that most become the host's own vector instruction between a load and a store.
//! Misaligned operands and unmasked exceptions are for the reference.

pub(crate) mod float;
pub(crate) mod operand;
pub(crate) mod packed;
pub(crate) mod transfer;
