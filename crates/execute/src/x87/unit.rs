//! The x87 unit while an instruction executes: pending exceptions, pointers, register stack and
//! exception response (SDM volume 1, sections 8.1.2, 8.1.8 and 8.4 to 8.6).

use pentimento_decoder::Instruction;
use pentimento_memory::{Access, Value};
use pentimento_registers::{ControlWord, Exception, F80, SegmentRegister, StatusWord, X87State};

use crate::float::{Flags, Format, Rules, Unpacked};
use crate::{Context, Outcome, Trap};

/// Where a memory operand lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Data {
    pub(super) segment: SegmentRegister,
    pub(super) offset: u32,
}

/// Whether the instruction's operand is in memory.
#[inline(always)]
pub(super) const fn is_memory(instruction: &Instruction) -> bool {
    instruction.modrm() < 0xc0
}

/// The `i` of the ST(i) in the ModRM byte.
#[inline(always)]
pub(super) const fn st_number(instruction: &Instruction) -> u8 {
    instruction.modrm() & 7
}

/// The memory operand, which is the only explicit operand of x87 instructions that have one.
#[inline(always)]
pub(super) fn data(context: &Context<'_>, instruction: &Instruction) -> Outcome<Data> {
    let Some(operand) = instruction.modrm_address() else { return Err(Trap::INVALID_OPCODE) };
    Ok(Data { segment: operand.segment, offset: context.effective_address(&operand) })
}

/// Raises the exception that an earlier instruction left pending: what every instruction does
/// first, except those whose mnemonic starts with FN.
///
/// # Errors
/// #MF.
#[inline(always)]
pub(crate) fn check_pending(context: &Context<'_>) -> Outcome {
    if context.state.x87.status.contains(StatusWord::ES) {
        return Err(Trap::fault(Exception::FloatingPoint, 0));
    }
    Ok(())
}

/// [`Context::load`], inlined: a result that comes back through memory costs more than the load.
#[inline(always)]
pub(super) fn load<T: Value>(context: &Context<'_>, data: Data) -> Outcome<T> {
    let length = size_of::<T>() as u32;
    let linear = context.linear_address(data.segment, data.offset, length, Access::Read)?;
    context.check_alignment(linear, length)?;
    context.load_linear(linear)
}

/// [`Context::store`], inlined.
#[inline(always)]
pub(super) fn store<T: Value>(context: &mut Context<'_>, data: Data, value: T) -> Outcome {
    let length = size_of::<T>() as u32;
    let linear = context.linear_address(data.segment, data.offset, length, Access::Write)?;
    context.check_alignment(linear, length)?;
    context.store_linear(linear, value)
}

/// Raises what a store of `length` bytes would raise.
#[cold]
pub(super) fn probe(context: &Context<'_>, data: Data, length: u32) -> Outcome {
    let linear = context.linear_address(data.segment, data.offset, length, Access::Write)?;
    context.check_alignment(linear, length.next_power_of_two().min(8))?;
    Ok(context.memory.check(linear, length, Access::Write)?)
}

/// Reads the ten bytes of an m80 operand.
#[inline]
pub(super) fn load_ten(context: &Context<'_>, data: Data) -> Outcome<[u8; 10]> {
    let mut bytes = [0; 10];
    let linear = context.linear_address(data.segment, data.offset, 10, Access::Read)?;
    context.check_alignment(linear, 8)?;
    context.load_bytes(linear, &mut bytes)?;
    Ok(bytes)
}

/// Writes the ten bytes of an m80 operand.
#[inline]
pub(super) fn store_ten(context: &mut Context<'_>, data: Data, bytes: [u8; 10]) -> Outcome {
    let linear = context.linear_address(data.segment, data.offset, 10, Access::Write)?;
    context.check_alignment(linear, 8)?;
    context.store_bytes(linear, &bytes)
}

/// The x87 state with the operations that instructions are made of. Having one means that the
/// instruction has passed all its faults.
pub(super) struct Unit<'a> {
    pub(super) x87: &'a mut X87State,
}

impl<'a> Unit<'a> {
    /// Records the instruction, and its operand if there is one, as the last that was executed.
    #[inline]
    pub(super) fn enter(context: &'a mut Context<'_>, instruction: &Instruction, data: Option<Data>) -> Self {
        let state = &mut *context.state;
        let x87 = &mut state.x87;
        x87.last_instruction = context.start;
        x87.last_instruction_selector = state.segments[SegmentRegister::Cs as usize].selector;
        x87.last_opcode = u16::from(instruction.opcode() & 7) << 8 | u16::from(instruction.modrm());
        if let Some(data) = data {
            x87.last_data = data.offset;
            x87.last_data_selector = state.segments[data.segment as usize].selector;
        }
        Self { x87 }
    }

    /// What arithmetic goes by.
    #[inline(always)]
    pub(super) fn rules(&self) -> Rules {
        Rules::from_control_word(self.x87.control)
    }

    /// Whether ST(`index`) is empty.
    #[inline(always)]
    pub(super) const fn is_empty(&self, index: u8) -> bool {
        self.x87.in_use & (1 << self.x87.physical(index)) == 0
    }

    /// The contents of ST(`index`), even if it is empty.
    #[inline(always)]
    pub(super) const fn st(&self, index: u8) -> F80 {
        self.x87.registers[self.x87.physical(index)]
    }

    /// ST(`index`) taken apart.
    #[inline(always)]
    pub(super) fn unpack(&self, index: u8) -> Unpacked {
        self.st(index).unpack()
    }

    /// Fills ST(`index`).
    #[inline(always)]
    pub(super) const fn set_st(&mut self, index: u8, value: F80) {
        let number = self.x87.physical(index);
        self.x87.registers[number] = value;
        self.x87.in_use |= 1 << number;
    }

    /// Marks ST(`index`) empty.
    #[inline(always)]
    pub(super) const fn free(&mut self, index: u8) {
        self.x87.in_use &= !(1 << self.x87.physical(index));
    }

    /// Moves TOP by `step` registers, modulo 8.
    #[inline(always)]
    pub(super) const fn rotate(&mut self, step: u8) {
        self.x87.top = self.x87.top.wrapping_add(step) & 7;
    }

    /// Marks ST(0) empty and increments TOP.
    #[inline(always)]
    pub(super) const fn pop(&mut self) {
        self.free(0);
        self.rotate(1);
    }

    /// Decrements TOP and fills the new ST(0).
    #[inline(always)]
    pub(super) const fn push(&mut self, value: F80) {
        self.rotate(7);
        self.set_st(0, value);
    }

    /// Pushes `value` if there is room, else responds to a stack overflow, which pushes the
    /// indefinite if it is masked.
    #[inline]
    pub(super) fn push_checked(&mut self, value: F80) {
        if self.is_empty(7) {
            self.clear_c1();
            self.push(value);
        } else if self.stack_overflow() {
            self.push(F80::INDEFINITE);
        }
    }

    /// Whether some of `flags` is not masked.
    #[inline(always)]
    pub(super) const fn is_unmasked(&self, flags: Flags) -> bool {
        flags.bits() as u16 & !self.x87.control.bits() & ControlWord::MASKS.bits() != 0
    }

    /// Sets the sticky exception flags, C1 by the direction of rounding, and the summary where an
    /// exception is not masked. Says whether the instruction is to complete: unmasked, the
    /// exceptions found before computing keep it from changing anything else.
    #[inline]
    pub(super) fn raise(&mut self, flags: Flags) -> bool {
        self.raise_only(flags);
        !self.is_unmasked(flags & Flags::BEFORE_COMPUTATION)
    }

    /// The same for instructions that complete in spite of some unmasked exceptions: the caller decides.
    #[inline]
    pub(super) fn raise_only(&mut self, flags: Flags) {
        let exceptions = u16::from(flags.bits()) & StatusWord::EXCEPTIONS.bits();
        let mut status = self.x87.status.difference(StatusWord::C1).bits() | exceptions;
        if flags.contains(Flags::ROUNDED_UP) {
            status |= StatusWord::C1.bits();
        }
        if self.is_unmasked(flags) {
            status |= StatusWord::ES.bits() | StatusWord::B.bits();
        }
        self.x87.status = StatusWord::from_bits_truncate(status);
    }

    /// Responds to the use of an empty register. Says whether the instruction completes with the
    /// indefinite for a result.
    #[cold]
    pub(super) fn stack_underflow(&mut self) -> bool {
        self.x87.status.insert(StatusWord::SF);
        self.raise(Flags::INVALID)
    }

    /// Responds to a push into a register in use. Says whether the instruction completes with the
    /// indefinite for a result.
    #[cold]
    pub(super) fn stack_overflow(&mut self) -> bool {
        let completes = self.stack_underflow();
        self.x87.status.insert(StatusWord::C1);
        completes
    }

    /// Clears C1.
    #[inline(always)]
    pub(super) const fn clear_c1(&mut self) {
        self.x87.status = self.x87.status.difference(StatusWord::C1);
    }

    /// Replaces the condition codes C0, C2 and C3.
    #[inline(always)]
    pub(super) const fn set_conditions(&mut self, conditions: StatusWord) {
        const ALL: StatusWord = StatusWord::C0.union(StatusWord::C2).union(StatusWord::C3);
        self.x87.status = self.x87.status.difference(ALL).union(conditions);
    }
}

/// Brings the summary bits in line with flags and masks, after either was loaded.
pub(super) const fn update_summary(x87: &mut X87State) {
    const SUMMARY: StatusWord = StatusWord::ES.union(StatusWord::B);
    let raised = x87.status.bits() & StatusWord::EXCEPTIONS.bits();
    let unmasked = raised & !x87.control.bits() != 0;
    x87.status = if unmasked { x87.status.union(SUMMARY) } else { x87.status.difference(SUMMARY) };
}
