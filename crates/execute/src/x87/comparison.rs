//! Comparison and classification (SDM volume 1, section 8.3.6).

use pentimento_decoder::Instruction;
use pentimento_registers::{Eflags, StatusWord};

use super::arithmetic::{from_integer, load_source};
use super::unit::{Unit, check_pending, data, is_memory, load, st_number};
use crate::float::{Class, Flags, Format, Relation, Unpacked, compare};
use crate::{Context, Outcome};

/// The condition codes for a relation of ST(0) to the other operand (SDM volume 1, table 8-6).
const fn conditions(relation: Relation) -> StatusWord {
    match relation {
        Relation::Greater => StatusWord::empty(),
        Relation::Less => StatusWord::C0,
        Relation::Equal => StatusWord::C3,
        Relation::Unordered => StatusWord::C0.union(StatusWord::C2).union(StatusWord::C3),
    }
}

/// Compares ST(0) with `source`, or with ST(`number`) where there is none. Gives the relation, which
/// silicon reports even where an unmasked exception keeps the instruction from completing, and
/// whether it completes: whether it may pop.
#[inline(always)]
fn relate(unit: &mut Unit<'_>, number: u8, source: Option<Unpacked>, signalling: bool) -> (Relation, bool) {
    if unit.is_empty(0) || (source.is_none() && unit.is_empty(number)) {
        return (Relation::Unordered, unit.stack_underflow());
    }
    let source = source.unwrap_or_else(|| unit.unpack(number));
    let (relation, flags) = compare(unit.unpack(0), source, signalling);
    (relation, unit.raise(flags))
}

/// Compares, sets the condition codes, and pops `pops` times.
#[inline(always)]
fn compare_st0(context: &mut Context<'_>, instruction: &Instruction, signalling: bool, pops: u8) -> Outcome {
    check_pending(context)?;
    let (mut unit, source) = if is_memory(instruction) {
        let data = data(context, instruction)?;
        let source = load_source!(context, instruction.opcode(), data);
        (Unit::enter(context, instruction, Some(data)), Some(source))
    } else {
        (Unit::enter(context, instruction, None), None)
    };
    let (relation, completes) = relate(&mut unit, st_number(instruction), source, signalling);
    unit.set_conditions(conditions(relation));
    if completes {
        for _ in 0..pops {
            unit.pop();
        }
    }
    Ok(())
}

/// FCOM, FICOM.
pub(crate) fn fcom(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    compare_st0(context, instruction, true, 0)
}

/// FCOMP, FICOMP.
pub(crate) fn fcomp(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    compare_st0(context, instruction, true, 1)
}

/// FCOMPP.
pub(crate) fn fcompp(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    compare_st0(context, instruction, true, 2)
}

/// FUCOM.
pub(crate) fn fucom(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    compare_st0(context, instruction, false, 0)
}

/// FUCOMP.
pub(crate) fn fucomp(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    compare_st0(context, instruction, false, 1)
}

/// FUCOMPP.
pub(crate) fn fucompp(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    compare_st0(context, instruction, false, 2)
}

/// Compares ST(0) with ST(i) into ZF, PF and CF; the other status flags are cleared.
#[inline(always)]
fn compare_into_eflags(
    context: &mut Context<'_>,
    instruction: &Instruction,
    signalling: bool,
    pops: bool,
) -> Outcome {
    const STATUS: Eflags =
        Eflags::ZF.union(Eflags::PF).union(Eflags::CF).union(Eflags::OF).union(Eflags::SF).union(Eflags::AF);
    check_pending(context)?;
    let mut unit = Unit::enter(context, instruction, None);
    let number = st_number(instruction);
    // These leave C1 alone but for a stack fault, which clears it.
    let stack_fault = unit.is_empty(0) || unit.is_empty(number);
    let c1 = unit.x87.status.intersection(StatusWord::C1);
    let (relation, completes) = relate(&mut unit, number, None, signalling);
    if !stack_fault {
        unit.x87.status.insert(c1);
    }
    if completes && pops {
        unit.pop();
    }
    let flags = match relation {
        Relation::Greater => Eflags::empty(),
        Relation::Less => Eflags::CF,
        Relation::Equal => Eflags::ZF,
        Relation::Unordered => Eflags::ZF.union(Eflags::PF).union(Eflags::CF),
    };
    context.set_flags(STATUS, flags);
    Ok(())
}

/// FCOMI.
pub(crate) fn fcomi(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    compare_into_eflags(context, instruction, true, false)
}

/// FCOMIP.
pub(crate) fn fcomip(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    compare_into_eflags(context, instruction, true, true)
}

/// FUCOMI.
pub(crate) fn fucomi(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    compare_into_eflags(context, instruction, false, false)
}

/// FUCOMIP.
pub(crate) fn fucomip(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    compare_into_eflags(context, instruction, false, true)
}

/// FTST.
pub(crate) fn ftst(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    check_pending(context)?;
    let mut unit = Unit::enter(context, instruction, None);
    let (relation, _) = relate(&mut unit, 0, Some(Unpacked::zero(false)), true);
    unit.set_conditions(conditions(relation));
    Ok(())
}

/// FXAM: the class of ST(0), empty or not, and its sign (SDM volume 2, table 3-42).
pub(crate) fn fxam(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    check_pending(context)?;
    let mut unit = Unit::enter(context, instruction, None);
    let value = unit.unpack(0);
    let class = if unit.is_empty(0) {
        StatusWord::C3.union(StatusWord::C0)
    } else {
        match value.class {
            Class::Unsupported => StatusWord::empty(),
            Class::QuietNan | Class::SignallingNan => StatusWord::C0,
            Class::Finite if value.denormal => StatusWord::C3.union(StatusWord::C2),
            Class::Finite => StatusWord::C2,
            Class::Infinity => StatusWord::C2.union(StatusWord::C0),
            Class::Zero => StatusWord::C3,
        }
    };
    unit.raise_only(Flags::empty());
    unit.set_conditions(class);
    unit.x87.status.set(StatusWord::C1, value.negative);
    Ok(())
}
