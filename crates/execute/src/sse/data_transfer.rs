//! Moves between vector registers, memory and general registers.

use pentimento_decoder::{Instruction, Operand, Operation, Register};
use pentimento_memory::Access;

use super::operand::{File, VectorRegister, vector_register, xmm_register};
use crate::{Context, Outcome, Trap, mmx};

const LOW: u128 = u64::MAX as u128;

/// Moves that copy: MOVD, MOVQ, MOVAPS, MOVUPS, MOVDQA, MOVDQU, LDDQU, the non-temporal stores and
/// loads, MOVQ2DQ and MOVDQ2Q. Whatever the source does not fill becomes zero.
pub(crate) fn copy(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let mmx = mmx::is_operand(instruction);
    if mmx {
        mmx::check_pending(context)?;
    }
    let mut value = context.vector::<u128>(instruction, 1)?;
    if instruction.operation() == Operation::Movq {
        value &= LOW;
    }
    match instruction.operand(0) {
        Some(Operand::Memory(operand)) => context.store_vector(instruction, &operand, value)?,
        Some(Operand::Register(Register::Xmm(number))) => {
            u128::set_register(context.state, number, value);
        }
        Some(Operand::Register(Register::Mmx(number))) => {
            u64::set_register(context.state, number, value as u64);
        }
        Some(Operand::Register(Register::Gpr32(register))) => context.state.set_gpr(register, value as u32),
        _ => return Err(Trap::INVALID_OPCODE),
    }
    if mmx {
        mmx::enter(context.state);
    }
    Ok(())
}

/// MOVSS and MOVSD: between registers the rest of the destination stays, a load clears it.
pub(crate) fn scalar(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let mask = match instruction.operation() {
        Operation::Movss => u128::from(u32::MAX),
        _ => LOW,
    };
    let value = context.vector::<u128>(instruction, 1)?;
    match (instruction.operand(0), instruction.operand(1)) {
        (Some(Operand::Memory(operand)), _) => context.store_vector(instruction, &operand, value),
        (Some(Operand::Register(Register::Xmm(number))), Some(Operand::Register(_))) => {
            let old = u128::register(context.state, number);
            u128::set_register(context.state, number, old & !mask | value & mask);
            Ok(())
        }
        (Some(Operand::Register(Register::Xmm(number))), _) => {
            u128::set_register(context.state, number, value);
            Ok(())
        }
        _ => Err(Trap::INVALID_OPCODE),
    }
}

/// MOVLPS, MOVLPD, MOVHPS, MOVHPD, MOVHLPS and MOVLHPS: one half, the other stays.
pub(crate) fn half(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    use Operation as O;
    let operation = instruction.operation();
    let mut value = context.vector::<u128>(instruction, 1)?;
    if let Some(Operand::Memory(operand)) = instruction.operand(0) {
        if matches!(operation, O::Movhps | O::Movhpd) {
            value >>= 64;
        }
        return context.store_vector(instruction, &operand, value);
    }
    let number = xmm_register(instruction, 0)?;
    let old = u128::register(context.state, number);
    let new = match operation {
        O::Movhlps => old & !LOW | value >> 64,
        O::Movhps | O::Movhpd | O::Movlhps => old & LOW | value << 64,
        _ => old & !LOW | value & LOW,
    };
    u128::set_register(context.state, number, new);
    Ok(())
}

/// MOVNTI: a general register to memory; the hint changes nothing here.
pub(crate) fn movnti(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let value = context.read::<u32>(instruction, 1)?;
    match instruction.operand(0) {
        Some(Operand::Memory(operand)) => context.store_operand(&operand, value),
        _ => Err(Trap::INVALID_OPCODE),
    }
}

/// MASKMOVQ and MASKMOVDQU: stores the bytes whose mask byte has its sign set. Only those are
/// looked at for page faults.
pub(crate) fn masked(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let registers = (0..instruction.operand_count())
        .filter(|&index| matches!(instruction.operand(index), Some(Operand::Register(_))));
    let memory = (0..instruction.operand_count()).find_map(|index| match instruction.operand(index) {
        Some(Operand::Memory(operand)) => Some(operand),
        _ => None,
    });
    let mut registers = registers.map(|index| (index, context.vector::<u128>(instruction, index)));
    let (Some((first, value)), Some((_, mask)), Some(operand)) = (registers.next(), registers.next(), memory)
    else {
        return Err(Trap::INVALID_OPCODE);
    };
    let (value, mask) = (value?.to_le_bytes(), mask?.to_le_bytes());
    let mmx = matches!(vector_register(instruction, first)?, File::Mmx(_));
    drop(registers);
    let length = if mmx { 8 } else { 16 };
    if mmx {
        mmx::check_pending(context)?;
    }
    let linear = context.locate(&operand, length, Access::Write)?;
    let chosen = |&i: &u32| mask[i as usize] & 0x80 != 0;
    for i in (0..length).filter(chosen) {
        context.memory.check(linear.wrapping_add(i), 1, Access::Write)?;
    }
    for i in (0..length).filter(chosen) {
        context.memory.write(linear.wrapping_add(i), value[i as usize])?;
    }
    if mmx {
        mmx::enter(context.state);
    }
    Ok(())
}
