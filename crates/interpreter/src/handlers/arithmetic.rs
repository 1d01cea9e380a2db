//! Arithmetic, logic, shifts, multiplication and division, with and without their flags.
//!
//! Results come from the pure functions of [`semantics`](pentimento_execute::semantics); what they compute for
//! flags that nobody asks for, the compiler leaves out.

use core::marker::PhantomData;

use pentimento_execute::Width;
use pentimento_execute::semantics::{binary_arithmetic, logical, shift_rotate};
use pentimento_memory::AddressSpace;
use pentimento_registers::{CpuState, Eflags, Gpr, Gpr8};

use crate::arena::Op;
use crate::drivers::Straight;
use crate::flags::{Lazy, PendingFlags};
use crate::frame::Frame;
use crate::operand::{Destination, Registers, Source};
use crate::outcome::{Done, Miss};

/// An operation of two operands that writes all status flags.
pub(crate) trait BinaryOperation {
    /// Whether CF is a third operand.
    const READS_CARRY: bool = false;
    fn apply<W: Width>(a: W, b: W, carry: bool) -> W;
    /// What to remember for the flags, and the operands to remember with it.
    fn flags(a: u32, b: u32, result: u32, carry: bool) -> (Lazy, u32, u32);
}

macro_rules! binary {
    ($($(#[$doc:meta])* $name:ident, $carry:literal: $apply:expr; $flags:expr;)*) => {$(
        $(#[$doc])*
        pub(crate) struct $name;
        impl BinaryOperation for $name {
            const READS_CARRY: bool = $carry;
            #[inline(always)]
            fn apply<W: Width>(a: W, b: W, carry: bool) -> W {
                let apply: fn(W, W, bool) -> W = $apply;
                apply(a, b, carry)
            }
            #[inline(always)]
            fn flags(a: u32, b: u32, result: u32, carry: bool) -> (Lazy, u32, u32) {
                let flags: fn(u32, u32, u32, bool) -> (Lazy, u32, u32) = $flags;
                flags(a, b, result, carry)
            }
        }
    )*};
}

binary! {
    /// ADD.
    Add, false: |a, b, _| binary_arithmetic::add(a, b).0; |a, b, _, _| (Lazy::Add, a, b);
    /// ADC.
    Adc, true: |a, b, c| binary_arithmetic::adc(a, b, c).0;
        |a, b, _, c| (if c { Lazy::AddCarry } else { Lazy::Add }, a, b);
    /// SUB and CMP.
    Sub, false: |a, b, _| binary_arithmetic::sub(a, b).0; |a, b, _, _| (Lazy::Sub, a, b);
    /// SBB.
    Sbb, true: |a, b, c| binary_arithmetic::sbb(a, b, c).0;
        |a, b, _, c| (if c { Lazy::SubBorrow } else { Lazy::Sub }, a, b);
    /// AND and TEST.
    And, false: |a, b, _| logical::and(a, b).0; |_, _, result, _| (Lazy::Logic, result, 0);
    /// OR.
    Or, false: |a, b, _| logical::or(a, b).0; |_, _, result, _| (Lazy::Logic, result, 0);
    /// XOR.
    Xor, false: |a, b, _| logical::xor(a, b).0; |_, _, result, _| (Lazy::Logic, result, 0);
}

/// `destination = destination O source`.
pub(crate) struct Update<O, D, S, W, const FLAGS: bool>(PhantomData<(O, D, S, W)>);

impl<O: BinaryOperation, D: Destination<W>, S: Source<W>, W: Registers, const FLAGS: bool> Straight
    for Update<O, D, S, W, FLAGS>
{
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        let b = S::get(op, cpu, memory)?;
        let carry = if O::READS_CARRY { frame.pending.carry(cpu)? } else { false };
        let (mut a, mut result) = (b, b);
        D::modify(op, cpu, memory, |old| {
            a = old;
            result = O::apply(a, b, carry);
            result
        })?;
        if FLAGS {
            let (lazy, a, b) = O::flags(a.bits(), b.bits(), result.bits(), carry);
            frame.pending.record::<W>(lazy, a, b);
        }
        Ok(())
    }
}

/// The flags of `first O second`: CMP and TEST.
pub(crate) struct Compare<O, A, B, W>(PhantomData<(O, A, B, W)>);

impl<O: BinaryOperation, A: Source<W>, B: Source<W>, W: Registers> Straight for Compare<O, A, B, W> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        let a = A::get(op, cpu, memory)?;
        let b = B::get(op, cpu, memory)?;
        let result = O::apply(a, b, false);
        let (lazy, a, b) = O::flags(a.bits(), b.bits(), result.bits(), false);
        frame.pending.record::<W>(lazy, a, b);
        Ok(())
    }
}

/// How much of the flags of INC and DEC is wanted.
pub(crate) const NONE: u8 = 0;
/// All but CF, whose old value nobody wants either.
pub(crate) const WITHOUT_CARRY: u8 = 1;
/// All, with the CF from before.
pub(crate) const ALL: u8 = 2;

/// INC, and DEC if `DOWN`.
pub(crate) struct Count<P, W, const DOWN: bool, const FLAGS: u8>(PhantomData<(P, W)>);

impl<P: Destination<W>, W: Registers, const DOWN: bool, const FLAGS: u8> Straight
    for Count<P, W, DOWN, FLAGS>
{
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        let carry = if FLAGS == ALL { frame.pending.carry(cpu)? } else { false };
        let mut before = W::truncate(0);
        P::modify(op, cpu, memory, |old| {
            before = old;
            if DOWN { binary_arithmetic::dec(old).0 } else { binary_arithmetic::inc(old).0 }
        })?;
        if FLAGS == ALL {
            cpu.eflags.set(Eflags::CF, carry);
            frame.pending.record::<W>(if DOWN { Lazy::Dec } else { Lazy::Inc }, before.bits(), 1);
        } else if FLAGS == WITHOUT_CARRY {
            frame.pending.record::<W>(if DOWN { Lazy::Sub } else { Lazy::Add }, before.bits(), 1);
        }
        Ok(())
    }
}

/// NEG.
pub(crate) struct Negate<P, W, const FLAGS: bool>(PhantomData<(P, W)>);

impl<P: Destination<W>, W: Registers, const FLAGS: bool> Straight for Negate<P, W, FLAGS> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        let mut before = 0;
        P::modify(op, cpu, memory, |old: W| {
            before = old.bits();
            binary_arithmetic::neg(old).0
        })?;
        if FLAGS {
            frame.pending.record::<W>(Lazy::Sub, 0, before);
        }
        Ok(())
    }
}

/// NOT.
pub(crate) struct Complement<P, W>(PhantomData<(P, W)>);

impl<P: Destination<W>, W: Registers> Straight for Complement<P, W> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, _: &mut Frame<'_>) -> Done {
        P::modify(op, cpu, memory, |old: W| W::truncate(!old.bits()))
    }
}

/// A shift or rotate.
pub(crate) trait ShiftOperation {
    /// What to remember for the flags; `None` if the operation leaves some of them alone.
    const LAZY: Option<Lazy>;
    /// Whether CF takes part.
    const READS_CARRY: bool = false;
    fn apply<W: Width>(value: W, count: u8, before: Eflags) -> (W, Eflags);
}

macro_rules! shifts {
    ($($name:ident: $function:ident, $lazy:expr, $carry:literal;)*) => {$(
        #[doc = concat!("`", stringify!($function), "`.")]
        pub(crate) struct $name;
        impl ShiftOperation for $name {
            const LAZY: Option<Lazy> = $lazy;
            const READS_CARRY: bool = $carry;
            #[inline(always)]
            fn apply<W: Width>(value: W, count: u8, before: Eflags) -> (W, Eflags) {
                shift_rotate::$function(value, count, before)
            }
        }
    )*};
}

shifts! {
    Shl: shl, Some(Lazy::Shl), false;
    Shr: shr, Some(Lazy::Shr), false;
    Sar: sar, Some(Lazy::Sar), false;
    Rol: rol, None, false;
    Ror: ror, None, false;
    Rcl: rcl, None, true;
    Rcr: rcr, None, true;
}

/// `place = place S count`, the count in CL if `BY_CL`, else in the immediate, where it is 1 to 31.
pub(crate) struct Shifted<S, P, W, const BY_CL: bool, const FLAGS: bool>(PhantomData<(S, P, W)>);

impl<S: ShiftOperation, P: Destination<W>, W: Registers, const BY_CL: bool, const FLAGS: bool> Straight
    for Shifted<S, P, W, BY_CL, FLAGS>
{
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        let count = if BY_CL { cpu.gpr(Gpr::Ecx) as u8 & 31 } else { op.immediate as u8 };
        let mut eflags = cpu.eflags;
        if S::READS_CARRY {
            eflags.set(Eflags::CF, frame.pending.carry(cpu)?);
        }
        let (mut before, mut flags) = (0, eflags);
        P::modify(op, cpu, memory, |old: W| {
            before = old.bits();
            let (result, after) = S::apply(old, count, eflags);
            flags = after;
            result
        })?;
        if FLAGS && (!BY_CL || count != 0) {
            match S::LAZY {
                Some(lazy) => frame.pending.record::<W>(lazy, before, count.into()),
                None => frame.pending.record_over(cpu, flags),
            }
        }
        Ok(())
    }
}

/// SHLD, and SHRD if `RIGHT`: bits of `S` come into `P`. The count is in CL if `BY_CL`, else in the
/// immediate, where it is 1 to 31.
pub(crate) struct DoubleShift<P, S, W, const RIGHT: bool, const BY_CL: bool, const FLAGS: bool>(
    PhantomData<(P, S, W)>,
);

impl<P: Destination<W>, S: Source<W>, W: Registers, const RIGHT: bool, const BY_CL: bool, const FLAGS: bool>
    Straight for DoubleShift<P, S, W, RIGHT, BY_CL, FLAGS>
{
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        let count = if BY_CL { cpu.gpr(Gpr::Ecx) as u8 & 31 } else { op.immediate as u8 };
        let incoming = S::get(op, cpu, memory)?;
        let eflags = cpu.eflags;
        let mut flags = eflags;
        P::modify(op, cpu, memory, |old: W| {
            let (result, after) = match RIGHT {
                true => shift_rotate::shrd(old, incoming, count, eflags),
                false => shift_rotate::shld(old, incoming, count, eflags),
            };
            flags = after;
            result
        })?;
        if FLAGS && (!BY_CL || count != 0) {
            frame.pending = PendingFlags::SETTLED;
            put_flags(cpu, Eflags::STATUS, flags);
        }
        Ok(())
    }
}

/// Puts flags that an operation writes beside others that it keeps.
#[inline(always)]
fn put_flags(cpu: &mut CpuState, mask: Eflags, flags: Eflags) {
    cpu.eflags = cpu.eflags.difference(mask).union(flags.intersection(mask));
}

/// IMUL with two operands, or with three: `first = A * B`.
pub(crate) struct Multiply<A, B, W, const FLAGS: bool>(PhantomData<(A, B, W)>);

impl<A: Source<W>, B: Source<W>, W: Registers, const FLAGS: bool> Straight for Multiply<A, B, W, FLAGS> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        let (product, _, flags) = binary_arithmetic::imul(A::get(op, cpu, memory)?, B::get(op, cpu, memory)?);
        W::set_first(op, cpu, product);
        if FLAGS {
            frame.pending.record_over(cpu, flags);
        }
        Ok(())
    }
}

/// The number of the register with the upper half of products and dividends: AH, DX or EDX.
const fn upper_half<W: Width>() -> u8 {
    if W::BITS == 8 { Gpr8::Ah as u8 } else { Gpr::Edx as u8 }
}

/// MUL, and IMUL if `SIGNED`, into the accumulator and what is above it.
pub(crate) struct MultiplyWide<S, W, const SIGNED: bool, const FLAGS: bool>(PhantomData<(S, W)>);

impl<S: Source<W>, W: Registers, const SIGNED: bool, const FLAGS: bool> Straight
    for MultiplyWide<S, W, SIGNED, FLAGS>
{
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        let factors = (W::register(cpu, Gpr::Eax as u8), S::get(op, cpu, memory)?);
        let (low, high, flags) = match SIGNED {
            true => binary_arithmetic::imul(factors.0, factors.1),
            false => binary_arithmetic::mul(factors.0, factors.1),
        };
        W::set_register(cpu, Gpr::Eax as u8, low);
        W::set_register(cpu, upper_half::<W>(), high);
        if FLAGS {
            frame.pending.record_over(cpu, flags);
        }
        Ok(())
    }
}

/// DIV, and IDIV if `SIGNED`, of the accumulator and what is above it.
pub(crate) struct Divide<S, W, const SIGNED: bool, const FLAGS: bool>(PhantomData<(S, W)>);

impl<S: Source<W>, W: Registers, const SIGNED: bool, const FLAGS: bool> Straight
    for Divide<S, W, SIGNED, FLAGS>
{
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        if FLAGS && frame.pending.lazy != Lazy::Settled {
            return Err(Miss::Flags);
        }
        let divisor = S::get(op, cpu, memory)?;
        let (high, low) = (W::register(cpu, upper_half::<W>()), W::register(cpu, Gpr::Eax as u8));
        let divided = match SIGNED {
            true => binary_arithmetic::idiv(high, low, divisor),
            false => binary_arithmetic::div(high, low, divisor),
        };
        let (quotient, remainder) = divided.ok_or(Miss::Slow)?;
        W::set_register(cpu, Gpr::Eax as u8, quotient);
        W::set_register(cpu, upper_half::<W>(), remainder);
        if FLAGS {
            let flags = binary_arithmetic::division_flags(cpu.eflags);
            put_flags(cpu, Eflags::STATUS, flags);
        }
        Ok(())
    }
}
