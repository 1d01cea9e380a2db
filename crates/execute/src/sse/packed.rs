//! Packed integers, logic, shuffles and cryptography: `destination = f(destination, source, ...)`
//! on MMX or XMM registers, with `f` from the tables of [`vector`].

use pentimento_decoder::{Instruction, Operand, Operation};
use pentimento_registers::Eflags;

use super::operand::{
    File, VectorRegister, by_width, general_register, immediate, vector_register, xmm_register,
};
use crate::vector::{self, Vector, sign_bits};
use crate::{Context, Outcome, Trap};

/// An operation of [`vector::packed::binary`], [`vector::packed::unary`] or
/// [`vector::shuffle::cryptographic`].
pub(crate) fn binary(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    fn on<V: VectorRegister>(context: &mut Context<'_>, instruction: &Instruction, number: u8) -> Outcome {
        let operation = instruction.operation();
        let function = vector::packed::binary::<V>(operation)
            .or_else(|| vector::packed::unary(operation))
            .or_else(|| vector::shuffle::cryptographic(operation))
            .ok_or(Trap::INVALID_OPCODE)?;
        V::begin(context)?;
        let source = context.vector::<V>(instruction, 1)?.guest_order();
        update::<V>(context, number, |destination| function(destination, &source));
        Ok(())
    }
    by_width(context, instruction, on::<u64>, on::<u128>)
}

/// An operation of [`vector::packed::shift`].
pub(crate) fn shift(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    fn on<V: VectorRegister>(context: &mut Context<'_>, instruction: &Instruction, number: u8) -> Outcome {
        let function = vector::packed::shift::<V>(instruction.operation()).ok_or(Trap::INVALID_OPCODE)?;
        V::begin(context)?;
        let count = match instruction.operand(1) {
            Some(Operand::Immediate { value, .. }) => u64::from(value as u8),
            _ => context.vector::<V>(instruction, 1)?.into_u128() as u64,
        };
        update::<V>(context, number, |destination| function(destination, count));
        Ok(())
    }
    by_width(context, instruction, on::<u64>, on::<u128>)
}

/// An operation of [`vector::shuffle::with_immediate`].
pub(crate) fn with_immediate(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    fn on<V: VectorRegister>(context: &mut Context<'_>, instruction: &Instruction, number: u8) -> Outcome {
        let function =
            vector::shuffle::with_immediate::<V>(instruction.operation()).ok_or(Trap::INVALID_OPCODE)?;
        V::begin(context)?;
        let source = context.vector::<V>(instruction, 1)?.guest_order();
        let immediate = immediate(instruction, 2);
        update::<V>(context, number, |destination| function(destination, &source, immediate));
        Ok(())
    }
    by_width(context, instruction, on::<u64>, on::<u128>)
}

/// INSERTPS: [`with_immediate`], but the only lane of a memory operand is the one that is inserted.
pub(crate) fn insertps(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let number = xmm_register(instruction, 0)?;
    let function =
        vector::shuffle::with_immediate::<u128>(instruction.operation()).ok_or(Trap::INVALID_OPCODE)?;
    let source = context.vector::<u128>(instruction, 1)?.guest_order();
    let in_memory = matches!(instruction.operand(1), Some(Operand::Memory(_)));
    let immediate = immediate(instruction, 2) & if in_memory { 0x3f } else { 0xff };
    update::<u128>(context, number, |destination| function(destination, &source, immediate));
    Ok(())
}

/// An operation of [`vector::shuffle::with_mask`], the mask being XMM0.
pub(crate) fn with_mask(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let number = xmm_register(instruction, 0)?;
    let function = vector::shuffle::with_mask::<u128>(instruction.operation()).ok_or(Trap::INVALID_OPCODE)?;
    let source = context.vector::<u128>(instruction, 1)?.guest_order();
    let mask = context.state.xmm[0].guest_order();
    update::<u128>(context, number, |destination| function(destination, &source, &mask));
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
        File::Mmx(number) => {
            u64::begin(context)?;
            u64::touch(context.state);
            sign_bits::<i8, _>(&u64::register(context.state, number).guest_order())
        }
        File::Xmm(number) => {
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
