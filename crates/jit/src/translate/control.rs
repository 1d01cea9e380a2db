//! Jumps, calls and returns.
//!
//! A jump to a known address is a jump to its translation, once there is one. Any other looks its target
//! up in the jump table. Neither touches a flag.

use pentimento_decoder::{Instruction, Operand, Operation, Register};
use pentimento_execute::blocks::Found;

use super::block::{Cold, Writer};
use crate::emit::{Mem, Opcode, R8, R9, RCX, Rm, condition};
use crate::frame::{CODE, ESP, TABLE};
use crate::stubs::host_register;

const JRCXZ: u8 = 0xe3;
const JMP_SHORT: u8 = 0xeb;

impl Writer<'_> {
    /// Jcc at place `at` of the block.
    pub(super) fn branch(&mut self, found: &Found, at: usize) {
        let site = self.emit.jcc(found.instruction.condition() as u8);
        self.cold.push(Cold::Edge { site, at, target: found.target });
    }

    /// JECXZ and LOOP at place `at` of the block.
    pub(super) fn counter_branch(&mut self, found: &Found, at: usize) {
        let operation = found.instruction.operation();
        if operation == Operation::Jecxz {
            let taken = self.emit.short(JRCXZ);
            let over = self.emit.short(JMP_SHORT);
            self.emit.bind_short(taken);
            let site = self.emit.jmp();
            self.cold.push(Cold::Edge { site, at, target: found.target });
            return self.emit.bind_short(over);
        }
        self.emit.lea(RCX, Mem::host(RCX, -1));
        let over = self.emit.short(JRCXZ);
        let site = match operation {
            Operation::Loope => self.emit.jcc(condition::EQUAL),
            Operation::Loopne => self.emit.jcc(condition::NOT_EQUAL),
            _ => self.emit.jmp(),
        };
        self.cold.push(Cold::Edge { site, at, target: found.target });
        self.emit.bind_short(over);
    }

    /// JMP.
    pub(super) fn jump(&mut self, found: &Found) {
        if self.target(&found.instruction) {
            self.indirect();
        } else {
            self.edge(found.target);
        }
    }

    /// CALL.
    pub(super) fn call(&mut self, found: &Found) {
        let indirect = self.target(&found.instruction);
        self.emit.store_immediate(Mem::guest(ESP, -4), found.next);
        self.move_stack(-4);
        if indirect {
            self.indirect();
        } else {
            self.edge(found.target);
        }
    }

    /// RET.
    pub(super) fn ret(&mut self, instruction: &Instruction) {
        self.emit.load(R8, Mem::guest(ESP, 0));
        self.move_stack(4 + (instruction.immediate() & 0xffff) as i32);
        self.indirect();
    }

    /// Loads the target of an indirect jump into R8; false for a direct one.
    fn target(&mut self, instruction: &Instruction) -> bool {
        match instruction.operand(0) {
            Some(Operand::Register(Register::Gpr32(register))) => {
                self.emit.copy(R8, host_register(register as u8));
            }
            Some(Operand::Memory(memory)) => {
                let mem = self.address(&memory);
                self.emit.load(R8, mem);
            }
            _ => return false,
        }
        true
    }

    /// Jumps to the translation of the address in R8.
    fn indirect(&mut self) {
        let entry = Mem { base: Some(TABLE), index: Some((R8, 4)), displacement: 0, guest: false };
        self.emit.load(R9, entry);
        let place = Mem { base: Some(CODE), index: Some((R9, 1)), displacement: 0, guest: false };
        self.emit.lea_wide(R9, place);
        self.emit.modrm(Opcode::of(0xff), 4, Rm::Reg(R9));
    }

    /// A jump to `target` at the end of the block.
    pub(super) fn edge(&mut self, target: u32) {
        let site = self.emit.jmp();
        self.cold.push(Cold::Edge { site, at: usize::MAX, target });
    }
}
