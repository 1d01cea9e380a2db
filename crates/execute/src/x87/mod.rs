//! x87 floating-point instructions (SDM volume 1, chapter 8), a file for each of the manual's groups.

pub(crate) mod arithmetic;
pub(crate) mod comparison;
pub mod constants;
pub mod control;
pub(crate) mod data_transfer;
mod decimal;
mod environment;
pub(crate) mod fxsave;
#[cfg(all(any(target_arch = "x86", target_arch = "x86_64"), any(test, not(feature = "portable-x87"))))]
#[allow(unsafe_code, reason = "inline assembly; argued in the module and listed in docs/unsafe.md")]
pub(crate) mod host;
#[cfg(any(test, feature = "portable-x87", not(any(target_arch = "x86", target_arch = "x86_64"))))]
mod portable;
#[cfg(all(test, target_arch = "x86_64"))]
mod portable_silicon;
#[cfg(any(test, feature = "portable-x87", not(any(target_arch = "x86", target_arch = "x86_64"))))]
mod series;
pub(crate) mod transcendental;
mod unit;
#[cfg(any(test, feature = "portable-x87", not(any(target_arch = "x86", target_arch = "x86_64"))))]
mod wide;

/// Whether transcendental instructions give the bits of the host's own x87 unit, and not those of the
/// software that stands in for it (feature `portable-x87`, and hosts without such a unit).
pub const HAS_HOST_UNIT: bool =
    cfg!(all(any(target_arch = "x86", target_arch = "x86_64"), not(feature = "portable-x87")));
