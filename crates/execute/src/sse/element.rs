//! Single elements between vectors and general registers or memory: PINSRx, PEXTRx, EXTRACTPS.

use pentimento_decoder::{Instruction, Operand, Operation};

use super::operand::{RegisterFile, VectorRegister, by_width, general_register, immediate, vector_register};
use crate::vector::{Lane, Vector, lane, set_lane};
use crate::{Context, Outcome, Trap};

/// PINSRB, PINSRW and PINSRD. A general register gives its low bits.
pub(crate) fn insert(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    fn on<V: VectorRegister>(context: &mut Context<'_>, instruction: &Instruction, number: u8) -> Outcome {
        V::begin(context)?;
        let index = usize::from(immediate(instruction, 2));
        let element = context.vector::<u64>(instruction, 1)?;
        let mut value = V::register(context.state, number).guest_order();
        match instruction.operation() {
            Operation::Pinsrb => set_lane(&mut value, index, element as u8),
            Operation::Pinsrw => set_lane(&mut value, index, element as u16),
            _ => set_lane(&mut value, index, element as u32),
        }
        V::set_register(context.state, number, value.guest_order());
        Ok(())
    }
    by_width(context, instruction, on::<u64>, on::<u128>)
}

/// PEXTRB, PEXTRW, PEXTRD and EXTRACTPS: to memory, or zero-extended to a general register.
pub(crate) fn extract(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    fn element<V: VectorRegister>(context: &mut Context<'_>, instruction: &Instruction, number: u8) -> u32 {
        fn get<L: Lane + Into<u32>>(vector: &impl Vector, index: usize) -> u32 {
            lane::<L, _>(vector, index).into()
        }
        let value = V::register(context.state, number).guest_order();
        let index = usize::from(immediate(instruction, 2));
        match instruction.operation() {
            Operation::Pextrb => get::<u8>(&value, index),
            Operation::Pextrw => get::<u16>(&value, index),
            _ => get::<u32>(&value, index),
        }
    }
    let value = match vector_register(instruction, 1)? {
        RegisterFile::Xmm(number) => element::<u128>(context, instruction, number),
        RegisterFile::Mmx(number) => {
            u64::begin(context)?;
            u64::touch(context.state);
            element::<u64>(context, instruction, number)
        }
    };
    match instruction.operand(0) {
        Some(Operand::Memory(operand)) => context.store_vector(instruction, &operand, value.into()),
        Some(Operand::Register(_)) => {
            context.state.set_gpr(general_register(instruction, 0)?, value);
            Ok(())
        }
        _ => Err(Trap::INVALID_OPCODE),
    }
}
