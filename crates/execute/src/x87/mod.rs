//! x87 floating-point instructions (SDM volume 1, chapter 8), a file for each of the manual's groups.

pub(crate) mod arithmetic;
pub(crate) mod comparison;
pub(crate) mod constants;
pub(crate) mod control;
pub(crate) mod data_transfer;
mod decimal;
mod environment;
pub(crate) mod fxsave;
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
#[allow(unsafe_code, reason = "inline assembly; argued in the module and listed in docs/unsafe.md")]
pub(crate) mod host;
pub(crate) mod transcendental;
mod unit;
