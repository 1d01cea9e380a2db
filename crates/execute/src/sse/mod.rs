//! SSE to SSE4.2, AES, SHA and the like, and those instructions that exist on MMX registers too.
//!
//! A handler here fetches operands, calls a pure function of [`vector`](crate::vector), and
//! stores. The order of checks is silicon's: a pending #MF (MMX registers only), then segment
//! limit and alignment (#GP), then the page (#PF), then #XM.

pub(crate) mod bit_field;
pub(crate) mod data_transfer;
pub(crate) mod element;
pub(crate) mod floating_point;
pub(crate) mod operand;
pub(crate) mod packed;
pub(crate) mod state;
pub(crate) mod string_compare;
