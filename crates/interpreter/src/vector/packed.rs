//! Packed integers, logic, shuffles, and what puts the outcome into general registers or flags.

use core::array;
use core::marker::PhantomData;

use pentimento_execute::vector::string_compare::{Comparison, explicit, implicit};
use pentimento_execute::vector::{Binary, Lane, Shift, WithImmediate, WithMask, lane, set_lane, sign_bits};
use pentimento_memory::AddressSpace;
use pentimento_registers::{CpuState, Eflags, Gpr};

use crate::arena::Op;
use crate::drivers::Straight;
use crate::flags::PendingFlags;
use crate::frame::Frame;
use crate::outcome::Done;
use crate::vector::operand::{Effect, RegisterFile};

/// `first = O(first, source)`.
pub(crate) struct Packed<O>(PhantomData<O>);

impl<O: Binary, V: RegisterFile> Effect<V> for Packed<O> {
    #[inline(always)]
    fn apply(op: &Op, cpu: &mut CpuState, frame: &mut Frame<'_>, source: &[V; 1]) -> Done {
        O::apply(V::first(op, cpu), &source[0]);
        V::wrote_first(op, cpu, frame);
        Ok(())
    }
}

/// `first = O(first, source, immediate)`.
pub(crate) struct Shuffle<O>(PhantomData<O>);

impl<O: WithImmediate, V: RegisterFile> Effect<V> for Shuffle<O> {
    #[inline(always)]
    fn apply(op: &Op, cpu: &mut CpuState, frame: &mut Frame<'_>, source: &[V; 1]) -> Done {
        O::apply(V::first(op, cpu), &source[0], op.immediate as u8);
        V::wrote_first(op, cpu, frame);
        Ok(())
    }
}

/// `first = O(first, source, XMM0)`.
pub(crate) struct Masked<O>(PhantomData<O>);

impl<O: WithMask, V: RegisterFile> Effect<V> for Masked<O> {
    #[inline(always)]
    fn apply(op: &Op, cpu: &mut CpuState, frame: &mut Frame<'_>, source: &[V; 1]) -> Done {
        let mask = V::register(cpu, 0);
        O::apply(V::first(op, cpu), &source[0], &mask[0]);
        V::wrote_first(op, cpu, frame);
        Ok(())
    }
}

/// A shift by the source's low half.
pub(crate) struct ShiftBy<O>(PhantomData<O>);

impl<O: Shift, V: RegisterFile> Effect<V> for ShiftBy<O> {
    #[inline(always)]
    fn apply(op: &Op, cpu: &mut CpuState, frame: &mut Frame<'_>, source: &[V; 1]) -> Done {
        O::apply(V::first(op, cpu), source[0].into_u128() as u64);
        V::wrote_first(op, cpu, frame);
        Ok(())
    }
}

/// A shift by the immediate.
pub(crate) struct ShiftImmediate<O, V>(PhantomData<(O, V)>);

impl<O: Shift, V: RegisterFile> Straight for ShiftImmediate<O, V> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, _: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        V::begin(frame)?;
        O::apply(V::first(op, cpu), u64::from(op.immediate as u8));
        V::wrote_first(op, cpu, frame);
        Ok(())
    }
}

/// An XMM register XORed with itself or the like.
pub(crate) struct Clear;

impl Straight for Clear {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, _: &mut AddressSpace, _: &mut Frame<'_>) -> Done {
        *array::from_mut(u128::first(op, cpu)) = [0];
        Ok(())
    }
}

/// PMOVMSKB, MOVMSKPS and MOVMSKPD, by a lane of the width whose sign they take.
pub(crate) struct Signs<L>(PhantomData<L>);

impl<L: Lane + PartialOrd, V: RegisterFile> Effect<V> for Signs<L> {
    #[inline(always)]
    fn apply(op: &Op, cpu: &mut CpuState, frame: &mut Frame<'_>, source: &[V; 1]) -> Done {
        let mask = sign_bits::<L, _>(&source[0]);
        V::read(cpu, frame);
        cpu.set_gpr(op.first, mask);
        Ok(())
    }
}

/// PEXTRB, PEXTRW, PEXTRD and EXTRACTPS to a general register: the lane that the immediate numbers.
pub(crate) struct Extract<L>(PhantomData<L>);

impl<L: Lane + Into<u32>, V: RegisterFile> Effect<V> for Extract<L> {
    #[inline(always)]
    fn apply(op: &Op, cpu: &mut CpuState, frame: &mut Frame<'_>, source: &[V; 1]) -> Done {
        let element: L = lane(&source[0], op.immediate as u8 as usize);
        V::read(cpu, frame);
        cpu.set_gpr(op.first, element.into());
        Ok(())
    }
}

/// PINSRB, PINSRW and PINSRD: the source's lowest lane into the one that the immediate numbers.
pub(crate) struct Insert<L>(PhantomData<L>);

impl<L: Lane, V: RegisterFile> Effect<V> for Insert<L> {
    #[inline(always)]
    fn apply(op: &Op, cpu: &mut CpuState, frame: &mut Frame<'_>, source: &[V; 1]) -> Done {
        let element: L = lane(&source[0], 0);
        set_lane(V::first(op, cpu), op.immediate as u8 as usize, element);
        V::wrote_first(op, cpu, frame);
        Ok(())
    }
}

/// Writes all status flags.
#[inline(always)]
pub(crate) fn write_flags(cpu: &mut CpuState, frame: &mut Frame<'_>, eflags: Eflags) {
    frame.pending = PendingFlags::SETTLED;
    cpu.eflags = cpu.eflags.difference(Eflags::STATUS).union(eflags);
}

/// PTEST: ZF if no bit of the source is in the destination, CF if all are.
pub(crate) struct TestBits;

impl Effect<u128> for TestBits {
    #[inline(always)]
    fn apply(op: &Op, cpu: &mut CpuState, frame: &mut Frame<'_>, source: &[u128; 1]) -> Done {
        let (a, b) = (*u128::first(op, cpu), source[0]);
        let mut flags = Eflags::empty();
        flags.set(Eflags::ZF, a & b == 0);
        flags.set(Eflags::CF, !a & b == 0);
        write_flags(cpu, frame, flags);
        Ok(())
    }
}

/// PCMPISTRI, and if `EXPLICIT` PCMPESTRI; if `MASK` PCMPISTRM and PCMPESTRM.
pub(crate) struct CompareStrings<const EXPLICIT: bool, const MASK: bool>;

impl<const EXPLICIT: bool, const MASK: bool> Effect<u128> for CompareStrings<EXPLICIT, MASK> {
    #[inline(always)]
    fn apply(op: &Op, cpu: &mut CpuState, frame: &mut Frame<'_>, source: &[u128; 1]) -> Done {
        let (a, b, immediate) = (*u128::first(op, cpu), &source[0], op.immediate as u8);
        let comparison: Comparison = if EXPLICIT {
            let [length_a, length_b] = [Gpr::Eax, Gpr::Edx].map(|length| cpu.gpr(length) as i32);
            explicit(&a, length_a, b, length_b, immediate)
        } else {
            implicit(&a, b, immediate)
        };
        if MASK {
            cpu.xmm[0] = comparison.mask();
        } else {
            cpu.set_gpr(Gpr::Ecx, comparison.index());
        }
        write_flags(cpu, frame, comparison.flags);
        Ok(())
    }
}

/// EMMS and FEMMS.
pub(crate) struct Empty;

impl Straight for Empty {
    #[inline(always)]
    fn execute(_: &Op, cpu: &mut CpuState, _: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        frame.x87.not_pending()?;
        frame.x87.become_mmx(cpu, 0);
        Ok(())
    }
}
