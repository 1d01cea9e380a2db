//! PCMPESTRI, PCMPESTRM, PCMPISTRI and PCMPISTRM.

use pentimento_decoder::{Instruction, Operation};
use pentimento_registers::{Eflags, Gpr};

use super::operand::immediate;
use crate::vector::Vector;
use crate::vector::string_compare::{explicit, implicit};
use crate::{Context, Outcome};

/// All four: the index goes to ECX, the mask to XMM0.
pub(crate) fn compare(context: &mut Context<'_>, instruction: &Instruction) -> Outcome {
    use Operation as O;
    let a = context.vector::<u128>(instruction, 0)?.guest_order();
    let b = context.vector::<u128>(instruction, 1)?.guest_order();
    let immediate = immediate(instruction, 2);
    let comparison = match instruction.operation() {
        O::Pcmpestri | O::Pcmpestrm => {
            let [length_a, length_b] = [Gpr::Eax, Gpr::Edx].map(|length| context.state.gpr(length) as i32);
            explicit(&a, length_a, &b, length_b, immediate)
        }
        _ => implicit(&a, &b, immediate),
    };
    match instruction.operation() {
        O::Pcmpestri | O::Pcmpistri => context.state.set_gpr(Gpr::Ecx, comparison.index()),
        _ => context.state.xmm[0] = comparison.mask(),
    }
    context.set_flags(Eflags::STATUS, comparison.flags);
    Ok(())
}
