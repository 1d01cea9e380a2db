//! The stack, whose pointer is R15: PUSH, POP, LEAVE.

use pentimento_decoder::{Instruction, MemoryOperand, Operand, Register};
use pentimento_registers::Gpr;

use super::block::Writer;
use crate::emit::{Mem, Opcode, R8, R9, Rm};
use crate::frame::ESP;
use crate::stubs::host_register;

const EBP: u8 = Gpr::Ebp as u8;

impl Writer<'_> {
    /// Moves the stack pointer.
    pub(super) fn move_stack(&mut self, bytes: i32) {
        self.emit.lea(ESP, Mem::host(ESP, bytes));
    }

    /// PUSH of 32 bits. It stores before it moves, so that a fault finds nothing changed.
    pub(super) fn push(&mut self, instruction: &Instruction) {
        let place = Mem::guest(ESP, -4);
        match instruction.operand(0) {
            Some(Operand::Register(Register::Gpr32(register))) => {
                self.emit.store(place, host_register(register as u8));
            }
            Some(Operand::Memory(memory)) => {
                let mem = self.address(&memory);
                self.emit.load(R8, mem);
                self.emit.store(place, R8);
            }
            _ => self.emit.store_immediate(place, instruction.immediate()),
        }
        self.move_stack(-4);
    }

    /// POP of 32 bits. An address that counts from ESP counts from where it is afterwards.
    pub(super) fn pop(&mut self, instruction: &Instruction) {
        let place = Mem::guest(ESP, 0);
        match instruction.operand(0) {
            Some(Operand::Register(Register::Gpr32(Gpr::Esp))) => self.emit.load(ESP, place),
            Some(Operand::Register(Register::Gpr32(register))) => {
                self.emit.load(host_register(register as u8), place);
                self.move_stack(4);
            }
            Some(Operand::Memory(memory)) => {
                self.emit.load(R9, place);
                let moved = if memory.base == Some(Gpr::Esp) { 4 } else { 0 };
                let displacement = memory.displacement.wrapping_add(moved);
                let mem = self.address(&MemoryOperand { displacement, ..memory });
                self.emit.store(mem, R9);
                self.move_stack(4);
            }
            _ => {}
        }
    }

    /// LEAVE of 32 bits.
    pub(super) fn leave(&mut self) {
        self.emit.load(R8, Mem::guest(EBP, 0));
        self.emit.lea(ESP, Mem::host(EBP, 4));
        self.emit.copy(EBP, R8);
    }

    /// XLAT.
    pub(super) fn xlat(&mut self) {
        const EBX: u8 = Gpr::Ebx as u8;
        // movzx r8d, al; mov al, [ebx + r8d]
        self.emit.modrm(Opcode::two(0xb6), R8, Rm::Reg(0));
        let mem = Mem { base: Some(EBX), index: Some((R8, 1)), displacement: 0, guest: true };
        self.emit.modrm(Opcode::of(0x8a), 0, Rm::Mem(mem));
    }
}
