//! Data transfer (SDM volume 1, section 8.3.2): loads, stores, exchange and conditional moves.

use pentimento_decoder::Instruction;
use pentimento_registers::{Condition, F80};

use super::decimal;
use super::unit::{Data, Unit, check_pending, data, is_memory, load_ten, st_number, store_ten};
use crate::float::{self, Environment, Flags, Format, Integer, Rounding, Unpacked};
use crate::{Context, Outcome};

/// FLD: m32fp (D9h), m64fp (DDh), m80fp (DBh) or ST(i).
pub(crate) fn fld(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    check_pending(context)?;
    if !is_memory(instruction) {
        return fld_register(context, instruction);
    }
    let data = data(context, instruction)?;
    match instruction.opcode() {
        0xd9 => {
            let source = context.load::<u32>(data.segment, data.offset)?.unpack();
            push_converted(context, instruction, data, source);
        }
        0xdd => {
            let source = context.load::<u64>(data.segment, data.offset)?.unpack();
            push_converted(context, instruction, data, source);
        }
        _ => {
            let value = F80::from_le_bytes(load_ten(context, data)?);
            Unit::enter(context, instruction, Some(data)).push_checked(value);
        }
    }
    Ok(())
}

fn fld_register(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let mut unit = Unit::enter(context, instruction, None);
    let number = st_number(instruction);
    if unit.is_empty(number) {
        if unit.stack_underflow() {
            unit.push(F80::INDEFINITE);
        }
    } else {
        let value = unit.st(number);
        unit.push_checked(value);
    }
    Ok(())
}

/// Pushes a single or double, which is exact. An unmasked denormal exception does not keep silicon
/// from pushing, unlike an unmasked invalid-operation exception.
#[inline]
fn push_converted(context: &mut Context<'_>, instruction: &Instruction, data: Data, source: Unpacked) {
    let mut unit = Unit::enter(context, instruction, Some(data));
    if !unit.is_empty(7) {
        unit.push_checked(F80::ZERO);
        return;
    }
    let (value, flags) = float::convert::<F80>(source, &Environment::default());
    unit.raise_only(flags);
    if !unit.is_unmasked(flags & Flags::INVALID) {
        unit.push(value);
    }
}

/// FILD: m16int (DFh /0), m32int (DBh) or m64int (DFh /5).
pub(crate) fn fild(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    check_pending(context)?;
    let data = data(context, instruction)?;
    let Data { segment, offset } = data;
    let value = match (instruction.opcode(), instruction.modrm() >> 3 & 7) {
        (0xdb, _) => i64::from(context.load::<u32>(segment, offset)? as i32),
        (_, 0) => i64::from(context.load::<u16>(segment, offset)? as i16),
        _ => context.load::<u64>(segment, offset)? as i64,
    };
    let (value, _) = float::from_integer::<F80>(value, &Environment::default());
    Unit::enter(context, instruction, Some(data)).push_checked(value);
    Ok(())
}

/// FBLD.
pub(crate) fn fbld(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    check_pending(context)?;
    let data = data(context, instruction)?;
    let value = decimal::unpack(load_ten(context, data)?);
    Unit::enter(context, instruction, Some(data)).push_checked(value);
    Ok(())
}

/// Stores ST(0), converted, and pops it if `pops`. An empty ST(0) stores `indefinite`. Unmasked
/// invalid, overflow and underflow exceptions leave memory and stack alone.
#[inline(always)]
fn store<T: Copy>(
    context: &mut Context<'_>,
    instruction: &Instruction,
    pops: bool,
    indefinite: T,
    length: u32,
    convert: impl Fn(F80, &Environment) -> (T, Flags),
    write: impl Fn(&mut Context<'_>, Data, T) -> Outcome,
) -> Outcome {
    const PREVENTING: Flags = Flags::INVALID.union(Flags::OVERFLOW).union(Flags::UNDERFLOW);
    check_pending(context)?;
    let data = data(context, instruction)?;
    let x87 = &context.state.x87;
    let environment = Environment::from_control_word(x87.control);
    let number = x87.physical(0);
    let empty = x87.in_use & (1 << number) == 0;
    let (value, mut flags) =
        if empty { (indefinite, Flags::INVALID) } else { convert(x87.registers[number], &environment) };
    let completes = !flags.intersects(environment.unmasked & PREVENTING);
    if completes {
        write(context, data, value)?;
    } else {
        context.probe_write(data.segment, data.offset, length)?;
        flags &= PREVENTING;
    }
    let mut unit = Unit::enter(context, instruction, Some(data));
    if empty {
        unit.stack_underflow();
    } else {
        unit.raise_only(flags);
    }
    if completes && pops {
        unit.pop();
    }
    Ok(())
}

/// FST.
pub(crate) fn fst(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    store_float(context, instruction, false)
}

/// FSTP.
pub(crate) fn fstp(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    store_float(context, instruction, true)
}

/// FST and FSTP: m32fp (D9h), m64fp (DDh), m80fp (DBh) or ST(i).
#[inline(always)]
fn store_float(context: &mut Context<'_>, instruction: &Instruction, pops: bool) -> Outcome {
    if !is_memory(instruction) {
        return store_register(context, instruction, pops);
    }
    match instruction.opcode() {
        0xd9 => store(context, instruction, pops, u32::INDEFINITE, 4, narrow, |context, data, value| {
            context.store(data.segment, data.offset, value)
        }),
        0xdd => store(context, instruction, pops, u64::INDEFINITE, 8, narrow, |context, data, value| {
            context.store(data.segment, data.offset, value)
        }),
        _ => {
            let bits = |value, _: &Environment| (value, Flags::empty());
            store(context, instruction, pops, F80::INDEFINITE, 10, bits, |context, data, value| {
                store_ten(context, data, value.to_le_bytes())
            })
        }
    }
}

/// Converts to single or double. A denormal source is not reported: it underflows.
#[inline(always)]
fn narrow<F: Format>(value: F80, environment: &Environment) -> (F, Flags) {
    let value = Unpacked { denormal: false, ..value.unpack() };
    float::convert(value, environment)
}

fn store_register(context: &mut Context<'_>, instruction: &Instruction, pops: bool) -> Outcome {
    check_pending(context)?;
    let mut unit = Unit::enter(context, instruction, None);
    let mut value = unit.st(0);
    if unit.is_empty(0) {
        if instruction.opcode() == 0xd9 {
            // FSTPNCE, the undocumented alias D9h /3, knows no stack underflow and copies nothing then.
            unit.clear_c1();
            unit.pop();
            return Ok(());
        }
        if !unit.stack_underflow() {
            return Ok(());
        }
        value = F80::INDEFINITE;
    } else {
        unit.clear_c1();
    }
    unit.set_st(st_number(instruction), value);
    if pops {
        unit.pop();
    }
    Ok(())
}

/// FIST.
pub(crate) fn fist(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    store_integer(context, instruction, false, None)
}

/// FISTP.
pub(crate) fn fistp(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    store_integer(context, instruction, true, None)
}

/// FISTTP.
pub(crate) fn fisttp(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    store_integer(context, instruction, true, Some(Rounding::Zero))
}

/// The conversion to an integer, rounded as `rounding` or else rounding control says.
#[inline(always)]
fn integer<I: Integer>(rounding: Option<Rounding>) -> impl Fn(F80, &Environment) -> (I, Flags) {
    move |value, environment| float::to_integer(value.unpack(), rounding.unwrap_or(environment.rounding))
}

/// FIST, FISTP and FISTTP: m16int (DFh /1 to /3), m32int (DBh) or m64int (DFh /7, DDh /1).
#[inline(always)]
fn store_integer(
    context: &mut Context<'_>,
    instruction: &Instruction,
    pops: bool,
    rounding: Option<Rounding>,
) -> Outcome {
    match (instruction.opcode(), instruction.modrm() >> 3 & 7) {
        (0xdb, _) => {
            store(context, instruction, pops, i32::MIN, 4, integer(rounding), |context, data, value| {
                context.store(data.segment, data.offset, value as u32)
            })
        }
        (0xdd, _) | (_, 7) => {
            store(context, instruction, pops, i64::MIN, 8, integer(rounding), |context, data, value| {
                context.store(data.segment, data.offset, value as u64)
            })
        }
        _ => store(context, instruction, pops, i16::MIN, 2, integer(rounding), |context, data, value| {
            context.store(data.segment, data.offset, value as u16)
        }),
    }
}

/// FBSTP.
pub(crate) fn fbstp(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    store(context, instruction, true, decimal::INDEFINITE, 10, decimal::pack, store_ten)
}

/// FXCH.
pub(crate) fn fxch(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    check_pending(context)?;
    let mut unit = Unit::enter(context, instruction, None);
    let number = st_number(instruction);
    let (mut first, mut second) = (unit.st(0), unit.st(number));
    if unit.is_empty(0) || unit.is_empty(number) {
        if !unit.stack_underflow() {
            return Ok(());
        }
        if unit.is_empty(0) {
            first = F80::INDEFINITE;
        }
        if unit.is_empty(number) {
            second = F80::INDEFINITE;
        }
    } else {
        unit.clear_c1();
    }
    unit.set_st(0, second);
    unit.set_st(number, first);
    Ok(())
}

/// FCMOVcc: the condition is in bit 0 of the opcode (negated or not) and bits 4:3 of the ModRM byte.
pub(crate) fn fcmov(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    check_pending(context)?;
    let condition = match instruction.modrm() >> 3 & 3 {
        0 => Condition::B,
        1 => Condition::E,
        2 => Condition::Be,
        _ => Condition::P,
    };
    let negated = instruction.opcode() & 1 != 0;
    let holds = condition.holds(context.state.eflags) != negated;
    let mut unit = Unit::enter(context, instruction, None);
    let number = st_number(instruction);
    if unit.is_empty(0) || unit.is_empty(number) {
        if unit.stack_underflow() {
            unit.set_st(0, F80::INDEFINITE);
        }
        return Ok(());
    }
    if holds {
        let value = unit.st(number);
        unit.set_st(0, value);
    }
    Ok(())
}
