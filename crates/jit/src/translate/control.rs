//! Jumps, calls and returns.
//!
//! A jump to a known address is a jump to its translation, once there is one. Any other looks its target
//! up in the jump table. Neither touches a flag.

use pentimento_decoder::{Instruction, Operation};
use pentimento_execute::blocks::Found;

use super::block::{Cold, Writer};
use super::kind::Item;
use super::traits::Traits;
use crate::emit::{JMP_SHORT, JRCXZ, Mem, Opcode, R8, R9, RCX, Rm, Site, condition};
use crate::frame::Frame;
use crate::stubs::{dispatch, host_register, load_target};

impl Writer<'_> {
    /// Jcc at place `at` of the block.
    pub(super) fn branch(&mut self, found: &Found, at: usize) {
        self.settle_stack();
        let site = self.emit.jcc(found.instruction.condition() as u8);
        self.lead(site, at, found.target);
    }

    /// JECXZ and LOOP at place `at` of the block.
    pub(super) fn counter_branch(&mut self, found: &Found, at: usize) {
        self.settle_stack();
        let operation = found.instruction.operation();
        if operation == Operation::Jecxz {
            let taken = self.emit.short(JRCXZ);
            let over = self.emit.short(JMP_SHORT);
            self.emit.bind_short(taken);
            let site = self.emit.jmp();
            self.lead(site, at, found.target);
            return self.emit.bind_short(over);
        }
        self.emit.lea(RCX, Mem::host(RCX, -1));
        let over = self.emit.short(JRCXZ);
        let site = match operation {
            Operation::Loope => self.emit.jcc(condition::EQUAL),
            Operation::Loopne => self.emit.jcc(condition::NOT_EQUAL),
            _ => self.emit.jmp(),
        };
        self.lead(site, at, found.target);
        self.emit.bind_short(over);
    }

    /// JMP.
    pub(super) fn jump(&mut self, item: &Item) {
        if self.target(item) {
            self.settle_stack();
            self.indirect();
        } else {
            self.edge(item.found.target);
        }
    }

    /// CALL: a call of the host's, too, so that its CPU knows where the return goes. Behind it lands
    /// whatever returns to there, and goes on if that is what the guest's stack says.
    pub(super) fn call(&mut self, item: &Item) {
        let found = &item.found;
        let indirect = self.target(item);
        let place = self.stack(-4);
        self.emit.store_immediate(place, found.next);
        self.move_stack(-4);
        self.settle_stack();
        if self.backwards || found.target == found.next && !indirect {
            return if indirect { self.indirect() } else { self.edge(found.target) };
        }
        if indirect {
            load_target(self.emit);
            // call r9
            self.emit.modrm(Opcode::of(0xff), 2, Rm::Reg(R9));
        } else {
            let site = self.emit.call();
            self.cold_edge(site, found.target, false);
        }
        // lea ecx, [r8 - next]; jrcxz
        self.emit.copy_wide(R9, RCX);
        self.emit.lea(RCX, Mem::host(R8, (found.next as i32).wrapping_neg()));
        let here = self.emit.short(JRCXZ);
        self.emit.copy_wide(RCX, R9);
        let site = self.emit.jmp();
        self.emit.bind(site, self.stubs.dispatch);
        self.emit.bind_short(here);
        self.emit.copy_wide(RCX, R9);
        self.edge(found.next);
    }

    /// RET.
    pub(super) fn ret(&mut self, instruction: &Instruction) {
        let place = self.stack(0);
        self.emit.load(R8, place);
        self.move_stack(4 + (instruction.immediate() & 0xffff) as i32);
        self.settle_stack();
        if self.backwards { self.indirect() } else { self.emit.byte(0xc3) }
    }

    /// Loads the target of an indirect jump into R8; false for a direct one.
    fn target(&mut self, item: &Item) -> bool {
        if let Some(memory) = item.memory {
            let mem = self.address(&memory);
            self.emit.load(R8, mem);
        } else if item.traits.contains(Traits::MODRM) {
            if item.names_stack {
                self.settle_stack();
            }
            self.emit.copy(R8, host_register(item.found.instruction.modrm() & 7));
        } else {
            return false;
        }
        true
    }

    /// Jumps to the translation of the address in R8. The jump table knows only those in which string
    /// instructions go forwards.
    fn indirect(&mut self) {
        if self.backwards {
            let site = self.emit.jmp();
            return self.emit.bind(site, self.stubs.lookup);
        }
        dispatch(self.emit);
    }

    /// CLD and STD: what follows is translated for the other direction.
    pub(super) fn direction(&mut self, found: &Found) {
        self.settle_stack();
        let backwards = found.instruction.operation() == Operation::Std;
        self.emit.store_immediate(Frame::backwards(), backwards.into());
        let site = self.emit.jmp();
        self.draft.cold.push(Cold::Edge { site, target: found.next, backwards, inside: true });
    }

    /// A jump to `target` at the end of the block.
    pub(super) fn edge(&mut self, target: u32) {
        self.settle_stack();
        let site = self.emit.jmp();
        self.cold_edge(site, target, false);
    }

    /// The way to `target`, behind the end of the block, that is no jump of the guest's.
    pub(super) fn edge_inside(&mut self, target: u32) {
        self.settle_stack();
        let site = self.emit.jmp();
        self.cold_edge(site, target, true);
    }

    /// What a jump at `site` to another block's code does while there is none.
    pub(super) fn cold_edge(&mut self, site: Site, target: u32, inside: bool) {
        self.draft.cold.push(Cold::Edge { site, target, backwards: self.backwards, inside });
    }
}
