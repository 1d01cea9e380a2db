//! Instructions on single flags, and those that move flags to and from AH and the stack.

use pentimento_execute::blocks::UNFIT;
use pentimento_memory::AddressSpace;
use pentimento_registers::{CpuState, Eflags, Gpr, Gpr8};

use crate::arena::Op;
use crate::drivers::Straight;
use crate::flags::{Lazy, PendingFlags};
use crate::frame::Frame;
use crate::handlers::transfer::{peek, push};
use crate::outcome::{Done, Miss};

/// CLD; STD if `SET`.
pub(crate) struct Direction<const SET: bool>;

impl<const SET: bool> Straight for Direction<SET> {
    #[inline(always)]
    fn execute(_: &Op, cpu: &mut CpuState, _: &mut AddressSpace, _: &mut Frame<'_>) -> Done {
        cpu.eflags.set(Eflags::DF, SET);
        Ok(())
    }
}

/// What an instruction does with the flags when they are in EFLAGS.
pub(crate) trait OnFlags {
    fn apply(cpu: &mut CpuState);
}

macro_rules! on_flags {
    ($($name:ident: $apply:expr;)*) => {$(
        #[doc = concat!(stringify!($name), ".")]
        pub(crate) struct $name;
        impl OnFlags for $name {
            #[inline(always)]
            fn apply(cpu: &mut CpuState) {
                let apply: fn(&mut CpuState) = $apply;
                apply(cpu);
            }
        }
    )*};
}

/// The flags that AH has room for.
const LOW: Eflags = Eflags::STATUS.difference(Eflags::OF);

on_flags! {
    Stc:  |cpu| cpu.eflags.insert(Eflags::CF);
    Clc:  |cpu| cpu.eflags.remove(Eflags::CF);
    Cmc:  |cpu| cpu.eflags.toggle(Eflags::CF);
    Lahf: |cpu| {
        let flags = cpu.eflags.intersection(LOW).union(Eflags::ALWAYS_SET);
        cpu.set_gpr8(Gpr8::Ah, flags.bits() as u8);
    };
    Sahf: |cpu| {
        let flags = Eflags::from_bits_truncate(cpu.gpr8(Gpr8::Ah).into());
        cpu.eflags = cpu.eflags.difference(LOW).union(flags.intersection(LOW));
    };
}

/// An instruction that wants the flags in EFLAGS.
pub(crate) struct OnEflags<I>(core::marker::PhantomData<I>);

impl<I: OnFlags> Straight for OnEflags<I> {
    #[inline(always)]
    fn execute(_: &Op, cpu: &mut CpuState, _: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        if frame.pending.lazy != Lazy::Settled {
            return Err(Miss::Flags);
        }
        I::apply(cpu);
        Ok(())
    }
}

/// PUSHFD.
pub(crate) struct PushFlags;

impl Straight for PushFlags {
    #[inline(always)]
    fn execute(_: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        const HIDDEN: Eflags = Eflags::VM.union(Eflags::RF);
        if frame.pending.lazy != Lazy::Settled {
            return Err(Miss::Flags);
        }
        push(cpu, memory, cpu.eflags.difference(HIDDEN).union(Eflags::ALWAYS_SET).bits())
    }
}

/// POPFD, unless it sets a flag that blocks do not fit.
pub(crate) struct PopFlags;

impl Straight for PopFlags {
    #[inline(always)]
    fn execute(_: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        let flags = Eflags::from_bits_truncate(peek(cpu, memory)?);
        if flags.intersects(UNFIT) {
            return Err(Miss::Slow);
        }
        let top = cpu.gpr(Gpr::Esp).wrapping_add(4);
        cpu.set_gpr(Gpr::Esp, top);
        frame.pending = PendingFlags::SETTLED;
        let kept = cpu.eflags.difference(Eflags::USER_WRITABLE);
        cpu.eflags = kept.union(flags.intersection(Eflags::USER_WRITABLE));
        Ok(())
    }
}
