//! The registers in a fixed binary layout: `struct machine` of `fixtures/oracle/oracle.c`, and what
//! recorded samples hold.

use pentimento_registers::{ControlWord, CpuState, Eflags, F80, Mxcsr};

/// Bytes that the registers take.
pub(crate) const SIZE: usize = 280;

/// Appends the registers.
pub(crate) fn encode(state: &CpuState, bytes: &mut Vec<u8>) {
    for value in state.gprs() {
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend((state.eip).to_le_bytes());
    bytes.extend((state.eflags.bits()).to_le_bytes());
    for segment in &state.segments {
        bytes.extend(segment.selector.to_le_bytes());
    }
    let x87 = &state.x87;
    for value in [x87.control.bits(), x87.status_word(), x87.in_use.into(), x87.last_opcode] {
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend((x87.last_instruction).to_le_bytes());
    bytes.extend((x87.last_data).to_le_bytes());
    for index in 0..8 {
        bytes.extend(x87.registers[x87.physical(index)].to_le_bytes());
    }
    bytes.extend((state.mxcsr.bits()).to_le_bytes());
    for value in state.xmm {
        bytes.extend(value.to_le_bytes());
    }
}

fn word(bytes: &[u8], offset: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[offset..offset + 4]);
    u32::from_le_bytes(word)
}

fn half(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes([bytes[offset], bytes[offset + 1]])
}

/// Reads them back. Cached descriptors are not part of it.
///
/// # Panics
/// If there are fewer than [`SIZE`] bytes.
pub(crate) fn decode(bytes: &[u8]) -> CpuState {
    let mut state = CpuState::new();
    for (index, value) in state.gprs_mut().iter_mut().enumerate() {
        *value = word(bytes, index * 4);
    }
    state.eip = word(bytes, 32);
    state.eflags = Eflags::from_bits_retain(word(bytes, 36));
    for (index, segment) in state.segments.iter_mut().enumerate() {
        segment.selector = half(bytes, 40 + index * 2);
    }
    state.x87.control = ControlWord::from_bits_retain(half(bytes, 52));
    state.x87.set_status_word(half(bytes, 54));
    state.x87.in_use = bytes[56];
    state.x87.last_opcode = half(bytes, 58);
    state.x87.last_instruction = word(bytes, 60);
    state.x87.last_data = word(bytes, 64);
    for index in 0..8u8 {
        let mut value = [0; 10];
        value.copy_from_slice(&bytes[68 + usize::from(index) * 10..][..10]);
        let physical = state.x87.physical(index);
        state.x87.registers[physical] = F80::from_le_bytes(value);
    }
    state.mxcsr = Mxcsr::from_bits_retain(word(bytes, 148));
    for (index, value) in state.xmm.iter_mut().enumerate() {
        let mut lanes = [0; 16];
        lanes.copy_from_slice(&bytes[152 + index * 16..][..16]);
        *value = u128::from_le_bytes(lanes);
    }
    state
}
