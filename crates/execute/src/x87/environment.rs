//! The x87 environment as FNSTENV, FNSAVE and their counterparts lay it out in memory, in
//! protected mode (SDM volume 1, figures 8-9 and 8-11).

use pentimento_decoder::OperandSize;
use pentimento_registers::{ControlWord, F80, X87State};

use super::unit::update_summary;

/// Bytes with 16-bit operands.
pub(super) const LENGTH_16: usize = 14;
/// Bytes with 32-bit operands.
pub(super) const LENGTH_32: usize = 28;

/// The control word that `word` loads: bit 6 is always set, reserved bits are clear.
pub(super) const fn control_word(word: u16) -> ControlWord {
    ControlWord::from_bits_truncate(word).union(ControlWord::ALWAYS_SET)
}

/// The value in ten bytes.
pub(super) fn register(bytes: &[u8]) -> F80 {
    let mut copy = [0; 10];
    copy.copy_from_slice(bytes);
    F80::from_le_bytes(copy)
}

/// The environment; with 16-bit operands only the first [`LENGTH_16`] bytes count.
pub(super) fn image(x87: &X87State, size: OperandSize) -> [u8; LENGTH_32] {
    let mut bytes = [0; LENGTH_32];
    let words = [x87.control.bits(), x87.status_word(), x87.tag_word()];
    match size {
        OperandSize::Word => {
            let pointers = [
                x87.last_instruction as u16,
                x87.last_instruction_selector,
                x87.last_data as u16,
                x87.last_data_selector,
            ];
            for (slot, word) in bytes.chunks_exact_mut(2).zip(words.iter().chain(&pointers)) {
                slot.copy_from_slice(&word.to_le_bytes());
            }
        }
        OperandSize::Dword => {
            // Reserved halves are ones.
            let reserved = |word: u16| 0xffff_0000 | u32::from(word);
            let [control, status, tags] = words.map(reserved);
            let opcode = u32::from(x87.last_opcode) << 16;
            let instruction_selector = opcode | u32::from(x87.last_instruction_selector);
            let data_selector = reserved(x87.last_data_selector);
            let dwords = [
                control,
                status,
                tags,
                x87.last_instruction,
                instruction_selector,
                x87.last_data,
                data_selector,
            ];
            for (slot, dword) in bytes.chunks_exact_mut(4).zip(dwords) {
                slot.copy_from_slice(&dword.to_le_bytes());
            }
        }
    }
    bytes
}

/// Takes an environment over. Of the tags only which registers are empty counts; the summary
/// follows from flags and masks.
pub(super) fn load(x87: &mut X87State, bytes: &[u8; LENGTH_32], size: OperandSize) {
    let word = |offset: usize| u16::from_le_bytes([bytes[offset], bytes[offset + 1]]);
    let dword = |offset: usize| u32::from(word(offset)) | u32::from(word(offset + 2)) << 16;
    let stride = match size {
        OperandSize::Word => 2,
        OperandSize::Dword => 4,
    };
    x87.control = control_word(word(0));
    x87.set_status_word(word(stride));
    x87.set_tag_word(word(2 * stride));
    match size {
        OperandSize::Word => {
            x87.last_instruction = word(6).into();
            x87.last_instruction_selector = word(8);
            x87.last_opcode = 0;
            x87.last_data = word(10).into();
            x87.last_data_selector = word(12);
        }
        OperandSize::Dword => {
            x87.last_instruction = dword(12);
            x87.last_instruction_selector = word(16);
            x87.last_opcode = word(18) & 0x7ff;
            x87.last_data = dword(20);
            x87.last_data_selector = word(24);
        }
    }
    update_summary(x87);
}
