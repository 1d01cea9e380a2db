//! Bit scans, counts and tests, and SETcc to memory.

use core::marker::PhantomData;

use pentimento_memory::AddressSpace;
use pentimento_registers::{CpuState, Eflags};

use crate::arena::Op;
use crate::drivers::Straight;
use crate::flags::{Lazy, PendingFlags};
use crate::frame::Frame;
use crate::operand::{Address, Destination, Source};
use crate::outcome::{Done, Miss};
use pentimento_execute::semantics::bit_byte::{self, BitChange};

/// What an operation finds in its source; the destination stays if it is nothing. It writes all
/// status flags.
pub(crate) trait Scan {
    fn apply(source: u32, before: Eflags) -> (Option<u32>, Eflags);
    /// Whether some flags stay as they were.
    const READS_FLAGS: bool;
}

macro_rules! scans {
    ($($name:ident, $reads:literal: $apply:expr;)*) => {$(
        #[doc = concat!(stringify!($name), ".")]
        pub(crate) struct $name;
        impl Scan for $name {
            const READS_FLAGS: bool = $reads;
            #[inline(always)]
            fn apply(source: u32, before: Eflags) -> (Option<u32>, Eflags) {
                let apply: fn(u32, Eflags) -> (Option<u32>, Eflags) = $apply;
                apply(source, before)
            }
        }
    )*};
}

/// The count with the flags.
#[inline(always)]
fn always((count, flags): (u32, Eflags)) -> (Option<u32>, Eflags) {
    (Some(count), flags)
}

scans! {
    Bsf,    false: |source, _| bit_byte::bsf(source);
    Bsr,    false: |source, _| bit_byte::bsr(source);
    Tzcnt,  true:  |source, before| always(bit_byte::tzcnt(source, before));
    Lzcnt,  true:  |source, before| always(bit_byte::lzcnt(source, before));
    Popcnt, false: |source, _| always(bit_byte::popcnt(source));
}

/// `first = scan(S)`.
pub(crate) struct Scanned<N, S>(PhantomData<(N, S)>);

impl<N: Scan, S: Source<u32>> Straight for Scanned<N, S> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        if N::READS_FLAGS && frame.pending.lazy != Lazy::Settled {
            return Err(Miss::Flags);
        }
        let (result, flags) = N::apply(S::get(op, cpu, memory)?, cpu.eflags);
        if let Some(result) = result {
            cpu.set_gpr(op.first, result);
        }
        frame.pending = PendingFlags::SETTLED;
        cpu.eflags = cpu.eflags.difference(Eflags::STATUS).union(flags.intersection(Eflags::STATUS));
        Ok(())
    }
}

pub(crate) const KEEP: u8 = 0;
pub(crate) const SET: u8 = 1;
pub(crate) const RESET: u8 = 2;
pub(crate) const COMPLEMENT: u8 = 3;

/// BT, BTS, BTR or BTC of a string of bits at an address of form `A`, with the bit number, which is
/// signed, in a register.
pub(crate) struct BitTestFar<A, const CHANGE: u8>(PhantomData<A>);

impl<A: Address, const CHANGE: u8> Straight for BitTestFar<A, CHANGE> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        if frame.pending.lazy != Lazy::Settled {
            return Err(Miss::Flags);
        }
        let index = cpu.gpr(op.first);
        let address = A::of(op, cpu).wrapping_add((index as i32 >> 5 << 2) as u32);
        let mut bit = false;
        if CHANGE == KEEP {
            let value: u32 = memory.read_fast(address).ok_or(Miss::Slow)?;
            bit = bit_byte::bit_test(value, index, change::<CHANGE>()).1;
        } else {
            memory
                .modify_fast(address, |value: u32| {
                    let (changed, was) = bit_byte::bit_test(value, index, change::<CHANGE>());
                    bit = was;
                    changed
                })
                .ok_or(Miss::Slow)?;
        }
        cpu.eflags.set(Eflags::CF, bit);
        Ok(())
    }
}

/// What becomes of the bit.
#[inline(always)]
const fn change<const CHANGE: u8>() -> BitChange {
    match CHANGE {
        SET => BitChange::Set,
        RESET => BitChange::Reset,
        COMPLEMENT => BitChange::Complement,
        _ => BitChange::Keep,
    }
}

/// BT, BTS, BTR or BTC of `P` with the bit number in `S`, which for memory has to be the immediate:
/// a register reaches beyond the operand.
pub(crate) struct BitTest<P, S, const CHANGE: u8>(PhantomData<(P, S)>);

impl<P: Destination<u32>, S: Source<u32>, const CHANGE: u8> Straight for BitTest<P, S, CHANGE> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        if frame.pending.lazy != Lazy::Settled {
            return Err(Miss::Flags);
        }
        let index = S::get(op, cpu, memory)?;
        let change = change::<CHANGE>();
        let mut bit = false;
        if CHANGE == KEEP {
            bit = bit_byte::bit_test(P::get(op, cpu, memory)?, index, change).1;
        } else {
            P::modify(op, cpu, memory, |value| {
                let (changed, was) = bit_byte::bit_test(value, index, change);
                bit = was;
                changed
            })?;
        }
        cpu.eflags.set(Eflags::CF, bit);
        Ok(())
    }
}
