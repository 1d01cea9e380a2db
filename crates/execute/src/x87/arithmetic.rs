//! Basic arithmetic (SDM volume 1, section 8.3.3): addition to square root, remainders, rounding,
//! scaling, and sign changes.

use pentimento_decoder::Instruction;
use pentimento_registers::{F80, StatusWord};

use super::unit::{Unit, check_pending, data, is_memory, load, st_number};
use crate::float::{self, Flags, Format, Progress, Quotient, Rules, Unpacked};
use crate::{Context, Outcome};

/// Loads the memory operand of an instruction that calculates or compares, taken apart: m32fp,
/// m32int, m64fp or m16int, as the opcode says. A macro, so that no `Result` with an [`Unpacked`] in it
/// goes through memory.
macro_rules! load_source {
    ($context:expr, $opcode:expr, $data:expr) => {
        match $opcode & 6 {
            0 => Format::unpack(load::<u32>($context, $data)?),
            2 => from_integer(load::<u32>($context, $data)? as i32),
            4 => Format::unpack(load::<u64>($context, $data)?),
            _ => from_integer((load::<u16>($context, $data)? as i16).into()),
        }
    };
}
pub(super) use load_source;

/// An integer operand, taken apart.
#[inline(always)]
pub(super) fn from_integer(value: i32) -> Unpacked {
    Unpacked::finite(value < 0, 63, value.unsigned_abs().into())
}

/// An instruction of two operands in all its forms: ST(0) and memory (D8h, DAh, DCh, DEh), ST(0)
/// and ST(i) (D8h), ST(i) and ST(0) (DCh), the last with a pop (DEh).
#[inline(always)]
fn binary<O: Computation>(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    check_pending(context)?;
    let opcode = instruction.opcode();
    let mut unit;
    let (destination, pops, empty, source);
    if is_memory(instruction) {
        let data = data(context, instruction)?;
        source = load_source!(context, opcode, data);
        unit = Unit::enter(context, instruction, Some(data));
        (destination, pops, empty) = (0, false, unit.is_empty(0));
    } else {
        unit = Unit::enter(context, instruction, None);
        let number = st_number(instruction);
        let reversed = opcode & 4 != 0;
        destination = if reversed { number } else { 0 };
        source = unit.unpack(if reversed { 0 } else { number });
        (pops, empty) = (opcode & 2 != 0, unit.is_empty(0) || unit.is_empty(number));
    }
    if empty {
        underflow(&mut unit, destination, pops);
        return Ok(());
    }
    let (value, flags) = O::compute(unit.unpack(destination), source, &unit.rules());
    if unit.raise(flags) {
        unit.set_st(destination, value);
        if pops {
            unit.pop();
        }
    }
    Ok(())
}

/// Responds to an empty operand.
#[cold]
#[inline(never)]
fn underflow(unit: &mut Unit<'_>, destination: u8, pops: bool) {
    if unit.stack_underflow() {
        unit.set_st(destination, F80::INDEFINITE);
        if pops {
            unit.pop();
        }
    }
}

/// What an instruction of two operands computes. A trait rather than a closure, so that it is
/// inlined: operands and results stay in host registers, which halves the time.
trait Computation {
    fn compute(destination: Unpacked, source: Unpacked, rules: &Rules) -> (F80, Flags);
}

/// Declares the instructions of two operands.
macro_rules! binary_instructions {
    ($($(#[$documentation:meta])* $name:ident: |$destination:ident, $source:ident, $rules:ident| $result:expr;)*) => {$(
        $(#[$documentation])*
        pub(crate) fn $name(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
            struct This;
            impl Computation for This {
                #[inline(always)]
                fn compute($destination: Unpacked, $source: Unpacked, $rules: &Rules) -> (F80, Flags) {
                    $result
                }
            }
            binary::<This>(context, instruction)
        }
    )*};
}

binary_instructions! {
    /// FADD, FADDP, FIADD.
    fadd: |destination, source, rules| float::add(destination, source, rules);
    /// FMUL, FMULP, FIMUL.
    fmul: |destination, source, rules| float::mul(destination, source, rules);
    /// FSUB, FSUBP, FISUB.
    fsub: |destination, source, rules| float::sub(destination, source, rules);
    /// FSUBR, FSUBRP, FISUBR.
    fsubr: |destination, source, rules| float::sub(source, destination, rules);
    /// FDIV, FDIVP, FIDIV.
    fdiv: |destination, source, rules| float::div(destination, source, rules);
    /// FDIVR, FDIVRP, FIDIVR.
    fdivr: |destination, source, rules| float::div(source, destination, rules);
}

/// An instruction on ST(0) alone.
#[inline(always)]
fn unary(
    context: &mut Context<'_>,
    instruction: &Instruction,
    operation: impl Fn(F80, &Rules) -> (F80, Flags),
) -> Outcome {
    check_pending(context)?;
    let mut unit = Unit::enter(context, instruction, None);
    if unit.is_empty(0) {
        if unit.stack_underflow() {
            unit.set_st(0, F80::INDEFINITE);
        }
        return Ok(());
    }
    let (value, flags) = operation(unit.st(0), &unit.rules());
    if unit.raise(flags) {
        unit.set_st(0, value);
    }
    Ok(())
}

/// FABS.
pub(crate) fn fabs(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    unary(context, instruction, |value, _| {
        (F80::new(value.sign_exponent & 0x7fff, value.significand), Flags::empty())
    })
}

/// FCHS.
pub(crate) fn fchs(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    unary(context, instruction, |value, _| {
        (F80::new(value.sign_exponent ^ 0x8000, value.significand), Flags::empty())
    })
}

/// FRNDINT.
pub(crate) fn frndint(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    unary(context, instruction, |value, rules| float::round_to_integral(value.unpack(), rules))
}

/// FSQRT.
pub(crate) fn fsqrt(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    unary(context, instruction, |value, rules| float::sqrt(value.unpack(), rules))
}

/// FSCALE.
pub(crate) fn fscale(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    check_pending(context)?;
    let mut unit = Unit::enter(context, instruction, None);
    if unit.is_empty(0) || unit.is_empty(1) {
        if unit.stack_underflow() {
            unit.set_st(0, F80::INDEFINITE);
        }
        return Ok(());
    }
    let rules = unit.rules().with_extended_precision();
    let (value, flags) = float::scale(unit.unpack(0), unit.unpack(1), &rules);
    if unit.raise(flags) {
        unit.set_st(0, value);
    }
    Ok(())
}

/// FPREM.
pub(crate) fn fprem(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    remainder(context, instruction, Quotient::Truncated)
}

/// FPREM1.
pub(crate) fn fprem1(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    remainder(context, instruction, Quotient::Nearest)
}

fn remainder(context: &mut Context<'_>, instruction: &Instruction, quotient: Quotient) -> Outcome {
    check_pending(context)?;
    let mut unit = Unit::enter(context, instruction, None);
    unit.x87.status.remove(StatusWord::C2);
    if unit.is_empty(0) || unit.is_empty(1) {
        if unit.stack_underflow() {
            unit.set_st(0, F80::INDEFINITE);
        }
        return Ok(());
    }
    let result = float::remainder(unit.unpack(0), unit.unpack(1), quotient, &unit.rules());
    if !unit.raise(result.flags) {
        return Ok(());
    }
    unit.set_st(0, result.value);
    let mut conditions = StatusWord::empty();
    match result.progress {
        Progress::NoQuotient => return Ok(()),
        Progress::Partial => conditions.insert(StatusWord::C2),
        Progress::Complete(bits) => {
            conditions.set(StatusWord::C0, bits & 4 != 0);
            conditions.set(StatusWord::C3, bits & 2 != 0);
            unit.x87.status.set(StatusWord::C1, bits & 1 != 0);
        }
    }
    unit.set_conditions(conditions);
    Ok(())
}

/// FXTRACT.
pub(crate) fn fxtract(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    check_pending(context)?;
    let mut unit = Unit::enter(context, instruction, None);
    let (exponent, significand) = if unit.is_empty(0) {
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
        let (exponent, significand, flags) = float::extract(unit.unpack(0), &unit.rules());
        if !unit.raise(flags) {
            return Ok(());
        }
        (exponent, significand)
    };
    unit.set_st(0, exponent);
    unit.push(significand);
    Ok(())
}
