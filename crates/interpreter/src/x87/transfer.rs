//! x87 loads, stores, exchanges, and control.

use core::marker::PhantomData;

use pentimento_memory::{AddressSpace, Value};
use pentimento_registers::{Condition, CpuState, F80, Gpr};

use pentimento_execute::float::extended::{self, Rounded};
use pentimento_execute::float::{self, Flags, Format, Rounding, Rules, Unpacked};
use pentimento_execute::x87::constants::NEAREST;
use pentimento_execute::x87::control::{clear_exceptions, load_control};

use crate::arena::Op;
use crate::drivers::Straight;
use crate::flags::Lazy;
use crate::frame::Frame;
use crate::operand::Address;
use crate::outcome::{Done, Miss};
use crate::x87::operand::{Datum, FloatSource};
use crate::x87::unit::{both, computed, other, physical, register, set_register};

/// FLD and FILD.
pub(crate) struct LoadFloat<S>(PhantomData<S>);

impl<S: FloatSource> Straight for LoadFloat<S> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        frame.x87.not_pending()?;
        let address = S::address(op, cpu);
        let value = S::get(op, cpu, memory, address)?;
        frame.x87.room()?;
        frame.x87.filled(S::registers(op, false))?;
        frame.x87.push(cpu, value);
        S::executed(op, frame, address);
        Ok(())
    }
}

/// Pushes a datum from `address`, which the instruction has read.
#[inline(always)]
fn push_from(op: &Op, cpu: &mut CpuState, frame: &mut Frame<'_>, address: u32, value: F80) {
    frame.x87.push(cpu, value);
    frame.x87.executed_at(op, address);
}

/// FLD of a single or double that is [usual](extended::usual).
pub(crate) struct LoadUsual<D, A>(PhantomData<(D, A)>);

impl<D: Datum, A: Address> Straight for LoadUsual<D, A> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        frame.x87.not_pending()?;
        frame.x87.room()?;
        let address = A::of(op, cpu);
        push_from(op, cpu, frame, address, D::load_usual(memory, address)?);
        Ok(())
    }
}

/// FLD of a single or double, whatever it is.
pub(crate) struct LoadFull<D, A>(PhantomData<(D, A)>);

impl<D: Datum, A: Address> Straight for LoadFull<D, A> {
    #[inline(never)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        frame.x87.not_pending()?;
        frame.x87.room()?;
        let address = A::of(op, cpu);
        // Widening is exact: rounding mode and precision play no part.
        let (value, flags) = float::convert::<F80>(D::unpack(memory, address)?, &Rules::default());
        let rules = Rules::from_control_word(cpu.x87.control);
        frame.x87.raise(cpu, flags, &rules)?;
        push_from(op, cpu, frame, address, value);
        Ok(())
    }
}

/// The number of FLD1's constant.
const ONE: u32 = 0;
/// The number of FLDZ's.
const ZERO: u32 = 6;

/// FLD1 and the like: the constant with the number in [`Op::immediate`], rounded to nearest.
pub(crate) struct LoadConstant;

impl Straight for LoadConstant {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, _: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        // One and zero are the same in every mode.
        match op.immediate {
            ONE | ZERO => frame.x87.not_pending()?,
            _ => _ = frame.x87.extended()?,
        }
        frame.x87.room()?;
        frame.x87.push(cpu, NEAREST[op.immediate as usize & 7]);
        frame.x87.executed(op);
        Ok(())
    }
}

/// What ST(0) is stored as.
pub(crate) trait Stored {
    /// What lies in memory.
    type Bits: Value;
    /// The conversion, if nothing is out of the ordinary.
    fn convert(value: F80, cpu: &CpuState, frame: &Frame<'_>) -> Done<Rounded<Self::Bits>>;
    /// The conversion, whatever the value is, by any rules.
    fn convert_fully(value: F80, rules: &Rules) -> (Self::Bits, Flags);
}

/// m32fp.
pub(crate) struct Single;
/// m64fp.
pub(crate) struct Double;
/// An integer, rounded as rounding control says or, with `TRUNCATE`, toward zero.
pub(crate) struct Int<I, const TRUNCATE: bool>(PhantomData<I>);

/// ST(0) rounded to a narrower format. A denormal is not reported: it underflows.
#[inline(always)]
fn narrowed<F: Format>(value: F80, rules: &Rules) -> (F, Flags) {
    float::convert(Unpacked { denormal: false, ..value.unpack() }, rules)
}

impl Stored for Single {
    type Bits = u32;
    #[inline(always)]
    fn convert(value: F80, _: &CpuState, frame: &Frame<'_>) -> Done<Rounded<u32>> {
        frame.x87.extended()?;
        computed(extended::to_single(value))
    }
    #[inline(never)]
    fn convert_fully(value: F80, rules: &Rules) -> (u32, Flags) {
        narrowed(value, rules)
    }
}

impl Stored for Double {
    type Bits = u64;
    #[inline(always)]
    fn convert(value: F80, _: &CpuState, frame: &Frame<'_>) -> Done<Rounded<u64>> {
        frame.x87.extended()?;
        computed(extended::to_double(value))
    }
    #[inline(never)]
    fn convert_fully(value: F80, rules: &Rules) -> (u64, Flags) {
        narrowed(value, rules)
    }
}

macro_rules! integers {
    ($($signed:ty = $bits:ty),*) => {$(
        impl<const TRUNCATE: bool> Stored for Int<$signed, TRUNCATE> {
            type Bits = $bits;
            #[inline(always)]
            fn convert(value: F80, cpu: &CpuState, frame: &Frame<'_>) -> Done<Rounded<$bits>> {
                frame.x87.rounds()?;
                let control = Rules::from_control_word(cpu.x87.control).rounding;
                let rounding = if TRUNCATE { Rounding::Zero } else { control };
                let Rounded { value, rest, up } = computed(extended::to_integer::<$signed>(value, rounding))?;
                Ok(Rounded { value: value as $bits, rest, up })
            }
            #[inline(never)]
            fn convert_fully(value: F80, rules: &Rules) -> ($bits, Flags) {
                let rounding = if TRUNCATE { Rounding::Zero } else { rules.rounding };
                let (value, flags) = float::to_integer::<$signed>(value.unpack(), rounding);
                (value as $bits, flags)
            }
        }
    )*};
}

integers!(i16 = u16, i32 = u32, i64 = u64);

/// Notes that ST(0) is stored at `address`, and pops it if `POPS`.
#[inline(always)]
fn stored<const POPS: bool>(op: &Op, cpu: &mut CpuState, frame: &mut Frame<'_>, address: u32) {
    if POPS {
        frame.x87.pop(cpu);
    }
    frame.x87.executed_at(op, address);
}

/// Stores what ST(0) was rounded to, and pops it if `POPS`.
#[inline(always)]
fn store_rounded<V: Value, A: Address, const POPS: bool>(
    op: &Op,
    cpu: &mut CpuState,
    memory: &mut AddressSpace,
    frame: &mut Frame<'_>,
    result: Rounded<V>,
) -> Done {
    let address = A::of(op, cpu);
    memory.write_fast(address, result.value).ok_or(Miss::Slow)?;
    frame.x87.rounded(result);
    stored::<POPS>(op, cpu, frame, address);
    Ok(())
}

/// FST, FIST and the like, and with `POPS` FSTP, FISTP and FISTTP.
pub(crate) struct StoreFloat<T, A, const POPS: bool>(PhantomData<(T, A)>);

impl<T: Stored, A: Address, const POPS: bool> Straight for StoreFloat<T, A, POPS> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        frame.x87.filled(1)?;
        let result = T::convert(register(cpu, physical(cpu, 0)), cpu, frame)?;
        store_rounded::<_, A, POPS>(op, cpu, memory, frame, result)
    }
}

/// [`StoreFloat`] of whatever ST(0) is.
pub(crate) struct StoreFull<T, A, const POPS: bool>(PhantomData<(T, A)>);

impl<T: Stored, A: Address, const POPS: bool> Straight for StoreFull<T, A, POPS> {
    #[inline(never)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        frame.x87.not_pending()?;
        frame.x87.filled(1)?;
        let rules = Rules::from_control_word(cpu.x87.control);
        let (value, flags) = T::convert_fully(register(cpu, physical(cpu, 0)), &rules);
        if flags.intersects(rules.unmasked) {
            return Err(Miss::Slow);
        }
        let address = A::of(op, cpu);
        memory.write_fast(address, value).ok_or(Miss::Slow)?;
        frame.x87.raise(cpu, flags, &rules)?;
        stored::<POPS>(op, cpu, frame, address);
        Ok(())
    }
}

/// What a single or double is stored as if its exponent is in the middle half of its format's range.
pub(crate) trait StoredUsual: Stored {
    fn convert_usual(value: F80) -> Option<Rounded<Self::Bits>>;
}

impl StoredUsual for Single {
    #[inline(always)]
    fn convert_usual(value: F80) -> Option<Rounded<u32>> {
        extended::to_single_usual(value)
    }
}

impl StoredUsual for Double {
    #[inline(always)]
    fn convert_usual(value: F80) -> Option<Rounded<u64>> {
        extended::to_double_usual(value)
    }
}

/// FST and FSTP of such a value.
pub(crate) struct StoreUsual<T, A, const POPS: bool>(PhantomData<(T, A)>);

impl<T: StoredUsual, A: Address, const POPS: bool> Straight for StoreUsual<T, A, POPS> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        frame.x87.filled(1)?;
        frame.x87.extended()?;
        let result = computed(T::convert_usual(register(cpu, physical(cpu, 0))))?;
        store_rounded::<_, A, POPS>(op, cpu, memory, frame, result)
    }
}

/// FSTP to m80fp.
pub(crate) struct StoreExtended<A>(PhantomData<A>);

impl<A: Address> Straight for StoreExtended<A> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        frame.x87.not_pending()?;
        frame.x87.filled(1)?;
        let address = A::of(op, cpu);
        if address % pentimento_memory::PAGE_SIZE > pentimento_memory::PAGE_SIZE - 10 {
            return Err(Miss::Slow);
        }
        let value = register(cpu, physical(cpu, 0));
        memory.write_fast(address, value.significand).ok_or(Miss::Slow)?;
        memory.write_fast(address.wrapping_add(8), value.sign_exponent).ok_or(Miss::Slow)?;
        frame.x87.clear_c1();
        stored::<true>(op, cpu, frame, address);
        Ok(())
    }
}

/// FST, and with `POPS` FSTP, to ST(i).
pub(crate) struct Copy<const POPS: bool>;

impl<const POPS: bool> Straight for Copy<POPS> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, _: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        frame.x87.not_pending()?;
        frame.x87.filled(1)?;
        let value = register(cpu, physical(cpu, 0));
        set_register(cpu, physical(cpu, op.immediate), value);
        frame.x87.fill(other(op));
        frame.x87.clear_c1();
        if POPS {
            frame.x87.pop(cpu);
        }
        frame.x87.executed(op);
        Ok(())
    }
}

/// FXCH.
pub(crate) struct Exchange;

impl Straight for Exchange {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, _: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        frame.x87.not_pending()?;
        frame.x87.filled(both(op))?;
        let (top, number) = (physical(cpu, 0), physical(cpu, op.immediate));
        let (first, second) = (register(cpu, top), register(cpu, number));
        set_register(cpu, top, second);
        set_register(cpu, number, first);
        frame.x87.clear_c1();
        frame.x87.executed(op);
        Ok(())
    }
}

/// FCMOVcc, with the number of the condition. C1 stays.
pub(crate) struct MoveIf<const CONDITION: u8>;

impl<const CONDITION: u8> Straight for MoveIf<CONDITION> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, _: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        frame.x87.not_pending()?;
        frame.x87.filled(both(op))?;
        if frame.pending.lazy != Lazy::Settled {
            return Err(Miss::Flags);
        }
        if Condition::from_number(CONDITION).holds(cpu.eflags) {
            let value = register(cpu, physical(cpu, op.immediate));
            set_register(cpu, physical(cpu, 0), value);
        }
        frame.x87.executed(op);
        Ok(())
    }
}

/// FNOP, FINCSTP and FDECSTP by what they add to TOP; FNOP keeps C1.
pub(crate) struct Rotate<const STEP: u8>;

impl<const STEP: u8> Straight for Rotate<STEP> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, _: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        frame.x87.not_pending()?;
        if STEP != 0 {
            frame.x87.rotate(cpu, STEP);
            frame.x87.clear_c1();
        }
        frame.x87.executed(op);
        Ok(())
    }
}

/// FFREE, and with `POPS` FFREEP.
pub(crate) struct Free<const POPS: bool>;

impl<const POPS: bool> Straight for Free<POPS> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, _: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        frame.x87.not_pending()?;
        frame.x87.empty(other(op));
        if POPS {
            frame.x87.pop(cpu);
        }
        frame.x87.clear_c1();
        frame.x87.executed(op);
        Ok(())
    }
}

/// FWAIT.
pub(crate) struct Wait;

impl Straight for Wait {
    #[inline(always)]
    fn execute(_: &Op, _: &mut CpuState, _: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        frame.x87.not_pending()
    }
}

/// FNCLEX.
pub(crate) struct ClearExceptions;

impl Straight for ClearExceptions {
    #[inline(always)]
    fn execute(_: &Op, cpu: &mut CpuState, _: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        frame.x87.settle_status(cpu);
        clear_exceptions(&mut cpu.x87);
        frame.x87.refresh(cpu);
        Ok(())
    }
}

/// FLDCW.
pub(crate) struct LoadControl<A>(PhantomData<A>);

impl<A: Address> Straight for LoadControl<A> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        frame.x87.not_pending()?;
        let word = memory.read_fast(A::of(op, cpu)).ok_or(Miss::Slow)?;
        frame.x87.settle_status(cpu);
        load_control(&mut cpu.x87, word);
        frame.x87.refresh(cpu);
        Ok(())
    }
}

/// FNSTCW.
pub(crate) struct StoreControl<A>(PhantomData<A>);

impl<A: Address> Straight for StoreControl<A> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, _: &mut Frame<'_>) -> Done {
        memory.write_fast(A::of(op, cpu), cpu.x87.control.bits()).ok_or(Miss::Slow)
    }
}

/// FNSTSW to memory.
pub(crate) struct StoreStatus<A>(PhantomData<A>);

impl<A: Address> Straight for StoreStatus<A> {
    #[inline(always)]
    fn execute(op: &Op, cpu: &mut CpuState, memory: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        frame.x87.settle_status(cpu);
        memory.write_fast(A::of(op, cpu), cpu.x87.status_word()).ok_or(Miss::Slow)
    }
}

/// FNSTSW to AX.
pub(crate) struct StatusIntoAx;

impl Straight for StatusIntoAx {
    #[inline(always)]
    fn execute(_: &Op, cpu: &mut CpuState, _: &mut AddressSpace, frame: &mut Frame<'_>) -> Done {
        frame.x87.settle_status(cpu);
        cpu.set_gpr16(Gpr::Eax, cpu.x87.status_word());
        Ok(())
    }
}
