//! Operands as places to get values from and put them to.

use pentimento_decoder::{Instruction, Operand, OperandSize, Register};
use pentimento_memory::Access;
use pentimento_registers::SegmentRegister;

use crate::{Context, Outcome, Trap, Width};

/// A general register or a memory location, its address computed and checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// The general register with this encoding, at the width that the accessor is called with.
    Register(u8),
    /// A linear address.
    Memory(u32),
}

impl Context<'_> {
    /// Resolves operand `index` for `access`. With [`Access::Write`] the page is checked now, so
    /// that a later [`Context::put`] cannot fail: read-modify-write instructions start with it,
    /// as silicon checks them for writing first.
    ///
    /// # Errors
    /// #GP, #SS, #PF or #AC; #UD for an operand that is neither a general register nor memory.
    #[inline]
    pub fn place<W: Width>(&self, instruction: &Instruction, index: usize, access: Access) -> Outcome<Place> {
        match instruction.operand(index) {
            Some(Operand::Register(register)) => general_register(register).map(Place::Register),
            Some(Operand::Memory(operand)) => {
                self.memory_place::<W>(operand.segment, self.effective_address(&operand), access)
            }
            _ => Err(Trap::INVALID_OPCODE),
        }
    }

    /// [`Context::place`] for `segment:offset`.
    ///
    /// # Errors
    /// #GP, #SS, #PF or #AC.
    #[inline]
    pub fn memory_place<W: Width>(
        &self,
        segment: SegmentRegister,
        offset: u32,
        access: Access,
    ) -> Outcome<Place> {
        let linear = self.linear_address(segment, offset, W::BYTES, access)?;
        self.check_alignment(linear, W::BYTES)?;
        if access == Access::Write {
            self.memory.check(linear, W::BYTES, access)?;
        }
        Ok(Place::Memory(linear))
    }

    /// The value at a place.
    ///
    /// # Errors
    /// #PF.
    #[inline]
    pub fn get<W: Width>(&self, place: Place) -> Outcome<W> {
        match place {
            Place::Register(number) => Ok(W::register(self.state, number)),
            Place::Memory(linear) => self.load_linear(linear),
        }
    }

    /// Writes the value at a place.
    ///
    /// # Errors
    /// #PF.
    #[inline]
    pub fn put<W: Width>(&mut self, place: Place, value: W) -> Outcome {
        match place {
            Place::Register(number) => W::set_register(self.state, number, value),
            Place::Memory(linear) => self.store_linear(linear, value)?,
        }
        Ok(())
    }

    /// Reads operand `index`: a general register, memory, or an immediate.
    ///
    /// # Errors
    /// #GP, #SS, #PF or #AC.
    #[inline]
    pub fn read<W: Width>(&self, instruction: &Instruction, index: usize) -> Outcome<W> {
        match instruction.operand(index) {
            Some(Operand::Immediate { value, .. }) => Ok(W::truncate(value)),
            Some(Operand::Memory(operand)) => self.load_operand(&operand),
            Some(Operand::Register(register)) => Ok(W::register(self.state, general_register(register)?)),
            _ => Err(Trap::INVALID_OPCODE),
        }
    }

    /// Writes operand `index`: a general register or memory.
    ///
    /// # Errors
    /// #GP, #SS, #PF or #AC; then nothing was written.
    #[inline]
    pub fn write<W: Width>(&mut self, instruction: &Instruction, index: usize, value: W) -> Outcome {
        match instruction.operand(index) {
            Some(Operand::Memory(operand)) => self.store_operand(&operand, value),
            Some(Operand::Register(register)) => {
                W::set_register(self.state, general_register(register)?, value);
                Ok(())
            }
            _ => Err(Trap::INVALID_OPCODE),
        }
    }
}

/// The encoding number of a general register operand.
#[inline]
fn general_register(register: Register) -> Outcome<u8> {
    match register {
        Register::Gpr8(register) => Ok(register.number()),
        Register::Gpr16(register) | Register::Gpr32(register) => Ok(register.number()),
        _ => Err(Trap::INVALID_OPCODE),
    }
}

/// Bytes that operand `index` is wide: 1, 2 or 4 for the operands of integer instructions.
#[inline]
#[must_use]
pub fn operand_bytes(instruction: &Instruction, index: usize) -> u16 {
    match instruction.operand(index) {
        Some(Operand::Register(Register::Gpr8(_))) => 1,
        Some(Operand::Register(Register::Gpr16(_) | Register::Segment(_))) => 2,
        Some(Operand::Memory(operand)) => operand.size,
        Some(Operand::Immediate { size, .. }) => size.into(),
        _ => 4,
    }
}

/// Bytes that the operand size stands for: 2 or 4.
#[inline]
#[must_use]
pub fn operand_size_bytes(instruction: &Instruction) -> u16 {
    match instruction.operand_size() {
        OperandSize::Word => 2,
        OperandSize::Dword => 4,
    }
}

/// Evaluates a body with a type alias for the [`Width`] of 1, 2 or 4 bytes.
macro_rules! at_width {
    ($bytes:expr, $width:ident => $body:expr) => {
        match $bytes {
            1 => {
                type $width = u8;
                $body
            }
            2 => {
                type $width = u16;
                $body
            }
            _ => {
                type $width = u32;
                $body
            }
        }
    };
}
pub(crate) use at_width;
