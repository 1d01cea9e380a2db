//! AND, OR, XOR, NOT and TEST.

use pentimento_decoder::Instruction;
use pentimento_registers::Eflags;

use crate::binary_arithmetic::{compare, update, update_alone};
use crate::place::{at_width, operand_bytes};
use crate::semantics::logical as compute;
use crate::{Context, Outcome, Width};

pub(crate) fn and(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => {
        update::<W>(context, instruction, |a, b, _| compute::and(a, b))
    })
}

pub(crate) fn or(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => {
        update::<W>(context, instruction, |a, b, _| compute::or(a, b))
    })
}

pub(crate) fn xor(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => {
        update::<W>(context, instruction, |a, b, _| compute::xor(a, b))
    })
}

pub(crate) fn not(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    let none = Eflags::empty();
    at_width!(operand_bytes(instruction, 0), W => {
        update_alone::<W>(context, instruction, none, |a| (W::truncate(!a.bits()), none))
    })
}

pub(crate) fn test(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    at_width!(operand_bytes(instruction, 0), W => compare::<W>(context, instruction, compute::and))
}
