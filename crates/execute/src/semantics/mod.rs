//! What integer instructions compute, as pure functions generic over the operand [`Width`].
//!
//! Nothing here knows registers, memory or encodings, so every engine can use these: for results,
//! for flags, or for flags that are worked out only when somebody asks. Flags that the SDM leaves
//! undefined have the values that AMD's Zen 4 gives them.

pub mod binary_arithmetic;
pub mod bit_byte;
pub mod decimal_arithmetic;
pub mod logical;
pub mod shift_rotate;

use pentimento_registers::Eflags;

use crate::Width;

/// SF, ZF and PF as almost every arithmetic instruction sets them from its result.
#[inline(always)]
#[must_use]
pub fn result_flags<W: Width>(result: W) -> Eflags {
    let bits = result.bits();
    let sign = if bits & W::SIGN != 0 { Eflags::SF } else { Eflags::empty() };
    let zero = if bits == 0 { Eflags::ZF } else { Eflags::empty() };
    sign.union(zero).union(parity(bits))
}

/// PF for the low byte of `value`.
#[inline(always)]
#[must_use]
pub fn parity(value: u32) -> Eflags {
    if (value as u8).count_ones() & 1 == 0 { Eflags::PF } else { Eflags::empty() }
}

/// `flag` where `condition` holds, else nothing.
#[inline(always)]
#[must_use]
pub fn flag(flag: Eflags, condition: bool) -> Eflags {
    if condition { flag } else { Eflags::empty() }
}

/// CF and OF together, as multiplications set them.
pub(crate) const CF_OF: Eflags = Eflags::CF.union(Eflags::OF);
