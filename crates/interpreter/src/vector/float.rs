//! SSE floating point: arithmetic, comparison and conversion.
//!
//! Arithmetic and comparisons come in pairs for [`attempt`](crate::drivers::attempt): what the host's own
//! arithmetic answers at once, and behind that the rest.

use core::array;
use core::marker::PhantomData;

use pentimento_execute::float::Flags;
use pentimento_execute::vector::floating_point::{self, FloatBinary, FloatMiddling, FloatWithImmediate};
use pentimento_execute::vector::host::{Real, is_silent};
use pentimento_execute::vector::{comparison, lane};
use pentimento_memory::AddressSpace;
use pentimento_registers::{CpuState, Mxcsr};

use crate::arena::Op;
use crate::drivers::Straight;
use crate::frame::Frame;
use crate::operand::Address;
use crate::outcome::{Done, Miss};
use crate::vector::operand::{Effect, RegisterFile};
use crate::vector::packed::write_flags;

/// Makes exceptions sticky; does nothing if one is unmasked, so that the reference raises it.
#[inline(always)]
fn settle(cpu: &mut CpuState, flags: Flags) -> Done {
    if !flags.is_empty() {
        let (mxcsr, unmasked) = floating_point::settle(cpu.mxcsr, flags);
        if unmasked {
            return Err(Miss::Slow);
        }
        cpu.mxcsr = mxcsr;
    }
    Ok(())
}

/// `first = O(first, source)`, by the host.
pub(crate) struct Middling<O>(PhantomData<O>);

impl<O: FloatMiddling> Effect<u128> for Middling<O> {
    #[inline(always)]
    fn apply(op: &Op, cpu: &mut CpuState, frame: &mut Frame<'_>, source: &[u128; 1]) -> Done {
        if frame.silent && O::middling(u128::first(op, cpu), &source[0]) { Ok(()) } else { Err(Miss::Slow) }
    }
}

/// `first = O(first, source)`.
pub(crate) struct Float<O>(PhantomData<O>);

impl<O: FloatBinary> Effect<u128> for Float<O> {
    #[inline(always)]
    fn apply(op: &Op, cpu: &mut CpuState, _: &mut Frame<'_>, source: &[u128; 1]) -> Done {
        let mut value = *array::from_ref(u128::first(op, cpu));
        let flags = O::apply(&mut value[0], &source[0], cpu.mxcsr);
        settle(cpu, flags)?;
        *array::from_mut(u128::first(op, cpu)) = value;
        Ok(())
    }
}

/// [`Float`], which may have been what made MXCSR silent.
pub(crate) struct Noted<O>(PhantomData<O>);

impl<O: FloatBinary> Effect<u128> for Noted<O> {
    #[inline(always)]
    fn apply(op: &Op, cpu: &mut CpuState, frame: &mut Frame<'_>, source: &[u128; 1]) -> Done {
        Float::<O>::apply(op, cpu, frame, source)?;
        frame.silent = is_silent(cpu.mxcsr);
        Ok(())
    }
}

/// `first = O(first, source, immediate)`.
pub(crate) struct FloatImmediate<O>(PhantomData<O>);

impl<O: FloatWithImmediate> Effect<u128> for FloatImmediate<O> {
    #[inline(always)]
    fn apply(op: &Op, cpu: &mut CpuState, _: &mut Frame<'_>, source: &[u128; 1]) -> Done {
        let mut value = *array::from_ref(u128::first(op, cpu));
        let flags = O::apply(&mut value[0], &source[0], op.immediate as u8, cpu.mxcsr);
        settle(cpu, flags)?;
        *array::from_mut(u128::first(op, cpu)) = value;
        Ok(())
    }
}

/// A conversion to a general register.
pub(crate) struct FloatToGeneral<O>(PhantomData<O>);

impl<O: FloatBinary> Effect<u128> for FloatToGeneral<O> {
    #[inline(always)]
    fn apply(op: &Op, cpu: &mut CpuState, _: &mut Frame<'_>, source: &[u128; 1]) -> Done {
        let mut value = [0];
        let flags = O::apply(&mut value[0], &source[0], cpu.mxcsr);
        settle(cpu, flags)?;
        cpu.set_gpr(op.first, value[0] as u32);
        Ok(())
    }
}

/// A comparison of doubles, or with `u32` of singles, that raises nothing.
pub(crate) struct CompareQuietly<R>(PhantomData<R>);

impl<R: Real> Effect<u128> for CompareQuietly<R> {
    #[inline(always)]
    fn apply(op: &Op, cpu: &mut CpuState, frame: &mut Frame<'_>, source: &[u128; 1]) -> Done {
        let (a, b) = (lane::<R, _>(u128::first(op, cpu), 0), lane::<R, _>(&source[0], 0));
        let eflags = comparison::ordered_quietly(a, b).ok_or(Miss::Slow)?;
        write_flags(cpu, frame, eflags);
        Ok(())
    }
}

/// COMISD and UCOMISD, or with `u32` COMISS and UCOMISS.
pub(crate) struct CompareScalars<R, const SIGNALLING: bool>(PhantomData<R>);

impl<R: Real, const SIGNALLING: bool> Effect<u128> for CompareScalars<R, SIGNALLING> {
    #[inline(always)]
    fn apply(op: &Op, cpu: &mut CpuState, frame: &mut Frame<'_>, source: &[u128; 1]) -> Done {
        let (a, b) = (lane::<R, _>(u128::first(op, cpu), 0), lane::<R, _>(&source[0], 0));
        let (eflags, flags) = comparison::ordered(a, b, SIGNALLING, cpu.mxcsr);
        settle(cpu, flags)?;
        write_flags(cpu, frame, eflags);
        Ok(())
    }
}

/// LDMXCSR; reserved bits are for the reference.
pub(crate) struct LoadMxcsr<A>(PhantomData<A>);

impl<A: Address> Straight for LoadMxcsr<A> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        let value = memory.read_fast(A::of(op, cpu)).ok_or(Miss::Slow)?;
        cpu.mxcsr = Mxcsr::from_bits(value).ok_or(Miss::Slow)?;
        frame.silent = is_silent(cpu.mxcsr);
        Ok(())
    }
}

/// STMXCSR.
pub(crate) struct StoreMxcsr<A>(PhantomData<A>);

impl<A: Address> Straight for StoreMxcsr<A> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, _: &mut Frame<'_>) -> Done {
        memory.write_fast(A::of(op, cpu), cpu.mxcsr.bits()).ok_or(Miss::Slow)
    }
}
