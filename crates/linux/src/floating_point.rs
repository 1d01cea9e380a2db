//! The floating-point state as memory has it: an FSAVE image followed by an FXSAVE image, as in signal
//! frames and for debuggers (the kernel's `struct fregs_state` and `struct fxregs_state`).

use pentimento_registers::{ControlWord, CpuState, F80, Mxcsr};

use crate::record::Record;

/// Bytes of the FSAVE image with its status and magic words.
pub(crate) const LEGACY: u32 = 112;
/// Bytes of the FSAVE image alone (`struct user_i387_struct`).
pub(crate) const FSAVE: usize = 108;
/// Bytes of the FXSAVE image.
pub(crate) const FXSAVE: u32 = 512;
/// Bytes of both.
pub(crate) const SIZE: u32 = LEGACY + FXSAVE;

/// Says in an FSAVE image that an FXSAVE image follows (`X86_FXSR_MAGIC`).
const FXSR_MAGIC: u32 = 0;

/// The FSAVE image (SDM volume 1, figure 8-9) with status and magic, then the FXSAVE image (volume
/// 2, FXSAVE, table 3-46).
pub(crate) fn images(cpu: &CpuState) -> Record {
    let x87 = &cpu.x87;
    let mut record = Record::new()
        .u32(0xffff_0000 | u32::from(x87.control.bits()))
        .u32(0xffff_0000 | u32::from(x87.status_word()))
        .u32(0xffff_0000 | u32::from(x87.tag_word()))
        .u32(x87.last_instruction)
        .u32(u32::from(x87.last_instruction_selector) | u32::from(x87.last_opcode & 0x7ff) << 16)
        .u32(x87.last_data)
        .u32(u32::from(x87.last_data_selector) | 0xffff_0000);
    for index in 0..8 {
        record = record.bytes(&x87.registers[x87.physical(index)].to_le_bytes());
    }
    record = record.u16(x87.status_word()).u16(FXSR_MAGIC as u16);
    record = record
        .u16(x87.control.bits())
        .u16(x87.status_word())
        .u8(x87.in_use)
        .u8(0)
        .u16(x87.last_opcode & 0x7ff)
        .u32(x87.last_instruction)
        .u32(u32::from(x87.last_instruction_selector))
        .u32(x87.last_data)
        .u32(u32::from(x87.last_data_selector))
        .u32(cpu.mxcsr.bits())
        .u32(0xffff);
    for index in 0..8 {
        record = record.bytes(&x87.registers[x87.physical(index)].to_le_bytes()).bytes(&[0; 6]);
    }
    for xmm in cpu.xmm {
        record = record.bytes(&xmm.to_le_bytes());
    }
    record.pad_to(SIZE as usize)
}

/// Half a word of an image.
fn half(image: &[u8], at: usize) -> u16 {
    image.get(at..at + 2).map_or(0, |bytes| u16::from_le_bytes([bytes[0], bytes[1]]))
}

fn word(image: &[u8], at: usize) -> u32 {
    u32::from(half(image, at)) | u32::from(half(image, at + 2)) << 16
}

/// The x87 registers from an image that has one each `stride` bytes from `at` on, ST(0) first.
fn restore_stack(cpu: &mut CpuState, image: &[u8], at: usize, stride: usize) {
    let x87 = &mut cpu.x87;
    for index in 0..8_u8 {
        let at = at + stride * usize::from(index);
        if let Some(bytes) = image.get(at..).and_then(<[u8]>::first_chunk) {
            x87.registers[x87.physical(index)] = F80::from_le_bytes(*bytes);
        }
    }
}

/// Restores the floating-point state from the two images of a frame; the FXSAVE one holds what the other
/// does not.
pub(crate) fn restore(cpu: &mut CpuState, legacy: &[u8; LEGACY as usize], image: &[u8; FXSAVE as usize]) {
    let x87 = &mut cpu.x87;
    x87.control = ControlWord::from_bits_truncate(half(legacy, 0)) | ControlWord::ALWAYS_SET;
    x87.set_status_word(half(legacy, 4));
    x87.set_tag_word(half(legacy, 8));
    x87.last_opcode = half(image, 6) & 0x7ff;
    x87.last_instruction = word(image, 8);
    x87.last_instruction_selector = half(image, 12);
    x87.last_data = word(image, 16);
    x87.last_data_selector = half(image, 20);
    restore_stack(cpu, legacy, 28, 10);
    restore_vectors(cpu, image);
}

/// Restores the x87 unit from an FSAVE image.
pub(crate) fn restore_fsave(cpu: &mut CpuState, image: &[u8; FSAVE]) {
    let x87 = &mut cpu.x87;
    x87.control = ControlWord::from_bits_truncate(half(image, 0)) | ControlWord::ALWAYS_SET;
    x87.set_status_word(half(image, 4));
    x87.set_tag_word(half(image, 8));
    x87.last_instruction = word(image, 12);
    x87.last_instruction_selector = half(image, 16);
    x87.last_opcode = half(image, 18) & 0x7ff;
    x87.last_data = word(image, 20);
    x87.last_data_selector = half(image, 24);
    restore_stack(cpu, image, 28, 10);
}

/// Restores all of the floating-point state from an FXSAVE image.
pub(crate) fn restore_fxsave(cpu: &mut CpuState, image: &[u8; FXSAVE as usize]) {
    let x87 = &mut cpu.x87;
    x87.control = ControlWord::from_bits_truncate(half(image, 0)) | ControlWord::ALWAYS_SET;
    x87.set_status_word(half(image, 2));
    x87.in_use = image[4];
    x87.last_opcode = half(image, 6) & 0x7ff;
    x87.last_instruction = word(image, 8);
    x87.last_instruction_selector = half(image, 12);
    x87.last_data = word(image, 16);
    x87.last_data_selector = half(image, 20);
    restore_stack(cpu, image, 32, 16);
    restore_vectors(cpu, image);
}

/// MXCSR and the XMM registers of an FXSAVE image.
fn restore_vectors(cpu: &mut CpuState, image: &[u8; FXSAVE as usize]) {
    cpu.mxcsr = Mxcsr::from_bits_truncate(word(image, 24));
    for (index, xmm) in cpu.xmm.iter_mut().enumerate() {
        if let Some(bytes) = image.get(160 + 16 * index..).and_then(<[u8]>::first_chunk) {
            *xmm = u128::from_le_bytes(*bytes);
        }
    }
}
