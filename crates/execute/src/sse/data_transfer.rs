//! Moves between vector registers, memory and general registers.

use pentimento_decoder::{AddressSize, Instruction, Operand, Operation, Register};
use pentimento_memory::Access;

use super::operand::{RegisterFile, VectorRegister, vector_register, xmm_register};
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

/// MASKMOVQ and MASKMOVDQU: stores the bytes whose mask byte has its sign set.
///
/// As on silicon, each eight bytes are a store of their own. All of it must be writable whatever
/// the mask says, and MASKMOVQ leaves the x87 in MMX state even if it is not. Only eight bytes that
/// wrap at 64 KiB go byte by byte, the selected ones, after all others and up to the first fault.
pub(crate) fn masked(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let Some(Operand::Memory(operand)) = instruction.operand(0) else { return Err(Trap::INVALID_OPCODE) };
    let halves: &[u32] = match vector_register(instruction, 1)? {
        RegisterFile::Xmm(_) => &[0, 8],
        RegisterFile::Mmx(_) => {
            mmx::check_pending(context)?;
            mmx::enter(context.state);
            &[0]
        }
    };
    let value = context.vector::<u128>(instruction, 1)?.to_le_bytes();
    let mask = context.vector::<u128>(instruction, 2)?.to_le_bytes();
    let last = match operand.address_size {
        AddressSize::Word => 0xffff,
        AddressSize::Dword => u32::MAX,
    };
    let base = context.effective_address(&operand);
    let offset = |index: u32| base.wrapping_add(index) & last;
    let wraps = |half: u32| last == 0xffff && offset(half) > last - 7;
    for &half in halves {
        let length = if wraps(half) { 1 } else { 8 };
        let linear = context.linear_address(operand.segment, offset(half), length, Access::Write)?;
        context.check_alignment(linear, 8)?;
        if !wraps(half) {
            context.memory.check(linear, 8, Access::Write)?;
        }
    }
    for wrapping in [false, true] {
        for &half in halves.iter().filter(|&&half| wraps(half) == wrapping) {
            for index in (half..half + 8).filter(|&index| mask[index as usize] & 0x80 != 0) {
                context.store(operand.segment, offset(index), value[index as usize])?;
            }
        }
    }
    Ok(())
}
