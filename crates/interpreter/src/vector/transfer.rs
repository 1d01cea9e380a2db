//! Moves among vector registers, general registers and memory.

use core::array;
use core::marker::PhantomData;

use pentimento_memory::{AddressSpace, Value};
use pentimento_registers::CpuState;

use crate::arena::Op;
use crate::drivers::Straight;
use crate::frame::Frame;
use crate::operand::Address;
use crate::outcome::{Done, Miss};
use crate::vector::operand::{Effect, RegisterFile};

/// A copy that fills the register.
pub(crate) struct Load;

impl<V: RegisterFile> Effect<V> for Load {
    #[inline(always)]
    fn apply(op: &Op, cpu: &mut CpuState, frame: &mut Frame<'_>, source: &[V; 1]) -> Done {
        *array::from_mut(V::first(op, cpu)) = *source;
        V::wrote_first(op, cpu, frame);
        Ok(())
    }
}

/// MOVQ between XMM registers: the low half, zero-extended.
pub(crate) struct LoadQuad;

impl Effect<u128> for LoadQuad {
    #[inline(always)]
    fn apply(op: &Op, cpu: &mut CpuState, _: &mut Frame<'_>, source: &[u128; 1]) -> Done {
        *u128::first(op, cpu) = u128::from(source[0] as u64);
        Ok(())
    }
}

/// MOVD from the register to a general one.
pub(crate) struct ToGeneral;

impl<V: RegisterFile> Effect<V> for ToGeneral {
    #[inline(always)]
    fn apply(op: &Op, cpu: &mut CpuState, frame: &mut Frame<'_>, source: &[V; 1]) -> Done {
        V::read(cpu, frame);
        cpu.set_gpr(op.first, source[0].into_u128() as u32);
        Ok(())
    }
}

/// MOVQ2DQ and MOVDQ2Q: the MMX register in [`Op::second`] or [`Op::first`] is the other operand, and
/// the x87 becomes what MMX instructions make of it.
pub(crate) struct BetweenFiles<const TO_MMX: bool>;

impl<const TO_MMX: bool> Straight for BetweenFiles<TO_MMX> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, _: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        u64::begin(frame)?;
        if TO_MMX {
            *u64::first(op, cpu) = cpu.xmm[op.second as usize] as u64;
            u64::wrote_first(op, cpu, frame);
        } else {
            cpu.xmm[op.first as usize] = cpu.x87.registers[op.second as usize].significand.into();
            u64::read(cpu, frame);
        }
        Ok(())
    }
}

/// A move into one lane of the register, in units of `T`: the source's lane number `FROM` into number `TO`.
pub(crate) struct Merge<T, const TO: usize, const FROM: usize>(PhantomData<T>);

macro_rules! merges {
    ($($lane:ty, $lanes:literal;)*) => {$(
        impl<const TO: usize, const FROM: usize> Effect<u128> for Merge<$lane, TO, FROM> {
            #[inline(always)]
            fn apply(op: &Op, cpu: &mut CpuState, _: &mut Frame<'_>, source: &[u128; 1]) -> Done {
                let lane = (source[0] >> (FROM as u32 * <$lane>::BITS)) as $lane;
                bytemuck::cast_mut::<_, [$lane; $lanes]>(u128::first(op, cpu))[TO] = lane;
                Ok(())
            }
        }
    )*};
}

merges! {
    u32, 4;
    u64, 2;
}

/// MOVAPS and the like to memory.
pub(crate) struct StoreAligned<A>(PhantomData<A>);

impl<A: Address> Straight for StoreAligned<A> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, _: &mut Frame<'_>) -> Done {
        let address = A::of(op, cpu);
        if !address.is_multiple_of(16) {
            return Err(Miss::Slow);
        }
        let value = *array::from_ref(&cpu.xmm[op.first as usize]);
        memory.write_fast(address, value).ok_or(Miss::Slow)
    }
}

/// MOVUPS and the like to memory.
pub(crate) struct StoreUnaligned<A>(PhantomData<A>);

impl<A: Address> Straight for StoreUnaligned<A> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, _: &mut Frame<'_>) -> Done {
        let value = *array::from_ref(&cpu.xmm[op.first as usize]);
        memory.write_fast(A::of(op, cpu), value).ok_or(Miss::Slow)
    }
}

/// A store of the `T` that lies `SHIFT` bits up in the register of file `V`.
pub(crate) struct Store<T, V, A, const SHIFT: u32>(PhantomData<(T, V, A)>);

macro_rules! stores {
    ($($part:ty)*) => {$(
        impl<V: RegisterFile, A: Address, const SHIFT: u32> Straight for Store<$part, V, A, SHIFT> {
            #[inline(always)]
            fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
                V::begin(frame)?;
                let address = A::of(op, cpu);
                let value = (V::first(op, cpu).into_u128() >> SHIFT) as $part;
                memory.write_fast(address, value).ok_or(Miss::Slow)?;
                V::read(cpu, frame);
                Ok(())
            }
        }
    )*};
}

stores! { u32 u64 }

/// PEXTRB, PEXTRW, PEXTRD and EXTRACTPS to memory: the lane that the immediate numbers.
pub(crate) struct StoreLane<T, A>(PhantomData<(T, A)>);

impl<T: Value + pentimento_execute::vector::Lane, A: Address> Straight for StoreLane<T, A> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, _: &mut Frame<'_>) -> Done {
        let element: T = pentimento_execute::vector::lane(u128::first(op, cpu), op.immediate as u8 as usize);
        memory.write_fast(A::of(op, cpu), element).ok_or(Miss::Slow)
    }
}
