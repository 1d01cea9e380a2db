//! Accesses to memory that an observer hears of, of instructions that run by handlers of their own.
//!
//! An operation before the instruction notes what it is going to access; one behind it, or where a block
//! ends with it the one at the head of the next, tells of that. Where anything is out of the ordinary the
//! instruction runs through the reference, as do all that have no [`Access`], and what it has accessed is told
//! of there.

use pentimento_decoder::{AddressSize, MemoryOperand, Operand, Operation, Register, Usage};
use pentimento_execute::blocks::{Flow, Found};
use pentimento_execute::observe::Told;
use pentimento_execute::{Exit, Guest};
use pentimento_memory::{self as memory, AddressSpace};
use pentimento_registers::{CpuState, SegmentRegister};

use crate::arena::{Cursor, Op, advance, hand_back};
use crate::frame::{Frame, Leave, slow};
use crate::noted::load;
use crate::operand::{Address, Computed};
use crate::step::Step;
use crate::table::kinds::set_address;

/// The one access of an instruction, or the two of one that changes memory.
pub(crate) struct Access {
    operand: MemoryOperand,
    bytes: u8,
    usage: Usage,
}

impl Access {
    /// What an instruction accesses that the reference accesses once, or loads and stores at once, in a
    /// flat segment; `None` for any other.
    pub(crate) fn of(Found { instruction, flow, lacking, .. }: &Found) -> Option<Self> {
        let goes_on = matches!(flow, Flow::Next | Flow::Jump) && !lacking;
        let effects = instruction.effects();
        let [effect] = effects.memory() else { return None };
        let bytes = u8::try_from(effect.bytes?).ok().filter(|bytes| matches!(bytes, 1 | 2 | 4 | 8 | 16))?;
        let operand = effect.address;
        let is_flat =
            !matches!(operand.segment, SegmentRegister::Cs | SegmentRegister::Fs | SegmentRegister::Gs);
        let is_plain = is_flat && operand.address_size == AddressSize::Dword;
        let certain = !effect.usage.contains(Usage::CONDITIONAL);
        let is_segment = |operand| matches!(operand, Operand::Register(Register::Segment(_)));
        let usual = is_usual(instruction.operation()) && !instruction.operands().any(is_segment);
        (goes_on && is_plain && certain && usual).then_some(Self { operand, bytes, usage: effect.usage })
    }

    /// The operation before the instruction at `eip`, `count` instructions into its block.
    pub(crate) fn operation(&self, eip: u32, count: u16) -> (Op, Step) {
        let mut op = Op { handler: look, count, immediate: eip, ..Op::blank() };
        (op.first_byte, op.second_byte) = (self.bytes, self.usage.bits());
        set_address(&mut op, &self.operand);
        (op, Step { flow: Flow::Next, sees_flags: false, ..Step::joining(eip, count) })
    }
}

/// The operation behind the instruction `found`, the `count`-th of its block; none if the block ends with it.
pub(crate) fn behind(found: &Found, count: u16) -> Option<(Op, Step)> {
    let goes_on = found.flow == Flow::Next;
    goes_on.then(|| telling(found.next, count))
}

/// The operation that tells of what is noted, at `eip`.
pub(crate) fn telling(eip: u32, count: u16) -> (Op, Step) {
    let op = Op { handler: tell, count, immediate: eip, ..Op::blank() };
    (op, Step { flow: Flow::Next, ..Step::joining(eip, count) })
}

/// Operations whose one memory operand the reference loads, stores, or loads and then stores, as a whole.
const fn is_usual(operation: Operation) -> bool {
    use Operation as O;
    matches!(
        operation,
        O::Mov
            | O::Movzx
            | O::Movsx
            | O::Cmovcc
            | O::Setcc
            | O::Xchg
            | O::Add
            | O::Or
            | O::Adc
            | O::Sbb
            | O::And
            | O::Sub
            | O::Xor
            | O::Cmp
            | O::Test
            | O::Inc
            | O::Dec
            | O::Neg
            | O::Not
            | O::Mul
            | O::Imul
            | O::Div
            | O::Idiv
            | O::Push
            | O::Pop
            | O::Leave
            | O::Call
            | O::Ret
            | O::Jmp
            | O::Fld
            | O::Fst
            | O::Fstp
            | O::Fild
            | O::Fadd
            | O::Fsub
            | O::Fsubr
            | O::Fmul
            | O::Fdiv
            | O::Fdivr
            | O::Movaps
            | O::Movups
            | O::Movapd
            | O::Movupd
            | O::Movdqa
            | O::Movdqu
            | O::Movss
            | O::Movsd
            | O::Movd
            | O::Movq
    )
}

/// The handler of the operation before an instruction that accesses memory.
fn look<'a>(
    cursor: Cursor<'a>,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    let Some(op) = cursor.op() else { return cursor };
    let address = Computed::of(op, cpu);
    let noted = &mut frame.notes.access;
    if !noted.watched.touches(address, op.first_byte) {
        return advance(cursor, cpu, memory, frame);
    }
    let usage = Usage::from_bits_retain(op.second_byte);
    noted.access.access = memory::Access::Write;
    if usage.contains(Usage::READ) {
        let Some(value) = load(memory, address, op.first_byte) else {
            return slow(cursor.next(), cpu, memory, frame);
        };
        (noted.access.access, noted.access.value) = (memory::Access::Read, value);
    }
    (noted.access.eip, noted.access.address, noted.access.length) = (op.immediate, address, op.first_byte);
    noted.usage = usage;
    advance(cursor, cpu, memory, frame)
}

/// The handler of the operation that tells of what is noted.
fn tell<'a>(
    cursor: Cursor<'a>,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'a>,
) -> Cursor<'a> {
    let Some(op) = cursor.op() else { return cursor };
    if frame.notes.access.is_pending() {
        cpu.eip = op.immediate;
        if frame.tell_noted(op.count, cpu, memory) {
            return Cursor::STOPPED;
        }
    }
    hand_back(cursor)
}

impl Frame<'_> {
    /// Tells the observer of what is noted; EIP is behind the instruction, `count` instructions of the block
    /// have completed. Returns whether to leave the block there.
    #[inline]
    pub(crate) fn tell_noted(&mut self, count: u16, cpu: &mut CpuState, memory: &mut AddressSpace) -> bool {
        let now = self.time_stamp(count);
        let Some(observed) = &mut self.observed else { return false };
        let stored = self.notes.access.complete(memory);
        self.pending.settle_quickly(cpu);
        self.x87.settle_quickly(cpu, self.ops, self.steps);
        self.environment.time_stamp = now;
        let descriptors = self.descriptors;
        let guest = &mut Guest { state: cpu, memory, environment: self.environment, descriptors };
        let access = &self.notes.access.access;
        let told = match stored {
            None => observed.tell_accesses(guest, core::slice::from_ref(access)),
            Some(stored) => observed.tell_accesses(guest, &[*access, stored]),
        };
        if told == Told::Unchanged && self.environment.time_stamp == now {
            return false;
        }
        self.stops_after(told, count, cpu, now)
    }

    /// Takes over what the observer may have changed, and says whether to leave the block.
    #[cold]
    #[inline(never)]
    fn stops_after(&mut self, told: Told, count: u16, cpu: &CpuState, now: u64) -> bool {
        self.take_over(cpu, now);
        self.leave = match told {
            Told::Unchanged | Told::GoOn => return false,
            Told::Leave => Leave::Exit(Exit::Observer),
            Told::Moved | Told::Done { .. } => Leave::Continue,
        };
        self.left -= i64::from(count);
        if count > 0 {
            self.note_inside();
        }
        true
    }
}
