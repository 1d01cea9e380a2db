//! Software IEEE 754 arithmetic with the exceptions of x86: the one floating-point core under
//! the x87 and SSE instructions.
//!
//! Values are raw bits: `u32` (single), `u64` (double) and [`F80`](pentimento_registers::F80)
//! (double extended), each a [`Format`]. Every operation takes the same way: [`Format::unpack`]
//! operands, compute on 64- or 128-bit significands, and [`round_pack`] once. It returns the
//! result with the [`Flags`] that it raised, and keeps no state.
//!
//! ```text
//! let rules = Rules::from_mxcsr(mxcsr);
//! let (sum, flags) = float::add::<u64>(a.unpack_in(&rules), b.unpack_in(&rules), &rules);
//! if flags.intersects(rules.unmasked) { /* #XM, nothing written */ }
//! ```
//!
//! What the caller still decides: where sticky flags are kept, whether an unmasked exception
//! means that nothing is written (SSE, x87 invalid, denormal and zero-divide) or that the result
//! is written all the same (x87 inexact; x87 overflow and underflow into a register, whose
//! exponent comes wrapped as SDM volume 1, sections 8.5.4 and 8.5.5, demand).
//!
//! `rustc_apfloat` was considered and does not fit: it has no precision control with extended
//! exponent range, no square root, no partial remainder with quotient bits, no unnormals and
//! pseudo-denormals, no denormal-operand exception, no wrapped results, and it does not say
//! whether a result was rounded up (C1).

mod arithmetic;
mod compare;
mod convert;
pub mod extended;
mod format;
mod nan;
mod remainder;
mod round;
mod rules;
mod scale;

pub use arithmetic::{add, div, mul, sqrt, sub};
pub use compare::{Relation, compare};
pub use convert::{Integer, convert, from_integer, round_to_integral, to_integer};
pub use format::{Class, Format, Unpacked};
pub use nan::propagate;
pub use remainder::{Progress, Quotient, Remainder, remainder};
pub use round::round_pack;
pub use rules::{Flags, NanRule, Precision, Rounding, Rules};
pub use scale::{extract, scale};

#[cfg(all(test, target_arch = "x86_64"))]
pub(crate) mod silicon;
