//! SSE4a: EXTRQ and INSERTQ (AMD64 Architecture Programmer's Manual, volume 4).

use pentimento_decoder::{Instruction, Operand};

use super::operand::{VectorRegister, immediate, xmm_register};
use crate::{Context, Outcome};

/// A field of the low quadword: length and index, six bits each; a length of 0 means 64.
#[derive(Clone, Copy)]
struct Field {
    length: u8,
    index: u8,
}

impl Field {
    fn mask(self) -> u64 {
        u64::MAX >> ((64 - (self.length & 63)) & 63)
    }

    /// From the register form's control, length in bits 5:0 and index in bits 13:8.
    fn from_control(control: u64) -> Self {
        Self { length: control as u8, index: (control >> 8) as u8 & 63 }
    }

    fn from_immediates(instruction: &Instruction, first: usize) -> Self {
        Self { length: immediate(instruction, first), index: immediate(instruction, first + 1) & 63 }
    }
}

/// EXTRQ: the field moves to the bottom; all above it becomes zero.
pub(crate) fn extrq(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let number = xmm_register(instruction, 0)?;
    let field = match instruction.operand(1) {
        Some(Operand::Register(_)) => Field::from_control(context.vector::<u128>(instruction, 1)? as u64),
        _ => Field::from_immediates(instruction, 1),
    };
    let value = u128::register(context.state, number) as u64;
    u128::set_register(context.state, number, (value >> field.index & field.mask()).into());
    Ok(())
}

/// INSERTQ: the bottom of the source replaces the field; the high quadword becomes zero.
pub(crate) fn insertq(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let number = xmm_register(instruction, 0)?;
    let source = context.vector::<u128>(instruction, 1)?;
    let field = match instruction.operand(2) {
        Some(Operand::Immediate { .. }) => Field::from_immediates(instruction, 2),
        _ => Field::from_control((source >> 64) as u64),
    };
    let value = u128::register(context.state, number) as u64;
    let inserted = value & !(field.mask() << field.index) | (source as u64 & field.mask()) << field.index;
    u128::set_register(context.state, number, inserted.into());
    Ok(())
}
