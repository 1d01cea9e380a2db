//! What an instruction's operands look like to the choice of handlers, and how they go into an
//! operation's fields.

use pentimento_decoder::{AddressSize, Instruction, MemoryOperand, Operand, Register};
use pentimento_registers::{Gpr, SegmentRegister};

use crate::cursor::Op;

/// An addressing form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    Based,
    Indexed,
    Scaled,
    Absolute,
}

/// An operand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    Register,
    Memory(Mode),
    Immediate,
    Missing,
    /// Whatever no handler here deals with.
    Other,
}

/// The place of byte register `number` in the register file as the host has it in memory.
fn byte_place(number: u8) -> u8 {
    let place = (number & 3) << 2 | number >> 2;
    if cfg!(target_endian = "big") { place ^ 3 } else { place }
}

/// Puts a register into [`Op::first`].
fn set_first(op: &mut Op, number: u8) {
    op.first = Gpr::from_number(number);
    op.first_byte = byte_place(number);
}

/// Puts a register into [`Op::second`].
fn set_second(op: &mut Op, number: u8) {
    op.second = Gpr::from_number(number);
    op.second_byte = byte_place(number);
}

/// Puts an address into `op`.
fn set_address(op: &mut Op, operand: &MemoryOperand) -> Shape {
    let flat = !matches!(operand.segment, SegmentRegister::Fs | SegmentRegister::Gs);
    if operand.address_size != AddressSize::Dword || !flat || operand.segment == SegmentRegister::Cs {
        return Shape::Other;
    }
    op.displacement = operand.displacement;
    op.second = operand.base.unwrap_or(Gpr::Eax);
    op.index = operand.index.unwrap_or(Gpr::Eax);
    op.scale = operand.scale.trailing_zeros() as u8;
    Shape::Memory(match (operand.base, operand.index) {
        (Some(_), None) => Mode::Based,
        (Some(_), Some(_)) => Mode::Indexed,
        (None, Some(_)) => Mode::Scaled,
        (None, None) => Mode::Absolute,
    })
}

/// The number of a general register.
fn general(register: Register) -> Option<u8> {
    match register {
        Register::Gpr8(register) => Some(register.number()),
        Register::Gpr16(register) | Register::Gpr32(register) => Some(register.number()),
        _ => None,
    }
}

/// Puts the first two operands into `op` and says what they are: a register goes to the first
/// field that is free, and one beside memory always to [`Op::first`].
pub(crate) fn operands(op: &mut Op, instruction: &Instruction) -> [Shape; 2] {
    let mut shapes = [Shape::Missing; 2];
    let mut registers = 0;
    for (index, shape) in shapes.iter_mut().enumerate() {
        *shape = match instruction.operand(index) {
            None => Shape::Missing,
            Some(Operand::Immediate { value, .. }) => {
                op.immediate = value;
                Shape::Immediate
            }
            Some(Operand::Memory(memory)) => set_address(op, &memory),
            Some(Operand::Register(register)) => match general(register) {
                Some(number) => {
                    registers += 1;
                    if registers == 1 {
                        set_first(op, number)
                    } else {
                        set_second(op, number)
                    }
                    Shape::Register
                }
                None => Shape::Other,
            },
            _ => Shape::Other,
        };
    }
    shapes
}
