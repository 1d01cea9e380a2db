//! The floating-point unit: what handlers keep of its state, its operands, and what its operations do.

pub(crate) mod arithmetic;
pub(crate) mod operand;
pub(crate) mod transfer;
pub(crate) mod unit;
