//! Operands in thread-local storage: memory through FS or GS.

use core::marker::PhantomData;

use pentimento_execute::Width;
use pentimento_memory::AddressSpace;
use pentimento_registers::CpuState;

use crate::arena::Op;
use crate::operand::{Address, Destination, Registers, Source};
use crate::outcome::{Done, Miss};

/// Memory at an address of form `A` in the segment that [`Op::segment`] numbers.
///
/// Quick for what threads' descriptors are: writable data without a limit.
pub(crate) struct ThreadLocal<A>(PhantomData<A>);

/// The linear address of `W` at the address that `op` has.
#[inline(always)]
fn linear<A: Address, W: Width>(op: &Op, cpu: &CpuState) -> Done<u32> {
    let offset = A::of(op, cpu);
    match cpu.segments.get(usize::from(op.segment)).and_then(|segment| segment.descriptor()) {
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

impl<W: Registers, A: Address> Source<W> for ThreadLocal<A> {
    #[inline(always)]
    fn get(op: &Op, cpu: &CpuState, memory: &AddressSpace) -> Done<W> {
        memory.read_fast(linear::<A, W>(op, cpu)?).ok_or(Miss::Slow)
    }
}

impl<W: Registers, A: Address> Destination<W> for ThreadLocal<A> {
    #[inline(always)]
    fn put(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, value: W) -> Done {
        memory.write_fast(linear::<A, W>(op, cpu)?, value).ok_or(Miss::Slow)
    }
    #[inline(always)]
    fn modify(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, change: impl FnOnce(W) -> W) -> Done {
        memory.modify_fast(linear::<A, W>(op, cpu)?, change).ok_or(Miss::Slow)
    }
}
