//! Operands in thread-local storage: memory through FS or GS.

use core::marker::PhantomData;

use pentimento_decoder::{AddressSize, Instruction, MemoryOperand, Operand, Operation, Register};
use pentimento_memory::AddressSpace;
use pentimento_registers::{CpuState, SegmentRegister};

use crate::arithmetic::{Add, Binary, Compare, Sub, Update, Xor};
use crate::branch::{Done, Miss, straight};
use crate::cursor::{Handler, Op};
use crate::frame::Step;
use crate::indirect::{CallIndirect, JumpIndirect, indirect};
use crate::operand::{Absolute, Address, Based, First, Immediate, Place, Sized, Source};
use crate::shape::{Shape, operands};
use crate::transfer as t;
use pentimento_execute::Width;

/// Memory at an address of form `A` in the segment that [`Op::scale`] numbers.
///
/// Quick for what threads' descriptors are: writable data without a limit.
pub(crate) struct ThreadLocal<A>(PhantomData<A>);

/// The linear address of `W` at the address that `op` has.
#[inline(always)]
fn linear<A: Address, W: Width>(op: &Op, cpu: &CpuState) -> Done<u32> {
    let offset = A::of(op, cpu);
    match cpu.segments.get(usize::from(op.scale)).and_then(|segment| segment.descriptor.as_ref()) {
        Some(descriptor)
            if descriptor.limit == u32::MAX
                && descriptor.accessible
                && !descriptor.code
                && !descriptor.expand_down
                && offset <= u32::MAX - (W::BYTES - 1) =>
        {
            Ok(descriptor.base.wrapping_add(offset))
        }
        _ => Err(Miss::Slow),
    }
}

impl<W: Sized, A: Address> Source<W> for ThreadLocal<A> {
    #[inline(always)]
    fn get(op: &Op, cpu: &CpuState, memory: &AddressSpace) -> Done<W> {
        memory.read_fast(linear::<A, W>(op, cpu)?).ok_or(Miss::Slow)
    }
}

impl<W: Sized, A: Address> Place<W> for ThreadLocal<A> {
    #[inline(always)]
    fn put(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, value: W) -> Done {
        memory.write_fast(linear::<A, W>(op, cpu)?, value).ok_or(Miss::Slow)
    }
    #[inline(always)]
    fn modify(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, change: impl FnOnce(W) -> W) -> Done {
        memory.modify_fast(linear::<A, W>(op, cpu)?, change).ok_or(Miss::Slow)
    }
}

/// Whether an operand is one for [`ThreadLocal`].
fn is_thread_local(operand: &MemoryOperand) -> bool {
    matches!(operand.segment, SegmentRegister::Fs | SegmentRegister::Gs)
        && operand.address_size == AddressSize::Dword
        && operand.index.is_none()
}

/// The handler of an instruction on 32-bit thread-local storage.
pub(crate) fn select(op: &mut Op, step: &Step, instruction: &Instruction) -> Option<Handler> {
    let (place, memory) = instruction.operands().enumerate().find_map(|(place, operand)| match operand {
        Operand::Memory(memory) if is_thread_local(&memory) => Some((place, memory)),
        _ => None,
    })?;
    if memory.size != 4 {
        return None;
    }
    let other = match instruction.operand(1 - place.min(1)) {
        Some(Operand::Register(Register::Gpr32(_))) => Shape::Register,
        Some(Operand::Immediate { .. }) => Shape::Immediate,
        None => Shape::Missing,
        _ => return None,
    };
    operands(op, instruction);
    op.displacement = memory.displacement;
    op.scale = memory.segment as u8;
    op.immediate = if instruction.operation() == Operation::Call { step.next } else { op.immediate };
    match memory.base {
        Some(base) => {
            op.second = base;
            handler::<ThreadLocal<Based>>(instruction.operation(), place, other)
        }
        None => handler::<ThreadLocal<Absolute>>(instruction.operation(), place, other),
    }
}

/// The handler with the thread-local operand `L` in this `place`, and beside it another.
fn handler<L: Place<u32>>(operation: Operation, place: usize, other: Shape) -> Option<Handler> {
    use Operation as O;
    Some(match (operation, place, other) {
        (O::Mov, 1, Shape::Register) => straight::<t::Move<First, L, u32>>,
        (O::Mov, 0, Shape::Register) => straight::<t::Move<L, First, u32>>,
        (O::Mov, 0, Shape::Immediate) => straight::<t::Move<L, Immediate, u32>>,
        (O::Add, ..) => return update::<Add, L>(place, other),
        (O::Sub, ..) => return update::<Sub, L>(place, other),
        (O::Xor, ..) => return update::<Xor, L>(place, other),
        (O::Cmp, 1, Shape::Register) => straight::<Compare<Sub, First, L, u32>>,
        (O::Cmp, 0, Shape::Register) => straight::<Compare<Sub, L, First, u32>>,
        (O::Cmp, 0, Shape::Immediate) => straight::<Compare<Sub, L, Immediate, u32>>,
        (O::Push, 0, Shape::Missing) => straight::<t::Push<L>>,
        (O::Call, 0, Shape::Missing) => indirect::<CallIndirect<L>>,
        (O::Jmp, 0, Shape::Missing) => indirect::<JumpIndirect<L>>,
        _ => return None,
    })
}

fn update<O: Binary, L: Place<u32>>(place: usize, other: Shape) -> Option<Handler> {
    Some(match (place, other) {
        (1, Shape::Register) => straight::<Update<O, First, L, u32, true>>,
        (0, Shape::Register) => straight::<Update<O, L, First, u32, true>>,
        (0, Shape::Immediate) => straight::<Update<O, L, Immediate, u32, true>>,
        _ => return None,
    })
}
