//! The x87 unit in handlers: which of them apply, the register stack, and the last instruction's
//! address.
//!
//! Handlers come in up to three steps, each of which leaves what it does not know to the next: for
//! numbers of ordinary size that are rounded to nearest, to extended precision; for other normal
//! numbers and zeros, and double precision; and for all operands, rounding modes and precisions. A
//! stack fault, an exception that is not masked and one that is pending are for the reference.

use pentimento_registers::{ControlWord, CpuState, F80, SegmentRegister, StatusWord, X87State};

use pentimento_execute::float::extended::Rounded;
use pentimento_execute::float::{Flags, Rules};

use crate::arena::Op;
use crate::outcome::{Done, Miss};
use crate::step::Step;

/// How far handlers go by the control and status words.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub(crate) enum Mode {
    /// Not at all: an exception is pending.
    PendingFlags,
    /// Where nothing is rounded: the precision exception is not masked.
    Exact,
    /// By the rounding mode and the precision, whatever they are.
    Rounding,
    /// Rounding to nearest, to double precision.
    Double,
    /// Rounding to nearest, to extended precision.
    Extended,
}

impl Mode {
    fn of(x87: &X87State) -> Self {
        let control = x87.control;
        if x87.status.contains(StatusWord::ES) {
            return Self::PendingFlags;
        }
        if !control.contains(ControlWord::PM) {
            return Self::Exact;
        }
        match (control.bits() >> 10 & 3, control.bits() >> 8 & 3) {
            (0, 2) => Self::Double,
            // Encoding 1 is reserved; silicon takes it for extended precision.
            (0, 1 | 3) => Self::Extended,
            _ => Self::Rounding,
        }
    }
}

/// What handlers of x87 instructions keep of the unit's state while blocks run: what they change
/// most often, in the form that takes the least time.
#[derive(Debug)]
pub(crate) struct UnitCache {
    mode: Mode,
    /// A bit for each register that is in use, ST(0)'s the lowest.
    used: u8,
    c1: bool,
    /// Not zero if the precision exception was raised.
    inexact: u64,
    /// Addresses of the operations of the last instruction and of the last one with an operand in
    /// memory, or 0 if there was none yet.
    instruction: usize,
    operand: usize,
    /// The operand's address.
    address: u32,
}

impl UnitCache {
    pub(crate) fn new(cpu: &CpuState) -> Self {
        let x87 = &cpu.x87;
        Self {
            mode: Mode::of(x87),
            used: x87.in_use.rotate_right(x87.physical(0) as u32),
            c1: x87.status.contains(StatusWord::C1),
            inexact: 0,
            instruction: 0,
            operand: 0,
            address: 0,
        }
    }

    /// Brings the state up to date if an instruction has changed it: MMX's leave no address, but registers in
    /// use.
    #[inline(always)]
    pub(crate) fn settle_quickly(&mut self, cpu: &mut CpuState, ops: &[Op], steps: &[Step]) {
        let in_use = self.used.rotate_left(cpu.x87.physical(0) as u32);
        if self.instruction != 0 || in_use != cpu.x87.in_use {
            self.settle_changed(cpu, ops, steps);
        }
    }

    #[cold]
    #[inline(never)]
    fn settle_changed(&mut self, cpu: &mut CpuState, ops: &[Op], steps: &[Step]) {
        self.settle(cpu, ops, steps);
    }

    /// Brings the state up to date.
    #[inline]
    pub(crate) fn settle(&mut self, cpu: &mut CpuState, ops: &[Op], steps: &[Step]) {
        cpu.x87.in_use = self.used.rotate_left(cpu.x87.physical(0) as u32);
        self.settle_status(cpu);
        if self.instruction != 0 {
            self.settle_pointers(cpu, ops, steps);
        }
    }

    /// Takes over the mode.
    #[inline(always)]
    pub(crate) fn refresh(&mut self, cpu: &CpuState) {
        self.mode = Mode::of(&cpu.x87);
    }

    /// Brings the status word up to date.
    #[inline(always)]
    pub(crate) fn settle_status(&mut self, cpu: &mut CpuState) {
        let status = &mut cpu.x87.status;
        status.set(StatusWord::C1, self.c1);
        if self.inexact != 0 {
            status.insert(StatusWord::PE);
        }
        self.inexact = 0;
    }

    #[cold]
    #[inline(never)]
    fn settle_pointers(&mut self, cpu: &mut CpuState, ops: &[Op], steps: &[Step]) {
        let step = |address: usize| {
            let index = address.wrapping_sub(ops.as_ptr().addr()) / size_of::<Op>();
            steps.get(index).and_then(|step| Some((step.eip, step.instruction.as_ref()?)))
        };
        let selector = |register: SegmentRegister| cpu.segments[register as usize].selector;
        let x87 = &mut cpu.x87;
        if let Some((eip, instruction)) = step(self.instruction) {
            x87.last_instruction = eip;
            x87.last_instruction_selector = selector(SegmentRegister::Cs);
            x87.last_opcode = u16::from(instruction.opcode() & 7) << 8 | u16::from(instruction.modrm());
        }
        if let Some((_, instruction)) = step(self.operand)
            && let Some(operand) = instruction.modrm_address()
        {
            x87.last_data = self.address;
            x87.last_data_selector = selector(operand.segment);
        }
        (self.instruction, self.operand) = (0, 0);
    }

    /// Notes that `op` has executed.
    #[inline(always)]
    pub(crate) fn executed(&mut self, op: &Op) {
        self.instruction = core::ptr::from_ref(op).addr();
    }

    /// Notes that `op` has executed, with an operand in memory at `address`.
    #[inline(always)]
    pub(crate) fn executed_at(&mut self, op: &Op, address: u32) {
        self.executed(op);
        (self.operand, self.address) = (self.instruction, address);
    }

    /// Whether handlers apply that do not round.
    #[inline(always)]
    pub(crate) fn not_pending(&self) -> Done {
        if self.mode == Mode::PendingFlags { Err(Miss::Slow) } else { Ok(()) }
    }

    /// Whether handlers apply that round as the control word says.
    #[inline(always)]
    pub(crate) fn rounds(&self) -> Done {
        if self.mode < Mode::Rounding { Err(Miss::Slow) } else { Ok(()) }
    }

    /// Whether results have extended precision, if they are rounded to nearest.
    #[inline(always)]
    pub(crate) fn extended(&self) -> Done<bool> {
        if self.mode < Mode::Double { Err(Miss::Slow) } else { Ok(self.mode == Mode::Extended) }
    }

    /// Whether all registers are in use that `registers` has the bits of.
    #[inline(always)]
    pub(crate) fn filled(&self, registers: u8) -> Done {
        if !self.used & registers == 0 { Ok(()) } else { Err(Miss::Slow) }
    }

    /// Whether there is room for a push.
    #[inline(always)]
    pub(crate) fn room(&self) -> Done {
        if self.used & 0x80 == 0 { Ok(()) } else { Err(Miss::Slow) }
    }

    /// Pushes a value; there is room.
    #[inline(always)]
    pub(crate) fn push(&mut self, cpu: &mut CpuState, value: F80) {
        let top = physical(cpu, 7);
        set_register(cpu, top, value);
        cpu.x87.top = top as u8;
        self.used = self.used << 1 | 1;
        self.c1 = false;
    }

    /// Pops.
    #[inline(always)]
    pub(crate) fn pop(&mut self, cpu: &mut CpuState) {
        cpu.x87.top = physical(cpu, 1) as u8;
        self.used >>= 1;
    }

    /// Turns the stack by `step` registers.
    #[inline(always)]
    pub(crate) fn rotate(&mut self, cpu: &mut CpuState, step: u8) {
        cpu.x87.top = physical(cpu, step.into()) as u8;
        self.used = self.used.rotate_right(step.into());
    }

    /// Marks registers as in use.
    #[inline(always)]
    pub(crate) fn fill(&mut self, registers: u8) {
        self.used |= registers;
    }

    /// Marks registers as empty.
    #[inline(always)]
    pub(crate) fn empty(&mut self, registers: u8) {
        self.used &= !registers;
    }

    /// Sets C1 and the precision exception as this result does, and gives it.
    #[inline(always)]
    pub(crate) fn rounded<T>(&mut self, result: Rounded<T>) -> T {
        self.c1 = result.up;
        self.inexact |= result.rest;
        result.value
    }

    /// Makes the exceptions of a computation by these rules sticky, and sets C1 as it rounded;
    /// does nothing if one of them is not masked, so that the reference raises it.
    #[inline(always)]
    pub(crate) fn raise(&mut self, cpu: &mut CpuState, flags: Flags, rules: &Rules) -> Done {
        if flags.intersects(rules.unmasked) {
            return Err(Miss::Slow);
        }
        let exceptions = (flags & Flags::EXCEPTIONS).bits().into();
        cpu.x87.status = cpu.x87.status.union(StatusWord::from_bits_truncate(exceptions));
        self.c1 = flags.contains(Flags::ROUNDED_UP);
        Ok(())
    }

    /// Leaves the registers as MMX instructions do: register 0 on top, and those in use that
    /// `used` has the bits of.
    #[inline(always)]
    pub(crate) fn become_mmx(&mut self, cpu: &mut CpuState, used: u8) {
        cpu.x87.top = 0;
        self.used = used;
    }

    /// Sets C1, or clears it.
    #[inline(always)]
    pub(crate) fn set_c1(&mut self, c1: bool) {
        self.c1 = c1;
    }

    /// Clears C1.
    #[inline(always)]
    pub(crate) fn clear_c1(&mut self) {
        self.c1 = false;
    }
}

/// The bits of ST(0) and of the ST(i) that `op` is about, in [`Op::displacement`].
#[inline(always)]
pub(crate) fn both(op: &Op) -> u8 {
    op.displacement as u8
}

/// The bit of the ST(i) that `op` is about.
#[inline(always)]
pub(crate) fn other(op: &Op) -> u8 {
    1 << (op.immediate & 7)
}

/// The number of ST(`index`).
#[inline(always)]
pub(crate) fn physical(cpu: &CpuState, index: u32) -> usize {
    (usize::from(cpu.x87.top) + index as usize) & 7
}

/// Register number `number`.
#[inline(always)]
pub(crate) fn register(cpu: &CpuState, number: usize) -> F80 {
    cpu.x87.registers[number & 7]
}

/// Writes register number `number`.
#[inline(always)]
pub(crate) fn set_register(cpu: &mut CpuState, number: usize, value: F80) {
    cpu.x87.registers[number & 7] = value;
}

/// What was computed, if it was.
#[inline(always)]
pub(crate) fn computed<T>(result: Option<T>) -> Done<T> {
    result.ok_or(Miss::Slow)
}
