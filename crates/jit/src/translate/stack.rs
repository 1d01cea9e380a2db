//! The stack, whose pointer is R15: PUSH, POP, LEAVE.
//!
//! Within a block R15 stays behind: what ESP is ahead of it is known, and added to displacements. So a run
//! of PUSH moves it once, and no instruction waits for the one before. It catches up before it is read as a
//! number, and before every way out but exceptions, whose [`Point`](super::Point) says how far it was.

use pentimento_decoder::{Operand, Operation, Register};
use pentimento_execute::blocks::FlagEffect;
use pentimento_registers::{Eflags, Gpr};

use super::block::{Fix, Writer};
use super::kind::Item;
use super::traits::Traits;
use crate::emit::{Mem, Opcode, R8, R9, Reg, Rm};
use crate::frame::ESP;
use crate::stubs::host_register;

const EBP: Reg = Gpr::Ebp as Reg;
/// Bytes that R15 may be behind, either way.
const FARTHEST: i32 = 4096;

impl Writer<'_> {
    /// What the stack pointer and a displacement address.
    pub(super) fn stack(&self, displacement: i32) -> Mem {
        Mem::guest(ESP, self.stack_ahead + displacement)
    }

    /// Moves the stack pointer.
    pub(super) fn move_stack(&mut self, bytes: i32) {
        self.stack_ahead += bytes;
        if self.stack_ahead.abs() > FARTHEST {
            self.settle_stack();
        }
    }

    /// Lets R15 be ESP. No flag changes.
    pub(super) fn settle_stack(&mut self) {
        if self.stack_ahead != 0 {
            self.emit.lea(ESP, Mem::host(ESP, self.stack_ahead));
            self.stack_ahead = 0;
            self.point(self.at, Fix::None);
        }
    }

    /// An instruction that does nothing but move the stack pointer by a known distance, or copy it: true
    /// if that is done.
    pub(super) fn moves_stack(&mut self, item: &Item, at: usize) -> bool {
        let instruction = &item.found.instruction;
        let register = |index| match instruction.operand(index) {
            Some(Operand::Register(Register::Gpr32(register))) => Some(register),
            _ => None,
        };
        match (instruction.operation(), register(0), register(1)) {
            (Operation::Mov, Some(to), Some(Gpr::Esp)) if to != Gpr::Esp => {
                self.emit.lea(host_register(to as u8), Mem::host(ESP, self.stack_ahead));
                true
            }
            (Operation::Add | Operation::Sub, Some(Gpr::Esp), None)
                if item.memory.is_none() && self.flags_are_dead(at + 1) =>
            {
                let distance = instruction.immediate() as i32;
                let near = distance.unsigned_abs() <= FARTHEST as u32;
                if near {
                    let down = instruction.operation() == Operation::Sub;
                    self.move_stack(if down { -distance } else { distance });
                }
                near
            }
            (Operation::Lea, Some(Gpr::Esp), _) => {
                let distance =
                    item.memory.filter(|memory| memory.base == Some(Gpr::Esp) && memory.index.is_none());
                let distance = distance.map(|memory| memory.displacement as i32);
                let near = distance.filter(|distance| distance.unsigned_abs() <= FARTHEST as u32);
                if let Some(distance) = near {
                    self.move_stack(distance);
                }
                near.is_some()
            }
            _ => false,
        }
    }

    /// Whether the block's instructions from place `at` on set all flags before anybody sees them.
    fn flags_are_dead(&self, at: usize) -> bool {
        for Item { found, .. } in self.items.iter().skip(at) {
            let effect = FlagEffect::of(&found.instruction);
            if found.lacking || effect.observes_all || !effect.read.is_empty() {
                return false;
            }
            if effect.written == Eflags::STATUS {
                return true;
            }
        }
        false
    }

    /// PUSH of 32 bits.
    pub(super) fn push(&mut self, item: &Item) {
        if item.names_stack {
            self.settle_stack();
        }
        let place = self.stack(-4);
        if let Some(memory) = item.memory {
            let mem = self.address(&memory);
            self.emit.load(R8, mem);
            self.emit.store(place, R8);
        } else if let Some(register) = named(item) {
            self.emit.store(place, host_register(register));
        } else {
            self.emit.store_immediate(place, item.found.instruction.immediate());
        }
        self.move_stack(-4);
    }

    /// POP of 32 bits. An address that counts from ESP counts from where it is afterwards.
    pub(super) fn pop(&mut self, item: &Item) {
        let place = self.stack(0);
        if item.names_stack {
            self.emit.load(ESP, place);
            self.stack_ahead = 0;
        } else if let Some(memory) = item.memory {
            self.emit.load(R9, place);
            self.stack_ahead += 4;
            let mem = self.address(&memory);
            self.emit.store(mem, R9);
        } else if let Some(register) = named(item) {
            self.emit.load(host_register(register), place);
            self.move_stack(4);
        }
    }

    /// LEAVE of 32 bits.
    pub(super) fn leave(&mut self) {
        self.emit.load(R8, Mem::guest(EBP, 0));
        self.emit.lea(ESP, Mem::host(EBP, 4));
        self.emit.copy(EBP, R8);
        self.stack_ahead = 0;
    }

    /// XLAT.
    pub(super) fn xlat(&mut self) {
        const EBX: Reg = Gpr::Ebx as Reg;
        // movzx r8d, al; mov al, [ebx + r8d]
        self.emit.modrm(Opcode::two(0xb6), R8, Rm::Reg(0));
        let mem = Mem { base: Some(EBX), index: Some((R8, 1)), displacement: 0, guest: true };
        self.emit.modrm(Opcode::of(0x8a), 0, Rm::Mem(mem));
    }
}

/// The number of the register that PUSH or POP names.
const fn named(item: &Item) -> Option<u8> {
    let instruction = &item.found.instruction;
    if item.traits.contains(Traits::GENERAL_OPCODE) {
        Some(instruction.opcode() & 7)
    } else if item.traits.contains(Traits::MODRM) {
        Some(instruction.modrm() & 7)
    } else {
        None
    }
}
