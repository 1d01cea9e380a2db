//! Instructions that the host executes as they are: other registers in ModRM, and memory behind GS.

use pentimento_decoder::{Instruction, MandatoryPrefix, Map, MemoryOperand, OperandCode, Prefixes};
use pentimento_registers::{Gpr, SegmentRegister};

use super::block::Writer;
use super::kind::{Item, is_based};
use super::traits::Traits;
use crate::emit::{Mem, Opcode, R8, R9, Rm};
use crate::frame::Frame;
use crate::stubs::host_register;

impl Writer<'_> {
    /// An instruction that the host executes as it is.
    pub(super) fn plain(&mut self, item: &Item) {
        let instruction = &item.found.instruction;
        let row = instruction.row();
        let mut opcode = Opcode { prefix: 0, map: row.map(), byte: instruction.opcode(), wide: false };
        // 64-bit mode has no second opcode for 80h.
        if opcode.map == Map::OneByte && opcode.byte == 0x82 {
            opcode.byte = 0x80;
        }
        let word = instruction.prefixes().contains(Prefixes::OPERAND_SIZE);
        match row.prefix() {
            MandatoryPrefix::P66 | MandatoryPrefix::OperandSize => opcode.prefix = 0x66,
            MandatoryPrefix::F3 => opcode.prefix = 0xf3,
            MandatoryPrefix::F2 => opcode.prefix = 0xf2,
            _ if word => opcode.prefix = 0x66,
            _ => {}
        }
        if word && matches!(opcode.prefix, 0xf2 | 0xf3) {
            self.emit.byte(0x66);
        }
        if item.traits.contains(Traits::MODRM) {
            let rm = self.rm(item);
            let number = instruction.modrm() >> 3 & 7;
            let general = item.traits.contains(Traits::GENERAL_REG);
            let reg = if general { host_register(number) } else { number };
            self.emit.modrm(opcode, reg, rm);
        } else {
            self.short(item, opcode);
        }
        if item.traits.contains(Traits::IMMEDIATE) {
            self.immediates(instruction);
        }
        if item.traits.contains(Traits::X87_DATA)
            && let Some(memory) = item.memory
        {
            let mem = self.effective(&memory);
            self.emit.lea(R8, mem);
            self.emit.store_wide(Frame::x87_data(), R8);
        }
    }

    /// LEA: an address of the guest's as a number.
    pub(super) fn load_address(&mut self, item: &Item) {
        let instruction = &item.found.instruction;
        let Some(memory) = item.memory else { return };
        let mem = Mem { guest: false, ..self.effective(&memory) };
        let register = host_register(instruction.modrm() >> 3 & 7);
        self.emit.modrm(sized(instruction, 0x8d), register, Rm::Mem(mem));
    }

    /// INC and DEC of a register, by the longer form.
    pub(super) fn step(&mut self, instruction: &Instruction) {
        let register = host_register(instruction.opcode() & 7);
        self.emit.modrm(sized(instruction, 0xff), instruction.opcode() >> 3 & 1, Rm::Reg(register));
    }

    /// An instruction without ModRM: its registers are implied or in the opcode.
    fn short(&mut self, item: &Item, opcode: Opcode) {
        use OperandCode as C;
        let operands = item.found.instruction.row().operands();
        if let Some(moffs) = operands.iter().position(|code| matches!(code, C::Moffs8 | C::Moffsv)) {
            // With an offset alone the host's opcode would have another length.
            let byte = if moffs == 0 { 0x88 } else { 0x8a } | opcode.byte & 1;
            let Some(memory) = item.memory else { return };
            let mem = self.address(&memory);
            return self.emit.modrm(Opcode { byte, ..opcode }, 0, Rm::Mem(mem));
        }
        if opcode.prefix != 0 {
            self.emit.byte(opcode.prefix);
        }
        let number = opcode.byte & 7;
        let general = item.traits.contains(Traits::GENERAL_OPCODE);
        let register = if general { host_register(number) } else { number };
        if register > 7 {
            self.emit.byte(0x41);
        }
        self.emit.raw(opcode.map.escape());
        self.emit.byte(opcode.byte & !7 | register & 7);
    }

    /// What ModRM's rm names.
    fn rm(&mut self, item: &Item) -> Rm {
        match item.memory {
            // AH to BH cannot be named together with R10.
            Some(memory) if item.high_byte => Rm::Mem(self.effective(&memory)),
            Some(memory) => Rm::Mem(self.address(&memory)),
            None => {
                let number = item.found.instruction.modrm() & 7;
                let general = item.traits.contains(Traits::GENERAL_RM);
                Rm::Reg(if general { host_register(number) } else { number })
            }
        }
    }

    /// The host's form of an address. What has a segment's base in it takes R8 and R9.
    pub(super) fn address(&mut self, memory: &MemoryOperand) -> Mem {
        let mem = self.effective(memory);
        if !is_based(memory.segment) {
            let mem = mem.short();
            if mem.guest && memory.size == 10 {
                // The host's CPU loads ten bytes in two pieces, the second of which wraps by itself.
                self.emit.lea(R8, mem);
                return Mem::guest(R8, 0);
            }
            return mem;
        }
        let Mem { base, index, .. } = mem;
        let field = if memory.segment == SegmentRegister::Fs { Frame::fs_base() } else { Frame::gs_base() };
        self.emit.load(R8, field);
        match (base, index) {
            (Some(base), Some(_)) if base != R8 => {
                self.emit.lea(R9, Mem { displacement: 0, ..mem });
                Mem { base: Some(R9), index: Some((R8, 1)), ..mem }
            }
            (Some(_), _) => Mem { index: Some((R8, 1)), ..mem },
            (None, _) => Mem { base: Some(R8), ..mem },
        }
    }

    /// The offset in its segment. What counts from ESP counts from where that is.
    pub(super) fn effective(&self, memory: &MemoryOperand) -> Mem {
        let base = memory.base.map(|base| host_register(base as u8));
        let index = memory.index.map(|index| (host_register(index as u8), memory.scale));
        let ahead = if memory.base == Some(Gpr::Esp) { self.stack_ahead } else { 0 };
        let displacement = (memory.displacement as i32).wrapping_add(ahead);
        Mem { base, index, displacement, guest: true }
    }

    /// The bytes behind ModRM and displacement.
    fn immediates(&mut self, instruction: &Instruction) {
        use OperandCode as C;
        let wide = if instruction.prefixes().contains(Prefixes::OPERAND_SIZE) { 2 } else { 4 };
        for (index, code) in instruction.row().operands().iter().enumerate() {
            let bytes = instruction.immediate().to_le_bytes();
            match code {
                C::Imm8 | C::Imm8s => self.emit.byte(bytes[0]),
                C::Imm16 => self.emit.raw(&bytes[..2]),
                C::Immz => self.emit.raw(&bytes[..wide]),
                C::Imm8b => {
                    if let Some(pentimento_decoder::Operand::Immediate { value, .. }) =
                        instruction.operand(index)
                    {
                        self.emit.byte(value as u8);
                    }
                }
                _ => {}
            }
        }
    }
}

/// A one-byte opcode with operands as wide as the instruction's.
fn sized(instruction: &Instruction, byte: u8) -> Opcode {
    let word = instruction.prefixes().contains(Prefixes::OPERAND_SIZE);
    Opcode { prefix: if word { 0x66 } else { 0 }, ..Opcode::of(byte) }
}
