//! What operations on general registers, flags, the stack and memory do.

pub(crate) mod arithmetic;
pub(crate) mod bit_byte;
pub(crate) mod exchange;
pub(crate) mod flag_control;
pub(crate) mod indirect;
pub(crate) mod string;
pub(crate) mod thread_local;
pub(crate) mod transfer;
