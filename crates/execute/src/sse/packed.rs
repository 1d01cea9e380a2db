//! Packed integers, logic, shuffles and cryptography: `destination = f(destination, source, ...)`
//! on MMX or XMM registers, with `f` from the tables of [`vector`].

use pentimento_decoder::{Instruction, Operand, Operation};
use pentimento_registers::Eflags;

use super::operand::{
    RegisterFile, VectorRegister, general_register, immediate, vector_register, xmm_register,
};
use crate::vector::shuffle::Insertps;
use crate::vector::{Binary, Shift, Vector, WithImmediate, WithMask, sign_bits};
use crate::{Context, Outcome};

/// An operation of two vectors.
pub(crate) fn binary<O: Binary>(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    fn on<V: VectorRegister>(
        context: &mut Context<'_>,
        instruction: &Instruction,
        number: u8,
        function: fn(&mut V, &V),
    ) -> Outcome {
        V::begin(context)?;
        let source = context.vector::<V>(instruction, 1)?.guest_order();
        update::<V>(context, number, |destination| function(destination, &source));
        Ok(())
    }
    match vector_register(instruction, 0)? {
        RegisterFile::Mmx(number) => on::<u64>(context, instruction, number, O::apply),
        RegisterFile::Xmm(number) => on::<u128>(context, instruction, number, O::apply),
    }
}

/// A shift by an immediate, or by the low half of a vector.
pub(crate) fn shift<O: Shift>(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    fn on<V: VectorRegister>(
        context: &mut Context<'_>,
        instruction: &Instruction,
        number: u8,
        function: fn(&mut V, u64),
    ) -> Outcome {
        V::begin(context)?;
        let count = match instruction.operand(1) {
            Some(Operand::Immediate { value, .. }) => u64::from(value as u8),
            _ => context.vector::<V>(instruction, 1)?.into_u128() as u64,
        };
        update::<V>(context, number, |destination| function(destination, count));
        Ok(())
    }
    match vector_register(instruction, 0)? {
        RegisterFile::Mmx(number) => on::<u64>(context, instruction, number, O::apply),
        RegisterFile::Xmm(number) => on::<u128>(context, instruction, number, O::apply),
    }
}

/// An operation of two vectors and an immediate.
pub(crate) fn with_immediate<O: WithImmediate>(
    context: &mut Context<'_>,
    instruction: &Instruction,
) -> Outcome {
    fn on<V: VectorRegister>(
        context: &mut Context<'_>,
        instruction: &Instruction,
        number: u8,
        function: fn(&mut V, &V, u8),
    ) -> Outcome {
        V::begin(context)?;
        let source = context.vector::<V>(instruction, 1)?.guest_order();
        let immediate = immediate(instruction, 2);
        update::<V>(context, number, |destination| function(destination, &source, immediate));
        Ok(())
    }
    match vector_register(instruction, 0)? {
        RegisterFile::Mmx(number) => on::<u64>(context, instruction, number, O::apply),
        RegisterFile::Xmm(number) => on::<u128>(context, instruction, number, O::apply),
    }
}

/// INSERTPS: [`with_immediate`], but the only lane of a memory operand is the one that is inserted.
pub(crate) fn insertps(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let number = xmm_register(instruction, 0)?;
    let source = context.vector::<u128>(instruction, 1)?.guest_order();
    let in_memory = matches!(instruction.operand(1), Some(Operand::Memory(_)));
    let immediate = immediate(instruction, 2) & if in_memory { 0x3f } else { 0xff };
    update::<u128>(context, number, |destination| Insertps::apply(destination, &source, immediate));
    Ok(())
}

/// An operation of two vectors and XMM0.
pub(crate) fn with_mask<O: WithMask>(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let number = xmm_register(instruction, 0)?;
    let source = context.vector::<u128>(instruction, 1)?.guest_order();
    let mask = context.state.xmm[0].guest_order();
    update::<u128>(context, number, |destination| O::apply(destination, &source, &mask));
    Ok(())
}

/// PTEST: ZF if no bit of the source is in the destination, CF if all are.
pub(crate) fn ptest(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let a = context.vector::<u128>(instruction, 0)?;
    let b = context.vector::<u128>(instruction, 1)?;
    let mut flags = Eflags::empty();
    flags.set(Eflags::ZF, a & b == 0);
    flags.set(Eflags::CF, !a & b == 0);
    context.set_flags(Eflags::STATUS, flags);
    Ok(())
}

/// Changes register `number` by `f`, which works in guest byte order.
fn update<V: VectorRegister>(context: &mut Context<'_>, number: u8, f: impl FnOnce(&mut V)) {
    let mut value = V::register(context.state, number).guest_order();
    f(&mut value);
    V::set_register(context.state, number, value.guest_order());
}

/// PMOVMSKB, MOVMSKPS and MOVMSKPD: the lanes' signs in a general register.
pub(crate) fn move_mask(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    use Operation as O;
    let register = general_register(instruction, 0)?;
    let mask = match vector_register(instruction, 1)? {
        RegisterFile::Mmx(number) => {
            u64::begin(context)?;
            u64::touch(context.state);
            sign_bits::<i8, _>(&u64::register(context.state, number).guest_order())
        }
        RegisterFile::Xmm(number) => {
            let value = u128::register(context.state, number).guest_order();
            match instruction.operation() {
                O::Movmskps => sign_bits::<i32, _>(&value),
                O::Movmskpd => sign_bits::<i64, _>(&value),
                _ => sign_bits::<i8, _>(&value),
            }
        }
    };
    context.state.set_gpr(register, mask);
    Ok(())
}
