//! The x87 state as the host's unit loads and stores it: the image of FNSAVE and FRSTOR in 32-bit mode
//! (SDM volume 1, figure 8-9), and what the host cannot know, the addresses of the guest's instructions.

use pentimento_registers::{ControlWord, F80, X87State};

use crate::frame::X87_IMAGE;

const CONTROL: usize = 0;
const STATUS: usize = 4;
const TAG: usize = 8;
/// Offset of the last instruction: zero in an image that was written here.
const INSTRUCTION: usize = 12;
const REGISTERS: usize = 28;

/// The image of a state.
pub(crate) fn store(x87: &X87State, image: &mut [u8; X87_IMAGE]) {
    image[..REGISTERS].fill(0);
    image[CONTROL..CONTROL + 2].copy_from_slice(&x87.control.bits().to_le_bytes());
    image[STATUS..STATUS + 2].copy_from_slice(&x87.status_word().to_le_bytes());
    image[TAG..TAG + 2].copy_from_slice(&x87.tag_word().to_le_bytes());
    for (index, bytes) in (0..8).zip(image[REGISTERS..].chunks_exact_mut(10)) {
        bytes.copy_from_slice(&x87.registers[x87.physical(index)].to_le_bytes());
    }
}

/// Takes a state from an image that the host's unit wrote. Returns the low half of the address of the
/// last instruction that was not a control instruction, or `None` if the host executed none.
pub(crate) fn load(x87: &mut X87State, image: &[u8; X87_IMAGE]) -> Option<u32> {
    let word = |at: usize| u16::from_le_bytes([image[at], image[at + 1]]);
    x87.control = ControlWord::from_bits_truncate(word(CONTROL));
    x87.set_status_word(word(STATUS));
    x87.set_tag_word(word(TAG));
    for (index, bytes) in (0..8).zip(image[REGISTERS..].chunks_exact(10)) {
        let mut ten = [0; 10];
        ten.copy_from_slice(bytes);
        x87.registers[x87.physical(index)] = F80::from_le_bytes(ten);
    }
    let instruction = u32::from(word(INSTRUCTION + 2)) << 16 | u32::from(word(INSTRUCTION));
    (instruction != 0).then_some(instruction)
}
