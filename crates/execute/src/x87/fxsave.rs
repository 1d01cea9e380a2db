//! FXSAVE and FXRSTOR: x87, MMX and SSE state in 512 bytes (SDM volume 1, section 10.5.1).

use pentimento_decoder::Instruction;
use pentimento_memory::Access;
use pentimento_registers::{Mxcsr, StatusWord};

use super::environment::{control_word, register};
use super::unit::{data, update_summary};
use crate::{Context, Outcome, Trap};

/// Bytes of the area.
const LENGTH: u32 = 512;
/// Bytes that FXSAVE writes in 32-bit code; those behind stay.
const WRITTEN: usize = 288;
/// Where the registers ST(0) to ST(7) begin, 16 bytes each.
const REGISTERS: usize = 32;
/// Where XMM0 to XMM7 begin.
const XMM: usize = 160;
/// MXCSR_MASK: the bits of MXCSR that can be set.
const MXCSR_MASK: u32 = Mxcsr::all().bits();

/// Resolves the operand, which must be aligned to 16 bytes. Silicon checks that before it sees
/// whether all of it is within the segment's limit; where alignment checking is on, misalignment
/// to 4 bytes is #AC.
fn area(context: &Context<'_>, instruction: &Instruction, access: Access) -> Outcome<u32> {
    let data = data(context, instruction)?;
    let linear = context.linear_address(data.segment, data.offset, 1, Access::Read)?;
    if linear & 15 != 0 {
        context.check_alignment(linear, 4)?;
        return Err(Trap::GENERAL_PROTECTION);
    }
    context.linear_address(data.segment, data.offset, LENGTH, access)?;
    // Silicon touches the end first: a page fault reports the last byte.
    context.memory.check(linear.wrapping_add(LENGTH - 1), 1, access)?;
    Ok(linear)
}

/// FXSAVE.
pub(crate) fn fxsave(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let linear = area(context, instruction, Access::Write)?;
    context.memory.check(linear, LENGTH, Access::Write)?;
    let state = &*context.state;
    let x87 = &state.x87;
    let mut image = [0; WRITTEN];
    let mut put = |offset: usize, bytes: &[u8]| image[offset..offset + bytes.len()].copy_from_slice(bytes);
    put(0, &x87.control.bits().to_le_bytes());
    put(2, &x87.status_word().to_le_bytes());
    put(4, &[x87.in_use]);
    // AMD processors save the pointers only while an exception is pending.
    if x87.status.contains(StatusWord::ES) {
        put(6, &x87.last_opcode.to_le_bytes());
        put(8, &x87.last_instruction.to_le_bytes());
        put(12, &x87.last_instruction_selector.to_le_bytes());
        put(16, &x87.last_data.to_le_bytes());
        put(20, &x87.last_data_selector.to_le_bytes());
    }
    put(24, &state.mxcsr.bits().to_le_bytes());
    put(28, &MXCSR_MASK.to_le_bytes());
    for index in 0..8 {
        let value = x87.registers[x87.physical(index)];
        put(REGISTERS + 16 * usize::from(index), &value.to_le_bytes());
    }
    for (index, value) in state.xmm.iter().enumerate() {
        put(XMM + 16 * index, &value.to_le_bytes());
    }
    context.store_bytes(linear, &image)
}

/// FXRSTOR.
pub(crate) fn fxrstor(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let linear = area(context, instruction, Access::Read)?;
    let mut image = [0; LENGTH as usize];
    context.load_bytes(linear, &mut image)?;
    let word = |offset: usize| u16::from_le_bytes([image[offset], image[offset + 1]]);
    let dword = |offset: usize| u32::from(word(offset)) | u32::from(word(offset + 2)) << 16;
    let Some(mxcsr) = Mxcsr::from_bits(dword(24)) else { return Err(Trap::GENERAL_PROTECTION) };
    let state = &mut *context.state;
    state.mxcsr = mxcsr;
    let x87 = &mut state.x87;
    x87.control = control_word(word(0));
    x87.set_status_word(word(2));
    x87.in_use = image[4];
    x87.last_opcode = word(6) & 0x7ff;
    x87.last_instruction = dword(8);
    x87.last_instruction_selector = word(12);
    x87.last_data = dword(16);
    x87.last_data_selector = word(20);
    update_summary(x87);
    for (index, bytes) in (0..8).zip(image[REGISTERS..XMM].chunks_exact(16)) {
        let number = x87.physical(index);
        x87.registers[number] = register(&bytes[..10]);
    }
    for (slot, bytes) in state.xmm.iter_mut().zip(image[XMM..WRITTEN].chunks_exact(16)) {
        let mut copy = [0; 16];
        copy.copy_from_slice(bytes);
        *slot = u128::from_le_bytes(copy);
    }
    Ok(())
}
