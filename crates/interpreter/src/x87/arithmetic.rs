//! x87 arithmetic and comparison: what they compute are the functions of [`extended`].

use core::cmp::Ordering;
use core::marker::PhantomData;

use pentimento_memory::AddressSpace;
use pentimento_registers::{CpuState, Eflags, F80, StatusWord};

use pentimento_execute::float::extended::{self, Rounded};
use pentimento_execute::float::{self, Class, Flags, Format, Progress, Quotient, Relation, Rules, Unpacked};

use crate::arena::Op;
use crate::drivers::Straight;
use crate::flags::PendingFlags;
use crate::frame::Frame;
use crate::outcome::{Done, Miss};
use crate::x87::operand::{FloatSource, Stack};
use crate::x87::unit::{both, computed, physical, register, set_register};

/// What an instruction of two operands computes, if nothing is out of the ordinary.
pub(crate) trait Compute {
    /// With usual operands, and to extended precision.
    fn usual(destination: F80, source: F80) -> Option<Rounded<F80>>;
    /// With numbers and zeros, and to extended or else to double precision.
    fn general(destination: F80, source: F80, extended: bool) -> Option<Rounded<F80>>;
    /// With whatever operands, by any rules.
    fn full(destination: Unpacked, source: Unpacked, rules: &Rules) -> (F80, Flags);
}

macro_rules! compute {
    ($($(#[$doc:meta])* $name:ident($destination:ident, $source:ident) $usual:ident $general:ident($a:expr, $b:expr), $full:ident($first:ident, $second:ident);)*) => {$(
        $(#[$doc])*
        pub(crate) struct $name;
        impl Compute for $name {
            #[inline(always)]
            fn usual($destination: F80, $source: F80) -> Option<Rounded<F80>> {
                extended::$usual($a, $b)
            }
            #[inline(always)]
            fn general($destination: F80, $source: F80, extended: bool) -> Option<Rounded<F80>> {
                extended::$general($a, $b, extended)
            }
            #[inline(never)]
            fn full($destination: Unpacked, $source: Unpacked, rules: &Rules) -> (F80, Flags) {
                float::$full($first, $second, rules)
            }
        }
    )*};
}

compute! {
    /// FADD, FADDP, FIADD.
    Add(destination, source) add_usual add(destination, source), add(destination, source);
    /// FMUL, FMULP, FIMUL.
    Mul(destination, source) mul_usual mul(destination, source), mul(destination, source);
    /// FSUB, FSUBP, FISUB.
    Sub(destination, source) add_usual add(destination, negated(source)), sub(destination, source);
    /// FSUBR, FSUBRP, FISUBR.
    SubReversed(destination, source) add_usual add(source, negated(destination)), sub(source, destination);
    /// FDIV, FDIVP, FIDIV.
    Div(destination, source) div_usual div(destination, source), div(destination, source);
    /// FDIVR, FDIVRP, FIDIVR.
    DivReversed(destination, source) div_usual div(source, destination), div(source, destination);
}

#[inline(always)]
const fn negated(value: F80) -> F80 {
    F80::new(value.sign_exponent ^ 0x8000, value.significand)
}

/// An instruction of two operands, with [usual](extended::usual) ones.
pub(crate) type Usual<C, S> = TwoOperands<C, S, true>;
/// The same with others.
pub(crate) type Unusual<C, S> = TwoOperands<C, S, false>;

/// An instruction of two operands.
pub(crate) struct TwoOperands<C, S, const USUAL: bool>(PhantomData<(C, S)>);

impl<C: Compute, S: FloatSource, const USUAL: bool> Straight for TwoOperands<C, S, USUAL> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        let extended = frame.x87.extended()?;
        if USUAL && !extended {
            return Err(Miss::Slow);
        }
        frame.x87.filled(S::registers(op, true))?;
        let address = S::address(op, cpu);
        let top = physical(cpu, 0);
        let st0 = register(cpu, top);
        let other = match USUAL {
            true => S::get_usual(op, cpu, memory, address, st0)?,
            false => S::get(op, cpu, memory, address)?,
        };
        let (destination, source) = if S::REVERSED { (other, st0) } else { (st0, other) };
        let result = computed(match USUAL {
            true => C::usual(destination, source),
            false => C::general(destination, source, extended),
        })?;
        let number = if S::REVERSED { physical(cpu, op.immediate) } else { top };
        let value = frame.x87.rounded(result);
        set_register(cpu, number, value);
        if S::POPS {
            frame.x87.pop(cpu);
        }
        S::executed(op, frame, address);
        Ok(())
    }
}

/// An instruction of two operands, with whatever operands, rounding mode and precision.
pub(crate) struct Full<C, S>(PhantomData<(C, S)>);

impl<C: Compute, S: FloatSource> Straight for Full<C, S> {
    #[inline(never)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        frame.x87.not_pending()?;
        frame.x87.filled(S::registers(op, true))?;
        let address = S::address(op, cpu);
        let top = physical(cpu, 0);
        let st0 = register(cpu, top).unpack();
        let other = S::unpack(op, cpu, memory, address)?;
        let rules = Rules::from_control_word(cpu.x87.control);
        let (destination, source) = if S::REVERSED { (other, st0) } else { (st0, other) };
        let (value, flags) = C::full(destination, source, &rules);
        frame.x87.raise(cpu, flags, &rules)?;
        set_register(cpu, if S::REVERSED { physical(cpu, op.immediate) } else { top }, value);
        if S::POPS {
            frame.x87.pop(cpu);
        }
        S::executed(op, frame, address);
        Ok(())
    }
}

/// What an instruction computes from ST(0) alone.
pub(crate) trait ComputeAlone {
    /// With numbers and zeros, where the mode allows.
    fn compute(value: F80, cpu: &CpuState, frame: &Frame<'_>) -> Done<Rounded<F80>>;
}

/// What an instruction computes from ST(0) alone, whatever that is, by any rules.
pub(crate) trait ComputeAloneFully {
    fn full(value: Unpacked, rules: &Rules) -> (F80, Flags);
}

impl ComputeAloneFully for SquareRoot {
    fn full(value: Unpacked, rules: &Rules) -> (F80, Flags) {
        float::sqrt(value, rules)
    }
}

impl ComputeAloneFully for RoundToInteger {
    fn full(value: Unpacked, rules: &Rules) -> (F80, Flags) {
        float::round_to_integral(value, rules)
    }
}

/// An instruction on ST(0) alone, whatever that is.
pub(crate) struct FullUnary<C>(PhantomData<C>);

impl<C: ComputeAloneFully> Straight for FullUnary<C> {
    #[inline(never)]
    fn execute(op: &Op, cpu: &mut CpuState, _: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        frame.x87.not_pending()?;
        frame.x87.filled(1)?;
        let top = physical(cpu, 0);
        let rules = Rules::from_control_word(cpu.x87.control);
        let (value, flags) = C::full(register(cpu, top).unpack(), &rules);
        frame.x87.raise(cpu, flags, &rules)?;
        set_register(cpu, top, value);
        frame.x87.executed(op);
        Ok(())
    }
}

/// FABS.
pub(crate) struct AbsoluteValue;
/// FCHS.
pub(crate) struct ChangeSign;
/// FSQRT.
pub(crate) struct SquareRoot;
/// FRNDINT.
pub(crate) struct RoundToInteger;

impl ComputeAlone for AbsoluteValue {
    #[inline(always)]
    fn compute(value: F80, _: &CpuState, frame: &Frame<'_>) -> Done<Rounded<F80>> {
        frame.x87.not_pending()?;
        Ok(Rounded::exact(F80::new(value.sign_exponent & 0x7fff, value.significand)))
    }
}

impl ComputeAlone for ChangeSign {
    #[inline(always)]
    fn compute(value: F80, _: &CpuState, frame: &Frame<'_>) -> Done<Rounded<F80>> {
        frame.x87.not_pending()?;
        Ok(Rounded::exact(negated(value)))
    }
}

impl ComputeAlone for SquareRoot {
    #[inline(always)]
    fn compute(value: F80, _: &CpuState, frame: &Frame<'_>) -> Done<Rounded<F80>> {
        computed(extended::sqrt(value, frame.x87.extended()?))
    }
}

impl ComputeAlone for RoundToInteger {
    #[inline(always)]
    fn compute(value: F80, cpu: &CpuState, frame: &Frame<'_>) -> Done<Rounded<F80>> {
        frame.x87.rounds()?;
        let rounding = Rules::from_control_word(cpu.x87.control).rounding;
        computed(extended::round_to_integral(value, rounding))
    }
}

/// An instruction on ST(0) alone.
pub(crate) struct Unary<C>(PhantomData<C>);

impl<C: ComputeAlone> Straight for Unary<C> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, _: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        frame.x87.filled(1)?;
        let top = physical(cpu, 0);
        let result = C::compute(register(cpu, top), cpu, frame)?;
        let value = frame.x87.rounded(result);
        set_register(cpu, top, value);
        frame.x87.executed(op);
        Ok(())
    }
}

/// How ST(0) compares with `other`, if it is not empty.
#[inline(always)]
fn relation(cpu: &CpuState, other: F80) -> Done<Ordering> {
    computed(extended::compare(register(cpu, physical(cpu, 0)), other))
}

#[inline(always)]
fn pop_times<const POPS: u8>(cpu: &mut CpuState, frame: &mut Frame<'_>) {
    for _ in 0..POPS {
        frame.x87.pop(cpu);
    }
}

/// Comparison into the condition codes, with `POPS` pops: quiet and signalling ones are the same
/// where there is no NaN.
pub(crate) struct CompareNumbers<S, const POPS: u8>(PhantomData<S>);

impl<S: FloatSource, const POPS: u8> Straight for CompareNumbers<S, POPS> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        frame.x87.not_pending()?;
        let address = S::address(op, cpu);
        frame.x87.filled(S::registers(op, true))?;
        let other = S::get(op, cpu, memory, address)?;
        let ordering = relation(cpu, other)?;
        set_conditions(cpu, frame, ordering);
        pop_times::<POPS>(cpu, frame);
        S::executed(op, frame, address);
        Ok(())
    }
}

/// A comparison with whatever operands, quiet NaNs being invalid too if `SIGNALLING`.
pub(crate) struct FullCompare<S, const POPS: u8, const SIGNALLING: bool>(PhantomData<S>);

impl<S: FloatSource, const POPS: u8, const SIGNALLING: bool> Straight for FullCompare<S, POPS, SIGNALLING> {
    #[inline(never)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        frame.x87.not_pending()?;
        frame.x87.filled(S::registers(op, true))?;
        let address = S::address(op, cpu);
        let other = S::unpack(op, cpu, memory, address)?;
        let relation = full_relation(cpu, other, SIGNALLING)?;
        frame.x87.clear_c1();
        cpu.x87.status = cpu.x87.status.difference(CODES).union(match relation {
            Relation::Greater => StatusWord::empty(),
            Relation::Less => StatusWord::C0,
            Relation::Equal => StatusWord::C3,
            Relation::Unordered => CODES,
        });
        pop_times::<POPS>(cpu, frame);
        S::executed(op, frame, address);
        Ok(())
    }
}

/// How ST(0) compares with `other`, with the exceptions of that made sticky; C1 stays.
#[inline(never)]
fn full_relation(cpu: &mut CpuState, other: Unpacked, signalling: bool) -> Done<Relation> {
    let (relation, flags) = float::compare(register(cpu, physical(cpu, 0)).unpack(), other, signalling);
    let rules = Rules::from_control_word(cpu.x87.control);
    if flags.intersects(rules.unmasked) {
        return Err(Miss::Slow);
    }
    let exceptions = (flags & Flags::EXCEPTIONS).bits().into();
    cpu.x87.status = cpu.x87.status.union(StatusWord::from_bits_truncate(exceptions));
    Ok(relation)
}

/// FPREM, and FPREM1 if `NEAREST`, of numbers; C2 says that it is to be repeated.
pub(crate) struct PartialRemainder<const NEAREST: bool>;

impl<const NEAREST: bool> Straight for PartialRemainder<NEAREST> {
    #[inline(never)]
    fn execute(op: &Op, cpu: &mut CpuState, _: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        frame.x87.not_pending()?;
        frame.x87.filled(0b11)?;
        let [top, next] = [0, 1].map(|index| physical(cpu, index));
        let [dividend, divisor] = [top, next].map(|number| register(cpu, number).unpack());
        let quotient = if NEAREST { Quotient::Nearest } else { Quotient::Truncated };
        let result =
            float::remainder(dividend, divisor, quotient, &Rules::from_control_word(cpu.x87.control));
        let bits = match result.progress {
            _ if !result.flags.is_empty() => return Err(Miss::Slow),
            Progress::Complete(bits) => Some(bits),
            Progress::Partial => None,
            Progress::NoQuotient => return Err(Miss::Slow),
        };
        set_register(cpu, top, result.value);
        let mut codes = StatusWord::empty();
        codes.set(StatusWord::C2, bits.is_none());
        codes.set(StatusWord::C0, bits.unwrap_or(0) & 4 != 0);
        codes.set(StatusWord::C3, bits.unwrap_or(0) & 2 != 0);
        cpu.x87.status = cpu.x87.status.difference(CODES).union(codes);
        frame.x87.set_c1(bits.unwrap_or(0) & 1 != 0);
        frame.x87.executed(op);
        Ok(())
    }
}

/// FSCALE.
pub(crate) struct Scale;

impl Straight for Scale {
    #[inline(never)]
    fn execute(op: &Op, cpu: &mut CpuState, _: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        frame.x87.not_pending()?;
        frame.x87.filled(0b11)?;
        let [top, next] = [0, 1].map(|index| physical(cpu, index));
        let [value, power] = [top, next].map(|number| register(cpu, number).unpack());
        let rules = Rules::from_control_word(cpu.x87.control).with_extended_precision();
        let (value, flags) = float::scale(value, power, &rules);
        frame.x87.raise(cpu, flags, &rules)?;
        set_register(cpu, top, value);
        frame.x87.executed(op);
        Ok(())
    }
}

/// FXAM of a register in use: its class into C3, C2 and C0, its sign into C1.
pub(crate) struct Examine;

impl Straight for Examine {
    #[inline(never)]
    fn execute(op: &Op, cpu: &mut CpuState, _: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        frame.x87.not_pending()?;
        frame.x87.filled(1)?;
        let value = register(cpu, physical(cpu, 0)).unpack();
        let codes = match value.class {
            Class::Unsupported => StatusWord::empty(),
            Class::QuietNan | Class::SignallingNan => StatusWord::C0,
            Class::Finite if value.denormal => StatusWord::C3.union(StatusWord::C2),
            Class::Finite => StatusWord::C2,
            Class::Infinity => StatusWord::C2.union(StatusWord::C0),
            Class::Zero => StatusWord::C3,
        };
        cpu.x87.status = cpu.x87.status.difference(CODES).union(codes);
        frame.x87.set_c1(value.negative);
        frame.x87.executed(op);
        Ok(())
    }
}

/// FTST.
pub(crate) struct Test;

impl Straight for Test {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, _: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        frame.x87.not_pending()?;
        frame.x87.filled(1)?;
        let ordering = relation(cpu, F80::ZERO)?;
        set_conditions(cpu, frame, ordering);
        frame.x87.executed(op);
        Ok(())
    }
}

/// The condition codes that comparisons set.
const CODES: StatusWord = StatusWord::C0.union(StatusWord::C2).union(StatusWord::C3);

/// Sets C3 and C0, and clears C2 and C1.
#[inline(always)]
fn set_conditions(cpu: &mut CpuState, frame: &mut Frame<'_>, ordering: Ordering) {
    let less = if ordering == Ordering::Less { StatusWord::C0 } else { StatusWord::empty() };
    let equal = if ordering == Ordering::Equal { StatusWord::C3 } else { StatusWord::empty() };
    cpu.x87.status = cpu.x87.status.difference(CODES).union(less).union(equal);
    frame.x87.clear_c1();
}

/// FCOMI, FUCOMI and the like with a pop: comparison into EFLAGS. C1 stays.
pub(crate) struct CompareIntoFlags<const POPS: u8>;

impl<const POPS: u8> Straight for CompareIntoFlags<POPS> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        frame.x87.not_pending()?;
        frame.x87.filled(both(op))?;
        let other = Stack::get(op, cpu, memory, 0)?;
        let ordering = relation(cpu, other)?;
        let less = if ordering == Ordering::Less { Eflags::CF } else { Eflags::empty() };
        let equal = if ordering == Ordering::Equal { Eflags::ZF } else { Eflags::empty() };
        frame.pending = PendingFlags::SETTLED;
        cpu.eflags = cpu.eflags.difference(Eflags::STATUS).union(less).union(equal);
        pop_times::<POPS>(cpu, frame);
        frame.x87.executed(op);
        Ok(())
    }
}

/// [`CompareIntoFlags`] with whatever operands, quiet NaNs being invalid too if `SIGNALLING`.
pub(crate) struct FullCompareIntoFlags<const POPS: u8, const SIGNALLING: bool>;

impl<const POPS: u8, const SIGNALLING: bool> Straight for FullCompareIntoFlags<POPS, SIGNALLING> {
    #[inline(never)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        frame.x87.not_pending()?;
        frame.x87.filled(both(op))?;
        let other = Stack::unpack(op, cpu, memory, 0)?;
        let flags = match full_relation(cpu, other, SIGNALLING)? {
            Relation::Greater => Eflags::empty(),
            Relation::Less => Eflags::CF,
            Relation::Equal => Eflags::ZF,
            Relation::Unordered => Eflags::ZF.union(Eflags::PF).union(Eflags::CF),
        };
        frame.pending = PendingFlags::SETTLED;
        cpu.eflags = cpu.eflags.difference(Eflags::STATUS).union(flags);
        pop_times::<POPS>(cpu, frame);
        frame.x87.executed(op);
        Ok(())
    }
}
