//! Operands as types: registers, immediates, and memory by addressing form.

use core::marker::PhantomData;

use pentimento_memory::AddressSpace;
use pentimento_registers::{CpuState, Gpr};

use crate::arena::Op;
use crate::outcome::{Done, Miss};
use pentimento_execute::Width;

/// A width whose registers an [`Op`] names: the one in [`Op::first`], and the one in [`Op::second`].
pub(crate) trait Registers: Width {
    fn first(op: &Op, cpu: &CpuState) -> Self;
    fn set_first(op: &Op, cpu: &mut CpuState, value: Self);
    fn second(op: &Op, cpu: &CpuState) -> Self;
    fn set_second(op: &Op, cpu: &mut CpuState, value: Self);
}

impl Registers for u8 {
    #[inline(always)]
    fn first(op: &Op, cpu: &CpuState) -> Self {
        bytemuck::bytes_of(cpu.gprs())[usize::from(op.first_byte) % 32]
    }
    #[inline(always)]
    fn set_first(op: &Op, cpu: &mut CpuState, value: Self) {
        bytemuck::bytes_of_mut(cpu.gprs_mut())[usize::from(op.first_byte) % 32] = value;
    }
    #[inline(always)]
    fn second(op: &Op, cpu: &CpuState) -> Self {
        bytemuck::bytes_of(cpu.gprs())[usize::from(op.second_byte) % 32]
    }
    #[inline(always)]
    fn set_second(op: &Op, cpu: &mut CpuState, value: Self) {
        bytemuck::bytes_of_mut(cpu.gprs_mut())[usize::from(op.second_byte) % 32] = value;
    }
}

macro_rules! by_accessor {
    ($($type:ty: $get:ident $set:ident;)*) => {$(
        impl Registers for $type {
            #[inline(always)]
            fn first(op: &Op, cpu: &CpuState) -> Self {
                cpu.$get(op.first)
            }
            #[inline(always)]
            fn set_first(op: &Op, cpu: &mut CpuState, value: Self) {
                cpu.$set(op.first, value);
            }
            #[inline(always)]
            fn second(op: &Op, cpu: &CpuState) -> Self {
                cpu.$get(op.second)
            }
            #[inline(always)]
            fn set_second(op: &Op, cpu: &mut CpuState, value: Self) {
                cpu.$set(op.second, value);
            }
        }
    )*};
}

by_accessor! {
    u16: gpr16 set_gpr16;
    u32: gpr set_gpr;
}

/// A form of effective address.
pub(crate) trait Address {
    fn of(op: &Op, cpu: &CpuState) -> u32;
}

/// `base + displacement`.
pub(crate) struct Based;
/// Register number `N` + `displacement`.
pub(crate) struct Base<const N: u8>;
/// `base + (index << scale) + displacement`.
pub(crate) struct Indexed;
/// `(index << scale) + displacement`.
pub(crate) struct Scaled;
/// `displacement`.
pub(crate) struct Absolute;
/// Any of these forms: for rare instructions, and for rare forms of others.
pub(crate) struct Computed;

#[inline(always)]
fn index(op: &Op, cpu: &CpuState) -> u32 {
    cpu.gpr(op.index) << (op.scale & 3)
}

impl Address for Based {
    #[inline(always)]
    fn of(op: &Op, cpu: &CpuState) -> u32 {
        cpu.gpr(op.second).wrapping_add(op.displacement)
    }
}

impl<const N: u8> Address for Base<N> {
    #[inline(always)]
    fn of(op: &Op, cpu: &CpuState) -> u32 {
        cpu.gpr(Gpr::from_number(N)).wrapping_add(op.displacement)
    }
}

impl Address for Indexed {
    #[inline(always)]
    fn of(op: &Op, cpu: &CpuState) -> u32 {
        cpu.gpr(op.second).wrapping_add(index(op, cpu)).wrapping_add(op.displacement)
    }
}

impl Address for Scaled {
    #[inline(always)]
    fn of(op: &Op, cpu: &CpuState) -> u32 {
        index(op, cpu).wrapping_add(op.displacement)
    }
}

impl Address for Absolute {
    #[inline(always)]
    fn of(op: &Op, _: &CpuState) -> u32 {
        op.displacement
    }
}

impl Address for Computed {
    #[inline(always)]
    fn of(op: &Op, cpu: &CpuState) -> u32 {
        let base = u64::from(cpu.gpr(op.second)) << (op.base_shift & 63);
        let index = u64::from(cpu.gpr(op.index)) << (op.scale & 63);
        (base as u32).wrapping_add(index as u32).wrapping_add(op.displacement)
    }
}

/// An operand that can be read.
pub(crate) trait Source<W> {
    fn get(op: &Op, cpu: &CpuState, memory: &AddressSpace) -> Done<W>;
}

/// An operand that can be written.
pub(crate) trait Destination<W>: Source<W> {
    fn put(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, value: W) -> Done;
    fn modify(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, change: impl FnOnce(W) -> W) -> Done;
}

/// The register in [`Op::first`].
pub(crate) struct First;
/// The register in [`Op::second`].
pub(crate) struct Second;
/// Register number `N`. Handlers with the register in them are shorter, and more of them than of
/// those that look it up: so the host's predictor sees more of what comes behind what.
pub(crate) struct Fixed<const N: u8>;
/// The immediate.
pub(crate) struct Immediate;
/// Memory at an address of form `A`.
pub(crate) struct Memory<A>(PhantomData<A>);
/// Memory at an address of any form.
pub(crate) type Anywhere = Memory<Computed>;

impl<W: Registers> Source<W> for First {
    #[inline(always)]
    fn get(op: &Op, cpu: &CpuState, _: &AddressSpace) -> Done<W> {
        Ok(W::first(op, cpu))
    }
}

impl<W: Registers> Destination<W> for First {
    #[inline(always)]
    fn put(op: &Op, cpu: &mut CpuState, _: &mut AddressSpace, value: W) -> Done {
        W::set_first(op, cpu, value);
        Ok(())
    }
    #[inline(always)]
    fn modify(op: &Op, cpu: &mut CpuState, _: &mut AddressSpace, change: impl FnOnce(W) -> W) -> Done {
        let value = change(W::first(op, cpu));
        W::set_first(op, cpu, value);
        Ok(())
    }
}

impl<W: Width, const N: u8> Source<W> for Fixed<N> {
    #[inline(always)]
    fn get(_: &Op, cpu: &CpuState, _: &AddressSpace) -> Done<W> {
        Ok(W::register(cpu, N))
    }
}

impl<W: Width, const N: u8> Destination<W> for Fixed<N> {
    #[inline(always)]
    fn put(_: &Op, cpu: &mut CpuState, _: &mut AddressSpace, value: W) -> Done {
        W::set_register(cpu, N, value);
        Ok(())
    }
    #[inline(always)]
    fn modify(_: &Op, cpu: &mut CpuState, _: &mut AddressSpace, change: impl FnOnce(W) -> W) -> Done {
        let value = change(W::register(cpu, N));
        W::set_register(cpu, N, value);
        Ok(())
    }
}

impl<W: Registers> Source<W> for Second {
    #[inline(always)]
    fn get(op: &Op, cpu: &CpuState, _: &AddressSpace) -> Done<W> {
        Ok(W::second(op, cpu))
    }
}

impl<W: Registers> Source<W> for Immediate {
    #[inline(always)]
    fn get(op: &Op, _: &CpuState, _: &AddressSpace) -> Done<W> {
        Ok(W::truncate(op.immediate))
    }
}

impl<W: Registers, A: Address> Source<W> for Memory<A> {
    #[inline(always)]
    fn get(op: &Op, cpu: &CpuState, memory: &AddressSpace) -> Done<W> {
        memory.read_fast(A::of(op, cpu)).ok_or(Miss::Slow)
    }
}

impl<W: Registers, A: Address> Destination<W> for Memory<A> {
    #[inline(always)]
    fn put(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, value: W) -> Done {
        memory.write_fast(A::of(op, cpu), value).ok_or(Miss::Slow)
    }
    #[inline(always)]
    fn modify(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, change: impl FnOnce(W) -> W) -> Done {
        memory.modify_fast(A::of(op, cpu), change).ok_or(Miss::Slow)
    }
}

/// The selector in the segment register in [`Op::first`], zero-extended.
pub(crate) struct Selector;

impl Source<u32> for Selector {
    #[inline(always)]
    fn get(op: &Op, cpu: &CpuState, _: &AddressSpace) -> Done<u32> {
        let segment = cpu.segments.get(op.first as usize).ok_or(Miss::Slow)?;
        Ok(segment.selector.into())
    }
}
