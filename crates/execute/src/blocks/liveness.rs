//! Which flags of an instruction anybody can see.
//!
//! Flags are dead if they are written again before something reads them. What may fault or leave the
//! block counts as a reader of all: an exception's state shows them.
//!
//! What an instruction reads and writes is what the decoder's rows say. Of the flags that they leave
//! undefined some groups write all and others leave some alone, as silicon does; the test runs every
//! instruction on the reference to see that what is said here is so.

use pentimento_decoder::{Instruction, Operand, Operation, Register};
use pentimento_registers::Eflags;

/// What an instruction does to status flags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlagEffect {
    /// Whose old value matters, be it to the flags that it keeps for others.
    pub read: Eflags,
    /// Those that it gives a new value, which depends on no other flags than [`Self::read`], whatever
    /// its operands are.
    pub written: Eflags,
    /// It may fault, leave the block, or do things that no flag tells of.
    pub observes_all: bool,
}

const ALL: Eflags = Eflags::STATUS;
const NONE: Eflags = Eflags::empty();

impl FlagEffect {
    /// The effect of `instruction`.
    #[must_use]
    pub fn of(instruction: &Instruction) -> Self {
        if !is_quiet(instruction) {
            return Self { read: ALL, written: NONE, observes_all: true };
        }
        let read = instruction.flags_read().intersection(ALL);
        let mut written = instruction.flags_written();
        if writes_undefined(instruction.operation()) {
            written = written.union(instruction.flags_undefined());
        }
        if instruction.flags_depend_on_count() {
            written = NONE;
        }
        Self { read, written: written.intersection(ALL), observes_all: accesses_memory(instruction) }
    }
}

/// Whether all that an instruction does, but for accesses to memory, is to change general registers
/// and status flags.
fn is_quiet(instruction: &Instruction) -> bool {
    use Operation as O;
    let general = |operand| {
        let other =
            |register| !matches!(register, Register::Gpr8(_) | Register::Gpr16(_) | Register::Gpr32(_));
        !matches!(operand, Operand::Register(register) if other(register))
    };
    let known = matches!(
        instruction.operation(),
        O::Add
            | O::Adc
            | O::Sub
            | O::Sbb
            | O::Cmp
            | O::Inc
            | O::Dec
            | O::Neg
            | O::Mul
            | O::Imul
            | O::And
            | O::Or
            | O::Xor
            | O::Not
            | O::Test
            | O::Shl
            | O::Shr
            | O::Sar
            | O::Shld
            | O::Shrd
            | O::Rol
            | O::Ror
            | O::Rcl
            | O::Rcr
            | O::Bt
            | O::Bts
            | O::Btr
            | O::Btc
            | O::Bsf
            | O::Bsr
            | O::Popcnt
            | O::Setcc
            | O::Cmovcc
            | O::Mov
            | O::Movzx
            | O::Movsx
            | O::Xchg
            | O::Bswap
            | O::Lea
            | O::Cbw
            | O::Cwde
            | O::Cwd
            | O::Cdq
            | O::Nop
            | O::Stc
            | O::Clc
            | O::Cmc
            | O::Lahf
            | O::Sahf
    );
    known && instruction.operands().all(general)
}

/// Whether the operation gives flags that the SDM leaves undefined a value of their own, too.
const fn writes_undefined(operation: Operation) -> bool {
    use Operation as O;
    matches!(
        operation,
        O::And | O::Or | O::Xor | O::Test | O::Shl | O::Shr | O::Sar | O::Shld | O::Shrd | O::Rol | O::Ror
    )
}

/// Whether the instruction accesses memory: LEA and NOP only look as if they did.
fn accesses_memory(instruction: &Instruction) -> bool {
    let in_memory = instruction.operands().any(|operand| matches!(operand, Operand::Memory(_)));
    in_memory && !matches!(instruction.operation(), Operation::Lea | Operation::Nop)
}

/// Walks up a block and tells of each instruction which flags that it writes are seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Liveness {
    live: Eflags,
}

impl Liveness {
    /// At the end of a block everything is seen.
    #[must_use]
    pub const fn at_end() -> Self {
        Self { live: ALL }
    }

    /// Whether all flags are seen.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.live == ALL
    }

    /// The flags live behind `instruction`; afterwards `self` is what is live before it. On a CPU
    /// model that lacks it, it faults.
    pub fn step(&mut self, instruction: &Instruction, lacking: bool) -> Eflags {
        let behind = self.live;
        let effect = FlagEffect::of(instruction);
        self.live = behind.difference(effect.written).union(effect.read);
        if effect.observes_all || lacking {
            self.live = ALL;
        }
        behind
    }
}

#[cfg(test)]
mod tests {
    use pentimento_decoder::decode;
    use pentimento_memory::AddressSpace;
    use pentimento_registers::{CpuState, DescriptorTables};

    use super::*;
    use crate::{Environment, Guest, execute};

    /// Executes an instruction with these registers and status flags.
    fn run(instruction: &Instruction, seed: u32, flags: Eflags) -> CpuState {
        let mut state = CpuState::new();
        for (number, register) in state.gprs_mut().iter_mut().enumerate() {
            *register = (seed ^ number as u32).wrapping_mul(0x9e37_79b9).rotate_left(seed & 31);
        }
        state.eflags = state.eflags.difference(ALL).union(flags);
        let (mut memory, mut environment) = (AddressSpace::new(), Environment::default());
        let mut guest = Guest {
            state: &mut state,
            memory: &mut memory,
            environment: &mut environment,
            descriptors: DescriptorTables::EMPTY,
        };
        assert_eq!(execute(&mut guest.context(), instruction), Ok(()), "{instruction:?}");
        state
    }

    /// Says whether what the instruction does depends on the flags in `hidden`, which it is not
    /// supposed to read, and whether those that it is supposed to write do.
    fn depends_on(instruction: &Instruction, effect: FlagEffect, seed: u32, before: Eflags) -> bool {
        let hidden = ALL.difference(effect.read);
        let (mut a, mut b) =
            (run(instruction, seed, before), run(instruction, seed, before.symmetric_difference(hidden)));
        let written = a.eflags.symmetric_difference(b.eflags).intersects(effect.written);
        a.eflags = Eflags::empty();
        b.eflags = Eflags::empty();
        written || a != b
    }

    #[test]
    fn instructions_read_no_more_and_write_no_less_than_is_said() {
        let mut tried = 0;
        for map in [&[][..], &[0x0f], &[0x66], &[0x66, 0x0f], &[0xf3, 0x0f]] {
            for opcode in 0..=0xff_u8 {
                for modrm in 0..=0xff_u8 {
                    for immediate in [0x00, 0x01, 0x07, 0x2d] {
                        let bytes = [map, &[opcode, modrm, immediate, 0x12, 0x34, 0x56, 0x78]].concat();
                        let Ok(instruction) = decode(&bytes) else { continue };
                        let effect = FlagEffect::of(&instruction);
                        if effect.observes_all {
                            continue;
                        }
                        for (seed, before) in [(1, NONE), (77, ALL), (12, Eflags::CF | Eflags::SF)] {
                            assert!(!depends_on(&instruction, effect, seed, before), "{instruction:?}");
                        }
                        tried += 1;
                    }
                }
            }
        }
        assert!(tried > 10_000, "{tried}");
    }
}
