//! XCHG with memory, XADD and CMPXCHG, locked or not: one thread at a time uses the memory.

use core::marker::PhantomData;

use pentimento_memory::AddressSpace;
use pentimento_registers::{CpuState, Gpr};

use crate::arena::Op;
use crate::drivers::Straight;
use crate::flags::Lazy;
use crate::frame::Frame;
use crate::operand::{Destination, Registers, Source};
use crate::outcome::Done;
use pentimento_execute::semantics::binary_arithmetic;

/// XCHG of a register with memory.
pub(crate) struct ExchangeMemory<M, W>(PhantomData<(M, W)>);

impl<M: Destination<W>, W: Registers> Straight for ExchangeMemory<M, W> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, _: &mut Frame<'_>) -> Done {
        let new = W::first(op, cpu);
        let mut old = new;
        M::modify(op, cpu, memory, |value| {
            old = value;
            new
        })?;
        W::set_first(op, cpu, old);
        Ok(())
    }
}

/// XADD to memory.
pub(crate) struct ExchangeAdd<M, W>(PhantomData<(M, W)>);

impl<M: Destination<W>, W: Registers> Straight for ExchangeAdd<M, W> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        let addend = W::first(op, cpu);
        let mut old = addend;
        M::modify(op, cpu, memory, |value| {
            old = value;
            binary_arithmetic::add(value, addend).0
        })?;
        W::set_first(op, cpu, old);
        frame.pending.record::<W>(Lazy::Add, old.bits(), addend.bits());
        Ok(())
    }
}

/// XADD of registers: of one and the same the sum counts.
pub(crate) struct ExchangeAddRegisters<W>(PhantomData<W>);

impl<W: Registers> Straight for ExchangeAddRegisters<W> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, _: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        let (old, addend) = (W::first(op, cpu), W::second(op, cpu));
        W::set_second(op, cpu, old);
        W::set_first(op, cpu, binary_arithmetic::add(old, addend).0);
        frame.pending.record::<W>(Lazy::Add, old.bits(), addend.bits());
        Ok(())
    }
}

/// CMPXCHG of `D` with the new value in `S`. Memory is written in any case, as silicon does.
pub(crate) struct CompareExchange<D, S, W>(PhantomData<(D, S, W)>);

impl<D: Destination<W>, S: Source<W>, W: Registers> Straight for CompareExchange<D, S, W> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        let expected = W::register(cpu, Gpr::Eax.number());
        let new = S::get(op, cpu, memory)?;
        let mut old = expected;
        D::modify(op, cpu, memory, |value| {
            old = value;
            if value == expected { new } else { value }
        })?;
        if old != expected {
            W::set_register(cpu, Gpr::Eax.number(), old);
        }
        frame.pending.record::<W>(Lazy::Sub, expected.bits(), old.bits());
        Ok(())
    }
}
