//! Data transfer (SDM volume 1, section 8.3.2): loads, stores, exchange and conditional moves.

use core::marker::PhantomData;

use pentimento_decoder::Instruction;
use pentimento_memory::Value;
use pentimento_registers::{Condition, F80};

use super::decimal;
use super::unit::{self, Data, Unit, check_pending, data, is_memory, load, load_ten, st_number, store_ten};
use crate::float::{self, Flags, Format, Rounding, Rules, Unpacked};
use crate::{Context, Outcome};

/// FLD: m32fp (D9h), m64fp (DDh), m80fp (DBh) or ST(i).
pub(crate) fn fld(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    check_pending(context)?;
    if !is_memory(instruction) {
        return fld_register(context, instruction);
    }
    let data = data(context, instruction)?;
    let source = match instruction.opcode() {
        0xd9 => load::<u32>(context, data)?.unpack(),
        0xdd => load::<u64>(context, data)?.unpack(),
        _ => {
            let value = F80::from_le_bytes(load_ten(context, data)?);
            Unit::enter(context, instruction, Some(data)).push_checked(value);
            return Ok(());
        }
    };
    let mut unit = Unit::enter(context, instruction, Some(data));
    if source.is_normal() && unit.is_empty(7) {
        unit.clear_c1();
        unit.push(F80::pack(source.negative, source.exponent, source.significand));
    } else {
        push_converted(&mut unit, source);
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
#[cold]
fn push_converted(unit: &mut Unit<'_>, source: Unpacked) {
    if !unit.is_empty(7) {
        unit.push_checked(F80::ZERO);
        return;
    }
    let (value, flags) = float::convert::<F80>(source, &Rules::default());
    unit.raise_only(flags);
    if !unit.is_unmasked(flags & Flags::INVALID) {
        unit.push(value);
    }
}

/// FILD: m16int (DFh /0), m32int (DBh) or m64int (DFh /5).
pub(crate) fn fild(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    check_pending(context)?;
    let data = data(context, instruction)?;
    let value = match (instruction.opcode(), instruction.modrm() >> 3 & 7) {
        (0xdb, _) => i64::from(load::<u32>(context, data)? as i32),
        (_, 0) => i64::from(load::<u16>(context, data)? as i16),
        _ => load::<u64>(context, data)? as i64,
    };
    let (value, _) = float::from_integer::<F80>(value, &Rules::default());
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

/// A kind of memory operand that ST(0) is stored to. A trait rather than closures, so that it is
/// inlined.
trait Destination {
    /// What is stored.
    type Value: Copy;
    /// Bytes in memory.
    const LENGTH: u32;
    /// What an empty ST(0) stores.
    const INDEFINITE: Self::Value;
    /// Converts ST(0).
    fn convert(value: F80, rules: &Rules) -> (Self::Value, Flags);
    /// Stores.
    fn write(context: &mut Context<'_>, data: Data, value: Self::Value) -> Outcome;
}

/// m32fp or m64fp, by its bits.
struct Float<F>(PhantomData<F>);

impl<F: Format + Value> Destination for Float<F> {
    type Value = F;
    const LENGTH: u32 = size_of::<F>() as u32;
    const INDEFINITE: F = F::INDEFINITE;

    #[inline(always)]
    fn convert(value: F80, rules: &Rules) -> (F, Flags) {
        let value = value.unpack();
        if value.is_normal() {
            return float::round_pack(value.negative, value.exponent, value.significand, 0, rules);
        }
        // A denormal source is not reported: it underflows.
        float::convert(Unpacked { denormal: false, ..value }, rules)
    }

    #[inline(always)]
    fn write(context: &mut Context<'_>, data: Data, value: F) -> Outcome {
        unit::store(context, data, value)
    }
}

/// m80fp.
struct Extended;

impl Destination for Extended {
    type Value = F80;
    const LENGTH: u32 = 10;
    const INDEFINITE: F80 = F80::INDEFINITE;

    #[inline(always)]
    fn convert(value: F80, _: &Rules) -> (F80, Flags) {
        (value, Flags::empty())
    }

    #[inline(always)]
    fn write(context: &mut Context<'_>, data: Data, value: F80) -> Outcome {
        store_ten(context, data, value.to_le_bytes())
    }
}

/// m16int, m32int or m64int, rounded as rounding control says or, with `TRUNCATE`, toward zero.
struct Int<I, const TRUNCATE: bool>(PhantomData<I>);

macro_rules! integers {
    ($($signed:ty = $bits:ty),*) => {$(
        impl<const TRUNCATE: bool> Destination for Int<$signed, TRUNCATE> {
            type Value = $signed;
            const LENGTH: u32 = size_of::<$signed>() as u32;
            const INDEFINITE: $signed = <$signed>::MIN;

            #[inline(always)]
            fn convert(value: F80, rules: &Rules) -> ($signed, Flags) {
                let rounding = if TRUNCATE { Rounding::Zero } else { rules.rounding };
                float::to_integer(value.unpack(), rounding)
            }

            #[inline(always)]
            fn write(context: &mut Context<'_>, data: Data, value: $signed) -> Outcome {
                unit::store(context, data, value as $bits)
            }
        }
    )*};
}

integers!(i16 = u16, i32 = u32, i64 = u64);

/// m80bcd.
struct Decimal;

impl Destination for Decimal {
    type Value = [u8; 10];
    const LENGTH: u32 = 10;
    const INDEFINITE: [u8; 10] = decimal::INDEFINITE;

    fn convert(value: F80, rules: &Rules) -> ([u8; 10], Flags) {
        decimal::pack(value, rules)
    }

    fn write(context: &mut Context<'_>, data: Data, value: [u8; 10]) -> Outcome {
        store_ten(context, data, value)
    }
}

/// Stores ST(0), converted, and pops it if `pops`. Unmasked invalid, overflow and underflow
/// exceptions leave memory and stack alone.
#[inline(always)]
fn store<D: Destination>(context: &mut Context<'_>, instruction: &Instruction, pops: bool) -> Outcome {
    const PREVENTING: Flags = Flags::INVALID.union(Flags::OVERFLOW).union(Flags::UNDERFLOW);
    check_pending(context)?;
    let data = data(context, instruction)?;
    let x87 = &context.state.x87;
    let rules = Rules::from_control_word(x87.control);
    let number = x87.physical(0);
    let empty = x87.in_use & (1 << number) == 0;
    let (value, mut flags) =
        if empty { (D::INDEFINITE, Flags::INVALID) } else { D::convert(x87.registers[number], &rules) };
    let completes = !flags.intersects(rules.unmasked & PREVENTING);
    if completes {
        D::write(context, data, value)?;
    } else {
        // A store that does not happen still has to be possible.
        unit::probe(context, data, D::LENGTH)?;
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
fn store_float(context: &mut Context<'_>, instruction: &Instruction, pops: bool) -> Outcome {
    match instruction.opcode() {
        _ if !is_memory(instruction) => store_register(context, instruction, pops),
        0xd9 => store::<Float<u32>>(context, instruction, pops),
        0xdd => store::<Float<u64>>(context, instruction, pops),
        _ => store::<Extended>(context, instruction, pops),
    }
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
    store_integer::<false>(context, instruction, false)
}

/// FISTP.
pub(crate) fn fistp(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    store_integer::<false>(context, instruction, true)
}

/// FISTTP.
pub(crate) fn fisttp(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    store_integer::<true>(context, instruction, true)
}

/// FIST, FISTP and FISTTP: m16int (DFh /1 to /3), m32int (DBh) or m64int (DFh /7, DDh /1).
fn store_integer<const TRUNCATE: bool>(
    context: &mut Context<'_>,
    instruction: &Instruction,
    pops: bool,
) -> Outcome {
    match (instruction.opcode(), instruction.modrm() >> 3 & 7) {
        (0xdb, _) => store::<Int<i32, TRUNCATE>>(context, instruction, pops),
        (0xdd, _) | (_, 7) => store::<Int<i64, TRUNCATE>>(context, instruction, pops),
        _ => store::<Int<i16, TRUNCATE>>(context, instruction, pops),
    }
}

/// FBSTP.
pub(crate) fn fbstp(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    store::<Decimal>(context, instruction, true)
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
