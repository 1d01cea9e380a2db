//! Moves between vector registers, memory and general registers.

use pentimento_decoder::{AddressSize, Instruction, MemoryOperand, Operand, Operation, Register};
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

/// MASKMOVQ and MASKMOVDQU: stores the bytes whose mask byte has its sign set.
///
/// As on silicon, each eight bytes are a store of their own. All of it must be writable whatever
/// the mask says, and MASKMOVQ leaves the x87 in MMX state even if it is not.
pub(crate) fn masked(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let Some(Operand::Memory(operand)) = instruction.operand(0) else { return Err(Trap::INVALID_OPCODE) };
    let length = match vector_register(instruction, 1)? {
        File::Xmm(_) => 16,
        File::Mmx(_) => {
            mmx::check_pending(context)?;
            mmx::enter(context.state);
            8
        }
    };
    let value = context.vector::<u128>(instruction, 1)?.to_le_bytes();
    let mask = context.vector::<u128>(instruction, 2)?.to_le_bytes();
    let mut addresses = [None; 16];
    for start in (0..length).step_by(8) {
        let selected = core::array::from_fn(|i| mask[start + i] & 0x80 != 0);
        let found = masked_addresses(context, &operand, start as u32, selected)?;
        addresses[start..start + 8].copy_from_slice(&found);
    }
    for (address, byte) in addresses.into_iter().zip(value) {
        if let Some(address) = address {
            context.memory.write(address, byte)?;
        }
    }
    Ok(())
}

/// Where the `selected` of the eight bytes at `start` in the operand go, all checked.
fn masked_addresses(
    context: &Context<'_>,
    operand: &MemoryOperand,
    start: u32,
    selected: [bool; 8],
) -> Outcome<[Option<u32>; 8]> {
    let last = match operand.address_size {
        AddressSize::Word => 0xffff,
        AddressSize::Dword => u32::MAX,
    };
    let offset = context.effective_address(operand).wrapping_add(start) & last;
    let mut addresses = [None; 8];
    if last == 0xffff && offset > last - 7 {
        // Those that wrap at 64 KiB go byte by byte, and only the selected ones.
        for (i, address) in (0..8).zip(&mut addresses).filter(|&(i, _)| selected[i as usize]) {
            let linear = context.linear_address(operand.segment, (offset + i) & last, 1, Access::Write)?;
            context.memory.check(linear, 1, Access::Write)?;
            *address = Some(linear);
        }
        return Ok(addresses);
    }
    let linear = context.linear_address(operand.segment, offset, 8, Access::Write)?;
    context.check_alignment(linear, 8)?;
    context.memory.check(linear, 8, Access::Write)?;
    for (i, address) in (0..8).zip(&mut addresses).filter(|&(i, _)| selected[i as usize]) {
        *address = Some(linear.wrapping_add(i));
    }
    Ok(addresses)
}
