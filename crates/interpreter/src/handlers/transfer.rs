//! Moves, extensions, address computation, the stack, and what conditions select.

use core::marker::PhantomData;

use pentimento_memory::AddressSpace;
use pentimento_registers::{CpuState, Eflags, Gpr, Gpr8};

use crate::arena::Op;
use crate::drivers::{Branch, Straight};
use crate::flags::Lazy;
use crate::frame::Frame;
use crate::operand::{Address, Anywhere, Destination, Registers, Source};
use crate::outcome::{Done, Miss};

/// Declares types that [`Straight`] is implemented for.
macro_rules! straight {
    ($($(#[$doc:meta])* $name:ident<$($type:ident),* $(; const $constant:ident: $of:ty)*>
        where [$($bounds:tt)*] ($op:ident, $cpu:ident, $memory:ident, $frame:ident) $body:block)*) => {$(
        $(#[$doc])*
        pub(crate) struct $name<$($type,)* $(const $constant: $of,)*>(PhantomData<($($type,)*)>);
        impl<$($type,)* $(const $constant: $of,)*> Straight for $name<$($type,)* $($constant,)*>
        where $($bounds)*
        {
            #[inline(always)]
            #[allow(unused_variables, reason = "few use all")]
            fn execute($op: &Op, $cpu: &mut CpuState, $memory: &mut AddressSpace, $frame: &mut Frame<'_>) -> Done
                $body
        }
    )*};
}

/// Pushes a value.
#[inline(always)]
pub(crate) fn push(cpu: &mut CpuState, memory: &mut AddressSpace, value: u32) -> Done {
    let top = cpu.gpr(Gpr::Esp).wrapping_sub(4);
    memory.write_fast(top, value).ok_or(Miss::Slow)?;
    cpu.set_gpr(Gpr::Esp, top);
    Ok(())
}

/// The value on top of the stack.
#[inline(always)]
pub(crate) fn peek(cpu: &CpuState, memory: &AddressSpace) -> Done<u32> {
    memory.read_fast(cpu.gpr(Gpr::Esp)).ok_or(Miss::Slow)
}

straight! {
    /// MOV.
    Move<D, S, W> where [D: Destination<W>, S: Source<W>, W: Registers] (op, cpu, memory, frame) {
        let value = S::get(op, cpu, memory)?;
        D::put(op, cpu, memory, value)
    }
    /// MOVZX to 32 bits, and MOVSX if `SIGNED`.
    Extend<D, S, W; const SIGNED: bool> where [D: Destination<u32>, S: Source<W>, W: Registers] (op, cpu, memory, frame) {
        let value = S::get(op, cpu, memory)?;
        D::put(op, cpu, memory, if SIGNED { value.signed() as u32 } else { value.bits() })
    }
    /// MOVZX to 16 bits, and MOVSX if `SIGNED`.
    ExtendToWord<S; const SIGNED: bool> where [S: Source<u8>] (op, cpu, memory, frame) {
        let value = S::get(op, cpu, memory)?;
        cpu.set_gpr16(op.first, if SIGNED { value as i8 as u16 } else { value.into() });
        Ok(())
    }
    /// LEA.
    EffectiveAddress<D, A> where [D: Destination<u32>, A: Address] (op, cpu, memory, frame) {
        let address = A::of(op, cpu);
        D::put(op, cpu, memory, address)
    }
    /// XCHG of registers.
    Exchange<W> where [W: Registers] (op, cpu, memory, frame) {
        let (a, b) = (W::first(op, cpu), W::second(op, cpu));
        W::set_first(op, cpu, b);
        W::set_second(op, cpu, a);
        Ok(())
    }
    /// BSWAP.
    SwapBytes<> where [] (op, cpu, memory, frame) {
        let value = cpu.gpr(op.first).swap_bytes();
        cpu.set_gpr(op.first, value);
        Ok(())
    }
    /// CDQ.
    SignIntoEdx<> where [] (op, cpu, memory, frame) {
        let sign = (cpu.gpr(Gpr::Eax) as i32 >> 31) as u32;
        cpu.set_gpr(Gpr::Edx, sign);
        Ok(())
    }
    /// CBW.
    ExtendAl<> where [] (op, cpu, memory, frame) {
        let value = cpu.gpr8(Gpr8::Al) as i8 as u16;
        cpu.set_gpr16(Gpr::Eax, value);
        Ok(())
    }
    /// CWD.
    SignIntoDx<> where [] (op, cpu, memory, frame) {
        let sign = (cpu.gpr16(Gpr::Eax) as i16 >> 15) as u16;
        cpu.set_gpr16(Gpr::Edx, sign);
        Ok(())
    }
    /// CWDE.
    ExtendEax<> where [] (op, cpu, memory, frame) {
        let value = cpu.gpr16(Gpr::Eax) as i16 as u32;
        cpu.set_gpr(Gpr::Eax, value);
        Ok(())
    }
    /// XLAT: the byte at EBX + AL.
    Translate<> where [] (op, cpu, memory, frame) {
        let address = cpu.gpr(Gpr::Ebx).wrapping_add(cpu.gpr8(Gpr8::Al).into());
        let value = memory.read_fast(address).ok_or(Miss::Slow)?;
        cpu.set_gpr8(Gpr8::Al, value);
        Ok(())
    }
    /// MOVBE.
    MoveSwapped<D, S, W> where [D: Destination<W>, S: Source<W>, W: Registers] (op, cpu, memory, frame) {
        let value = S::get(op, cpu, memory)?;
        D::put(op, cpu, memory, W::truncate(value.bits().swap_bytes() >> (32 - W::BITS)))
    }
    /// NOP.
    Nothing<> where [] (op, cpu, memory, frame) {
        Ok(())
    }
    /// PUSH.
    Push<S> where [S: Source<u32>] (op, cpu, memory, frame) {
        let value = S::get(op, cpu, memory)?;
        push(cpu, memory, value)
    }
    /// POP into a register.
    Pop<D> where [D: Destination<u32>] (op, cpu, memory, frame) {
        let value = peek(cpu, memory)?;
        let top = cpu.gpr(Gpr::Esp).wrapping_add(4);
        cpu.set_gpr(Gpr::Esp, top);
        D::put(op, cpu, memory, value)
    }
    /// POP into memory, whose address is computed with ESP as it is behind the value.
    PopIntoMemory<> where [] (op, cpu, memory, frame) {
        let value = peek(cpu, memory)?;
        let top = cpu.gpr(Gpr::Esp);
        cpu.set_gpr(Gpr::Esp, top.wrapping_add(4));
        let done = Anywhere::put(op, cpu, memory, value);
        if done.is_err() {
            cpu.set_gpr(Gpr::Esp, top);
        }
        done
    }
    /// LEAVE.
    Leave<> where [] (op, cpu, memory, frame) {
        let base = cpu.gpr(Gpr::Ebp);
        let value = memory.read_fast(base).ok_or(Miss::Slow)?;
        cpu.set_gpr(Gpr::Esp, base.wrapping_add(4));
        cpu.set_gpr(Gpr::Ebp, value);
        Ok(())
    }
    /// SETcc to a register.
    Set<; const CONDITION: u8> where [] (op, cpu, memory, frame) {
        let holds = frame.pending.holds::<CONDITION>(cpu)?;
        u8::set_first(op, cpu, holds.into());
        Ok(())
    }
    /// SETcc to memory, with the number of the condition in the immediate.
    SetInMemory<> where [] (op, cpu, memory, frame) {
        let holds = frame.pending.holds_numbered(cpu, op.immediate as u8)?;
        Anywhere::put(op, cpu, memory, u8::from(holds))
    }
    /// CMOVcc of doublewords: reads its source whatever the condition.
    ConditionalMove<S; const CONDITION: u8> where [S: Source<u32>] (op, cpu, memory, frame) {
        let holds = frame.pending.holds::<CONDITION>(cpu)?;
        let value = S::get(op, cpu, memory)?;
        let old = cpu.gpr(op.first);
        cpu.set_gpr(op.first, if holds { value } else { old });
        Ok(())
    }
    /// CMOVcc of words, with the number of the condition in the immediate.
    ConditionalMoveOfWord<S> where [S: Source<u16>] (op, cpu, memory, frame) {
        let holds = frame.pending.holds_numbered(cpu, op.immediate as u8)?;
        let value = S::get(op, cpu, memory)?;
        if holds {
            cpu.set_gpr16(op.first, value);
        }
        Ok(())
    }
}

/// Jcc.
pub(crate) struct JumpIf<const CONDITION: u8>;

impl<const CONDITION: u8> Branch for JumpIf<CONDITION> {
    #[inline(always)]
    fn execute(_: &Op, cpu: &mut CpuState, _: &mut AddressSpace, frame: &mut Frame<'_>) -> Done<bool> {
        frame.pending.holds::<CONDITION>(cpu)
    }
}

/// JECXZ.
pub(crate) struct JumpIfNoCount;

impl Branch for JumpIfNoCount {
    #[inline(always)]
    fn execute(_: &Op, cpu: &mut CpuState, _: &mut AddressSpace, _: &mut Frame<'_>) -> Done<bool> {
        Ok(cpu.gpr(Gpr::Ecx) == 0)
    }
}

/// LOOP, LOOPE and LOOPNE: counts ECX down, and ZF has to be as wanted, if it is.
pub(crate) struct CountDown<const WANTS: u8>;

/// ZF plays no part.
pub(crate) const NOTHING: u8 = 0;
/// ZF has to be set.
pub(crate) const ZERO: u8 = 1;
/// ZF has to be clear.
pub(crate) const NOT_ZERO: u8 = 2;

impl<const WANTS: u8> Branch for CountDown<WANTS> {
    #[inline(always)]
    fn execute(_: &Op, cpu: &mut CpuState, _: &mut AddressSpace, frame: &mut Frame<'_>) -> Done<bool> {
        if WANTS != NOTHING && frame.pending.lazy != Lazy::Settled {
            return Err(Miss::Flags);
        }
        let count = cpu.gpr(Gpr::Ecx).wrapping_sub(1);
        cpu.set_gpr(Gpr::Ecx, count);
        let wanted = match WANTS {
            NOTHING => true,
            _ => cpu.eflags.contains(Eflags::ZF) == (WANTS == ZERO),
        };
        Ok(count != 0 && wanted)
    }
}
