//! Vector operands: registers of both files, and memory with its alignment rules.

use pentimento_decoder::{Instruction, MemoryOperand, Operand, Operation, Register};
use pentimento_memory::Access;
use pentimento_registers::{CpuState, Gpr};

use crate::vector::Vector;
use crate::{Context, Outcome, Trap, mmx};

/// A vector that is a register's contents: `u64` for MMX, `u128` for XMM.
pub(crate) trait VectorRegister: Vector {
    /// What comes before the instruction's first access to anything.
    ///
    /// # Errors
    /// #MF, pending from an x87 instruction.
    fn begin(context: &Context<'_>) -> Outcome;
    /// Register `number`.
    fn register(state: &CpuState, number: u8) -> Self;
    /// Writes register `number`, once nothing can fault any more.
    fn set_register(state: &mut CpuState, number: u8, value: Self);
    /// Leaves the x87 as an instruction that reads such registers and writes none does.
    fn touch(state: &mut CpuState);
}

impl VectorRegister for u64 {
    #[inline]
    fn begin(context: &Context<'_>) -> Outcome {
        mmx::check_pending(context)
    }
    #[inline]
    fn register(state: &CpuState, number: u8) -> Self {
        state.x87.mmx(number)
    }
    #[inline]
    fn set_register(state: &mut CpuState, number: u8, value: Self) {
        mmx::enter(state);
        state.x87.set_mmx(number, value);
    }
    #[inline]
    fn touch(state: &mut CpuState) {
        mmx::enter(state);
    }
}

impl VectorRegister for u128 {
    #[inline]
    fn begin(_: &Context<'_>) -> Outcome {
        Ok(())
    }
    #[inline]
    fn register(state: &CpuState, number: u8) -> Self {
        state.xmm[usize::from(number & 7)]
    }
    #[inline]
    fn set_register(state: &mut CpuState, number: u8, value: Self) {
        state.xmm[usize::from(number & 7)] = value;
    }
    #[inline]
    fn touch(_: &mut CpuState) {}
}

/// Whether sixteen bytes must be aligned to be accessed. Shorter operands never need to be, and
/// neither do those of the SHA extensions on silicon, whatever the manuals say.
pub(crate) const fn requires_alignment(operation: Operation) -> bool {
    use Operation as O;
    !matches!(
        operation,
        O::Movups
            | O::Movupd
            | O::Movdqu
            | O::Lddqu
            | O::Pcmpestri
            | O::Pcmpestrm
            | O::Pcmpistri
            | O::Pcmpistrm
            | O::Sha1rnds4
            | O::Sha1nexte
            | O::Sha1msg1
            | O::Sha1msg2
            | O::Sha256rnds2
            | O::Sha256msg1
            | O::Sha256msg2
    )
}

impl Context<'_> {
    /// The vector that operand `index` names: a register, or as much memory as the row says,
    /// zero-extended.
    ///
    /// # Errors
    /// #GP, #SS, #PF or #AC.
    pub(crate) fn vector<V: VectorRegister>(&self, instruction: &Instruction, index: usize) -> Outcome<V> {
        match instruction.operand(index) {
            Some(Operand::Register(register)) => match register {
                Register::Xmm(number) => Ok(V::from_u128(u128::register(self.state, number))),
                Register::Mmx(number) => Ok(V::from_u128(u64::register(self.state, number).into())),
                Register::Gpr32(number) => Ok(V::from_u128(self.state.gpr(number).into())),
                _ => Err(Trap::INVALID_OPCODE),
            },
            Some(Operand::Memory(operand)) => Ok(V::from_u128(match operand.size {
                1 => self.load_operand::<u8>(&operand)?.into(),
                2 => self.load_operand::<u16>(&operand)?.into(),
                4 => self.load_operand::<u32>(&operand)?.into(),
                8 => self.load_operand::<u64>(&operand)?.into(),
                _ => {
                    let linear = self.locate_vector(instruction, &operand, Access::Read)?;
                    self.load_linear(linear)?
                }
            })),
            _ => Err(Trap::INVALID_OPCODE),
        }
    }

    /// Stores as much of `value` as the memory operand holds.
    ///
    /// # Errors
    /// #GP, #SS, #PF or #AC; then nothing was written.
    pub(crate) fn store_vector(
        &mut self,
        instruction: &Instruction,
        operand: &MemoryOperand,
        value: u128,
    ) -> Outcome {
        match operand.size {
            1 => self.store_operand(operand, value as u8),
            2 => self.store_operand(operand, value as u16),
            4 => self.store_operand(operand, value as u32),
            8 => self.store_operand(operand, value as u64),
            _ => {
                let linear = self.locate_vector(instruction, operand, Access::Write)?;
                self.store_linear(linear, value)
            }
        }
    }

    /// The address of sixteen bytes. If they are misaligned that is #GP(0), before anything else;
    /// for operations that take them it is #AC where alignment is checked.
    fn locate_vector(
        &self,
        instruction: &Instruction,
        operand: &MemoryOperand,
        access: Access,
    ) -> Outcome<u32> {
        let base = self.state.segment(operand.segment).base();
        let misaligned = !base.wrapping_add(self.effective_address(operand)).is_multiple_of(16);
        if misaligned && requires_alignment(instruction.operation()) {
            return Err(Trap::GENERAL_PROTECTION);
        }
        let linear = self.locate(operand, 16, access)?;
        self.check_alignment(linear, 16)?;
        Ok(linear)
    }
}

/// The MMX or XMM register that operand `index` names.
#[derive(Clone, Copy)]
pub(crate) enum RegisterFile {
    /// MM0 to MM7.
    Mmx(u8),
    /// XMM0 to XMM7.
    Xmm(u8),
}

/// The vector register that operand `index` is.
///
/// # Errors
/// #UD if it is none.
pub(crate) fn vector_register(instruction: &Instruction, index: usize) -> Outcome<RegisterFile> {
    match instruction.operand(index) {
        Some(Operand::Register(Register::Mmx(number))) => Ok(RegisterFile::Mmx(number)),
        Some(Operand::Register(Register::Xmm(number))) => Ok(RegisterFile::Xmm(number)),
        _ => Err(Trap::INVALID_OPCODE),
    }
}

/// A handler for one width of vectors, given the number of the register that is its destination.
type OnRegister = fn(&mut Context<'_>, &Instruction, u8) -> Outcome;

/// Executes an instruction that exists on both kinds of registers, as operand 0 says.
///
/// # Errors
/// What the handler returns; #UD if operand 0 is no vector register.
pub(crate) fn by_width(
    context: &mut Context<'_>,
    instruction: &Instruction,
    on_mmx: OnRegister,
    on_xmm: OnRegister,
) -> Outcome {
    match vector_register(instruction, 0)? {
        RegisterFile::Mmx(number) => on_mmx(context, instruction, number),
        RegisterFile::Xmm(number) => on_xmm(context, instruction, number),
    }
}

/// The XMM register that operand `index` is.
///
/// # Errors
/// #UD if it is none.
pub(crate) fn xmm_register(instruction: &Instruction, index: usize) -> Outcome<u8> {
    match vector_register(instruction, index)? {
        RegisterFile::Xmm(number) => Ok(number),
        RegisterFile::Mmx(_) => Err(Trap::INVALID_OPCODE),
    }
}

/// The general register that operand `index` is, whatever its width.
///
/// # Errors
/// #UD if it is none.
pub(crate) fn general_register(instruction: &Instruction, index: usize) -> Outcome<Gpr> {
    match instruction.operand(index) {
        Some(Operand::Register(Register::Gpr32(number) | Register::Gpr16(number))) => Ok(number),
        Some(Operand::Register(Register::Gpr8(number))) => Ok(Gpr::from_number(number.number())),
        _ => Err(Trap::INVALID_OPCODE),
    }
}

/// The immediate that operand `index` is, or zero.
pub(crate) fn immediate(instruction: &Instruction, index: usize) -> u8 {
    match instruction.operand(index) {
        Some(Operand::Immediate { value, .. }) => value as u8,
        _ => 0,
    }
}
