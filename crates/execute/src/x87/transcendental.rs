//! Transcendental instructions (SDM volume 1, sections 8.3.7 to 8.3.10).
//!
//! They are not correctly rounded on any silicon. Where the host has an x87 unit its answers are
//! the guest's, bit for bit; elsewhere [`portable`](super::portable) computes them to within one
//! unit in the last place. See docs/deviations.md.

use pentimento_decoder::Instruction;
use pentimento_registers::{F80, StatusWord};

use super::unit::{Unit, check_pending};
use crate::float::{Flags, Format};
use crate::{Context, Outcome};

#[cfg(all(any(target_arch = "x86", target_arch = "x86_64"), not(feature = "portable-x87")))]
use super::host as functions;
#[cfg(any(feature = "portable-x87", not(any(target_arch = "x86", target_arch = "x86_64"))))]
use super::portable as functions;

/// What a function found.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Answer {
    /// The result, or the new ST(0) of two.
    pub(super) value: F80,
    /// The new ST(1) of two results.
    pub(super) second: F80,
    /// Exceptions, found with invalid, denormal and zero-divide masked.
    pub(super) flags: Flags,
    /// The operand of a trigonometric function was 2^63 or more in magnitude: nothing was computed.
    pub(super) out_of_range: bool,
}

/// Raises what a function found. An unmasked exception found before computing is then the only one.
fn raise(unit: &mut Unit<'_>, flags: Flags) -> bool {
    let before = flags & Flags::BEFORE_COMPUTATION;
    unit.raise(if unit.is_unmasked(before) { before } else { flags })
}

/// A function of ST(0) that replaces it.
fn unary(
    context: &mut Context<'_>,
    instruction: &Instruction,
    trigonometric: bool,
    function: impl Fn(F80, u16) -> Answer,
) -> Outcome {
    check_pending(context)?;
    let mut unit = Unit::enter(context, instruction, None);
    if trigonometric {
        unit.x87.status.remove(StatusWord::C2);
    }
    if unit.is_empty(0) {
        if unit.stack_underflow() {
            unit.set_st(0, F80::INDEFINITE);
        }
        return Ok(());
    }
    let answer = function(unit.st(0), unit.x87.control.bits());
    if raise(&mut unit, answer.flags) {
        unit.set_st(0, answer.value);
    }
    unit.x87.status.set(StatusWord::C2, answer.out_of_range || unit.x87.status.contains(StatusWord::C2));
    Ok(())
}

/// FSIN.
pub(crate) fn fsin(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    unary(context, instruction, true, functions::sine)
}

/// FCOS.
pub(crate) fn fcos(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    unary(context, instruction, true, functions::cosine)
}

/// F2XM1.
pub(crate) fn f2xm1(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    unary(context, instruction, false, functions::power)
}

/// A trigonometric function of ST(0) that replaces it and pushes a second result.
fn pushing(
    context: &mut Context<'_>,
    instruction: &Instruction,
    function: impl Fn(F80, u16) -> Answer,
) -> Outcome {
    check_pending(context)?;
    let mut unit = Unit::enter(context, instruction, None);
    unit.x87.status.remove(StatusWord::C2);
    let (first, second) = if unit.is_empty(0) {
        if !unit.stack_underflow() {
            return Ok(());
        }
        (F80::INDEFINITE, F80::INDEFINITE)
    } else if !unit.is_empty(7) {
        if !unit.stack_overflow() {
            return Ok(());
        }
        (F80::INDEFINITE, F80::INDEFINITE)
    } else {
        let answer = function(unit.st(0), unit.x87.control.bits());
        unit.x87.status.set(StatusWord::C2, answer.out_of_range);
        if !raise(&mut unit, answer.flags) || answer.out_of_range {
            return Ok(());
        }
        (answer.value, answer.second)
    };
    unit.set_st(0, second);
    unit.push(first);
    Ok(())
}

/// FSINCOS.
pub(crate) fn fsincos(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    pushing(context, instruction, functions::sine_and_cosine)
}

/// FPTAN.
pub(crate) fn fptan(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    pushing(context, instruction, functions::tangent)
}

/// A function of ST(0) and ST(1) that replaces ST(1) and pops.
fn popping(
    context: &mut Context<'_>,
    instruction: &Instruction,
    function: impl Fn(F80, F80, u16) -> Answer,
) -> Outcome {
    check_pending(context)?;
    let mut unit = Unit::enter(context, instruction, None);
    let value = if unit.is_empty(0) || unit.is_empty(1) {
        if !unit.stack_underflow() {
            return Ok(());
        }
        F80::INDEFINITE
    } else {
        let answer = function(unit.st(0), unit.st(1), unit.x87.control.bits());
        if !raise(&mut unit, answer.flags) {
            return Ok(());
        }
        answer.value
    };
    unit.set_st(1, value);
    unit.pop();
    Ok(())
}

/// FPATAN.
pub(crate) fn fpatan(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    popping(context, instruction, functions::arctangent)
}

/// FYL2X.
pub(crate) fn fyl2x(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    popping(context, instruction, functions::logarithm)
}

/// FYL2XP1.
pub(crate) fn fyl2xp1(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    popping(context, instruction, functions::logarithm_of_successor)
}
