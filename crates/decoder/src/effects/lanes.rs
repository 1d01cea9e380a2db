//! Which bytes of XMM registers are used, where it is not all of them.

use crate::{Instruction, Operand, OperandCode, Operation};

/// Bytes of an XMM register: the first one and how many.
pub(super) type Lanes = (u8, u8);

/// All of it.
const ALL: Lanes = (0, 16);

impl Instruction {
    /// The bytes of the XMM register that is explicit operand `index` which are used: read, and in the
    /// first operand written, where the others keep their value.
    pub(super) fn lanes(&self, index: usize) -> Lanes {
        use Operation as O;
        let code = self.row().operands().get(index).copied();
        let from_memory = matches!(self.operand(1), Some(Operand::Memory(_)));
        let to_memory = matches!(self.operand(0), Some(Operand::Memory(_)));
        match self.operation() {
            // A load clears the rest of the register.
            O::Movss | O::Movsd | O::Movq if index == 0 && from_memory => ALL,
            O::Movq if index == 0 => ALL,
            O::Movq => (0, 8),
            O::Movd if index == 1 => (0, 4),
            O::Movlps | O::Movlpd => (0, 8),
            O::Movhps | O::Movhpd => (8, 8),
            O::Movhlps => [(0, 8), (8, 8)][index & 1],
            O::Movlhps => [(8, 8), (0, 8)][index & 1],
            O::Movdq2q => (0, 8),
            O::Cvtpi2ps if index == 0 => (0, 8),
            O::Cvtss2sd => [(0, 8), (0, 4)][index & 1],
            O::Cvtsd2ss => [(0, 4), (0, 8)][index & 1],
            O::Movntss | O::Movntsd if to_memory => (0, scalar(self.operation()).unwrap_or(16)),
            operation => match scalar(operation) {
                Some(bytes) => (0, bytes),
                None if index == 0 => ALL,
                None => source(code),
            },
        }
    }
}

/// The bytes of a source that may be in memory: as many as there.
fn source(code: Option<OperandCode>) -> Lanes {
    match code {
        Some(OperandCode::XmmM16) => (0, 2),
        Some(OperandCode::XmmM32) => (0, 4),
        Some(OperandCode::XmmM64) => (0, 8),
        _ => ALL,
    }
}

/// The bytes of the numbers that a scalar operation works on.
const fn scalar(operation: Operation) -> Option<u8> {
    use Operation as O;
    match operation {
        O::Movss
        | O::Addss
        | O::Subss
        | O::Mulss
        | O::Divss
        | O::Sqrtss
        | O::Rcpss
        | O::Rsqrtss
        | O::Maxss
        | O::Minss
        | O::Cmpss
        | O::Comiss
        | O::Ucomiss
        | O::Roundss
        | O::Cvtsi2ss
        | O::Cvtss2si
        | O::Cvttss2si
        | O::Movntss => Some(4),
        O::Movsd
        | O::Addsd
        | O::Subsd
        | O::Mulsd
        | O::Divsd
        | O::Sqrtsd
        | O::Maxsd
        | O::Minsd
        | O::Cmpsd
        | O::Comisd
        | O::Ucomisd
        | O::Roundsd
        | O::Cvtsi2sd
        | O::Cvtsd2si
        | O::Cvttsd2si
        | O::Movntsd => Some(8),
        _ => None,
    }
}
