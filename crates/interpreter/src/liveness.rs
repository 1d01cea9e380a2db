//! Which flags of an instruction anybody can see.
//!
//! Flags are dead if they are written again before something reads them. Memory accesses and
//! whatever else may leave the block count as readers of all: an exception's state shows them.

use pentimento_decoder::{Instruction, Operand, Operation, Register};
use pentimento_registers::Eflags;

/// What an instruction does to status flags, exactly as the handlers do it.
struct Effect {
    read: Eflags,
    /// Written whatever the operands are.
    written: Eflags,
    /// It may leave the block, or leave the decision to the reference.
    observes_all: bool,
}

const ALL: Eflags = Eflags::STATUS;
const NONE: Eflags = Eflags::empty();

fn effect(instruction: &Instruction) -> Effect {
    use Operation as O;
    const KEEPS_CARRY: Eflags = ALL.difference(Eflags::CF);
    const PRODUCT: Eflags = Eflags::CF.union(Eflags::OF);
    let faults = |operand| match operand {
        Operand::Memory(_) => true,
        Operand::Register(register) => {
            !matches!(register, Register::Gpr8(_) | Register::Gpr16(_) | Register::Gpr32(_))
        }
        _ => false,
    };
    let faults = instruction.operands().any(faults);
    let (read, written, known) = match instruction.operation() {
        O::Add | O::Sub | O::And | O::Or | O::Xor | O::Cmp | O::Test | O::Neg => (NONE, ALL, true),
        O::Adc | O::Sbb => (Eflags::CF, ALL, true),
        O::Inc | O::Dec => (NONE, KEEPS_CARRY, true),
        O::Shl | O::Shr | O::Sar | O::Shld | O::Shrd => (NONE, shift_flags(instruction, ALL), true),
        O::Rol | O::Ror => (NONE, shift_flags(instruction, PRODUCT), true),
        O::Mul | O::Imul => (NONE, PRODUCT, true),
        O::Setcc | O::Cmovcc => (instruction.condition().flags_read(), NONE, true),
        O::Mov | O::Movzx | O::Movsx | O::Not | O::Xchg | O::Bswap | O::Cdq | O::Cwde | O::Nop => {
            (NONE, NONE, true)
        }
        // It computes an address and accesses nothing.
        O::Lea => return Effect { read: NONE, written: NONE, observes_all: false },
        _ => (ALL, NONE, false),
    };
    Effect { read, written, observes_all: faults || !known }
}

/// What a shift or rotate that can write `flags` surely writes: by CL it may be nothing.
fn shift_flags(instruction: &Instruction, flags: Eflags) -> Eflags {
    match instruction.operand(instruction.operand_count().wrapping_sub(1)) {
        Some(Operand::Immediate { value, .. }) if value & 31 != 0 => flags,
        _ => NONE,
    }
}

/// Walks up a block and tells of each instruction which flags that it writes are seen.
pub(crate) struct Liveness {
    live: Eflags,
}

impl Liveness {
    /// At the end of a block everything is seen.
    pub(crate) const fn at_end() -> Self {
        Self { live: ALL }
    }

    /// Whether all flags are seen.
    pub(crate) fn is_all(&self) -> bool {
        self.live == ALL
    }

    /// The flags live behind `instruction`; afterwards `self` is what is live before it. On a CPU
    /// model that lacks it, it faults.
    pub(crate) fn step(&mut self, instruction: &Instruction, lacking: bool) -> Eflags {
        let behind = self.live;
        let effect = effect(instruction);
        self.live = behind.difference(effect.written).union(effect.read);
        if effect.observes_all || lacking {
            self.live = ALL;
        }
        behind
    }
}
